/** Kinds of rooms, roles, refusals, and signing out. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createRoom, message, person, say, Server, signIn, startBrowser } from './harness.mjs';

let server, browser, alice, bob;

before(async () => {
  server = await Server.start();
  browser = await startBrowser();
  alice = await person(browser);
  bob = await person(browser);
  await signIn(bob, server.url, 'Bob');
  await signIn(alice, server.url, 'Alice');
});

after(async () => {
  await browser?.close();
  await server?.end();
});

const roomOf = (someone, room) => someone.page.locator(`[data-testid="room"][data-room="${room}"]`);

test('a direct room appears at the other person at once, with what is unread', async () => {
  const room = await createRoom(alice, { kind: 'direct', people: 'bob' });
  assert.equal(await alice.id('room-heading').innerText(), 'Bob');
  await roomOf(bob, room).waitFor();
  await say(alice, 'psst');
  await roomOf(bob, room).locator('[data-testid="unread"]').waitFor();
  await roomOf(bob, room).click();
  await message(bob, 'psst').waitFor();
  await roomOf(bob, room).locator('[data-testid="unread"]').waitFor({ state: 'detached' });
  // There is one such room for a pair.
  assert.equal(await createRoom(alice, { kind: 'direct', people: 'bob' }), room);
});

test('somebody unknown can not be invited, and the dialog says what to do', async () => {
  await alice.id('new-room').click();
  await alice.id('kind-direct').click();
  await alice.id('room-people').fill('nobody-of-this-name');
  await alice.id('create').click();
  await alice.id('error').getByText('Nobody with this id has signed in yet').waitFor();
  await alice.page.keyboard.press('Escape');
});

test('in a broadcast room members read, and write once they are moderators', async () => {
  const room = await createRoom(alice, { kind: 'broadcast', title: 'News', visibility: 'public' });
  await bob.id('browse').click();
  await bob.page.locator(`[data-testid="public-room"][data-room="${room}"] [data-testid="join"]`).click();
  await bob.page.getByText('Only owners and moderators write here.').waitFor();
  await say(alice, 'Hear, hear');
  await message(bob, 'Hear, hear').waitFor();
  await alice.id('open-members').click();
  const row = alice.page.locator('[data-testid="member"][data-user="bob"]');
  await row.locator('[data-testid="role"]').selectOption('moderator');
  await bob.id('composer').waitFor();
  await say(bob, 'Thank you');
  await alice.page.keyboard.press('Escape');
  await message(alice, 'Thank you').waitFor();
});

test('an owner deletes what another wrote, removes a member, and hands the room on before leaving', async () => {
  const room = await createRoom(alice, { title: 'Moderated', people: 'bob' });
  await bob.page.locator(`[data-testid="invitation"][data-room="${room}"] [data-testid="accept"]`).click();
  await bob.id('room-view').and(bob.page.locator(`[data-room="${room}"]`)).waitFor();
  await say(bob, 'Something rude');
  await message(alice, 'Something rude').hover();
  await message(alice, 'Something rude').locator('[data-testid="delete"]').click();
  await alice.id('confirm').getByText('Bob').waitFor();
  await alice.id('confirm-yes').click();
  await message(bob, 'This message was deleted.').waitFor();

  await alice.id('open-members').click();
  const row = alice.page.locator('[data-testid="member"][data-user="bob"]');
  await row.waitFor();
  await alice.id('leave').click();
  await alice.id('confirm-yes').click();
  await alice.id('error').getByText('You are the last owner').waitFor();
  await row.locator('[data-testid="remove"]').click();
  await alice.id('confirm-yes').click();
  await row.waitFor({ state: 'detached' });
  await bob.id('not-here').waitFor();
  await roomOf(bob, room).waitFor({ state: 'detached' });

  await alice.id('invite-id').fill('bob');
  await alice.id('invite').click();
  await alice.id('toast').getByText('bob is invited').waitFor();
  const again = bob.page.locator(`[data-testid="invitation"][data-room="${room}"]`);
  await again.locator('[data-testid="decline"]').click();
  await again.waitFor({ state: 'detached' });
  await alice.id('leave').click();
  await alice.id('confirm-yes').click();
  await roomOf(alice, room).waitFor({ state: 'detached' });
});

test('who comes back to a room sees where the new begins', async () => {
  const room = await createRoom(alice, { title: 'Later', people: 'bob' });
  await bob.page.locator(`[data-testid="invitation"][data-room="${room}"] [data-testid="accept"]`).click();
  await say(alice, 'seen');
  await message(bob, 'seen').waitFor();
  await roomOf(bob, room).locator('[data-testid="unread"]').waitFor({ state: 'detached' });
  await bob.page.evaluate(() => (location.hash = '#/'));
  await bob.id('room-view').waitFor({ state: 'detached' });
  await say(alice, 'new one');
  await say(alice, 'new two');
  await roomOf(bob, room).locator('[data-testid="unread"]').getByText('2', { exact: true }).waitFor();
  await roomOf(bob, room).click();
  await bob.id('new-mark').waitFor();
  const next = await bob.id('new-mark').evaluate((mark) => mark.nextElementSibling.textContent);
  assert.match(next, /new one/);
});

test('text over the limit is not sent, and markup stays text', async () => {
  await createRoom(alice, { title: 'Odd' });
  await say(alice, '<img src=x onerror="window.hacked=1"><b>bold</b> & "quotes"');
  await message(alice, '<b>bold</b>').waitFor();
  assert.equal(await alice.page.evaluate(() => window.hacked), undefined);
  await alice.id('composer').fill('あ'.repeat(20_000));
  await alice.page.getByText('bytes too long').waitFor();
  assert.equal(await alice.id('send').isDisabled(), true);
  await alice.id('composer').fill('');
});

test('on a phone a long title is cut, and the way in and out of the dialog stays in view', async () => {
  const room = await createRoom(alice, { title: 'A title that is longer than a phone is wide '.repeat(2), visibility: 'public' });
  const phone = await person(browser, { viewport: { width: 390, height: 844 } });
  await signIn(phone, server.url, 'Phone');
  await phone.id('browse').click();
  const row = phone.page.locator(`[data-testid="public-room"][data-room="${room}"]`);
  for (const button of [row.locator('[data-testid="join"]'), phone.id('browse-dialog-close')]) {
    await button.waitFor();
    const box = await button.boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 390, JSON.stringify(box));
  }
  await phone.context.close();
});

test('a broken link leads to the list', async () => {
  const someone = await person(browser);
  await someone.page.goto(`${server.url}/#/r/%E0%A4%A`);
  await signIn(someone, `${server.url}`, 'Link');
  await someone.page.goto(`${server.url}/#/r/%E0%A4%A`);
  await someone.page.reload();
  await someone.id('room-list').waitFor();
  assert.deepEqual(someone.errors, []);
  await someone.context.close();
});

test('a draft is kept for each room', async () => {
  const one = await createRoom(alice, { title: 'Draft one' });
  await alice.id('composer').fill('half a thou');
  await createRoom(alice, { title: 'Draft two' });
  assert.equal(await alice.id('composer').inputValue(), '');
  await alice.page.reload();
  await roomOf(alice, one).click();
  await alice.page.waitForFunction(() => document.querySelector('[data-testid="composer"]')?.value === 'half a thou');
});

test('signing out asks about what is unsent, leaves nothing behind, and the other tab follows', async () => {
  const tab = await alice.context.newPage();
  await tab.goto(server.url);
  await tab.locator('[data-testid="shell"]').waitFor();
  await server.kill();
  await alice.page.locator('[data-testid="banner"][data-state="reconnecting"]').waitFor();
  await say(alice, 'never to be sent');
  await alice.page.locator('[data-testid="message"][data-state="waiting"]').waitFor();
  await alice.id('open-settings').click();
  await alice.id('sign-out').click();
  await alice.id('confirm').getByText('would be lost').waitFor();
  await alice.id('confirm-yes').click();
  await alice.id('sign-in').waitFor();
  await tab.locator('[data-testid="sign-in"]').waitFor();
  const left = await alice.page.evaluate(
    () =>
      new Promise((resolve) => {
        const opening = indexedDB.open('kaiwa');
        opening.onsuccess = () => {
          const tx = opening.result.transaction(['rooms', 'writes']);
          const rooms = tx.objectStore('rooms').count();
          const writes = tx.objectStore('writes').count();
          tx.oncomplete = () => resolve({ rooms: rooms.result, writes: writes.result, keys: Object.keys(localStorage).filter((k) => /auth|draft/.test(k)) });
        };
      }),
  );
  assert.deepEqual(left, { rooms: 0, writes: 0, keys: [] });
  await server.restart();
  assert.deepEqual([...alice.errors, ...bob.errors], []);
});
