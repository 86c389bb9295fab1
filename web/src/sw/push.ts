/**
 * What a push does: a notification, notifications taken away, the number on the app's icon. No I/O; `sw.ts` carries it
 * out. notifier/src/senders/payload.rs says what the payload holds.
 */
import { wordsOf, type Lang } from './words.js';

/** What the service worker knows from push to push. The page writes `user` and `lang`. */
export interface PushState {
  /** Who is signed in here; null for nobody. */
  user: string | null;
  lang: Lang;
  badge: { count: number; version: number };
  /** Rooms read on another device: a message that was overtaken by that is not shown. */
  reads: { room: string; seq: number; version: number }[];
  /** Calls that are over, for rings that were overtaken. */
  overs: string[];
  /** Of pushes that were shown: what crashes between the server and the push service repeat has the same id. */
  seen: string[];
}

export const NO_STATE: PushState = { user: null, lang: 'en', badge: { count: 0, version: 0 }, reads: [], overs: [], seen: [] };

/** A push may be overtaken by later ones, not by many. */
const REMEMBERED = 50;

type Class = 'message' | 'mention' | 'call' | 'call_over' | 'read' | 'clip' | 'notice';

const CLASSES: Record<string, Class> = {
  message: 'message',
  mention: 'mention',
  call: 'call',
  callover: 'call_over',
  read: 'read',
  clip: 'clip',
  notice: 'notice',
};

export interface Pushed {
  /** The same for a repeat; empty: not told. */
  id: string;
  class: Class;
  /** Nothing is shown, whatever it is about. */
  isSilent: boolean;
  /** Null: no content leaves the server for this device. */
  title: string | null;
  body: string;
  room: string | null;
  seq: number;
  call: string | null;
  clip: string | null;
  badge: { count: number; version: number } | null;
  user: string | null;
  tag: string;
}

/** What is kept with a notification, for finding and opening it. */
export interface Shown {
  room: string | null;
  seq: number;
  call: string | null;
  user: string | null;
}

export interface NotificationPlan {
  title: string;
  options: {
    body: string;
    tag: string;
    renotify: boolean;
    requireInteraction: boolean;
    lang: string;
    icon: string;
    badge: string;
    actions?: { action: string; title: string }[];
    data: Shown;
  };
}

export interface Plan {
  state: PushState;
  show: NotificationPlan | null;
  /** Which shown notifications go. */
  closes: (shown: Shown) => boolean;
  /** For the app's icon; null: as it is. */
  badge: number | null;
}

/** Of the payload. */
const VERSION = 1;

const ICON = '/icon-192.png';
/** One colour and transparency, for a status bar. */
const BADGE_ICON = '/badge-96.png';

/** Null: nothing that this version understands. */
export function parsePush(text: string | null): Pushed | null {
  let said: Record<string, unknown>;
  try {
    said = JSON.parse(text ?? '') as Record<string, unknown>;
  } catch {
    return null;
  }
  if (typeof said !== 'object' || said === null) return null;
  const known = CLASSES[word(said.class).toLowerCase().replace(/[_-]/g, '')];
  // Of a later version nothing is known but that it is there.
  if (!known || (said.v !== undefined && said.v !== VERSION)) return null;
  const title = word(said.title);
  return {
    id: word(said.id),
    class: known,
    isSilent: said.silent === true || known === 'read' || known === 'call_over',
    title: title === '' ? null : title,
    body: word(said.body),
    room: word(said.room) || null,
    seq: count(said.seq) ?? 0,
    call: word(said.call) || null,
    clip: word(said.clip) || null,
    badge: badgeOf(said),
    user: word(said.user) || null,
    tag: word(said.tag),
  };
}

/** `looking`: the room that a focused window of the app shows. */
export function planOf(pushed: Pushed | null, state: PushState, looking: string | null): Plan {
  const nothing: Plan = { state, show: null, closes: () => false, badge: null };
  // Browsers take the right to push away from apps that show nothing.
  if (!pushed) return { ...nothing, show: neutral(state) };
  // It was meant for who was signed in here before.
  if (pushed.user !== state.user) return nothing;
  const isNewer = pushed.badge !== null && pushed.badge.version > state.badge.version;
  const next = isNewer ? { ...state, badge: pushed.badge! } : state;
  const plan = { ...nothing, state: next, badge: isNewer ? next.badge.count : null };
  switch (pushed.class) {
    case 'read':
      return { ...plan, state: remembered(next, pushed), closes: (s) => s.room === pushed.room && s.call === null && s.seq <= pushed.seq };
    case 'call_over':
      return { ...plan, state: remembered(next, pushed), closes: (s) => s.call !== null && s.call === pushed.call };
    default: {
      const isSeen = looking !== null && looking === pushed.room && pushed.class !== 'call';
      if (pushed.isSilent || isSeen || isOvertaken(pushed, state) || state.seen.includes(pushed.id)) return plan;
      const seen = pushed.id === '' ? state.seen : [...state.seen, pushed.id].slice(-REMEMBERED);
      return { ...plan, state: { ...next, seen }, show: notificationOf(pushed, state.lang) };
    }
  }
}

function isOvertaken(pushed: Pushed, { reads, overs }: PushState): boolean {
  if (pushed.class === 'call') return pushed.call !== null && overs.includes(pushed.call);
  // The count's version orders them: `seq` alone begins anew with a room's log.
  const version = pushed.badge?.version ?? Infinity;
  return reads.some((read) => read.room === pushed.room && pushed.seq <= read.seq && version <= read.version);
}

function remembered(state: PushState, { room, seq, call, badge }: Pushed): PushState {
  if (call !== null) return { ...state, overs: [...state.overs.filter((c) => c !== call), call].slice(-REMEMBERED) };
  if (room === null || badge === null) return state;
  const reads = [...state.reads.filter((read) => read.room !== room), { room, seq, version: badge.version }];
  return { ...state, reads: reads.slice(-REMEMBERED) };
}

function notificationOf(pushed: Pushed, lang: Lang): NotificationPlan {
  const words = wordsOf(lang);
  const isCall = pushed.class === 'call';
  const tag = pushed.tag || `${pushed.class}:${pushed.call ?? pushed.clip ?? pushed.room ?? ''}`;
  return {
    title: pushed.title ?? 'Kaiwa',
    options: {
      body: pushed.title === null ? words[pushed.class === 'call_over' || pushed.class === 'read' ? 'notice' : pushed.class] : pushed.body,
      tag,
      // A later message of a room replaces the one before it without another sound.
      renotify: isCall || pushed.class === 'mention',
      requireInteraction: isCall,
      lang,
      icon: ICON,
      badge: BADGE_ICON,
      ...(isCall && {
        actions: [
          { action: 'answer', title: words.answer },
          { action: 'decline', title: words.decline },
        ],
      }),
      data: { room: pushed.room, seq: pushed.seq, call: pushed.call, user: pushed.user },
    },
  };
}

function neutral({ lang }: PushState): NotificationPlan {
  const shown: Shown = { room: null, seq: 0, call: null, user: null };
  return {
    title: 'Kaiwa',
    options: { body: wordsOf(lang).notice, tag: 'kaiwa', renotify: false, requireInteraction: false, lang, icon: ICON, badge: BADGE_ICON, data: shown },
  };
}

function badgeOf(said: Record<string, unknown>): Pushed['badge'] {
  const number = count(said.badge);
  const version = count(said.version ?? said.badge_version);
  return number === null || version === null ? null : { count: number, version };
}

const word = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Proto's JSON has 64-bit numbers as text. */
function count(value: unknown): number | null {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : null;
}

/** Where a click leads. */
export const pageOf = (room: string | null): string => (room === null ? '/' : `/#/r/${encodeURIComponent(room)}`);

/** What the service worker says to the app's windows. */
export type ToPage = { kind: 'open'; room: string } | { kind: 'decline'; room: string } | { kind: 'subscription' };
