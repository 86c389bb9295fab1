import { useEffect, useRef, useState } from 'preact/hooks';
import type { Kaiwa, RoomView } from '../client/index.js';
import { choose, chosen, DeviceProblem, devices, listDevices, meter, openDevice, watchDevices, type DeviceKind } from './call-devices.js';
import { callRoom, joinCall, preparing } from './call-state.js';
import { t, type Key } from './i18n.js';
import { Dialog, Icon, Problem } from './parts.js';
import { titleOf } from './room-list.js';
import { roomsTick } from './state.js';

/** A device that is being tried out. Whoever takes it over stops it. */
interface Trial {
  track: MediaStreamTrack | null;
  problem: Key | null;
  opening: boolean;
}

const NOTHING: Trial = { track: null, problem: null, opening: false };

interface Trying extends Trial {
  /** Until it is known whether there is a track. */
  opened: () => Promise<void>;
  /** Hands the track over. */
  give: () => MediaStreamTrack | null;
  again: () => void;
}

/** Opens a device as long as it is wanted. */
function useTrial(kind: DeviceKind, wanted: boolean, id: string): Trying {
  const [trial, setTrial] = useState<Trial>(NOTHING);
  const [attempt, setAttempt] = useState(0);
  const held = useRef<MediaStreamTrack | null>(null);
  const opened = useRef<Promise<void>>(Promise.resolve());
  useEffect(() => {
    if (!wanted) return setTrial(NOTHING);
    let over = false;
    let settle = () => {};
    opened.current = new Promise((done) => (settle = done));
    setTrial({ ...NOTHING, opening: true });
    openDevice(kind)
      .then(
        (track) => {
          if (over) return track.stop();
          held.current = track;
          track.onended = () => setTrial(NOTHING);
          setTrial({ track, problem: null, opening: false });
          void listDevices();
        },
        (error: unknown) => over || setTrial({ ...NOTHING, problem: problemOf(error) }),
      )
      .finally(settle);
    return () => {
      over = true;
      settle();
      held.current?.stop();
      held.current = null;
    };
  }, [kind, wanted, id, attempt]);
  const give = () => {
    const track = held.current;
    held.current = null;
    return track;
  };
  return { ...trial, opened: () => opened.current, give, again: () => setAttempt(attempt + 1) };
}

const problemOf = (error: unknown): Key => (error instanceof DeviceProblem ? error.key : 'errServer');

/** One sentence for what is one problem. */
function problemText(camera: Key | null, microphone: Key | null): string | null {
  if (camera === 'devDeniedCam' && microphone === 'devDeniedMic') return t('devDeniedBoth');
  if (camera === 'devNoneCam' && microphone === 'devNoneMic') return t('devNoneBoth');
  const keys = [...new Set([camera, microphone])].filter((key) => key !== null);
  return keys.map((key) => t(key)).join(' ') || null;
}

function joinWithout(camera: Key | null, microphone: Key | null): Key {
  if (camera && microphone) return 'preJoinNeither';
  return camera ? 'preJoinNoCam' : 'preJoinNoMic';
}

/** Before joining: how one looks and sounds, and with what. */
export function Prejoin({ kaiwa, room }: { kaiwa: Kaiwa; room: RoomView }) {
  roomsTick.value;
  const id = room.info.room;
  const { cameraOn, microphoneOn, camera: cameraId, microphone: microphoneId } = chosen.value;
  const camera = useTrial('camera', cameraOn, cameraId);
  const microphone = useTrial('microphone', microphoneOn, microphoneId);
  const [joining, setJoining] = useState(false);
  useEffect(watchDevices, []);
  const close = () => (preparing.value = '');
  const { count } = kaiwa.callIn(id);
  const rings = room.info.kind === 'direct' && count === 0;
  const label = rings ? t('callPerson', { name: titleOf(kaiwa, room) }) : t(count > 0 ? 'callJoin' : 'callStart');
  const other = callRoom.value !== '' && callRoom.value !== id ? kaiwa.room(callRoom.value) : null;
  const problem = problemText(camera.problem, microphone.problem);
  const joinButton = useRef<HTMLButtonElement>(null);
  const again = () => {
    // The button that was pressed goes, and the focus would go with it.
    joinButton.current?.focus();
    for (const trial of [camera, microphone]) if (trial.problem) trial.again();
  };
  const join = async () => {
    if (joining) return;
    setJoining(true);
    // A device that is still being opened was wanted all the same.
    await Promise.all([microphone.opened(), camera.opened()]);
    if (preparing.value !== id) return;
    const tracks = { microphone: microphone.give(), camera: camera.give() };
    close();
    await joinCall(kaiwa, id, { ...tracks, ring: rings });
  };
  return (
    <Dialog title={t('preTitle')} testid="prejoin" onClose={close}>
      <div class="prejoin">
        <Preview trial={camera} wanted={cameraOn} />
        <div class="prejoin-toggles">
          <Toggle kind="microphone" on={microphoneOn && !microphone.problem} onChange={(on) => (microphone.problem ? microphone.again() : choose({ microphoneOn: on }))} />
          <LevelMeter track={microphone.track} />
          <Toggle kind="camera" on={cameraOn && !camera.problem} onChange={(on) => (camera.problem ? camera.again() : choose({ cameraOn: on }))} />
        </div>
        <Problem text={problem} testid="prejoin-problem">
          <button type="button" class="button small" onClick={again} data-testid="prejoin-again">
            {t('preAgain')}
          </button>
        </Problem>
        <div class="prejoin-devices">
          <DeviceSelect kind="camera" onChange={(next) => choose({ camera: next })} />
          <DeviceSelect kind="microphone" onChange={(next) => choose({ microphone: next })} />
          {devices.value.speakers.length > 0 && <SpeakerSelect />}
        </div>
        {other && <p class="note">{t('callSwitch', { title: titleOf(kaiwa, other) })}</p>}
        <p class="quiet-text">{count > 0 ? t('callGoingOn', { count }) : ''}</p>
        <div class="dialog-actions">
          <button type="button" class="button quiet" onClick={close} data-testid="prejoin-cancel">
            {t('cancel')}
          </button>
          <button ref={joinButton} type="button" class="button primary" autofocus disabled={joining} onClick={() => void join()} data-testid="prejoin-join">
            <Icon name="phone" />
            {problem ? t(joinWithout(camera.problem, microphone.problem)) : label}
          </button>
        </div>
      </div>
    </Dialog>
  );
}

function Preview({ trial, wanted }: { trial: Trial; wanted: boolean }) {
  const ref = useRef<HTMLVideoElement>(null);
  const { track } = trial;
  useEffect(() => {
    if (ref.current) ref.current.srcObject = track ? new MediaStream([track]) : null;
  }, [track]);
  return (
    <div class="preview" data-testid="preview" data-on={track !== null}>
      {track ? (
        <video ref={ref} class="mirrored" autoplay playsInline muted aria-hidden="true" tabIndex={-1} />
      ) : (
        <p>
          <Icon name="camOff" />
          {t(trial.problem ? 'preCameraProblem' : wanted && trial.opening ? 'preStarting' : 'preCameraOff')}
        </p>
      )}
    </div>
  );
}

function Toggle({ kind, on, onChange }: { kind: DeviceKind; on: boolean; onChange: (on: boolean) => void }) {
  const mic = kind === 'microphone';
  return (
    <button
      type="button"
      class={`control ${on ? '' : 'off'}`}
      role="switch"
      aria-checked={on}
      aria-label={t(mic ? 'preMicrophone' : 'preCamera')}
      title={t(mic ? (on ? 'micOn' : 'micOff') : on ? 'camOn' : 'camOff')}
      onClick={() => onChange(!on)}
      data-testid={`prejoin-${kind}`}
    >
      <Icon name={mic ? (on ? 'mic' : 'micOff') : on ? 'cam' : 'camOff'} />
    </button>
  );
}

/** Written past the rendering: it changes with every frame. */
function LevelMeter({ track }: { track: MediaStreamTrack | null }) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const show = (level: number) => {
      ref.current?.style.setProperty('--level', level.toFixed(3));
      ref.current?.setAttribute('aria-valuenow', String(Math.round(level * 100)));
    };
    show(0);
    return track ? meter(track, show) : undefined;
  }, [track]);
  return <div ref={ref} class="level" role="meter" aria-label={t('preLevel')} aria-valuemin={0} aria-valuemax={100} aria-valuenow={0} data-testid="level" />;
}

export function DeviceSelect({ kind, onChange }: { kind: DeviceKind; onChange: (id: string) => void }) {
  const list = kind === 'camera' ? devices.value.cameras : devices.value.microphones;
  return <Select label={t(kind === 'camera' ? 'preCamera' : 'preMicrophone')} list={list} value={chosen.value[kind]} onChange={onChange} testid={`select-${kind}`} />;
}

export function SpeakerSelect() {
  return <Select label={t('preSpeaker')} list={devices.value.speakers} value={chosen.value.speaker} onChange={(speaker) => choose({ speaker })} testid="select-speaker" />;
}

interface SelectProps {
  label: string;
  list: MediaDeviceInfo[];
  value: string;
  onChange: (id: string) => void;
  testid: string;
}

function Select({ label, list, value, onChange, testid }: SelectProps) {
  const known = list.some((d) => d.deviceId === value);
  return (
    <label class="field">
      <span class="field-label">{label}</span>
      <select class="select" value={known ? value : ''} onChange={(e) => onChange(e.currentTarget.value)} data-testid={testid}>
        <option value="">{list.length === 0 ? t('preNoDevices') : t('preDefault')}</option>
        {list.map((d, i) => (
          <option key={d.deviceId} value={d.deviceId}>
            {d.label || `${label} ${i + 1}`}
          </option>
        ))}
      </select>
    </label>
  );
}
