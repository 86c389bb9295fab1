/** By keyboard alone, in Japanese, and by the rules of axe. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkAccess, connected, createRoom, message, person, say, Server, signIn, startBrowser, texts } from './harness.mjs';

let server, browser;

before(async () => {
  server = await Server.start();
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await server?.end();
});

/** Presses Tab until the element with this test id has the focus. */
async function tabTo({ page }, testid) {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate((id) => document.activeElement?.closest(`[data-testid="${id}"]`) !== null, testid)) return;
  }
  assert.fail(`Tab never comes to ${testid}`);
}

/** From the composer, over what stands before its box. */
async function backToList({ page }) {
  for (let i = 0; i < 5; i++) {
    await page.keyboard.press('Shift+Tab');
    if (await page.evaluate(() => Boolean(document.activeElement?.closest('.message')))) return;
  }
  assert.fail('Shift+Tab never comes to a message');
}

test('everything by keyboard, in Japanese', async () => {
  const me = await person(browser, { locale: 'ja-JP' });
  const { page } = me;
  await page.goto(server.url);
  await page.getByText('お名前').waitFor();
  assert.equal(await page.locator('html').getAttribute('lang'), 'ja');
  await page.keyboard.type('Yuki');
  await page.keyboard.press('Enter');
  await connected(me);
  await page.getByText('ルームはまだありません').waitFor();

  await tabTo(me, 'new-room');
  await page.keyboard.press('Enter');
  await me.id('new-room-dialog').waitFor();
  await page.keyboard.type('お茶の間');
  await page.keyboard.press('Enter');
  await me.id('room-view').waitFor();

  // The composer has the focus. An input method's Enter chooses a word and doesn't send it.
  await page.waitForFunction(() => document.activeElement?.getAttribute('data-testid') === 'composer');
  const cdp = await me.context.newCDPSession(page);
  await cdp.send('Input.imeSetComposition', { text: 'こんにちは', selectionStart: 5, selectionEnd: 5 });
  await cdp.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Process', code: 'Enter', windowsVirtualKeyCode: 229 });
  await cdp.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 });
  assert.equal(await me.id('message').count(), 0);
  await cdp.send('Input.insertText', { text: '今日は' });
  assert.equal(await me.id('composer').inputValue(), '今日は');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('sencha');
  await page.keyboard.press('Enter');
  await message(me, '今日は').waitFor();
  assert.deepEqual(await texts(me, (l) => l.length === 1), ['今日は\nsencha']);
  await page.locator('[data-testid="message"][data-state="sent"]').waitFor();

  await page.keyboard.type('二つ目');
  await page.keyboard.press('Enter');
  await page.locator('[data-testid="message"][data-state="sent"]').nth(1).waitFor();

  // Up in the empty box edits what was written last.
  await page.keyboard.press('ArrowUp');
  await me.id('intent').waitFor();
  await page.keyboard.press('End');
  await page.keyboard.type('、直した');
  await page.keyboard.press('Enter');
  await message(me, '二つ目、直した').getByText('編集済み').waitFor();

  // Into the list, up one, reply; then delete by key, with a question first.
  await backToList(me);
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('r');
  await me.id('intent').waitFor();
  await page.keyboard.type('返信');
  await page.keyboard.press('Enter');
  await message(me, '返信').locator('[data-testid="quote"]').waitFor();
  await page.locator('[data-testid="message"][data-state="sent"]').nth(2).waitFor();
  await backToList(me);
  await page.keyboard.press('End');
  await page.keyboard.press('Delete');
  await me.id('confirm').waitFor();
  await page.keyboard.press('Enter');
  await message(me, 'このメッセージは削除されました。').waitFor();

  // Dialogs close with Escape and give the focus back.
  await tabTo(me, 'open-settings');
  await page.keyboard.press('Enter');
  await me.id('settings').waitFor();
  await page.keyboard.press('Escape');
  await me.id('settings').waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('data-testid')), 'open-settings');
  assert.deepEqual(me.errors, []);
  await me.context.close();
});

for (const colorScheme of ['light', 'dark']) {
  test(`no serious findings by axe, ${colorScheme}`, async () => {
    const me = await person(browser, { colorScheme });
    const other = await person(browser, { colorScheme });
    await me.page.goto(server.url);
    await me.id('sign-in').waitFor();
    await checkAccess(me, 'sign in');
    await signIn(other, server.url, 'Bob');
    await signIn(me, server.url, `Alice-${colorScheme}`);
    await checkAccess(me, 'empty list');
    const room = await createRoom(me, { title: `Axe ${colorScheme}`, people: 'bob', visibility: 'public' });
    await checkAccess(me, 'empty room');
    await other.page.locator(`[data-testid="invitation"][data-room="${room}"]`).waitFor();
    await checkAccess(other, 'invitation');
    await other.page.locator(`[data-testid="invitation"][data-room="${room}"] [data-testid="accept"]`).click();
    await say(other, 'Hello https://example.org/');
    await say(me, 'One');
    await message(me, 'Hello').waitFor();
    await message(me, 'Hello').hover();
    await me.id('reply').click();
    await say(me, 'Two');
    await message(me, 'One').hover();
    await me.id('delete').click();
    await me.id('confirm').waitFor();
    await checkAccess(me, 'confirm');
    await me.id('confirm-yes').click();
    await message(me, 'This message was deleted.').waitFor();
    await message(me, 'Two').hover();
    await checkAccess(me, 'room');
    await me.id('open-members').click();
    await me.id('member').nth(1).waitFor();
    await checkAccess(me, 'members');
    await me.page.keyboard.press('Escape');
    await me.id('new-room').click();
    await checkAccess(me, 'new room');
    await me.page.keyboard.press('Escape');
    await me.id('browse').click();
    await me.id('public-room').first().waitFor();
    await checkAccess(me, 'public rooms');
    await me.page.keyboard.press('Escape');
    await me.id('open-settings').click();
    await checkAccess(me, 'settings');
    for (const someone of [me, other]) {
      assert.deepEqual(someone.errors, []);
      await someone.context.close();
    }
  });
}

test('the language and the theme are changed by hand and stay', async () => {
  const me = await person(browser, { locale: 'en-GB', colorScheme: 'light' });
  await me.page.goto(server.url);
  await me.id('lang-ja').click();
  await me.page.getByText('お名前').waitFor();
  await me.id('theme-dark').click();
  await me.page.reload();
  await me.page.getByText('お名前').waitFor();
  assert.equal(await me.page.locator('html').getAttribute('data-theme'), 'dark');
  assert.equal(await me.page.locator('html').getAttribute('lang'), 'ja');
  await me.context.close();
});
