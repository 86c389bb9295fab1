/** What there is of calls outside the call's own view: the button, the dock, rings, how it ended. */
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { CallEndReason, CallRing, Kaiwa, RoomView } from '../client/index.js';
import { chosen } from './call-devices.js';
import { answerCall, callInView, callRoom, callStatus, chatShown, isOn, leaveCall, narrow, preparing, toggleMicrophone } from './call-state.js';
import { startRinging } from './call-sound.js';
import { HealthLayer, inspecting } from './call-health.js';
import { DockTile } from './call-view.js';
import { useWhy } from './call-why.js';
import { Prejoin } from './call-prejoin.js';
import { CallSound } from './call-tile.js';
import { explain } from './errors.js';
import { t, type Key } from './i18n.js';
import { Avatar, Dialog, Icon, IconButton } from './parts.js';
import { titleOf } from './room-list.js';
import { callTick, goTo, ringsTick, roomsTick, showToast } from './state.js';

/** In a room's header. */
export function CallButton({ kaiwa, room }: { kaiwa: Kaiwa; room: RoomView }) {
  callTick.value;
  roomsTick.value;
  const id = room.info.room;
  if (!kaiwa.call.supported || callRoom.value === id) return null;
  const { count } = kaiwa.callIn(id);
  const start = () => (preparing.value = id);
  if (count === 0) {
    const label = room.info.kind === 'direct' ? t('callPerson', { name: titleOf(kaiwa, room) }) : t('callStart');
    return <IconButton icon="phone" label={label} onClick={start} testid="call-button" data-count="0" />;
  }
  return (
    <button type="button" class="button small call-join" title={t('callGoingOn', { count })} onClick={start} data-testid="call-button" data-count={count}>
      <Icon name="phone" />
      <span>{t('join')}</span>
      <span class="call-count">{count}</span>
      <span class="visually-hidden">{t('callJoinCount')}</span>
    </button>
  );
}

/** Everything of calls that is independent of where one is. */
export function CallLayer({ kaiwa }: { kaiwa: Kaiwa }) {
  const prepared = preparing.value === '' ? null : kaiwa.room(preparing.value);
  const inCall = callRoom.value !== '';
  return (
    <>
      {inCall && <CallSound />}
      {inCall && <Dock kaiwa={kaiwa} />}
      {prepared && <Prejoin key={prepared.info.room} kaiwa={kaiwa} room={prepared} />}
      <Ended kaiwa={kaiwa} />
      <Rings kaiwa={kaiwa} />
      <HealthLayer kaiwa={kaiwa} />
    </>
  );
}

const DOCK = { width: 208, height: 117 };

/** The call goes on while one reads elsewhere. */
function Dock({ kaiwa }: { kaiwa: Kaiwa }) {
  callTick.value;
  roomsTick.value;
  const id = callRoom.value;
  const room = kaiwa.room(id);
  if (callInView.value || !room) return null;
  const title = titleOf(kaiwa, room);
  const mic = isOn('microphone');
  const back = () => {
    if (narrow.value) chatShown.value = false;
    goTo(id);
  };
  return (
    <aside class="dock" aria-label={t('callTitle', { title })} data-testid="call-dock" data-status={callStatus.value.kind}>
      <div class="dock-tile">
        <DockTile kaiwa={kaiwa} size={DOCK} />
        <button type="button" class="cover" aria-label={t('callBack')} title={t('callBack')} onClick={back} data-testid="dock-open" />
      </div>
      <div class="dock-bar">
        <span class="dock-title" dir="auto">
          {callStatus.value.kind === 'reconnecting' ? t('reconnecting') : title}
        </span>
        <IconButton icon={mic ? 'mic' : 'micOff'} class={mic ? '' : 'off'} label={t(mic ? 'micOn' : 'micOff')} onClick={() => void toggleMicrophone()} testid="dock-mic" />
        <IconButton icon="hangUp" class="end" label={t('callLeave')} onClick={leaveCall} testid="dock-leave" />
      </div>
    </aside>
  );
}

const ENDS: Partial<Record<CallEndReason, Key>> = {
  removed: 'endRemoved',
  not_a_member: 'endNotMember',
  failed: 'endFailed',
  timed_out: 'endTimedOut',
  server: 'endServer',
  replaced: 'endReplaced',
};

/** Says why a call is over that somebody didn't leave. */
function Ended({ kaiwa }: { kaiwa: Kaiwa }) {
  const status = callStatus.value;
  const why = useWhy(status.kind === 'ended' ? status.cause : null);
  if (status.kind !== 'ended') return null;
  const key = ENDS[status.reason];
  // Refused joins are told by who asked for them; what remains is a rejoin that was refused.
  const text = key ? t(key) : status.error ? explain(status.error) : t('endServer');
  const room = kaiwa.room(status.room);
  const again = status.reason !== 'not_a_member' && room !== null;
  const close = () => kaiwa.call.dismiss();
  return (
    <Dialog title={room ? t('endTitleIn', { title: titleOf(kaiwa, room) }) : t('endTitle')} testid="call-ended" onClose={close}>
      <div class="dialog-text" role="status" data-reason={status.reason} data-cause={status.cause?.kind}>
        {why ? (
          <>
            <p>{why.text}</p>
            <p>{why.remedy}</p>
          </>
        ) : (
          <p>{text}</p>
        )}
      </div>
      <div class="dialog-actions">
        {status.reason === 'failed' && room && (
          <button
            type="button"
            class="button quiet"
            data-testid="call-ended-health"
            onClick={() => {
              close();
              inspecting.value = status.room;
            }}
          >
            {t('callHealth')}
          </button>
        )}
        <button type="button" class="button quiet" onClick={close} data-testid="call-ended-ok">
          {t('close')}
        </button>
        {again && (
          <button
            type="button"
            class="button primary"
            data-testid="call-again"
            onClick={() => {
              close();
              goTo(status.room);
              preparing.value = status.room;
            }}
          >
            {t('endAgain')}
          </button>
        )}
      </div>
    </Dialog>
  );
}

function Rings({ kaiwa }: { kaiwa: Kaiwa }) {
  ringsTick.value;
  const ring = kaiwa.call.rings()[0];
  return ring ? <RingDialog key={ring.room} kaiwa={kaiwa} ring={ring} /> : null;
}

function RingDialog({ kaiwa, ring }: { kaiwa: Kaiwa; ring: CallRing }) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement as HTMLElement | null;
    dialog?.showModal();
    return () => {
      dialog?.close();
      before?.focus();
    };
  }, []);
  useEffect(startRinging, []);
  const { room, from } = ring;
  const name = from.name || kaiwa.nameOf(from.id);
  const info = kaiwa.room(room);
  const decline = () => {
    kaiwa.call.decline(room).catch((error: unknown) => showToast(explain(error), 'error'));
  };
  const { cameraOn, microphoneOn } = chosen.value;
  return (
    <dialog
      ref={ref}
      class="dialog ring"
      aria-labelledby="ring-title"
      data-testid="ring"
      data-room={room}
      onCancel={(e) => {
        e.preventDefault();
        decline();
      }}
    >
      <div class="ring-body">
        <span class="ring-face">
          <Avatar id={from.id} name={name} size={84} />
        </span>
        <h2 id="ring-title">{t('ringTitle', { name })}</h2>
        {info && info.info.kind !== 'direct' && <p class="quiet-text">{t('ringIn', { title: titleOf(kaiwa, info) })}</p>}
        <div class="ring-actions">
          <button type="button" class="button large danger" onClick={decline} data-testid="ring-decline">
            <Icon name="hangUp" />
            {t('ringDecline')}
          </button>
          <button
            type="button"
            class="button large accept"
            autofocus
            onClick={() => void answerCall(kaiwa, room, { microphone: microphoneOn, camera: cameraOn })}
            data-testid="ring-accept"
          >
            <Icon name="phone" />
            {t('ringAccept')}
          </button>
        </div>
      </div>
    </dialog>
  );
}
