/** The app's state: who is signed in, the client, where one is. Components read its signals. */
import { computed, signal, type Signal } from '@preact/signals';
import { IndexedDbStore, Kaiwa, KaiwaError, MemoryStore, refreshToken, type CallNotice, type Change, type SignedIn, type Store } from '../client/index.js';
import { showBadge, unmutedUnread } from './badge.js';
import { t } from './i18n.js';
import type { CallInspector } from '../client/inspect.js';
import { beginClips, clips, clipTick, endClips, giveUpClips, pauseClips } from './clip-state.js';
import { EMPTY, setTray } from './clip-tray.js';
import { goTo, keep, kept, openRoom } from './kept.js';
import { beginPush, endPush, wishes } from './push-device.js';

export { goTo, keep, kept, openPage, openRoom } from './kept.js';

// --- kept in the browser ---

/**
 * The token is in localStorage: it has to survive a reload, goes into the first protocol message
 * (which a cookie can't), and every tab signs in by itself. A script of another origin could read it
 * only by running in this page, and the server's content policy allows no script but its own.
 */
const AUTH = 'kaiwa.auth';

function readAuth(): SignedIn | null {
  try {
    const auth = JSON.parse(kept(AUTH) ?? 'null') as SignedIn | null;
    return auth && typeof auth.token === 'string' && typeof auth.user?.id === 'string' ? auth : null;
  } catch {
    return null;
  }
}

function device(): string {
  let id = kept('kaiwa.device');
  if (!id) {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    id = `web-${Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('')}`;
    keep('kaiwa.device', id);
  }
  return id;
}

// --- signals ---

export const auth = signal<SignedIn | null>(readAuth());
/** Signed in before, but the server doesn't take the token any more. */
export const expired = signal<{ name: string; unsent: number } | null>(null);
export const client = signal<Kaiwa | null>(null);
export const online = signal(navigator.onLine);
/** Counts up with each change of its subject; reading one subscribes a component to it. */
export const statusTick = signal(0);
export const roomsTick = signal(0);
const roomTicks = new Map<string, Signal<number>>();

/** One's own call; who speaks in it; rings. */
export const callTick = signal(0);
export const levelsTick = signal(0);
export const ringsTick = signal(0);
/** Told of what is worth telling once about calls. */
export const noticed = new Set<(kaiwa: Kaiwa, notice: CallNotice) => void>();

export function roomTick(room: string): Signal<number> {
  let tick = roomTicks.get(room);
  if (!tick) roomTicks.set(room, (tick = signal(0)));
  return tick;
}

/** For people who listen: the latest message, or what was just done. */
export const spoken = signal('');
/** A message to show for a while. */
export const toast = signal<{ text: string; tone: 'info' | 'error' } | null>(null);

let toastTimer: ReturnType<typeof setTimeout> | undefined;
export function showToast(text: string, tone: 'info' | 'error' = 'info'): void {
  toast.value = { text, tone };
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (toast.value = null), 8_000);
}

// --- connection, in the words of the app ---

export type ConnectionState = 'connected' | 'connecting' | 'reconnecting' | 'offline' | 'stopped';

export const connection = computed<ConnectionState>(() => {
  statusTick.value;
  const status = client.value?.status;
  if (!status || status.kind === 'idle') return 'connecting';
  if (status.kind === 'live') return 'connected';
  if (status.kind === 'stopped') return 'stopped';
  if (!online.value) return 'offline';
  return status.kind === 'connecting' && status.attempt === 0 ? 'connecting' : 'reconnecting';
});

// --- signing in and out ---

export function useAuth(signedIn: SignedIn): void {
  keep(AUTH, JSON.stringify(signedIn));
  expired.value = null;
  auth.value = signedIn;
  begin();
}

const SAY_MS = 3_000;

export async function signOut(): Promise<void> {
  const old = client.value;
  const user = auth.value?.user.id;
  // As long as there is a connection to say it over, and no longer than somebody waits.
  const told = Promise.allSettled([endPush(old), giveUpClips()]);
  await Promise.race([told, new Promise((resolve) => setTimeout(resolve, SAY_MS))]);
  client.value = null;
  auth.value = null;
  keep(AUTH, null);
  await old?.stop();
  if (user) {
    for (const key of keptKeys()) if (key.startsWith(`kaiwa.draft.${user}.`)) keep(key, null);
    await storeOf(user).clear().catch(() => {});
    await endClips(user);
  }
  goTo('');
}

function keptKeys(): string[] {
  try {
    return Object.keys(localStorage);
  } catch {
    return [];
  }
}

const page = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(36)).join('');
const stores = new Map<string, Store>();

function storeOf(user: string): Store {
  let store = stores.get(user);
  if (!store) {
    store = typeof indexedDB === 'undefined' ? new MemoryStore() : new IndexedDbStore({ user, owner: page });
    stores.set(user, store);
  }
  return store;
}

const FRESH_ENOUGH_MS = 60_000;

async function getToken({ fresh }: { fresh: boolean }): Promise<string | null> {
  const now = auth.value;
  if (!now) return null;
  const left = now.expiresMs - Date.now();
  if (!fresh && left > FRESH_ENOUGH_MS) return now.token;
  try {
    const next = await refreshToken(now.token);
    keep(AUTH, JSON.stringify(next));
    auth.value = next;
    return next.token;
  } catch (error) {
    if (!(error instanceof KaiwaError) || error.temporary) throw error;
    // No refresh here (tokens come from elsewhere): what there is may still do.
    return !fresh && left > 0 ? now.token : null;
  }
}

/** Of who is signed in. Its code comes with the first call that is looked at, or that fails. */
export const inspector = async (): Promise<CallInspector> => new (await import('../client/inspect.js')).CallInspector({ getToken });

/** Makes the client for who is signed in. */
export function begin(): void {
  const signedIn = auth.value;
  if (!signedIn) return;
  const codec = new URLSearchParams(location.search).get('codec') === 'json' ? 'json' : 'proto';
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const kaiwa = new Kaiwa({
    url: `${scheme}//${location.host}/ws`,
    me: signedIn.user,
    getToken,
    store: storeOf(signedIn.user.id),
    device: device(),
    codec,
    clockOffsetMs: Number(kept('kaiwa.clock') ?? 0) || 0,
    isVisible: isLooking(),
    reportCall: async (room, sighting) => (await inspector()).report(room, sighting),
  });
  kaiwa.onChange((change) => handleChange(kaiwa, change));
  client.value = kaiwa;
  beginClips(kaiwa, getToken);
  void kaiwa.start();
}

function handleChange(kaiwa: Kaiwa, change: Change): void {
  if (client.value !== kaiwa) return;
  switch (change.kind) {
    case 'status': {
      statusTick.value++;
      const { status } = kaiwa;
      if (status.kind === 'live') {
        keep('kaiwa.clock', String(Math.round(kaiwa.clockOffsetMs)));
        void beginPush(kaiwa);
        clips.value?.uploads.wake();
      }
      if (status.kind === 'stopped' && status.reason === 'unauthorized') expire(kaiwa);
      return;
    }
    case 'rooms':
      roomsTick.value++;
      // What the list doesn't know yet isn't read.
      if (!kaiwa.listed) return;
      leaveUploads(kaiwa);
      showBadge(unmutedUnread(kaiwa.rooms(), wishes.value, Date.now()));
      return;
    case 'room':
      roomTick(change.room).value++;
      return;
    case 'clip_progress':
      clipTick.value++;
      return;
    case 'gone':
      roomTick(change.room).value++;
      setTray(change.room, EMPTY);
      return;
    case 'call':
      callTick.value++;
      return;
    case 'call_levels':
      levelsTick.value++;
      return;
    case 'call_rings':
      ringsTick.value++;
      return;
    case 'call_in':
      roomsTick.value++;
      return;
    case 'call_notice':
      for (const listener of noticed) listener(kaiwa, change.notice);
      return;
    case 'message': {
      const { room, message } = change;
      if (room === openRoom.value) {
        spoken.value = t('saysLive', { name: kaiwa.nameOf(message.sender), text: message.text || t('clips') });
      }
    }
  }
}

/** One may have left a room while this page was closed: its uploads, kept here, could be seen nowhere. */
function leaveUploads(kaiwa: Kaiwa): void {
  const rooms = new Set(clips.value?.uploads.list().map((upload) => upload.room));
  for (const room of rooms) if (kaiwa.room(room)?.info.membership !== 'joined') clips.value?.uploads.handleRoomGone(room);
}

/** Somebody has the app before their eyes: in sight is not enough, the window may lie beside the one that is worked in. */
export const isLooking = (): boolean => document.visibilityState === 'visible' && document.hasFocus();

function expire(kaiwa: Kaiwa): void {
  const name = kaiwa.me.name || kaiwa.me.id;
  expired.value = { name, unsent: kaiwa.unsent };
  client.value = null;
  auth.value = null;
  keep(AUTH, null);
  void kaiwa.stop();
  void pauseClips();
}

// --- the browser's own events ---

export function listen(): void {
  window.addEventListener('online', () => {
    online.value = true;
    client.value?.wake();
    clips.value?.uploads.wake();
    client.value?.call.networkChanged();
  });
  window.addEventListener('offline', () => (online.value = false));
  const look = () => client.value?.setVisible(isLooking());
  window.addEventListener('focus', look);
  window.addEventListener('blur', look);
  document.addEventListener('visibilitychange', () => {
    look();
    if (document.visibilityState === 'visible') client.value?.wake();
    else void client.value?.flush();
  });
  window.addEventListener('pagehide', () => {
    // Said while it still can be: otherwise others would wait for somebody who has closed the page.
    void client.value?.call.leave();
    void client.value?.flush();
  });
  window.addEventListener('storage', ({ key }) => {
    // Another tab signed out, or in as somebody else.
    if (key !== AUTH) return;
    const next = readAuth();
    if (next?.user.id === auth.value?.user.id) auth.value = next;
    else location.reload();
  });
}
