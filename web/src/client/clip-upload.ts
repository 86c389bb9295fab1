/**
 * One file on its way to a room: registered, sent in parts, completed. It goes on by itself after lost connections and
 * restarts of the server, and after a reload as soon as its file is there again.
 *
 *   starting ─► sending ─► completing ─► done
 *      │  ▲        │ │
 *      │  │        │ └─ pause ─► paused ─ resume ─┐
 *      │  └─ waiting ◄─ no connection, 5xx        ├─► starting
 *      │                needs_file ─ provideFile ─┘
 *      └─ refused ─► failed ─ retry ─► starting          any ─ cancel ─► cancelled
 */
import type { ClipsApi } from './clip-api.js';
import { FileGone, isSameFile, type Digest, type UploadFile } from './clip-file.js';
import type { Parts } from './clip-parts.js';
import type { PutPart } from './clip-put.js';
import { Sender } from './clip-sender.js';
import type { Slots } from './clip-slots.js';
import type { UploadRecord } from './clip-store.js';
import { ClipsError, type Clip, type ClipKind } from './clip-types.js';
import { backoffMs, type Random } from './backoff.js';
import type { Clock } from './ports.js';

export type UploadState =
  | { kind: 'starting' }
  | { kind: 'sending' }
  | { kind: 'paused' }
  /** It goes on by itself. `error` is null without a connection. */
  | { kind: 'waiting'; error: ClipsError | null }
  /** The page was loaded anew. `isHeld`: the browser has the file and asks whether it may be read. */
  | { kind: 'needs_file'; isHeld: boolean }
  | { kind: 'completing' }
  | { kind: 'done'; clip: Clip }
  | { kind: 'failed'; error: ClipsError }
  | { kind: 'cancelled' };

export interface UploadHost {
  api: ClipsApi;
  put: PutPart;
  digest: Digest;
  clock: Clock;
  random: Random;
  newId(): string;
  /** Parts that may be on their way at once, of all uploads together. */
  slots: Slots;
  save(record: UploadRecord): void;
  /** It is this page's, under this id too. */
  hold(id: string): void;
  /** It is over: nothing has to be kept. */
  drop(id: string): void;
  changed(upload: ClipUpload): void;
}

/** So often the server may answer that it doesn't take a part, without one that it takes. */
const REFUSALS_MAX = 5;

/** More would not fit into a request: the server takes what it has, then. */
const PARTS_NAMED_MAX = 4_000;

const STARTED_WITHOUT_A_FILE: UploadState = { kind: 'needs_file', isHeld: false };

export class ClipUpload {
  readonly #host: UploadHost;
  readonly #sender: Sender;
  readonly #parts: Parts;
  #record: UploadRecord;
  #file: UploadFile | null;
  #state: UploadState = { kind: 'starting' };
  #run: AbortController | null = null;
  #cancelTimer: (() => void) | null = null;
  /** In a row, without a part that got there. */
  #failures = 0;
  #refusals = 0;
  /** The clip has ended, whatever is sent. */
  #isOver = false;

  constructor(host: UploadHost, record: UploadRecord, file: UploadFile | null) {
    this.#host = host;
    this.#record = record;
    this.#file = file;
    const { api, put, digest, clock, slots } = host;
    const changed = () => host.changed(this);
    const arrived = () => (this.#failures = this.#refusals = 0);
    this.#sender = new Sender({ api, put, digest, clock, slots, changed, arrived }, record.file.size);
    this.#parts = this.#sender.parts;
    if (record.isPaused) this.#state = { kind: 'paused' };
    else if (!file) this.#state = { kind: 'needs_file', isHeld: record.handle !== null };
  }

  get id(): string {
    return this.#record.id;
  }

  get room(): string {
    return this.#record.room;
  }

  /** Empty until the server has registered it. */
  get clip(): string {
    return this.#record.clip;
  }

  get title(): string {
    return this.#record.title || this.#record.file.name;
  }

  get file(): Readonly<UploadRecord['file']> {
    return this.#record.file;
  }

  get kind(): ClipKind {
    const main = this.#record.file.type.split('/')[0];
    return main === 'image' || main === 'audio' ? main : 'video';
  }

  get state(): UploadState {
    return this.#state;
  }

  get sent(): number {
    return this.#parts.sent;
  }

  /** Bytes a second; 0 while it isn't known. */
  get rate(): number {
    return this.#state.kind === 'sending' ? this.#sender.rate : 0;
  }

  /** 0 while it isn't known. */
  get leftMs(): number {
    const rate = this.rate;
    return rate > 0 ? ((this.#record.file.size - this.sent) * 1_000) / rate : 0;
  }

  /** Begins, or goes on. */
  start(): void {
    if (this.#record.isCancelled) return this.#enter({ kind: 'cancelled' }, () => this.#giveUp());
    if (this.#record.isPaused) return void this.#look();
    if (!this.#file) return this.#enter({ kind: 'needs_file', isHeld: this.#record.handle !== null }, () => void this.#look());
    this.#enter({ kind: 'starting' }, () => this.#carryOn());
  }

  pause(): void {
    if (!['starting', 'sending', 'waiting', 'needs_file'].includes(this.#state.kind)) return;
    this.#keep({ isPaused: true });
    this.#enter({ kind: 'paused' });
  }

  resume(): void {
    if (this.#state.kind !== 'paused') return;
    this.#keep({ isPaused: false });
    this.start();
  }

  /** After a failure. What the server has of it is not sent again, unless it is of no use any more. */
  retry(): void {
    if (this.#state.kind !== 'failed') return;
    this.#failures = this.#refusals = 0;
    if (this.#isOver) {
      // A clip that has ended is of no use: another one, with a key of its own.
      this.#isOver = false;
      this.#host.drop(this.id);
      this.#parts.handleListed([]);
      const id = this.#host.newId();
      this.#host.hold(id);
      this.#keep({ id, clip: '', expiresMs: 0 });
    }
    this.start();
  }

  cancel(): void {
    if (this.#state.kind === 'done' || this.#state.kind === 'cancelled') return;
    this.#keep({ isCancelled: true });
    this.#enter({ kind: 'cancelled' }, () => this.#giveUp());
  }

  /** The file, chosen again. False: it is another one. */
  async provideFile(file: UploadFile): Promise<boolean> {
    const isSame = await isSameFile(file, this.#record.file, this.#host.digest).catch(() => false);
    if (isSame && !this.#file) {
      this.#file = file;
      if (!this.#record.isPaused) this.start();
      else this.#host.changed(this);
    }
    return isSame;
  }

  /** Takes the file from the browser's handle; `ask`: after a click, since the browser may ask. False: not possible. */
  async openHandle({ ask }: { ask: boolean }): Promise<boolean> {
    const { handle } = this.#record;
    if (!handle || this.#file) return this.#file !== null;
    try {
      const want = { mode: 'read' } as const;
      const held = (await handle.queryPermission?.(want)) ?? 'granted';
      const may = held === 'granted' || !ask ? held : ((await handle.requestPermission?.(want)) ?? 'denied');
      if (may !== 'granted') return false;
      if (await this.provideFile(await handle.getFile())) return true;
    } catch {
      // It was moved, or deleted.
    }
    this.#record.handle = null;
    if (this.#state.kind === 'needs_file') this.#enter(STARTED_WITHOUT_A_FILE);
    return false;
  }

  /** The network is back: don't wait for the timer. */
  wake(): void {
    if (this.#state.kind === 'waiting') this.start();
  }

  /** Stops without giving anything up. */
  stop(): void {
    this.#leave();
  }

  // --- what it does ---

  #leave(): void {
    this.#run?.abort();
    this.#run = null;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#sender.rest();
  }

  #enter(state: UploadState, then?: () => void): void {
    this.#leave();
    this.#state = state;
    then?.();
    this.#host.changed(this);
  }

  #keep(change: Partial<UploadRecord>): void {
    this.#record = { ...this.#record, ...change };
    this.#host.save(this.#record);
  }

  #carryOn(): void {
    const run = new AbortController();
    this.#run = run;
    this.#work(run.signal).then(
      (clip) => {
        if (run.signal.aborted) return;
        this.#host.drop(this.id);
        this.#enter({ kind: 'done', clip });
      },
      (error: unknown) => {
        if (!run.signal.aborted) this.#handleError(error);
      },
    );
  }

  async #work(signal: AbortSignal): Promise<Clip> {
    const ended = await this.#begin(signal);
    if (ended) return ended;
    this.#show({ kind: 'sending' }, signal);
    await this.#sender.send(this.#record.clip, this.#file, signal);
    this.#show({ kind: 'completing' }, signal);
    return this.#complete(signal);
  }

  /** How far it is, while it doesn't go on; and whether it still can. */
  async #look(): Promise<void> {
    const { api } = this.#host;
    const { clip } = this.#record;
    if (!clip || this.#parts.sent > 0) return;
    try {
      const { state } = await api.get(clip);
      const waits = this.#state.kind === 'needs_file' || this.#state.kind === 'paused';
      if (!waits) return;
      if (state === 'created' || state === 'uploading') {
        const listed = state === 'uploading' ? await api.parts(clip) : [];
        if (this.#state.kind === 'needs_file' || this.#state.kind === 'paused') this.#parts.handleListed(listed);
        return this.#host.changed(this);
      }
      // Given up or sent meanwhile, from another window: its message says so.
      this.#forget();
    } catch (error) {
      // So long ago that the server has forgotten it. Anything else is asked again when it goes on.
      if (error instanceof ClipsError && error.code === 404) this.#forget();
    }
  }

  #forget(): void {
    this.#host.drop(this.id);
    this.#enter({ kind: 'cancelled' });
  }

  #show(state: UploadState, signal: AbortSignal): void {
    if (signal.aborted) throw new TypeError('stopped');
    this.#state = state;
    this.#host.changed(this);
  }

  /** Registers it, or asks what has arrived. Gives the clip if nothing is to be sent any more. */
  async #begin(signal: AbortSignal): Promise<Clip | null> {
    const { api } = this.#host;
    const { id, room, title, file } = this.#record;
    if (!this.#record.clip) {
      const type = file.type || 'application/octet-stream';
      const clip = await api.create({ room, title, name: file.name, size: file.size, contentType: type }, id);
      if (signal.aborted && this.#record.isCancelled) void api.abort(clip.id).catch(() => {});
      this.#keep({ clip: clip.id, expiresMs: clip.uploadExpiresMs });
      this.#parts.handleListed([]);
      // The answer to a repetition is the clip as it is by now.
      if (clip.state === 'created') return null;
    }
    const clip = await api.get(this.#record.clip);
    switch (clip.state) {
      case 'created':
        this.#parts.handleListed([]);
        return null;
      case 'uploading':
        this.#parts.handleListed(await api.parts(clip.id));
        return null;
      case 'rejected':
      case 'failed':
      case 'expired':
        this.#isOver = true;
        throw endedBadly(clip);
      case 'cancelled':
      case 'deleted':
        throw new ClipsError({ code: 0, reason: 'CANCELLED', message: 'it was given up elsewhere' });
      default:
        return clip;
    }
  }

  /** With what the server says that it has: a part that is missing would spoil the whole. */
  async #complete(signal: AbortSignal): Promise<Clip> {
    const { api } = this.#host;
    const { clip } = this.#record;
    const listed = await api.parts(clip);
    this.#parts.handleListed(listed);
    if (!this.#parts.isComplete) throw new TypeError('parts were lost');
    if (signal.aborted) throw new TypeError('stopped');
    return api.complete(clip, this.#parts.count > PARTS_NAMED_MAX ? [] : this.#parts.done);
  }

  #handleError(error: unknown): void {
    if (error instanceof FileGone) {
      this.#file = null;
      this.#record.handle = null;
      return this.#enter(STARTED_WITHOUT_A_FILE);
    }
    if (error instanceof ClipsError) {
      // By somebody, or from another window: nothing is left to do here.
      if (error.reason === 'CANCELLED') return this.#forget();
      if (error.code === 404 || error.reason === 'UPLOAD_CORRUPT') this.#isOver = true;
      // What a part is refused for (its URL has run out, its upload has ended) is seen when it is begun again.
      this.#refusals += error.code >= 400 && error.code < 500 ? 1 : 0;
      const passes = error.temporary || error.code === 401 || (ASK_AGAIN.test(error.reason) && this.#refusals < REFUSALS_MAX);
      if (!passes || error.reason === 'QUOTA_EXCEEDED') return this.#enter({ kind: 'failed', error });
    } else if (!(error instanceof TypeError) && !(error instanceof DOMException)) {
      return this.#enter({ kind: 'failed', error: new ClipsError({ code: 0, reason: 'unexpected', message: String(error) }) });
    }
    const refused = error instanceof ClipsError ? error : null;
    const waitMs = Math.max(refused?.retryMs ?? 0, backoffMs(this.#failures++, this.#host.random));
    this.#enter({ kind: 'waiting', error: refused }, () => {
      this.#cancelTimer = this.#host.clock.after(waitMs, () => this.start());
    });
  }

  /** Tells the server, as soon as it can be told. */
  #giveUp(): void {
    const { clip } = this.#record;
    if (!clip) return this.#host.drop(this.id);
    this.#host.api.abort(clip).then(
      () => this.#host.drop(this.id),
      (error: unknown) => {
        if (error instanceof ClipsError && !error.temporary) return this.#host.drop(this.id);
        this.#cancelTimer = this.#host.clock.after(backoffMs(this.#failures++, this.#host.random), () => this.#giveUp());
      },
    );
  }
}

/** What the store and the service say of parts whose URL or upload is over; and S3, whose answers are no JSON. */
const ASK_AGAIN = /^(SIGNATURE_.*|MISMATCH|NO_UPLOAD|CLIP_STATE|http_4\d\d)$/;

function endedBadly(clip: Clip): ClipsError {
  const { reason, message } = clip.error ?? { reason: 'UPLOAD_EXPIRED', message: 'The upload did not come in time.' };
  return new ClipsError({ code: 0, reason, message, state: clip.state });
}
