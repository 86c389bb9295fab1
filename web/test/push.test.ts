import 'fake-indexeddb/auto';
import { describe, expect, it } from 'vitest';
import { NO_STATE, parsePush, planOf, type Plan, type PushState, type Shown } from '../src/sw/push.js';
import { updateState } from '../src/sw/push-store.js';

const STATE: PushState = { ...NO_STATE, user: 'bob' };
const message = { v: 1, class: 'message', title: 'Alice', body: 'Hello', room: 'r1', seq: 7, badge: 3, version: 9, user: 'bob', tag: 'room:r1' };
const plan = (payload: unknown, state = STATE, looking: string | null = null): Plan =>
  planOf(parsePush(typeof payload === 'string' ? payload : JSON.stringify(payload)), state, looking);
const shown = (over: Partial<Shown>): Shown => ({ room: null, seq: 0, call: null, user: 'bob', ...over });

describe('what a push shows', () => {
  it('shows a message under its collapse key, without another sound for the next one', () => {
    const { show, badge, state } = plan(message);
    expect(show).toMatchObject({ title: 'Alice', options: { body: 'Hello', tag: 'room:r1', renotify: false, requireInteraction: false, data: { room: 'r1', seq: 7 } } });
    expect([badge, state.badge]).toEqual([3, { count: 3, version: 9 }]);
  });

  it('makes itself heard again for mentions and calls, and waits with a call for an answer', () => {
    expect(plan({ ...message, class: 'mention' }).show?.options.renotify).toBe(true);
    const call = plan({ ...message, class: 'call', call: 'c1', tag: 'call:c1' }).show!;
    expect(call.options).toMatchObject({ renotify: true, requireInteraction: true, data: { call: 'c1' } });
    expect(call.options.actions?.map((a) => a.action)).toEqual(['answer', 'decline']);
  });

  it('shows nothing of what was meant for somebody else', () => {
    for (const state of [{ ...STATE, user: 'carol' }, { ...STATE, user: null }]) {
      expect(plan(message, state)).toMatchObject({ show: null, badge: null, state });
    }
  });

  it('says something neutral when no content may leave the server', () => {
    const { show } = plan({ ...message, title: undefined, body: undefined });
    expect(show).toMatchObject({ title: 'Kaiwa', options: { body: 'New message', data: { room: 'r1' } } });
    expect(plan({ ...message, title: '' }, { ...STATE, lang: 'ja' }).show?.options.body).toBe('新しいメッセージがあります');
  });

  it.each(['', 'no JSON', 'null', '[]', '7', '"text"', '{}', '{"class":"tomorrow"}', '{"class":4}'])('says something neutral for %j', (text) => {
    expect(plan(text)).toMatchObject({ show: { title: 'Kaiwa', options: { tag: 'kaiwa' } }, badge: null });
  });

  it('takes no wrong types for a content', () => {
    const { show } = plan({ ...message, title: { toString: 1 }, seq: -1, badge: 'x', room: 4 });
    expect(show).toMatchObject({ title: 'Kaiwa', options: { data: { room: null, seq: 0 } } });
  });

  it('has a tag even if the server gave none, since a notification that makes itself heard needs one', () => {
    expect(plan({ ...message, class: 'mention', tag: undefined }).show?.options.tag).toBe('mention:r1');
  });

  it('shows a repeat once, and something neutral of a later version', () => {
    const { state, show } = plan({ ...message, id: 'p-1' });
    expect(show).not.toBeNull();
    expect(plan({ ...message, id: 'p-1' }, state)).toMatchObject({ show: null, badge: null });
    expect(plan({ ...message, id: 'p-2' }, state).show).not.toBeNull();
    expect(plan({ ...message, v: 2 }).show?.options.tag).toBe('kaiwa');
  });

  it('shows nothing of a silent push but its badge', () => {
    expect(plan({ ...message, silent: true })).toMatchObject({ show: null, badge: 3 });
  });

  it('shows nothing of the room that somebody looks at, but for calls', () => {
    expect(plan(message, STATE, 'r1')).toMatchObject({ show: null, badge: 3 });
    expect(plan(message, STATE, 'r2').show).not.toBeNull();
    expect(plan({ ...message, class: 'call', call: 'c' }, STATE, 'r1').show).not.toBeNull();
  });
});

describe('what a silent push takes away', () => {
  it('closes what was read of the room, and nothing later, and no call', () => {
    const { closes, show, badge } = plan({ class: 'Read', room: 'r1', seq: 7, badge: 0, version: 10, user: 'bob' });
    expect(show).toBeNull();
    expect(badge).toBe(0);
    expect([{ room: 'r1', seq: 7 }, { room: 'r1', seq: 8 }, { room: 'r2', seq: 1 }, { room: 'r1', call: 'c' }].map((s) => closes(shown(s)))).toEqual([true, false, false, false]);
  });

  it.each(['call_over', 'CallOver', 'callOver'])('closes the ring of a call that is over (%s)', (name) => {
    const { closes, show } = plan({ class: name, room: 'r1', call: 'c1', user: 'bob' });
    expect(show).toBeNull();
    expect([{ call: 'c1' }, { call: 'c2' }, { room: 'r1' }].map((s) => closes(shown(s)))).toEqual([true, false, false]);
  });

  it('does not show what it overtook', () => {
    const { state } = plan({ class: 'read', room: 'r1', seq: 7, badge: 0, version: 10, user: 'bob' });
    expect(plan(message, state)).toMatchObject({ show: null, badge: null });
    expect(plan({ ...message, seq: 8, version: 11 }, state).show).not.toBeNull();
    // The room's log began anew: a small seq, and a later count.
    expect(plan({ ...message, seq: 2, version: 12 }, state).show).not.toBeNull();
    const over = plan({ class: 'call_over', call: 'c1', user: 'bob' }).state;
    expect(plan({ ...message, class: 'call', call: 'c1' }, over).show).toBeNull();
  });
});

it('never sets the badge back to an older count, in whatever order pushes arrive', () => {
  const pushes = [4, 1, 3, 5, 2].map((version) => ({ ...message, badge: version * 10, version: `${version}` }));
  let state = STATE;
  const badges: (number | null)[] = [];
  for (const push of pushes) {
    const done = plan(push, state);
    state = done.state;
    badges.push(done.badge);
  }
  expect(badges).toEqual([40, null, null, 50, null]);
});

it('remembers a bounded number of rooms and calls', () => {
  let state = STATE;
  for (let i = 0; i < 200; i++) {
    state = plan({ class: 'read', room: `r${i}`, seq: 1, badge: 0, version: i + 1, user: 'bob' }, state).state;
    state = plan({ class: 'call_over', call: `c${i}`, user: 'bob' }, state).state;
  }
  expect([state.reads.length, state.overs.length]).toEqual([50, 50]);
});

it('keeps the state, and loses nothing of two changes at once', async () => {
  const count = () => updateState((state) => ({ state: { ...state, user: 'bob', badge: { count: 0, version: state.badge.version + 1 } } }));
  await Promise.all([count(), count(), count()]);
  expect((await updateState((state) => ({ state }))).state).toEqual({ ...NO_STATE, user: 'bob', badge: { count: 0, version: 3 } });
});
