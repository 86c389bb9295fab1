import { describe, expect, it } from 'vitest';
import { cueAt, parseSprite } from '../src/app/clip-sprite.js';
import { inGrant } from '../src/app/clip-url.js';
import { ClipsApi } from '../src/client/clip-api.js';
import { PlaybackGrants } from '../src/client/clip-grants.js';
import { partSizeOf, Parts, Speed } from '../src/client/clip-parts.js';
import { allowedHeaders } from '../src/client/clip-put.js';
import { grantOf } from '../src/client/clip-wire.js';
import { Room } from '../src/client/room.js';
import type { ClipView } from '../src/client/clip-types.js';
import type { RoomInfo } from '../src/client/types.js';
import { FakeClips } from './fake-clips.js';
import { settle, VirtualClock } from './harness.js';

const MIB = 1024 * 1024;
const ID = '0197f1e0-0000-7000-8000-000000000001';

describe('parts', () => {
  it('are of one size, but for the last, and never more than ten thousand', () => {
    const parts = new Parts(20 * MIB + 1);
    expect([parts.count, parts.sizeOf(1), parts.sizeOf(3), parts.startOf(3)]).toEqual([3, 8 * MIB, 4 * MIB + 1, 16 * MIB]);
    expect(partSizeOf(100_000 * MIB)).toBe(10 * MIB);
    expect(new Parts(1).count).toBe(1);
  });

  it('count as there only with the right size', () => {
    const parts = new Parts(20 * MIB);
    parts.handleListed([
      { number: 1, size: 8 * MIB, etag: '', sha256: null },
      { number: 2, size: 5, etag: '', sha256: null },
      { number: 9, size: 8 * MIB, etag: '', sha256: null },
    ]);
    expect(parts.sent).toBe(8 * MIB);
    expect([parts.take(), parts.take(), parts.take()]).toEqual([2, 3, null]);
    parts.handleLost(2);
    expect(parts.take()).toBe(2);
  });

  it('go at the speed of the last seconds', () => {
    const speed = new Speed();
    for (let s = 0; s <= 20; s++) speed.handleBytes(s < 10 ? 0 : (s - 10) * 1_000, s * 1_000);
    expect(speed.rate()).toBe(1_000);
    speed.handleBytes(500, 21_000);
    expect(speed.rate()).toBe(0);
  });

  it('are sent without headers that a page may not set', () => {
    expect(allowedHeaders({ 'Content-Length': '5', host: 'x', 'x-amz-checksum-sha256': 'a', 'Sec-Fetch': 'b' })).toEqual([['x-amz-checksum-sha256', 'a']]);
  });
});

describe('the right to play', () => {
  it('is asked for once, renewed in time, and again when it is refused', async () => {
    const clock = new VirtualClock();
    const server = new FakeClips(() => clock.now());
    server.clips.set(ID, { id: ID, room: 'r', title: '', size: 1, state: 'READY', parts: new Map(), key: '' });
    const api = new ClipsApi({ getToken: async () => 'good', fetch: server.fetch, clock });
    const grants = new PlaybackGrants(api, () => 0, clock);
    const [a, b] = await Promise.all([grants.get(ID), grants.get(ID)]);
    expect(a).toBe(b);
    expect(await grants.get(ID)).toBe(a);
    const later: string[] = [];
    const stop = grants.follow(ID, (grant) => later.push(grant.url), () => {});
    await clock.advance(24 * 60_000);
    expect(later).toEqual([]);
    await clock.advance(2 * 60_000);
    expect(later).toHaveLength(1);
    expect(later[0]).not.toBe(a.url);
    await clock.advance(30 * 60_000);
    expect(later).toHaveLength(2);
    stop();
    await clock.advance(120 * 60_000);
    expect(later).toHaveLength(2);
    expect((await grants.renew(ID)).url).not.toBe(later[1]);
  });

  it('is asked for again while it still holds when the server can not be reached just then', async () => {
    const clock = new VirtualClock();
    const server = new FakeClips(() => clock.now());
    server.clips.set(ID, { id: ID, room: 'r', title: '', size: 1, state: 'READY', parts: new Map(), key: '' });
    const api = new ClipsApi({ getToken: async () => 'good', fetch: server.fetch, clock });
    const grants = new PlaybackGrants(api, () => 0, clock);
    await grants.get(ID);
    const later: string[] = [];
    const failures: unknown[] = [];
    grants.follow(ID, (grant) => later.push(grant.url), (error) => failures.push(error));
    server.up = false;
    await clock.advance(26 * 60_000);
    server.up = true;
    await clock.advance(60_000);
    expect(failures).toEqual([]);
    expect(later).toHaveLength(1);
    // With its end there is nothing to wait for.
    server.up = false;
    await clock.advance(40 * 60_000);
    expect(failures).toHaveLength(1);
  });

  it('takes the place of an older one in an address of the same clip alone', () => {
    const grant = `/v/new/${ID}/hls/master.m3u8`;
    expect(inGrant(`http://host/v/old/${ID}/hls/720p/7.m4s`, grant, ID)).toBe(`/v/new/${ID}/hls/720p/7.m4s`);
    expect(inGrant('http://host/other/7.m4s', grant, ID)).toBe('http://host/other/7.m4s');
    expect(inGrant(`https://cdn/x/${ID}/7.m4s`, `https://cdn/x/${ID}/master.m3u8`, ID)).toBe(`https://cdn/x/${ID}/7.m4s`);
  });

  it('of CloudFront goes with every file of the clip there, and to nobody else', async () => {
    const cookies = { 'CloudFront-Policy': 'a-b_~', 'CloudFront-Signature': 's', 'CloudFront-Key-Pair-Id': 'K1', 'CloudFront-Hash-Algorithm': 'SHA256' };
    const at = `https://cdn.example.org/video/u/2026/11/${ID}/processed`;
    const json = { url: `${at}/hls/master.m3u8`, spriteUrl: `${at}/sprite.vtt`, cookies, captions: [{ language: 'en', label: 'English', url: `${at}/en.vtt` }] };
    const grant = grantOf(json);
    const { search } = new URL(grant.url);
    expect(Object.fromEntries(new URLSearchParams(search))).toEqual({ Policy: 'a-b_~', Signature: 's', 'Key-Pair-Id': 'K1', 'Hash-Algorithm': 'SHA256' });
    expect([grant.posterUrl, grant.spriteUrl, grant.captions[0]?.url]).toEqual(['', `${at}/sprite.vtt${search}`, `${at}/en.vtt${search}`]);
    expect(inGrant(`${at}/hls/720p/7.m4s`, grant.url, ID)).toBe(`${at}/hls/720p/7.m4s${search}`);
    // An older right gives way to the new one.
    expect(inGrant(`${at}/hls/720p/7.m4s?Policy=old`, grant.url, ID)).toBe(`${at}/hls/720p/7.m4s${search}`);
    const others = [`https://elsewhere.example.org/${ID}/7.m4s`, 'https://cdn.example.org/video/other/7.m4s'];
    expect(others.map((url) => inGrant(url, grant.url, ID))).toEqual(others);
    expect(parseSprite('WEBVTT\n\n00:00.000 --> 00:02.000\nsprite.jpg#xywh=0,0,1,1', grant.spriteUrl)[0]?.image).toBe(`${at}/sprite.jpg${search}`);
  });
});

describe('pictures for scrubbing', () => {
  const vtt = 'WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nsprite.jpg#xywh=0,0,160,90\n\n00:00:02.000 --> 00:01:04.500\nsprite.jpg#xywh=160,0,160,90\n\nnonsense\n';

  it('are found by their time', () => {
    const cues = parseSprite(vtt, 'http://host/v/t/c/sprite.vtt');
    expect(cues).toHaveLength(2);
    expect(cueAt(cues, 3)).toEqual({ fromS: 2, toS: 64.5, image: 'http://host/v/t/c/sprite.jpg', x: 160, y: 0, width: 160, height: 90 });
    expect(cueAt(cues, 900)?.x).toBe(160);
    expect(cueAt([], 1)).toBeNull();
  });
});

describe("a clip's progress", () => {
  const INFO: RoomInfo = {
    ...{ room: 'r', kind: 'group', title: '', visibility: 'private', createdMs: 0, epoch: 1, head: 0, members: 1, membership: 'joined' },
    ...{ role: 'member', peer: null, last: null, readSeq: 0, unread: 0, unreadMentions: 0 },
  };
  const view = (version: number, state: ClipView['state'] = 'processing'): ClipView => ({ id: 'c', version, state, kind: 'video', title: '', durationMs: 0, width: 0, height: 0 });
  const word = (version: number, percent: number, clip = 'c') => ({ room: 'r', seq: 3, clip, version, percent });

  it('never goes back, whatever comes late', () => {
    const room = new Room(INFO);
    expect(room.clipPercent(3, view(1))).toBeNull();
    expect(room.handleClipProgress(word(5, 40))).toBe(true);
    expect(room.handleClipProgress(word(4, 60))).toBe(false);
    expect(room.handleClipProgress(word(5, 30))).toBe(false);
    expect(room.clipPercent(3, view(4))).toBe(40);
    expect(room.clipPercent(3, view(6))).toBeNull();
    expect(room.clipPercent(3, view(5, 'ready'))).toBeNull();
    expect(room.handleClipProgress(word(1, 10, 'other'))).toBe(true);
    expect(room.clipPercent(3, view(4))).toBeNull();
  });
});

describe('the clips API', () => {
  it('repeats what is put off for a moment, with the same key, and gives up in the end', async () => {
    const clock = new VirtualClock();
    const keys: (string | undefined)[] = [];
    let left = 2;
    const api = new ClipsApi({
      getToken: async () => 'good',
      clock,
      newKey: () => 'one',
      fetch: async (_url, init) => {
        keys.push((init.headers as Record<string, string>)['Idempotency-Key']);
        const body = left-- > 0 ? { error: { reason: 'UNAVAILABLE', message: '', retryAfterMs: 1_000 } } : { id: ID, state: 'CLIP_STATE_DELETED' };
        return new Response(JSON.stringify(body), { status: left >= 0 ? 503 : 200 });
      },
    });
    const deleted = api.delete(ID);
    await clock.advance(10_000);
    expect((await deleted).state).toBe('deleted');
    expect(keys).toEqual(['one', 'one', 'one']);
    left = 9;
    const failing = api.delete(ID).catch((error: unknown) => error);
    await clock.advance(10_000);
    await settle();
    expect(await failing).toMatchObject({ reason: 'UNAVAILABLE', code: 503, temporary: true });
  });
});
