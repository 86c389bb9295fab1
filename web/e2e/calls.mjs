/**
 * People in calls, in Chromium (Playwright) and in Firefox (puppeteer-core over WebDriver BiDi): what both can do, under
 * one name. Nothing here knows times: a condition is looked at until it holds, and fails after `PATIENCE_MS`.
 */
import assert from 'node:assert/strict';
import { createServer, connect } from 'node:net';
import { once } from 'node:events';
import puppeteer from 'puppeteer-core';
import { person, startBrowser } from './harness.mjs';

export const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
/** Machines that run tests have few cores, and pictures are drawn and coded by them. */
export const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 90_000);
const LOOK_AGAIN_MS = 40;

/** A camera and a microphone that make their own pictures and sounds, and nothing that calls home. */
export const FIREFOX_PREFS = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.peerconnection.ice.loopback': true,
  'media.autoplay.default': 0,
  'network.manage-offline-status': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'media.gmp-manager.updateEnabled': false,
  'app.update.enabled': false,
  'services.settings.server': '',
  'browser.safebrowsing.malware.enabled': false,
  'browser.topsites.contile.enabled': false,
};

export const startFirefox = () =>
  puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    protocolTimeout: 2 * PATIENCE_MS,
    extraPrefsFirefox: FIREFOX_PREFS,
    defaultViewport: VIEWPORT,
  });

export const VIEWPORT = { width: 1000, height: 640 };
const SMALL = { width: 320, height: 180, frameRate: 15 };

/**
 * Runs in the page before its own scripts: notes the peer connections, and opens cameras with this size, as somebody's
 * would who has no better one.
 */
function prepare(size) {
  window.peers = [];
  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(...options) {
      super(...options);
      window.peers.push(this);
    }
  };
  const { mediaDevices } = navigator;
  if (!mediaDevices) return;
  const open = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = (wanted) => open(wanted.video ? { ...wanted, video: { ...wanted.video, ...size } } : wanted);
}

export async function until(condition, what) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) assert.fail(typeof what === 'function' ? await what() : what);
    await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
  }
}

/** Somebody with a page of the app. */
export class Caller {
  page;
  /** Their name as the app shows it, and the id made of it. */
  name;
  user;
  errors = [];
  #close;

  constructor(page, name, errors, close) {
    Object.assign(this, { page, name, user: name.toLowerCase(), errors });
    this.#close = close;
    page.setDefaultTimeout(PATIENCE_MS);
  }

  static async inChromium(browser, name, { camera = SMALL, ...options } = {}) {
    const { context, page, errors } = await person(browser, { permissions: ['camera', 'microphone'], viewport: VIEWPORT, ...options });
    await context.addInitScript(prepare, camera);
    return new Caller(page, name, errors, () => context.close());
  }

  static async inFirefox(browser, name) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    const errors = [];
    page.on('pageerror', (error) => {
      // Connections that are cut and servers that are away are part of the tests; Firefox calls that an error of the page.
      if (!/establish a connection|connection to .* was interrupted/.test(String(error))) errors.push(String(error));
    });
    await page.evaluateOnNewDocument(prepare, SMALL);
    return new Caller(page, name, errors, () => context.close());
  }

  close() {
    return this.#close();
  }

  // --- what one looks at ---

  has(selector) {
    return this.page.evaluate((wanted) => document.querySelector(wanted) !== null, selector);
  }

  async sees(selector) {
    await until(
      () => this.has(selector),
      async () => `${this.name} never sees ${selector}; the page: ${await this.#story()}`,
    );
  }

  async misses(selector) {
    await until(
      async () => !(await this.has(selector)),
      async () => `${this.name} still sees ${selector}; the page: ${await this.#story()}`,
    );
  }

  text(testid) {
    return this.page.evaluate((id) => document.querySelector(`[data-testid="${id}"]`)?.textContent ?? '', testid);
  }

  /** Whom one sees, as the tiles say it. */
  #story() {
    return this.page.evaluate(() => {
      const data = (element) => JSON.stringify({ ...element.dataset });
      const parts = document.querySelectorAll('[data-testid="call-tile"], [data-testid="call-status"], [data-testid="banner"], [data-testid="toast"], [data-testid="call-ended"]');
      return `${[...parts].map((e) => `${data(e)} ${e.textContent.slice(0, 60)}`).join('\n')}\n${window.peers?.map((p) => `${p.connectionState}/${p.iceConnectionState}`)}`;
    });
  }

  // --- what one does ---

  async click(testid) {
    await this.sees(id(testid));
    await this.page.locator(id(testid)).click();
  }

  async fill(testid, text) {
    await this.sees(id(testid));
    await this.page.locator(id(testid)).fill(text);
  }

  async signIn(url) {
    await this.page.goto(`${url}/`);
    await this.fill('name', this.name);
    await this.click('sign-in-button');
    await this.connection('connected');
  }

  connection(state) {
    return this.sees(`[data-testid="banner"][data-state="${state}"]`);
  }

  /** Presses “Try now”, if it is there, instead of waiting for the app's timer. */
  async comeBack() {
    await this.page.evaluate(() => document.querySelector('[data-testid="try-now"]')?.click());
    await this.connection('connected');
  }

  async open(room) {
    await this.page.evaluate((hash) => (location.hash = hash), `#/r/${room}`);
    await this.sees(`[data-testid="room-view"][data-room="${room}"]`);
  }

  /** Joins the call of the room that is open. */
  async enter({ picture = true } = {}) {
    await this.click('call-button');
    if (picture) await this.sees('[data-testid="preview"][data-on="true"]');
    await this.click('prejoin-join');
    await this.status('connected');
  }

  /** Opens the menu of somebody's tile, which shows itself to those who point at it. */
  async menuOf(user) {
    await this.page.locator(tile(user)).hover();
    await this.page.locator(`${tile(user)} ${id('tile-menu')}`).click();
    await this.sees(id('person-menu'));
  }

  async leave() {
    await this.click('call-leave');
    await this.misses(id('call-view'));
  }

  status(kind) {
    return this.sees(`[data-testid="call-status"][data-status="${kind}"]`);
  }

  // --- media ---

  seesPerson(user, more = '') {
    return this.sees(tile(user, more));
  }

  missesPerson(user, more = '') {
    return this.misses(tile(user, more));
  }

  /** Which track shows somebody, how many of its frames were decoded, and whether there is a picture in its place. */
  frames(user, kind = 'camera') {
    return this.page.evaluate(
      async ({ user, kind }) => {
        const video = document.querySelector(`[data-testid="call-tile"][data-user="${user}"][data-kind="${kind}"] video`);
        const track = video?.srcObject?.getVideoTracks()[0];
        const found = { track: track?.id ?? '', decoded: 0, width: video?.videoWidth ?? 0, colours: 0 };
        if (video) {
          const paper = new OffscreenCanvas(16, 9).getContext('2d');
          paper.drawImage(video, 0, 0, 16, 9);
          found.colours = new Set(new Uint32Array(paper.getImageData(0, 0, 16, 9).data.buffer)).size;
        }
        const receiver = window.peers.flatMap((peer) => peer.getReceivers()).find((r) => track && r.track === track);
        for (const s of receiver ? (await receiver.getStats()).values() : []) {
          if (s.type !== 'inbound-rtp') continue;
          found.decoded = s.framesDecoded ?? 0;
          // For whoever reads a failure.
          const { packetsReceived, packetsLost, framesReceived, framesDropped, keyFramesDecoded, pliCount, nackCount, bytesReceived } = s;
          found.more = { packetsReceived, packetsLost, framesReceived, framesDropped, keyFramesDecoded, pliCount, nackCount, bytesReceived };
        }
        return found;
      },
      { user, kind },
    );
  }

  /** Waits until more pictures of somebody have been decoded than there were, and one is shown. */
  async watches(user, { kind = 'camera', by = 5 } = {}) {
    let first = await this.frames(user, kind);
    let last = first;
    await until(
      async () => {
        last = await this.frames(user, kind);
        // Another m-line carries it now, and counts from its own beginning.
        if (last.track !== first.track) first = last;
        return last.track !== '' && last.decoded >= first.decoded + by && last.colours > 1;
      },
      async () => `${this.name} sees no more frames of ${user}'s ${kind}: ${JSON.stringify({ first, last })}; the page: ${await this.#story()}`,
    );
  }

  /** Of somebody's sound: packets, and the energy of what was played, both summed up; −1 while there is none. */
  sound(user) {
    return this.page.evaluate(async (user) => {
      const participant = document.querySelector(`[data-testid="call-tile"][data-user="${user}"]`)?.dataset.participant;
      const track = document.querySelector(`[data-testid="call-audio"][data-participant="${participant}"]`)?.srcObject?.getAudioTracks()[0];
      const receiver = window.peers.flatMap((peer) => peer.getReceivers()).find((r) => track && r.track === track);
      for (const s of receiver ? (await receiver.getStats()).values() : []) if (s.type === 'inbound-rtp') return { energy: s.totalAudioEnergy ?? 0, packets: s.packetsReceived ?? 0 };
      return { energy: -1, packets: -1 };
    }, user);
  }

  hears(user) {
    return this.#soundGrows(user, 'energy');
  }

  /** Whatever it sounds like: a load test sends no music. */
  getsSoundOf(user) {
    return this.#soundGrows(user, 'packets');
  }

  async #soundGrows(user, what) {
    let first = await this.sound(user);
    await until(
      async () => {
        const last = await this.sound(user);
        if (first[what] < 0 || last[what] < first[what]) first = last;
        return first[what] >= 0 && last[what] > first[what];
      },
      async () => `${this.name} hears nothing of ${user} (${first[what]}); the page: ${await this.#story()}`,
    );
  }

  /** The peer connections that were ever made, and how the last one is. */
  peers() {
    return this.page.evaluate(() => {
      const last = window.peers.at(-1);
      return { count: window.peers.length, state: last?.connectionState ?? '', ufrag: /a=ice-ufrag:(\S+)/.exec(last?.localDescription?.sdp ?? '')?.[1] ?? '' };
    });
  }

  /** Between which addresses media goes. */
  path() {
    return this.page.evaluate(async () => {
      const stats = (await window.peers.at(-1)?.getStats()) ?? new Map();
      const all = [...stats.values()];
      const pair = stats.get(all.find((s) => s.type === 'transport')?.selectedCandidatePairId);
      return { local: stats.get(pair?.localCandidateId)?.address ?? '', remote: stats.get(pair?.remoteCandidateId)?.address ?? '', state: pair?.state ?? '' };
    });
  }

  participant(user) {
    return this.page.evaluate((user) => document.querySelector(`[data-testid="call-tile"][data-user="${user}"]`)?.dataset.participant ?? '', user);
  }
}

export const id = (testid) => `[data-testid="${testid}"]`;
export const tile = (user, more = '') => `[data-testid="call-tile"][data-user="${user}"]${more}`;

/** Everybody sees everybody else. */
export async function allWatch(people) {
  for (const one of people) for (const other of people) if (one !== other) await one.watches(other.user);
}

/** Starts Chromium with devices, wherever it is to run. */
export const startChromium = (options = {}) => startBrowser({ media: true, ...options });

/** A way to a server over TCP that can be cut while other ways stay. */
export class Wire {
  #server;
  #sockets = new Set();
  #isCut = false;
  url;

  static async to(url) {
    const { hostname: host, port } = new URL(url);
    const wire = new Wire();
    const server = createServer((near) => {
      if (wire.#isCut) return near.destroy();
      const far = connect(Number(port), host);
      for (const socket of [near, far]) {
        wire.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          wire.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    wire.#server = server;
    wire.url = `http://127.0.0.1:${server.address().port}`;
    return wire;
  }

  cut() {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#isCut = false;
  }

  async end() {
    this.cut();
    await new Promise((done) => this.#server.close(done));
  }
}
