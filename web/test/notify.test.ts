import { describe, expect, it } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { NotifyAttemptSchema, NotifyDecisionSchema } from '../src/gen/kaiwa/client/v1/client_pb.js';
import { ACK_AFTER_MS, Acks } from '../src/client/acks.js';
import { seeded, settle, world, type World } from './harness.js';
import type { Kaiwa } from '../src/client/client.js';

async function start(w: World, user = 'alice', options = {}): Promise<Kaiwa> {
  const client = w.client(user, options);
  await client.start();
  await settle();
  return client;
}

const marks = (w: World) => w.server.log.flatMap(({ command }) => (command.case === 'mark' ? [Number(command.value.seq)] : []));

describe.each(['proto', 'json'] as const)('devices and settings over %s', (codec) => {
  it('registers, sets, lists and removes a device', async () => {
    const w = world();
    w.server.notify.vapidKey = new Uint8Array([4, 1, 2]);
    const { notifications } = await start(w, 'alice', { codec });
    const { vapidKey } = await notifications.pushInfo();
    expect([...vapidKey]).toEqual([4, 1, 2]);
    expect(vapidKey.buffer.byteLength, 'no view into a frame').toBe(3);
    const address = { endpoint: 'https://push.example/1', p256dh: new Uint8Array(65).fill(4), auth: new Uint8Array(16) };
    await notifications.register({ deviceId: 'd-1', name: 'Firefox on Linux', address });
    const quiet = { fromMin: 1320, untilMin: 420, zone: 'Asia/Tokyo', letsCalls: true, letsMentions: false };
    const set = await notifications.setDevice('d-1', { isMuted: false, isWakeOnly: true, quiet });
    expect(set.settings).toEqual({ isMuted: false, isWakeOnly: true, quiet });
    expect(await notifications.devices()).toEqual([set]);
    expect(set.channel).toBe('web_push');
    expect(w.server.notify.devices.get('d-1')?.address.case).toBe('webPush');
    await notifications.removeDevice('d-1');
    expect(await notifications.devices()).toEqual([]);
  });

  it('changes what holds for all devices and for a room', async () => {
    const w = world();
    const { notifications } = await start(w, 'alice', { codec });
    const first = await notifications.settings();
    const set = await notifications.set({ isMuted: true, letsCalls: false, level: 'mentions' });
    expect(set).toEqual({ isMuted: true, letsCalls: false, level: 'mentions', rooms: [], version: first.version + 1 });
    const until = 1_790_000_360_000;
    expect((await notifications.setRoom('r1', { level: 'none', mutedUntilMs: until })).rooms).toEqual([{ room: 'r1', level: 'none', mutedUntilMs: until }]);
    expect((await notifications.setRoom('r1', { level: 'default', mutedUntilMs: 0 })).rooms).toEqual([]);
  });

  it('explains why something came or did not', async () => {
    const w = world();
    const attempt = create(NotifyAttemptSchema, { deviceId: 'd-1', timeMs: 5n, isAccepted: false, code: 'gone' });
    const decision = { eventId: 'e', timeMs: 4n, room: 'r1', seq: 7n, isSent: true, reason: 'sent', message: 'It was sent.' };
    w.server.notify.person('alice').decisions = [create(NotifyDecisionSchema, { ...decision, attempts: [attempt] })];
    const { notifications } = await start(w, 'alice', { codec });
    expect(await notifications.explain({ room: 'r1' })).toEqual([
      { ...decision, timeMs: 4, seq: 7, attempts: [{ deviceId: 'd-1', timeMs: 5, isAccepted: false, code: 'gone' }] },
    ]);
    expect(await notifications.explain({ room: 'r2' })).toEqual([]);
  });
});

it('says at once that there is no connection', async () => {
  const w = world();
  w.network.up = false;
  const { notifications } = await start(w);
  await expect(notifications.settings()).rejects.toMatchObject({ reason: 'offline' });
});

describe('acks', () => {
  it('says one count for all that comes within the time', async () => {
    const w = world();
    const room = w.server.createRoom('alice', 'Tea', ['bob']);
    const alice = await start(w, 'alice', { isVisible: true });
    await w.clock.advance(ACK_AFTER_MS);
    const { acks } = w.server.notify;
    const before = acks.length;
    for (const text of ['a', 'b', 'c']) w.server.post(room, 'bob', text);
    await w.clock.advance(ACK_AFTER_MS - 1);
    expect(acks.length).toBe(before);
    await w.clock.advance(1);
    expect(acks.slice(before)).toEqual([{ session: expect.any(String), count: [...w.server.sessions.values()][0]!.count, isVisible: true }]);
    await w.clock.advance(ACK_AFTER_MS * 10);
    expect(acks.length, 'nothing new is nothing to say').toBe(before + 1);
    await alice.stop();
  });

  it('says at once that somebody looks, and that they turned away', async () => {
    const w = world();
    const alice = await start(w);
    alice.setVisible(true);
    await settle();
    expect(w.server.notify.acks.at(-1)?.isVisible).toBe(true);
    const said = w.server.notify.acks.length;
    alice.setVisible(true);
    await settle();
    expect(w.server.notify.acks.length).toBe(said);
    alice.setVisible(false);
    await settle();
    expect(w.server.notify.acks.at(-1)?.isVisible).toBe(false);
  });

  it('says it anew after a lost connection', async () => {
    const w = world();
    await start(w, 'alice', { isVisible: true });
    w.server.notify.acks.length = 0;
    w.server.cut();
    await w.clock.advance(4_000);
    expect(w.server.notify.acks).toEqual([expect.objectContaining({ isVisible: true })]);
  });

  it('does not repeat what a server does not understand, which would end the connection', async () => {
    const w = world();
    w.server.notify.isKnown = false;
    const refused: unknown[] = [];
    w.server.faults.reply = (command) => (command.case === 'ack' && refused.push(command), true);
    const alice = await start(w);
    for (const visible of [true, false, true]) {
      alice.setVisible(visible);
      await settle();
    }
    expect(refused.length).toBe(1);
    expect(alice.status.kind).toBe('live');
  });

  it('never says less than it has received for longer than its time, whatever comes in which order', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = seeded(seed);
      const acks = new Acks(false);
      let [now, count, said, unsaidSince] = [0, 0, 0, Infinity];
      acks.handleConnected(now);
      for (let step = 0; step < 60; step++) {
        const dice = random();
        if (dice < 0.5) {
          count += 1;
          unsaidSince = Math.min(unsaidSince, now);
          acks.handleCount(count, now);
        } else if (dice < 0.6) acks.handleVisible(random() < 0.5, now);
        else {
          const until = now + Math.floor(random() * 400);
          for (let due = acks.deadline(); due !== null && due <= until; due = acks.deadline()) {
            now = Math.max(now, due);
            const ack = acks.poll(count, now);
            if (ack) [said, unsaidSince] = [ack.count, Infinity];
          }
          now = until;
        }
        if (said < count) expect(now - unsaidSince).toBeLessThanOrEqual(ACK_AFTER_MS);
      }
    }
  });
});

describe('marks', () => {
  const room = (w: World) => {
    w.server.token('bob');
    const made = w.server.createRoom('alice', 'Tea', ['bob']);
    for (const text of ['a', 'b', 'c']) w.server.post(made, 'bob', text);
    return made;
  };

  it('says what was read, once', async () => {
    const w = world();
    const { id } = room(w);
    const alice = await start(w);
    alice.openRoom(id);
    await settle();
    alice.markRead(id);
    alice.markRead(id);
    await settle();
    const head = w.server.room(id).events.length;
    expect(marks(w)).toEqual([head]);
    alice.markRead(id);
    await settle();
    expect(marks(w)).toEqual([head]);
  });

  it('shows what the server counted where the list does not reach so far', async () => {
    const w = world();
    const tea = room(w);
    w.server.notify.marks.set(`${tea.id} alice`, 3);
    w.server.post(tea, 'bob', '@alice', 0, '', { mentions: ['alice'] });
    const alice = await start(w);
    expect(alice.room(tea.id)?.unread).toEqual({ count: 3, more: false, mentions: 1 });
    w.server.post(tea, 'bob', 'all', 0, '', { mentionAll: true });
    w.server.post(tea, 'alice', 'my own');
    await settle();
    expect(alice.room(tea.id)?.unread).toEqual({ count: 4, more: false, mentions: 2 });
  });

  it('counts exactly in a room whose list begins after what was read', async () => {
    const w = world();
    const tea = room(w);
    const alice = await start(w);
    expect(alice.room(tea.id)?.unread).toEqual({ count: 0, more: false, mentions: 0 });
    w.server.post(tea, 'bob', 'd');
    await settle();
    expect(alice.room(tea.id)?.unread).toEqual({ count: 1, more: false, mentions: 0 });
  });

  it('counts what was written between coming into a room and following it', async () => {
    const w = world();
    const alice = await start(w);
    const tea = room(w);
    w.server.notify.marks.set(`${tea.id} alice`, 0);
    w.server.post(tea, 'bob', '@alice', 0, '', { mentions: ['alice'] });
    await settle();
    expect(alice.room(tea.id)?.unread).toEqual({ count: 4, more: false, mentions: 1 });
    expect(alice.room(tea.id)?.newest?.text).toBe('@alice');
    w.server.post(tea, 'bob', 'd');
    await settle();
    expect(alice.room(tea.id)?.unread).toEqual({ count: 5, more: false, mentions: 1 });
    alice.openRoom(tea.id);
    await settle();
    alice.markRead(tea.id);
    await settle();
    expect(alice.room(tea.id)?.unread).toEqual({ count: 0, more: false, mentions: 0 });
    const asked = w.server.log.filter(({ command }) => command.case === 'roomGet');
    expect(asked.length, 'once').toBe(1);
  });

  it('takes over what was read on another device, and never back', async () => {
    const w = world();
    const tea = room(w);
    w.server.notify.marks.set(`${tea.id} alice`, 2);
    const alice = await start(w);
    expect(alice.room(tea.id)?.unread.count).toBe(3);
    w.server.notify.mark(tea.id, 'alice', tea.events.length - 1);
    await settle();
    expect(alice.room(tea.id)?.unread.count).toBe(1);
    w.server.notify.marks.set(`${tea.id} alice`, 2);
    w.server.notify.mark(tea.id, 'alice', 2);
    await settle();
    expect(alice.room(tea.id)?.unread.count).toBe(1);
  });

  it('counts a mark as a reliable push: a resumed session misses none', async () => {
    const w = world();
    const tea = room(w);
    const alice = await start(w);
    w.server.notify.mark(tea.id, 'alice', 3);
    await settle();
    w.server.ping();
    await w.clock.advance(100);
    expect(alice.status.kind).toBe('live');
    expect(w.server.sessions.size).toBe(1);
  });

  it('says after a lost connection what was read meanwhile', async () => {
    const w = world();
    const tea = room(w);
    w.server.notify.marks.set(`${tea.id} alice`, 2);
    const alice = await start(w);
    alice.openRoom(tea.id);
    await settle();
    w.network.up = false;
    w.server.cut();
    await w.clock.advance(10);
    alice.markRead(tea.id);
    await settle();
    expect(marks(w)).toEqual([]);
    w.network.up = true;
    await w.clock.advance(40_000);
    expect(marks(w)).toEqual([tea.events.length]);
  });

  it('leaves a server alone that does not know marks', async () => {
    const w = world();
    w.server.notify.isKnown = false;
    const tea = room(w);
    const alice = await start(w);
    alice.openRoom(tea.id);
    await settle();
    for (const text of ['d', 'e', 'f']) {
      w.server.post(tea, 'bob', text);
      await settle();
      alice.markRead(tea.id);
      await settle();
    }
    expect(marks(w).length).toBe(1);
    expect(alice.room(tea.id)?.unread.count).toBe(0);
  });
});

it('sends whom a message names, and whom it names after an edit', async () => {
  const w = world();
  const tea = w.server.createRoom('alice', 'Tea', ['bob']);
  const alice = await start(w);
  alice.openRoom(tea.id);
  await settle();
  await alice.send(tea.id, 'hello @bob', { mentions: ['bob'] });
  await settle();
  expect(alice.messages(tea.id).messages.at(-1)).toMatchObject({ mentions: ['bob'], mentionAll: false });
});
