/**
 * Notifications in Chromium against the stand-in server: the offer, the settings, marks and unread counts, by the rules of
 * axe, and what the service worker does with a push. Chromium's own push service can't be reached here: pushes come
 * through the debugger, and a page that needs a subscription gets one that leads nowhere. Firefox has the real one
 * (push.test.mjs). KAIWA_SHOTS names a folder for pictures.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until as comesAbout } from '../calls.mjs';
import { library, message, person, say, Server, signIn, startBrowser, until } from '../harness.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const out = process.env.KAIWA_SHOTS ?? '';
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
let server, browser, lib, aiko, direct, garden;

const order = async (what = {}) => (await fetch(`${server.url}/fake/notify`, { method: 'POST', body: JSON.stringify(what) })).json();

/** Chromium can't subscribe without its maker's service. */
function subscribeToNothing() {
  const key = (bytes) => new Uint8Array(bytes).fill(4).buffer;
  let subscription = null;
  PushManager.prototype.getSubscription = async () => subscription;
  PushManager.prototype.subscribe = async ({ applicationServerKey }) =>
    (subscription = {
      endpoint: 'https://push.example/nowhere',
      options: { applicationServerKey: applicationServerKey.buffer },
      getKey: (name) => key(name === 'auth' ? 16 : 65),
      unsubscribe: async () => ((subscription = null), true),
    });
}

async function shot(someone, name) {
  await someone.page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {}))));
  await someone.page.evaluate(axe);
  const found = await someone.page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const serious = found.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical');
  assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`), [], name);
  if (out) await someone.page.screenshot({ path: join(out, `notify-${name}.png`) });
}

async function bobAt(size, { permissions = ['notifications'], name = 'Ben', ...options } = {}) {
  const phone = size === 'phone';
  const me = await person(browser, { viewport: SIZES[size], permissions, hasTouch: phone, isMobile: phone, deviceScaleFactor: phone ? 2 : 1, ...options });
  await me.context.addInitScript(subscribeToNothing);
  await signIn(me, server.url, name);
  return me;
}

const tell = async (room, text, options) => {
  await aiko.send(room, text, options);
  await until(aiko, () => aiko.unsent === 0);
};

before(async () => {
  server = await Server.start();
  browser = await startBrowser();
  lib = await library();
  if (out) await mkdir(out, { recursive: true });
  await order({ vapidKey: Buffer.alloc(65, 4).toString('base64url') });
  aiko = await lib.connect(server.url, 'Aiko');
  const ben = await lib.connect(server.url, 'Ben');
  direct = (await aiko.createRoom({ kind: 'direct', members: ['ben'] })).room;
  garden = (await aiko.createRoom({ kind: 'group', title: 'Garden / 庭', members: ['ben'] })).room;
  await ben.joinRoom(garden);
  await ben.stop();
  await tell(direct, 'Did you see the plum blossoms by the station?');
});

after(async () => {
  await lib?.close();
  await browser?.close();
  await server?.end();
});

test('it is offered after a conversation and not before, and “not now” is remembered', async () => {
  const me = await bobAt('desktop');
  await me.page.goto(`${server.url}/#/r/${direct}`);
  await message(me, 'plum blossoms').waitFor();
  assert.equal(await me.id('notify-offer').count(), 0, 'not on arrival');
  await say(me, 'Yes, this morning!');
  await me.id('notify-offer').waitFor();
  await shot(me, 'desktop-1-offer');
  await me.id('notify-later').click();
  await me.id('notify-offer').waitFor({ state: 'detached' });
  await me.page.reload();
  await message(me, 'this morning').waitFor();
  await me.id('room-bell').waitFor();
  assert.equal(await me.id('notify-offer').count(), 0, 'not again');
  assert.deepEqual(me.errors, []);
  await me.context.close();
});

for (const [size, locale] of [['desktop', 'en-GB'], ['phone', 'en-GB'], ['phone', 'ja-JP']]) {
  test(`offer, settings and a room's bell (${size}, ${locale})`, async () => {
    const me = await bobAt(size, { locale });
    const pic = (name) => shot(me, `${size}-${locale.slice(0, 2)}-${name}`);
    await me.page.goto(`${server.url}/#/r/${direct}`);
    await me.id('notify-offer').waitFor();
    await pic('1-offer');
    await me.id('notify-accept').click();
    await me.id('notify-offer').waitFor({ state: 'detached' });
    await order({
      devices: [{ user: 'ben', name: 'Chrome · Android' }],
      decisions: {
        user: 'ben',
        list: [
          { room: direct, reason: 'pushed', message: 'One device was told.', isSent: true },
          { room: garden, reason: 'quiet', message: 'it came in quiet hours', isSent: false },
        ],
      },
    });
    await me.id('room-bell').click();
    await me.id('room-notify').waitFor();
    await pic('2-room');
    await me.id('mute-ever').click();
    await me.id('unmute').waitFor();
    await pic('3-room-muted');
    await me.page.keyboard.press('Escape');
    await me.page.locator('[data-testid="room-bell"][data-quiet="true"]').waitFor();
    if (size === 'phone') await me.id('back').click();
    await me.page.locator(`[data-room="${direct}"] [data-testid="room-muted"]`).waitFor();
    await me.id('open-settings').click();
    await pic('4-settings');
    await me.id('open-notifications').click();
    await me.id('notify-quiet').click();
    await me.id('quiet-from').waitFor();
    await me.id('other-device').first().waitFor();
    await pic('5-notifications');
    await me.id('notify-why').locator('summary').click();
    await me.id('decision').nth(1).waitFor();
    await me.id('decision').nth(1).scrollIntoViewIfNeeded();
    await pic('6-why');
    await me.id('remove-device').first().click();
    await me.id('other-device').waitFor({ state: 'detached' });
    await me.id('room-wish-reset').click();
    await me.id('room-wish').waitFor({ state: 'detached' });
    // Off again: the server forgets the device.
    await me.id('notify-on').click();
    await me.page.locator('[data-testid="notify-on"]:not(:checked)').waitFor();
    assert.deepEqual((await order()).devices.filter((d) => d.endpoint !== ''), []);
    assert.deepEqual(me.errors, []);
    await me.context.close();
  });
}

test('who has said no is told how to say yes', async () => {
  const me = await bobAt('phone', { permissions: [] });
  await me.page.evaluate(() => Object.defineProperty(Notification, 'permission', { get: () => 'denied' }));
  await me.context.addInitScript(() => Object.defineProperty(Notification, 'permission', { get: () => 'denied' }));
  await me.page.reload();
  await me.id('open-settings').click();
  await me.id('open-notifications').click();
  await me.page.locator('[data-testid="notify-why-not"][data-state="denied"]').waitFor();
  await shot(me, 'phone-7-denied');
  await me.context.close();
});

test('what is unread is counted, named, read by looking, and read here when it was read elsewhere', async () => {
  const me = await bobAt('desktop');
  await me.page.goto(`${server.url}/#/r/${direct}`);
  await me.id('room-view').waitFor();
  const unread = me.page.locator(`[data-room="${garden}"] [data-testid="unread"]`);
  await tell(garden, 'Who waters the tomatoes?');
  await unread.getByText('1', { exact: true }).waitFor();
  await tell(garden, '@ben, can you?', { mentions: ['ben'] });
  await unread.getByText('2', { exact: true }).waitFor();
  await me.page.locator(`[data-room="${garden}"] [data-testid="unread-mentions"]`).waitFor();
  await shot(me, 'desktop-8-unread');
  const head = aiko.room(garden).info.head;
  await order({ mark: [garden, 'ben', head] });
  await unread.waitFor({ state: 'detached' });
  await tell(garden, 'Never mind, it rains.');
  await unread.waitFor();
  await me.page.locator(`[data-testid="room"][data-room="${garden}"]`).click();
  await message(me, 'it rains').waitFor();
  await unread.waitFor({ state: 'detached' });
  await me.page.waitForFunction(
    async ([room, seq]) => (await (await fetch('/fake/notify', { method: 'POST', body: '{}' })).json()).marks[`${room} ben`] >= seq,
    [garden, head + 1],
  );
  assert.deepEqual(me.errors, []);
  await me.context.close();
});

test('Chromium’s service worker shows a push, keeps its badge, and takes away what is read', async () => {
  const me = await bobAt('desktop');
  const { page } = me;
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => 0));
  const debug = await me.context.newCDPSession(page);
  const registered = new Promise((resolve) =>
    debug.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => registrations[0] && resolve(registrations[0].registrationId)),
  );
  await debug.send('ServiceWorker.enable');
  const registrationId = await registered;
  let version = 0;
  const deliver = (payload) =>
    debug.send('ServiceWorker.deliverPushMessage', {
      origin: server.url,
      registrationId,
      data: typeof payload === 'string' ? payload : JSON.stringify({ user: 'ben', v: 1, badge: 1, version: (version += 1), ...payload }),
    });
  const shown = () =>
    page.evaluate(async () => {
      const all = await (await navigator.serviceWorker.getRegistration()).getNotifications();
      return all.map(({ title, body, tag, actions, requireInteraction }) => ({ title, body, tag, actions: actions.map((a) => a.action), requireInteraction }));
    });
  const shows = (count) =>
    comesAbout(
      async () => {
        const all = await shown();
        return all.length === count && all;
      },
      async () => `${count} should be shown: ${JSON.stringify(await shown())}`,
    );
  await deliver({ class: 'mention', title: 'Aiko', body: 'Hello', room: direct, seq: 90, tag: `room:${direct}` });
  assert.deepEqual(await shows(1), [{ title: 'Aiko', body: 'Hello', tag: `room:${direct}`, actions: [], requireInteraction: false }]);
  await deliver({ class: 'call', title: 'Aiko', body: 'calls', room: direct, call: 'c1', tag: 'call:c1' });
  assert.deepEqual((await shows(2)).find((n) => n.tag === 'call:c1'), { title: 'Aiko', body: 'calls', tag: 'call:c1', actions: ['answer', 'decline'], requireInteraction: true });
  await deliver({ class: 'call_over', room: direct, call: 'c1' });
  await shows(1);
  await deliver({ class: 'read', room: direct, seq: 90 });
  await shows(0);
  await deliver('no JSON');
  assert.equal((await shows(1))[0].title, 'Kaiwa');
  await me.context.close();
});
