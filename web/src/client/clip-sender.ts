/** Sends the parts of one file, a few at once. When to begin, and what a failure means, whoever has it says. */
import type { ClipsApi } from './clip-api.js';
import { readPiece, type Digest, type UploadFile } from './clip-file.js';
import { Parts, Speed } from './clip-parts.js';
import type { PutPart } from './clip-put.js';
import type { Slots } from './clip-slots.js';
import { ClipsError } from './clip-types.js';
import type { Clock } from './ports.js';

export interface SenderHost {
  api: Pick<ClipsApi, 'signParts'>;
  put: PutPart;
  digest: Digest;
  clock: Clock;
  slots: Slots;
  /** More has left, or less. */
  changed(): void;
  /** A part got there. */
  arrived(): void;
}

/** Parts of one upload at once. */
const LANES = 3;
/** A part of which nothing has left for so long is sent again. */
const STALL_MS = 30_000;

export class Sender {
  readonly parts: Parts;
  readonly #host: SenderHost;
  readonly #speed = new Speed();

  constructor(host: SenderHost, size: number) {
    this.#host = host;
    this.parts = new Parts(size);
  }

  /** Bytes a second; 0 while it isn't known. */
  get rate(): number {
    return this.#speed.rate();
  }

  /** Nothing is sent for a while: how fast it was says nothing any more. */
  rest(): void {
    this.#speed.reset();
  }

  /** Sends what isn't there yet. Throws the first failure once all that was begun has ended. */
  async send(clip: string, file: UploadFile | null, signal: AbortSignal): Promise<void> {
    if (!file) throw new TypeError('stopped');
    // Before the first one is signed there is no upload to add others to.
    if (this.parts.done.length === 0) await this.#lane(clip, file, signal, 1);
    const lanes = await Promise.allSettled(Array.from({ length: LANES }, () => this.#lane(clip, file, signal)));
    const failed = lanes.find((lane) => lane.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** Sends parts until there are none left, or `most` of them. */
  async #lane(clip: string, file: UploadFile, signal: AbortSignal, most = Infinity): Promise<void> {
    for (let sent = 0; sent < most; sent++) {
      if (signal.aborted) return;
      const number = this.parts.take();
      if (number === null) return;
      try {
        await this.#host.slots.use(() => this.#part(clip, file, number, signal));
        this.#host.arrived();
      } catch (error) {
        this.parts.handleLost(number);
        throw error;
      } finally {
        this.#host.changed();
      }
    }
  }

  async #part(clip: string, file: UploadFile, number: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new TypeError('stopped');
    const { api, put, digest, clock } = this.#host;
    const from = this.parts.startOf(number);
    const bytes = await readPiece(file, from, from + this.parts.sizeOf(number));
    const sha256 = await digest(bytes);
    const size = bytes.byteLength;
    const grant = await api.signParts(clip, [{ number, size, sha256 }], signal);
    const signed = grant.parts[0];
    if (!signed || grant.partSize !== this.parts.partSize) {
      throw new ClipsError({ code: 0, reason: 'unknown_reply', message: 'parts of another size' });
    }
    const stalled = new AbortController();
    let unwatch = clock.after(STALL_MS, () => stalled.abort());
    const sent = (count: number) => {
      unwatch();
      unwatch = clock.after(STALL_MS, () => stalled.abort());
      this.#handleSent(number, count);
    };
    try {
      const etag = await put(signed, bytes, sent, AbortSignal.any([signal, stalled.signal]));
      this.parts.handleDone({ number, size, etag, sha256 });
    } finally {
      unwatch();
    }
  }

  #handleSent(number: number, bytes: number): void {
    this.parts.handleSent(number, bytes);
    this.#speed.handleBytes(this.parts.sent, this.#host.clock.now());
    this.#host.changed();
  }
}
