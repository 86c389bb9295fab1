/** Times of day and times to come, for what is muted until when. */

export type MuteFor = 'hour' | 'eight' | 'tomorrow' | 'ever';

const HOUR_MS = 3_600_000;
/** When a day begins for those who don't want to hear of the night. */
const MORNING_H = 8;
/** The largest that a date holds: nobody waits for it. */
export const FOR_EVER_MS = 8_640_000_000_000_000;

/** Until when, by the local clock and the local day. */
export function muteUntil(choice: MuteFor, nowMs: number): number {
  switch (choice) {
    case 'hour':
      return nowMs + HOUR_MS;
    case 'eight':
      return nowMs + 8 * HOUR_MS;
    case 'tomorrow': {
      const day = new Date(nowMs);
      // The calendar's next day, whether this one has 23, 24 or 25 hours.
      return new Date(day.getFullYear(), day.getMonth(), day.getDate() + 1, MORNING_H).getTime();
    }
    case 'ever':
      return FOR_EVER_MS;
  }
}

/** “22:30”, as a field for times has it. */
export function timeOf(minutes: number): string {
  const two = (n: number) => String(n).padStart(2, '0');
  return `${two(Math.floor(minutes / 60) % 24)}:${two(minutes % 60)}`;
}

/** Minutes after midnight; null: not a time. */
export function minutesOf(time: string): number | null {
  const [, hours, minutes] = /^(\d{1,2}):(\d{2})/.exec(time) ?? [];
  const all = Number(hours) * 60 + Number(minutes);
  return hours !== undefined && Number(hours) < 24 && Number(minutes) < 60 ? all : null;
}

export const localZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

/** All zones that the browser knows, with `also` if it isn't among them. */
export function zones(also: string): string[] {
  const known = typeof Intl.supportedValuesOf === 'function' ? Intl.supportedValuesOf('timeZone') : [];
  return known.includes(also) ? known : [also, ...known];
}

/** A room of which nothing comes just now, but for what names one. */
export const isMutedNow = (mutedUntilMs: number, nowMs: number): boolean => mutedUntilMs > nowMs;
