/**
 * Codecs besides VP8, from Chromium to Chromium through the real SFU: layers within one encoding (SVC), of which somebody
 * behind a bottleneck gets fewer without a key frame, and simulcast of H.264.
 */
import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { LARGE, SMALL, Stage } from './people.mjs';

/** Frames after which something is taken to be as it will stay. */
const FRAMES = 45;

let stage;

/** A server that takes one codec, and Alice in a room's call, with a camera of one encoding if it is said. */
async function begin(codec, camera = null) {
  stage = await Stage.open(['alice', 'bob'], { KAIWA_CALLS__VIDEO_CODECS: JSON.stringify([codec]) });
  const room = await stage.room('Codecs', ['Alice', 'Bob']);
  const alice = await stage.person('alice', { camera });
  await alice.enter(stage.server.url, room, { publishes: true });
  return { room, alice };
}

/** Bob joins, with a large window. */
async function watch(room, publishes = false) {
  const bob = await stage.person('bob', { viewport: LARGE });
  await bob.enter(stage.server.url, room, { publishes });
  await bob.until('a frame', ({ decoded }) => decoded > 0);
  return bob;
}

/** So many more frames while something is as it is; what it was at first and at last. */
async function plays(someone, what, is) {
  let first = null;
  const last = await someone.until(what, (counts) => {
    first = is(counts) ? (first ?? counts) : null;
    return first !== null && counts.decoded >= first.decoded + FRAMES;
  });
  return { first, last };
}

const asked = () => stage.metric('kaiwa_sfu_keyframe_requests_total');

afterEach(() => stage?.close());
after(() => {
  if (process.env.KAIWA_LOG) console.log(stage?.server?.log);
});

test('VP9 with three spatial layers: behind a bottleneck a lower one is sent, without a key frame', async () => {
  // Of less than 960 px Chromium makes two layers only.
  const camera = { scaleResolutionDownBy: 4 / 3, maxBitrate: 900_000, scalabilityMode: 'L3T3' };
  const { room, alice } = await begin('VP9', camera);
  await alice.until('in layers', ({ sending }) => sending.length === 1 && sending[0].mode === 'L3T3' && sending[0].codec === 'video/VP9');
  const bob = await watch(room);
  const top = await plays(bob, 'at the top', ({ layer, width }) => layer === 3 && width === 960);
  assert.equal(top.last.picture, 'video/VP9');
  const before = { bob: await bob.count(), asked: await asked() };
  await bob.me.page.setViewportSize(SMALL);
  const isLower = ({ layer, width }) => layer > 0 && layer < 3 && width < 960;
  const low = await plays(bob, 'smaller', isLower);
  assert.equal(low.last.keyFrames, before.bob.keyFrames, 'what is lower is part of what was there');
  assert.equal((await asked()) - before.asked, 0, 'and nobody was asked for one');
  await bob.me.page.setViewportSize(LARGE);
  await plays(bob, 'back at the top', ({ layer, width }) => layer === 3 && width === 960);
  await stage.network.limit('bob', 400);
  await plays(bob, 'lower', isLower);
});

test('AV1 with three temporal layers: behind a bottleneck fewer pictures are sent, and all can be decoded', async () => {
  const camera = { scaleResolutionDownBy: 2, maxBitrate: 900_000, scalabilityMode: 'L1T3' };
  const { room, alice } = await begin('AV1', camera);
  await alice.until('in layers', ({ sending }) => sending.length === 1 && sending[0].mode === 'L1T3' && sending[0].codec === 'video/AV1');
  const bob = await watch(room);
  const whole = await plays(bob, 'whole', ({ fps }) => fps > 0);
  assert.equal(whole.last.picture, 'video/AV1');
  const before = await bob.count();
  const rate = (counts) => counts.fps;
  await stage.network.limit('bob', 850);
  const fewer = await plays(bob, 'slower', (counts) => rate(counts) > 0 && rate(counts) < 0.7 * rate(whole.last));
  assert.equal(fewer.last.keyFrames, before.keyFrames);
  await stage.network.limit('bob', null);
  await plays(bob, 'whole again', (counts) => rate(counts) > 0.8 * rate(whole.last));
  assert.equal((await bob.count()).keyFrames, before.keyFrames, 'nor for the way back');
});

test('H.264 simulcast goes both ways', async () => {
  const { room, alice } = await begin('H264');
  await alice.until('in layers', ({ sending }) => sending.length === 3 && sending.filter(({ sent, codec }) => sent > 0 && codec === 'video/H264').length > 1);
  const bob = await watch(room, true);
  // A busy machine does not code the largest on both sides.
  const high = await plays(bob, 'high', ({ layer, width }) => layer >= 2 && width > 0);
  assert.equal(high.last.picture, 'video/H264');
  const there = await plays(alice, 'of Bob', ({ layer }) => layer > 0);
  assert.equal(there.last.picture, 'video/H264');
});
