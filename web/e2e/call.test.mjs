/** Calls between real Chromium windows through the real SFU: what is sent is decoded at the other end. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { library, person, Server, signIn, startBrowser, until, WAIT_MS } from './harness.mjs';

let server, browser, lib, room, alice, bob;

before(async () => {
  server = await Server.start();
  browser = await startBrowser({ media: true });
  lib = await library();
  const owner = await lib.connect(server.url, 'Alice');
  const other = await lib.connect(server.url, 'Bob');
  room = (await owner.createRoom({ kind: 'group', title: 'Garden', visibility: 'public' })).room;
  await until(owner, () => owner.room(room) !== null);
  await other.joinRoom(room);
  for (const kaiwa of [owner, other]) await kaiwa.stop();
  alice = await open('Alice');
  bob = await open('Bob');
});

after(async () => {
  if (process.env.KAIWA_LOG) console.log(server?.log);
  await lib?.close();
  await browser?.close();
  await server?.end();
});

async function open(name) {
  const me = await person(browser, { permissions: ['camera', 'microphone'] });
  await signIn(me, server.url, name);
  await me.page.goto(`${server.url}/#/r/${room}`);
  await me.id('room-view').waitFor();
  return me;
}

async function enter(me) {
  await me.id('call-button').click();
  await me.page.locator('[data-testid="preview"][data-on="true"]').waitFor();
  await me.id('prejoin-join').click();
  await status(me, 'connected');
}

const status = ({ page }, kind) => page.locator(`[data-testid="call-status"][data-status="${kind}"]`).waitFor({ state: 'attached' });
const tile = ({ page }, user, more = '') => page.locator(`[data-testid="call-tile"][data-user="${user}"]${more}`);

/** Frames decoded of somebody's picture, by the element that shows it. */
const frames = ({ page }, user) =>
  page.evaluate((user) => {
    const video = document.querySelector(`[data-testid="call-tile"][data-user="${user}"] video`);
    return video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
  }, user);

/** Waits until so many more frames of somebody were decoded. */
async function grows(me, user, by = 5) {
  const before = await frames(me, user);
  const end = Date.now() + WAIT_MS;
  while ((await frames(me, user)) < before + by) {
    if (Date.now() > end) throw new Error(`no frames of ${user}: ${await frames(me, user)} after ${before}; the server says:\n${server.log.slice(-3000)}`);
    await me.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => done())));
  }
}

test('two people see and hear each other', async () => {
  await enter(alice);
  await enter(bob);
  await tile(alice, 'bob').waitFor();
  await grows(alice, 'bob');
  await grows(bob, 'alice');
  await tile(alice, 'bob', '[data-speaking="true"]').waitFor();
});

test('mute is seen, and a picture that stops and comes back', async () => {
  await bob.id('call-mic').click();
  await tile(alice, 'bob', '[data-muted="true"]').waitFor();
  await bob.id('call-mic').click();
  await tile(alice, 'bob', '[data-muted="false"]').waitFor();
  await bob.id('call-cam').click();
  await tile(alice, 'bob', '[data-camera="false"]').waitFor();
  await bob.id('call-cam').click();
  await tile(alice, 'bob', '[data-camera="true"]').waitFor();
  await grows(alice, 'bob');
});

test('a person leaves and comes back', async () => {
  await bob.id('call-leave').click();
  await tile(alice, 'bob').waitFor({ state: 'detached' });
  await enter(bob);
  await grows(alice, 'bob');
  await grows(bob, 'alice');
});

test('no page has errors', () => {
  for (const someone of [alice, bob]) assert.deepEqual(someone.errors, []);
});
