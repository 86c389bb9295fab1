/** People in a call, each with a browser in a network of their own, and what their browsers count. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { library, person, Server, signIn, until } from '../harness.mjs';
import { Network } from './net.mjs';
import { writePicture } from './picture.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** For what has to come about on a machine that does other things as well. */
export const PATIENCE_MS = 180_000;
/** Between two looks at the counters. */
const LOOK_MS = 200;

/** Where a tile of somebody else needs the largest, or the smallest, of three layers. */
export const LARGE = { width: 1_180, height: 900 };
export const SMALL = { width: 360, height: 560 };

/** Everything of a run: networks, server, browsers. */
export class Stage {
  network;
  server;
  #folder = '';
  #lib = null;
  #people = [];
  #picture = '';

  /** `env` adds settings of the server. */
  static async open(names, env = {}) {
    const stage = new Stage();
    try {
      await stage.#make(names, env);
    } catch (error) {
      await stage.close();
      throw error;
    }
    return stage;
  }

  async #make(names, settings) {
    this.#folder = await mkdtemp(join(tmpdir(), 'kaiwa-network-'));
    this.#picture = join(this.#folder, 'camera.y4m');
    await writePicture(this.#picture);
    this.network = await Network.open(names);
    const env = {
      KAIWA_AUTH__SIGN_IN: 'anywhere',
      KAIWA_HTTP__ALLOW_PLAIN: 'true',
      KAIWA_HTTP__PUBLIC_METRICS: 'true',
      KAIWA_CALLS__LISTEN: `["${this.network.host}:0"]`,
      KAIWA_LOG__FILTER: process.env.KAIWA_LOG__FILTER ?? 'info',
      ...settings,
    };
    this.server = await Server.start(env, `${this.network.host}:0`);
  }

  /** A public room that all of them are in. */
  async room(title, names) {
    this.#lib ??= await library();
    const clients = [];
    for (const name of names) clients.push(await this.#lib.connect(this.server.url, name));
    const [owner, ...others] = clients;
    const { room } = await owner.createRoom({ kind: 'group', title, visibility: 'public' });
    await until(owner, () => owner.room(room) !== null);
    for (const other of others) await other.joinRoom(room);
    for (const client of clients) await client.stop();
    return room;
  }

  /** Somebody in front of a window in the network of that name. */
  async person(name, { viewport = LARGE, red = true } = {}) {
    const browser = await chromium.launch({
      executablePath: await this.network.wrapper(name, CHROMIUM, this.#folder),
      args: [
        ...['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
        ...['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required'],
        `--use-file-for-fake-video-capture=${this.#picture}`,
        // Cameras are for secure pages only, and an address of a network of our own has no certificate.
        `--unsafely-treat-insecure-origin-as-secure=${this.server.url}`,
      ],
    });
    const someone = new Person(await person(browser, { viewport, permissions: ['camera', 'microphone'] }), browser, name);
    this.#people.push(someone);
    someone.me.page.setDefaultTimeout(PATIENCE_MS);
    await someone.me.page.addInitScript(prepare, { red });
    await signIn(someone.me, this.server.url, name);
    return someone;
  }

  async metric(name) {
    const text = await (await fetch(`${this.server.url}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith(name));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  async close() {
    for (const someone of this.#people) await someone.close();
    await this.#lib?.close();
    await this.server?.end();
    await this.network?.close();
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }
}

/** In the page, before the app: keeps peer connections where they can be found, and may forget about RED. */
function prepare({ red }) {
  window.peers = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      window.peers.push(this);
    }
    addTransceiver(what, init) {
      const transceiver = super.addTransceiver(what, init);
      if (!red && what === 'audio') {
        const { codecs } = RTCRtpReceiver.getCapabilities('audio');
        transceiver.setCodecPreferences(codecs.filter((codec) => codec.mimeType !== 'audio/red'));
      }
      return transceiver;
    }
  };
  localStorage.setItem('kaiwa.call.layout', 'speaker');
}

/** In the page: what was counted of what comes and goes. Sums over m-lines, as there is one of each here. */
async function count() {
  const reports = [];
  for (const peer of window.peers) if (peer.connectionState === 'connected') reports.push(...(await peer.getStats()).values());
  const of = (type, kind) => reports.filter((r) => r.type === type && r.kind === kind);
  const sum = (list, name) => list.reduce((total, r) => total + (r[name] ?? 0), 0);
  const video = of('inbound-rtp', 'video').filter((r) => r.packetsReceived > 0);
  const audio = of('inbound-rtp', 'audio').filter((r) => r.packetsReceived > 0);
  const codecs = new Map(reports.filter((r) => r.type === 'codec').map((r) => [r.id, r.mimeType]));
  const transport = reports.find((r) => r.type === 'transport' && r.selectedCandidatePairId);
  const pair = reports.find((r) => r.id === transport?.selectedCandidatePairId);
  const theirs = reports.find((r) => r.id === pair?.remoteCandidateId);
  const tile = document.querySelector('[data-testid="call-tile"][data-me="false"] [data-testid="call-video"]')?.closest('[data-testid="call-tile"]');
  return {
    path: theirs ? { over: theirs.protocol, port: theirs.port } : null,
    layer: Number(tile?.dataset.layer ?? 0),
    width: Math.max(0, ...video.map((r) => r.frameWidth ?? 0)),
    decoded: sum(video, 'framesDecoded'),
    fps: sum(video, 'framesPerSecond'),
    keyFrames: sum(video, 'keyFramesDecoded'),
    freezes: sum(video, 'freezeCount'),
    frozenS: sum(video, 'totalFreezesDuration'),
    lost: sum(video, 'packetsLost'),
    received: sum(video, 'packetsReceived'),
    repaired: sum(video, 'retransmittedPacketsReceived'),
    nacks: sum(video, 'nackCount'),
    plis: sum(video, 'pliCount'),
    samples: sum(audio, 'totalSamplesReceived'),
    concealed: sum(audio, 'concealedSamples'),
    concealments: sum(audio, 'concealmentEvents'),
    sound: audio.map((r) => codecs.get(r.codecId)).join(),
    spoken: sum(of('outbound-rtp', 'audio'), 'packetsSent'),
    kbitOut: Math.round(Math.max(0, ...reports.map((r) => r.availableOutgoingBitrate ?? 0)) / 1_000),
    sending: of('outbound-rtp', 'video')
      .map((r) => ({ rid: r.rid, width: r.frameWidth ?? 0, sent: r.framesSent ?? 0, fps: r.framesPerSecond ?? 0, keyFrames: r.keyFramesEncoded ?? 0, plis: r.pliCount ?? 0, target: r.targetBitrate, limited: r.qualityLimitationReason }))
      .sort((one, other) => one.width - other.width),
  };
}

export class Person {
  constructor(me, browser, name) {
    this.me = me;
    this.name = name;
    this.browser = browser;
  }

  /** Opens a room and joins its call; `publishes` with microphone and camera. */
  async enter(url, room, { publishes = false } = {}) {
    const { page, id } = this.me;
    await page.goto(`${url}/#/r/${room}`);
    await id('room-view').waitFor();
    await id('call-button').click();
    for (const kind of ['microphone', 'camera']) {
      const toggle = id(`prejoin-${kind}`);
      await toggle.waitFor();
      if (((await toggle.getAttribute('aria-checked')) === 'true') !== publishes) await toggle.click();
    }
    // Both devices are open: something is seen and heard of oneself.
    if (publishes) await page.locator('[data-testid="preview"][data-on="true"]').waitFor();
    if (publishes) await page.locator('[data-testid="level"]:not([aria-valuenow="0"])').waitFor();
    await id('prejoin-join').click();
    await page.locator('[data-testid="call-status"][data-status="connected"]').waitFor({ state: 'attached' });
    if (publishes) await this.until('heard', ({ spoken }) => spoken > 0);
  }

  async leave() {
    await this.me.id('call-leave').click();
    await this.me.page.locator('[data-testid="call-status"]').waitFor({ state: 'detached' });
  }

  count() {
    return this.me.page.evaluate(count);
  }

  /** Notes from now on each change of the layer that is sent; `layersSince` gives them. */
  watchLayer() {
    return this.me.page.evaluate(() => {
      const tile = document.querySelector('[data-testid="call-tile"][data-me="false"] [data-testid="call-video"]').closest('[data-testid="call-tile"]');
      const layers = [tile.dataset.layer];
      window.layersSeen = () => (tile.isConnected ? layers : [...layers, 'gone']);
      new MutationObserver(() => layers.push(tile.dataset.layer)).observe(tile, { attributeFilter: ['data-layer'] });
    });
  }

  /** The layers since `watchLayer`, the one at that time first. */
  async layersSince() {
    return (await this.me.page.evaluate(() => window.layersSeen())).map(Number);
  }

  /** Looks at the counters until they satisfy a condition; gives them, and how long that took. */
  async until(what, condition) {
    const began = performance.now();
    for (;;) {
      const counts = await this.count();
      const tookMs = performance.now() - began;
      if (condition(counts)) return { ...counts, tookMs };
      if (tookMs > PATIENCE_MS) throw new Error(`${this.name}: never ${what}; last seen ${JSON.stringify(counts)}`);
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
  }

  async close() {
    await this.browser.close();
  }
}
