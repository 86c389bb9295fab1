/** The clips' HTTP API as far as uploads and grants need it, in memory, with faults to order. It is no reference. */
import type { Fetch } from '../src/client/clip-api.js';
import type { UploadFile } from '../src/client/clip-file.js';
import type { PutPart } from '../src/client/clip-put.js';
import { clipsErrorOf } from '../src/client/clip-wire.js';

const MIB = 1024 * 1024;
const PART = 8 * MIB;

interface FakeClip {
  id: string;
  room: string;
  title: string;
  size: number;
  state: string;
  parts: Map<number, number>;
  key: string;
}

interface Answer {
  status: number;
  body: unknown;
}

const refusal = (status: number, reason: string, more: object = {}): Answer => ({ status, body: { error: { reason, message: reason, ...more } } });

export class FakeClips {
  readonly clips = new Map<string, FakeClip>();
  /** Each request: method and path. */
  readonly log: string[] = [];
  /** Parts that are being received now, and the most at once. */
  flying = 0;
  mostFlying = 0;
  up = true;
  /** Gives an answer in place of the real one; null: as usual. `undefined` body with status 0: the answer is lost after it was done. */
  fault: (request: string) => Answer | 'lost' | null = () => null;
  /** Called before a part is taken; throws to refuse it. */
  putFault: (number: number) => Promise<void> = async () => {};
  token = 'good';
  grantLifeMs = 1_800_000;
  readonly #now: () => number;
  #serial = 0;
  readonly #silent = new Map<string, { left: number; hung: number }>();
  #breaksOff = false;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** So many of these requests get no answer; `hung`: those that still wait for one. */
  hang(request: string, times: number): { readonly hung: number } {
    const silent = { left: times, hung: 0 };
    this.#silent.set(request, silent);
    return silent;
  }

  /** The answer of this request ends in its middle. */
  breakOff(): void {
    this.#breaksOff = true;
  }

  readonly fetch: Fetch = async (url, init) => {
    const path = url.replace('/api/v1/clips', '');
    const request = `${init.method} ${path.replace(/[0-9a-f-]{36}/, ':clip')}`;
    this.log.push(request);
    if (!this.up) throw new TypeError('fetch failed');
    const silent = this.#silent.get(request);
    if (silent && silent.left-- > 0) {
      silent.hung++;
      return new Promise((_, reject) => {
        init.signal?.addEventListener('abort', () => {
          silent.hung--;
          reject(new DOMException('aborted', 'AbortError'));
        });
      });
    }
    const fault = this.fault(request);
    const headers = init.headers as Record<string, string>;
    const answer = fault !== null && fault !== 'lost' ? fault : this.#answer(init.method ?? 'GET', path, headers, init.body as string | null);
    if (fault === 'lost') throw new TypeError('fetch failed');
    if (this.#breaksOff) {
      this.#breaksOff = false;
      const cut = new ReadableStream({ start: (to) => to.error(new TypeError('network error')) });
      return new Response(cut, { status: answer.status });
    }
    return new Response(JSON.stringify(answer.body), { status: answer.status });
  };

  readonly put: PutPart = async (part, bytes, sent, signal) => {
    this.log.push(`PUT part ${part.number}`);
    this.flying++;
    this.mostFlying = Math.max(this.mostFlying, this.flying);
    try {
      await this.putFault(part.number);
      if (!this.up || signal.aborted) throw new TypeError('the part did not get there');
      const clip = this.clips.get(new URL(part.url, 'http://x').searchParams.get('clip')!)!;
      if (clip.state !== 'UPLOADING') throw clipsErrorOf(404, null, { error: { reason: 'NO_UPLOAD', message: 'no upload' } });
      sent(bytes.byteLength);
      clip.parts.set(part.number, bytes.byteLength);
      return `"${part.number}"`;
    } finally {
      this.flying--;
    }
  };

  only(): FakeClip {
    return [...this.clips.values()].at(-1)!;
  }

  #answer(method: string, path: string, headers: Record<string, string>, body: string | null): Answer {
    if (headers['Authorization'] !== `Bearer ${this.token}`) return refusal(401, 'TOKEN_EXPIRED');
    const json = body ? (JSON.parse(body) as Record<string, never>) : {};
    if (path === '' && method === 'POST') return this.#create(headers['Idempotency-Key'] ?? '', json);
    const [, id = '', act = ''] = /^\/([^/]+)\/?(.*)$/.exec(path) ?? [];
    const clip = this.clips.get(id);
    if (!clip) return refusal(404, 'NOT_FOUND');
    switch (`${method} ${act}`) {
      case 'GET ':
        return this.#shown(clip);
      case 'POST upload':
        return this.#sign(clip, json as unknown as { parts: { number: number; size: string }[] });
      case 'GET parts':
        if (clip.state !== 'UPLOADING') return refusal(409, 'CLIP_STATE', { state: `CLIP_STATE_${clip.state}` });
        return { status: 200, body: { parts: [...clip.parts].map(([number, size]) => ({ number, size: String(size), etag: `${number}` })) } };
      case 'POST complete': {
        const whole = [...clip.parts.values()].reduce((a, b) => a + b, 0) === clip.size;
        clip.state = whole ? 'UPLOADED' : 'REJECTED';
        return whole ? this.#shown(clip) : refusal(422, 'UPLOAD_CORRUPT');
      }
      case 'POST abort':
        clip.state = 'CANCELLED';
        return this.#shown(clip);
      case 'POST playback':
        return { status: 200, body: { url: `/v/t${++this.#serial}/${clip.id}/hls/master.m3u8`, expireTimeMs: String(this.#now() + this.grantLifeMs) } };
      default:
        return refusal(404, 'NOT_FOUND');
    }
  }

  #create(key: string, json: Record<string, unknown>): Answer {
    const known = [...this.clips.values()].find((c) => c.key === key);
    if (known) return { ...this.#shown(known), status: 201 };
    const declared = json['declared'] as { size: string };
    const id = `00000000-0000-7000-8000-${String(++this.#serial).padStart(12, '0')}`;
    const clip = { id, room: String(json['roomId']), title: String(json['title'] ?? ''), size: Number(declared.size), state: 'CREATED', parts: new Map(), key };
    this.clips.set(id, clip);
    return { ...this.#shown(clip), status: 201 };
  }

  #sign(clip: FakeClip, { parts }: { parts: { number: number; size: string }[] }): Answer {
    if (clip.state !== 'CREATED' && clip.state !== 'UPLOADING') return refusal(409, 'CLIP_STATE', { state: `CLIP_STATE_${clip.state}` });
    clip.state = 'UPLOADING';
    const expireTimeMs = String(this.#now() + 900_000);
    const signed = parts.map((p) => ({ number: p.number, method: 'PUT', url: `/objects/part?t=x&clip=${clip.id}`, headers: { 'content-length': p.size }, expireTimeMs }));
    return { status: 200, body: { parts: { partSize: String(PART), parts: signed, expireTimeMs } } };
  }

  #shown(clip: FakeClip): Answer {
    return { status: 200, body: { id: clip.id, roomId: clip.room, title: clip.title, state: `CLIP_STATE_${clip.state}`, version: '1' } };
  }
}

/** A file of this many bytes, each the same. `content`: which. */
export function fakeFile(size: number, { name = 'holiday.mp4', content = 7, modified = 1 } = {}): UploadFile & { gone: boolean } {
  return {
    name,
    size,
    type: 'video/mp4',
    lastModified: modified,
    gone: false,
    slice(from, to) {
      const piece = async () => {
        if (this.gone) throw new DOMException('gone', 'NotReadableError');
        return new Uint8Array(to - from).fill(content).buffer;
      };
      return { arrayBuffer: piece } as unknown as Blob;
    },
  };
}
