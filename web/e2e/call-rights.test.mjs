/** What people may do in calls, and calling people. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Caller, id, startChromium } from './calls.mjs';
import { library, Server, until } from './harness.mjs';

let server, chromium, lib, owner, garden, news, direct, alice, bob, chie;

before(async () => {
  [server, chromium, lib] = await Promise.all([Server.start(), startChromium(), library()]);
  owner = await lib.connect(server.url, 'Alice');
  garden = (await owner.createRoom({ kind: 'group', title: 'Garden', visibility: 'public' })).room;
  news = (await owner.createRoom({ kind: 'broadcast', title: 'News', visibility: 'public' })).room;
  await until(owner, () => [garden, news].every((room) => owner.room(room) !== null));
  for (const name of ['Bob', 'Chie']) {
    const kaiwa = await lib.connect(server.url, name);
    for (const room of [garden, news]) await kaiwa.joinRoom(room);
    await kaiwa.stop();
  }
  direct = (await owner.createRoom({ kind: 'direct', members: ['bob'] })).room;
  alice = await Caller.inChromium(chromium, 'Alice');
  bob = await Caller.inChromium(chromium, 'Bob');
  chie = await Caller.inChromium(chromium, 'Chie');
  for (const someone of [alice, bob, chie]) await someone.signIn(server.url);
});

after(async () => {
  if (process.env.KAIWA_LOG) console.log(server?.log);
  await lib?.close();
  await chromium?.close();
  await server?.end();
});

test('a moderator mutes and removes; who was removed is told, and kept out for a while', async () => {
  for (const someone of [alice, bob]) {
    await someone.open(garden);
    await someone.enter();
  }
  await alice.watches('bob');
  await alice.menuOf('bob');
  await alice.click('mute-other');
  for (const someone of [alice, bob]) await someone.seesPerson('bob', '[data-muted="true"]');
  await bob.click('call-mic');
  await alice.seesPerson('bob', '[data-muted="false"]');
  await alice.menuOf('bob');
  await alice.click('stop-camera-other');
  await alice.seesPerson('bob', '[data-camera="false"]');

  // Bob is no moderator, and is not offered what he may not do.
  await bob.menuOf('alice');
  assert.deepEqual([await bob.has(id('pin')), await bob.has(id('call-remove')), await bob.has(id('mute-other'))], [true, false, false]);
  await bob.click('pin');

  await alice.menuOf('bob');
  await alice.click('call-remove');
  await alice.click('confirm-yes');
  await alice.missesPerson('bob');
  await bob.sees('[data-testid="call-ended"] [data-reason="removed"]');
  assert.equal((await bob.peers()).state, 'closed');
  await bob.click('call-again');
  await bob.click('prejoin-join');
  await bob.sees(id('toast'));
  await bob.misses(id('call-view'));
  await alice.missesPerson('bob');
});

test('who denied the camera is told what to do, goes on without it or tries again', async () => {
  await bob.page.evaluate(() => {
    const devices = navigator.mediaDevices;
    const open = devices.getUserMedia;
    devices.getUserMedia = (wanted) => (wanted.video ? Promise.reject(new DOMException('no', 'NotAllowedError')) : open.call(devices, wanted));
    window.allowCamera = () => (devices.getUserMedia = open);
  });
  await bob.click('call-button');
  await bob.sees(id('prejoin-problem'));
  assert.match(await bob.text('prejoin-problem'), /does not let Kaiwa use the camera.*try again/);
  assert.equal(await bob.text('prejoin-join'), 'Join without camera');
  await bob.page.evaluate(() => window.allowCamera());
  await bob.click('prejoin-again');
  await bob.sees('[data-testid="preview"][data-on="true"]');
  assert.deepEqual([await bob.has(id('prejoin-problem')), await bob.text('prejoin-join')], [false, 'Join the call']);
  await bob.click('prejoin-cancel');
});

test('a guest sees and hears, and is not heard; with another role they join in without leaving', async () => {
  await owner.setRole(garden, 'chie', 'guest');
  await chie.open(garden);
  await chie.enter();
  await chie.watches('alice');
  await chie.hears('alice');
  await alice.seesPerson('chie', '[data-camera="false"][data-muted="true"]');
  assert.deepEqual([await chie.has(id('call-mic')), await chie.has(id('call-cam')), await chie.has(id('call-screen'))], [false, false, false]);
  const before = await alice.participant('chie');
  await owner.setRole(garden, 'chie', 'member');
  await chie.sees(id('call-cam'));
  await chie.click('call-cam');
  await alice.seesPerson('chie', '[data-camera="true"]');
  await alice.watches('chie');
  await chie.watches('alice');
  assert.equal(await alice.participant('chie'), before, 'the part goes on');
  // And back: what she published is gone, and she still watches.
  await owner.setRole(garden, 'chie', 'guest');
  await alice.seesPerson('chie', '[data-camera="false"][data-muted="true"]');
  await chie.status('connected');
  await chie.watches('alice');
  assert.equal(await alice.participant('chie'), before);
  for (const someone of [alice, chie]) await someone.leave();
});

test('in a broadcast room those below moderator watch', async () => {
  await alice.open(news);
  await alice.enter();
  await chie.open(news);
  await chie.enter();
  await chie.watches('alice');
  await chie.hears('alice');
  assert.equal(await chie.has(id('call-cam')), false);
  await alice.seesPerson('chie', '[data-camera="false"]');
  for (const someone of [alice, chie]) await someone.leave();
});

test('a ring is declined, and another one answered', async () => {
  await alice.open(direct);
  await alice.enter();
  await bob.sees(`[data-testid="ring"][data-room="${direct}"]`);
  await bob.click('ring-decline');
  await bob.misses(id('ring'));
  await alice.sees(id('toast'));
  assert.match(await alice.text('toast'), /Bob/);
  await alice.leave();

  // Somebody who declined is not rung again at once; Bob calls back.
  await bob.open(direct);
  await bob.enter();
  await alice.sees(`[data-testid="ring"][data-room="${direct}"]`);
  await alice.click('ring-accept');
  await alice.misses(id('ring'));
  await alice.status('connected');
  await alice.watches('bob');
  await bob.watches('alice');
  await bob.hears('alice');
  for (const someone of [alice, bob]) await someone.leave();
});

test('no page has errors', () => {
  for (const someone of [alice, bob, chie]) assert.deepEqual(someone.errors, []);
});
