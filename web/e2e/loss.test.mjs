/** The server dies under people's hands and comes back. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { comeBack, connected, createRoom, message, person, say, Server, signIn, startBrowser, texts } from './harness.mjs';

let server, browser;

before(async () => {
  server = await Server.start();
  browser = await startBrowser();
});

// One that failed while the server was away must not fail those after it.
beforeEach(async () => {
  if (!server.running) await server.restart();
});

after(async () => {
  await browser?.close();
  await server?.end();
});

async function pair(title) {
  const alice = await person(browser);
  const bob = await person(browser);
  await signIn(bob, server.url, 'Bob');
  await signIn(alice, server.url, 'Alice');
  const room = await createRoom(alice, { title, people: 'bob' });
  await bob.page.locator(`[data-testid="invitation"][data-room="${room}"] [data-testid="accept"]`).click();
  await bob.id('room-view').waitFor();
  return { alice, bob, room };
}

/** Waits until the browser has stored a message of the list: that happens soon after, not at once. */
function kept({ page }, text) {
  return page.waitForFunction(
    (wanted) =>
      new Promise((resolve) => {
        const opening = indexedDB.open('kaiwa');
        opening.onsuccess = () => {
          const all = opening.result.transaction('rooms').objectStore('rooms').getAll();
          all.onsuccess = () => {
            opening.result.close();
            resolve(all.result.some((r) => r.room.timeline?.messages.some((m) => m.text === wanted)));
          };
        };
      }),
    text,
  );
}

test('killed while one writes, back again: everything once, in order, without a reload', async () => {
  const { alice, bob } = await pair('Storm');
  for (const someone of [alice, bob]) await someone.page.evaluate(() => (window.sameDocument = true));
  const written = [];
  const write = async (text) => {
    written.push(text);
    await say(alice, text);
  };
  for (let i = 0; i < 10; i++) await write(`before ${i}`);
  // No waiting for replies: some of these are on their way when the server dies.
  const killed = (async () => server.kill())();
  for (let i = 0; i < 10; i++) await write(`during ${i}`);
  await killed;
  await connected(alice, 'reconnecting');
  await alice.id('banner').getByText('What you write is kept and sent on return').waitFor();
  for (let i = 0; i < 5; i++) await write(`offline ${i}`);
  await say(bob, 'from Bob, offline');
  await alice.page.locator('[data-testid="message"][data-state="waiting"]', { hasText: 'offline 4' }).waitFor();
  assert.equal(await alice.id('failed').count(), 0);

  await server.restart();
  for (const someone of [alice, bob]) await comeBack(someone);
  const complete = (list) => list.length === written.length + 1;
  const atAlice = await texts(alice, complete);
  const atBob = await texts(bob, complete);
  assert.deepEqual(atAlice.filter((t) => t !== 'from Bob, offline'), written);
  assert.deepEqual(atBob.filter((t) => t !== 'from Bob, offline'), written);
  await alice.page.waitForFunction(() => !document.querySelector('[data-testid="message"]:not([data-state="sent"])'));
  // The order of the log is the same for both once everything has arrived.
  assert.deepEqual(await texts(alice), await texts(bob));
  for (const someone of [alice, bob]) {
    assert.equal(await someone.page.evaluate(() => window.sameDocument), true);
    assert.deepEqual(someone.errors, []);
    await someone.context.close();
  }
});

test('unsent messages survive a reload and are sent when the server returns', async () => {
  const { alice, bob, room } = await pair('Outbox');
  await say(alice, 'first');
  await message(bob, 'first').waitFor();
  // The app's own files are at hand by now, so the page opens without the server.
  await alice.page.waitForFunction(() => navigator.serviceWorker.ready.then((r) => r.active?.state === 'activated'));
  await kept(alice, 'first');
  await server.kill();
  await connected(alice, 'reconnecting');
  for (const text of ['second', 'third', '四番目']) await say(alice, text);
  await alice.page.locator('[data-testid="message"][data-state="waiting"]').nth(2).waitFor();

  await alice.page.reload();
  await alice.page.locator('[data-testid="message"][data-state="waiting"]').nth(2).waitFor();
  assert.deepEqual(await texts(alice, (l) => l.length === 4), ['first', 'second', 'third', '四番目']);
  assert.equal(await alice.page.locator(`[data-testid="room-view"][data-room="${room}"]`).count(), 1);

  await server.restart();
  await comeBack(alice);
  await comeBack(bob);
  assert.deepEqual(await texts(bob, (l) => l.length === 4), ['first', 'second', 'third', '四番目']);
  await alice.page.waitForFunction(() => document.querySelectorAll('[data-testid="message"][data-state="sent"]').length === 4);
  assert.deepEqual(await texts(alice), ['first', 'second', 'third', '四番目']);
  for (const someone of [alice, bob]) await someone.context.close();
});

test('unsent messages come back even if the page before the reload is not quite gone', async () => {
  const { alice, bob } = await pair('Lingering');
  await say(alice, 'first');
  await message(bob, 'first').waitFor();
  await alice.page.waitForFunction(() => navigator.serviceWorker.ready.then((r) => r.active?.state === 'activated'));
  await kept(alice, 'first');
  const holder = await alice.context.newPage();
  await holder.goto(`${server.url}/favicon.svg`);
  await server.kill();
  await connected(alice, 'reconnecting');
  await say(alice, 'second');
  await alice.page.locator('[data-testid="message"][data-state="waiting"]').waitFor();
  await holder.evaluate(takeOverLock);

  await alice.page.reload();
  await message(alice, 'first').waitFor();
  assert.deepEqual(await texts(alice), ['first'], 'the other page may still send it');
  await holder.evaluate(() => window.release());
  await alice.page.locator('[data-testid="message"][data-state="waiting"]', { hasText: 'second' }).waitFor();

  await server.restart();
  await comeBack(alice);
  await comeBack(bob);
  await message(bob, 'second').waitFor();
  for (const someone of [alice, bob]) await someone.context.close();
});

/** Runs in a page: takes the lock of the app's page as soon as that one is gone, and keeps it until `release` is called. */
async function takeOverLock() {
  const { held } = await navigator.locks.query();
  const { name } = held.find((lock) => lock.name.startsWith('kaiwa-page-'));
  navigator.locks.request(name, () => new Promise((release) => (window.release = release)));
}

test('two tabs of one browser are two sessions, and what one leaves unsent the other sends', async () => {
  const { alice, bob, room } = await pair('Tabs');
  const second = await alice.context.newPage();
  const tab = { page: second, id: (name) => second.locator(`[data-testid="${name}"]`), errors: [] };
  await second.goto(`${server.url}/#/r/${room}`);
  await connected(tab);
  await say(alice, 'from the first tab');
  await message(tab, 'from the first tab').waitFor();
  await say(tab, 'from the second tab');
  await message(alice, 'from the second tab').waitFor();
  await server.kill();
  await connected(tab, 'reconnecting');
  await say(tab, 'left behind');
  await tab.page.locator('[data-testid="message"][data-state="waiting"]').waitFor();
  await tab.page.close();
  await server.restart();
  // Nobody does anything this time.
  await connected(alice);
  await connected(bob);
  await message(bob, 'left behind').waitFor();
  await message(alice, 'left behind').waitFor();
  assert.deepEqual(await texts(bob, (l) => l.length === 3), ['from the first tab', 'from the second tab', 'left behind']);
  for (const someone of [alice, bob]) await someone.context.close();
});
