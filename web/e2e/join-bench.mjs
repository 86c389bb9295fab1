/**
 * How long it takes from pressing “join” to somebody else's picture: join-bench.mjs [--joins N] [--into FILE]. One Chromium
 * is in the call with its camera, another one joins with its own camera again and again; median and 95th percentile go
 * between FILE's markers, or to the terminal.
 */
import { parseArgs } from 'node:util';
import { Caller, id, startChromium } from './calls.mjs';
import { library, Server, until } from './harness.mjs';
import { machine, publish, quantile, today } from './report.mjs';

const { values } = parseArgs({ options: { joins: { type: 'string', default: '30' }, into: { type: 'string' } } });
/** The first ones fill caches and are not counted. */
const WARM_UP = 2;
const CAMERA = { width: 640, height: 360, frameRate: 30 };

const server = await Server.start();
const browsers = [await startChromium(), await startChromium()];
const lib = await library();
try {
  const room = await roomOf(['Alice', 'Bob']);
  const [alice, bob] = await Promise.all(['Alice', 'Bob'].map((name, i) => Caller.inChromium(browsers[i], name, { camera: CAMERA })));
  await bob.page.context().addInitScript(stopwatch, { pressed: id('prejoin-join'), picture: `[data-testid="call-tile"][data-me="false"] video` });
  for (const someone of [alice, bob]) {
    await someone.signIn(server.url);
    await someone.open(room);
  }
  await alice.enter();
  const joins = [];
  for (let i = 0; i < WARM_UP + Number(values.joins); i++) joins.push(await join(bob, alice));
  await publish('join', page(joins.slice(WARM_UP)), values.into);
} finally {
  await lib.close();
  for (const browser of browsers) await browser.close();
  await server.end();
}

async function roomOf(names) {
  const clients = [];
  for (const name of names) clients.push(await lib.connect(server.url, name));
  const [owner, ...others] = clients;
  const { room } = await owner.createRoom({ kind: 'group', title: 'Joining', visibility: 'public' });
  for (const other of others) await other.joinRoom(room);
  for (const client of clients) await until(client, () => client.room(room) !== null);
  return room;
}

/** One join, from the press to the first frame of the other's camera; both leave no trace for the next. */
async function join(bob, alice) {
  await bob.click('call-button');
  await bob.sees('[data-testid="preview"][data-on="true"]');
  await bob.click('prejoin-join');
  const times = await (await bob.page.waitForFunction(() => window.joinTimes())).jsonValue();
  await bob.leave();
  await alice.missesPerson('bob');
  return times;
}

/**
 * Runs in the page before its own scripts: notes when “join” is pressed, when a peer connection is connected and when the
 * first frame of somebody else's picture is there to be shown.
 */
function stopwatch({ pressed, picture }) {
  let times = {};
  const seen = new WeakSet();
  const note = (name) => (times[name] ??= performance.now());
  document.addEventListener(
    'click',
    ({ target }) => {
      if (target.closest(pressed)) times = { pressed: performance.now() };
    },
    true,
  );
  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(...options) {
      super(...options);
      this.addEventListener('connectionstatechange', () => this.connectionState === 'connected' && note('connected'));
    }
  };
  new MutationObserver(() => {
    for (const video of document.querySelectorAll(picture)) {
      if (seen.has(video)) continue;
      seen.add(video);
      video.requestVideoFrameCallback(() => note('frame'));
    }
  }).observe(document, { childList: true, subtree: true });
  window.joinTimes = () => times.frame && times.connected && { connectedMs: times.connected - times.pressed, frameMs: times.frame - times.pressed };
}

function page(joins) {
  const row = (what, name) => {
    const all = joins.map((join) => join[name]);
    const ms = (share) => `${Math.round(quantile(all, share))} ms`;
    return `| ${what} | ${ms(0.5)} | ${ms(0.95)} | ${Math.round(Math.max(...all))} ms |`;
  };
  return `## Joining a call

Chromium, cameras of ${CAMERA.width}×${CAMERA.height} on both sides, loopback; two browsers and the server share ${machine()}. ${joins.length} joins of ${today()}, each from
pressing “join” (the preview is on) to what the page sees: its peer connection connected, the first frame of the other's camera decoded
(\`requestVideoFrameCallback\`).

| | median | p95 | longest |
|---|---|---|---|
${row('connected', 'connectedMs')}
${row('first frame', 'frameMs')}
`;
}
