/**
 * What plays in a video element: hls.js where the browser has no HLS of its own, a file as it is otherwise. Kept out of
 * the app's first bundle: it is loaded with the first clip that is played.
 *
 * A right to play ends; the addresses that hls.js has read by then hold the old one. Each request goes to the address
 * with the right that holds now.
 */
import type Hls from 'hls.js';
import workerUrl from 'hls.js/dist/hls.worker.js?url';
import type { PlaybackGrant } from '../client/index.js';
import { inGrant } from './clip-url.js';

export interface Quality {
  /** As hls.js counts it; -1: the browser chooses by what the connection gives. */
  index: number;
  /** Pixels of the shorter side, as people call it. */
  lines: number;
}

export type StreamProblem = 'network' | 'media' | 'old_app' | { refused: unknown };

export interface StreamHost {
  /** Another right to play, because the last one is refused. */
  renew(): Promise<PlaybackGrant>;
  qualities(list: Quality[]): void;
  /** What is shown now. */
  quality(lines: number): void;
  failed(problem: StreamProblem): void;
}

export interface Stream {
  /** By index; -1 leaves it to the connection. */
  choose(index: number): void;
  /** From now on with this right. */
  handleGrant(grant: PlaybackGrant): void;
  close(): void;
}

const HLS_TYPE = 'application/vnd.apple.mpegurl';
/** Refused so often in a row: it is not the right's age. */
const REFUSALS_MAX = 3;

export async function openStream(video: HTMLVideoElement, clip: string, grant: PlaybackGrant, host: StreamHost): Promise<Stream> {
  const isHls = new URL(grant.url, location.href).pathname.endsWith('.m3u8');
  if (!isHls || isSafari(video)) return plain(video, grant, host);
  let Player: typeof Hls;
  try {
    Player = (await import('hls.js')).default;
  } catch {
    // The app's files have other names by now, or there is no connection.
    throw new StreamError(navigator.onLine ? 'old_app' : 'network');
  }
  if (Player.isSupported()) return adaptive(Player, video, clip, grant, host);
  if (video.canPlayType(HLS_TYPE)) return plain(video, grant, host);
  throw new StreamError('media');
}

export class StreamError extends Error {
  readonly problem: StreamProblem;
  constructor(problem: StreamProblem) {
    super('the clip can not be opened');
    this.problem = problem;
  }
}

/** Its own HLS takes less power, and plays to AirPlay. (Chromium has one as well by now, of which nothing can be chosen.) */
function isSafari(video: HTMLVideoElement): boolean {
  return video.canPlayType(HLS_TYPE) !== '' && /^((?!chrome|chromium|android|crios|fxios).)*safari/i.test(navigator.userAgent);
}

function plain(video: HTMLVideoElement, first: PlaybackGrant, host: StreamHost): Stream {
  let grant = first;
  let refusals = 0;
  const load = () => {
    const at = video.currentTime;
    const wasPlaying = !video.paused;
    video.src = grant.url;
    if (at > 0) video.currentTime = at;
    if (wasPlaying) video.play().catch(() => {});
  };
  const onError = () => {
    if (video.error?.code === MediaError.MEDIA_ERR_DECODE || ++refusals > 1) return host.failed(refusals > 1 ? 'network' : 'media');
    host.renew().then(
      (next) => {
        grant = next;
        load();
      },
      (refused: unknown) => host.failed({ refused }),
    );
  };
  const onPlaying = () => (refusals = 0);
  video.addEventListener('error', onError);
  video.addEventListener('playing', onPlaying);
  load();
  return {
    choose: () => {},
    // What plays goes on with the old one as long as it can.
    handleGrant: (next) => (grant = next),
    close: () => {
      video.removeEventListener('error', onError);
      video.removeEventListener('playing', onPlaying);
      video.removeAttribute('src');
      video.load();
    },
  };
}

function adaptive(Player: typeof Hls, video: HTMLVideoElement, clip: string, first: PlaybackGrant, host: StreamHost): Stream {
  let grant = first;
  let refusals = 0;
  let renewing = false;
  let chosen = -1;
  const hls = new Player({
    workerPath: workerUrl,
    // On its own it takes no more than can be seen.
    capLevelToPlayerSize: true,
    maxBufferLength: 30,
    backBufferLength: 60,
    xhrSetup: (request, url) => request.open('GET', inGrant(url, grant.url, clip), true),
  });

  // All is read again: what hls.js makes of a refusal (another quality, a later try) leads nowhere with the old right.
  const renew = async () => {
    if (renewing) return;
    renewing = true;
    try {
      grant = await host.renew();
      const plays = !video.paused;
      hls.config.startPosition = video.currentTime;
      hls.loadSource(grant.url);
      hls.once(Player.Events.MANIFEST_PARSED, () => {
        if (chosen !== -1) hls.currentLevel = chosen;
        // Another media source is another beginning: the element stands still.
        if (plays) video.play().catch(() => {});
      });
    } catch (refused) {
      host.failed({ refused });
    } finally {
      renewing = false;
    }
  };

  hls.on(Player.Events.MANIFEST_PARSED, () => {
    const list = hls.levels.map((level, index) => ({ index, lines: Math.min(level.width, level.height) || level.height }));
    host.qualities(list.filter((q) => q.lines > 0).sort((a, b) => b.lines - a.lines));
  });
  hls.on(Player.Events.LEVEL_SWITCHED, (_, { level }) => {
    const { width = 0, height = 0 } = hls.levels[level] ?? {};
    host.quality(Math.min(width, height) || height);
  });
  hls.on(Player.Events.FRAG_BUFFERED, () => (refusals = 0));
  hls.on(Player.Events.ERROR, (_, data) => {
    const status = data.response?.code ?? 0;
    if (status === 403 && ++refusals <= REFUSALS_MAX) return void renew();
    if (!data.fatal) return;
    if (data.type === Player.ErrorTypes.MEDIA_ERROR && refusals++ === 0) return hls.recoverMediaError();
    host.failed(data.type === Player.ErrorTypes.MEDIA_ERROR ? 'media' : 'network');
  });
  hls.loadSource(grant.url);
  hls.attachMedia(video);
  return {
    // The next segment is of it; what is buffered of the other one is thrown away.
    choose: (index) => (hls.currentLevel = chosen = index),
    handleGrant: (next) => (grant = next),
    close: () => hls.destroy(),
  };
}
