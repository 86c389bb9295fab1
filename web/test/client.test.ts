import { describe, expect, it } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { MemoryStore } from '../src/client/ports.js';
import { GapSchema, Membership, Role, type ClientMessage } from '../src/gen/kaiwa/client/v1/client_pb.js';
import { refusal } from './fake-server.js';
import { seeded, settle, texts, world, type World } from './harness.js';
import type { Kaiwa } from '../src/client/client.js';

const cases = (w: World) => w.server.log.map((m: ClientMessage) => m.command.case);

async function pair(w: World, codec: 'proto' | 'json' = 'proto') {
  w.server.token('bob');
  const room = w.server.createRoom('alice', 'Tea', ['bob']);
  const alice = w.client('alice', { codec });
  await alice.start();
  await settle();
  alice.openRoom(room.id);
  await settle();
  return { room, alice };
}

async function reconnect(w: World, client: Kaiwa) {
  await w.clock.advance(4_000);
  expect(client.status.kind).toBe('live');
}

describe.each(['proto', 'json'] as const)('over %s', (codec) => {
  it('signs in, lists rooms, reads history, writes and hears others', async () => {
    const w = world();
    w.server.token('bob');
    const room = w.server.createRoom('alice', '茶', ['bob']);
    w.server.post(room, 'bob', 'hello');
    const alice = w.client('alice', { codec });
    await alice.start();
    await settle();
    expect(alice.rooms().map((r) => [r.info.title, r.newest?.text])).toEqual([['茶', 'hello']]);
    alice.openRoom(room.id);
    await settle();
    await alice.send(room.id, 'やあ\n二行目', { replyTo: 3 });
    await settle();
    w.server.post(room, 'bob', 'fine');
    await settle();
    expect(texts(alice, room.id)).toEqual(['hello', 'やあ\n二行目', 'fine']);
    expect(alice.messages(room.id).messages[1]?.replyTo).toBe(3);
  });
});

describe('a room with others in it', () => {
  it('shows the name of a sender who was there before', async () => {
    const w = world();
    w.server.token('u-1', '花子');
    w.server.token('u-2', '');
    const room = w.server.createRoom('u-1', 'Tea', ['u-2', 'alice']);
    const alice = w.client('alice');
    await alice.start();
    await settle();
    w.server.post(room, 'u-1', 'hello');
    w.server.post(room, 'u-2', 'no name');
    await settle();
    expect(texts(alice, room.id)).toEqual(['hello', 'no name']);
    expect([alice.nameOf('u-1'), alice.nameOf('u-2')]).toEqual(['花子', 'u-2']);
    const asked = w.server.log.length;
    w.server.post(room, 'u-2', 'again');
    await settle();
    expect(w.server.log.length, 'it is asked once').toBe(asked);
  });

  it('counts who comes and goes while somebody looks at it', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    const { JOINED, LEFT } = Membership;
    w.server.setMember(room, 'carol', 'carol', JOINED, Role.MEMBER);
    await settle();
    expect(alice.room(room.id)?.info.members).toBe(3);
    alice.closeRoom(room.id);
    w.server.setMember(room, 'carol', 'carol', LEFT, Role.MEMBER);
    await settle();
    alice.openRoom(room.id);
    await settle();
    expect(alice.room(room.id)?.info.members).toBe(2);
  });
});

describe('resuming', () => {
  it('goes on with the same session, each push exactly once and in order', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.post(room, 'bob', 'a');
    await settle();
    w.server.cut();
    w.server.post(room, 'bob', 'b');
    w.server.post(room, 'bob', 'c');
    await settle();
    expect(alice.status.kind).toBe('waiting');
    await reconnect(w, alice);
    expect(texts(alice, room.id)).toEqual(['a', 'b', 'c']);
    expect(cases(w).filter((c) => c === 'roomList')).toHaveLength(1);
    expect(w.server.sessions.size).toBe(1);
    const last = w.server.log.findLast((m) => m.command.case === 'connect')!.command.value as { resume: { count: bigint } };
    expect(last.resume.count).toBe(1n);
  });

  it('begins a new session from its positions when it is refused', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.post(room, 'bob', 'a');
    await settle();
    w.server.cut();
    w.server.refuseResume = 'expired';
    for (let i = 0; i < 250; i++) w.server.post(room, 'bob', `b${i}`);
    await settle();
    await reconnect(w, alice);
    expect(texts(alice, room.id)).toEqual(['a', ...Array.from({ length: 250 }, (_, i) => `b${i}`)]);
  });

  it('notices by the count in a ping that a push was lost', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    const session = [...w.server.sessions.values()][0]!;
    const conn = session.conn;
    session.conn = null;
    w.server.post(room, 'bob', 'lost');
    session.conn = conn;
    w.server.ping();
    await settle();
    await reconnect(w, alice);
    expect(texts(alice, room.id)).toEqual(['lost']);
  });

  it('answers pings with its count and leaves a server that falls silent', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.post(room, 'bob', 'x');
    w.server.ping();
    await settle();
    const pong = w.server.log.findLast((m) => m.command.case === 'pong')!;
    expect(pong).toMatchObject({ id: 0, command: { value: { count: 1n } } });
    await w.clock.advance(34_900);
    expect(alice.status.kind).toBe('live');
    await w.clock.advance(200);
    expect(alice.status.kind).toBe('waiting');
  });

  it('probes a connection after a wake-up, and comes back at once when it waits', async () => {
    const w = world();
    const { alice } = await pair(w);
    await w.clock.advance(10_000);
    alice.wake();
    await settle();
    await w.clock.advance(6_000);
    expect(alice.status.kind).toBe('live');
    w.network.up = false;
    w.server.cut();
    await w.clock.advance(60_000);
    w.network.up = true;
    expect(alice.status.kind).not.toBe('live');
    await settle();
    alice.wake();
    await settle();
    expect(alice.status.kind).toBe('live');
  });
});

describe('the log', () => {
  it('closes a hole by reading events, without a reconnect', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    let lose = true;
    w.server.faults.push = (push) => !(lose && push.case === 'event');
    w.server.post(room, 'bob', 'a');
    w.server.post(room, 'bob', 'b');
    lose = false;
    w.server.post(room, 'bob', 'c');
    await settle();
    expect(texts(alice, room.id)).toEqual(['a', 'b', 'c']);
    expect(cases(w).filter((c) => c === 'connect')).toHaveLength(1);
    expect(cases(w).filter((c) => c === 'events')).toHaveLength(1);
  });

  it('takes events in any order, any number of times', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const w = world(seed);
      const random = seeded(seed);
      const { room, alice } = await pair(w);
      const session = [...w.server.sessions.values()][0]!;
      session.rooms.clear();
      const events = Array.from({ length: 12 }, (_, i) => w.server.post(room, 'bob', `m${i}`));
      const shuffled = [...events, ...events].sort(() => random() - 0.5);
      for (const value of shuffled) {
        w.server.push(session, { case: 'event', value });
        if (random() < 0.3) await settle();
      }
      await settle();
      expect(texts(alice, room.id)).toEqual(events.map((_, i) => `m${i}`));
    }
  });

  it('reads on after a gap, and for a head named in a ping', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    const session = [...w.server.sessions.values()][0]!;
    w.server.faults.push = (push) => push.case !== 'event';
    w.server.post(room, 'bob', 'a');
    w.server.push(session, { case: 'gap', value: create(GapSchema, { room: room.id, epoch: 7, head: 3n }) });
    await settle();
    expect(texts(alice, room.id)).toEqual(['a']);
    w.server.post(room, 'bob', 'b');
    w.server.ping([{ room: room.id, epoch: 7, seq: 4n }]);
    await settle();
    expect(texts(alice, room.id)).toEqual(['a', 'b']);
  });

  it('throws a room away and reads it anew when its epoch changed', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.post(room, 'bob', 'old');
    await settle();
    room.epoch = 8;
    room.events.length = 1;
    w.server.post(room, 'bob', 'new');
    await settle();
    expect(texts(alice, room.id)).toEqual(['new']);
    w.server.post(room, 'bob', 'newer');
    await settle();
    expect(texts(alice, room.id)).toEqual(['new', 'newer']);
  });

  it('does so too after a reset at connecting', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.post(room, 'bob', 'old');
    await settle();
    w.server.cut();
    w.server.refuseResume = 'unknown';
    room.events.length = 2;
    await settle();
    await reconnect(w, alice);
    expect(texts(alice, room.id)).toEqual([]);
    w.server.post(room, 'bob', 'after restore');
    await settle();
    expect(texts(alice, room.id)).toEqual(['after restore']);
  });

  it('shows edits and deletes on pages loaded before and after the change', async () => {
    const w = world();
    w.server.token('bob');
    const room = w.server.createRoom('alice', 'Tea', ['bob']);
    for (let i = 0; i < 120; i++) w.server.post(room, 'bob', `m${i}`);
    const alice = w.client('alice');
    await alice.start();
    await settle();
    alice.openRoom(room.id);
    await settle();
    expect(alice.messages(room.id).messages).toHaveLength(50);
    w.server.edit(room, 'bob', 3, 'first, edited');
    w.server.remove(room, 'bob', 4);
    w.server.edit(room, 'bob', 122, 'last, edited');
    await settle();
    await alice.loadOlder(room.id);
    await alice.loadOlder(room.id);
    const list = texts(alice, room.id);
    expect(list).toHaveLength(120);
    expect([list[0], list[1], list[2], list.at(-1)]).toEqual(['first, edited', '(deleted)', 'm2', 'last, edited']);
    expect(alice.messages(room.id).more).toBe(false);
  });
});

describe('the outbox', () => {
  it('sends a message once although its reply was lost', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.faults = { reply: (c) => c.case !== 'send', push: (p) => p.case !== 'event' };
    await alice.send(room.id, 'once');
    await settle();
    expect(texts(alice, room.id)).toEqual(['once [in_flight]']);
    w.server.faults = {};
    w.server.cut();
    await settle();
    await reconnect(w, alice);
    expect(cases(w).filter((c) => c === 'send')).toHaveLength(2);
    await settle();
    expect(room.events).toHaveLength(3);
    w.server.ping([{ room: room.id, epoch: 7, seq: 3n }]);
    await settle();
    expect(texts(alice, room.id)).toEqual(['once']);
  });

  it('keeps what is written offline and sends it in order', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.network.up = false;
    w.server.cut();
    await settle();
    for (const t of ['1', '2', '3', '4']) await alice.send(room.id, t);
    await w.clock.advance(20_000);
    expect(texts(alice, room.id)).toEqual(['1 [waiting]', '2 [waiting]', '3 [waiting]', '4 [waiting]']);
    w.network.up = true;
    alice.wake();
    await settle();
    expect(texts(alice, room.id)).toEqual(['1', '2', '3', '4']);
  });

  it('survives a reload, with edits and deletes too', async () => {
    const w = world();
    const store = new MemoryStore();
    w.server.token('bob');
    const room = w.server.createRoom('alice', 'Tea', ['bob']);
    const before = w.client('alice', { store });
    await before.start();
    await settle();
    before.openRoom(room.id);
    await before.send(room.id, 'old');
    await before.send(room.id, 'older');
    await settle();
    w.network.up = false;
    w.server.cut();
    await settle();
    const [old, older] = before.messages(room.id).messages;
    await before.send(room.id, 'new');
    await before.edit(room.id, old!.seq, 'OLD');
    await before.delete(room.id, older!.seq);
    await before.send(room.id, 'newer');
    await before.stop();

    const after = w.client('alice', { store });
    await after.start();
    await settle();
    // Readable before there is a connection.
    expect(texts(after, room.id)).toEqual(['old', 'older', 'new [waiting]', 'newer [waiting]']);
    w.network.up = true;
    await w.clock.advance(10_000);
    expect(texts(after, room.id)).toEqual(['OLD', '(deleted)', 'new', 'newer']);
    expect(await store.adoptWrites({ first: true })).toEqual([]);
  });

  it('keeps what it had to show until a list that is read anew has something', async () => {
    const w = world();
    const store = new MemoryStore();
    const room = w.server.createRoom('alice', 'Tea', []);
    w.server.post(room, 'alice', 'old');
    const before = w.client('alice', { store });
    await before.start();
    await settle();
    before.openRoom(room.id);
    await settle();
    await before.flush();
    // The room is another one now, and the connection goes before its messages were read.
    w.server.cut();
    w.server.refuseResume = 'expired';
    room.epoch = 8;
    w.server.faults.reply = ({ case: asked }) => asked !== 'history';
    await w.clock.advance(4_000);
    expect(texts(before, room.id)).toEqual([]);
    w.network.up = false;
    w.server.cut();
    await before.stop();

    const after = w.client('alice', { store });
    await after.start();
    await settle();
    expect(texts(after, room.id)).toEqual(['old']);
    w.network.up = true;
    w.server.faults = {};
    await w.clock.advance(60_000);
    after.openRoom(room.id);
    await settle();
    expect(texts(after, room.id)).toEqual(['old']);
    await after.stop();
  });

  it('is harmless when two pages of one browser send the same', async () => {
    const w = world();
    const store = new MemoryStore();
    w.server.token('bob');
    const room = w.server.createRoom('alice', 'Tea', ['bob']);
    w.network.up = false;
    const one = w.client('alice', { store });
    await one.start();
    for (let i = 0; i < 5; i++) await one.send(room.id, `${i}`);
    const two = w.client('alice', { store });
    await two.start();
    w.network.up = true;
    one.wake();
    two.wake();
    await w.clock.advance(5_000);
    await Promise.all([one.openRoom(room.id), two.openRoom(room.id)]);
    await settle();
    expect(texts(one, room.id)).toEqual(['0', '1', '2', '3', '4']);
    expect(texts(two, room.id)).toEqual(['0', '1', '2', '3', '4']);
    expect(w.server.sessions.size).toBe(2);
  });

  it('tries again after a temporary error, later ones of the room behind it', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    let times = 2;
    w.server.faults.instead = (c) =>
      c.case === 'send' && times-- > 0
        ? { case: 'error', value: refusal(301, 'rate_limited', { temporary: true, retryMs: 2_000 }) }
        : undefined;
    await alice.send(room.id, 'a');
    await alice.send(room.id, 'b');
    await w.clock.advance(1_500);
    expect(texts(alice, room.id)).toEqual(['a [waiting]', 'b [waiting]']);
    await w.clock.advance(20_000);
    expect(texts(alice, room.id)).toEqual(['a', 'b']);
  });

  it('shows a permanent error, goes on with the next, and offers to retry or discard', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.faults.instead = (c) =>
      c.case === 'send' && c.value.text.startsWith('bad') ? { case: 'error', value: refusal(300, 'forbidden') } : undefined;
    const bad = await alice.send(room.id, 'bad');
    const worse = await alice.send(room.id, 'bad too');
    await alice.send(room.id, 'good');
    await settle();
    expect(texts(alice, room.id)).toEqual(['good', 'bad [failed]', 'bad too [failed]']);
    w.server.faults = {};
    expect(alice.discard(worse)).toBe(true);
    alice.retry(bad);
    await settle();
    expect(texts(alice, room.id)).toEqual(['good', 'bad']);
  });

  it('gives a write that never was sent a new cid when its own is too old', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    let first = '';
    w.server.faults.instead = (c) => {
      if (c.case !== 'send' || (first !== '' && c.value.cid !== first)) return undefined;
      first = c.value.cid;
      return { case: 'error', value: refusal(405, 'cid_expired') };
    };
    await alice.send(room.id, 'late');
    await settle();
    expect(texts(alice, room.id)).toEqual(['late']);
  });

  it('leaves it to the person when a write that may have arrived is too old', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.faults.instead = (c) => (c.case === 'send' ? { case: 'error', value: refusal(405, 'cid_expired') } : undefined);
    w.server.faults.reply = (c) => c.case !== 'send';
    await alice.send(room.id, 'unsure');
    await settle();
    w.server.faults.reply = () => true;
    w.server.cut();
    await settle();
    await reconnect(w, alice);
    await settle();
    expect(texts(alice, room.id)).toEqual(['unsure [failed]']);
    w.server.faults = {};
    alice.retry(alice.messages(room.id).writes[0]!.cid);
    await settle();
    expect(texts(alice, room.id)).toEqual(['unsure']);
  });
});

describe('close codes', () => {
  it('follows the range of the code, and the time in bye', async () => {
    const w = world();
    const { alice } = await pair(w);
    w.server.bye(4077, [5_000, 6_000]);
    await settle();
    const { status } = alice;
    expect(status.kind === 'waiting' && status.untilMs - w.clock.now()).toBeGreaterThanOrEqual(5_000);
    await w.clock.advance(6_000);
    expect(alice.status.kind).toBe('live');

    w.server.bye(4250);
    await settle();
    alice.wake();
    await w.clock.advance(29_000);
    expect(alice.status.kind).toBe('waiting');
    await w.clock.advance(32_000);
    expect(alice.status.kind).toBe('live');

    w.server.bye(4305);
    await w.clock.advance(100_000);
    expect(alice.status).toMatchObject({ kind: 'stopped', reason: 'replaced' });
    alice.restart();
    await settle();
    expect(alice.status.kind).toBe('live');
  });

  it('comes back with a fresh token and the same session after 4100', async () => {
    const w = world();
    const wanted: boolean[] = [];
    w.server.token('bob');
    w.server.createRoom('alice', 'Tea');
    const alice = w.client('alice', {
      getToken: async ({ fresh }) => {
        wanted.push(fresh);
        return w.server.token('alice');
      },
    });
    await alice.start();
    await settle();
    w.server.bye(4100, [0, 100]);
    await w.clock.advance(200);
    expect(alice.status.kind).toBe('live');
    expect(wanted).toEqual([false, true]);
    expect(w.server.sessions.size).toBe(1);
  });

  it('throws local state away after 4101', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.post(room, 'bob', 'a');
    await settle();
    w.server.bye(4101, [0, 100]);
    await settle();
    expect(alice.messages(room.id).ready).toBe(false);
    await w.clock.advance(200);
    alice.openRoom(room.id);
    await settle();
    expect(texts(alice, room.id)).toEqual(['a']);
  });

  it('stops when nobody vouches for the person any more', async () => {
    const w = world();
    const alice = w.client('alice', { getToken: async () => null });
    await alice.start();
    await settle();
    expect(alice.status).toMatchObject({ kind: 'stopped', reason: 'unauthorized' });
  });

  it('waits for a token server that can not be reached', async () => {
    const w = world();
    let up = false;
    const alice = w.client('alice', {
      getToken: async () => {
        if (!up) throw new TypeError('network');
        return w.server.token('alice');
      },
    });
    await alice.start();
    await w.clock.advance(10_000);
    expect(alice.status.kind).not.toBe('stopped');
    up = true;
    await w.clock.advance(30_000);
    expect(alice.status.kind).toBe('live');
  });

  it('refreshes its token at 80 % of its life, on the living connection', async () => {
    const w = world();
    w.server.tokenMs = 100_000;
    w.server.pingMs = 1_000_000;
    const { alice } = await pair(w);
    await w.clock.advance(79_000);
    expect(cases(w)).not.toContain('refresh');
    await w.clock.advance(2_000);
    expect(cases(w)).toContain('refresh');
    await w.clock.advance(79_000);
    expect(cases(w).filter((c) => c === 'refresh')).toHaveLength(1 + 1);
    expect(alice.status.kind).toBe('live');
  });
});

describe('rooms', () => {
  it('come and go by state pushes; the greatest version wins', async () => {
    const w = world();
    const { alice } = await pair(w);
    const other = w.server.createRoom('bob', 'Garden');
    w.server.post(other, 'bob', 'before');
    w.server.setMember(other, 'bob', 'alice', 1, 2);
    await settle();
    expect(alice.room(other.id)?.info.membership).toBe('invited');
    await alice.joinRoom(other.id);
    await settle();
    alice.openRoom(other.id);
    await settle();
    w.server.post(other, 'bob', 'welcome');
    await settle();
    expect(texts(alice, other.id)).toEqual(['before', 'welcome']);
    const gone: string[] = [];
    alice.onChange((c) => c.kind === 'gone' && gone.push(c.room));
    w.server.setMember(other, 'bob', 'alice', 3, 0);
    await settle();
    expect(alice.room(other.id)).toBeNull();
    expect(gone).toEqual([other.id]);
  });

  it('counts what is unread, and none of it after it was read', async () => {
    const w = world();
    const { room, alice } = await pair(w);
    w.server.post(room, 'bob', 'a');
    w.server.post(room, 'bob', 'b');
    await alice.send(room.id, 'mine');
    await settle();
    expect(alice.room(room.id)?.unread).toEqual({ count: 2, more: false, mentions: 0 });
    alice.markRead(room.id);
    expect(alice.room(room.id)?.unread.count).toBe(0);
  });

  it('says at once that a room can not be made without a connection', async () => {
    const w = world();
    const { alice } = await pair(w);
    w.network.up = false;
    w.server.cut();
    await settle();
    await expect(alice.createRoom({ kind: 'group', title: 'x' })).rejects.toMatchObject({ reason: 'offline' });
  });

  it('makes a room once although the connection was lost before the reply', async () => {
    const w = world();
    const { alice } = await pair(w);
    w.server.faults.reply = (c) => c.case !== 'roomCreate';
    const made = alice.createRoom({ kind: 'group', title: 'x' });
    await settle();
    w.server.faults = {};
    w.server.cut();
    await w.clock.advance(4_000);
    expect((await made).title).toBe('x');
    expect(cases(w).filter((c) => c === 'roomCreate')).toHaveLength(2);
  });
});

describe('everything at once', () => {
  it('ends with the same list everywhere, whatever was cut, lost or repeated', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const w = world(seed);
      const random = seeded(seed * 7919);
      w.server.token('bob');
      const room = w.server.createRoom('alice', 'Tea', ['bob']);
      const clients = [w.client('alice'), w.client('bob')];
      for (const c of clients) await c.start();
      await settle();
      for (const c of clients) c.openRoom(room.id);
      let sent = 0;
      for (let step = 0; step < 60; step++) {
        const dice = random();
        const client = clients[Math.floor(random() * 2)]!;
        const own = client.messages(room.id).messages.filter((m) => m.sender === client.me.id && !m.deleted);
        const target = own[Math.floor(random() * own.length)]?.seq;
        if (dice < 0.4) await client.send(room.id, `${client.me.id} ${sent++}`);
        else if (dice < 0.5 && target) await client.edit(room.id, target, `edited ${step}`);
        else if (dice < 0.55 && target) await client.delete(room.id, target);
        else if (dice < 0.65) w.server.cut();
        else if (dice < 0.7) w.server.faults.reply = () => random() > 0.5;
        else if (dice < 0.75) w.server.refuseResume = random() < 0.5 ? 'expired' : '';
        else if (dice < 0.8) w.network.up = random() < 0.5;
        else await w.clock.advance(Math.floor(random() * 3_000));
        if (random() < 0.5) await settle();
      }
      w.server.faults = {};
      w.network.up = true;
      w.server.cut();
      await w.clock.advance(120_000);
      const truth = w.server.messages(room).map((m) => (m.deletedSeq > 0n ? '(deleted)' : m.text));
      expect(texts(clients[0]!, room.id), `seed ${seed}`).toEqual(truth);
      expect(texts(clients[1]!, room.id), `seed ${seed}`).toEqual(truth);
      expect(w.server.messages(room)).toHaveLength(sent);
    }
  }, 60_000);
});
