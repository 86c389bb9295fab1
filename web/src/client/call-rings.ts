/** Who calls one, and whom one calls. */
import type { CallContext } from './call-host.js';
import type { CallOutgoing, CallRing } from './call-view.js';
import type { CallRinging } from './types.js';

/** The server stops earlier; this is for a push that never comes. */
const OUTGOING_MAX_MS = 60_000;

export class Rings {
  readonly #context: CallContext;
  /** By room. */
  readonly #rings = new Map<string, { ring: CallRing; cancel: () => void }>();
  #outgoing: CallOutgoing | null = null;
  #cancelOutgoing: () => void = () => {};

  constructor(context: CallContext) {
    this.#context = context;
  }

  all(): CallRing[] {
    return [...this.#rings.values()].map(({ ring }) => ring);
  }

  get outgoing(): CallOutgoing | null {
    return this.#outgoing;
  }

  /** `inRoom`: whose call one is in, which needs no ring. */
  handleRinging({ room, from, untilMs, outcome, user }: CallRinging, inRoom: string): void {
    const { host, notice } = this.#context;
    if (from.id === host.me().id) {
      if (untilMs > 0 || this.#outgoing?.room !== room) return;
      if (outcome !== 'answered') notice({ kind: 'ring', user, outcome });
      return this.#answered(user?.id ?? '');
    }
    this.stop(room);
    const localUntil = untilMs - host.clockOffsetMs();
    const left = localUntil - host.clock.now();
    if (untilMs === 0 || left <= 0 || inRoom === room) return;
    const cancel = host.clock.after(left, () => {
      this.stop(room);
      host.settle();
    });
    this.#rings.set(room, { ring: { room, from, untilMs: localUntil }, cancel });
    host.changed({ kind: 'call_rings' });
  }

  /** Somebody is in one's call now. */
  handleJoined(user: string): void {
    if (this.#outgoing?.users.includes(user) || this.#outgoing?.users.length === 0) this.#answered(user);
  }

  stop(room: string): void {
    const known = this.#rings.get(room);
    if (!known) return;
    known.cancel();
    this.#rings.delete(room);
    this.#context.host.changed({ kind: 'call_rings' });
  }

  stopAll(): void {
    for (const room of [...this.#rings.keys()]) this.stop(room);
  }

  /** These people are called as well from now on. */
  call(room: string, users: readonly string[]): void {
    this.#setOutgoing({ room, users: [...new Set([...(this.#outgoing?.users ?? []), ...users])] });
  }

  /** Nobody is called any more. */
  endCall(): void {
    if (this.#outgoing) this.#setOutgoing(null);
  }

  #setOutgoing(outgoing: CallOutgoing | null): void {
    const { host } = this.#context;
    this.#cancelOutgoing();
    this.#outgoing = outgoing;
    if (outgoing) {
      this.#cancelOutgoing = host.clock.after(OUTGOING_MAX_MS, () => {
        this.#setOutgoing(null);
        host.settle();
      });
    }
    host.changed({ kind: 'call' });
  }

  #answered(user: string): void {
    const users = this.#outgoing?.users.filter((u) => u !== user) ?? [];
    const over = users.length === 0 || user === '';
    this.#setOutgoing(over ? null : { room: this.#outgoing!.room, users });
  }
}
