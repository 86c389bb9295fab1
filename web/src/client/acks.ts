/**
 * Says what was received, and whether somebody looks, so that the server needn't push it to them: one `Ack` for
 * all that comes within `ACK_AFTER_MS`, and at once when looking begins or ends. No I/O and no clock here.
 */

/** Well under the server's grace of 2 s, also on a slow path; a busy room costs two frames a second. */
export const ACK_AFTER_MS = 500;

export interface Ack {
  count: number;
  isVisible: boolean;
}

export class Acks {
  #isVisible: boolean;
  #said: Ack | null = null;
  #due: number | null = null;

  constructor(isVisible: boolean) {
    this.#isVisible = isVisible;
  }

  get isVisible(): boolean {
    return this.#isVisible;
  }

  /** Somebody looks, or looks away: worth saying at once. */
  handleVisible(isVisible: boolean, now: number): void {
    if (isVisible === this.#isVisible) return;
    this.#isVisible = isVisible;
    this.#due = now;
  }

  /** Another session or connection: the server knows neither count nor eyes. */
  handleConnected(now: number): void {
    this.#said = null;
    this.#due = now;
  }

  /** The count of reliable pushes as it is now. */
  handleCount(count: number, now: number): void {
    if (this.#said?.count !== count) this.#due ??= now + ACK_AFTER_MS;
  }

  deadline(): number | null {
    return this.#due;
  }

  /** What is to be said now, if anything. */
  poll(count: number, now: number): Ack | null {
    if (this.#due === null || now < this.#due) return null;
    this.#due = null;
    const ack = { count, isVisible: this.#isVisible };
    if (this.#said?.count === ack.count && this.#said.isVisible === ack.isVisible) return null;
    this.#said = ack;
    return ack;
  }
}
