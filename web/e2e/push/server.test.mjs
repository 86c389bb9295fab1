/**
 * Push in real Firefox from the real server (issue 4, the first of “What it must show”): needs KAIWA_BIN with the notifier.
 * The server pushes to public https addresses alone: its settings let it push to this machine, and trust the test's authority.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Caller, until } from '../calls.mjs';
import { library, ROOM_FOR_COMMANDS, Server } from '../harness.mjs';
import { certificate } from './certificate.mjs';
import { shownIn, startFirefox, turnOnPush } from './firefox.mjs';
import { PushService } from './service.mjs';

let tls, service, server, browser, lib, alice, bob, room;

before(async () => {
  tls = await certificate();
  service = await new PushService().start({ tls });
  server = await Server.start({ ...ROOM_FOR_COMMANDS, KAIWA_PUSH__ALLOWED_PRIVATE: '["127.0.0.1"]', KAIWA_PUSH__EXTRA_CA: tls.authority });
  lib = await library();
  browser = await startFirefox(service);
  bob = await open();
  await bob.signIn(server.url);
  alice = await lib.connect(server.url, 'Alice');
  room = (await alice.createRoom({ kind: 'direct', members: ['bob'] })).room;
  await turnOnPush(bob);
});

after(async () => {
  await browser?.close();
  await lib?.close();
  await server?.end();
  await service?.end();
  await tls?.end();
});

async function open() {
  const page = await browser.newPage();
  return new Caller(page, 'Bob', [], () => page.close());
}

/** A page of the origin without the app: it sees what the service worker shows, and is no session. */
async function observer() {
  const page = await browser.newPage();
  await page.goto(`${server.url}/api/v1/info`);
  return page;
}

test('the page is open and acknowledges: nothing is pushed', async () => {
  await bob.open(room);
  await alice.send(room, 'While you look');
  await bob.sees('[data-testid="message"]');
  // The next message, to somebody who is away, is what shows that nothing was pushed for this one.
});

test('the page is closed: one push, whose decrypted payload names the room', async () => {
  const watcher = await observer();
  await bob.close();
  const pushed = new Promise((resolve) => service.once('pushed', resolve));
  const acked = new Promise((resolve) => service.once('acked', resolve));
  await alice.send(room, 'While you are away');
  await pushed;
  assert.equal((await acked).code, 100);
  await until(async () => (await shownIn(watcher)).some((n) => n.body === 'While you are away'), 'the message is not shown');
  const data = await watcher.evaluate(async () => (await (await navigator.serviceWorker.getRegistration()).getNotifications()).map((n) => n.data));
  assert.deepEqual(data.map((d) => [d.room, d.user]), [[room, 'bob']]);
  assert.equal(service.pushes.length, 1, 'one push, and none for the message that was seen');
  await watcher.close();
});

test('opened within the grace: cancelled', async () => {
  const shown = () => service.pushes.filter((p) => p.urgency !== 'low').length;
  const before = shown();
  await alice.send(room, 'You come back just now');
  // The library is there well within the grace, which a browser's start on a busy machine is not.
  const back = await lib.connect(server.url, 'Bob');
  back.setVisible(true);
  back.openRoom(room);
  await until(() => back.messages(room).messages.at(-1)?.text === 'You come back just now', 'Bob never gets it');
  // That nothing comes shows when the next push does, which is for a later message: a room is pushed in its order.
  await back.stop();
  const next = new Promise((resolve) => service.once('pushed', resolve));
  await alice.send(room, 'Now you are away again');
  await next;
  assert.equal(shown(), before + 1);
});
