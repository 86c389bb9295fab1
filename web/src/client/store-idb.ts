/**
 * The store in a browser: IndexedDB, one database for the origin, everything under the person's id.
 *
 * Several pages of one browser share it. Each write belongs to the page that made it, which holds a
 * Web Lock as long as it lives; a write whose page is gone is adopted by the next that asks. (Where
 * there are no Web Locks two pages may both send a write; its cid makes that harmless.)
 */
import type { Store, StoredRoom } from './ports.js';
import type { Write } from './outbox.js';

interface OwnedWrite {
  user: string;
  cid: string;
  owner: string;
  write: Write;
}

const NAME = 'kaiwa';
const VERSION = 1;
const lockOf = (owner: string) => `kaiwa-page-${owner}`;

export interface IndexedDbStoreOptions {
  user: string;
  /** Of this page, unlike that of any other. */
  owner: string;
  indexedDB?: IDBFactory;
  locks?: LockManager | undefined;
}

export class IndexedDbStore implements Store {
  readonly #db: Promise<IDBDatabase>;
  readonly #user: string;
  readonly #owner: string;
  readonly #locks: LockManager | undefined;

  constructor(options: IndexedDbStoreOptions) {
    this.#user = options.user;
    this.#owner = options.owner;
    this.#locks = 'locks' in options ? options.locks : navigator.locks;
    this.#db = open(options.indexedDB ?? indexedDB);
    this.#db.catch(() => {});
    // Held until the page goes; nobody waits for it.
    this.#locks?.request(lockOf(this.#owner), () => new Promise<void>(() => {})).catch(() => {});
  }

  async rooms(): Promise<StoredRoom[]> {
    const rows = await this.#run<{ room: StoredRoom }[]>('rooms', 'readonly', (s) => s.getAll(this.#range()));
    return rows.map((row) => row.room);
  }

  async saveRoom(room: StoredRoom): Promise<void> {
    await this.#run('rooms', 'readwrite', (s) => s.put({ user: this.#user, id: room.info.room, room }));
  }

  async dropRoom(room: string): Promise<void> {
    await this.#run('rooms', 'readwrite', (s) => s.delete([this.#user, room]));
  }

  async adoptWrites({ first }: { first: boolean }): Promise<Write[]> {
    const alive = await this.#owners();
    const rows = await this.#run<OwnedWrite[]>('writes', 'readonly', (s) => s.getAll(this.#range()));
    const orphans = rows.filter((row) => (row.owner === this.#owner ? first : !alive.has(row.owner)));
    for (const row of orphans) await this.saveWrite(row.write);
    return orphans.map((row) => row.write);
  }

  async saveWrite(write: Write): Promise<void> {
    const row: OwnedWrite = { user: this.#user, cid: write.cid, owner: this.#owner, write };
    await this.#run('writes', 'readwrite', (s) => s.put(row));
  }

  async dropWrite(cid: string): Promise<void> {
    await this.#run('writes', 'readwrite', (s) => s.delete([this.#user, cid]));
  }

  async clear(): Promise<void> {
    await this.#run('rooms', 'readwrite', (s) => s.delete(this.#range()));
    await this.#run('writes', 'readwrite', (s) => s.delete(this.#range()));
  }

  async #owners(): Promise<Set<string>> {
    if (!this.#locks) return new Set();
    const { held = [], pending = [] } = await this.#locks.query();
    const names = new Set([...held, ...pending].map((lock) => lock.name));
    const rows = await this.#run<OwnedWrite[]>('writes', 'readonly', (s) => s.getAll(this.#range()));
    return new Set(rows.map((row) => row.owner).filter((owner) => names.has(lockOf(owner))));
  }

  #range(): IDBKeyRange {
    return IDBKeyRange.bound([this.#user], [this.#user, []]);
  }

  async #run<T>(name: string, mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest): Promise<T> {
    const db = await this.#db;
    return new Promise<T>((resolve, reject) => {
      // A write must not be lost with the power; a room that is lost is read again.
      const tx = db.transaction(name, mode, { durability: name === 'writes' ? 'strict' : 'relaxed' });
      const request = work(tx.objectStore(name));
      tx.oncomplete = () => resolve(request.result as T);
      tx.onabort = tx.onerror = () => reject(tx.error ?? new Error('the browser did not store it'));
    });
  }
}

function open(factory: IDBFactory): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = factory.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('rooms', { keyPath: ['user', 'id'] });
      request.result.createObjectStore('writes', { keyPath: ['user', 'cid'] });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('IndexedDB can not be opened'));
  });
}
