/** What calls look like with real media: screenshots, for eyes. KAIWA_SHOTS names the folder. */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { Caller, id, startChromium } from './calls.mjs';
import { library, Server, until } from './harness.mjs';

const out = process.env.KAIWA_SHOTS ?? fileURLToPath(new URL('./screenshots', import.meta.url));
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
let server, chromium, lib, garden, direct, me, others;

before(async () => {
  [server, chromium, lib] = await Promise.all([Server.start(), startChromium(), library()]);
  await mkdir(out, { recursive: true });
  const clients = {};
  for (const name of ['Aiko', 'Ben', 'Chie', 'Dmitri']) clients[name] = await lib.connect(server.url, name);
  const { Aiko, Ben, Chie } = clients;
  garden = (await Aiko.createRoom({ kind: 'group', title: 'Garden / 庭', visibility: 'public', members: ['ben', 'chie', 'dmitri'] })).room;
  for (const name of ['Ben', 'Chie', 'Dmitri']) await clients[name].joinRoom(garden);
  direct = (await Ben.createRoom({ kind: 'direct', members: ['aiko'] })).room;
  const say = async (who, room, text) => {
    await who.send(room, text);
    await until(who, () => who.unsent === 0);
  };
  await say(Ben, garden, 'Good morning! The tomatoes are finally turning red.');
  await say(Chie, garden, '今日の午後、雑草を抜きに行ける人はいますか？');
  await say(Aiko, garden, 'I can come at three. Let us talk it over.');
  await say(Ben, direct, 'Did you see the plum blossoms by the station?');
  await lib.close();
  me = await Caller.inChromium(chromium, 'Aiko', { viewport: SIZES.desktop, camera: { width: 640, height: 360, frameRate: 10 } });
  others = [];
  for (const name of ['Ben', 'Chie', 'Dmitri']) others.push(await Caller.inChromium(chromium, name));
  for (const someone of [me, ...others]) await someone.signIn(server.url);
});

after(async () => {
  await lib?.close();
  await chromium?.close();
  await server?.end();
});

/** One screen in both sizes and both themes. */
async function look(screen) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    await me.page.setViewportSize(viewport);
    for (const colorScheme of ['light', 'dark']) {
      await me.page.emulateMedia({ colorScheme });
      await me.page.evaluate(() => Promise.all(document.getAnimations().filter((a) => a.effect?.getTiming().iterations !== Infinity).map((a) => a.finished.catch(() => {}))));
      await me.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      await me.page.screenshot({ path: join(out, `call-${size}-${colorScheme}-${screen}.png`) });
    }
  }
  await me.page.setViewportSize(SIZES.desktop);
}

/** Tablets upright and across, a phone across, the smallest phone, and where call and chat begin to stand beside each other. */
const TIGHT = [
  { width: 820, height: 1180 },
  { width: 1024, height: 768 },
  { width: 844, height: 390 },
  { width: 320, height: 568 },
  { width: 761, height: 700 },
  { width: 1139, height: 700 },
  { width: 1140, height: 700 },
];

/** The call's buttons that aren't where they can be pressed: outside the call, or under something else. */
function misplacedControls() {
  const call = document.querySelector('[data-testid="call-view"]').getBoundingClientRect();
  const buttons = [...document.querySelectorAll('[data-testid="call-controls"] > button')].filter((b) => b.checkVisibility());
  if (buttons.length < 5) return [`only ${buttons.length} buttons`];
  return buttons
    .filter((button) => {
      const { left, right, top, bottom } = button.getBoundingClientRect();
      const inside = left >= call.left && right <= call.right && top >= call.top && bottom <= call.bottom;
      const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
      return !inside || !button.contains(hit);
    })
    .map((button) => button.dataset.testid);
}

async function controlsStayInTheCall() {
  const chat = () => me.page.evaluate(() => document.querySelector('[data-testid="call-chat"]').getAttribute('aria-pressed') === 'true');
  for (const viewport of TIGHT) {
    await me.page.setViewportSize(viewport);
    const { width, height } = viewport;
    // With the chat beside it where there is room for both; where not, the chat takes the call's place.
    if (width >= 1140 && !(await chat())) await me.click('call-chat');
    if (width < 1140 && !(await me.page.isVisible(id('call-view')))) await me.click('dock-open');
    await me.sees(id('call-view'));
    await me.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await me.page.screenshot({ path: join(out, `call-tight-${width}x${height}.png`) });
    assert.deepEqual(await me.page.evaluate(misplacedControls), [], `${width}x${height}`);
  }
  await me.page.setViewportSize(SIZES.desktop);
}

test('a call, screen by screen', async () => {
  const [ben, chie, dmitri] = others;
  await ben.open(garden);
  await ben.enter();
  await me.open(garden);
  await me.click('call-button');
  await me.sees('[data-testid="preview"][data-on="true"]');
  await look('1-prejoin');
  await me.click('prejoin-join');
  await me.status('connected');
  await me.watches('ben');
  // A phone has room for the call or the chat.
  await me.click('call-chat');
  await look('2-two');
  for (const someone of [chie, dmitri]) {
    await someone.open(garden);
    await someone.enter();
    await me.watches(someone.user);
  }
  await chie.click('call-mic');
  await me.seesPerson('chie', '[data-muted="true"]');
  await dmitri.click('call-cam');
  await me.seesPerson('dmitri', '[data-camera="false"]');
  await look('3-four');
  await controlsStayInTheCall();
  await ben.click('call-screen');
  await me.watches('ben', { kind: 'screen', by: 2 });
  await look('4-screen');
  await me.open(direct);
  await me.sees(id('call-dock'));
  await look('5-dock');
  await me.click('dock-leave');
  await me.misses(id('call-dock'));
  await ben.leave();
  await ben.open(direct);
  await ben.enter();
  await me.sees(id('ring'));
  await look('6-ring');
  await me.click('ring-decline');
  for (const someone of [me, ...others]) assert.deepEqual(someone.errors, []);
});
