/** Calls while the session's connection, its person or the whole server is away. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { allWatch, Caller, startChromium, startFirefox, Wire } from './calls.mjs';
import { library, ROOM_FOR_COMMANDS, Server, until } from './harness.mjs';

let server, wire, chromium, firefox, lib, room, alice, bob, chie;

before(async () => {
  [server, chromium, firefox, lib] = await Promise.all([
    Server.start({ ...ROOM_FOR_COMMANDS, KAIWA_LIMITS__CALL_AWAY_S: '6', KAIWA_DRAIN_S: '4' }),
    startChromium(),
    startFirefox(),
    library(),
  ]);
  wire = await Wire.to(server.url);
  const owner = await lib.connect(server.url, 'Alice');
  room = (await owner.createRoom({ kind: 'group', title: 'Garden', visibility: 'public' })).room;
  await until(owner, () => owner.room(room) !== null);
  for (const name of ['Bob', 'Chie']) await (await lib.connect(server.url, name)).joinRoom(room);
  await lib.close();
  alice = await Caller.inChromium(chromium, 'Alice');
  bob = await Caller.inChromium(chromium, 'Bob');
  chie = await Caller.inFirefox(firefox, 'Chie');
  for (const [someone, url] of [[alice, server.url], [bob, wire.url], [chie, wire.url]]) {
    await someone.signIn(url);
    await someone.open(room);
    await someone.enter();
  }
});

after(async () => {
  if (process.env.KAIWA_LOG) console.log(server?.log);
  await Promise.all([chromium?.close(), firefox?.close()]);
  await wire?.end();
  await server?.end();
});

test('the WebSocket is cut: media goes on over the same peer connection, and the session after it', async () => {
  await allWatch([alice, bob, chie]);
  const before = {};
  for (const who of [bob, chie]) before[who.user] = { peers: await who.peers(), participant: await alice.participant(who.user) };
  wire.cut();
  for (const who of [bob, chie]) {
    await who.connection('reconnecting');
    await alice.seesPerson(who.user, '[data-interrupted="true"]');
  }
  // All of this while neither Bob nor Chie has a connection.
  await allWatch([alice, bob, chie]);
  await bob.hears('alice');
  for (const who of [bob, chie]) await who.status('connected');
  wire.mend();
  for (const who of [bob, chie]) {
    await who.comeBack();
    await alice.seesPerson(who.user, '[data-interrupted="false"]');
    assert.deepEqual(await who.peers(), before[who.user].peers);
    assert.equal(await alice.participant(who.user), before[who.user].participant);
  }
  await allWatch([alice, bob, chie]);
  // And what one does arrives again.
  await bob.click('call-mic');
  await alice.seesPerson('bob', '[data-muted="true"]');
  await bob.click('call-mic');
  await alice.seesPerson('bob', '[data-muted="false"]');
});

test('who does not return in time is gone, and comes in again on return', async () => {
  const before = await alice.participant('bob');
  wire.cut();
  await alice.missesPerson('bob');
  await alice.missesPerson('chie');
  wire.mend();
  for (const who of [bob, chie]) {
    await who.comeBack();
    await alice.seesPerson(who.user, '[data-interrupted="false"]');
    await who.status('connected');
  }
  assert.notEqual(await alice.participant('bob'), before);
  await allWatch([alice, bob, chie]);
});

test('the server is drained: the call says that it reconnects, and is joined again on the next one', async () => {
  await server.drain();
  for (const who of [alice, bob, chie]) {
    await who.connection('reconnecting');
    await who.status('reconnecting');
  }
  await server.restart();
  for (const who of [alice, bob, chie]) {
    await who.comeBack();
    await who.status('connected');
  }
  await allWatch([alice, bob, chie]);
  await alice.hears('bob');
});

test('no page has errors', () => {
  for (const someone of [alice, bob, chie]) assert.deepEqual(someone.errors, []);
});
