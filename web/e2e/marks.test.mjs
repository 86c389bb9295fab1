/** What one has read, over the library and the real server: counted by it, the same on every device, and named. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { library, Server, until } from './harness.mjs';

let server, lib;

before(async () => {
  server = await Server.start();
  lib = await library();
});

after(async () => {
  await lib?.close();
  await server?.end();
});

test('what is read on one device is read on the other, and after a new start', async () => {
  const alice = await lib.connect(server.url, 'Alice');
  const laptop = await lib.connect(server.url, 'Bob');
  const phone = await lib.connect(server.url, 'Bob');
  const { room } = await alice.createRoom({ kind: 'group', title: 'Tea', members: ['bob'] });
  await until(laptop, () => laptop.room(room) !== null);
  await laptop.joinRoom(room);
  laptop.openRoom(room);
  await until(phone, () => phone.room(room)?.info.membership === 'joined');
  const unread = (kaiwa) => kaiwa.room(room)?.unread ?? {};
  await alice.send(room, 'Tea?');
  await alice.send(room, '@bob, you too?', { mentions: ['bob'] });
  for (const bob of [laptop, phone]) await until(bob, () => unread(bob).count === 2 && unread(bob).mentions === 1);
  await until(laptop, () => laptop.messages(room).messages.length === 2);
  laptop.markRead(room);
  await until(phone, () => unread(phone).count === 0);
  await alice.send(room, 'It is ready');
  await until(phone, () => unread(phone).count === 1);
  // A device that knows nothing yet is told by the server.
  const tablet = await lib.connect(server.url, 'Bob');
  await until(tablet, () => unread(tablet).count === 1);
  assert.deepEqual(unread(tablet), { count: 1, more: false, mentions: 0 });
});

test('acknowledging and looking away and back is taken without a word, and the connection goes on', async () => {
  const bob = await lib.connect(server.url, 'Bob');
  const statuses = [];
  const stop = bob.onChange((change) => change.kind === 'status' && statuses.push(bob.status.kind));
  for (let i = 0; i < 40; i++) bob.setVisible(i % 2 === 0);
  const { room } = await bob.createRoom({ kind: 'group', title: 'Alone' });
  assert.ok(room);
  assert.deepEqual(statuses, []);
  assert.equal(bob.status.kind, 'live');
  stop();
});
