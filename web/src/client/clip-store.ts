/** Uploads over a reload: what is needed to go on with each, in IndexedDB. */
import type { FileHandle, KnownFile } from './clip-file.js';

export interface UploadRecord {
  /** A UUID; the key with which the clip is created, so that it is created once. */
  id: string;
  room: string;
  title: string;
  file: KnownFile & { type: string };
  /** Gives the file again; null where the browser has no such thing. */
  handle: FileHandle | null;
  /** Empty until the server has registered it. */
  clip: string;
  isPaused: boolean;
  /** To be given up, as soon as the server can be told. */
  isCancelled: boolean;
  createdMs: number;
  /** By the server's clock; 0 while it isn't known. */
  expiresMs: number;
}

/** One person's. Failing to keep one costs its going on after a reload, no more. */
export interface UploadStore {
  all(): Promise<UploadRecord[]>;
  save(record: UploadRecord): Promise<void>;
  drop(id: string): Promise<void>;
  clear(): Promise<void>;
}

export class MemoryUploads implements UploadStore {
  readonly #records = new Map<string, UploadRecord>();

  async all(): Promise<UploadRecord[]> {
    return [...this.#records.values()].map((r) => ({ ...r }));
  }
  async save(record: UploadRecord): Promise<void> {
    this.#records.set(record.id, { ...record });
  }
  async drop(id: string): Promise<void> {
    this.#records.delete(id);
  }
  async clear(): Promise<void> {
    this.#records.clear();
  }
}

/** A database of its own: the messages' one stays as it is for older pages. */
const NAME = 'kaiwa-uploads';

export class IndexedDbUploads implements UploadStore {
  readonly #user: string;
  readonly #factory: IDBFactory;
  #db: Promise<IDBDatabase> | null = null;

  constructor(user: string, factory: IDBFactory = indexedDB) {
    this.#user = user;
    this.#factory = factory;
  }

  async all(): Promise<UploadRecord[]> {
    const rows = await this.#run<{ record: UploadRecord }[]>('readonly', (s) => s.getAll(this.#range()));
    return rows.map((row) => row.record);
  }

  async save(record: UploadRecord): Promise<void> {
    const row = { user: this.#user, id: record.id, record };
    try {
      await this.#run('readwrite', (s) => s.put(row));
    } catch (error) {
      if (record.handle === null) throw error;
      // Not every handle can be kept; the file is asked for again, then.
      await this.#run('readwrite', (s) => s.put({ ...row, record: { ...record, handle: null } }));
    }
  }

  async drop(id: string): Promise<void> {
    await this.#run('readwrite', (s) => s.delete([this.#user, id]));
  }

  async clear(): Promise<void> {
    await this.#run('readwrite', (s) => s.delete(this.#range()));
  }

  #range(): IDBKeyRange {
    return IDBKeyRange.bound([this.#user], [this.#user, []]);
  }

  async #run<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest): Promise<T> {
    const db = await (this.#db ??= this.#open());
    return new Promise<T>((resolve, reject) => {
      const tx = db.transaction('uploads', mode);
      const request = work(tx.objectStore('uploads'));
      tx.oncomplete = () => resolve(request.result as T);
      tx.onabort = tx.onerror = () => reject(tx.error ?? new Error('the browser did not store it'));
    });
  }

  #open(): Promise<IDBDatabase> {
    const opening = new Promise<IDBDatabase>((resolve, reject) => {
      const forget = () => {
        if (this.#db === opening) this.#db = null;
      };
      const request = this.#factory.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore('uploads', { keyPath: ['user', 'id'] });
      request.onsuccess = () => {
        const db = request.result;
        db.onclose = forget;
        db.onversionchange = () => {
          db.close();
          forget();
        };
        resolve(db);
      };
      request.onerror = () => {
        forget();
        reject(request.error ?? new Error('IndexedDB can not be opened'));
      };
    });
    return opening;
  }
}
