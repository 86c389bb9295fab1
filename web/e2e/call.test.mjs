/**
 * Calls between two windows of Chromium and one of Firefox through the real SFU: what is sent is decoded, shown and heard
 * at the other ends.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { allWatch, Caller, startChromium, startFirefox, until as holds } from './calls.mjs';
import { Crowd } from './crowd.mjs';
import { library, Server, until } from './harness.mjs';

let server, chromium, firefox, lib, room, alice, bob, chie;
const people = () => [alice, bob, chie];

before(async () => {
  [server, chromium, firefox, lib] = await Promise.all([Server.start(), startChromium(), startFirefox(), library()]);
  const owner = await lib.connect(server.url, 'Alice');
  room = (await owner.createRoom({ kind: 'group', title: 'Garden', visibility: 'public' })).room;
  await until(owner, () => owner.room(room) !== null);
  for (const name of ['Bob', 'Chie']) await (await lib.connect(server.url, name)).joinRoom(room);
  alice = await Caller.inChromium(chromium, 'Alice');
  bob = await Caller.inChromium(chromium, 'Bob');
  chie = await Caller.inFirefox(firefox, 'Chie');
  for (const someone of people()) {
    await someone.signIn(server.url);
    await someone.open(room);
  }
});

after(async () => {
  if (process.env.KAIWA_LOG) console.log(server?.log);
  await lib?.close();
  await Promise.all([chromium?.close(), firefox?.close()]);
  await server?.end();
});

test('everybody sees and hears everybody, in either browser', async () => {
  for (const someone of people()) await someone.enter();
  await allWatch(people());
  for (const one of people()) for (const other of people()) if (one !== other) await one.hears(other.user);
});

test('who speaks is seen: one alone, then another', async () => {
  await bob.click('call-mic');
  await chie.click('call-mic');
  for (const someone of people()) for (const user of ['bob', 'chie']) await someone.seesPerson(user, '[data-muted="true"][data-speaking="false"]');
  await bob.seesPerson('alice', '[data-speaking="true"]');
  await chie.seesPerson('alice', '[data-speaking="true"]');
  await alice.click('call-mic');
  await chie.click('call-mic');
  for (const someone of [alice, bob]) {
    await someone.seesPerson('alice', '[data-muted="true"][data-speaking="false"]');
    await someone.seesPerson('chie', '[data-muted="false"][data-speaking="true"]');
    await someone.hears('chie');
  }
});

test('mute is seen, and a picture that stops and comes back', async () => {
  await alice.click('call-mic');
  await bob.click('call-mic');
  for (const someone of people()) for (const user of ['alice', 'bob']) await someone.seesPerson(user, '[data-muted="false"]');
  for (const who of [bob, chie]) {
    const others = people().filter((someone) => someone !== who);
    await who.click('call-cam');
    for (const someone of others) await someone.seesPerson(who.user, '[data-camera="false"]');
    await who.click('call-cam');
    for (const someone of others) {
      await someone.seesPerson(who.user, '[data-camera="true"]');
      await someone.watches(who.user);
    }
  }
});

test('a shared screen is seen, beside the faces', async () => {
  await bob.click('call-screen');
  for (const someone of [alice, chie]) {
    await someone.seesPerson('bob', '[data-kind="screen"][data-camera="true"]');
    await someone.watches('bob', { kind: 'screen', by: 2 });
    await someone.watches('bob');
  }
  await bob.click('call-screen');
  for (const someone of [alice, chie]) await someone.missesPerson('bob', '[data-kind="screen"]');
});

test('a person leaves and comes back', async () => {
  for (const who of [bob, chie]) {
    const others = people().filter((someone) => someone !== who);
    const before = await alice.participant(who.user);
    await who.leave();
    for (const someone of others) await someone.missesPerson(who.user);
    await who.enter();
    for (const someone of others) {
      await someone.seesPerson(who.user);
      await someone.watches(who.user);
      await who.watches(someone.user);
    }
    assert.notEqual(await alice.participant(who.user), before);
  }
});

test('five participants of the load test join: they get every picture, and are seen and heard', async () => {
  const names = ['Dan', 'Eve', 'Fay', 'Gus', 'Hal'];
  const crowd = await Crowd.enter(server.url, room, await Promise.all(names.map((name) => lib.tokenOf(server.url, name))), { voices: 2 });
  try {
    for (const someone of people()) for (const name of names) await someone.seesPerson(name.toLowerCase());
    const participants = await Promise.all(people().map(({ user }) => alice.participant(user)));
    await holds(() => crowd.watching(participants) === names.length, () => `not everybody gets every picture: ${participants} ${crowd.story()}`);
    const first = crowd.seen.map(({ received }) => received.foreign_pictures);
    await holds(
      () => crowd.seen.every(({ received }, i) => received.foreign_pictures > first[i] + 3 * 5),
      () => `pictures don't go on to everybody: ${first} ${crowd.story()}`,
    );
    // Three are heard at once, so Bob makes room.
    await bob.click('call-mic');
    for (const someone of people()) await someone.getsSoundOf('dan');
    await bob.click('call-mic');
    await allWatch(people());
    for (const { faults, failure, ended, received } of crowd.seen) {
      assert.deepEqual({ faults, failure, ended, undecryptable: received.undecryptable, unknown: received.unknown }, { faults: [], failure: null, ended: null, undecryptable: 0, unknown: 0 });
    }
  } finally {
    await crowd.leave();
  }
  for (const someone of people()) for (const name of names) await someone.missesPerson(name.toLowerCase());
});

test('nobody needed a second peer connection, and no page has errors', async () => {
  assert.deepEqual(await Promise.all(people().map(async (someone) => (await someone.peers()).count)), [1, 2, 2]);
  for (const someone of people()) assert.deepEqual(someone.errors, []);
});
