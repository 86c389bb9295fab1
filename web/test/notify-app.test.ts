import { describe, expect, it } from 'vitest';
import { unmutedUnread } from '../src/app/badge.js';
import { mentionsIn } from '../src/app/mentions.js';
import { FOR_EVER_MS, minutesOf, muteUntil, timeOf, zones } from '../src/app/notify-times.js';
import type { Member, NotifySettings, RoomView } from '../src/client/index.js';

const member = (id: string, name: string, membership: Member['membership'] = 'joined'): Member => ({ user: { id, name }, membership, role: 'member' });

describe('whom a text names', () => {
  const people = [member('bob', 'Bob'), member('u-1', '花子'), member('ann.lee', 'Ann Lee'), member('eve', 'Eve', 'invited'), member('me', 'Me')];
  const named = (text: string, mayAll = true) => mentionsIn(text, people, 'me', mayAll);

  it.each([
    ['hi @bob!', ['bob']],
    ['@Bob: yes', ['bob']],
    ['ask @ann lee, please', ['ann.lee']],
    ['@ann.lee', ['ann.lee']],
    ['@花子さん、お願いします', ['u-1']],
    ['@bob and @花子', ['bob', 'u-1']],
    ['@bob.', ['bob']],
  ])('finds them in %j', (text, mentions) => expect(named(text).mentions).toEqual(mentions));

  it.each(['mail x@bob.example', '@bobby', '@bob.example', 'bob', '@eve', '@me', ''])('finds nobody in %j', (text) =>
    expect(named(text)).toEqual({ mentions: [], mentionAll: false }),
  );

  it('names everybody where that is allowed', () => {
    expect(named('@all tea!').mentionAll).toBe(true);
    expect(named('@all tea!', false).mentionAll).toBe(false);
    expect(named('@allen').mentionAll).toBe(false);
  });

  it('names at most as many as the server takes', () => {
    const many = Array.from({ length: 80 }, (_, i) => member(`p${i}`, ''));
    expect(mentionsIn(many.map((m) => `@${m.user.id}`).join(' '), many, 'me', true).mentions.length).toBe(50);
  });
});

describe('times', () => {
  const now = new Date(2026, 10, 28, 23, 30).getTime();
  it('mutes for hours, until the morning of the next day, for ever', () => {
    expect(muteUntil('hour', now) - now).toBe(3_600_000);
    expect(muteUntil('eight', now) - now).toBe(8 * 3_600_000);
    expect(new Date(muteUntil('tomorrow', now))).toEqual(new Date(2026, 10, 29, 8));
    expect(muteUntil('ever', now)).toBe(FOR_EVER_MS);
    expect(Number.isSafeInteger(FOR_EVER_MS)).toBe(true);
  });

  it('reads and writes times of day', () => {
    for (let minutes = 0; minutes < 1_440; minutes++) expect(minutesOf(timeOf(minutes))).toBe(minutes);
    for (const bad of ['', '24:00', '12:60', 'noon']) expect(minutesOf(bad)).toBeNull();
  });

  it('offers the zone that is set even if this browser does not know it', () => {
    expect(zones('Mars/Olympus')).toContain('Mars/Olympus');
    expect(zones('Asia/Tokyo').filter((zone) => zone === 'Asia/Tokyo').length).toBe(1);
  });
});

it('leaves muted rooms out of the badge', () => {
  const room = (id: string, count: number, membership = 'joined') => ({ info: { room: id, membership }, unread: { count } }) as RoomView;
  const rooms = [room('a', 1), room('b', 10), room('c', 100), room('d', 1_000), room('e', 10_000, 'invited')];
  const wishes: NotifySettings = {
    isMuted: false,
    letsCalls: true,
    level: 'all',
    version: 1,
    rooms: [{ room: 'b', level: 'none', mutedUntilMs: 0 }, { room: 'c', level: 'default', mutedUntilMs: 50 }, { room: 'd', level: 'mentions', mutedUntilMs: 50 }],
  };
  expect(unmutedUnread(rooms, wishes, 40)).toBe(1);
  expect(unmutedUnread(rooms, wishes, 60)).toBe(1_101);
  expect(unmutedUnread(rooms, null, 40)).toBe(1_111);
  expect(unmutedUnread(rooms, { ...wishes, isMuted: true }, 60)).toBe(0);
});
