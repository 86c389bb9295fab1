import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { isStarved, isUndecodable, type CallParticipantView, type CallQuality, type Kaiwa } from '../client/index.js';
import type { Size, Tile } from './call-layout.js';
import { chosen } from './call-devices.js';
import { nameOf, pinned, soundBlocked } from './call-state.js';
import { showsPublication } from './call-sizes.js';
import { explain } from './errors.js';
import { t, type Key } from './i18n.js';
import { Avatar, Confirm, Dialog, Icon, IconButton } from './parts.js';
import { callTick, client, levelsTick, showToast } from './state.js';

/** Shows a track and nothing else. */
export function Picture({ track, mirrored = false, source, participant }: { track: MediaStreamTrack; mirrored?: boolean; source: string; participant: string }) {
  const ref = useRef<HTMLVideoElement>(null);
  useLayoutEffect(() => {
    const video = ref.current!;
    video.srcObject = new MediaStream([track]);
    void video.play().catch(() => {});
    return () => {
      video.srcObject = null;
    };
  }, [track]);
  return (
    <video
      ref={ref}
      class={mirrored ? 'mirrored' : ''}
      autoplay
      playsInline
      muted
      disablePictureInPicture={mirrored}
      aria-hidden="true"
      tabIndex={-1}
      data-testid="call-video"
      data-participant={participant}
      data-source={source}
    />
  );
}

export function labelOf({ kind, person }: Tile): string {
  const name = nameOf(person);
  if (kind === 'screen') return person.me ? t('tileScreenYou') : t('tileScreen', { name });
  return person.me ? t('tileYou', { name }) : name;
}

interface TileProps {
  kaiwa: Kaiwa;
  tile: Tile;
  size?: Size;
  /** For where there is no room for words and buttons. */
  small?: boolean;
  onMenu?: (tile: Tile) => void;
}

export function CallTile({ kaiwa, tile, size, small = false, onMenu }: TileProps) {
  levelsTick.value;
  const { person, kind } = tile;
  const ref = useRef<HTMLDivElement>(null);
  const publication = kind === 'screen' ? person.screen : person.camera;
  const id = person.me ? '' : (publication?.publication ?? '');
  useEffect(() => (id === '' ? undefined : showsPublication(ref.current!, id)), [id]);

  const speaking = kind === 'camera' && !person.interrupted && kaiwa.call.speaking(person.participant) && person.microphone?.muted === false;
  const muted = kind === 'camera' && (person.microphone === null || person.microphone.muted);
  const picture = publication && !publication.muted && publication.track ? publication.track : null;
  const slow = useLasting(picture !== null && !person.me && isStarved(publication));
  const undecodable = picture !== null && !person.me && isUndecodable(publication);
  const trouble = person.interrupted ? 'tileInterrupted' : slow ? 'tileSlow' : undecodable ? 'tileCodec' : null;
  const name = labelOf(tile);
  const marks = [muted && t('tileMuted'), trouble && t(trouble)].filter(Boolean);
  return (
    <div
      ref={ref}
      class={`tile ${kind} ${speaking ? 'speaking' : ''} ${small ? 'small' : ''} ${slow ? 'slow' : ''}`}
      style={size ? { width: `${size.width}px`, height: `${size.height}px` } : undefined}
      role="group"
      aria-label={[name, ...marks].join(', ')}
      data-testid="call-tile"
      data-kind={kind}
      data-participant={person.participant}
      data-user={person.user.id}
      data-me={person.me}
      data-muted={muted}
      data-camera={picture !== null}
      data-speaking={speaking}
      data-interrupted={person.interrupted}
      data-slow={slow}
      data-layer={publication?.layer ?? 0}
    >
      <span class="tile-face">{kind === 'camera' ? <Avatar id={person.user.id} name={nameOf(person)} size={small ? 40 : 72} /> : <Icon name="screen" />}</span>
      {picture && <Picture track={picture} mirrored={person.me && kind === 'camera'} source={kind} participant={person.participant} />}
      {trouble && (
        <span class="tile-veil" aria-hidden="true">
          {!small && t(trouble)}
        </span>
      )}
      <span class="tile-foot">
        <span class="tile-name" dir="auto" aria-hidden="true">
          {muted && <Icon name="micOff" />}
          {speaking && <Bars level={kaiwa.call.level(person.participant)} />}
          <span>{name}</span>
        </span>
        {kind === 'camera' && person.quality && !small && <Quality quality={person.quality} />}
      </span>
      {onMenu && !small && (
        <IconButton icon="dots" class="tile-menu" label={t('tileMenu', { name })} onClick={() => onMenu(tile)} testid="tile-menu" />
      )}
    </div>
  );
}

/** Between choosing a layer and its first picture there is none either, which is nothing to speak of. */
const SLOW_AFTER_MS = 1_500;

/** True once something has been for a while. */
function useLasting(is: boolean): boolean {
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    if (!is) return setLasting(false);
    const timer = setTimeout(() => setLasting(true), SLOW_AFTER_MS);
    return () => clearTimeout(timer);
  }, [is]);
  return is && lasting;
}

function Bars({ level }: { level: number }) {
  return (
    <span class="bars" aria-hidden="true">
      {[0.6, 1, 0.75].map((share, i) => (
        <span key={i} style={{ height: `${Math.round(4 + 9 * level * share)}px` }} />
      ))}
    </span>
  );
}

const QUALITIES: Record<CallQuality, Key> = { good: 'qualityGood', fair: 'qualityFair', poor: 'qualityPoor', lost: 'qualityLost' };
const STRENGTH: Record<CallQuality, number> = { good: 3, fair: 2, poor: 1, lost: 0 };

export function Quality({ quality }: { quality: CallQuality }) {
  return (
    <span class={`quality ${quality}`} title={t(QUALITIES[quality])} data-testid="call-quality" data-quality={quality}>
      <svg viewBox="0 0 16 14" width="16" height="14" aria-hidden="true" focusable="false">
        {[0, 1, 2].map((i) => (
          <rect key={i} class={i < STRENGTH[quality] ? 'on' : 'off'} x={1 + i * 5} y={9 - i * 4} width="3.4" height={4 + i * 4} rx="1" />
        ))}
        {quality === 'lost' && <path d="M2 2l10 10" />}
      </svg>
      <span class="visually-hidden">{t(QUALITIES[quality])}</span>
    </span>
  );
}

/** Sound is heard whatever is shown. */
export function CallSound() {
  callTick.value;
  const people = client.value?.call.participants() ?? [];
  const sounds = people.filter((p) => !p.me).flatMap((p) => [p.microphone, p.screenAudio].map((s) => ({ s, p })));
  return (
    <div hidden data-testid="call-sound">
      {sounds.map(({ s, p }) => s?.track && <Sound key={s.publication} track={s.track} person={p} />)}
    </div>
  );
}

function Sound({ track, person }: { track: MediaStreamTrack; person: CallParticipantView }) {
  const ref = useRef<HTMLAudioElement>(null);
  const speaker = chosen.value.speaker;
  const again = soundBlocked.value;
  useLayoutEffect(() => {
    ref.current!.srcObject = new MediaStream([track]);
  }, [track]);
  useEffect(() => {
    if (again) return;
    ref.current!.play().catch((error: Error) => {
      if (error.name === 'NotAllowedError') soundBlocked.value = true;
    });
  }, [track, again]);
  useEffect(() => {
    const audio = ref.current as (HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> }) | null;
    void audio?.setSinkId?.(speaker).catch(() => {});
  }, [speaker]);
  return <audio ref={ref} autoplay data-testid="call-audio" data-participant={person.participant} />;
}

/** What can be done about somebody. */
export function PersonMenu({ kaiwa, tile, onClose }: { kaiwa: Kaiwa; tile: Tile; onClose: () => void }) {
  callTick.value;
  const [removing, setRemoving] = useState(false);
  const person = kaiwa.call.participants().find((p) => p.participant === tile.person.participant);
  const gone = person === undefined;
  useEffect(() => (gone ? onClose() : undefined), [gone]);
  if (!person) return null;
  const name = nameOf(person);
  const act = (work: () => Promise<void>) => {
    onClose();
    work().catch((error: unknown) => showToast(explain(error), 'error'));
  };
  if (removing) {
    return (
      <Confirm
        title={t('tileRemoveSure', { name })}
        text={t('tileRemoveWhat')}
        action={t('removeDo')}
        onConfirm={() => act(() => kaiwa.call.remove(person.participant))}
        onClose={onClose}
      />
    );
  }
  const held = pinned.value === tile.key;
  const moderate = kaiwa.call.rights.moderate && !person.me;
  const mutes = [
    { key: 'tileMute', icon: 'micOff', of: person.microphone, testid: 'mute-other' },
    { key: 'tileStopCamera', icon: 'camOff', of: person.camera, testid: 'stop-camera-other' },
    { key: 'tileStopScreen', icon: 'screenOff', of: person.screen, testid: 'stop-screen-other' },
  ] as const;
  return (
    <Dialog title={labelOf({ ...tile, person })} testid="person-menu" onClose={onClose}>
      <div class="menu">
        <button
          type="button"
          class="menu-item"
          data-testid="pin"
          onClick={() => {
            pinned.value = held ? '' : tile.key;
            onClose();
          }}
        >
          <Icon name="pin" />
          {t(held ? 'tileUnpin' : 'tilePin')}
        </button>
        {moderate &&
          mutes.map(
            ({ key, icon, of, testid }) =>
              of &&
              !of.muted && (
                <button key={key} type="button" class="menu-item" data-testid={testid} onClick={() => act(() => kaiwa.call.muteOther(of.publication))}>
                  <Icon name={icon} />
                  {t(key, { name })}
                </button>
              ),
          )}
        {moderate && (
          <button type="button" class="menu-item danger-text" data-testid="call-remove" onClick={() => setRemoving(true)}>
            <Icon name="hangUp" />
            {t('tileRemove', { name })}
          </button>
        )}
      </div>
    </Dialog>
  );
}
