/** Reading figures once a second for as long as somebody looks: no DOM in here, the clock is given. */
import { KaiwaError, SAMPLES_MAX, type CallParticipantReport, type CallReport } from '../client/index.js';
import type { Clock } from '../client/ports.js';

export const EVERY_MS = 1_000;
/** After an answer that did not come: doubling from a second up to this. */
const PAUSE_MAX_MS = 15_000;
/** Seconds asked for beyond those that passed: the server's second isn't ours. */
const OVERLAP_S = 2;

export interface PollOptions<T> {
  clock: Clock;
  /** Gets what there was before and how long ago that was asked for. */
  ask(before: T | null, sinceMs: number): Promise<T>;
  handleChanged(): void;
}

/** One question at a time, the next a second after the last one was asked; where answers take long, as long again after them. */
export class Poll<T> {
  value: T | null = null;
  /** Why `value` is not the newest; null: it is. */
  problem: unknown = null;
  readonly #options: PollOptions<T>;
  #running = false;
  #asking = false;
  #failures = 0;
  /** When `value` was asked for. */
  #askedMs = 0;
  #cancel: (() => void) | null = null;

  constructor(options: PollOptions<T>) {
    this.#options = options;
  }

  /** Asks at once, unless it does so already. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#failures = 0;
    if (!this.#asking) void this.#ask();
  }

  stop(): void {
    this.#running = false;
    this.#cancel?.();
    this.#cancel = null;
  }

  async #ask(): Promise<void> {
    const { clock, ask, handleChanged } = this.#options;
    const asked = clock.now();
    this.#asking = true;
    try {
      this.value = await ask(this.value, asked - this.#askedMs);
      this.#askedMs = asked;
      this.problem = null;
      this.#failures = 0;
    } catch (error) {
      this.problem = error;
      this.#failures += 1;
    }
    this.#asking = false;
    if (!this.#running) return;
    // What was refused for good is asked for again only by hand.
    if (isFinal(this.problem)) this.#running = false;
    else {
      const took = clock.now() - asked;
      this.#cancel = clock.after(Math.max(took, this.#pauseMs() - took), () => void this.#ask());
    }
    handleChanged();
  }

  #pauseMs(): number {
    if (this.#failures === 0) return EVERY_MS;
    const asked = this.problem instanceof KaiwaError ? this.problem.retryMs : 0;
    return Math.max(asked, Math.min(PAUSE_MAX_MS, EVERY_MS * 2 ** Math.min(this.#failures, 8)));
  }
}

/** The server refused, and will again. */
export const isFinal = (error: unknown): boolean => error instanceof KaiwaError && !error.temporary;

/** How many samples to ask for, when the newest at hand were asked for so long ago. */
export function secondsFor(before: CallReport | null, sinceMs: number): number {
  return before === null ? SAMPLES_MAX : Math.min(SAMPLES_MAX, Math.ceil(sinceMs / 1_000) + OVERLAP_S);
}

/** Pages of a report; the people of five of them are more than anybody looks through. */
const PAGES_MAX = 5;

/** All that there is of a call, as far as anybody looks. */
export async function whole(page: (after: string) => Promise<CallReport>): Promise<CallReport> {
  let report = await page('');
  for (let pages = 1; report.next !== '' && pages < PAGES_MAX; pages++) {
    const more = await page(report.next);
    report = { ...report, participants: [...report.participants, ...more.participants], next: more.next };
  }
  return report;
}

/** The newer report with the samples of both: never more than the server keeps. */
export function merged(before: CallReport | null, next: CallReport): CallReport {
  if (before === null || before.room !== next.room) return next;
  const known = new Map(before.participants.map((p) => [p.id, p]));
  return { ...next, participants: next.participants.map((p) => withSamples(known.get(p.id), p)) };
}

function withSamples(before: CallParticipantReport | undefined, next: CallParticipantReport): CallParticipantReport {
  const first = next.samples[0]?.ms ?? Number.MAX_SAFE_INTEGER;
  const older = before?.samples.filter((s) => s.ms < first) ?? [];
  return { ...next, samples: [...older, ...next.samples].slice(-SAMPLES_MAX) };
}
