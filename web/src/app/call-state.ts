/** The app's part of a call: one's own devices in it, what the buttons do, what is told. */
import { computed, effect, signal } from '@preact/signals';
import type { CallNotice, CallParticipantView, CallStatus, Kaiwa } from '../client/index.js';
import { choose, openDevice, openScreen, type DeviceKind } from './call-devices.js';
import { explain } from './errors.js';
import { t } from './i18n.js';
import { callTick, client, goTo, keep, kept, noticed, openRoom, showToast, spoken } from './state.js';

// --- what is shown ---

/** The room whose call somebody is about to join; empty: none. */
export const preparing = signal('');
/** The speaker large, or everybody alike. */
export const speakerLayout = signal(kept('kaiwa.call.layout') === 'speaker');
/** The key of a tile that stays large. */
export const pinned = signal('');
/** The chat beside the call, where it is narrow in its place. */
export const chatShown = signal(matchMedia('(min-width: 1200px)').matches);
export const wholeWindow = signal(false);
/** Beside the list of rooms (340 px) and the chat (at least 280), the call's controls need 540. */
const narrowMedia = matchMedia('(max-width: 1139px)');
/** No room for both: call and chat take turns. */
export const narrow = signal(narrowMedia.matches);
narrowMedia.addEventListener('change', () => (narrow.value = narrowMedia.matches));
export const soundBlocked = signal(false);
/** Something is being opened: the button waits. */
export const busy = signal<ReadonlySet<string>>(new Set());

const IDLE: CallStatus = { kind: 'idle' };

export const callStatus = computed<CallStatus>(() => {
  callTick.value;
  return client.value?.call.status ?? IDLE;
});

/** The room whose call one is in; empty: none. */
export const callRoom = computed(() => {
  const status = callStatus.value;
  return status.kind === 'idle' || status.kind === 'ended' ? '' : status.room;
});

export function setSpeakerLayout(on: boolean): void {
  speakerLayout.value = on;
  pinned.value = '';
  keep('kaiwa.call.layout', on ? 'speaker' : null);
}

export const nameOf = ({ user }: Pick<CallParticipantView, 'user'>): string => user.name || client.value?.nameOf(user.id) || user.id;

// --- one's own tracks ---

/** What this app has opened for the call, to be stopped by it. */
const own = new Set<MediaStreamTrack>();

function stop(track: MediaStreamTrack | null | undefined): void {
  if (!track) return;
  track.onended = null;
  track.stop();
  own.delete(track);
}

const SOURCES = ['microphone', 'camera', 'screen', 'screen_audio'] as const;

// What the call doesn't use any more, because it is over or by a moderator's doing, is turned off, the lights with it.
effect(() => {
  callTick.value;
  const call = client.peek()?.call;
  const used = new Set(SOURCES.map((source) => call?.local(source)?.track));
  for (const track of own) if (!used.has(track)) stop(track);
});

// A call begins in view.
effect(() => {
  const room = callRoom.value;
  if (narrow.peek() && room !== '') chatShown.value = false;
  pinned.value = '';
  wholeWindow.value = false;
  soundBlocked.value = false;
});

let wakeLock: WakeLockSentinel | null = null;

/** A phone that lies on the table shall not go dark in the middle of a conversation. */
async function stayAwake(): Promise<void> {
  if (callRoom.value === '') {
    void wakeLock?.release().catch(() => {});
    wakeLock = null;
  } else if (document.visibilityState === 'visible' && (wakeLock?.released ?? true)) {
    // The browser takes it back whenever the page is hidden.
    wakeLock = (await navigator.wakeLock?.request('screen').catch(() => null)) ?? null;
    if (callRoom.value === '') await stayAwake();
  }
}

callRoom.subscribe(() => void stayAwake());
document.addEventListener('visibilitychange', () => void stayAwake());

function adopt(source: DeviceKind, track: MediaStreamTrack): MediaStreamTrack {
  own.add(track);
  track.onended = () => {
    stop(track);
    const call = client.value?.call;
    if (call?.local(source)?.track !== track) return;
    call.unpublish(source);
    showToast(t(source === 'camera' ? 'noticeCamLost' : 'noticeMicLost'), 'error');
  };
  return track;
}

// --- joining and leaving ---

export interface Prepared {
  microphone: MediaStreamTrack | null;
  camera: MediaStreamTrack | null;
  /** Call the others, too. */
  ring?: boolean;
}

/** With tracks that this takes over. Problems are told. */
export async function joinCall(kaiwa: Kaiwa, room: string, { microphone, camera, ring = false }: Prepared): Promise<void> {
  // Before the tracks are this call's: the other's end turns off what it used.
  if (kaiwa.call.room !== room) await kaiwa.call.leave();
  if (microphone) adopt('microphone', microphone);
  if (camera) adopt('camera', camera);
  const alone = kaiwa.callIn(room).count === 0;
  try {
    await kaiwa.call.join(room, { microphone, camera });
    if (ring && alone) await kaiwa.call.ring();
  } catch (error) {
    kaiwa.call.dismiss();
    showToast(explain(error), 'error');
  }
}

/** Answers a ring with what was on the last time; what can't be opened is left out, and told. */
export async function answerCall(kaiwa: Kaiwa, room: string, wanted: { microphone: boolean; camera: boolean }): Promise<void> {
  goTo(room);
  const open = async (kind: DeviceKind) => {
    if (!wanted[kind]) return null;
    try {
      return await openDevice(kind);
    } catch (error) {
      showToast(explain(error), 'error');
      return null;
    }
  };
  const [microphone, camera] = await Promise.all([open('microphone'), open('camera')]);
  await joinCall(kaiwa, room, { microphone, camera });
}

export function leaveCall(): void {
  void client.value?.call.leave();
}

// --- buttons ---

async function once(name: string, work: () => Promise<void>): Promise<void> {
  if (busy.value.has(name)) return;
  busy.value = new Set([...busy.value, name]);
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Error && error.name === 'KaiwaError' && callRoom.value === '')) showToast(explain(error), 'error');
  } finally {
    busy.value = new Set([...busy.value].filter((n) => n !== name));
  }
}

export const isOn = (source: DeviceKind): boolean => {
  callTick.value;
  const local = client.value?.call.local(source);
  return local != null && local.track !== null && !local.muted;
};

export function toggleMicrophone(): Promise<void> {
  return once('microphone', async () => {
    const call = client.value?.call;
    const local = call?.local('microphone');
    const on = !isOn('microphone');
    if (local?.track) call?.mute('microphone', !on);
    else await publish('microphone');
    choose({ microphoneOn: on });
  });
}

export function toggleCamera(): Promise<void> {
  return once('camera', async () => {
    const call = client.value?.call;
    if (isOn('camera')) {
      const track = call?.local('camera')?.track;
      call?.mute('camera', true);
      stop(track);
      choose({ cameraOn: false });
    } else {
      await publish('camera');
      choose({ cameraOn: true });
    }
  });
}

/** Takes another device into use, if one of its kind is. */
export function changeDevice(kind: DeviceKind, id: string): Promise<void> {
  choose({ [kind]: id });
  if (!isOn(kind)) {
    // A muted microphone is opened afresh when it is unmuted.
    const local = client.value?.call.local(kind);
    if (kind === 'microphone' && local?.track) client.value?.call.unpublish(kind), stop(local.track);
    return Promise.resolve();
  }
  return once(kind, () => publish(kind));
}

async function publish(kind: DeviceKind): Promise<void> {
  const call = client.value?.call;
  const before = call?.local(kind)?.track;
  const track = adopt(kind, await openDevice(kind));
  // The call may have ended while the browser asked.
  if (!call || callRoom.value === '') return stop(track);
  try {
    await call.publish(kind, track);
  } catch (error) {
    stop(track);
    throw error;
  } finally {
    if (before !== track) stop(before);
  }
}

export function toggleScreen(): Promise<void> {
  return once('screen', async () => {
    const call = client.value?.call;
    if (!call) return;
    if (call.local('screen')) return stopScreen();
    const screen = await openScreen();
    if (!screen) return;
    const { picture, sound } = screen;
    if (callRoom.value === '') return [picture, sound].forEach(stop);
    own.add(picture);
    if (sound) own.add(sound);
    // The browser has a button of its own for this.
    picture.onended = stopScreen;
    try {
      await Promise.all([call.publish('screen', picture), sound ? call.publish('screen_audio', sound) : null]);
    } catch (error) {
      stopScreen();
      throw error;
    }
  });
}

function stopScreen(): void {
  const call = client.value?.call;
  for (const source of ['screen', 'screen_audio'] as const) {
    stop(call?.local(source)?.track);
    call?.unpublish(source);
  }
}

// --- what is told ---

noticed.add((kaiwa: Kaiwa, notice: CallNotice) => {
  const name = 'user' in notice && notice.user ? notice.user.name || kaiwa.nameOf(notice.user.id) : '';
  switch (notice.kind) {
    case 'joined':
      spoken.value = t('noticeJoined', { name });
      return;
    case 'gone':
      spoken.value = t('noticeLeft', { name });
      return;
    case 'muted': {
      if (notice.source === 'screen' || notice.source === 'screen_audio') stopScreen();
      const key = notice.source === 'camera' ? 'noticeCameraStopped' : notice.source === 'microphone' ? 'noticeMuted' : 'noticeScreenStopped';
      return showToast(t(key));
    }
    case 'ring': {
      const who = name || ringee(kaiwa);
      if (notice.outcome === 'declined') showToast(t('ringDeclined', { name: who }));
      else if (notice.outcome === 'timed_out') showToast(t('ringTimedOut', { name: who }));
      return;
    }
    case 'failed':
      return showToast(explain(notice.error), 'error');
  }
});

/** Who is meant by a ring that names nobody: the other one of a direct room. */
export function ringee(kaiwa: Kaiwa): string {
  const room = kaiwa.room(kaiwa.call.room);
  return room?.info.peer ? room.info.peer.name || kaiwa.nameOf(room.info.peer.id) : '';
}

/** What the open room shows. */
export const roomLayout = computed<'chat' | 'call' | 'both'>(() => {
  if (callRoom.value === '' || callRoom.value !== openRoom.value) return 'chat';
  if (!chatShown.value) return 'call';
  return narrow.value ? 'chat' : 'both';
});

/** Where it isn't in view, the call goes on in the dock. */
export const callInView = computed(() => roomLayout.value !== 'chat');
