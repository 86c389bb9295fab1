import { describe, expect, it } from 'vitest';
import { causeWords } from '../src/app/call-cause-words.js';
import { copyText, withoutTokens } from '../src/app/call-inspect-copy.js';
import { merged, Poll, secondsFor, whole } from '../src/app/call-inspect-poll.js';
import { ceiling, meanOf, pathOf, rangeOf, sampleAt, xOf } from '../src/app/call-inspect-scale.js';
import { layerText, rateText, shareText, spanText } from '../src/app/call-inspect-words.js';
import { lang } from '../src/app/i18n.js';
import type { CallCause, CallSample, CallSighting } from '../src/client/index.js';
import { CallInspector } from '../src/client/inspect.js';
import { pairsOf } from '../src/client/inspect-sight.js';
import { callsOf, reportOf, sightingBody, verdictOf } from '../src/client/inspect-wire.js';
import { KaiwaError } from '../src/client/types.js';
import { settle, VirtualClock, world } from './harness.js';
import { callsFixture, fixture, MEDIA_BLOCKED, STARVED } from './inspect-fixture.js';

const NOW = 1_790_000_000_000;
const report = (seconds = 60, nowMs = NOW) => reportOf(fixture({ nowMs, seconds }));

describe('the inspector’s JSON', () => {
  it('is read as the contract has it', () => {
    const { scope, participants, failures } = report();
    expect([scope, participants.length, failures.length]).toEqual(['all', 4, 2]);
    const ben = participants[1]!;
    expect(ben).toMatchObject({ user: 'ben', state: 'connected', protocol: 'tcp', cause: STARVED });
    expect(ben.samples).toHaveLength(60);
    expect(ben.samples.at(-1)!.ms).toBe(NOW);
    expect(ben.subscriptions[2]).toMatchObject({ layer: null, limitedBy: 'bandwidth', freezeNow: true });
    expect(ben.publications[1]!.layers.map((l) => l.id)).toEqual(['q', 'h', 'f']);
    expect(ben.pairs.map((p) => [p.protocol, p.nominated])).toEqual([['udp', false], ['tcp', true]]);
    expect(failures[1]).toMatchObject({ room: '', user: '', way: 'whip', cause: { kind: 'token_expired' } });
    expect(callsOf(callsFixture(NOW)).calls).toHaveLength(2);
  });

  it.each([null, 7, 'x', [], {}, { participants: 5, failures: [null] }, { participants: [{ samples: [3], cause: 'x', publications: [[]] }] }])('is never anything else: %j', (json) => {
    const read = reportOf(json);
    expect(read.scope).toBe('own');
    for (const p of read.participants) expect([p.state, p.cause, p.samples[0]?.rttMs]).toEqual(['', null, null]);
    expect(Array.isArray(callsOf(json).calls)).toBe(true);
    expect(verdictOf(json)).toBeNull();
  });

  it('keeps no more than the server does, and nothing that it doesn’t know', () => {
    const many = { participants: [{ token: 'secret', samples: Array.from({ length: 500 }, (_, i) => ({ ms: i, rttMs: Number.NaN })) }] };
    const [p] = reportOf(many).participants;
    expect([p!.samples.length, p!.samples[0]!.ms, p!.samples[0]!.rttMs]).toEqual([60, 440, null]);
    expect(JSON.stringify(p)).not.toContain('secret');
  });
});

describe('asking', () => {
  const answering = (answers: [number, unknown, Record<string, string>?][]) => {
    const asked: { url: string; init: RequestInit }[] = [];
    const inspector = new CallInspector({
      getToken: async ({ fresh }) => (fresh ? 'new' : 'old'),
      fetch: async (url, init) => {
        asked.push({ url, init });
        const [status, json, headers = {}] = answers.shift()!;
        return new Response(JSON.stringify(json), { status, headers });
      },
      clock: new VirtualClock(),
    });
    return { asked, inspector };
  };
  const tokenOf = ({ init }: { init: RequestInit }) => (init.headers as Record<string, string>).Authorization;

  it('names the room and the seconds, and takes a fresh token once', async () => {
    const { asked, inspector } = answering([[401, {}], [200, fixture({ nowMs: NOW })]]);
    expect((await inspector.room('r/1', 5)).participants).toHaveLength(4);
    expect(asked.map((a) => a.url)).toEqual(['/api/v1/calls/r%2F1?seconds=5', '/api/v1/calls/r%2F1?seconds=5']);
    expect(asked.map(tokenOf)).toEqual(['Bearer old', 'Bearer new']);
  });

  it('says why it was refused, and how long to wait', async () => {
    const busy = { error: { code: 3, reason: 'rate_limited', message: 'slower' } };
    const { inspector } = answering([[429, busy, { 'retry-after': '7' }], [403, { error: { code: 300, reason: 'forbidden', message: 'no' } }]]);
    await expect(inspector.calls()).rejects.toMatchObject({ reason: 'rate_limited', temporary: true, retryMs: 7_000 });
    await expect(inspector.calls()).rejects.toMatchObject({ reason: 'forbidden', temporary: false });
  });

  it('reports, and hears the verdict even of a token that is refused', async () => {
    const sighting: CallSighting = { participant: '', clientMs: NOW, iceState: 'failed', dtlsState: 'new', pairs: [] };
    const late = { kind: 'clock_off', text: 'a', remedy: 'b' };
    const { asked, inspector } = answering([[200, { cause: MEDIA_BLOCKED }], [200, { cause: null }], [401, {}], [401, { error: { code: 200, reason: 'token_invalid', message: 'x' }, cause: late }]]);
    expect(await inspector.report('r1', sighting)).toEqual(MEDIA_BLOCKED);
    expect(await inspector.report('r1', { ...sighting, participant: 'p_1' })).toBeNull();
    expect(await inspector.report('r1', sighting)).toEqual(late);
    expect(asked[0]).toMatchObject({ url: '/api/v1/calls/r1/reports', init: { method: 'POST' } });
    const bodies = asked.map(({ init }) => JSON.parse(init.body as string) as object);
    expect(bodies[0]).not.toHaveProperty('participant');
    expect(bodies[1]).toMatchObject({ participant: 'p_1', iceState: 'failed' });
  });
});

describe('what a browser tried', () => {
  const stats = (entries: Record<string, unknown>[]): RTCStatsReport => new Map(entries.map((e) => [e.id as string, e])) as unknown as RTCStatsReport;
  const candidate = (id: string, more: object) => ({ id, type: 'local-candidate', candidateType: 'host', protocol: 'udp', ...more });

  it('is told by pairs, those that were tried most first', () => {
    const pairs = pairsOf(
      stats([
        candidate('l1', { address: '2001:db8::1', port: 50_000 }),
        candidate('l2', { address: '10.0.0.7', port: 9, protocol: 'tcp' }),
        candidate('r1', { address: '192.0.2.1', port: 8080 }),
        { id: 'p1', type: 'candidate-pair', localCandidateId: 'l1', remoteCandidateId: 'r1', state: 'failed', requestsSent: 3, responsesReceived: 0 },
        { id: 'p2', type: 'candidate-pair', localCandidateId: 'l2', remoteCandidateId: 'r1', state: 'in-progress', requestsSent: 9, responsesReceived: 1 },
        { id: 'x', type: 'transport' },
      ]),
    );
    expect(pairs).toEqual([
      { protocol: 'tcp', localType: 'host', local: '10.0.0.7:9', remoteType: 'host', remote: '192.0.2.1:8080', state: 'in-progress', sent: 9, received: 1 },
      { protocol: 'udp', localType: 'host', local: '[2001:db8::1]:50000', remoteType: 'host', remote: '192.0.2.1:8080', state: 'failed', sent: 3, received: 0 },
    ]);
  });

  it('is never more than the server takes, and does without what a browser leaves out', () => {
    const many = Array.from({ length: 90 }, (_, i) => ({ id: `p${i}`, type: 'candidate-pair', requestsSent: i }));
    const pairs = pairsOf(stats(many));
    expect([pairs.length, pairs[0]!.sent, pairs[0]!.local]).toEqual([32, 89, '']);
    const sighting: CallSighting = { participant: '', clientMs: 0, iceState: '', dtlsState: '', pairs: [...pairs, ...pairs] };
    expect((sightingBody(sighting).pairs as object[]).length).toBe(32);
    const odd = { ...pairs[0]!, local: `a b\u3042${'x'.repeat(90)}` };
    expect(sightingBody({ ...sighting, clientMs: 1.5, pairs: [odd] })).toMatchObject({ clientMs: 2, pairs: [{ local: `ab${'x'.repeat(62)}`, sent: 89 }] });
  });
});

describe('a call that does not connect', () => {
  const blocked = async (cause: CallCause | null) => {
    const w = world();
    const room = w.server.createRoom('alice', 'Tea').id;
    const said: CallSighting[] = [];
    const alice = w.client('alice', {
      reportCall: async (_room, sighting) => {
        said.push(sighting);
        if (!cause) throw new TypeError('away');
        return cause;
      },
    });
    await alice.start();
    await settle();
    await alice.call.join(room);
    return { w, room, alice, said };
  };

  it('is reported after ten seconds and with each peer that is given up, and the verdict is in the status', async () => {
    const { w, room, alice, said } = await blocked(MEDIA_BLOCKED);
    const { participant } = alice.call;
    await w.clock.advance(10_100);
    expect(alice.call.status).toEqual({ kind: 'joining', room, slow: true, cause: MEDIA_BLOCKED });
    expect(said).toMatchObject([{ participant, iceState: 'checking', dtlsState: 'new', pairs: [] }]);
    await w.clock.advance(20_500);
    expect(alice.call.status).toEqual({ kind: 'ended', room, reason: 'failed', error: null, cause: MEDIA_BLOCKED });
    expect(said.map((s) => s.participant).slice(0, 2)).toEqual([participant, participant]);
    expect(said).toHaveLength(3);
    expect(w.peers.all.map((p) => p.closed)).toEqual([true, true]);
    alice.call.dismiss();
    expect(alice.call.status).toEqual({ kind: 'idle' });
  });

  it('ends all the same where the server can’t be asked or the browser gives no statistics', async () => {
    const { w, alice, said } = await blocked(null);
    w.peers.last.stats = () => new Promise(() => {});
    await w.clock.advance(31_000);
    expect(alice.call.status).toMatchObject({ kind: 'ended', reason: 'failed', cause: null });
    await w.clock.advance(1_100);
    expect(said).toHaveLength(3);
    expect(w.peers.all.every((p) => p.closed)).toBe(true);
  });

  it('is given up all the same by a browser that says nothing of its states', async () => {
    const { w, alice, said } = await blocked(MEDIA_BLOCKED);
    w.peers.last.states = () => {
      throw new TypeError('not a function');
    };
    await w.clock.advance(15_500);
    expect([w.peers.all.length, w.peers.all[0]!.closed, said.length, alice.call.status.kind]).toEqual([2, true, 0, 'joining']);
  });

  it('has no cause any more once it is connected', async () => {
    const { w, alice } = await blocked(MEDIA_BLOCKED);
    await w.clock.advance(10_100);
    w.peers.last.becomes('connected');
    await settle();
    expect(alice.call.status.kind).toBe('connected');
    w.peers.last.becomes('failed');
    await w.clock.advance(18_500);
    expect(alice.call.status).toMatchObject({ kind: 'reconnecting' });
  });
});

describe('reading each second', () => {
  const polling = (answers: ((before: number | null) => number)[]) => {
    const clock = new VirtualClock();
    const asked: number[] = [];
    const began = clock.now();
    let changes = 0;
    const poll = new Poll<number>({
      clock,
      ask: async (before) => {
        asked.push(clock.now() - began);
        return (answers.shift() ?? ((b) => (b ?? 0) + 1))(before);
      },
      handleChanged: () => (changes += 1),
    });
    return { clock, poll, asked, changes: () => changes };
  };
  const refuse = (reason: string, temporary: boolean, retryMs = 0) => () => {
    throw new KaiwaError({ code: 0, reason, message: '', temporary, retryMs });
  };

  it('asks every second, and not at all when it is stopped', async () => {
    const { clock, poll, asked, changes } = polling([]);
    poll.start();
    poll.start();
    await clock.advance(3_500);
    expect([asked, poll.value, changes()]).toEqual([[0, 1_000, 2_000, 3_000], 4, 4]);
    poll.stop();
    await clock.advance(60_000);
    expect(asked).toHaveLength(4);
    poll.start();
    await settle();
    expect(asked).toHaveLength(5);
  });

  it('waits longer after each answer that does not come, keeps what there was, and recovers', async () => {
    const { clock, poll, asked } = polling([() => 7, refuse('overloaded', true), refuse('overloaded', true), refuse('rate_limited', true, 9_000)]);
    poll.start();
    await clock.advance(6_900);
    expect([asked, poll.value]).toEqual([[0, 1_000, 3_000], 7]);
    expect(poll.problem).toBeInstanceOf(KaiwaError);
    await clock.advance(200);
    expect(asked.at(-1)).toBe(7_000);
    await clock.advance(9_000);
    expect([asked.at(-1), poll.value, poll.problem]).toEqual([16_000, 8, null]);
  });

  it('asks no more after a refusal for good, until somebody wants it', async () => {
    const { clock, poll, asked } = polling([refuse('forbidden', false)]);
    poll.start();
    await clock.advance(60_000);
    expect(asked).toEqual([0]);
    poll.start();
    await clock.advance(100);
    expect([asked.length, poll.value]).toEqual([2, 1]);
  });

  it('asks for no more seconds than passed, and keeps the last minute of everybody who is there', () => {
    const first = report(60, NOW);
    expect([secondsFor(null, 0), secondsFor(first, 1_000), secondsFor(first, 1_050), secondsFor(first, 500_000)]).toEqual([60, 3, 4, 60]);
    const next = report(3, NOW + 1_000);
    const both = merged(first, { ...next, participants: next.participants.slice(0, 2) });
    expect(both.participants.map((p) => p.samples.length)).toEqual([60, 60]);
    expect(both.participants[0]!.samples.map((s) => s.ms)).toEqual(report(60, NOW + 1_000).participants[0]!.samples.map((s) => s.ms));
    let one = merged(null, next);
    for (let i = 2; i < 100; i++) one = merged(one, report(3, NOW + i * 1_000));
    expect(one.participants[0]!.samples).toHaveLength(60);
  });
});

describe('a large call', () => {
  it('is read page by page, and no further than anybody looks', async () => {
    const asked: string[] = [];
    const page = (pages: number) => async (after: string) => {
      asked.push(after);
      return { ...report(1), next: asked.length < pages ? `p_${asked.length}` : '' };
    };
    expect((await whole(page(3))).participants).toHaveLength(12);
    expect(asked).toEqual(['', 'p_1', 'p_2']);
    asked.length = 0;
    const some = await whole(page(99));
    expect([asked.length, some.next]).toEqual([5, 'p_5']);
  });
});

describe('lines', () => {
  const at = (ms: number, rttMs: number | null): CallSample => ({ ...report(1).participants[0]!.samples[0]!, ms, rttMs });
  const rtt = (s: CallSample) => s.rttMs;
  const frame = { width: 600, height: 100, nowMs: 60_000, max: 100 };

  it('go from left to right within a minute, and break where nothing was measured', () => {
    expect(xOf(0, frame)).toBe(0);
    expect(pathOf([at(-5_000, 9), at(0, 0), at(1_000, 50), at(2_000, null), at(3_000, null), at(4_000, 500), at(60_000, 100)], rtt, frame)).toBe('M0 100L10 50M40 0M600 0');
    expect(pathOf([], rtt, frame)).toBe('');
  });

  it('end at a round number above all of them', () => {
    expect(ceiling([at(0, 101), at(1, null)], [rtt], 20)).toBe(150);
    expect(ceiling([], [rtt], 20)).toBe(20);
    expect(ceiling([at(0, 100)], [rtt], 20)).toBe(100);
  });

  it('are said in figures', () => {
    const samples = [at(0, 10), at(1_000, null), at(2_000, 30)];
    expect(rangeOf(samples, rtt)).toEqual({ now: 30, least: 10, most: 30 });
    expect([rangeOf([at(0, null)], rtt), meanOf(samples, rtt, 2), sampleAt(samples, 1_400)!.ms, sampleAt([], 0)]).toEqual([null, 30, 1_000, null]);
    lang.value = 'en';
    expect(['2/1', '0', 'none', 'h'].map(layerText)).toEqual(['L3T2', 'L1', 'none', 'h']);
    expect([rateText(612.4), rateText(12_340), shareText(0), shareText(0.0123), shareText(0.31), spanText(12_400), spanText(240_000)]).toEqual(['612 kbit/s', '12.3 Mbit/s', '0 %', '1.2 %', '31 %', '12 s', '4 min']);
  });
});

describe('words', () => {
  it('are there for every cause in both languages, and a later server’s are shown as it says them', () => {
    for (const language of ['en', 'ja'] as const) {
      lang.value = language;
      expect(causeWords({ kind: 'starved', text: 'x', remedy: 'y' }).text).not.toBe('x');
      expect(causeWords({ kind: 'solar_flare', text: 'x', remedy: 'y' })).toEqual({ name: 'solar_flare', text: 'x', remedy: 'y' });
      expect(causeWords({ kind: 'toString', text: 'x', remedy: 'y' }).text).toBe('x');
    }
    lang.value = 'en';
  });

  it('of a report for others hold no token', () => {
    const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln';
    expect(withoutTokens(`a ${token} b`)).toBe('a (token) b');
    expect(withoutTokens('Authorization: Bearer abc.def x?access_token=abc&b')).not.toContain('abc');
    const text = copyText({ report: { ...report(1), failures: [{ ...report(1).failures[0]!, userAgent: token }] }, server: null, userAgent: 'x' });
    expect(text).not.toContain('eyJ');
    expect(JSON.parse(text)).toMatchObject({ room: 'r1', takenAt: new Date(NOW).toISOString() });
  });
});
