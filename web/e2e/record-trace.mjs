/**
 * Records what Chromium's encoder gives for a camera in a call: record-trace.mjs [--seconds N] [--into FILE]. One line for each
 * encoded frame, `<ms> <layer> <bytes> [key]`, as `loadtest call trace --trace` plays it. Somebody else watches in a large
 * window meanwhile, so that every layer is wanted.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Caller, startChromium } from './calls.mjs';
import { library, Server, until } from './harness.mjs';
import { HEIGHT, WIDTH, writePicture } from './network/picture.mjs';
import { today } from './report.mjs';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '30' }, into: { type: 'string' } } });
const CAMERA_FPS = 30;
const CAMERA = { width: WIDTH, height: HEIGHT, frameRate: CAMERA_FPS };
const VIEWER = { width: 1_180, height: 900 };

const folder = await mkdtemp(join(tmpdir(), 'kaiwa-trace-'));
const picture = join(folder, 'camera.y4m');
await writePicture(picture, CAMERA_FPS);
const server = await Server.start();
const browsers = [await startChromium({ flags: [`--use-file-for-fake-video-capture=${picture}`] }), await startChromium()];
const lib = await library();
try {
  const owner = await lib.connect(server.url, 'Alice');
  const { room } = await owner.createRoom({ kind: 'group', title: 'Recording', visibility: 'public' });
  const other = await lib.connect(server.url, 'Bob');
  await other.joinRoom(room);
  for (const client of [owner, other]) await until(client, () => client.room(room) !== null);
  const alice = await Caller.inChromium(browsers[0], 'Alice', { camera: CAMERA });
  const bob = await Caller.inChromium(browsers[1], 'Bob', { camera: { width: 320, height: 180, frameRate: 5 }, viewport: VIEWER });
  await alice.page.context().addInitScript(recorder);
  for (const someone of [alice, bob]) {
    await someone.signIn(server.url);
    await someone.open(room);
    await someone.enter();
  }
  // The encoder starts low and goes up: recorded is what comes once the largest layer has come for a while.
  await alice.page.waitForFunction((height) => window.encoded.filter((f) => f.height === height).length > 300, HEIGHT, { timeout: 180_000 });
  await alice.page.evaluate(() => void (window.encoded = []));
  // Whoever comes needs a key frame: that is where the trace begins.
  await bob.leave();
  await alice.missesPerson('bob');
  await bob.enter();
  const frames = await alice.page.evaluate(recorded, { height: HEIGHT, ms: Number(values.seconds) * 1_000 });
  const text = trace(frames, await browsers[0].version());
  if (values.into) await writeFile(values.into, text);
  else process.stdout.write(text);
} finally {
  await lib.close();
  for (const browser of browsers) await browser.close();
  await server.end();
  await rm(folder, { recursive: true, force: true });
}

/** The layers by their height. */
function trace(frames, version) {
  const heights = [...new Set(frames.map((f) => f.height))].sort((a, b) => a - b);
  const seconds = (frames.at(-1).ms - frames[0].ms) / 1_000;
  const rates = heights.map((height) => {
    const of = frames.filter((f) => f.height === height);
    const bytes = of.reduce((sum, f) => sum + f.bytes, 0);
    return `${Math.round(bytes / 125 / seconds)} kbit/s at ${Math.round(of.length / seconds)} frames/s`;
  });
  const layers = `layers of ${heights.join(', ')} lines (${rates.join(', ')})`;
  const head = `# Chromium ${version.split('.')[0]}, VP8, a camera of ${WIDTH}×${HEIGHT}, ${layers}; recorded ${today()}\n`;
  const lines = frames.map((f) => `${(f.ms - frames[0].ms).toFixed(1)} ${heights.indexOf(f.height)} ${f.bytes}${f.key ? ' key' : ''}`);
  return `${head}${lines.join('\n')}\n`;
}

/** In the page: so many milliseconds from the last key frame of the largest layer on, once they are there. */
async function recorded({ height, ms }) {
  for (;;) {
    const frames = window.encoded;
    const first = frames.findLastIndex((f) => f.key && f.height === height);
    // The other layers' key frames come in the same moment, before it or after.
    if (first >= 0 && frames.at(-1).ms - frames[first].ms > ms) {
      const begin = frames.findIndex((f) => f.key && f.ms > frames[first].ms - 20);
      return frames.slice(begin);
    }
    await new Promise((done) => setTimeout(done, 200));
  }
}

/** Runs in the page before its own scripts: every frame that a camera's encoder gives passes by here. */
function recorder() {
  window.encoded = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(config) {
      super({ ...config, encodedInsertableStreams: true });
    }
    addTransceiver(what, init) {
      const transceiver = super.addTransceiver(what, init);
      pass(transceiver.receiver.createEncodedStreams(), () => {});
      const isCamera = typeof what !== 'string' && what.kind === 'video';
      pass(transceiver.sender.createEncodedStreams(), (frame) => {
        if (!isCamera) return;
        const { height } = frame.getMetadata();
        window.encoded.push({ ms: performance.now(), height, bytes: frame.data.byteLength, key: frame.type === 'key' });
      });
      return transceiver;
    }
  };
  function pass({ readable, writable }, note) {
    const through = new TransformStream({
      transform(frame, out) {
        note(frame);
        out.enqueue(frame);
      },
    });
    readable.pipeThrough(through).pipeTo(writable);
  }
}
