/** Somebody's address changes during a call, as a phone's does. Their browser runs in a network namespace of its own. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { allWatch, Caller, startChromium, until as holds } from './calls.mjs';
import { CHROMIUM, library, ROOM_FOR_COMMANDS, Server, until } from './harness.mjs';
import { Namespace } from './namespace.mjs';

let space, server, here, there, lib, room, alice, bob;

before(async () => {
  space = await Namespace.make();
  // Over an address that is not loopback, so whoever comes may sign in, and the page counts as if it came by TLS.
  server = await Server.start({ ...ROOM_FOR_COMMANDS, KAIWA_AUTH__SIGN_IN: 'anywhere', KAIWA_HTTP__ALLOW_PLAIN: 'true' }, `${space.host}:0`);
  const flags = [`--unsafely-treat-insecure-origin-as-secure=${server.url}`];
  [here, there, lib] = await Promise.all([
    startChromium({ flags }),
    startChromium({ flags, executable: await space.wrap(CHROMIUM) }),
    library(),
  ]);
  const owner = await lib.connect(server.url, 'Alice');
  room = (await owner.createRoom({ kind: 'group', title: 'Garden', visibility: 'public' })).room;
  await until(owner, () => owner.room(room) !== null);
  await (await lib.connect(server.url, 'Bob')).joinRoom(room);
  await lib.close();
  alice = await Caller.inChromium(here, 'Alice');
  bob = await Caller.inChromium(there, 'Bob');
  for (const someone of [alice, bob]) {
    await someone.signIn(server.url);
    await someone.open(room);
    await someone.enter();
  }
});

after(async () => {
  if (process.env.KAIWA_LOG) console.log(server?.log);
  await lib?.close();
  await Promise.all([here?.close(), there?.close()]);
  await server?.end();
  await space?.end();
});

test('the call goes on at another address, over the same peer connection', async () => {
  await allWatch([alice, bob]);
  for (let times = 0; times < 2; times++) {
    const before = await bob.peers();
    const participant = await alice.participant('bob');
    await holds(async () => (await bob.path()).local === space.address, async () => `the media’s path is ${JSON.stringify(await bob.path())}`);
    await space.move();
    await holds(async () => (await bob.path()).local === space.address, async () => `at ${space.address} the media’s path is ${JSON.stringify(await bob.path())}`);
    await allWatch([alice, bob]);
    await bob.comeBack();
    await bob.status('connected');
    await alice.seesPerson('bob', '[data-interrupted="false"]');
    const now = await bob.peers();
    assert.deepEqual([now.count, now.state], [1, 'connected']);
    assert.notEqual(now.ufrag, before.ufrag, 'an offer with new ICE credentials');
    assert.equal(await alice.participant('bob'), participant);
    await allWatch([alice, bob]);
  }
});

test('no page has errors', () => {
  for (const someone of [alice, bob]) assert.deepEqual(someone.errors, []);
});
