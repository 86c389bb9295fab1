/** What the library needs from its surroundings, so that tests and other hosts can give their own. */
import type { Position, RoomInfo } from './types.js';
import type { TimelineSnapshot } from './timeline.js';
import type { Write } from './outbox.js';

export interface Clock {
  now(): number;
  /** Calls `run` once after `ms`; gives what cancels it. */
  after(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    // Longer delays overflow the timer and would run at once.
    const timer = setTimeout(run, Math.min(ms, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  },
};

/** The part of a WebSocket that is used; the browser's, and that of the `ws` package, have it. */
export interface Socket {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

export type OpenSocket = (url: string, subprotocols: string[]) => Socket;

/** What is kept of a room over a reload. `position` and `timeline` are of the same moment. */
export interface StoredRoom {
  info: RoomInfo;
  version: number;
  position: Position | null;
  timeline: TimelineSnapshot | null;
  lastRead: number;
  names: Record<string, string>;
}

/** Keeps one person's rooms and unsent writes. A failure to keep rooms is survivable; to keep writes isn't. */
export interface Store {
  rooms(): Promise<StoredRoom[]>;
  saveRoom(room: StoredRoom): Promise<void>;
  dropRoom(room: string): Promise<void>;
  /** Takes over the writes that nobody takes care of, and gives them. `first`: also one's own, from before. */
  adoptWrites(options: { first: boolean }): Promise<Write[]>;
  /** Calls `told` when writes that somebody took care of may have become nobody's. */
  onOrphans(told: () => void): void;
  saveWrite(write: Write): Promise<void>;
  dropWrite(cid: string): Promise<void>;
  /** Throws everything of this person away. */
  clear(): Promise<void>;
}

/** For tests, and where nothing shall be left behind. Copies like a real one. */
export class MemoryStore implements Store {
  readonly #rooms = new Map<string, string>();
  readonly #writes = new Map<string, string>();

  async rooms(): Promise<StoredRoom[]> {
    return [...this.#rooms.values()].map((r) => JSON.parse(r) as StoredRoom);
  }
  async saveRoom(room: StoredRoom): Promise<void> {
    this.#rooms.set(room.info.room, JSON.stringify(room));
  }
  async dropRoom(room: string): Promise<void> {
    this.#rooms.delete(room);
  }
  async adoptWrites(_options: { first: boolean }): Promise<Write[]> {
    return [...this.#writes.values()].map((w) => JSON.parse(w) as Write);
  }
  onOrphans(_told: () => void): void {}
  async saveWrite(write: Write): Promise<void> {
    this.#writes.set(write.cid, JSON.stringify(write));
  }
  async dropWrite(cid: string): Promise<void> {
    this.#writes.delete(cid);
  }
  async clear(): Promise<void> {
    this.#rooms.clear();
    this.#writes.clear();
  }
}

