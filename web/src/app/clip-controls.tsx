/** The player's controls. They show how the video element is, whoever changed it. */
import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ClipView } from '../client/index.js';
import { captionsOf, raiseCaptions, toggleCaptions, toggleFull, togglePip } from './clip-keys.js';
import { PlayerMenu } from './clip-menu.js';
import type { PlayerState } from './clip-player.js';
import { cueAt, parseSprite, type SpriteCue } from './clip-sprite.js';
import { lengthText, spokenLength } from './clip-words.js';
import { t } from './i18n.js';
import { IconButton } from './parts.js';

interface Props {
  clip: ClipView;
  video: RefObject<HTMLVideoElement | null>;
  root: RefObject<HTMLDivElement | null>;
  state: PlayerState;
  onToggle: () => void;
  onChoose: (quality: number) => void;
}

const CHANGES = ['play', 'pause', 'timeupdate', 'seeking', 'progress', 'durationchange', 'volumechange', 'ratechange', 'ended', 'captionschange', 'loadedmetadata'];

export function Controls({ clip, video, root, state, onToggle, onChoose }: Props) {
  useChanges(video);
  const full = useFullScreen(root);
  const element = video.current;
  const lengthS = element && Number.isFinite(element.duration) ? element.duration : clip.durationMs / 1_000;
  const at = element?.currentTime ?? 0;
  const isPlaying = element ? !element.paused && !element.ended : false;
  const isMuted = element ? element.muted || element.volume === 0 : false;
  const captions = captionsOf(element);
  const isVideo = clip.kind === 'video';
  return (
    <div class="player-controls" data-testid="player-controls">
      <Seek clip={clip} video={video} state={state} at={at} lengthS={lengthS} />
      <div class="player-row">
        <IconButton icon={isPlaying ? 'pause' : 'play'} label={t(isPlaying ? 'playerPause' : 'playerPlay')} onClick={onToggle} testid="player-toggle" />
        <IconButton
          icon={isMuted ? 'soundOff' : 'sound'}
          label={t(isMuted ? 'playerUnmute' : 'playerMute')}
          class="player-mute"
          onClick={() => element && (element.muted = !isMuted && !element.muted)}
          testid="player-mute"
        />
        <input
          type="range"
          class="player-volume"
          min={0}
          max={1}
          step={0.05}
          value={isMuted ? 0 : (element?.volume ?? 1)}
          aria-label={t('playerVolume')}
          onInput={(e) => {
            if (!element) return;
            element.volume = Number(e.currentTarget.value);
            element.muted = false;
          }}
        />
        <span class="player-time" data-testid="player-time">
          {lengthText(at * 1_000)} <span>/ {lengthText(lengthS * 1_000)}</span>
        </span>
        {element && (state.grant?.captions.length ?? 0) > 0 && (
          <IconButton
            icon="captions"
            label={t(captions === null ? 'playerCaptionsOn' : 'playerCaptionsOff')}
            class={captions === null ? '' : 'on'}
            aria-pressed={captions !== null}
            onClick={() => toggleCaptions(element)}
            testid="player-captions"
          />
        )}
        {element && <PlayerMenu video={element} state={state} onChoose={onChoose} />}
        {isVideo && element && document.pictureInPictureEnabled && (
          <IconButton icon="pip" label={t('playerPip')} class="player-pip" onClick={() => togglePip(element)} testid="player-pip" />
        )}
        {isVideo && element && (
          <IconButton
            icon={full ? 'shrink' : 'expand'}
            label={t(full ? 'playerLeaveFull' : 'playerFull')}
            onClick={() => root.current && toggleFull(root.current, element)}
            testid="player-full"
          />
        )}
      </div>
    </div>
  );
}

/** Draws again with each change of the element. */
function useChanges(video: RefObject<HTMLVideoElement | null>): void {
  const [, draw] = useState(0);
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    const changed = () => draw((n) => n + 1);
    for (const name of CHANGES) element.addEventListener(name, changed);
    // Now that it is there.
    changed();
    return () => {
      for (const name of CHANGES) element.removeEventListener(name, changed);
    };
  }, []);
}

function useFullScreen(root: RefObject<HTMLElement | null>): boolean {
  const [full, setFull] = useState(false);
  useEffect(() => {
    const look = () => {
      setFull(document.fullscreenElement !== null && document.fullscreenElement === root.current);
      raiseCaptions(root.current?.querySelector('video') ?? null);
    };
    document.addEventListener('fullscreenchange', look);
    return () => document.removeEventListener('fullscreenchange', look);
  }, []);
  return full;
}

interface SeekProps {
  clip: ClipView;
  video: RefObject<HTMLVideoElement | null>;
  state: PlayerState;
  at: number;
  lengthS: number;
}

function Seek({ video, state, at, lengthS }: SeekProps) {
  const bar = useRef<HTMLDivElement>(null);
  const [hover, setHover] = useState<{ x: number; seconds: number; width: number } | null>(null);
  const cues = useSprite(state.grant?.spriteUrl ?? '', hover !== null);
  const element = video.current;
  const buffered = element && element.buffered.length > 0 ? element.buffered.end(element.buffered.length - 1) : 0;
  const share = (seconds: number) => (lengthS > 0 ? `${Math.min(100, (100 * seconds) / lengthS)}%` : '0%');
  const look = (event: PointerEvent) => {
    const place = bar.current?.getBoundingClientRect();
    if (!place || place.width === 0) return;
    const x = Math.max(0, Math.min(place.width, event.clientX - place.left));
    setHover({ x, seconds: (x / place.width) * lengthS, width: place.width });
  };
  return (
    <div ref={bar} class="player-seek" onPointerMove={look} onPointerDown={look} onPointerLeave={() => setHover(null)} onPointerUp={(e) => e.pointerType !== 'mouse' && setHover(null)}>
      <span class="player-track">
        <span class="player-buffered" style={{ width: share(buffered) }} />
        <span class="player-done" style={{ width: share(at) }} />
      </span>
      <input
        type="range"
        min={0}
        max={Math.max(0.1, lengthS)}
        step={0.1}
        value={at}
        aria-label={t('playerSeek')}
        aria-valuetext={t('playerAt', { at: spokenLength(at * 1_000), length: spokenLength(lengthS * 1_000) })}
        data-testid="player-seek"
        onInput={(e) => {
          if (element) element.currentTime = Number(e.currentTarget.value);
        }}
      />
      {hover && lengthS > 0 && <Scrub cue={cueAt(cues, hover.seconds)} hover={hover} />}
    </div>
  );
}

function Scrub({ cue, hover }: { cue: SpriteCue | null; hover: { x: number; seconds: number; width: number } }) {
  const width = cue?.width ?? 56;
  // It stays within the player.
  const left = Math.max(0, Math.min(hover.width - width, hover.x - width / 2));
  return (
    <span class="player-scrub" style={{ left: `${left}px`, width: `${width}px` }} data-testid="player-scrub">
      {cue && (
        <span
          class="player-scrub-picture"
          style={{
            width: `${cue.width}px`,
            height: `${cue.height}px`,
            backgroundImage: `url("${cue.image}")`,
            backgroundPosition: `-${cue.x}px -${cue.y}px`,
          }}
        />
      )}
      <span>{lengthText(hover.seconds * 1_000)}</span>
    </span>
  );
}

/** Read when somebody first looks for a place. */
function useSprite(url: string, wanted: boolean): SpriteCue[] {
  const [cues, setCues] = useState<SpriteCue[]>([]);
  const asked = useRef(false);
  useEffect(() => {
    if (!wanted || asked.current || url === '') return;
    asked.current = true;
    const whole = new URL(url, location.href).href;
    const read = async () => {
      const response = await fetch(whole);
      if (response.ok) setCues(parseSprite(await response.text(), whole));
    };
    // Without pictures the time alone is shown.
    read().catch(() => (asked.current = false));
  }, [url, wanted]);
  return cues;
}
