/** The service worker: the app's files while the server is away, and what is pushed while the app is. */
import { handleFetch, keepShell } from './offline.js';
import { NO_STATE, pageOf, parsePush, planOf, type Shown, type ToPage } from './push.js';
import { updateState } from './push-store.js';

declare const self: ServiceWorkerGlobalScope;

self.addEventListener('install', (event) => {
  void self.skipWaiting();
  event.waitUntil(keepShell());
});

self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', handleFetch);

self.addEventListener('push', (event) => event.waitUntil(handlePush(event.data?.text() ?? null)));

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(handleClick(event.notification.data as Shown | null, event.action));
});

// The app registers at each start, and windows that are open do so now. The worker has no token to do it with.
self.addEventListener('pushsubscriptionchange', (event) => (event as ExtendableEvent).waitUntil(tell({ kind: 'subscription' })));

async function handlePush(text: string | null): Promise<void> {
  const looking = await roomInSight();
  const { show, closes, badge } = await updateState((state) => planOf(parsePush(text), state, looking)).catch(
    // Without the state it is not known whose this is: no word of its content.
    () => planOf(null, NO_STATE, null),
  );
  for (const shown of await self.registration.getNotifications()) {
    if (shown.data && closes(shown.data as Shown)) shown.close();
  }
  // Not all browsers have a badge, and none of them fails a push for it.
  if (badge !== null) await setBadge(badge).catch(() => {});
  if (show) await self.registration.showNotification(show.title, show.options as NotificationOptions);
}

async function setBadge(count: number): Promise<void> {
  if (count > 0) await navigator.setAppBadge?.(count);
  else await navigator.clearAppBadge?.();
}

/** Of the app: an answer of the API in a tab is none. */
async function windows(): Promise<readonly WindowClient[]> {
  const all = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  return all.filter((w) => !new URL(w.url).pathname.startsWith('/api/'));
}

/** The room that somebody looks at in a window that has the focus. */
async function roomInSight(): Promise<string | null> {
  const focused = (await windows()).find((w) => w.focused);
  const room = focused && /#\/r\/([^/]+)$/.exec(focused.url)?.[1];
  return room ? decodeURIComponent(room) : null;
}

async function tell(message: ToPage): Promise<void> {
  for (const window of await windows()) window.postMessage(message);
}

async function handleClick(shown: Shown | null, action: string): Promise<void> {
  const room = shown?.room ?? null;
  // Without a window there is no connection to decline over: it stops ringing here, and goes on elsewhere until it ends.
  if (action === 'decline') return room === null ? undefined : tell({ kind: 'decline', room });
  const all = await windows();
  const window = all.find((w) => w.focused) ?? all.find((w) => w.visibilityState === 'visible') ?? all[0];
  if (!window) {
    await self.clients.openWindow(pageOf(room));
    return;
  }
  if (room !== null) window.postMessage({ kind: 'open', room } satisfies ToPage);
  // A window that may not be brought forward still shows the room.
  await window.focus().catch(() => {});
}
