/**
 * The store in a browser: IndexedDB, one database for the origin, everything under the person's id.
 *
 * Several pages of one browser share it. Each write belongs to the page that made it, which holds a
 * Web Lock as long as it lives; a write whose page is gone is adopted by the next that asks. A page that
 * is being reloaded may still hold its lock when the next one asks, so who sees a write of a living page
 * waits for that page's lock as well. (Where there are no Web Locks two pages may both send a write; its
 * cid makes that harmless.)
 *
 * A browser may close a database by force, or fail to open it for a moment: it is opened again.
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
  readonly #factory: IDBFactory;
  readonly #user: string;
  readonly #owner: string;
  readonly #locks: LockManager | undefined;
  /** Owners whose end is waited for. */
  readonly #awaited = new Set<string>();
  #db: Promise<IDBDatabase> | null = null;
  #told: () => void = () => {};

  constructor(options: IndexedDbStoreOptions) {
    this.#factory = options.indexedDB ?? indexedDB;
    this.#user = options.user;
    this.#owner = options.owner;
    this.#locks = 'locks' in options ? options.locks : navigator.locks;
    this.#open().catch(() => {});
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
    const living = await this.#livingPages();
    const isOrphan = ({ owner }: OwnedWrite) => (owner === this.#owner ? first : !living.has(lockOf(owner)));
    // In one transaction, so that two pages that ask at the same time don't adopt the same write.
    const rows = await this.#run<OwnedWrite[]>('writes', 'readwrite', (s) => {
      const all = s.getAll(this.#range()) as IDBRequest<OwnedWrite[]>;
      all.onsuccess = () => {
        for (const row of all.result.filter(isOrphan)) s.put({ ...row, owner: this.#owner });
      };
      return all;
    });
    for (const { owner } of rows) if (owner !== this.#owner && living.has(lockOf(owner))) this.#awaitEnd(owner);
    return rows.filter(isOrphan).map((row) => row.write);
  }

  onOrphans(told: () => void): void {
    this.#told = told;
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

  /** The locks of pages that live. Who waits for a page's end asks for its lock to share it, and is no owner. */
  async #livingPages(): Promise<Set<string>> {
    if (!this.#locks) return new Set();
    const { held = [], pending = [] } = await this.#locks.query();
    return new Set([...held, ...pending].flatMap(({ name, mode }) => (name && mode !== 'shared' ? [name] : [])));
  }

  #awaitEnd(owner: string): void {
    if (!this.#locks || this.#awaited.has(owner)) return;
    this.#awaited.add(owner);
    const ended = () => {
      this.#awaited.delete(owner);
      this.#told();
    };
    this.#locks.request(lockOf(owner), { mode: 'shared' }, () => {}).then(ended, () => this.#awaited.delete(owner));
  }

  #range(): IDBKeyRange {
    return IDBKeyRange.bound([this.#user], [this.#user, []]);
  }

  /** The database, opened again if it could not be or was closed. */
  #open(): Promise<IDBDatabase> {
    if (this.#db) return this.#db;
    const forget = () => {
      if (this.#db === opening) this.#db = null;
    };
    const opening: Promise<IDBDatabase> = open(this.#factory, forget);
    this.#db = opening;
    opening.catch(forget);
    return opening;
  }

  async #run<T>(name: string, mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest): Promise<T> {
    const tx = await this.#begin(name, mode);
    return new Promise<T>((resolve, reject) => {
      const request = work(tx.objectStore(name));
      tx.oncomplete = () => resolve(request.result as T);
      tx.onabort = tx.onerror = () => reject(tx.error ?? new Error('the browser did not store it'));
    });
  }

  async #begin(name: string, mode: IDBTransactionMode): Promise<IDBTransaction> {
    // A write must not be lost with the power; a room that is lost is read again.
    const options = { durability: name === 'writes' ? 'strict' : 'relaxed' } as const;
    const opening = this.#open();
    try {
      return (await opening).transaction(name, mode, options);
    } catch {
      if (this.#db === opening) this.#db = null;
      return (await this.#open()).transaction(name, mode, options);
    }
  }
}

function open(factory: IDBFactory, closed: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = factory.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('rooms', { keyPath: ['user', 'id'] });
      request.result.createObjectStore('writes', { keyPath: ['user', 'cid'] });
    };
    request.onsuccess = () => {
      const db = request.result;
      db.onclose = closed;
      // A newer version of the app in another page needs it.
      db.onversionchange = () => {
        db.close();
        closed();
      };
      resolve(db);
    };
    request.onerror = () => reject(request.error ?? new Error('IndexedDB can not be opened'));
  });
}
