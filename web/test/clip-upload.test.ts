import { describe, expect, it } from 'vitest';
import { ClipsApi } from '../src/client/clip-api.js';
import type { Digest, FileHandle } from '../src/client/clip-file.js';
import { MemoryUploads } from '../src/client/clip-store.js';
import { ClipsError } from '../src/client/clip-types.js';
import { clipsErrorOf } from '../src/client/clip-wire.js';
import { ClipUploads, type UploadsOptions } from '../src/client/clip-uploads.js';
import { FakeClips, fakeFile } from './fake-clips.js';
import { seeded, settle, VirtualClock } from './harness.js';

const MIB = 1024 * 1024;
const SIZE = 37 * MIB + 5;

/** Not SHA-256; it says what was read all the same. */
const digest: Digest = async (bytes) => {
  const view = new Uint8Array(bytes);
  return new Uint8Array(32).fill((view[0] ?? 0) ^ (view.length & 0xff));
};

function world() {
  const clock = new VirtualClock();
  const server = new FakeClips(() => clock.now());
  const store = new MemoryUploads();
  let serial = 0;
  let token = 'good';
  const page = (options: Partial<UploadsOptions> = {}) => {
    const random = seeded(1);
    const getToken = async ({ fresh }: { fresh: boolean }) => (fresh ? (token = server.token) : token);
    const api = new ClipsApi({ getToken, fetch: server.fetch, clock, newKey: () => `k${++serial}` });
    return new ClipUploads({ api, store, put: server.put, digest, clock, random, newId: () => `u${++serial}`, locks: undefined, ...options });
  };
  return { clock, server, store, page };
}

const puts = (server: FakeClips) => server.log.filter((l) => l.startsWith('PUT')).map((l) => Number(l.split(' ')[2]));

/** Lets a part wait until it is let go. */
function gate(server: FakeClips, which: (number: number) => boolean = () => true) {
  const waiting: (() => void)[] = [];
  server.putFault = (number) => (which(number) ? new Promise((go) => waiting.push(go)) : Promise.resolve());
  return {
    waiting,
    open: async () => {
      server.putFault = async () => {};
      while (waiting.length > 0) waiting.shift()!();
      await settle();
    },
  };
}

describe('an upload', () => {
  it('is registered with its message, sent in parts, three at once, and completed', async () => {
    const { server, store, page } = world();
    const upload = await page().start(fakeFile(SIZE), { room: 'r1', title: 'Holiday' });
    await settle();
    expect(upload.state.kind).toBe('done');
    expect(server.only()).toMatchObject({ room: 'r1', title: 'Holiday', size: SIZE, state: 'UPLOADED' });
    expect([...server.only().parts.keys()].sort()).toEqual([1, 2, 3, 4, 5]);
    expect(server.mostFlying).toBe(3);
    expect(server.log[0]).toBe('POST ');
    expect(await store.all()).toEqual([]);
  });

  it('tells how far it is, how fast it goes and how long it takes', async () => {
    const { clock, server, page } = world();
    const upload = await page().start(fakeFile(SIZE), { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 1);
    await settle();
    expect(upload.sent).toBe(8 * MIB);
    await clock.advance(2_000);
    held.waiting.shift()!();
    await settle();
    expect(upload.sent).toBe(16 * MIB);
    expect(upload.rate).toBe(4 * MIB);
    expect(upload.leftMs).toBeCloseTo(((SIZE - 16 * MIB) / (4 * MIB)) * 1_000);
  });

  it('goes on after lost connections without sending what has arrived', async () => {
    const { clock, server, page } = world();
    const upload = await page().start(fakeFile(SIZE), { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 1);
    await settle();
    server.up = false;
    await held.open();
    expect(upload.state).toEqual({ kind: 'waiting', error: null });
    server.up = true;
    await clock.advance(30_000);
    expect(upload.state.kind).toBe('done');
    expect(puts(server).filter((n) => n === 1)).toHaveLength(1);
  });

  it('goes on at once when the network is back, and sends again what a restarted server has lost', async () => {
    const { server, page } = world();
    const uploads = page();
    const upload = await uploads.start(fakeFile(SIZE), { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 2);
    await settle();
    server.up = false;
    await held.open();
    server.only().parts.delete(1);
    server.up = true;
    uploads.wake();
    await settle();
    expect(upload.state.kind).toBe('done');
    expect(puts(server).filter((n) => n === 1)).toHaveLength(2);
  });

  it('is registered once though the answer was lost, and done though the last answer was', async () => {
    const { clock, server, page } = world();
    const lost = new Set(['POST ', 'POST /:clip/complete']);
    server.fault = (request) => (lost.delete(request) ? 'lost' : null);
    const upload = await page().start(fakeFile(SIZE), { room: 'r1', title: '' });
    await clock.advance(60_000);
    expect(upload.state.kind).toBe('done');
    expect(server.clips.size).toBe(1);
  });

  it('asks for another URL when one has run out', async () => {
    const { clock, server, page } = world();
    let refused = 0;
    server.putFault = async (number) => {
      if (number === 3 && refused++ === 0) throw clipsErrorOf(403, null, { error: { reason: 'SIGNATURE_EXPIRED', message: '' } });
    };
    const upload = await page().start(fakeFile(SIZE), { room: 'r1', title: '' });
    await clock.advance(60_000);
    expect(upload.state.kind).toBe('done');
  });

  it('sends a part again of which nothing leaves', async () => {
    const { clock, server, page } = world();
    let held = 0;
    const put: typeof server.put = (part, bytes, sent, signal) => {
      if (part.number !== 2 || held++ > 0) return server.put(part, bytes, sent, signal);
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new TypeError('aborted'))));
    };
    const upload = await page({ put }).start(fakeFile(SIZE), { room: 'r1', title: '' });
    await settle();
    expect(upload.state.kind).toBe('sending');
    await clock.advance(90_000);
    expect(upload.state.kind).toBe('done');
  });

  it('stops at a pause, also over a reload, and goes on from there', async () => {
    const { server, page } = world();
    const first = page();
    const upload = await first.start(fakeFile(SIZE), { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 1);
    await settle();
    upload.pause();
    await held.open();
    expect(upload.state.kind).toBe('paused');
    await first.stop();

    const next = page();
    await next.restore();
    await settle();
    const again = next.list('r1')[0]!;
    expect(again.state.kind).toBe('paused');
    again.resume();
    expect(again.state).toEqual({ kind: 'needs_file', isHeld: false });
    expect(await again.provideFile(fakeFile(SIZE))).toBe(true);
    await settle();
    expect(again.state.kind).toBe('done');
    expect(puts(server).filter((n) => n === 1)).toHaveLength(1);
  });

  it('takes up after a reload only the same file, by name, size, time and content', async () => {
    const { server, page } = world();
    const first = page();
    await first.start(fakeFile(SIZE), { room: 'r1', title: '' });
    gate(server, (number) => number > 1);
    await settle();
    await first.stop();
    server.putFault = async () => {};

    const next = page();
    await next.restore();
    await settle();
    const upload = next.list()[0]!;
    for (const other of [fakeFile(SIZE, { name: 'other.mp4' }), fakeFile(SIZE - 1), fakeFile(SIZE, { modified: 2 }), fakeFile(SIZE, { content: 8 })]) {
      expect(await upload.provideFile(other)).toBe(false);
    }
    expect(upload.state.kind).toBe('needs_file');
    expect(await upload.provideFile(fakeFile(SIZE))).toBe(true);
    await settle();
    expect(upload.state.kind).toBe('done');
  });

  it('goes on by itself after a reload where the browser still gives the file', async () => {
    for (const permission of ['granted', 'prompt'] as const) {
      const { server, page } = world();
      const handle = {
        getFile: async () => fakeFile(SIZE) as unknown as File,
        queryPermission: async () => permission,
        requestPermission: async () => 'granted' as const,
      } satisfies FileHandle;
      const first = page();
      await first.start(fakeFile(SIZE), { room: 'r1', title: '', handle });
      gate(server, (number) => number > 1);
      await settle();
      await first.stop();
      server.putFault = async () => {};

      const next = page();
      await next.restore();
      await settle();
      if (permission === 'prompt') {
        const upload = next.list()[0]!;
        expect(upload.state).toEqual({ kind: 'needs_file', isHeld: true });
        expect(await upload.openHandle({ ask: true })).toBe(true);
        await settle();
      }
      expect(next.list()).toEqual([]);
      expect(server.only().state).toBe('UPLOADED');
    }
  });

  it('is told to the server when it is cancelled, also later', async () => {
    const { clock, server, store, page } = world();
    const uploads = page();
    const upload = await uploads.start(fakeFile(SIZE), { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 1);
    await settle();
    server.up = false;
    upload.cancel();
    await held.open();
    expect(upload.state.kind).toBe('cancelled');
    expect(uploads.list()).toEqual([]);
    server.up = true;
    await clock.advance(30_000);
    expect(server.only().state).toBe('CANCELLED');
    expect(await store.all()).toEqual([]);
  });

  it('ends when its clip was given up elsewhere', async () => {
    const { clock, server, page } = world();
    const uploads = page();
    const upload = await uploads.start(fakeFile(SIZE), { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 1);
    await settle();
    server.only().state = 'CANCELLED';
    await held.open();
    await clock.advance(60_000);
    expect(upload.state.kind).toBe('cancelled');
    expect(uploads.list()).toEqual([]);
  });

  it('begins with another clip when the first has run out', async () => {
    const { clock, server, page } = world();
    const upload = await page().start(fakeFile(SIZE), { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 1);
    await settle();
    server.only().state = 'EXPIRED';
    await held.open();
    await clock.advance(60_000);
    expect(upload.state).toMatchObject({ kind: 'failed', error: { reason: 'UPLOAD_EXPIRED' } });
    upload.retry();
    await settle();
    expect(upload.state.kind).toBe('done');
    expect(server.clips.size).toBe(2);
  });

  it('does not wait for a quota, and says what it is', async () => {
    const { server, page } = world();
    server.fault = (request) =>
      request === 'POST ' ? { status: 429, body: { error: { reason: 'QUOTA_EXCEEDED', message: 'too many', quota: 'open uploads', retryAfterMs: 5_000 } } } : null;
    const upload = await page().start(fakeFile(SIZE), { room: 'r1', title: '' });
    await settle();
    expect(upload.state).toMatchObject({ kind: 'failed', error: { reason: 'QUOTA_EXCEEDED', quota: 'open uploads', retryMs: 5_000 } });
    server.fault = () => null;
    upload.retry();
    await settle();
    expect(upload.state.kind).toBe('done');
  });

  it('asks for the file again when it can not be read any more', async () => {
    const { server, page } = world();
    const file = fakeFile(SIZE);
    const upload = await page().start(file, { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 1);
    await settle();
    file.gone = true;
    await held.open();
    expect(upload.state.kind).toBe('needs_file');
    await upload.provideFile(fakeFile(SIZE));
    await settle();
    expect(upload.state.kind).toBe('done');
  });

  it('gets a fresh token when the old one has run out', async () => {
    const { server, page } = world();
    const upload = await page().start(fakeFile(SIZE), { room: 'r1', title: '' });
    server.token = 'newer';
    await settle();
    expect(upload.state.kind).toBe('done');
  });

  it('is done by one page at a time', async () => {
    const { server, page } = world();
    const queue = new Map<string, Promise<unknown>>();
    const request = (name: string, run: () => Promise<void>) => {
      const turn = (queue.get(name) ?? Promise.resolve()).then(run);
      queue.set(name, turn);
      return turn;
    };
    const locks = { request } as unknown as LockManager;
    const first = page({ locks });
    await first.start(fakeFile(SIZE), { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 1);
    await settle();
    const second = page({ locks });
    await second.restore();
    await settle();
    expect(second.list()).toEqual([]);
    await first.stop();
    await held.open();
    expect(second.list().map((u) => u.state.kind)).toEqual(['needs_file']);
  });

  it('goes on when an answer never comes, and holds up no other upload by a pause meanwhile', async () => {
    const { clock, server, page } = world();
    const silent = server.hang('POST /:clip/upload', 3);
    const uploads = page();
    const first = await uploads.start(fakeFile(SIZE), { room: 'r1', title: '' });
    await settle();
    expect(silent.hung).toBe(1);
    first.pause();
    await settle();
    expect(silent.hung).toBe(0);
    const second = await uploads.start(fakeFile(SIZE), { room: 'r1', title: '' });
    await clock.advance(240_000);
    expect(second.state.kind).toBe('done');
    expect(first.state.kind).toBe('paused');
  });

  it('takes an answer that breaks off for a lost connection', async () => {
    const { clock, server, page } = world();
    const broken = { status: 200, body: null };
    let left = 1;
    server.fault = (request) => (request === 'POST /:clip/upload' && left-- > 0 ? (server.breakOff(), broken) : null);
    const upload = await page().start(fakeFile(SIZE), { room: 'r1', title: '' });
    await clock.advance(60_000);
    expect(upload.state.kind).toBe('done');
  });

  it('is given up when its person signs out, and leaves nothing behind whatever comes late', async () => {
    const { server, store, page } = world();
    const uploads = page();
    await uploads.start(fakeFile(SIZE), { room: 'r1', title: 'Mine' });
    const held = gate(server, (number) => number > 1);
    await settle();
    await uploads.end();
    await store.clear();
    await held.open();
    expect(server.only().state).toBe('CANCELLED');
    expect(await store.all()).toEqual([]);
  });

  it('writes nothing down any more once it was stopped', async () => {
    const { server, store, page } = world();
    let answer = () => {};
    const slow = new Promise<void>((go) => (answer = go));
    const fetch: typeof server.fetch = async (url, init) => {
      await slow;
      return server.fetch(url, init);
    };
    const api = new ClipsApi({ getToken: async () => 'good', fetch });
    const uploads = page({ api });
    await uploads.start(fakeFile(SIZE), { room: 'r1', title: 'Mine' });
    await settle();
    await uploads.stop();
    await store.clear();
    answer();
    await settle();
    expect(server.clips.size).toBe(1);
    expect(await store.all()).toEqual([]);
  });

  it('ends with the room that one has left', async () => {
    const { server, page } = world();
    const uploads = page();
    const gone = await uploads.start(fakeFile(SIZE), { room: 'r1', title: '' });
    const stays = await uploads.start(fakeFile(SIZE), { room: 'r2', title: '' });
    const held = gate(server);
    await settle();
    uploads.handleRoomGone('r1');
    expect(gone.state.kind).toBe('cancelled');
    await held.open();
    expect(stays.state.kind).toBe('done');
    expect(server.log).toContain('POST /:clip/abort');
  });

  it('is not kept when the server does not know it any more after a reload', async () => {
    const { server, store, page } = world();
    const first = page();
    await first.start(fakeFile(SIZE), { room: 'r1', title: '' });
    const held = gate(server, (number) => number > 1);
    await settle();
    await first.stop();
    await held.open();
    server.clips.clear();
    const second = page();
    await second.restore();
    await settle();
    expect(second.list()).toEqual([]);
    expect(await store.all()).toEqual([]);
  });

  it('is held by its page also as another clip', async () => {
    const held: string[] = [];
    const locks = {
      request: async (name: string, run: () => Promise<void>) => {
        held.push(name);
        await run();
        held.splice(held.indexOf(name), 1);
      },
    } as unknown as LockManager;
    const { clock, server, page } = world();
    const upload = await page({ locks }).start(fakeFile(SIZE), { room: 'r1', title: '' });
    const first = gate(server, (number) => number > 1);
    await settle();
    server.only().state = 'EXPIRED';
    await first.open();
    await clock.advance(60_000);
    const second = gate(server);
    upload.retry();
    await settle();
    expect(held).toEqual([`kaiwa-upload-${upload.id}`]);
    await second.open();
    expect(held).toEqual([]);
  });

  it('refuses what is no refusal of its own as such', async () => {
    expect(clipsErrorOf(502, '3', null)).toMatchObject({ reason: 'http_502', temporary: true, retryMs: 3_000 });
    expect(clipsErrorOf(403, null, 'text')).toMatchObject({ reason: 'http_403', temporary: false });
    expect(clipsErrorOf(409, null, { error: { reason: 'CLIP_STATE', message: '', state: 'CLIP_STATE_READY' } })).toMatchObject({ state: 'ready' });
    expect(new ClipsError({ code: 0, reason: 'x', message: '' })).toBeInstanceOf(Error);
  });
});
