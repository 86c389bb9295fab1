/** The player's keys, while the focus is in it. */

const STEP_S = 5;
const LEAP_S = 10;
const VOLUME_STEP = 0.1;
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];

export { SPEEDS };

export function handlePlayerKey(event: KeyboardEvent, video: HTMLVideoElement, root: HTMLElement, toggle: () => void): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as HTMLElement;
  // A button's own keys, a menu's, a field's: those come first.
  if (target.closest('[role="menu"]')) return;
  const isButton = target instanceof HTMLButtonElement;
  const isField = target instanceof HTMLInputElement;
  if ((event.key === ' ' || event.key === 'Enter') && isButton) return;
  if (isField && /^(Arrow|Home|End|Page)/.test(event.key)) return;
  const act = ACTS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (/^[0-9]$/.test(event.key)) {
    if (Number.isFinite(video.duration)) video.currentTime = (video.duration * Number(event.key)) / 10;
  } else if (event.key === ' ' || event.key.toLowerCase() === 'k') toggle();
  else if (event.key.toLowerCase() === 'f') toggleFull(root, video);
  else if (act) act(video);
  else return;
  event.preventDefault();
}

const seek = (seconds: number) => (video: HTMLVideoElement) => {
  video.currentTime = Math.max(0, Math.min(video.duration || Infinity, video.currentTime + seconds));
};

const volume = (by: number) => (video: HTMLVideoElement) => {
  video.volume = Math.max(0, Math.min(1, video.volume + by));
  video.muted = false;
};

const speed = (by: 1 | -1) => (video: HTMLVideoElement) => {
  const at = SPEEDS.indexOf(video.playbackRate);
  video.playbackRate = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, (at < 0 ? 2 : at) + by))]!;
};

const ACTS: Record<string, (video: HTMLVideoElement) => void> = {
  ArrowLeft: seek(-STEP_S),
  ArrowRight: seek(STEP_S),
  j: seek(-LEAP_S),
  l: seek(LEAP_S),
  ArrowUp: volume(VOLUME_STEP),
  ArrowDown: volume(-VOLUME_STEP),
  m: (video) => (video.muted = !video.muted),
  c: toggleCaptions,
  i: togglePip,
  '<': speed(-1),
  '>': speed(1),
};

/** Lines of the video's height that the controls cover: captions stand above them. */
const COVERED_PX = 66;
const LINE_SHARE = 0.065;

/** Where the captions' author left it open. */
function raise(video: HTMLVideoElement, track: TextTrack): void {
  const lines = Math.ceil(COVERED_PX / (LINE_SHARE * Math.max(120, video.clientHeight)));
  let moved = false;
  for (const cue of track.cues ?? []) {
    const { snapToLines, line } = cue as VTTCue;
    if (line !== 'auto' && (!snapToLines || line >= 0 || line === -lines)) continue;
    (cue as VTTCue).line = -lines;
    moved = true;
  }
  if (!moved) return;
  // A cue that is shown while nothing plays stays where it was, unless it is shown anew.
  track.mode = 'hidden';
  track.mode = 'showing';
}

/** For a track element that has been read, and when the size changes. */
export const raiseCaptions = (video: HTMLVideoElement | null): void => {
  for (const track of video?.textTracks ?? []) if (track.mode === 'showing') raise(video!, track);
};

/** On: in the first language that is there, or the one of before. */
export function toggleCaptions(video: HTMLVideoElement): void {
  const tracks = [...video.textTracks];
  const on = tracks.find((track) => track.mode === 'showing');
  chooseCaptions(video, on ? null : (tracks.find((track) => track.language === lastLanguage) ?? tracks[0])?.language ?? null);
}

let lastLanguage = '';

export function chooseCaptions(video: HTMLVideoElement, language: string | null): void {
  if (language !== null) lastLanguage = language;
  for (const track of video.textTracks) track.mode = track.language === language ? 'showing' : 'disabled';
  raiseCaptions(video);
  video.dispatchEvent(new Event('captionschange'));
}

export const captionsOf = (video: HTMLVideoElement | null): string | null =>
  [...(video?.textTracks ?? [])].find((track) => track.mode === 'showing')?.language ?? null;

export function togglePip(video: HTMLVideoElement): void {
  if (document.pictureInPictureElement === video) void document.exitPictureInPicture().catch(() => {});
  else void video.requestPictureInPicture?.().catch(() => {});
}

type IphoneVideo = HTMLVideoElement & { webkitEnterFullscreen?: () => void };

export function toggleFull(root: HTMLElement, video: IphoneVideo): void {
  if (document.fullscreenElement) void document.exitFullscreen().catch(() => {});
  else if (root.requestFullscreen) void root.requestFullscreen().catch(() => {});
  // An iPhone gives the whole screen to videos alone.
  else video.webkitEnterFullscreen?.();
}
