/**
 * This browser as a device that is told of what happens: permission, subscription, registration. The service worker
 * (src/sw) shows what comes; the page tells it who is signed in, and does what only a page with a connection can.
 */
import { computed, signal } from '@preact/signals';
import { KaiwaError, type Kaiwa, type NotifySettings } from '../client/index.js';
import { updateState } from '../sw/push-store.js';
import type { ToPage } from '../sw/push.js';
import { lang, t } from './i18n.js';
import { goTo, keep, kept } from './kept.js';

/** `off` may be turned on; the others say why not. */
export type DeviceState = 'unknown' | 'unsupported' | 'insecure' | 'blocked' | 'server_off' | 'denied' | 'off' | 'turning_on' | 'on';

const DEVICE = 'kaiwa.push.device';
const WANTED = 'kaiwa.push.on';
const LATER = 'kaiwa.push.later';

/** The server pushes to browsers, as far as is known. */
const vapidKey = signal<Uint8Array | null>(null);
const permission = signal<NotificationPermission>(typeof Notification === 'undefined' ? 'denied' : Notification.permission);
const registered = signal(false);
const busy = signal(false);
/** The browser takes no service worker: it keeps nothing for this site, or does not trust its certificate. */
const blocked = signal(false);
/** Somebody said “not now”: they aren't asked again, and find it in the settings. */
const saidLater = signal(kept(LATER) !== null);
/** What is wished for all devices; null until it was read. */
export const wishes = signal<NotifySettings | null>(null);

export const deviceState = computed<DeviceState>(() => {
  // First what nobody can mend here.
  if (vapidKey.value?.length === 0) return 'server_off';
  if (!isSecureContext) return 'insecure';
  if (!('serviceWorker' in navigator) || !('PushManager' in window) || typeof Notification === 'undefined') return 'unsupported';
  if (blocked.value) return 'blocked';
  if (permission.value === 'denied') return 'denied';
  if (vapidKey.value === null) return 'unknown';
  if (busy.value) return 'turning_on';
  return registered.value && permission.value === 'granted' ? 'on' : 'off';
});

/** Whether to offer it: it can be had, and nobody has said anything to it yet. */
export const mayOffer = computed(() => deviceState.value === 'off' && !saidLater.value);

export function notNow(): void {
  saidLater.value = true;
  keep(LATER, '1');
}

/** Chosen once for this installation, and kept. */
export function pushDeviceId(): string {
  let id = kept(DEVICE);
  if (!id) {
    id = lastId ??= uuid4();
    keep(DEVICE, id);
  }
  return id;
}

/** For as long as the page, where nothing can be kept. */
let lastId: string | null = null;

/** `crypto.randomUUID` is for secure contexts alone, and this is asked elsewhere too. */
function uuid4(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** At the page's start: the worker keeps the app's files, and shows what is pushed. */
export function startWorker(): void {
  navigator.serviceWorker?.register('/sw.js', { updateViaCache: 'none' }).catch((error: unknown) => {
    // A TypeError is a script that could not be fetched: the next start may.
    if (error instanceof DOMException) blocked.value = true;
  });
}

/** At each start, when there is a connection: tells the worker whose this browser is, and the server where it is. */
export async function beginPush(kaiwa: Kaiwa): Promise<void> {
  tellWorker(kaiwa.me.id);
  try {
    vapidKey.value = (await kaiwa.notifications.pushInfo()).vapidKey;
    wishes.value = await kaiwa.notifications.settings();
  } catch (error) {
    // A server without notifications has none to offer. What failed for now is asked at the next connection.
    if (error instanceof KaiwaError && !error.temporary) vapidKey.value = new Uint8Array();
    return;
  }
  if (typeof Notification !== 'undefined') permission.value = Notification.permission;
  const wanted = kept(WANTED);
  if (wanted !== null && wanted !== kaiwa.me.id) {
    // Somebody else's sign-in ran out here: what comes for them must not go on coming to this browser.
    keep(WANTED, null);
    await unsubscribe().catch(() => false);
  }
  if (registered.value || wanted !== kaiwa.me.id || permission.value !== 'granted' || vapidKey.value.length === 0) return;
  await register(kaiwa).catch(() => {});
}

/** From a click: browsers ask for permission only then. */
export async function turnOn(kaiwa: Kaiwa): Promise<void> {
  permission.value = await Notification.requestPermission();
  if (permission.value !== 'granted') return;
  busy.value = true;
  try {
    await register(kaiwa);
    keep(WANTED, kaiwa.me.id);
  } finally {
    busy.value = false;
  }
}

export async function turnOff(kaiwa: Kaiwa): Promise<void> {
  keep(WANTED, null);
  notNow();
  registered.value = false;
  // The subscription first: without it nothing reaches this browser, whatever the server still believes.
  await unsubscribe();
  await kaiwa.notifications.removeDevice(pushDeviceId());
}

/** Somebody signs out: what comes for them from now on is not for whoever comes next. */
export async function endPush(kaiwa: Kaiwa | null): Promise<void> {
  tellWorker(null);
  registered.value = false;
  wishes.value = null;
  vapidKey.value = null;
  keep(WANTED, null);
  await navigator.clearAppBadge?.().catch(() => {});
  const worker = await navigator.serviceWorker?.getRegistration();
  for (const shown of (await worker?.getNotifications()) ?? []) shown.close();
  const had = await unsubscribe().catch(() => false);
  // The server hears it if there is a connection; if not, the push service tells it that the subscription has ended.
  if (had && kaiwa) await kaiwa.notifications.removeDevice(pushDeviceId()).catch(() => {});
}

async function register(kaiwa: Kaiwa): Promise<void> {
  const key = vapidKey.value!;
  const worker = await navigator.serviceWorker.ready;
  let subscription = await worker.pushManager.getSubscription();
  if (subscription && !isOf(subscription, key)) {
    // The server has another key now: what it sends would be refused.
    await subscription.unsubscribe();
    subscription = null;
  }
  subscription ??= await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key as Uint8Array<ArrayBuffer> });
  const [p256dh, auth] = [subscription.getKey('p256dh'), subscription.getKey('auth')];
  if (!p256dh || !auth) throw new TypeError('a subscription without keys');
  const address = { endpoint: subscription.endpoint, p256dh: new Uint8Array(p256dh), auth: new Uint8Array(auth) };
  await kaiwa.notifications.register({ deviceId: pushDeviceId(), name: browserName(navigator.userAgent), address });
  registered.value = true;
}

async function unsubscribe(): Promise<boolean> {
  const worker = await navigator.serviceWorker?.getRegistration();
  const subscription = await worker?.pushManager?.getSubscription();
  return (await subscription?.unsubscribe()) ?? false;
}

function isOf(subscription: PushSubscription, key: Uint8Array): boolean {
  const { applicationServerKey } = subscription.options;
  if (!applicationServerKey) return true;
  const has = new Uint8Array(applicationServerKey);
  return has.length === key.length && has.every((byte, i) => byte === key[i]);
}

/** For its owner's eyes, among their other devices. */
export function browserName(agent: string): string {
  const has = (name: string) => agent.includes(name);
  const browser = has('Firefox/') ? 'Firefox' : has('Edg/') ? 'Edge' : has('OPR/') ? 'Opera' : has('Chrome/') ? 'Chrome' : has('Safari/') ? 'Safari' : t('aBrowser');
  const system = has('Android') ? 'Android' : /iPhone|iPad/.test(agent) ? 'iOS' : has('Mac OS X') ? 'macOS' : has('Windows') ? 'Windows' : has('CrOS') ? 'ChromeOS' : has('Linux') ? 'Linux' : '';
  return system ? `${browser} · ${system}` : browser;
}

function tellWorker(user: string | null): void {
  if (typeof indexedDB === 'undefined') return;
  // A badge counted for somebody else says nothing of this one.
  updateState((state) => ({ state: { ...state, lang: lang.value, user, ...(user !== state.user && { badge: { count: 0, version: 0 }, reads: [], overs: [], seen: [] }) } })).catch(() => {});
}

/** What the worker says: a notification was clicked, or the subscription is another one now. */
export function listenToWorker(current: () => Kaiwa | null): void {
  navigator.serviceWorker?.addEventListener('message', ({ data }: MessageEvent<ToPage>) => {
    const kaiwa = current();
    if (data.kind === 'open') goTo(data.room);
    else if (data.kind === 'decline') void kaiwa?.call.decline(data.room).catch(() => {});
    else if (data.kind === 'subscription' && kaiwa) {
      registered.value = false;
      void beginPush(kaiwa);
    }
  });
}
