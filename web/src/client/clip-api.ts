/** The clips' HTTP API (docs/clips/api.md). Everything throws `ClipsError`, or `TypeError` when the server can't be reached. */
import type { GetToken } from './connection.js';
import { systemClock, type Clock } from './ports.js';
import {
  ClipsError,
  type Clip,
  type ClipPage,
  type ClipState,
  type PartPlan,
  type PlaybackGrant,
  type SignedParts,
  type UploadedPart,
} from './clip-types.js';
import {
  clipOf,
  clipPageOf,
  clipsErrorOf,
  clipsOf,
  completeBody,
  createBody,
  grantOf,
  sharedSeqOf,
  signBody,
  signedPartsOf,
  statesQuery,
  uploadedPartsOf,
  type NewClip,
} from './clip-wire.js';

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface ClipsApiOptions {
  /** Of the server's HTTP address; empty for the page's own. */
  base?: string;
  getToken: GetToken;
  fetch?: Fetch;
  clock?: Clock;
  /** A UUID for each request that changes something. */
  newKey?: () => string;
}

/** Seconds that a person waits for something to pass by itself. */
const TRIES = 3;
const PATIENCE_MS = 4_000;
const PAUSE_MS = 400;
/** The server answers within half of it (`CLIP_COMPLETE`): whoever has waited so long waits on a connection that is gone. */
const ANSWER_MS = 60_000;
/** The server takes no more at once. */
const BATCH_MAX = 100;

interface Ask {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  body?: unknown;
  /** In place of a JSON body. */
  text?: { type: string; body: string };
  /** A changing request's, the same for each repetition. */
  key?: string;
  /** Once; whoever asks repeats it. */
  once?: boolean;
  /** Ends the waiting. */
  signal?: AbortSignal;
}

export class ClipsApi {
  readonly #base: string;
  readonly #getToken: GetToken;
  readonly #fetch: Fetch;
  readonly #clock: Clock;
  readonly #newKey: () => string;

  constructor(options: ClipsApiOptions) {
    this.#base = options.base ?? '';
    this.#getToken = options.getToken;
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
    this.#clock = options.clock ?? systemClock;
    this.#newKey = options.newKey ?? newUuid;
  }

  /** Registers a clip, whose message appears in its room at once. The same key gives the same clip. */
  create(clip: NewClip, key = this.#newKey()): Promise<Clip> {
    return this.#ask({ method: 'POST', path: '', body: createBody(clip), key, once: true }).then(clipOf);
  }

  /** URLs for parts, 100 at most. They may be asked for again until the upload expires. */
  signParts(clip: string, parts: PartPlan[], signal?: AbortSignal): Promise<SignedParts> {
    const ask: Ask = { method: 'POST', path: `/${clip}/upload`, body: signBody(parts), once: true };
    return this.#ask(signal ? { ...ask, signal } : ask).then(signedPartsOf);
  }

  /** Parts that have arrived. `CLIP_STATE` before the first one was asked for, and after the end. */
  parts(clip: string): Promise<UploadedPart[]> {
    return this.#ask({ method: 'GET', path: `/${clip}/parts`, once: true }).then(uploadedPartsOf);
  }

  /** All parts are there. A repetition gives the clip as it is by then. */
  complete(clip: string, parts: UploadedPart[]): Promise<Clip> {
    return this.#ask({ method: 'POST', path: `/${clip}/complete`, body: completeBody(parts), once: true }).then(clipOf);
  }

  /** Gives an upload up; its messages are removed. */
  abort(clip: string): Promise<Clip> {
    return this.#ask({ method: 'POST', path: `/${clip}/abort`, key: this.#newKey() }).then(clipOf);
  }

  get(clip: string): Promise<Clip> {
    return this.#ask({ method: 'GET', path: `/${clip}` }).then(clipOf);
  }

  /** Those of at most 100 that one may see. */
  async getMany(clips: string[]): Promise<Clip[]> {
    if (clips.length === 0) return [];
    return this.#ask({ method: 'POST', path: '/batch-get', body: { clipIds: clips.slice(0, BATCH_MAX) } }).then(clipsOf);
  }

  /** A room's clips, the newest first. */
  list(room: string, options: { states?: readonly ClipState[]; size?: number; after?: string } = {}): Promise<ClipPage> {
    const { states = [], size = 0, after = '' } = options;
    const query = new URLSearchParams({ roomId: room });
    if (states.length > 0) query.set('state', statesQuery(states));
    if (size > 0) query.set('pageSize', String(size));
    if (after) query.set('pageToken', after);
    return this.#ask({ method: 'GET', path: `?${query}` }).then(clipPageOf);
  }

  /** Transcodes a failed clip again. */
  retry(clip: string): Promise<Clip> {
    return this.#ask({ method: 'POST', path: `/${clip}/retry`, key: this.#newKey() }).then(clipOf);
  }

  /** Stops a clip that isn't ready yet. */
  cancel(clip: string): Promise<Clip> {
    return this.#ask({ method: 'POST', path: `/${clip}/cancel`, key: this.#newKey() }).then(clipOf);
  }

  /** Deletes the clip, and its messages in all rooms. */
  delete(clip: string): Promise<Clip> {
    return this.#ask({ method: 'DELETE', path: `/${clip}`, key: this.#newKey() }).then(clipOf);
  }

  /** The right to play it. URLs are made whole with `base`. */
  async playback(clip: string): Promise<PlaybackGrant> {
    const grant = grantOf(await this.#ask({ method: 'POST', path: `/${clip}/playback` }));
    const whole = (url: string) => (url.startsWith('/') ? this.#base + url : url);
    return {
      ...grant,
      url: whole(grant.url),
      posterUrl: whole(grant.posterUrl),
      spriteUrl: whole(grant.spriteUrl),
      captions: grant.captions.map((c) => ({ ...c, url: whole(c.url) })),
    };
  }

  /** Shows it in another room too; gives its message there. */
  share(clip: string, room: string): Promise<number> {
    return this.#ask({ method: 'POST', path: `/${clip}/share`, body: { roomId: room }, key: this.#newKey() }).then(sharedSeqOf);
  }

  /** Adds or replaces subtitles: WebVTT, 1 MiB at most. */
  addCaptions(clip: string, captions: { language: string; label: string; vtt: string }): Promise<Clip> {
    const { language, label, vtt } = captions;
    const path = `/${clip}/captions/${encodeURIComponent(language)}?${new URLSearchParams({ label })}`;
    return this.#ask({ method: 'PUT', path, text: { type: 'text/vtt', body: vtt }, key: this.#newKey() }).then(clipOf);
  }

  /** Repeats what is put off for a moment, and asks with a fresh token where the old one has run out. */
  async #ask(ask: Ask): Promise<unknown> {
    let isFresh = false;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(ask, isFresh);
      } catch (error) {
        const refused = error instanceof ClipsError ? error : null;
        if (refused?.code === 401 && !isFresh) {
          isFresh = true;
          continue;
        }
        const passes = (refused?.temporary ?? false) && (refused?.retryMs ?? 0) <= PATIENCE_MS;
        if (!passes || ask.once || attempt >= TRIES) throw error;
        await new Promise<void>((resolve) => this.#clock.after(Math.max(refused?.retryMs ?? 0, PAUSE_MS * attempt), resolve));
      }
    }
  }

  async #once(ask: Ask, fresh: boolean): Promise<unknown> {
    const token = await this.#getToken({ fresh });
    if (token === null) throw new ClipsError({ code: 401, reason: 'UNAUTHENTICATED', message: 'not signed in' });
    const headers: Record<string, string> = { Authorization: `Bearer ${token}` };
    if (ask.key) headers['Idempotency-Key'] = ask.key;
    if (ask.text) headers['Content-Type'] = ask.text.type;
    else if (ask.body !== undefined) headers['Content-Type'] = 'application/json';
    const body = ask.text?.body ?? (ask.body === undefined ? null : JSON.stringify(ask.body));
    const late = new AbortController();
    const cancel = this.#clock.after(ANSWER_MS, () => late.abort());
    const signal = ask.signal ? AbortSignal.any([ask.signal, late.signal]) : late.signal;
    try {
      const response = await this.#fetch(`${this.#base}/api/v1/clips${ask.path}`, { method: ask.method, headers, body, cache: 'no-store', signal });
      const json: unknown = await response.json().catch(noJson);
      if (!response.ok) throw clipsErrorOf(response.status, response.headers.get('retry-after'), json);
      return json;
    } catch (error) {
      if (error instanceof ClipsError) throw error;
      throw new TypeError('the server did not answer', { cause: error });
    } finally {
      cancel();
    }
  }
}

/** Of a proxy, or of a page to sign in to the network; an answer that breaks off is a lost connection. */
function noJson(error: unknown): null {
  if (error instanceof SyntaxError) return null;
  throw error;
}

/** `crypto.randomUUID` takes a secure context; this doesn't. */
export function newUuid(): string {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6]! & 0x0f) | 0x40;
  b[8] = (b[8]! & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
