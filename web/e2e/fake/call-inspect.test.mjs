/**
 * The inspector in Chromium against made-up figures: what it shows and says, in both languages and themes, on a desktop and
 * a phone, and when it asks. KAIWA_SHOTS names a folder for pictures. The real figures are e2e/call-inspect.test.mjs's.
 */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { checkAccess, library, person, Server, signIn, startBrowser } from '../harness.mjs';

const out = process.env.KAIWA_SHOTS ?? '';
let server, browser, lib, fixtures, garden;

before(async () => {
  server = await Server.start();
  browser = await startBrowser({ media: true });
  lib = await library();
  fixtures = await lib.load('/test/inspect-fixture.ts');
  if (out) await mkdir(out, { recursive: true });
  const aiko = await lib.connect(server.url, 'Aiko');
  garden = (await aiko.createRoom({ kind: 'group', title: 'Garden / 庭', visibility: 'public' })).room;
  await fetch(`${server.url}/fake/calls`, { method: 'POST', body: JSON.stringify({ room: garden, people: ['Ben', 'Chie', 'Dmitri'].map((name) => ({ id: name.toLowerCase(), name, camera: true })) }) });
  await aiko.stop();
});

after(async () => {
  await lib?.close();
  await browser?.close();
  await server?.end();
});

/** `answer` gives status and JSON for a question after figures, or to a report; what was asked is noted. */
async function visit(answer, options = {}) {
  const me = await person(browser, { permissions: ['camera', 'microphone', 'clipboard-read', 'clipboard-write'], serviceWorkers: 'block', ...options });
  me.asked = [];
  await me.page.route('**/api/v1/calls**', async (route) => {
    const url = new URL(route.request().url());
    me.asked.push(url.pathname + url.search);
    const { status = 200, json } = answer(url, route.request());
    await route.fulfill({ status, json });
  });
  await signIn(me, server.url, 'Aiko');
  await me.page.goto(`${server.url}/#/r/${garden}`);
  return me;
}

async function open(answer, options) {
  const me = await visit(answer, options);
  await me.id('call-button').click();
  await me.id('prejoin-join').click();
  await me.page.locator('[data-testid="call-status"][data-status="connected"]').waitFor({ state: 'attached' });
  return me;
}

async function look(me, name) {
  await checkAccess(me, name);
  if (out) await me.page.screenshot({ path: join(out, `${name}.png`) });
}

async function inspect(me) {
  const isWide = await me.id('call-health').isVisible();
  if (!isWide) await me.id('call-more').click();
  await me.id(isWide ? 'call-health' : 'call-more-health').click();
  await me.id('inspect-panes').waitFor();
}

const everybody = ({ searchParams }) => ({ json: fixtures.fixture({ nowMs: Date.now(), room: garden, seconds: Number(searchParams.get('seconds')) }) });

test('asks each second while it is in sight, for no more than is new, and not at all when it isn’t', async () => {
  const me = await open(everybody);
  await me.page.clock.install();
  await inspect(me);
  for (let i = 0; i < 3; i++) {
    const next = me.page.waitForRequest('**/api/v1/calls/**');
    await me.page.clock.runFor(1_100);
    await next;
  }
  assert.match(me.asked[0], /seconds=60$/);
  assert.match(me.asked[1], /seconds=[34]$/);
  assert.equal(await me.id('inspect-charts').getAttribute('data-samples'), '60');
  const elements = await me.page.evaluate(() => document.querySelectorAll('.inspect *').length);
  assert.ok(elements < 400, `${elements} elements`);
  const look = (state) =>
    me.page.evaluate((state) => {
      Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  // The page's clock is the test's: what would have been asked within ten seconds has been.
  const silent = async () => {
    await me.page.clock.runFor(2_000);
    const before = me.asked.length;
    await me.page.clock.runFor(10_000);
    assert.equal(me.asked.length, before);
  };
  await look('hidden');
  await silent();
  const again = me.page.waitForRequest('**/api/v1/calls/**');
  await look('visible');
  await again;
  await me.id('inspect-pause').click();
  await silent();
  await me.id('inspect-close').click();
  await me.id('inspect').waitFor({ state: 'detached' });
  assert.equal(await me.page.evaluate(() => document.activeElement?.dataset.testid), 'call-health', 'the focus is back where it was');
  assert.deepEqual(me.errors, []);
  await me.context.close();
});

test('a large call is a list of a hundred, of whom nobody with a problem is left out', async () => {
  const me = await open(({ searchParams }) => ({ json: fixtures.fixture({ nowMs: Date.now(), room: garden, seconds: Number(searchParams.get('seconds')), more: 150 }) }));
  await inspect(me);
  assert.equal(await me.id('inspect-item').count(), 100);
  for (const user of ['ben', 'dmitri']) assert.equal(await me.page.locator(`[data-testid="inspect-item"][data-user="${user}"]`).count(), 1, user);
  assert.match(await me.id('inspect-panes').innerText(), /And 54 more, without a problem/);
  const elements = await me.page.evaluate(() => document.querySelectorAll('.inspect *').length);
  assert.ok(elements < 2_000, `${elements} elements`);
  await me.context.close();
});

test('a report for others has everything but tokens', async () => {
  const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhaWtvIn0.c2lnbmF0dXJl';
  const me = await open((url) => {
    const { json } = everybody(url);
    json.failures[1].cause.text = `The token ${token} ran out.`;
    json.participants[0].token = token;
    return { json };
  });
  await inspect(me);
  await me.id('inspect-copy').click();
  await me.page.locator('[data-testid="inspect-notice"]:not(:empty)').waitFor();
  const text = await me.page.evaluate(() => navigator.clipboard.readText());
  assert.ok(!text.includes('eyJ'), 'no token');
  const report = JSON.parse(text);
  assert.deepEqual([report.server.version, report.room, report.participants.length, report.participants[0].samples.length, report.failures[1].cause.text], ['fake', garden, 4, 60, 'The token (token) ran out.']);
  await me.context.close();
});

test('refusals and a lost server are said, and the last figures stay', async () => {
  let answer = everybody;
  const me = await open((url) => answer(url));
  await inspect(me);
  answer = () => ({ status: 503, json: { error: { code: 3, reason: 'overloaded', message: 'busy' } } });
  await me.id('inspect-problem').waitFor();
  assert.match(await me.id('inspect-problem').innerText(), /These figures are from/);
  assert.equal(await me.id('inspect-person').count(), 1);
  answer = everybody;
  await me.id('inspect-problem').locator('button').click();
  await me.id('inspect-problem').waitFor({ state: 'detached' });
  await me.id('inspect-close').click();
  answer = () => ({ status: 403, json: { error: { code: 300, reason: 'forbidden', message: 'no' } } });
  await me.id('call-health').click();
  await me.id('inspect-problem').waitFor();
  assert.match(await me.id('inspect-problem').innerText(), /Only members of the room/);
  await me.context.close();
});

test('a call that does not connect says why and what to do, as soon as the server can say, and today’s words where it can’t', async () => {
  const reports = [];
  let cause = null;
  const answer = (url, request) => {
    if (!url.pathname.endsWith('/reports')) return { json: fixtures.fixture({ nowMs: Date.now(), room: garden, scope: 'own' }) };
    reports.push(JSON.parse(request.postData()));
    return { json: { cause } };
  };
  for (const [locale, slow, ended, named] of [
    ['en-GB', /A firewall may block its sound and pictures\. Still trying/, /A firewall may block its sound and pictures; try another network/, /an address for calls that can’t be reached.*Tell whoever runs this server/s],
    ['ja-JP', /音声と映像を遮断している可能性/, /音声と映像を遮断している可能性/, /到達できません.*サーバーの管理者に/s],
  ]) {
    const phone = locale === 'ja-JP';
    const me = await visit(answer, phone ? { locale, viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 } : { locale });
    const { page, id } = me;
    for (cause of [null, fixtures.WRONG_ADDRESS]) {
      await page.clock.install();
      await page.evaluate(() => (window.fakeStuck = true));
      await id('call-button').click();
      await id('prejoin-join').click();
      await page.locator('[data-testid="call-status"][data-status="joining"]').waitFor();
      await page.locator('[data-testid="call-tile"]').first().waitFor();
      const asked = page.waitForRequest('**/reports');
      await page.clock.runFor(10_100);
      await asked;
      if (cause) await page.locator('[data-testid="call-status"][data-cause="wrong_address"]').waitFor();
      assert.match(await id('call-status').innerText(), cause ? named : slow);
      if (cause) await look(me, `inspect-slow-${locale}`);
      await page.clock.runFor(6_000);
      await page.clock.runFor(16_000);
      await page.locator(`[data-testid="call-ended"] [data-reason="failed"]${cause ? '[data-cause="wrong_address"]' : ''}`).waitFor();
      await page.waitForFunction((words) => new RegExp(words, 's').test(document.querySelector('[data-testid="call-ended"]').innerText), (cause ? named : ended).source);
      if (cause) await look(me, `inspect-ended-${locale}`);
      await id(cause ? 'call-ended-health' : 'call-ended-ok').click();
    }
    await id('inspect-failures').waitFor();
    assert.equal(await id('call-ended').count(), 0);
    assert.deepEqual(me.errors, []);
    await me.context.close();
  }
  assert.ok(reports.every(({ participant, iceState, pairs }) => participant !== '' && iceState === 'new' && pairs.length === 0));
});

test('every screen, by the rules of axe', async () => {
  const looks = [
    ['desktop', 'light', 'en-GB'],
    ['phone', 'dark', 'ja-JP'],
  ];
  // For eyes, all of them.
  if (out) for (const size of ['desktop', 'phone']) for (const theme of ['light', 'dark']) for (const locale of ['en-GB', 'ja-JP']) looks.push([size, theme, locale]);
  for (const [size, colorScheme, locale] of looks) {
    const phone = size === 'phone';
    let scope = 'all';
    const answer = (url) => {
      if (url.pathname.endsWith('/calls')) return { json: fixtures.callsFixture(Date.now(), garden) };
      return { json: fixtures.fixture({ nowMs: Date.now(), room: garden, scope, seconds: Number(url.searchParams.get('seconds')) }) };
    };
    const viewport = phone ? { width: 390, height: 844 } : { width: 1280, height: 800 };
    const me = await open(answer, { viewport, colorScheme, locale, hasTouch: phone, isMobile: phone, deviceScaleFactor: phone ? 2 : 1 });
    const { page, id } = me;
    const see = (screen) => look(me, `inspect-${size}-${colorScheme}-${locale.slice(0, 2)}-${screen}`);
    const pick = async (user) => {
      if (phone && (await id('inspect-back').isVisible())) await id('inspect-back').click();
      await page.locator(user === '' ? '[data-testid="inspect-item-failures"]' : `[data-testid="inspect-item"][data-user="${user}"]`).click();
    };
    await see('0-call');
    await inspect(me);
    await see('1-list');
    await pick('ben');
    await page.locator('[data-testid="inspect-person"][data-user="ben"] [data-kind="starved"]').waitFor();
    await see('2-starved');
    await id('inspect-picture').first().scrollIntoViewIfNeeded();
    for (const part of ['inspect-changes', 'inspect-pairs']) await id(part).locator('summary').click();
    await id('inspect-pairs').scrollIntoViewIfNeeded();
    await see('3-below');
    await id('inspect-table').locator('summary').click();
    await id('inspect-table').scrollIntoViewIfNeeded();
    await see('4-table');
    await pick('dmitri');
    await page.locator('[data-testid="inspect-person"][data-user="dmitri"] [data-kind="no_keyframes"]').waitFor();
    await id('inspect-publication').last().scrollIntoViewIfNeeded();
    await see('5-no-keyframes');
    await pick('');
    await page.locator('[data-testid="inspect-failure"][data-kind="media_blocked"]').waitFor();
    await id('inspect-failure').first().locator('details').last().locator('summary').click();
    await see('6-failures');
    await id('inspect-close').click();
    scope = 'own';
    await inspect(me);
    await page.locator('[data-testid="inspect-panes"][data-scope="own"]').waitFor();
    await id('inspect-moment').focus();
    for (let i = 0; i < 12; i++) await page.keyboard.press('ArrowLeft');
    await see('7-own');
    await id('inspect-close').click();
    assert.deepEqual(me.errors, []);
    await me.context.close();
  }
});
