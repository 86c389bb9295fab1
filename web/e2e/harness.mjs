/** Starts the server and a browser, and ends both. Nothing sleeps: everything waits for a condition. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const web = fileURLToPath(new URL('..', import.meta.url));
export const BIN = process.env.KAIWA_BIN ?? join(web, '../target/debug/kaiwa');
export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const READY_MS = 30_000;
/** For what has to come about on a machine that does other things as well; long only for what fails. */
export const WAIT_MS = 60_000;

export const ROOM_FOR_COMMANDS = { KAIWA_LIMITS__COMMANDS_PER_S: '5000', KAIWA_LIMITS__COMMAND_BURST: '5000' };

/** gRPC takes a free port, so that servers can run beside each other. */
const FREE_GRPC = { KAIWA_CLIPS__GRPC_LISTEN: '127.0.0.1:0' };

export class Server {
  #child = null;
  #data = '';
  #listen;
  #log = '';
  #env;
  url = '';

  constructor(env, listen) {
    this.#env = env;
    this.#listen = listen;
  }

  /** With more room for commands than usual, unless `env` says otherwise: tests write faster than people. */
  static async start(env = ROOM_FOR_COMMANDS, listen = '127.0.0.1:0') {
    if (!existsSync(BIN)) throw new Error(`no server at ${BIN}: build it, or set KAIWA_BIN`);
    const server = new Server(env, listen);
    server.#data = await mkdtemp(join(tmpdir(), 'kaiwa-e2e-'));
    await server.restart();
    return server;
  }

  /** On the same data and, from the second time on, on the same port. */
  async restart() {
    const args = ['serve', '--data', this.#data, '--listen', this.#listen];
    const child = spawn(BIN, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...FREE_GRPC, ...this.#env } });
    this.#child = child;
    child.stderr.on('data', (chunk) => (this.#log += chunk));
    this.url = await new Promise((resolve, reject) => {
      let out = '';
      const timer = setTimeout(() => reject(new Error(`the server is not ready:\n${out}${this.#log}`)), READY_MS);
      child.once('exit', (code) => reject(new Error(`the server ended (${code}):\n${out}${this.#log}`)));
      child.stdout.on('data', (chunk) => {
        out += chunk;
        this.#log += chunk;
        const line = out.split('\n').find((l) => l.includes('ready') && /http:\/\/\S+/.test(l));
        if (!line) return;
        clearTimeout(timer);
        resolve(/http:\/\/[^\s"/]+/.exec(line)[0]);
      });
    });
    this.#listen = new URL(this.url).host;
  }

  /** As a crash would: without a word. */
  async kill() {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.removeAllListeners('exit');
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** As an update would: asked to stop, and waited for. */
  async drain() {
    const child = this.#child;
    child.removeAllListeners('exit');
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const [code] = await ended;
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${this.#log}`);
  }

  async end() {
    await this.kill();
    await rm(this.#data, { recursive: true, force: true });
  }

  /** A token for somebody with a role on the whole server, as whoever has the data folder makes it. */
  tokenWith(role, user) {
    const args = ['token', '--data', this.#data, '--role', role, '--sub', user];
    return execFileSync(BIN, args, { encoding: 'utf8', env: { ...process.env, ...this.#env } }).trim();
  }

  /** The folder with all that it keeps. */
  get data() {
    return this.#data;
  }

  get running() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get log() {
    return this.#log;
  }
}

/** A camera and a microphone that make their own pictures and sounds, and a screen that is shared without a question. */
const FAKE_MEDIA = [
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--auto-accept-this-tab-capture',
  '--autoplay-policy=no-user-gesture-required',
];

export async function startBrowser({ media = false, executable = CHROMIUM, flags = [] } = {}) {
  return chromium.launch({
    executablePath: executable,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ...(media ? FAKE_MEDIA : []),
      ...flags,
    ],
  });
}

/** A browser of one person's own: its storage, its console errors collected. */
export async function person(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    // A server that is down is part of some tests.
    if (message.type() === 'error' && !/ERR_CONNECTION|WebSocket connection|Failed to load resource/.test(message.text())) errors.push(message.text());
  });
  const id = (name) => page.locator(`[data-testid="${name}"]`);
  return { context, page, errors, id };
}

export async function signIn({ page, id }, url, name) {
  await page.goto(`${url}/`);
  await id('name').fill(name);
  await id('sign-in-button').click();
  await connected({ page });
}

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** By the rules of axe: nothing serious on this screen. */
export async function checkAccess(someone, screen) {
  // What turns until something else happens is never finished.
  const finite = () =>
    Promise.all(
      document
        .getAnimations()
        .filter((a) => a.effect?.getTiming().iterations !== Infinity)
        .map((a) => a.finished.catch(() => {})),
    );
  await someone.page.evaluate(finite);
  // Through the debugger, which the content policy lets pass.
  await someone.page.evaluate(axe);
  const found = await someone.page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const serious = found.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical');
  const minor = found.violations.filter((v) => !serious.includes(v)).map((v) => v.id);
  if (minor.length > 0) console.log(`# ${screen}: minor findings: ${minor.join(', ')}`);
  assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`), [], screen);
}

/** Left alone, a client comes back within 30 s of the server's return. */
const RETURN_MS = WAIT_MS + 30_000;

/** Doesn't wait for the timer: somebody presses “Try now” (if it still is there). */
export async function comeBack(someone) {
  await someone.id('try-now').click({ timeout: 1_000 }).catch(() => {});
  await connected(someone);
}

export const connected = ({ page }, state = 'connected') =>
  page
    .locator(`[data-testid="banner"][data-state="${state}"]`)
    .waitFor({ state: 'attached', timeout: RETURN_MS })
    .catch(async (error) => {
      const seen = await page.locator('#app').innerText();
      throw new Error(`never ${state}; the page says: ${seen.slice(0, 300)}`, { cause: error });
    });

export async function createRoom({ id, page }, { title, people = '', visibility = 'private', kind = 'group' }) {
  await id('new-room').click();
  await id(`kind-${kind}`).click();
  if (kind !== 'direct') {
    await id('room-title').fill(title);
    await id(`visibility-${visibility}`).click();
  }
  await id('room-people').fill(people);
  await id('create').click();
  await id('new-room-dialog').waitFor({ state: 'detached' });
  if (kind === 'direct') await id('room-view').waitFor();
  else await page.locator('[data-testid="room-heading"]', { hasText: title }).waitFor();
  return decodeURIComponent(new URL(page.url()).hash.slice('#/r/'.length));
}

export async function say({ id }, text) {
  await id('composer').fill(text);
  await id('composer').press('Enter');
}

/** A message of the list by its text. */
export const message = ({ page }, text) => page.locator('[data-testid="message"]', { has: page.locator('[data-testid="text"]', { hasText: text }) });

/** Waits until the page's list of texts satisfies a condition, and gives it. */
export async function texts({ page }, condition = () => true, what = 'the list') {
  const read = () => page.locator('[data-testid="text"]').allTextContents();
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const list = await read();
    if (condition(list)) return list;
    if (Date.now() > end) {
      const seen = `last seen: ${JSON.stringify(list.slice(-30))} of ${list.length}`;
      throw new Error(`${what} never came about; ${seen}; kept: ${JSON.stringify(await stored({ page }))}`);
    }
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => done())));
  }
}

/** What the browser keeps of each room, in short: tells a list that is not shown from one that is not there. */
export function stored({ page }) {
  return page.evaluate(
    () =>
      new Promise((resolve) => {
        const opening = indexedDB.open('kaiwa');
        opening.onerror = () => resolve(String(opening.error));
        opening.onsuccess = () => {
          const all = opening.result.transaction('rooms').objectStore('rooms').getAll();
          all.onsuccess = () => {
            opening.result.close();
            const short = ({ room: { info, version, position, timeline } }) => ({
              ...{ title: info.title, head: info.head, version, position, floor: timeline?.floor, more: timeline?.more },
              messages: timeline?.messages.slice(-5).map((m) => `${m.seq} ${m.text}`),
            });
            resolve(all.result.map(short));
          };
        };
      }),
  );
}

/** The client library in Node, over real sockets. */
export async function library() {
  const { createServer } = await import('vite');
  const { WebSocket } = await import('ws');
  const vite = await createServer({ root: web, server: { middlewareMode: true, ws: false, watch: null }, appType: 'custom', logLevel: 'error' });
  const lib = await vite.ssrLoadModule('/src/client/index.ts');
  const clients = [];
  const connect = async (url, name) => {
    let signedIn = await lib.signIn(name, url);
    const kaiwa = new lib.Kaiwa({
      url: `${url.replace('http', 'ws')}/ws`,
      me: signedIn.user,
      getToken: async ({ fresh }) => {
        if (fresh) signedIn = await lib.refreshToken(signedIn.token, url);
        return signedIn.token;
      },
      store: new lib.MemoryStore(),
      device: 'e2e',
      openSocket: (target, protocols) => new WebSocket(target, protocols),
    });
    clients.push(kaiwa);
    await kaiwa.start();
    await until(kaiwa, () => kaiwa.status.kind === 'live' && kaiwa.listed);
    return kaiwa;
  };
  const close = async () => {
    for (const kaiwa of clients) await kaiwa.stop();
    await vite.close();
  };
  const tokenOf = async (url, name) => (await lib.signIn(name, url)).token;
  /** A module of the client library or its tests. */
  const load = (path) => vite.ssrLoadModule(path);
  return { connect, close, tokenOf, load };
}

/** Waits for a condition on a library client, by its changes. */
export function until(kaiwa, condition) {
  // Made here, so that its stack names who waited.
  const late = new Error('never came about');
  return new Promise((resolve, reject) => {
    if (condition()) return resolve();
    const timer = setTimeout(() => {
      stop();
      late.message = `never came about: ${condition}; status ${JSON.stringify(kaiwa.status)}`;
      reject(late);
    }, WAIT_MS);
    const stop = kaiwa.onChange(() => {
      if (!condition()) return;
      clearTimeout(timer);
      stop();
      resolve();
    });
  });
}
