import { describe, expect, it } from 'vitest';
import { Timeline } from '../src/client/timeline.js';
import type { ClipView } from '../src/client/clip-types.js';
import type { EventBody, HistoryPage, Message, RoomEvent } from '../src/client/types.js';
import { seeded } from './harness.js';

const event = (seq: number, body: EventBody): RoomEvent => ({
  room: 'r',
  epoch: 1,
  seq,
  timeMs: seq * 1000,
  sender: 'alice',
  cid: '',
  body,
});

/** The reference: a log replayed from its beginning. */
function replay(log: RoomEvent[], asOf: number): Message[] {
  const messages = new Map<number, Message>();
  for (const e of log.slice(0, asOf)) {
    if (e.body.kind === 'posted') {
      messages.set(e.seq, {
        seq: e.seq, sender: e.sender, senderName: '', timeMs: e.timeMs, text: e.body.text, replyTo: 0,
        editedMs: 0, editedSeq: 0, deletedMs: 0, deletedSeq: 0, deleted: false, cid: '', mentions: e.body.mentions, mentionAll: false, clip: e.body.clip,
      });
    } else if (e.body.kind === 'edited') {
      const m = messages.get(e.body.target)!;
      Object.assign(m, { text: e.body.text, mentions: e.body.mentions, editedSeq: e.seq, editedMs: e.timeMs });
    } else if (e.body.kind === 'clip_changed') {
      const m = messages.get(e.body.target)!;
      if (e.body.clip && m.clip && e.body.clip.version > m.clip.version) m.clip = e.body.clip;
    } else if (e.body.kind === 'deleted') {
      const m = messages.get(e.body.target)!;
      Object.assign(m, { text: '', clip: null, mentions: [], deletedSeq: e.seq, deletedMs: e.timeMs, deleted: true });
    }
  }
  return [...messages.values()];
}

function page(log: RoomEvent[], asOf: number, before: number, limit: number): HistoryPage {
  const all = replay(log, asOf).filter((m) => m.seq < before);
  const messages = all.slice(Math.max(0, all.length - limit));
  return { room: 'r', epoch: 1, messages, asOf, more: messages.length < all.length };
}

const view = (version: number): ClipView => ({ id: 'c', version, kind: 'video', state: 'processing', title: 't', durationMs: 0, width: 0, height: 0 });

function randomLog(length: number, random: () => number): RoomEvent[] {
  const log: RoomEvent[] = [];
  const alive: number[] = [];
  for (let seq = 1; seq <= length; seq++) {
    const dice = random();
    const target = alive[Math.floor(random() * alive.length)];
    if (dice < 0.5 || target === undefined) {
      const clip = random() < 0.5 ? view(1) : null;
      log.push(event(seq, { kind: 'posted', text: `m${seq}`, replyTo: 0, erased: false, mentions: [`m${seq}`], mentionAll: false, clip }));
      alive.push(seq);
    } else if (dice < 0.6) {
      // Written by several hands: a later event may carry an earlier version.
      const posted = log[target - 1]!.body;
      const isClip = posted.kind === 'posted' && posted.clip !== null;
      log.push(event(seq, isClip ? { kind: 'clip_changed', target, clip: view(1 + Math.floor(random() * 20)) } : { kind: 'unknown' }));
    } else if (dice < 0.75) {
      log.push(event(seq, { kind: 'edited', target, text: `e${seq}`, erased: false, mentions: [`e${seq}`], mentionAll: false }));
    } else if (dice < 0.9) {
      log.push(event(seq, { kind: 'deleted', target }));
      alive.splice(alive.indexOf(target), 1);
    } else {
      log.push(event(seq, { kind: 'unknown' }));
    }
  }
  return log;
}

/** What `ReadEvents` gives for an old range: the texts of what was deleted later are gone. */
function erased(log: RoomEvent[]): RoomEvent[] {
  const gone = new Set(log.flatMap((e) => (e.body.kind === 'deleted' ? [e.body.target] : [])));
  return log.map((e) => {
    if (e.body.kind === 'posted' && gone.has(e.seq)) return { ...e, body: { ...e.body, text: '', mentions: [], erased: true, clip: null } };
    if (e.body.kind === 'clip_changed' && gone.has(e.body.target)) return { ...e, body: { ...e.body, clip: null } };
    if (e.body.kind === 'edited' && gone.has(e.body.target)) return { ...e, body: { ...e.body, text: '', mentions: [], erased: true } };
    return e;
  });
}

describe('timeline', () => {
  it('shows what the log says, wherever pages and events interleave', () => {
    for (let seed = 1; seed <= 600; seed++) {
      const random = seeded(seed);
      const log = randomLog(60, random);
      const base = Math.floor(random() * 60);
      const timeline = new Timeline(base);
      const rest = (random() < 0.3 ? erased(log) : log).slice(base);
      let next = 0;
      // Pages may be of any moment since the start, ahead of the events that were seen or behind.
      while (next < rest.length || timeline.more) {
        if (next < rest.length && random() < 0.6) {
          timeline.applyEvent(rest[next++]!);
        } else if (timeline.more) {
          const asOf = base + Math.floor(random() * (60 - base + 1));
          expect(timeline.applyOlder(page(log, asOf, timeline.floor, 1 + Math.floor(random() * 9)))).toBe(true);
        }
      }
      expect(timeline.messages, `seed ${seed}`).toEqual(
        replay(log, 60).map((m) => ({ ...m, ...(m.deleted && { text: '' }) })).map((m) => expect.objectContaining({
          seq: m.seq, text: m.text, deleted: m.deleted, deletedSeq: m.deletedSeq, editedSeq: m.editedSeq, clip: m.clip,
        })),
      );
    }
  });

  it('gives the same list for every order of two pages and the changes between them', () => {
    const log = [
      event(1, { kind: 'posted', text: 'one', replyTo: 0, erased: false, mentions: [], mentionAll: false, clip: null }),
      event(2, { kind: 'posted', text: 'two', replyTo: 0, erased: false, mentions: [], mentionAll: false, clip: null }),
      event(3, { kind: 'edited', target: 1, text: 'ONE', erased: false, mentions: [], mentionAll: false }),
      event(4, { kind: 'edited', target: 1, text: 'One', erased: false, mentions: [], mentionAll: false }),
      event(5, { kind: 'deleted', target: 2 }),
    ];
    for (const asOfs of [[2, 2], [5, 2], [2, 5], [3, 4], [4, 3], [5, 5]]) {
      for (const steps of permutations(['p', 'p', 'e', 'e', 'e'])) {
        const timeline = new Timeline(2);
        const pages = [...asOfs];
        let seq = 3;
        for (const step of steps) {
          if (step === 'e') timeline.applyEvent(log[seq++ - 1]!);
          else timeline.applyOlder(page(log, pages.shift()!, timeline.floor, 1));
        }
        expect(timeline.messages.map((m) => [m.text, m.editedSeq, m.deletedSeq])).toEqual([['One', 4, 0], ['', 0, 5]]);
        expect(timeline.more).toBe(false);
      }
    }
  });

  it('refuses a page that is older than what it began with', () => {
    const log = [event(1, { kind: 'posted', text: 'x', replyTo: 0, erased: false, mentions: [], mentionAll: false, clip: null }), event(2, { kind: 'edited', target: 1, text: 'y', erased: false, mentions: [], mentionAll: false })];
    const timeline = new Timeline(2);
    expect(timeline.applyOlder(page(log, 1, timeline.floor, 5))).toBe(false);
    expect(timeline.applyOlder(page(log, 2, timeline.floor, 5))).toBe(true);
    expect(timeline.messages.map((m) => m.text)).toEqual(['y']);
  });

  it('goes on after a reload as if there had been none', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seeded(seed);
      const log = randomLog(60, random);
      const cut = 20 + Math.floor(random() * 40);
      let timeline = new Timeline(10);
      for (const e of log.slice(10, cut)) timeline.applyEvent(e);
      timeline.applyOlder(page(log, cut, timeline.floor, 4));
      timeline = Timeline.restore(cut, JSON.parse(JSON.stringify(timeline.snapshot(7))));
      for (const e of log.slice(cut)) timeline.applyEvent(e);
      while (timeline.more) timeline.applyOlder(page(log, 60, timeline.floor, 5));
      expect(timeline.messages.map((m) => [m.seq, m.text, m.deleted, m.clip])).toEqual(
        replay(log, 60).map((m) => [m.seq, m.text, m.deleted, m.clip]),
      );
    }
  });

  it('forgets old messages without forgetting how they changed', () => {
    const log = randomLog(60, seeded(3));
    const timeline = new Timeline(0);
    for (const e of log) timeline.applyEvent(e);
    timeline.trim(5);
    expect(timeline.messages).toHaveLength(5);
    expect(timeline.applyOlder(page(log, 59, timeline.floor, 5))).toBe(false);
    while (timeline.more) timeline.applyOlder(page(log, 60, timeline.floor, 5));
    expect(timeline.messages.map((m) => [m.seq, m.text])).toEqual(replay(log, 60).map((m) => [m.seq, m.text]));
  });

  it('leaves no hole when it is trimmed while an older page is being read', () => {
    const log = randomLog(60, seeded(5));
    const timeline = new Timeline(30);
    for (const e of log.slice(30)) timeline.applyEvent(e);
    const asked = timeline.floor;
    timeline.trim(5);
    expect(timeline.applyOlder(page(log, 60, asked, 5), asked)).toBe(false);
    while (timeline.more) timeline.applyOlder(page(log, 60, timeline.floor, 5), timeline.floor);
    expect(timeline.messages.map((m) => [m.seq, m.text])).toEqual(replay(log, 60).map((m) => [m.seq, m.text]));
  });
});

function permutations<T>(items: T[]): T[][] {
  if (items.length <= 1) return [items];
  return items.flatMap((item, i) => permutations([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest]));
}
