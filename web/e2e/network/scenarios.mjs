/** What is tried on bad networks. Each ends when what it waits for has come about, and gives what was counted meanwhile. */
import { LARGE, SMALL } from './people.mjs';

/** Of the bottleneck, in kbit/s: less than the largest layer, more than the smallest and a voice. */
export const LIMIT_KBIT = 600;
/** Frames, and seconds of sound, after which something is taken to be as it will stay. */
const FRAMES = 60;
const SOUND_S = 10;
const SAMPLES_PER_S = 48_000;

/** The layers of a camera of 1280×720, as a tile counts them and as their pictures are. */
export const LOW = { layer: 1, width: 320 };
export const HIGH = { layer: 3, width: 1_280 };

const at =
  ({ layer, width }) =>
  (counts) =>
    counts.layer === layer && counts.width === width;

/** A room with Alice in its call, who publishes all of her layers. */
export async function begin(stage) {
  const room = await stage.room('Network', ['Alice', 'Bob', 'Carol']);
  const alice = await stage.person('alice');
  await alice.enter(stage.server.url, room, { publishes: true });
  await alice.until('in three layers', ({ sending }) => sending.length === 3 && sending.every(({ sent }) => sent > 0));
  return { room, alice };
}

/** Somebody joins and sees Alice, on a free network, in what their window asks for. */
export async function join(stage, room, name, options, wanted) {
  const someone = await stage.person(name, options);
  const began = performance.now();
  await someone.enter(stage.server.url, room);
  const connectedMs = performance.now() - began;
  const first = await someone.until('a frame', ({ decoded }) => decoded > 0);
  const there = await someone.until(`at ${wanted.width} px`, at(wanted));
  return { someone, connectedMs, firstMs: first.tookMs, thereMs: first.tookMs + there.tookMs };
}

/** Somebody's window becomes another one. */
export async function resize(someone, viewport, wanted) {
  await someone.me.page.setViewportSize(viewport);
  const { tookMs } = await someone.until(`at ${wanted.width} px`, at(wanted));
  return tookMs;
}

/** A bottleneck towards one of two in the high layer, until it is at a lower one and plays there; then it goes. */
export async function bottleneck(stage, { alice, bob, carol }) {
  await plays(carol, at(HIGH));
  await carol.watchLayer();
  const [sent, other] = [await alice.count(), await carol.count()];
  const asked = await stage.metric('kaiwa_sfu_keyframe_requests_total');
  await stage.network.limit('bob', LIMIT_KBIT);
  const isLower = ({ layer, width }) => layer > 0 && layer < HIGH.layer && width < HIGH.width;
  const lower = await bob.until('lower', isLower);
  const [settled, beside] = await Promise.all([plays(bob, isLower), plays(carol, at(HIGH))]);
  await stage.network.limit('bob', null);
  const back = await bob.until('back', at(HIGH));
  const steady = await plays(bob, at(HIGH));
  const [sentAfter, otherAfter] = [await alice.count(), await carol.count()];
  const of = (counts) => counts.sending.find(({ width }) => width === HIGH.width)?.sent ?? 0;
  const grown = (name) => otherAfter[name] - other[name];
  return {
    downMs: lower.tookMs,
    backMs: back.tookMs,
    low: settled,
    high: steady,
    other: {
      layers: await carol.layersSince(),
      beside,
      frames: grown('decoded'),
      sent: of(sentAfter) - of(sent),
      lost: grown('lost'),
      nacks: grown('nacks'),
      plis: grown('plis'),
      freezes: grown('freezes'),
      frozenS: grown('frozenS'),
    },
    keyFramesAsked: (await stage.metric('kaiwa_sfu_keyframe_requests_total')) - asked,
  };
}

/** What is made up of the sound without any loss: a busy machine plays some of it too late. */
export async function calm(someone) {
  return plays(someone, () => true, SOUND_S);
}

/** One in ten datagrams to somebody, or from Alice, is lost. */
export async function loss(stage, who, way, someone) {
  const [recovered, repaired] = [await stage.metric('kaiwa_sfu_recovered_packets_total'), await stage.metric('kaiwa_sfu_repaired_packets_total')];
  await stage.network.lose(who, { [way]: true });
  const played = await plays(someone, () => true, SOUND_S);
  await stage.network.lose(who, {});
  return {
    ...played,
    recovered: (await stage.metric('kaiwa_sfu_recovered_packets_total')) - recovered,
    repaired: (await stage.metric('kaiwa_sfu_repaired_packets_total')) - repaired,
  };
}

/** So many frames in a state, and so much sound; what was counted meanwhile. Leaving the state begins anew. */
async function plays(someone, is, soundS = 0) {
  let from = null;
  let began = 0;
  let changes = 0;
  const to = await someone.until('steady', (counts) => {
    if (!is(counts)) {
      changes += Number(from !== null);
      from = null;
      return false;
    }
    if (from === null) [from, began] = [counts, performance.now()];
    return counts.decoded - from.decoded >= FRAMES && counts.samples - from.samples >= soundS * SAMPLES_PER_S;
  });
  const seconds = (performance.now() - began) / 1_000;
  const grown = (name) => to[name] - from[name];
  return {
    width: to.width,
    sound: to.sound,
    changes,
    fps: grown('decoded') / seconds,
    freezes: grown('freezes'),
    frozen: grown('frozenS') / seconds,
    lost: grown('lost'),
    nacks: grown('nacks'),
    concealed: grown('concealed') / Math.max(1, grown('samples')),
  };
}

export { LARGE, SMALL };
