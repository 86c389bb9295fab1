/** What a close code says to do (docs/protocol.md, section 8), by range, so unknown codes work too. */

export type AfterClose =
  /** Come back after `waitMs`. `resume`: with the session; `freshToken`; `forget` local state first. */
  | { kind: 'reconnect'; waitMs: number; resume: boolean; freshToken: boolean; forget: boolean }
  | { kind: 'stop'; code: number };

/** A number in [0, 1). */
export type Random = () => number;

const FIRST_MS = { min: 500, max: 3_000 };
/** Doubling ends here: a server that comes back is noticed within half a minute. */
const LONGEST_MS = 30_000;
const LONG_PAUSE_MS = { min: 30_000, max: 60_000 };

/** Between attempt's range: 500–3,000 ms, doubling, never over 30 s. `attempt` counts from 0. */
export function backoffMs(attempt: number, random: Random): number {
  const factor = 2 ** Math.min(attempt, 10);
  const ms = within(FIRST_MS.min, FIRST_MS.max, random) * factor;
  return Math.min(ms, within(LONGEST_MS * 0.75, LONGEST_MS, random));
}

export interface Closed {
  code: number;
  /** From `bye`, when there was one; 0 and 0 when there was none. */
  retryMinMs: number;
  retryMaxMs: number;
}

export function afterClose(closed: Closed, attempt: number, random: Random): AfterClose {
  const { code } = closed;
  const range = Math.floor(code / 100);
  if (range === 43) return { kind: 'stop', code };
  const byBye = closed.retryMaxMs > 0 && attempt === 0;
  const waitMs = byBye
    ? within(closed.retryMinMs, closed.retryMaxMs, random)
    : backoffMs(attempt, random);
  if (range === 42) {
    const pause = within(LONG_PAUSE_MS.min, LONG_PAUSE_MS.max, random);
    return { kind: 'reconnect', waitMs: Math.max(waitMs, pause), resume: true, freshToken: false, forget: false };
  }
  if (range === 41) {
    const forget = code === 4101;
    // A token that ran out says nothing against the session; thrown-away state does.
    return { kind: 'reconnect', waitMs, resume: code === 4100, freshToken: true, forget };
  }
  return { kind: 'reconnect', waitMs, resume: true, freshToken: false, forget: false };
}

export function within(min: number, max: number, random: Random): number {
  return min + (Math.max(max, min) - min) * random();
}
