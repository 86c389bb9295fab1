import { lang, t } from './i18n.js';

const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function format(name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${lang.value} ${name}`;
  let f = formats.get(key);
  if (!f) formats.set(key, (f = new Intl.DateTimeFormat(lang.value === 'ja' ? 'ja-JP' : 'en-GB', options)));
  return f;
}

export const clockTime = (ms: number): string => format('time', { hour: '2-digit', minute: '2-digit' }).format(ms);

export const fullTime = (ms: number): string => format('full', { dateStyle: 'full', timeStyle: 'short' }).format(ms);

export function dayStart(ms: number): number {
  const date = new Date(ms);
  date.setHours(0, 0, 0, 0);
  return date.getTime();
}

/** Today, yesterday, or the date. */
export function dayName(ms: number, now = Date.now()): string {
  const days = Math.round((dayStart(now) - dayStart(ms)) / DAY_MS);
  if (days === 0) return t('today');
  if (days === 1) return t('yesterday');
  const thisYear = new Date(ms).getFullYear() === new Date(now).getFullYear();
  return thisYear
    ? format('day', { weekday: 'short', month: 'long', day: 'numeric' }).format(ms)
    : format('dayYear', { year: 'numeric', month: 'long', day: 'numeric' }).format(ms);
}

/** Day and time, for what lies days away in either direction. */
export const longTime = (ms: number): string => format('long', { dateStyle: 'medium', timeStyle: 'short' }).format(ms);

/** For the list of rooms: the time today, else the day. */
export function shortTime(ms: number, now = Date.now()): string {
  if (dayStart(ms) === dayStart(now)) return clockTime(ms);
  return format('short', { month: 'short', day: 'numeric' }).format(ms);
}
