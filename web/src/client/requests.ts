/**
 * Commands that wait for their replies. A reply that was on its way when the connection went is gone:
 * `repeat` asks again on the next connection (reads, and writes with a cid), `once` says that it is
 * not known what happened.
 */
import { offlineError, type Command, type KaiwaError, type Result } from './types.js';

export type Policy = 'repeat' | 'once';

interface Request {
  command: Command;
  policy: Policy;
  tries: number;
  resolve(result: Exclude<Result, { kind: 'error' }>): void;
  reject(error: KaiwaError): void;
}

export interface RequestsOptions {
  /** Puts a command on the wire and gives its id, or null when there is no live connection. */
  send(command: Command): number | null;
  after(ms: number, run: () => void): void;
  /** How many may wait for their replies. */
  inFlight(): number;
}

/** A read that keeps being put off is given up after this many tries. */
const TRIES_MAX = 8;

export class Requests {
  readonly #waiting = new Map<number, Request>();
  #queue: Request[] = [];
  readonly #options: RequestsOptions;

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  ask(command: Command, policy: Policy): Promise<Exclude<Result, { kind: 'error' }>> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ command, policy, tries: 0, resolve, reject });
      this.flush();
    });
  }

  /** Sends what waits, as far as it may. Called when a connection has become live. */
  flush(): void {
    while (this.#queue.length > 0 && this.#waiting.size < this.#options.inFlight()) {
      const request = this.#queue[0]!;
      const id = this.#options.send(request.command);
      if (id === null) break;
      this.#queue.shift();
      this.#waiting.set(id, request);
    }
    if (this.#options.inFlight() === 0) this.#rejectOnce();
  }

  /** False: nobody here asked for it. */
  handleReply(id: number, result: Result): boolean {
    const request = this.#waiting.get(id);
    if (!request) return false;
    this.#waiting.delete(id);
    if (result.kind !== 'error') request.resolve(result);
    else this.#handleError(request, result.error);
    this.flush();
    return true;
  }

  handleLost(): void {
    const lost = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#queue = [...lost, ...this.#queue];
    this.#rejectOnce();
  }

  /** The client is stopped: nothing will be answered any more. */
  handleStopped(): void {
    const all = [...this.#waiting.values(), ...this.#queue];
    this.#waiting.clear();
    this.#queue = [];
    for (const request of all) request.reject(offlineError());
  }

  #handleError(request: Request, error: KaiwaError): void {
    request.tries += 1;
    if (!error.temporary || request.policy === 'once' || request.tries >= TRIES_MAX) {
      request.reject(error);
      return;
    }
    this.#options.after(Math.max(error.retryMs, 100 * 2 ** request.tries), () => {
      this.#queue.push(request);
      this.flush();
    });
  }

  #rejectOnce(): void {
    const once = this.#queue.filter((r) => r.policy === 'once');
    this.#queue = this.#queue.filter((r) => r.policy !== 'once');
    for (const request of once) request.reject(offlineError());
  }
}
