/** Plays a clip: video in its frame, sound as a line. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ClipView, PlaybackGrant } from '../client/index.js';
import { boxOf } from './clip-box.js';
import { Controls } from './clip-controls.js';
import { handlePlayerKey, raiseCaptions } from './clip-keys.js';
import { clips } from './clip-state.js';
import type { Quality, Stream, StreamProblem } from './clip-stream.js';
import { isElsewhere } from './clip-url.js';
import { explainClip, titleText } from './clip-words.js';
import { t } from './i18n.js';

export interface PlayerState {
  grant: PlaybackGrant | null;
  qualities: Quality[];
  /** Chosen; -1: automatic. */
  chosen: number;
  /** Of what is shown; 0 while it isn't known. */
  lines: number;
}

const NOTHING: PlayerState = { grant: null, qualities: [], chosen: -1, lines: 0 };
/** Without a movement for so long the controls go. */
const IDLE_MS = 2_500;
/** One at a time makes itself heard. */
let playing: HTMLVideoElement | null = null;

export function Player({ clip, starts, large = false }: { clip: ClipView; starts: boolean; large?: boolean }) {
  const root = useRef<HTMLDivElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const stream = useRef<Stream | null>(null);
  const [state, setState] = useState(NOTHING);
  const [problem, setProblem] = useState<string | null>(null);
  const [waits, setWaits] = useState(starts);
  const [wanted, setWanted] = useState(starts);
  const [tries, setTries] = useState(0);
  const idle = useIdle(root, video);
  const isVideo = clip.kind === 'video';
  const title = titleText(clip);

  useEffect(() => {
    const here = clips.value;
    const element = video.current;
    if (!here || !element || !wanted) return;
    let open = true;
    const failed = (what: StreamProblem) => {
      if (!open) return;
      setWaits(false);
      setProblem(problemText(what));
    };
    const begin = async () => {
      const { openStream } = await import('./clip-stream.js').catch(() => {
        throw new TypeError('the player could not be loaded');
      });
      const grant = await here.grants.get(clip.id);
      if (!open) return () => {};
      setState((s) => ({ ...s, grant }));
      const opened = await openStream(element, clip.id, grant, {
        renew: () => here.grants.renew(clip.id),
        qualities: (qualities) => open && setState((s) => ({ ...s, qualities })),
        quality: (lines) => open && setState((s) => ({ ...s, lines })),
        failed,
      });
      stream.current = opened;
      if (!open) opened.close();
      else element.play().catch(() => setWaits(false));
      return here.grants.follow(
        clip.id,
        (next) => {
          opened.handleGrant(next);
          if (open) setState((s) => ({ ...s, grant: next }));
        },
        (refused) => failed({ refused }),
      );
    };
    const following = begin().catch((error: unknown) => {
      failed(typeof error === 'object' && error !== null && 'problem' in error ? (error as { problem: StreamProblem }).problem : { refused: error });
      return () => {};
    });
    return () => {
      open = false;
      stream.current?.close();
      stream.current = null;
      void following.then((stop) => stop());
    };
  }, [clip.id, wanted, tries]);

  useEffect(() => {
    if (starts) root.current?.querySelector<HTMLElement>('[data-testid="player-toggle"]')?.focus({ preventScroll: true });
    return () => {
      if (playing === video.current) playing = null;
    };
  }, []);

  const toggle = () => {
    const element = video.current;
    if (!element) return;
    if (!wanted) {
      setWaits(true);
      setWanted(true);
    } else if (element.paused) void element.play().catch(() => {});
    else element.pause();
  };

  const again = () => {
    setProblem(null);
    setWaits(true);
    clips.value?.grants.forget(clip.id);
    setTries((n) => n + 1);
  };

  return (
    <div
      ref={root}
      class={`player ${clip.kind} ${idle ? 'idle' : ''} ${large ? 'large' : ''}`}
      style={isVideo && !large ? boxOf(clip) : {}}
      role="group"
      aria-label={t('player', { title })}
      data-testid="player"
      onKeyDown={(event) => {
        // The list's own keys are not for here.
        event.stopPropagation();
        if (video.current && root.current) handlePlayerKey(event, video.current, root.current, toggle);
      }}
    >
      <video
        ref={video}
        class="player-video"
        playsInline
        // Captions of another host are not read otherwise.
        {...(state.grant && isElsewhere(state.grant.url) ? { crossOrigin: 'anonymous' as const } : {})}
        preload="auto"
        tabIndex={-1}
        poster={isVideo ? state.grant?.posterUrl || undefined : undefined}
        data-testid="player-video"
        onClick={toggle}
        onPlay={(e) => {
          if (playing && playing !== e.currentTarget) playing.pause();
          playing = e.currentTarget;
        }}
        onWaiting={() => setWaits(true)}
        onPlaying={() => setWaits(false)}
        onCanPlay={() => setWaits(false)}
        onResize={() => raiseCaptions(video.current)}
      >
        {state.grant?.captions.map((c) => <track key={c.language} kind="captions" src={c.url} srclang={c.language} label={c.label} onLoad={() => raiseCaptions(video.current)} />)}
      </video>
      {waits && !problem && (
        <span class="player-waits" role="status">
          <span class="visually-hidden">{t('playerLoading')}</span>
        </span>
      )}
      {problem && (
        <div class="player-problem" role="alert" data-testid="player-problem">
          <p>{t('playerFailed', { why: problem })}</p>
          <button type="button" class="button small" onClick={again} data-testid="player-again">
            {t('retry')}
          </button>
        </div>
      )}
      <Controls
        clip={clip}
        video={video}
        root={root}
        state={state}
        onToggle={toggle}
        onChoose={(chosen) => {
          stream.current?.choose(chosen);
          setState((s) => ({ ...s, chosen }));
        }}
      />
    </div>
  );
}

function problemText(problem: StreamProblem): string {
  if (problem === 'network') return t('playerNetwork');
  if (problem === 'media') return t('playerMedia');
  if (problem === 'old_app') return t('playerOldApp');
  return explainClip(problem.refused);
}

/** The controls leave the picture alone while it plays and nobody moves. */
function useIdle(root: { current: HTMLElement | null }, video: { current: HTMLVideoElement | null }): boolean {
  const [idle, setIdle] = useState(false);
  useEffect(() => {
    const element = root.current;
    if (!element) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stir = () => {
      setIdle(false);
      clearTimeout(timer);
      timer = setTimeout(() => setIdle(video.current?.paused === false && !element.querySelector('[data-open="true"]')), IDLE_MS);
    };
    const leave = () => setIdle(video.current?.paused === false && !element.contains(document.activeElement));
    const events = ['pointermove', 'pointerdown', 'keydown', 'focusin', 'play', 'pause'] as const;
    for (const name of events) element.addEventListener(name, stir, true);
    element.addEventListener('pointerleave', leave);
    return () => {
      clearTimeout(timer);
      for (const name of events) element.removeEventListener(name, stir, true);
      element.removeEventListener('pointerleave', leave);
    };
  }, []);
  return idle;
}
