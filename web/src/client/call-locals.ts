/**
 * What one publishes, and that the server knows which of it is muted. A mute stops the track here first and is said until
 * the server has heard it; a moderator's stops it here too, and nobody but oneself undoes one.
 */
import { notInCall, type CallContext } from './call-host.js';
import type { Local } from './call-media.js';
import type { Part } from './call-part.js';
import { KaiwaError, type CallSource } from './types.js';

interface Waiter {
  resolve(): void;
  reject(error: KaiwaError): void;
}

export class Locals {
  readonly #context: CallContext;
  readonly #part: () => Part | null;
  readonly #locals = new Map<CallSource, Local>();
  /** Whose mute is on its way. */
  readonly #saying = new Set<CallSource>();
  readonly #waiters = new Map<CallSource, Waiter[]>();

  constructor(context: CallContext, part: () => Part | null) {
    this.#context = context;
    this.#part = part;
  }

  get(source: CallSource): Local | undefined {
    return this.#locals.get(source);
  }

  all(): Iterable<Local> {
    return this.#locals.values();
  }

  set(source: CallSource, track: MediaStreamTrack, muted: boolean): Local {
    const known = this.#locals.get(source);
    const local: Local = known ?? { source, track, muted, said: null };
    local.track = track;
    this.#locals.set(source, local);
    this.#applyMute(local, muted);
    return local;
  }

  delete(source: CallSource): boolean {
    return this.#locals.delete(source);
  }

  /** Before another call; nobody waits for anything then. */
  reset(): void {
    this.#locals.clear();
  }

  /** The call is over. */
  clear(): void {
    this.#locals.clear();
    for (const source of [...this.#waiters.keys()]) this.settle(source, notInCall());
  }

  /** Lets go of what one may not publish. */
  keep(allowed: readonly CallSource[]): void {
    for (const source of [...this.#locals.keys()]) if (!allowed.includes(source)) this.#locals.delete(source);
  }

  /** Resolves when others can have what is published under this source. */
  published(source: CallSource): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.set(source, [...(this.#waiters.get(source) ?? []), { resolve, reject }]);
    });
  }

  /** Tells those who wait for a source. False: nobody did. */
  settle(source: CallSource, error: KaiwaError | null): boolean {
    const waiters = this.#waiters.get(source) ?? [];
    this.#waiters.delete(source);
    for (const { resolve, reject } of waiters) {
      if (error) reject(error);
      else resolve();
    }
    return waiters.length > 0;
  }

  /** Tells those whose publication is there by now. */
  settlePublished(publicationOf: (source: CallSource) => string): void {
    for (const source of [...this.#waiters.keys()]) if (publicationOf(source)) this.settle(source, null);
  }

  mute(source: CallSource, muted: boolean): void {
    const local = this.#locals.get(source);
    if (!local || local.muted === muted) return;
    this.#applyMute(local, muted);
    this.sayMutes();
    this.#context.changed();
  }

  handleLost(): void {
    // What was on its way may not have arrived.
    for (const local of this.#locals.values()) if (this.#saying.has(local.source)) local.said = null;
  }

  /** The server has the last word on being muted, and nobody but oneself on being heard. */
  adoptMutes(part: Part): void {
    const mine = part.roster.get(part.participant)?.publications ?? [];
    for (const { publication, source, muted } of mine) {
      const local = this.#locals.get(source);
      if (!local || this.#saying.has(source) || publication !== part.media?.publicationOf(source)) continue;
      if (local.said !== local.muted || muted === local.muted) continue;
      local.said = muted;
      if (!muted) continue;
      this.#applyMute(local, true);
      this.#context.notice({ kind: 'muted', source });
    }
    this.sayMutes();
  }

  /** Tells the server what it doesn't know about one's mutes. An offer that is not answered yet says it by itself. */
  sayMutes(): void {
    const part = this.#part();
    if (!part?.media || !this.#context.host.live()) return;
    for (const local of this.#locals.values()) {
      const publication = part.media.publicationOf(local.source);
      if (publication !== '' && local.said !== local.muted && !this.#saying.has(local.source)) void this.#sayMute(part, local, publication);
    }
  }

  async #sayMute(part: Part, local: Local, publication: string): Promise<void> {
    const { source, muted } = local;
    this.#saying.add(source);
    local.said = muted;
    let again = true;
    try {
      await this.#context.ask({ kind: 'call_mute', room: part.room, publication, muted });
    } catch (error) {
      local.said = null;
      again = error instanceof KaiwaError && error.temporary && error.reason !== 'offline';
      if (!again && error instanceof KaiwaError && error.reason !== 'offline' && this.#part() === part) {
        // Nobody may be heard who believes to be muted, nor believe to be heard who isn't.
        local.said = true;
        this.#applyMute(local, true);
        this.#context.notice({ kind: 'failed', error });
        this.#context.changed();
      }
    } finally {
      this.#saying.delete(source);
    }
    if (again) this.sayMutes();
  }

  #applyMute(local: Local, muted: boolean): void {
    local.muted = muted;
    if (local.track) local.track.enabled = !muted;
    if (muted && local.source === 'camera') local.track = null;
    const media = this.#part()?.media;
    if (media?.publicationOf(local.source)) media.handleLocal(local);
  }
}
