/** What the app looks like: screenshots of the main screens, for eyes. KAIWA_SHOTS names the folder. */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { connected, library, message, person, Server, signIn, startBrowser, until } from './harness.mjs';

const out = process.env.KAIWA_SHOTS ?? fileURLToPath(new URL('./screenshots', import.meta.url));
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
let server, browser, lib;

before(async () => {
  server = await Server.start();
  browser = await startBrowser();
  lib = await library();
  await mkdir(out, { recursive: true });
});

after(async () => {
  await lib?.close();
  await browser?.close();
  await server?.end();
});

async function furnish() {
  const people = {};
  for (const name of ['Aiko', 'Ben', 'Chie', 'Dmitri']) people[name] = await lib.connect(server.url, name);
  const { Aiko, Ben, Chie, Dmitri } = people;
  const garden = await Aiko.createRoom({ kind: 'group', title: 'Garden / 庭', visibility: 'public', members: ['ben', 'chie'] });
  for (const p of [Ben, Chie]) await p.joinRoom(garden.room);
  const news = await Chie.createRoom({ kind: 'broadcast', title: 'Office news', visibility: 'public', members: ['aiko'] });
  await Aiko.joinRoom(news.room);
  await Chie.send(news.room, 'The new meeting room opens on Monday. Shoes off, please.');
  const direct = await Ben.createRoom({ kind: 'direct', members: ['aiko'] });
  await Ben.send(direct.room, 'Did you see the plum blossoms by the station?');
  const trip = await Dmitri.createRoom({ kind: 'group', title: 'Kyōto trip', members: ['aiko'] });
  assert.ok(trip.room);
  const say = async (who, text, options) => {
    const before = who.messages(garden.room).messages.length;
    await who.send(garden.room, text, options);
    await until(who, () => who.messages(garden.room).messages.length > before && who.messages(garden.room).writes.length === 0);
    return who.messages(garden.room).messages.at(-1);
  };
  await say(Ben, 'Good morning! The tomatoes are finally turning red.');
  await say(Ben, 'I left the watering can by the shed.');
  const question = await say(Chie, '今日の午後、雑草を抜きに行ける人はいますか？ 三時ごろから始めるつもりです。');
  await say(Aiko, 'I can come at three. Shall I bring the small rake?', { replyTo: question.seq });
  await say(Chie, '助かります！お願いします。', {});
  const wrong = await say(Aiko, 'Tea afterwards at my place.');
  await Aiko.edit(garden.room, wrong.seq, 'Tea afterwards at my place, and there is cake.');
  const oops = await say(Ben, 'wrong room, sorry');
  await Ben.delete(garden.room, oops.seq);
  await say(Ben, 'Count me in. The plan is here: https://example.org/garden/plan\nThe long bed first, then the herbs by the fence — they have waited long enough.');
  await say(Aiko, '了解です。');
  for (const p of Object.values(people)) await until(p, () => p.unsent === 0);
  for (const p of Object.values(people)) await p.stop();
  return garden.room;
}

test('screens in every size, theme and language', async () => {
  const garden = await furnish();
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ['light', 'dark']) {
      for (const locale of ['en-GB', 'ja-JP']) {
        const me = await person(browser, { viewport, colorScheme, locale, hasTouch: size === 'phone', isMobile: size === 'phone', deviceScaleFactor: size === 'phone' ? 2 : 1 });
        const shot = async (screen) => {
          await me.page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {}))));
          await me.page.screenshot({ path: join(out, `${size}-${colorScheme}-${locale.slice(0, 2)}-${screen}.png`) });
        };
        await me.page.goto(server.url);
        await me.id('sign-in').waitFor();
        await shot('1-sign-in');
        await signIn(me, server.url, 'Aiko');
        await me.id('room').nth(2).waitFor();
        await shot('2-rooms');
        await me.page.locator(`[data-testid="room"][data-room="${garden}"]`).click();
        await message(me, '了解です').waitFor();
        await shot('3-room');
        await me.id('open-members').click();
        await me.id('member').nth(2).waitFor();
        await shot('4-members');
        await me.page.keyboard.press('Escape');
        if (size === 'desktop') {
          await message(me, 'small rake').hover();
          await me.id('reply').click();
          await shot('5-reply');
          await me.id('new-room').click();
          await me.id('new-room-dialog').waitFor();
          await shot('6-new-room');
        } else {
          await message(me, 'small rake').tap();
          await me.id('reply').waitFor();
          await shot('5-actions');
          await me.id('back').click();
          await me.id('new-room').click();
          await me.id('new-room-dialog').waitFor();
          await shot('6-new-room');
        }
        assert.deepEqual(me.errors, []);
        await me.context.close();
      }
    }
  }
});

test('offline, with what waits', async () => {
  const me = await person(browser, { viewport: SIZES.phone, locale: 'en-GB', isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
  await signIn(me, server.url, 'Aiko');
  await me.id('room').first().click();
  await me.id('composer').waitFor();
  await server.kill();
  await connected(me, 'reconnecting');
  await me.id('composer').fill('On my way, the train is late.');
  await me.id('send').click();
  await me.page.locator('[data-testid="message"][data-state="waiting"]').waitFor();
  await me.page.screenshot({ path: join(out, 'phone-light-en-7-offline.png') });
  await server.restart();
  await connected(me);
  await me.page.locator('[data-testid="message"][data-state="sent"]', { hasText: 'the train is late' }).waitFor();
  await me.context.close();
});
