import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { isStarved, isUndecodable, type CallNotice } from '../src/client/call-view.js';
import type { Kaiwa } from '../src/client/client.js';
import { CallSource, ReplySchema, RoomKind, type ClientMessage, type Reply } from '../src/gen/kaiwa/client/v1/client_pb.js';
import { fakeTrack } from './fake-peer.js';
import { refusal } from './fake-server.js';
import { settle, world, type World } from './harness.js';

const { CAMERA, MICROPHONE, SCREEN } = CallSource;

const said = (w: World, which: string) => w.server.log.filter((m: ClientMessage) => m.command.case === which).map((m) => m.command.value as never);

async function inCall(w: World, codec: 'proto' | 'json' = 'proto') {
  w.server.token('bob', 'Bob');
  const room = w.server.createRoom('alice', 'Tea', ['bob']);
  const alice = w.client('alice', { codec });
  const notices: CallNotice[] = [];
  alice.onChange((c) => c.kind === 'call_notice' && notices.push(c.notice));
  await alice.start();
  await settle();
  const microphone = fakeTrack('audio');
  const camera = fakeTrack('video');
  await alice.call.join(room.id, { microphone, camera });
  await settle();
  w.peers.last.becomes('connected');
  await settle();
  return { room: room.id, alice, notices, microphone, camera };
}

const person = (client: Kaiwa, user: string) => client.call.participants().find((p) => p.user.id === user);

describe.each(['proto', 'json'] as const)('a call over %s', (codec) => {
  it('publishes what one gave, hears and sees others, and leaves', async () => {
    const w = world();
    const { room, alice } = await inCall(w, codec);
    expect(alice.call.status).toEqual({ kind: 'connected', room });
    const bot = w.server.calls.addBot(room, 'bob', [{ source: MICROPHONE }, { source: CAMERA }]);
    await settle();
    const [mic, cam] = bot.publications;
    expect(person(alice, 'bob')?.microphone?.track?.kind).toBe('audio');
    expect(person(alice, 'bob')?.camera?.track).toBeNull();
    alice.call.prefer([{ publication: cam!.id, width: 320, height: 180, paused: false }]);
    await w.clock.advance(200);
    expect(person(alice, 'bob')?.camera).toMatchObject({ layer: 2, track: { kind: 'video' } });
    mic!.muted = true;
    w.server.calls.changed(room, bot.id);
    w.server.calls.speakers(room, [[bot.id, 30]], bot.id);
    w.server.calls.quality(room, bot.id, 'poor');
    await settle();
    expect(person(alice, 'bob')).toMatchObject({ speaking: true, quality: 'poor', microphone: { muted: true } });
    expect(alice.call.active).toBe(bot.id);
    await alice.call.leave();
    await settle();
    expect(alice.call.status.kind).toBe('idle');
    expect(w.peers.last.closed).toBe(true);
    expect(w.server.calls.rooms.get(room)!.participants.size).toBe(1);
  });
});

describe('joining', () => {
  it('offers the pool of receivers and says what each sending line is', async () => {
    const w = world();
    const { alice } = await inCall(w);
    const [offer] = said(w, 'callOffer') as { sdp: string; tracks: { mid: string; source: number }[] }[];
    expect(offer!.sdp.match(/a=recvonly/g)).toHaveLength(4);
    expect(offer!.tracks.map((t) => [t.mid, t.source])).toEqual([['4', MICROPHONE], ['5', CAMERA]]);
    expect(w.peers.last.offers).toBe(1);
    expect(person(alice, 'alice')).toMatchObject({ me: true, microphone: { muted: false }, camera: { muted: false } });
  });

  it('says why it was refused, and nothing is left of it', async () => {
    const w = world();
    const room = w.server.createRoom('alice', 'Tea');
    w.server.calls.peopleMax = 0;
    const alice = w.client('alice');
    await alice.start();
    await settle();
    await expect(alice.call.join(room.id)).rejects.toMatchObject({ reason: 'call_full' });
    expect(alice.call.status).toMatchObject({ kind: 'ended', reason: 'refused', error: { reason: 'call_full' } });
    expect(w.peers.all).toHaveLength(0);
  });

  it('fails after new peers could not connect either, each with a place of its own', async () => {
    const w = world();
    w.server.createRoom('alice', 'Tea');
    const alice = w.client('alice');
    await alice.start();
    await settle();
    await alice.call.join([...w.server.rooms.keys()][0]!);
    await w.clock.advance(29_000);
    expect(alice.call.status.kind).toBe('joining');
    await w.clock.advance(1_500);
    expect(alice.call.status).toMatchObject({ kind: 'ended', reason: 'failed' });
    expect(w.peers.all).toHaveLength(2);
    expect(w.peers.all.every((p) => p.closed)).toBe(true);
  });

  it('says after ten seconds that something may be in the way, until it connects', async () => {
    const w = world();
    const room = w.server.createRoom('alice', 'Tea').id;
    const alice = w.client('alice');
    await alice.start();
    await settle();
    await alice.call.join(room);
    const changes: string[] = [];
    alice.onChange((c) => changes.push(c.kind));
    await w.clock.advance(9_000);
    expect(alice.call.status).toEqual({ kind: 'joining', room, slow: false, cause: null });
    await w.clock.advance(1_500);
    expect(alice.call.status).toEqual({ kind: 'joining', room, slow: true, cause: null });
    expect(changes).toContain('call');
    await w.clock.advance(5_000);
    expect(alice.call.status, 'with another peer').toMatchObject({ slow: true });
    await settle();
    w.peers.last.becomes('connected');
    await settle();
    expect(alice.call.status).toEqual({ kind: 'connected', room });
  });

  it('tries longer once it was connected', async () => {
    const w = world();
    const { alice } = await inCall(w);
    w.peers.last.becomes('failed');
    await w.clock.advance(200_000);
    expect(alice.call.status).toMatchObject({ kind: 'ended', reason: 'failed' });
    expect(w.peers.all).toHaveLength(5);
  });

  it('counts what rosters said while the reply to the join was on its way', async () => {
    const w = world();
    const room = w.server.createRoom('alice', 'Tea').id;
    const alice = w.client('alice');
    await alice.start();
    await settle();
    const early = w.server.calls.addBot(room, 'early', [{ source: MICROPHONE }]);
    let held: Reply['result'] | null = null;
    w.server.faults.reply = (command, result) => {
      if (command.case !== 'callJoin') return true;
      held = result;
      return false;
    };
    const joining = alice.call.join(room);
    await settle();
    expect(held).not.toBeNull();
    w.server.calls.addBot(room, 'late', [{ source: CAMERA }]);
    w.server.calls.gone(room, early.id, 'left');
    await settle();
    expect(alice.call.participants().map((p) => p.user.id), 'not in it yet').toEqual(['alice']);
    const { id } = w.server.log.findLast((m) => m.command.case === 'callJoin')!;
    const [session] = w.server.sessions.values();
    session!.conn!.write({ case: 'reply', value: create(ReplySchema, { id, result: held! }) });
    await joining;
    await settle();
    expect(alice.call.participants().map((p) => p.user.id).sort()).toEqual(['alice', 'late']);
    expect(person(alice, 'late')?.camera).not.toBeNull();
  });

  it('leaves the call of another room first', async () => {
    const w = world();
    const { room, alice } = await inCall(w);
    const other = w.server.createRoom('alice', 'Cake');
    await settle();
    await alice.call.join(other.id);
    await settle();
    expect(w.server.calls.rooms.get(room)!.participants.size).toBe(0);
    expect(alice.call.room).toBe(other.id);
    expect(w.peers.all[0]!.closed).toBe(true);
  });
});

describe('what is received', () => {
  it('has layer 0 and the reason while nothing of a picture is sent, and layers from 1 on', async () => {
    const w = world();
    const { room, alice } = await inCall(w);
    const bot = w.server.calls.addBot(room, 'bob', [{ source: CAMERA }]);
    await settle();
    alice.call.prefer([{ publication: bot.publications[0]!.id, width: 320, height: 180, paused: false }]);
    w.server.calls.starved.add('bob');
    await w.clock.advance(200);
    expect(person(alice, 'bob')?.camera).toMatchObject({ layer: 0, limitedBy: 'bandwidth' });
    expect(isStarved(person(alice, 'bob')!.camera)).toBe(true);
    w.server.calls.starved.clear();
    w.server.calls.changed(room, bot.id);
    await settle();
    expect(person(alice, 'bob')?.camera).toMatchObject({ layer: 2, limitedBy: '' });
    expect(isStarved(person(alice, 'bob')!.camera)).toBe(false);
    expect(isStarved({ ...person(alice, 'bob')!.camera!, layer: 1, limitedBy: 'bandwidth' }), 'the smallest is a picture').toBe(false);
    expect(isStarved({ ...person(alice, 'bob')!.camera!, layer: 0, limitedBy: 'muted' })).toBe(false);
    const foreign = { ...person(alice, 'bob')!.camera!, layer: 0, limitedBy: 'codec' };
    expect([isUndecodable(foreign), isStarved(foreign)]).toEqual([true, false]);
    expect(isUndecodable(person(alice, 'bob')!.camera), 'a picture that is there').toBe(false);
  });
});

describe('publishing', () => {
  it('asks for more receivers when the server wants them, once', async () => {
    const w = world();
    const { room, alice } = await inCall(w);
    const bots = ['b1', 'b2', 'b3', 'b4', 'b5'].map((u) => w.server.calls.addBot(room, u, [{ source: MICROPHONE }, { source: CAMERA }]));
    await settle();
    alice.call.prefer(bots.map((b) => ({ publication: b.publications[1]!.id, width: 100, height: 100, paused: false })));
    await w.clock.advance(1_000);
    expect([w.peers.last.receivers('audio'), w.peers.last.receivers('video')]).toEqual([5, 5]);
    expect(alice.call.participants().filter((p) => p.camera?.track && p.microphone?.track)).toHaveLength(6);
  });

  it('stops and starts a camera without an offer, and a screen with one', async () => {
    const w = world();
    const { alice, camera } = await inCall(w);
    const peer = w.peers.last;
    alice.call.mute('camera', true);
    await settle();
    expect(peer.sources.get('camera')!.track).toBeNull();
    expect(camera.enabled).toBe(false);
    const second = fakeTrack('video');
    await alice.call.publish('camera', second);
    await settle();
    expect(peer.sources.get('camera')!.track).toBe(second);
    expect(peer.offers).toBe(1);
    expect((said(w, 'callMute') as { muted: boolean }[]).map((m) => m.muted)).toEqual([true, false]);
    await alice.call.publish('screen', fakeTrack('video'));
    expect(peer.offers).toBe(2);
    alice.call.unpublish('screen');
    await settle();
    expect((said(w, 'callOffer') as { tracks: { source: number }[] }[]).at(-1)!.tracks.map((t) => t.source)).toEqual([MICROPHONE, CAMERA]);
    await alice.call.publish('screen', fakeTrack('video'));
    await settle();
    expect((said(w, 'callOffer') as { tracks: { source: number; mid: string }[] }[]).at(-1)!.tracks.at(-1)).toMatchObject({ source: SCREEN, mid: '6' });
  });

  it('puts what is wanted during an offer into the next one', async () => {
    const w = world();
    const { alice } = await inCall(w);
    const all = [alice.call.publish('screen', fakeTrack('video')), alice.call.publish('screen_audio', fakeTrack('audio'))];
    await Promise.all(all);
    expect(w.peers.last.offers).toBe(3);
  });

  it('tells the publisher when a track is refused', async () => {
    const w = world();
    const { alice } = await inCall(w);
    w.server.faults.reply = (_, result) => {
      if (result.case === 'callAnswer') for (const t of result.value.tracks) if (t.mid === '6') t.outcome = { case: 'error', value: refusal(302, 'limit_reached') };
      return true;
    };
    await expect(alice.call.publish('screen', fakeTrack('video'))).rejects.toMatchObject({ reason: 'limit_reached' });
    expect(alice.call.local('screen')).toBeNull();
  });

  it('is muted by a moderator, and not unmuted', async () => {
    const w = world();
    const { room, alice, notices, microphone } = await inCall(w);
    const me = [...w.server.calls.rooms.get(room)!.participants.values()][0]!;
    const mic = me.publications.find((p) => p.source === MICROPHONE)!;
    mic.muted = true;
    w.server.calls.changed(room, me.id);
    await settle();
    expect(microphone.enabled).toBe(false);
    expect(notices).toContainEqual({ kind: 'muted', source: 'microphone' });
    mic.muted = false;
    w.server.calls.changed(room, me.id);
    await settle();
    expect(microphone.enabled).toBe(false);
    expect(mic.muted).toBe(true);
    alice.call.mute('microphone', false);
    await settle();
    expect([microphone.enabled, mic.muted]).toEqual([true, false]);
  });

  it('does not let anybody be heard who believes to be muted, whatever gets lost', async () => {
    const w = world();
    const { room, alice } = await inCall(w);
    let lose = true;
    w.server.faults.instead = (c) => {
      if (c.case !== 'callMute' || !lose) return undefined;
      lose = false;
      w.server.cut();
      return { case: 'error', value: refusal(104, 'overloaded', { temporary: true }) };
    };
    alice.call.mute('microphone', true);
    await settle();
    await w.clock.advance(5_000);
    const me = [...w.server.calls.rooms.get(room)!.participants.values()][0]!;
    expect(me.publications.find((p) => p.source === MICROPHONE)!.muted).toBe(true);
  });

  it('asks for sizes once they have settled, and again after a new session', async () => {
    const w = world();
    const { room, alice } = await inCall(w);
    const bot = w.server.calls.addBot(room, 'bob', [{ source: CAMERA }]);
    await settle();
    const publication = bot.publications[0]!.id;
    for (let width = 100; width < 200; width += 10) alice.call.prefer([{ publication, width, height: 90, paused: false }]);
    alice.call.prefer([{ publication, width: 320, height: 180, paused: false }, { publication: 'gone', width: 1, height: 1, paused: false }]);
    await w.clock.advance(1_000);
    alice.call.prefer([{ publication, width: 320, height: 180, paused: false }]);
    await w.clock.advance(1_000);
    expect(said(w, 'callPrefer')).toMatchObject([{ preferences: [{ publication, width: 320 }] }]);
    w.server.refuseResume = 'expired';
    w.server.cut();
    await w.clock.advance(6_000);
    expect(said(w, 'callPrefer')).toHaveLength(2);
  });
});

describe('losing things', () => {
  it('goes on with its media while the session is resumed', async () => {
    const w = world();
    const { room, alice } = await inCall(w);
    w.server.cut();
    await settle();
    expect(alice.call.status).toEqual({ kind: 'connected', room });
    alice.call.mute('microphone', true);
    const publishing = alice.call.publish('screen', fakeTrack('video'));
    await w.clock.advance(5_000);
    await publishing;
    expect(w.peers.all).toHaveLength(1);
    const me = [...w.server.calls.rooms.get(room)!.participants.values()][0]!;
    expect(me.publications.map((p) => [p.source, p.muted])).toEqual([[MICROPHONE, true], [CAMERA, false], [SCREEN, false]]);
  });

  it('offers again when the answer was lost', async () => {
    const w = world();
    const { alice } = await inCall(w);
    let lost = 0;
    w.server.faults.reply = (c) => {
      if (c.case !== 'callOffer' || lost > 0) return true;
      lost += 1;
      w.server.cut();
      return false;
    };
    const publishing = alice.call.publish('screen', fakeTrack('video'));
    await w.clock.advance(5_000);
    await publishing;
    expect(w.peers.last.offers).toBe(3);
    expect(w.server.calls.of([...w.server.sessions.keys()][0]!)!.publications).toHaveLength(3);
  });

  it('joins again after a new session, and plays the old peer until the new one is connected', async () => {
    const w = world();
    const { room, alice, microphone } = await inCall(w);
    const bot = w.server.calls.addBot(room, 'bob', [{ source: MICROPHONE }]);
    await settle();
    const before = person(alice, 'bob')!.microphone!.track;
    w.server.refuseResume = 'expired';
    w.server.cut();
    await w.clock.advance(5_000);
    expect(w.peers.all.map((p) => p.closed)).toEqual([false, false]);
    expect(alice.call.status).toEqual({ kind: 'connected', room });
    expect(alice.call.participants().map((p) => p.user.id).sort()).toEqual(['alice', 'bob']);
    expect(person(alice, 'bob')!.microphone!.track).toBe(before);
    w.peers.last.becomes('connected');
    await settle();
    expect(w.peers.all.map((p) => p.closed)).toEqual([true, false]);
    expect(person(alice, 'bob')!.microphone!.track).not.toBe(before);
    expect(person(alice, 'bob')!.participant).toBe(bot.id);
    expect(w.peers.last.sources.get('microphone')!.track).toBe(microphone);
  });

  it('restarts ICE when the path is interrupted, and takes another peer when that does not help', async () => {
    const w = world();
    const { room, alice } = await inCall(w);
    const peer = w.peers.last;
    peer.becomes('interrupted');
    await settle();
    expect(alice.call.status.kind).toBe('reconnecting');
    await w.clock.advance(2_000);
    expect(peer.restarts).toBe(0);
    peer.becomes('connected');
    await w.clock.advance(10_000);
    expect(peer.restarts).toBe(0);
    peer.becomes('interrupted');
    await w.clock.advance(2_600);
    expect(peer.restarts).toBe(1);
    peer.becomes('connecting');
    peer.becomes('connected');
    await w.clock.advance(20_000);
    expect([peer.restarts, w.peers.all.length]).toEqual([1, 1]);
    peer.becomes('failed');
    await w.clock.advance(5_000);
    expect(peer.restarts).toBe(2);
    await w.clock.advance(14_000);
    expect(peer.closed).toBe(true);
    w.peers.last.becomes('connected');
    await settle();
    expect(alice.call.status).toEqual({ kind: 'connected', room });
    expect(w.server.calls.rooms.get(room)!.participants.size).toBe(1);
  });

  it('asks the session for a word when the path is interrupted', async () => {
    const w = world();
    await inCall(w);
    await w.clock.advance(10_000);
    const probes = () => w.server.log.filter((m) => m.command.case === 'roomList').length;
    const before = probes();
    w.peers.last.becomes('interrupted');
    await settle();
    expect(probes()).toBe(before + 1);
  });

  it('restarts ICE at once on another network', async () => {
    const w = world();
    const { alice } = await inCall(w);
    alice.call.networkChanged();
    await settle();
    expect(w.peers.last.restarts).toBe(1);
  });

  it('takes back what it has no right to any more, and goes on', async () => {
    const w = world();
    const { room, alice } = await inCall(w);
    expect(alice.call.local('microphone')).not.toBeNull();
    w.server.calls.rights(room, alice.call.participant, [CAMERA]);
    await settle();
    expect(alice.call.rights.publish).toEqual(['camera']);
    expect(alice.call.local('microphone')).toBeNull();
    expect(person(alice, 'alice')).toMatchObject({ microphone: null, camera: { muted: false } });
    expect(w.peers.all).toHaveLength(1);
    expect(alice.call.status).toEqual({ kind: 'connected', room });
  });

  it.each([
    ['removed', 'ended'],
    ['not_a_member', 'ended'],
    ['replaced', 'ended'],
    ['server', 'joining again'],
    ['timed_out', 'joining again'],
  ])('when the server says %s: %s', async (reason, what) => {
    const w = world();
    const { room, alice } = await inCall(w);
    w.server.calls.end(room, alice.call.participant, reason);
    await settle();
    if (what === 'ended') {
      expect(alice.call.status).toEqual({ kind: 'ended', room, reason, error: null, cause: null });
      expect(w.peers.all).toHaveLength(1);
    } else {
      expect(w.peers.all).toHaveLength(2);
      w.peers.last.becomes('connected');
      await settle();
      expect(alice.call.status).toEqual({ kind: 'connected', room });
    }
    expect(w.peers.all[0]!.closed).toBe(true);
  });

  it('leaves on return what was left without a connection', async () => {
    const w = world();
    const { room, alice } = await inCall(w);
    w.server.cut();
    await settle();
    await alice.call.leave();
    await w.clock.advance(5_000);
    expect(w.server.calls.rooms.get(room)!.participants.size).toBe(0);
  });

  it('survives any order of losses: media, session, both', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const w = world(seed);
      const { room, alice } = await inCall(w);
      let x = seed * 7919;
      for (let i = 0; i < 12; i++) {
        x = (x * 1103515245 + 12345) & 0x7fffffff;
        const peer = w.peers.last;
        w.server.refuseResume = x & 64 ? 'expired' : '';
        [
          () => w.server.cut(),
          () => peer.becomes('interrupted'),
          () => peer.becomes('failed'),
          () => peer.becomes('connected'),
          () => alice.call.mute('microphone', (x & 128) !== 0),
          () => alice.call.networkChanged(),
          () => void alice.call.publish('camera', fakeTrack('video')).catch(() => {}),
        ][x % 7]!();
        await w.clock.advance((x >> 8) % 3_000);
      }
      for (let i = 0; i < 10; i++) {
        w.peers.last.becomes('connected');
        await w.clock.advance(5_000);
      }
      expect(alice.call.status, `seed ${seed}`).toEqual({ kind: 'connected', room });
      const open = w.peers.all.filter((p) => !p.closed);
      expect(open, `seed ${seed}`).toHaveLength(1);
      const mine = w.server.calls.rooms.get(room)!.participants;
      expect(mine.size, `seed ${seed}`).toBe(1);
      const mic = mine.get(alice.call.participant)!.publications.find((p) => p.source === MICROPHONE)!;
      expect(mic.muted, `seed ${seed}`).toBe(alice.call.local('microphone')!.muted);
    }
  });
});

describe('rings', () => {
  async function direct(w: World) {
    w.server.token('bob', 'Bob');
    const room = w.server.createRoom('alice', '', ['bob'], RoomKind.DIRECT);
    const [alice, bob] = [w.client('alice'), w.client('bob')];
    const notices: CallNotice[] = [];
    alice.onChange((c) => c.kind === 'call_notice' && notices.push(c.notice));
    await Promise.all([alice.start(), bob.start()]);
    await settle();
    await alice.call.join(room.id);
    await alice.call.ring();
    await settle();
    return { room: room.id, alice, bob, notices };
  }

  it('ring until somebody joins', async () => {
    const w = world();
    const { room, alice, bob } = await direct(w);
    expect(bob.call.rings()).toMatchObject([{ room, from: { id: 'alice' } }]);
    expect(alice.call.outgoing).toMatchObject({ room });
    await bob.call.join(room);
    await settle();
    expect(bob.call.rings()).toEqual([]);
    expect(alice.call.outgoing).toBeNull();
  });

  it('are declined, which the caller hears', async () => {
    const w = world();
    const { room, alice, bob, notices } = await direct(w);
    await bob.call.decline(room);
    await settle();
    expect(bob.call.rings()).toEqual([]);
    expect(alice.call.outgoing).toBeNull();
    expect(notices).toContainEqual({ kind: 'ring', user: { id: 'bob', name: 'bob' }, outcome: 'declined' });
  });

  it('stop by themselves, and with the call', async () => {
    const w = world();
    const { alice, bob } = await direct(w);
    w.peers.last.becomes('connected');
    await w.clock.advance(46_000);
    expect(bob.call.rings()).toEqual([]);
    await alice.call.ring();
    await settle();
    expect(bob.call.rings()).toHaveLength(1);
    await alice.call.leave();
    await settle();
    expect(bob.call.rings()).toEqual([]);
  });
});

describe('who is in a room’s call', () => {
  it('is pushed to who follows the room, and asked when it is opened', async () => {
    const w = world();
    w.server.token('bob');
    const room = w.server.createRoom('alice', 'Tea', ['bob']);
    w.server.calls.addBot(room.id, 'bob', []);
    const alice = w.client('alice');
    await alice.start();
    await settle();
    expect(alice.callIn(room.id).count).toBe(0);
    alice.openRoom(room.id);
    await settle();
    expect(alice.callIn(room.id)).toMatchObject({ count: 1, startedMs: w.clock.now() });
    const bot = w.server.calls.addBot(room.id, 'carol', []);
    await settle();
    expect(alice.callIn(room.id).count).toBe(2);
    for (const p of [...w.server.calls.rooms.get(room.id)!.participants.keys()]) w.server.calls.gone(room.id, p, 'left');
    await settle();
    expect(alice.callIn(room.id)).toMatchObject({ count: 0, startedMs: 0 });
    expect(bot.id).not.toBe('');
  });

  it.each([
    [102, 'unknown_command'],
    [507, 'calls_off'],
  ])('is nobody’s business for a server without calls: %s', async (code, reason) => {
    const w = world();
    const room = w.server.createRoom('alice', 'Tea');
    w.server.faults.instead = (c) => (c.case === 'callGet' ? { case: 'error', value: refusal(code, reason) } : undefined);
    const alice = w.client('alice');
    await alice.start();
    await settle();
    alice.openRoom(room.id);
    await settle();
    expect(alice.call.supported).toBe(false);
  });
});
