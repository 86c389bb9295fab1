/** All uploads of one person in this page, and those that an earlier page left behind. */
import { newUuid, type ClipsApi } from './clip-api.js';
import { FileGone, printOf, webDigest, type Digest, type FileHandle, type UploadFile } from './clip-file.js';
import { defaultPut, type PutPart } from './clip-put.js';
import type { UploadRecord, UploadStore } from './clip-store.js';
import { Slots } from './clip-slots.js';
import { ClipUpload, type UploadHost } from './clip-upload.js';
import { systemClock, type Clock } from './ports.js';

export interface UploadsOptions {
  api: ClipsApi;
  store: UploadStore;
  put?: PutPart;
  digest?: Digest;
  clock?: Clock;
  random?: () => number;
  newId?: () => string;
  /** Each upload belongs to one page at a time. Without locks two pages may both send it, which does no harm. */
  locks?: LockManager | undefined;
}

/** Of all uploads together. */
const PARTS_AT_ONCE = 3;
/** Listeners hear of progress so often. */
const TELL_MS = 150;

export class ClipUploads {
  readonly #host: UploadHost;
  readonly #store: UploadStore;
  readonly #digest: Digest;
  readonly #clock: Clock;
  readonly #newId: () => string;
  readonly #locks: LockManager | undefined;
  readonly #uploads: ClipUpload[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #releases = new Map<string, () => void>();
  #saving: Promise<void> = Promise.resolve();
  #telling = false;
  #stopped = false;

  constructor(options: UploadsOptions) {
    this.#store = options.store;
    this.#digest = options.digest ?? webDigest;
    this.#clock = options.clock ?? systemClock;
    this.#newId = options.newId ?? newUuid;
    this.#locks = 'locks' in options ? options.locks : globalThis.navigator?.locks;
    this.#host = {
      api: options.api,
      put: options.put ?? defaultPut(),
      digest: this.#digest,
      clock: this.#clock,
      random: options.random ?? Math.random,
      newId: this.#newId,
      slots: new Slots(PARTS_AT_ONCE),
      // What answers come after the end are nothing to keep: the store may be another person's, or cleared.
      save: (record) => this.#stopped || this.#later(() => this.#store.save(record)),
      hold: (id) => this.#hold(id),
      drop: (id) => {
        this.#later(() => this.#store.drop(id));
        this.#releases.get(id)?.();
        this.#releases.delete(id);
      },
      changed: (upload) => this.#changed(upload),
    };
  }

  /** Those of a room, or all, in the order in which they were begun. What is done or given up isn't among them. */
  list(room?: string): readonly ClipUpload[] {
    return this.#uploads.filter((u) => room === undefined || u.room === room);
  }

  /** The upload of a clip, if it is done here. */
  find(clip: string): ClipUpload | null {
    return this.#uploads.find((u) => u.clip === clip) ?? null;
  }

  /** Gives what ends the listening. Progress is told a few times a second at most. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes a file to a room. `type`: where the file says none. `handle` gives the file again after a reload. Throws `FileGone` if it can't be read. */
  async start(file: UploadFile, where: { room: string; title: string; type?: string; handle?: FileHandle | null }): Promise<ClipUpload> {
    const record: UploadRecord = {
      id: this.#newId(),
      room: where.room,
      title: where.title,
      file: {
        name: file.name,
        size: file.size,
        type: where.type ?? file.type,
        modifiedMs: file.lastModified,
        print: await printOf(file, this.#digest),
      },
      handle: where.handle ?? null,
      clip: '',
      isPaused: false,
      isCancelled: false,
      createdMs: this.#clock.now(),
      expiresMs: 0,
    };
    if (this.#stopped) throw new FileGone(new Error('signed out'));
    this.#hold(record.id);
    this.#host.save(record);
    const upload = new ClipUpload(this.#host, record, file);
    this.#uploads.push(upload);
    upload.start();
    return upload;
  }

  /** Takes up what an earlier page left, each as soon as no other page has it. */
  async restore(): Promise<void> {
    const records = await this.#store.all().catch(() => []);
    for (const { id } of records.sort((a, b) => a.createdMs - b.createdMs)) {
      if (!this.#uploads.some((u) => u.id === id)) this.#adopt(id);
    }
  }

  /** The network is back. */
  wake(): void {
    for (const upload of this.#uploads) upload.wake();
  }

  /** Its person isn't in this room any more: nothing of theirs goes there. */
  handleRoomGone(room: string): void {
    for (const upload of this.list(room)) upload.cancel();
  }

  /** Nothing more is sent, and nothing will go on: gives up what any page of this person has begun, as far as the server can be told. */
  async end(): Promise<void> {
    await this.stop();
    const records = await this.#store.all().catch(() => []);
    await Promise.allSettled(records.filter((r) => r.clip !== '').map((r) => this.#host.api.abort(r.clip)));
  }

  /** Nothing more is sent from here. Everything is kept. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const upload of this.#uploads) upload.stop();
    for (const release of this.#releases.values()) release();
    this.#releases.clear();
    await this.flush();
  }

  /** Until everything is stored. */
  flush(): Promise<void> {
    return this.#saving;
  }

  #adopt(id: string): void {
    const take = async () => {
      // As another page may have left it meanwhile.
      const record = (await this.#store.all().catch(() => [])).find((r) => r.id === id);
      if (!record || this.#stopped || this.#uploads.some((u) => u.id === id)) return;
      const upload = new ClipUpload(this.#host, record, null);
      if (!record.isCancelled) this.#uploads.push(upload);
      upload.start();
      this.#changed(upload);
      if (!record.isCancelled) await upload.openHandle({ ask: false });
    };
    this.#hold(id, () => void take());
  }

  /** Holds an upload's lock until it is over. */
  #hold(id: string, then: () => void = () => {}): void {
    if (!this.#locks) return then();
    const held = new Promise<void>((release) => this.#releases.set(id, release));
    this.#locks
      .request(`kaiwa-upload-${id}`, () => {
        then();
        return held;
      })
      .catch(() => {});
  }

  #later(work: () => Promise<void>): void {
    // What can't be kept is lost with the page, and no sooner.
    this.#saving = this.#saving.then(work).catch(() => {});
  }

  #changed(upload: ClipUpload): void {
    const { kind } = upload.state;
    if (kind === 'cancelled' || kind === 'done') {
      const at = this.#uploads.indexOf(upload);
      if (at >= 0) this.#uploads.splice(at, 1);
      return this.#tell();
    }
    if (kind !== 'sending') return this.#tell();
    if (this.#telling) return;
    this.#telling = true;
    this.#clock.after(TELL_MS, () => {
      this.#telling = false;
      this.#tell();
    });
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
