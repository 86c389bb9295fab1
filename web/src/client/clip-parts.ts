/** Which parts of a file have arrived. No I/O and no clock. */
import type { UploadedPart } from './clip-types.js';

const MIB = 1024 * 1024;
/** The server's rule (`part_size` in media-pipeline): 8 MiB, and whole mebibytes more only where 10,000 parts would not do. */
const PART_BYTES = 8 * MIB;
const PARTS_MAX = 10_000;

export const partSizeOf = (size: number): number => Math.max(PART_BYTES, Math.ceil(size / PARTS_MAX / MIB) * MIB);

export class Parts {
  readonly size: number;
  readonly partSize: number;
  readonly count: number;
  readonly #done = new Map<number, UploadedPart>();
  /** Bytes sent of parts that are on their way. */
  readonly #flying = new Map<number, number>();

  constructor(size: number, partSize = partSizeOf(size)) {
    this.size = size;
    this.partSize = partSize;
    this.count = Math.max(1, Math.ceil(size / partSize));
  }

  startOf(number: number): number {
    return (number - 1) * this.partSize;
  }

  sizeOf(number: number): number {
    return Math.min(this.partSize, this.size - this.startOf(number));
  }

  /** What the server has; everything else is to be sent. */
  handleListed(listed: readonly UploadedPart[]): void {
    this.#done.clear();
    this.#flying.clear();
    for (const part of listed) {
      if (part.number >= 1 && part.number <= this.count && part.size === this.sizeOf(part.number)) this.#done.set(part.number, part);
    }
  }

  /** The next part that is neither there nor on its way; null when there is none. */
  take(): number | null {
    for (let number = 1; number <= this.count; number++) {
      if (this.#done.has(number) || this.#flying.has(number)) continue;
      this.#flying.set(number, 0);
      return number;
    }
    return null;
  }

  handleSent(number: number, bytes: number): void {
    if (this.#flying.has(number)) this.#flying.set(number, Math.min(bytes, this.sizeOf(number)));
  }

  handleDone(part: UploadedPart): void {
    this.#flying.delete(part.number);
    this.#done.set(part.number, part);
  }

  handleLost(number: number): void {
    this.#flying.delete(number);
  }

  get done(): UploadedPart[] {
    return [...this.#done.values()].sort((a, b) => a.number - b.number);
  }

  get isComplete(): boolean {
    return this.#done.size === this.count;
  }

  /** Bytes that have left, those on their way included. */
  get sent(): number {
    let sum = 0;
    for (const number of this.#done.keys()) sum += this.sizeOf(number);
    for (const bytes of this.#flying.values()) sum += bytes;
    return sum;
  }
}

/** How fast bytes go, over the last seconds. */
export class Speed {
  static readonly WINDOW_MS = 8_000;
  #samples: { atMs: number; bytes: number }[] = [];

  /** `bytes` in all; fewer than before begins anew (a part was lost). */
  handleBytes(bytes: number, nowMs: number): void {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ atMs: nowMs, bytes });
    while (this.#samples.length > 2 && this.#samples[0]!.atMs < nowMs - Speed.WINDOW_MS) this.#samples.shift();
  }

  reset(): void {
    this.#samples = [];
  }

  /** Bytes a second; 0 while it isn't known. */
  rate(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.atMs - first.atMs < 500) return 0;
    return ((last.bytes - first.bytes) * 1_000) / (last.atMs - first.atMs);
  }
}
