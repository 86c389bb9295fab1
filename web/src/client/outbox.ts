/**
 * Writes on their way. Each has a `cid`, is stored before it is sent, and stays until the server has
 * answered for good, over reconnects and reloads. One per room is in flight, so a room's order is
 * the order of writing; a repeated one has no second effect because of its `cid`.
 *
 *   waiting ─poll─► in flight ─committed─► gone (until its event is in the list: `committed`)
 *      ▲               │ temporary error, or connection lost
 *      └───────────────┤
 *                      └─ permanent error ─► failed ─retry─► waiting, or ─discard─► gone
 */
import { backoffMs, type Random } from './backoff.js';
import type { Command, Committed, KaiwaError, Result } from './types.js';

export type WriteOp =
  | { kind: 'send'; text: string; replyTo: number; mentions?: string[]; mentionAll?: boolean }
  | { kind: 'edit'; target: number; text: string; mentions?: string[]; mentionAll?: boolean }
  | { kind: 'delete'; target: number };

export interface Write {
  cid: string;
  room: string;
  op: WriteOp;
  /** When it was written, by the local clock; never the same twice, so it is the order as well. */
  createdMs: number;
  /** How often it was put on the wire; with 0 it is certain that it didn't happen. */
  attempts: number;
  state: WriteState;
}

export type WriteState =
  | { kind: 'waiting' }
  | { kind: 'in_flight' }
  | { kind: 'committed'; epoch: number; seq: number }
  | { kind: 'failed'; code: number; reason: string; message: string };

export type OutboxEffect =
  | { kind: 'save'; write: Write }
  | { kind: 'forget'; cid: string }
  | { kind: 'changed'; room: string };

interface Lane {
  writes: Write[];
  retryAt: number;
  failures: number;
}

export class Outbox {
  readonly #lanes = new Map<string, Lane>();
  #effects: OutboxEffect[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  poll(): OutboxEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** Takes over what an earlier run left behind. It may have been sent, so it counts as tried. */
  restore(writes: Write[]): void {
    for (const write of [...writes].sort((a, b) => a.createdMs - b.createdMs)) {
      if (this.find(write.cid) || write.state.kind === 'committed') continue;
      const state: WriteState = write.state.kind === 'in_flight' ? { kind: 'waiting' } : write.state;
      const lane = this.#lane(write.room);
      const later = (w: Write) => w.createdMs > write.createdMs && w.state.kind === 'waiting' && w.attempts === 0;
      const at = lane.writes.findIndex(later);
      lane.writes.splice(at < 0 ? lane.writes.length : at, 0, { ...write, attempts: write.attempts + 1, state });
      this.#changed(write.room);
    }
  }

  /** A write that is stored already. */
  add(write: Write): void {
    this.#lane(write.room).writes.push(write);
    this.#changed(write.room);
  }

  writes(room: string): readonly Write[] {
    return this.#lanes.get(room)?.writes ?? [];
  }

  get rooms(): string[] {
    return [...this.#lanes.keys()].filter((room) => this.writes(room).length > 0);
  }

  find(cid: string): Write | undefined {
    for (const lane of this.#lanes.values()) {
      const write = lane.writes.find((w) => w.cid === cid);
      if (write) return write;
    }
    return undefined;
  }

  /** What may go on the wire now, marked as in flight. */
  take(now: number): Write[] {
    const taken: Write[] = [];
    for (const lane of this.#lanes.values()) {
      if (lane.retryAt > now || lane.writes.some((w) => w.state.kind === 'in_flight')) continue;
      const write = lane.writes.find((w) => w.state.kind === 'waiting');
      if (!write) continue;
      write.attempts += 1;
      write.state = { kind: 'in_flight' };
      taken.push(write);
    }
    return taken;
  }

  /** When `take` may give something that it doesn't give now. */
  deadline(): number | null {
    let due: number | null = null;
    for (const lane of this.#lanes.values()) {
      const stuck = lane.writes.some((w) => w.state.kind === 'in_flight');
      if (stuck || !lane.writes.some((w) => w.state.kind === 'waiting')) continue;
      due = Math.min(due ?? Number.POSITIVE_INFINITY, lane.retryAt);
    }
    return due;
  }

  /** The connection is gone, and with it every reply: all of it is sent again, in order. */
  handleLost(): void {
    for (const [room, lane] of this.#lanes) {
      lane.retryAt = 0;
      for (const write of lane.writes) {
        if (write.state.kind === 'in_flight') write.state = { kind: 'waiting' };
      }
      this.#changed(room);
    }
  }

  /** The reply to a write. `reissue` gives a new cid, for a write that certainly didn't happen. */
  handleResult(cid: string, result: Result, now: number, reissue: () => string): void {
    const write = this.find(cid);
    if (!write) return;
    if (result.kind === 'committed') return this.#committed(write, result.committed);
    if (result.kind !== 'error') {
      // A reply that this version can't read still means that it was answered.
      return this.#fail(write, { code: 0, reason: 'unknown_reply', message: 'unreadable reply' });
    }
    this.#refused(write, result.error, now, reissue);
  }

  /** One's own event came: it is done, whatever happens to the reply. */
  handleOwnEvent(cid: string): void {
    const write = this.find(cid);
    if (write) this.#remove(write);
  }

  /** The list shows everything up to here: committed writes up to it needn't be shown any more. */
  handleShown(room: string, epoch: number, seq: number): void {
    for (const write of [...this.writes(room)]) {
      const { state } = write;
      if (state.kind === 'committed' && (state.epoch !== epoch || state.seq <= seq)) this.#remove(write);
    }
  }

  /** Sends a failed write again, at its place in the order of writing it anew: the end. */
  retry(cid: string, reissue: () => string): void {
    const write = this.find(cid);
    if (!write || write.state.kind !== 'failed') return;
    const expired = write.state.reason === 'cid_expired' || write.state.reason === 'cid_conflict';
    const again: Write = { ...write, cid: expired ? reissue() : write.cid, state: { kind: 'waiting' } };
    const lane = this.#lane(write.room);
    lane.writes = lane.writes.filter((w) => w !== write);
    lane.failures = 0;
    // In this order: whatever ends the page in between, one of the two is stored.
    this.#effects.push({ kind: 'save', write: again });
    if (again.cid !== write.cid) this.#effects.push({ kind: 'forget', cid: write.cid });
    this.add(again);
  }

  /** Gives up on a write. One that is on its way can't be called back: false. */
  discard(cid: string): boolean {
    const write = this.find(cid);
    if (!write) return true;
    const certain = write.state.kind === 'failed' || (write.state.kind === 'waiting' && write.attempts === 0);
    if (certain) this.#remove(write);
    return certain;
  }

  #refused(write: Write, error: KaiwaError, now: number, reissue: () => string): void {
    const lane = this.#lane(write.room);
    if (error.temporary) {
      lane.retryAt = now + Math.max(error.retryMs, backoffMs(lane.failures, this.#random));
      lane.failures += 1;
      write.state = { kind: 'waiting' };
      this.#changed(write.room);
    } else if (write.op.kind === 'delete' && error.reason === 'message_deleted') {
      this.#remove(write);
    } else if (error.reason === 'cid_expired' && write.attempts <= 1) {
      // Never sent before this refusal: it didn't happen, so a new name for it is safe.
      const at = lane.writes.indexOf(write);
      const again: Write = { ...write, cid: reissue(), state: { kind: 'waiting' } };
      lane.writes[at] = again;
      this.#effects.push({ kind: 'save', write: again }, { kind: 'forget', cid: write.cid });
      this.#changed(write.room);
    } else {
      this.#fail(write, error);
    }
  }

  #committed(write: Write, { epoch, seq }: Committed): void {
    this.#lane(write.room).failures = 0;
    write.state = { kind: 'committed', epoch, seq };
    this.#effects.push({ kind: 'forget', cid: write.cid });
    this.#changed(write.room);
  }

  #fail(write: Write, { code, reason, message }: { code: number; reason: string; message: string }): void {
    write.state = { kind: 'failed', code, reason, message };
    this.#effects.push({ kind: 'save', write: { ...write } });
    this.#changed(write.room);
  }

  #remove(write: Write): void {
    const lane = this.#lane(write.room);
    lane.writes = lane.writes.filter((w) => w !== write);
    lane.failures = 0;
    if (write.state.kind !== 'committed') this.#effects.push({ kind: 'forget', cid: write.cid });
    this.#changed(write.room);
  }

  #lane(room: string): Lane {
    let lane = this.#lanes.get(room);
    if (!lane) {
      lane = { writes: [], retryAt: 0, failures: 0 };
      this.#lanes.set(room, lane);
    }
    return lane;
  }

  #changed(room: string): void {
    this.#effects.push({ kind: 'changed', room });
  }
}

/** Writes that were stored before there were mentions have none. */
const mentionsOf = (op: { mentions?: string[]; mentionAll?: boolean }) => ({ mentions: op.mentions ?? [], mentionAll: op.mentionAll ?? false });

export function commandOf(write: Write): Command {
  const { room, cid, op } = write;
  switch (op.kind) {
    case 'send':
      return { kind: 'send', room, cid, text: op.text, replyTo: op.replyTo, ...mentionsOf(op) };
    case 'edit':
      return { kind: 'edit', room, cid, target: op.target, text: op.text, ...mentionsOf(op) };
    case 'delete':
      return { kind: 'delete', room, cid, target: op.target };
  }
}
