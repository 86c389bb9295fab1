/**
 * Calls without UDP: Chromium behind a firewall that lets TCP out alone, through the real SFU. UDP is blocked by nft in the
 * network of one person, both ways and without a word.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SMALL, Stage } from './people.mjs';

/** Less than two of three layers, more than the lowest and a voice, in kbit/s; and how often pictures are waited for then. */
const LIMIT_KBIT = 500;
const TIMES = 5;
/** Pictures and packets of sound after which something is taken to go on. */
const FRAMES = 20;
const SPOKEN = 50;

/** Alice is in a call by UDP and publishes; Bob may come in. */
async function begin(t, env) {
  const stage = await Stage.open(['alice', 'bob'], env);
  t.after(async () => {
    if (process.env.KAIWA_LOG) console.log(stage.server?.log);
    await stage.close();
  });
  const room = await stage.room('Firewall', ['Alice', 'Bob']);
  const alice = await stage.person('alice', { viewport: SMALL });
  await alice.enter(stage.server.url, room, { publishes: true });
  assert.equal((await alice.until('a path', ({ path }) => path !== null)).path.over, 'udp');
  return { stage, room, alice };
}

/** Pictures move from now on. */
async function moves(someone) {
  const { decoded } = await someone.count();
  return someone.until('moving', (counts) => counts.decoded >= decoded + FRAMES);
}

test('with UDP blocked one is in the call over TCP, on the port of HTTP, sees and is seen; with UDP back the next join uses it', async (t) => {
  const { stage, room, alice } = await begin(t);
  await stage.network.blockUdp('bob', true);
  const bob = await stage.person('bob', { viewport: SMALL });
  await bob.enter(stage.server.url, room, { publishes: true });
  const seen = await moves(bob);
  assert.deepEqual(seen.path, { over: 'tcp', port: Number(new URL(stage.server.url).port) });
  const { path } = await moves(alice);
  assert.equal(path.over, 'udp', 'the other one stays where she is');
  const heard = await bob.count();
  await bob.until('heard', ({ spoken, samples }) => spoken >= heard.spoken + SPOKEN && samples > heard.samples);
  assert.ok((await stage.metric('kaiwa_sfu_tcp_connections')) >= 1);
  await bob.leave();
  await stage.network.blockUdp('bob', false);
  await bob.enter(stage.server.url, room, { publishes: true });
  assert.equal((await moves(bob)).path.over, 'udp');
  await moves(alice);

  // In the middle of a call, and back: by the same way in, or by an ICE restart of the app's.
  await stage.network.blockUdp('bob', true);
  await bob.until('over TCP', ({ path }) => path?.over === 'tcp');
  assert.equal((await moves(bob)).path.over, 'tcp');
  await moves(alice);

  // A connection that carries less than what is wished for: less is sent, and pictures go on.
  await stage.network.limit('bob', LIMIT_KBIT);
  for (let time = 0; time < TIMES; time++) await moves(bob);
  await stage.network.limit('bob', null);
  await moves(bob);
  for (const { me } of [alice, bob]) assert.deepEqual(me.errors, []);
});

test('the same on a port of its own', async (t) => {
  const { stage, room } = await begin(t, { KAIWA_CALLS__TCP_LISTEN: '["0.0.0.0:0"]' });
  await stage.network.blockUdp('bob', true);
  const bob = await stage.person('bob', { viewport: SMALL });
  await bob.enter(stage.server.url, room);
  const { path } = await moves(bob);
  assert.equal(path.over, 'tcp');
  assert.notEqual(path.port, Number(new URL(stage.server.url).port));
  assert.deepEqual(bob.me.errors, []);
});
