/**
 * The app's calls in Chromium against the stand-in server, whose page has a peer connection that draws what it receives:
 * what is shown, said and asked for, without an SFU. KAIWA_SHOTS names a folder for pictures of all of it.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { library, message, person, Server, signIn, startBrowser, until, WAIT_MS } from '../harness.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const out = process.env.KAIWA_SHOTS ?? '';
const NAMES = 'Ben Chie Dmitri Emiko Farah Goro Hana Ines Jun Kenji Lotte Mika Nao Olga Pablo Rin Sora Tama Uli Vera Wen Xenia Yuki Zoe'.split(' ');
const people = (count, more = () => ({})) =>
  NAMES.slice(0, count).map((name, i) => ({ id: name.toLowerCase(), name, camera: i % 4 !== 2, microphone: i % 3 === 1 ? 'muted' : 'on', ...more(i) }));

let server, browser, lib, garden, direct;

const order = async (what) => (await fetch(`${server.url}/fake/calls`, { method: 'POST', body: JSON.stringify(what) })).json();

before(async () => {
  server = await Server.start();
  browser = await startBrowser({ media: true });
  lib = await library();
  if (out) await mkdir(out, { recursive: true });
  const clients = {};
  for (const name of ['Aiko', 'Ben', 'Chie']) clients[name] = await lib.connect(server.url, name);
  const { Aiko, Ben, Chie } = clients;
  garden = (await Aiko.createRoom({ kind: 'group', title: 'Garden / 庭', visibility: 'public', members: ['ben', 'chie'] })).room;
  for (const p of [Ben, Chie]) await p.joinRoom(garden);
  direct = (await Ben.createRoom({ kind: 'direct', members: ['aiko'] })).room;
  const say = async (who, room, text) => {
    await who.send(room, text);
    await until(who, () => who.unsent === 0);
  };
  await say(Ben, garden, 'Good morning! The tomatoes are finally turning red.');
  await say(Chie, garden, '今日の午後、雑草を抜きに行ける人はいますか？');
  await say(Aiko, garden, 'I can come at three. Shall I bring the small rake?');
  await say(Ben, garden, 'Let us talk it over.');
  await say(Ben, direct, 'Did you see the plum blossoms by the station?');
  for (const p of Object.values(clients)) await p.stop();
});

after(async () => {
  await lib?.close();
  await browser?.close();
  await server?.end();
});

async function open(room, options = {}) {
  const me = await person(browser, { permissions: ['camera', 'microphone'], ...options });
  await signIn(me, server.url, 'Aiko');
  await me.page.goto(`${server.url}/#/r/${room}`);
  await me.id('room-view').waitFor();
  return me;
}

async function enter(me) {
  await me.id('call-button').click();
  await me.page.locator('[data-testid="preview"][data-on="true"]').waitFor();
  await me.id('prejoin-join').click();
  await status(me, 'connected');
}

const status = ({ page }, kind) => page.locator(`[data-testid="call-status"][data-status="${kind}"]`).waitFor({ state: 'attached' });
const tile = ({ page }, user, more = '') => page.locator(`[data-testid="call-tile"][data-user="${user}"]${more}`);

/** Waits for what somebody's session in the call looks like to the server. */
async function seen(user, condition, what) {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const { participants } = await order({ room: garden });
    const found = participants.find((p) => p.user === user);
    if (condition(found, participants)) return found;
    if (Date.now() > end) throw new Error(`${what} never came about: ${JSON.stringify(participants)}`);
    await new Promise((done) => setTimeout(done, 30));
  }
}

test('a call from joining to leaving', async () => {
  await order({ room: garden, people: people(3) });
  const me = await open(garden);
  const { page, id } = me;
  await page.locator('[data-testid="call-button"][data-count="3"]').waitFor();
  await enter(me);
  assert.equal(await id('call-tile').count(), 4);
  await tile(me, 'aiko', '[data-me="true"][data-muted="false"][data-camera="true"]').waitFor();
  await tile(me, 'chie', '[data-muted="true"]').waitFor();
  await tile(me, 'dmitri', '[data-camera="false"]').waitFor();
  await tile(me, 'ben', '[data-layer="2"]').waitFor();

  await order({ room: garden, speakers: [['ben', 20]], active: 'ben', quality: { chie: 'poor' } });
  await tile(me, 'ben', '[data-speaking="true"]').waitFor();
  assert.equal(await page.locator('[data-testid="call-quality"][data-quality="poor"]').innerText(), 'Connection: poor');

  await order({ room: garden, starved: ['ben'] });
  await tile(me, 'ben', '[data-layer="0"][data-slow="true"]').waitFor();
  assert.match(await tile(me, 'ben').getAttribute('aria-label'), /Picture paused, slow connection/);
  await order({ room: garden, starved: [] });
  await tile(me, 'ben', '[data-layer="2"][data-slow="false"]').waitFor();

  // Shortcuts, but not for what is written.
  await page.keyboard.press('m');
  await seen('aiko', (p) => p?.publications.find((t) => t.source === 1)?.muted === true, 'the mute');
  await id('composer').fill('m');
  await id('composer').press('m');
  await tile(me, 'aiko', '[data-muted="true"]').waitFor();
  await id('composer').fill('');
  await id('call-mic').click();
  await seen('aiko', (p) => p?.publications.find((t) => t.source === 1)?.muted === false, 'the unmute');
  await id('call-cam').click();
  await seen('aiko', (p) => p?.publications.find((t) => t.source === 2)?.muted === true, 'the camera’s stop');
  await id('call-cam').click();
  await tile(me, 'aiko', '[data-camera="true"]').waitFor();

  await id('call-screen').click();
  await page.locator('[data-testid="call-tile"][data-kind="screen"][data-me="true"][data-camera="true"]').waitFor();
  assert.equal(await id('call-stage').getAttribute('data-layout'), 'speaker');
  await seen('aiko', (p) => p?.publications.some((t) => t.source === 3), 'the screen');
  await id('call-screen').click();
  await seen('aiko', (p) => p && !p.publications.some((t) => t.source === 3), 'the end of the screen');
  await page.locator('[data-testid="call-tile"][data-kind="screen"]').waitFor({ state: 'detached' });

  // A moderator mutes, and is muted.
  await order({ room: garden, mute: 'aiko' });
  await tile(me, 'aiko', '[data-muted="true"]').waitFor();
  await tile(me, 'ben').hover();
  await tile(me, 'ben').locator('[data-testid="tile-menu"]').click();
  await id('mute-other').click();
  await tile(me, 'ben', '[data-muted="true"]').waitFor();
  await tile(me, 'ben').hover();
  await tile(me, 'ben').locator('[data-testid="tile-menu"]').click();
  await id('call-remove').click();
  await id('confirm-yes').click();
  await tile(me, 'ben').waitFor({ state: 'detached' });

  await id('call-leave').click();
  await id('call-view').waitFor({ state: 'detached' });
  await seen('aiko', (p) => p === undefined, 'the leaving');
  assert.deepEqual(me.errors, []);
  await me.context.close();
});

test('asks for the pictures that are in sight, as large as they are', async () => {
  await order({ room: garden, people: people(24) });
  const me = await open(garden);
  await enter(me);
  const shown = await me.id('call-tile').count();
  assert.ok(shown < 25, 'there are pages');
  const wishes = async (condition, what) => (await seen('aiko', (p) => p && condition(p.preferences), what)).preferences;
  const first = await wishes((list) => list.length === shown, 'the first page');
  assert.ok(first.every((w) => !w.paused && w.width > 50));
  await me.id('page-next').click();
  await wishes((list) => list.length === 25 - shown - 1 && list.every((w) => !first.some((f) => f.publication === w.publication)), 'the second page');
  await me.id('page-back').click();
  await me.page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await wishes((list) => list.length === shown && list.every((w) => w.paused), 'the pause');
  await me.context.close();
});

test('goes on in the dock, and over a lost session', async () => {
  await order({ room: garden, people: people(2) });
  const me = await open(garden);
  const { page, id } = me;
  await enter(me);
  await page.goto(`${server.url}/#/r/${direct}`);
  await id('call-dock').waitFor();
  await id('dock-mic').click();
  await seen('aiko', (p) => p?.publications.find((t) => t.source === 1)?.muted === true, 'the mute');
  await id('dock-open').click();
  await id('call-view').waitFor();
  const before = await seen('aiko', (p) => p !== undefined, 'the participant');
  await order({ refuse: true, cut: true });
  await seen('aiko', (p) => p !== undefined && p.id !== before.id && p.publications.length === 2, 'the new participant');
  // Of the new peer, whatever was shown of the one before.
  await page.waitForFunction(() => window.fakePeers.at(-1).connectionState === 'connected');
  await status(me, 'connected');
  assert.equal(await page.evaluate(() => window.fakePeers.length), 2);
  await order({ refuse: false });
  await page.evaluate(() => window.fakePeers.at(-1).become('disconnected'));
  await status(me, 'reconnecting');
  await page.evaluate(() => window.fakePeers.at(-1).become('connected'));
  await status(me, 'connected');
  await order({ room: garden, end: ['aiko', 'removed'] });
  await page.locator('[data-testid="call-ended"] [data-reason="removed"]').waitFor();
  await id('call-ended-ok').click();
  assert.deepEqual(me.errors, []);
  await me.context.close();
});

test('rings, is answered and is declined', async () => {
  const me = await open(garden);
  await order({ room: direct, ring: ['aiko', 'ben'] });
  await me.id('ring-decline').click();
  await me.id('ring').waitFor({ state: 'detached' });
  await order({ room: direct, ring: ['aiko', 'ben'] });
  await me.id('ring-accept').click();
  await status(me, 'connected');
  await me.id('ring').waitFor({ state: 'detached' });
  assert.equal(await me.page.locator(`[data-testid="room-view"][data-room="${direct}"]`).count(), 1);
  await me.id('call-leave').click();
  await me.context.close();
});

test('every screen, by the rules of axe', async () => {
  const looks = [
    ['desktop', 'light', 'en-GB'],
    ['desktop', 'dark', 'ja-JP'],
    ['phone', 'light', 'ja-JP'],
    ['phone', 'dark', 'en-GB'],
  ];
  for (const [size, colorScheme, locale] of looks) {
    const phone = size === 'phone';
    const viewport = phone ? { width: 390, height: 844 } : { width: 1280, height: 800 };
    await order({ room: garden, people: people(3) });
    const me = await open(garden, { viewport, colorScheme, locale, hasTouch: phone, isMobile: phone, deviceScaleFactor: phone ? 2 : 1 });
    const { page, id } = me;
    const look = async (screen) => {
      const name = `${size}-${colorScheme}-${locale.slice(0, 2)}-${screen}`;
      await page.evaluate(() => Promise.all(document.getAnimations().filter((a) => a.effect?.getTiming().iterations !== Infinity).map((a) => a.finished.catch(() => {}))));
      if (out) {
        await page.waitForTimeout(300);
        await page.screenshot({ path: join(out, `${name}.png`) });
      }
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
      assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`), [], name);
    };
    await message(me, 'talk it over').waitFor();
    await look('01-going-on');
    await id('call-button').click();
    await page.locator('[data-testid="preview"][data-on="true"]').waitFor();
    await look('02-prejoin');
    await order({ room: garden, people: [] });
    await id('prejoin-join').click();
    await status(me, 'connected');
    await look('03-one');
    for (const [count, screen] of [[1, '04-two'], [3, '05-four'], [8, '06-nine'], [15, '07-sixteen'], [24, '08-twenty-five']]) {
      await order({ room: garden, people: people(count) });
      await tile(me, 'ben').waitFor();
      const speaker = NAMES[count - 1].toLowerCase();
      await order({ room: garden, speakers: [[speaker, 22]], active: speaker, quality: { ben: 'poor', chie: 'fair' }, interrupted: count === 3 ? ['dmitri'] : [] });
      await look(screen);
    }
    await order({ room: garden, people: people(6, (i) => (i === 1 ? { screen: true } : {})) });
    await page.locator('video[data-source="screen"]').waitFor();
    await page.evaluate(() => {
      const track = document.querySelector('video[data-source="screen"]').srcObject.getVideoTracks()[0];
      for (const peer of window.fakePeers) for (const t of peer.all()) if (t.receiver.track === track) window.fakeScreenMids.add(t.mid);
    });
    await look('09-screen');
    await order({ room: garden, people: people(6) });
    await page.locator('[data-testid="call-stage"][data-layout="grid"]').waitFor();
    if (phone) {
      await id('call-more').click();
      await look('10-more');
      await id('call-more-menu').locator('.menu-item').first().click();
    } else {
      await id('call-layout').click();
    }
    await page.locator('[data-testid="call-stage"][data-layout="speaker"]').waitFor();
    await look('11-speaker');
    if (phone) {
      await id('call-more').click();
      await id('call-more-menu').locator('.menu-item').nth(1).click();
    } else {
      await id('call-people').click();
    }
    await id('call-person').nth(3).waitFor();
    await look('12-people');
    await page.keyboard.press('Escape');
    await page.evaluate(() => window.fakePeers.at(-1).become('disconnected'));
    await status(me, 'reconnecting');
    await look('13-reconnecting');
    await page.evaluate(() => window.fakePeers.at(-1).become('connected'));
    await page.goto(`${server.url}/#/r/${direct}`);
    await id('call-dock').waitFor();
    await look('14-dock');
    await order({ room: garden, end: ['aiko', 'removed'] });
    await id('call-ended').waitFor();
    await look('15-removed');
    await id('call-ended-ok').click();
    await order({ room: direct, ring: ['aiko', 'ben'] });
    await id('ring').waitFor();
    await look('16-ring');
    await id('ring-decline').click();
    await page.evaluate(() => {
      navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException('no', 'NotAllowedError');
      };
    });
    await id('call-button').click();
    await id('prejoin-again').waitFor();
    await look('17-denied');
    await order({ peopleMax: 0 });
    await id('prejoin-join').click();
    await id('toast').waitFor();
    await look('18-full');
    await order({ peopleMax: 100 });
    assert.deepEqual(me.errors, []);
    await me.context.close();
  }
});
