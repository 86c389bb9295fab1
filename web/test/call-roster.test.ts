import { describe, expect, it } from 'vitest';
import { CallsGoingOn, Roster } from '../src/client/call-roster.js';
import type { CallParticipant, CallRoster } from '../src/client/types.js';
import { seeded } from './harness.js';

const someone = (n: number, muted: boolean): CallParticipant => ({
  participant: `p${n}`,
  user: { id: `u${n}`, name: '' },
  joinedMs: n,
  interrupted: false,
  publications: [{ publication: `t${n}`, source: 'microphone', muted, layers: 1 }],
});

const roster = (version: number, more: Partial<CallRoster>): CallRoster => ({
  room: 'r',
  version,
  full: false,
  participants: [],
  gone: [],
  count: 0,
  startedMs: 1,
  ...more,
});

describe('a roster', () => {
  it('is what the server’s is, with repetitions and with full ones from any moment in between', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = seeded(seed);
      const pick = (n: number) => Math.floor(random() * n);
      const truth = new Map<string, CallParticipant>();
      const fold = new Roster();
      const pushes: CallRoster[] = [];
      const fulls: CallRoster[] = [];
      for (let version = 1; version <= 40; version++) {
        const n = pick(8);
        if (truth.has(`p${n}`) && random() < 0.4) {
          truth.delete(`p${n}`);
          pushes.push(roster(version, { gone: [{ participant: `p${n}`, reason: 'left' }], count: truth.size }));
        } else {
          truth.set(`p${n}`, someone(n, random() < 0.5));
          pushes.push(roster(version, { participants: [truth.get(`p${n}`)!], count: truth.size }));
        }
        fulls.push(roster(version, { full: true, participants: [...truth.values()], count: truth.size }));
      }
      const from = pick(20);
      fold.handleRoster(fulls[from]!);
      for (let i = from; i < pushes.length; i++) {
        if (random() < 0.2) fold.handleRoster(fulls[from + pick(i - from + 1)]!);
        fold.handleRoster(pushes[i]!);
        if (random() < 0.2) fold.handleRoster(pushes[from + pick(i - from + 1)]!);
      }
      const byId = (a: CallParticipant, b: CallParticipant) => a.joinedMs - b.joinedMs;
      expect(fold.participants, `seed ${seed}`).toEqual([...truth.values()].sort(byId));
      expect(fold.count).toBe(truth.size);
    }
  });

  it('tells who came and who went, once', () => {
    const fold = new Roster();
    expect(fold.handleRoster(roster(1, { full: true, participants: [someone(1, false)] })).joined).toEqual([]);
    const two = roster(2, { participants: [someone(2, false)] });
    expect(fold.handleRoster(two).joined.map((p) => p.participant)).toEqual(['p2']);
    expect(fold.handleRoster(two).joined).toEqual([]);
    const gone = fold.handleRoster(roster(3, { gone: [{ participant: 'p2', reason: 'removed' }, { participant: 'p9', reason: 'left' }] })).gone;
    expect(gone.map((g) => [g.participant.participant, g.reason])).toEqual([['p2', 'removed']]);
  });

  it('is not held up by the count that those outside are told', () => {
    const fold = new Roster();
    fold.handleRoster(roster(1, { full: true, participants: [someone(1, false)] }));
    fold.handleRoster(roster(2, { count: 2 }));
    fold.handleRoster(roster(2, { participants: [someone(2, false)], count: 2 }));
    expect(fold.participants.map((p) => p.participant)).toEqual(['p1', 'p2']);
  });

  it('forgets the quality of who has gone', () => {
    const fold = new Roster();
    fold.handleRoster(roster(1, { full: true, participants: [someone(1, false)] }));
    fold.handleQuality([{ participant: 'p1', quality: 'poor' }, { participant: 'p2', quality: 'poor' }]);
    expect([fold.quality('p1'), fold.quality('p2')]).toEqual(['poor', null]);
    fold.handleRoster(roster(2, { gone: [{ participant: 'p1', reason: 'left' }] }));
    fold.handleRoster(roster(3, { participants: [someone(1, false)] }));
    expect(fold.quality('p1')).toBeNull();
  });
});

describe('calls going on', () => {
  it('take the newest, and the next call whatever it counts from', () => {
    const calls = new CallsGoingOn();
    expect(calls.handleRoster(roster(5, { count: 2, startedMs: 100 }))).toBe(true);
    expect(calls.handleRoster(roster(4, { count: 1, startedMs: 100 }))).toBe(false);
    calls.handleRoster(roster(6, { count: 0, startedMs: 0 }));
    expect(calls.get('r')).toMatchObject({ count: 0, startedMs: 0 });
    expect(calls.handleRoster(roster(4, { count: 1, startedMs: 100 }))).toBe(false);
    calls.handleRoster(roster(1, { count: 3, startedMs: 200 }));
    expect(calls.get('r')).toMatchObject({ count: 3, startedMs: 200 });
  });
});
