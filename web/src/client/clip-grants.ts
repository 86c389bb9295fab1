/**
 * The right to play clips: asked for once for each clip, renewed before it ends, and forgotten when it is refused. A
 * room's tokens all end at once when somebody leaves it; who may still play gets another one.
 */
import type { ClipsApi } from './clip-api.js';
import type { Clock } from './ports.js';
import { systemClock } from './ports.js';
import { ClipsError, type PlaybackGrant } from './clip-types.js';

/** With less than this left a grant is renewed. */
const LEFT_MS = 5 * 60_000;
/** One that lives shorter than that is renewed when half of it is over. */
const LEAST_SHARE = 0.5;
/** When one can't be renewed just then, and still holds. */
const AGAIN_MS = 10_000;
const GRANTS_MAX = 200;
/** Questions at once: a page of clips asks for many. */
const AT_ONCE = 4;

interface Held {
  grant: PlaybackGrant;
  /** By the local clock, as `endsMs`. */
  renewMs: number;
  endsMs: number;
}

export class PlaybackGrants {
  readonly #api: Pick<ClipsApi, 'playback'>;
  readonly #clock: Clock;
  readonly #offset: () => number;
  readonly #held = new Map<string, Held>();
  readonly #asked = new Map<string, Promise<PlaybackGrant>>();
  readonly #queue: (() => void)[] = [];
  #running = 0;

  /** `clockOffsetMs`: the server's clock minus the local one. */
  constructor(api: Pick<ClipsApi, 'playback'>, clockOffsetMs: () => number = () => 0, clock: Clock = systemClock) {
    this.#api = api;
    this.#offset = clockOffsetMs;
    this.#clock = clock;
  }

  /** Throws as `ClipsApi.playback` does. */
  async get(clip: string): Promise<PlaybackGrant> {
    const held = this.#held.get(clip);
    return held && this.#clock.now() < held.renewMs ? held.grant : this.renew(clip);
  }

  /** Another one, because this one was refused or is about to end. */
  renew(clip: string): Promise<PlaybackGrant> {
    const asked = this.#asked.get(clip);
    if (asked) return asked;
    this.#held.delete(clip);
    const asking = this.#turn(() => this.#api.playback(clip))
      .then((grant) => this.#keep(clip, grant))
      .finally(() => this.#asked.delete(clip));
    this.#asked.set(clip, asking);
    return asking;
  }

  /**
   * Calls `renewed` with each later grant, in time, until it is told to stop. For what plays. `failed`: it is refused, or
   * has ended while the server could not be reached; then no more is asked.
   */
  follow(clip: string, renewed: (grant: PlaybackGrant) => void, failed: (error: unknown) => void): () => void {
    let stopped = false;
    let cancel = () => {};
    let endsMs = this.#held.get(clip)?.endsMs ?? 0;
    const wait = (ms: number) => (cancel = this.#clock.after(ms, ask));
    const untilRenewal = () => Math.max(1_000, (this.#held.get(clip)?.renewMs ?? 0) - this.#clock.now());
    const ask = () => {
      this.get(clip).then(
        (grant) => {
          if (stopped) return;
          endsMs = this.#held.get(clip)?.endsMs ?? 0;
          renewed(grant);
          wait(untilRenewal());
        },
        (error: unknown) => {
          if (stopped) return;
          const passes = !(error instanceof ClipsError) || error.temporary;
          if (passes && this.#clock.now() < endsMs) wait(AGAIN_MS);
          else failed(error);
        },
      );
    };
    wait(untilRenewal());
    return () => {
      stopped = true;
      cancel();
    };
  }

  forget(clip: string): void {
    this.#held.delete(clip);
  }

  #keep(clip: string, grant: PlaybackGrant): PlaybackGrant {
    const now = this.#clock.now();
    const lifeMs = Math.max(0, grant.expiresMs - this.#offset() - now);
    this.#held.set(clip, { grant, renewMs: now + Math.max(lifeMs - LEFT_MS, lifeMs * LEAST_SHARE), endsMs: now + lifeMs });
    if (this.#held.size > GRANTS_MAX) this.#held.delete(this.#held.keys().next().value!);
    return grant;
  }

  async #turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= AT_ONCE) await new Promise<void>((go) => this.#queue.push(go));
    this.#running++;
    try {
      return await work();
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
  }
}
