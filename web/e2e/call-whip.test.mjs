/** Encoders and players that are pages of another origin, with nothing but `fetch`: WHIP and WHEP, beside people with the app. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { Caller, startChromium, startFirefox, until } from './calls.mjs';
import { library, Server } from './harness.mjs';

/** Where scripts/setup.sh puts Python's test tools: one of them brings an FFmpeg that has the whip muxer. */
const VENV = process.env.KAIWA_VENV ?? fileURLToPath(new URL('../../.venv', import.meta.url));

let server, chromium, firefox, lib, site, origin, room, alice;
const tokens = {};

/** Runs in the page before all else: what a page does that knows the documents and no library. */
function exchange() {
  const body = (peer) => peer.localDescription.sdp;
  const of = (sdp, name) => new RegExp(`a=${name}:(\\S+)`).exec(sdp)[1];
  window.begin = async (peer, endpoint, token) => {
    await peer.setLocalDescription();
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await fetch(endpoint, { method: 'POST', headers: { ...headers, 'Content-Type': 'application/sdp' }, body: body(peer) });
    const sdp = await answer.text();
    if (answer.status !== 201) throw new Error(`${answer.status}: ${sdp}`);
    await peer.setRemoteDescription({ type: 'answer', sdp });
    window.session = { peer, headers, sdp, url: new URL(answer.headers.get('Location'), endpoint).href, etag: answer.headers.get('ETag') };
  };
  window.publish = async (endpoint, token) => {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 180 } });
    const peer = new RTCPeerConnection();
    for (const track of stream.getTracks()) {
      const layers = track.kind === 'video' ? [{ rid: 'l', scaleResolutionDownBy: 2 }, { rid: 'h' }] : undefined;
      peer.addTransceiver(track, { direction: 'sendonly', streams: [stream], ...(layers && { sendEncodings: layers }) });
    }
    await window.begin(peer, endpoint, token);
  };
  window.watch = async (endpoint, token) => {
    const peer = new RTCPeerConnection();
    const streams = new Set();
    peer.ontrack = (event) => {
      streams.add(event.streams[0].id);
      const video = document.querySelector('video') ?? document.body.appendChild(Object.assign(document.createElement('video'), { muted: true }));
      video.srcObject = event.streams[0];
      video.play().catch(() => {});
    };
    for (const kind of ['audio', 'video']) peer.addTransceiver(kind, { direction: 'recvonly' });
    await window.begin(peer, endpoint, token);
    return streams.size;
  };
  window.decoded = async () => {
    const all = { audio: 0, video: 0 };
    for (const stat of (await window.session.peer.getStats()).values()) {
      if (stat.type !== 'inbound-rtp') continue;
      all[stat.kind] = stat.kind === 'video' ? (stat.framesDecoded ?? 0) : (stat.packetsReceived ?? 0);
    }
    return all;
  };
  window.restart = async () => {
    const { peer, headers, url, sdp } = window.session;
    const offer = await peer.createOffer({ iceRestart: true });
    await peer.setLocalDescription(offer);
    const line = /m=.*\r\n/.exec(offer.sdp)[0];
    const fragment = `${line}a=mid:${of(offer.sdp, 'mid')}\r\na=ice-ufrag:${of(offer.sdp, 'ice-ufrag')}\r\na=ice-pwd:${of(offer.sdp, 'ice-pwd')}\r\n`;
    const answer = await fetch(url, { method: 'PATCH', headers: { ...headers, 'If-Match': '*', 'Content-Type': 'application/trickle-ice-sdpfrag' }, body: fragment });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${answer.status}: ${text}`);
    const remote = sdp
      .replaceAll(/a=ice-ufrag:\S+/g, `a=ice-ufrag:${of(text, 'ice-ufrag')}`)
      .replaceAll(/a=ice-pwd:\S+/g, `a=ice-pwd:${of(text, 'ice-pwd')}`);
    await peer.setRemoteDescription({ type: 'answer', sdp: remote });
    return answer.headers.get('ETag') !== window.session.etag;
  };
  window.end = async () => {
    const { url, headers, peer } = window.session;
    const answer = await fetch(url, { method: 'DELETE', headers });
    peer.close();
    return answer.status;
  };
}

before(async () => {
  site = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>a page</title>'));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  origin = `http://127.0.0.1:${site.address().port}/`;
  [server, chromium, firefox, lib] = await Promise.all([Server.start(), startChromium(), startFirefox(), library()]);
  const owner = await lib.connect(server.url, 'Alice');
  room = (await owner.createRoom({ kind: 'group', title: 'Stage', visibility: 'public' })).room;
  for (const name of ['Studio', 'Viewer', 'Fox']) {
    const kaiwa = await lib.connect(server.url, name);
    await kaiwa.joinRoom(room);
    await kaiwa.stop();
    const answer = await fetch(`${server.url}/api/v1/sign-in`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name }) });
    tokens[name] = (await answer.json()).token;
  }
  alice = await Caller.inChromium(chromium, 'Alice');
  await alice.signIn(server.url);
});

after(async () => {
  if (process.env.KAIWA_LOG) console.log(server?.log);
  await lib?.close();
  await chromium?.close();
  await firefox?.close();
  await server?.end();
  site?.close();
});

async function inChromium() {
  const context = await chromium.newContext({ permissions: ['camera', 'microphone'] });
  await context.addInitScript(exchange);
  const page = await context.newPage();
  await page.goto(origin);
  return page;
}

async function inFirefox() {
  const context = await firefox.createBrowserContext();
  const page = await context.newPage();
  await page.evaluateOnNewDocument(exchange);
  await page.goto(origin);
  return page;
}

/** Puppeteer takes several arguments, Playwright one. */
const run = (page, name, endpoint, token) => page.evaluate(([what, ...args]) => window[what](...args), [name, endpoint, token]);
const publish = (page, name) => run(page, 'publish', `${server.url}/whip/${room}`, tokens[name]);
const watch = (page, name) => run(page, 'watch', `${server.url}/whep/${room}`, tokens[name]);

/** More of both than now. */
async function goesOn(page, what) {
  const before = await run(page, 'decoded');
  let now = before;
  await until(
    async () => {
      now = await run(page, 'decoded');
      return now.video >= before.video + 10 && now.audio >= before.audio + 20;
    },
    () => `${what}: from ${JSON.stringify(before)} to ${JSON.stringify(now)}`,
  );
}

test('a page publishes by WHIP and others watch by WHEP, in both browsers; somebody with the app sees it too', async () => {
  const studio = await inChromium();
  const viewers = [await inChromium(), await inFirefox()];
  // Before anybody publishes: they wait.
  for (const [at, viewer] of viewers.entries()) assert.equal(await watch(viewer, ['Viewer', 'Fox'][at]), 1, 'all tracks are of one stream');
  await publish(studio, 'Studio');
  for (const viewer of viewers) await goesOn(viewer, 'nothing is seen');
  await alice.open(room);
  await alice.enter({ picture: true });
  await alice.watches('studio');

  // Networks change: both ends restart ICE, and it goes on.
  assert.equal(await run(studio, 'restart'), true);
  for (const viewer of viewers) assert.equal(await run(viewer, 'restart'), true);
  for (const viewer of viewers) await goesOn(viewer, 'after a restart');

  assert.equal(await run(studio, 'end'), 200);
  await alice.missesPerson('studio');
  for (const viewer of viewers) assert.equal(await run(viewer, 'end'), 200);
  await alice.leave();
});

/** FFmpeg as it is: what it publishes is H.264 and Opus, and it waits for the server to open DTLS. */
function ffmpeg(endpoint, token) {
  const program = execFileSync(`${VENV}/bin/python`, ['-c', 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())'], { encoding: 'utf8' }).trim();
  const sources = '-f lavfi -i testsrc=size=320x180:rate=15 -f lavfi -i sine';
  const video = '-c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency -bf 0 -g 30 -pix_fmt yuv420p';
  const audio = '-c:a libopus -ar 48000 -ac 2';
  const args = `-v error -re ${sources} ${video} ${audio} -f whip -authorization ${token} ${endpoint}`.split(' ');
  const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(child, 'exit');
  // As somebody would who sits before it: it ends its session by DELETE then.
  return { stop: () => child.stdin.write('q') && ended, kill: () => child.kill('SIGKILL') };
}

test('FFmpeg publishes H.264 and Opus by WHIP, and somebody with the app sees and hears it', async () => {
  await alice.open(room);
  await alice.enter({ picture: false });
  const encoder = ffmpeg(`${server.url}/whip/${room}`, tokens.Studio);
  try {
    await alice.watches('studio', { by: 30 });
    await alice.hears('studio');
    const codecs = await alice.page.evaluate(async () => {
      const all = [...(await window.peers.at(-1).getStats()).values()];
      const used = all.filter((s) => s.type === 'inbound-rtp' && (s.framesDecoded || s.kind === 'audio'));
      return used.map((s) => all.find((other) => other.id === s.codecId)?.mimeType).sort();
    });
    assert.deepEqual(codecs, ['audio/opus', 'video/H264']);
    const [code] = await encoder.stop();
    assert.equal(code, 0);
    await alice.missesPerson('studio');
  } finally {
    encoder.kill();
  }
  await alice.leave();
  assert.deepEqual(alice.errors, []);
});

test('Firefox publishes by WHIP, and Chromium watches', async () => {
  const [studio, viewer] = [await inFirefox(), await inChromium()];
  await publish(studio, 'Fox');
  await watch(viewer, 'Viewer');
  await goesOn(viewer, 'nothing is seen');
  for (const page of [studio, viewer]) assert.equal(await run(page, 'end'), 200);
});
