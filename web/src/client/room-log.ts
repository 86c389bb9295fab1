/**
 * One room's log as this device has it: dense, in order, each event once. Events that came too early
 * are held until the hole before them is closed by `ReadEvents`; no reconnect is needed.
 *
 *   starting ─Subscribed─► following ─hole─► repairing ─page─► following
 */
import type { EventPage, Position, RoomEvent, Subscribed } from './types.js';

export interface LogStep {
  /** To apply, in this order. */
  apply: RoomEvent[];
  /** Throw away what is known of the room, it starts anew at `position`; then read its history. */
  reset: Position | null;
  next:
    | { kind: 'nothing' }
    /** Ask for `ReadEvents` after the position; one such question at a time. */
    | { kind: 'read'; position: Position }
    /** The stream is another one: subscribe without a position. */
    | { kind: 'subscribe' };
}

/** Held events over this bound are dropped; the page that closes the hole brings them again. */
const HELD_MAX = 1_000;
/** With more missed events than this the newest history page is quicker than the log. */
const REPAIR_MAX = 5_000;

export class RoomLog {
  #position: Position | null;
  #starting = true;
  #reading = false;
  /** The greatest seq heard of. */
  #head = 0;
  readonly #held = new Map<number, RoomEvent>();

  constructor(position: Position | null) {
    this.#position = position;
  }

  /** Everything up to here has been applied; null when nothing is known. */
  get position(): Position | null {
    return this.#position && { ...this.#position };
  }

  /** A subscription is on its way (or being renewed): hold what comes until it is answered. */
  restart(): void {
    this.#starting = true;
    this.#reading = false;
  }

  /** The connection was lost, the session goes on: a question in flight has to be asked again. */
  handleResumed(): LogStep {
    this.#reading = false;
    return this.#step([]);
  }

  handleSubscribed(s: Subscribed): LogStep {
    this.#starting = false;
    this.#reading = false;
    if (s.outcome.kind === 'error') return NOTHING;
    this.#head = Math.max(this.#head, s.head);
    const known = this.#position;
    const usable = known !== null && s.outcome.kind === 'events' && known.epoch === s.epoch;
    if (!usable || s.head - known.seq > REPAIR_MAX) return this.#resetTo({ epoch: s.epoch, seq: s.head });
    return s.outcome.kind === 'events' ? this.handlePage(s.outcome.page) : NOTHING;
  }

  handleEvent(event: RoomEvent): LogStep {
    const at = this.#position;
    if (at && event.epoch !== at.epoch && !this.#starting) return this.#anew();
    if (at && event.epoch === at.epoch && event.seq <= at.seq) return NOTHING;
    this.#hold(event);
    return this.#step([]);
  }

  /** The answer to a `read`. */
  handlePage(page: EventPage): LogStep {
    this.#reading = false;
    const at = this.#position;
    if (!at) return NOTHING;
    if (page.reset || page.epoch !== at.epoch) return this.#anew();
    this.#head = Math.max(this.#head, page.head);
    const apply: RoomEvent[] = [];
    for (const event of page.events) {
      if (event.epoch === at.epoch && event.seq === at.seq + 1) {
        apply.push(event);
        at.seq = event.seq;
      } else if (event.seq > at.seq) {
        this.#hold(event);
      }
    }
    const step = this.#step(apply);
    if (apply.length > 0 || step.next.kind !== 'read') return step;
    // A page that didn't help: asking at once again would spin. The next push or ping asks again.
    this.#reading = false;
    return { ...step, next: { kind: 'nothing' } };
  }

  /** A `read` failed for a reason that will pass. */
  handleReadFailed(): void {
    this.#reading = false;
  }

  /** Asks again after `handleReadFailed`. */
  retry(): LogStep {
    return this.#step([]);
  }

  /** A gap push, or a head in a ping. */
  handleHead(position: Position): LogStep {
    const at = this.#position;
    if (this.#starting || !at) return NOTHING;
    if (position.epoch !== at.epoch) return this.#anew();
    this.#head = Math.max(this.#head, position.seq);
    return this.#step([]);
  }

  #step(apply: RoomEvent[]): LogStep {
    const at = this.#position;
    if (this.#starting || !at) return { apply, reset: null, next: { kind: 'nothing' } };
    for (const [seq, event] of this.#held) {
      if (seq <= at.seq || event.epoch !== at.epoch) this.#held.delete(seq);
    }
    for (;;) {
      const event = this.#held.get(at.seq + 1);
      if (!event) break;
      this.#held.delete(event.seq);
      at.seq = event.seq;
      apply.push(event);
    }
    const behind = this.#held.size > 0 || this.#head > at.seq;
    if (!behind || this.#reading) return { apply, reset: null, next: { kind: 'nothing' } };
    this.#reading = true;
    return { apply, reset: null, next: { kind: 'read', position: { ...at } } };
  }

  #hold(event: RoomEvent): void {
    this.#head = event.epoch === this.#position?.epoch || !this.#position ? Math.max(this.#head, event.seq) : this.#head;
    if (this.#held.size < HELD_MAX) this.#held.set(event.seq, event);
  }

  #anew(): LogStep {
    this.#position = null;
    this.#head = 0;
    this.#held.clear();
    this.restart();
    return { apply: [], reset: null, next: { kind: 'subscribe' } };
  }

  #resetTo(position: Position): LogStep {
    this.#position = { ...position };
    this.#head = position.seq;
    const step = this.#step([]);
    return { ...step, reset: position };
  }
}

const NOTHING: LogStep = { apply: [], reset: null, next: { kind: 'nothing' } };
