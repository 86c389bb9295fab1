/** Two people in two browsers, from an empty folder; then a thousand messages. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createRoom, library, message, person, say, Server, signIn, startBrowser, texts, until, WAIT_MS } from './harness.mjs';

let server, browser, lib, alice, bob;

before(async () => {
  server = await Server.start();
  browser = await startBrowser();
  lib = await library();
  alice = await person(browser);
  bob = await person(browser);
});

after(async () => {
  await lib?.close();
  await browser?.close();
  await server?.end();
});

test('Alice and Bob talk, reply, edit and delete', async () => {
  // Bob has to have been here once to be invited.
  await signIn(bob, server.url, 'Bob');
  await signIn(alice, server.url, 'Alice');
  await alice.id('no-rooms').waitFor();
  await createRoom(alice, { title: 'Tea', people: 'bob' });
  await bob.id('accept').click();
  await bob.id('room-view').waitFor();

  await say(alice, 'Hello Bob');
  await message(bob, 'Hello Bob').waitFor();
  await say(bob, 'Hello Alice, やあ');
  await message(alice, 'Hello Alice, やあ').waitFor();

  await message(bob, 'Hello Bob').hover();
  await message(bob, 'Hello Bob').locator('[data-testid="reply"]').click();
  await bob.id('intent').waitFor();
  await say(bob, 'I answer you');
  const reply = message(alice, 'I answer you');
  await reply.waitFor();
  assert.match(await reply.locator('[data-testid="quote"]').innerText(), /Hello Bob/);

  await say(alice, 'A mistaek');
  await message(bob, 'A mistaek').waitFor();
  await message(alice, 'A mistaek').hover();
  await message(alice, 'A mistaek').locator('[data-testid="edit"]').click();
  await alice.id('intent').waitFor();
  assert.equal(await alice.id('composer').inputValue(), 'A mistaek');
  await say(alice, 'A mistake');
  await message(bob, 'A mistake').locator('[data-testid="edited"]').waitFor();

  await say(bob, 'Forget this');
  await message(alice, 'Forget this').waitFor();
  await message(bob, 'Forget this').hover();
  await message(bob, 'Forget this').locator('[data-testid="delete"]').click();
  await bob.id('confirm-yes').click();
  await message(alice, 'This message was deleted.').waitFor();

  const expected = ['Hello Bob', 'Hello Alice, やあ', 'I answer you', 'A mistake', 'This message was deleted.'];
  for (const someone of [alice, bob]) {
    assert.deepEqual(await texts(someone, (list) => list.length === expected.length && list[4] === expected[4]), expected);
    assert.equal(await someone.id('failed').count(), 0);
  }
});

test('a thousand messages: back to the first, edits and deletes right on every page', async () => {
  const seeder = await lib.connect(server.url, 'Alice');
  const room = await seeder.createRoom({ kind: 'group', title: 'Long', visibility: 'public' });
  const id = room.room;
  await until(seeder, () => seeder.messages(id).ready || seeder.room(id) !== null);
  const started = Date.now();
  const TOTAL = 1_000;
  for (let i = 0; i < TOTAL; i++) await seeder.send(id, `message ${i}`);
  await until(seeder, () => seeder.unsent === 0);
  await until(seeder, () => seeder.messages(id).messages.at(-1)?.text === `message ${TOTAL - 1}`);
  console.log(`# ${TOTAL} messages in ${Date.now() - started} ms`);
  await seeder.loadUntil(id, 1);
  const seqOf = (i) => seeder.messages(id).messages.find((m) => m.text === `message ${i}`).seq;
  // Where things stand, by the number of the message.
  const seqs = Object.fromEntries([3, 4, 500, 501, TOTAL - 3, TOTAL - 2].map((i) => [i, seqOf(i)]));

  await bob.id('browse').click();
  await bob.page.locator(`[data-testid="public-room"][data-room="${id}"] [data-testid="join"]`).click();
  await message(bob, `message ${TOTAL - 1}`).waitFor();

  // The newest page was loaded before these changes, the others come after them.
  await seeder.edit(id, seqs[TOTAL - 3], 'edited, seen live');
  await seeder.delete(id, seqs[TOTAL - 2]);
  await seeder.edit(id, seqs[3], 'edited before its page');
  await seeder.delete(id, seqs[4]);
  await until(seeder, () => seeder.unsent === 0);
  await message(bob, 'edited, seen live').waitFor();
  await message(bob, 'This message was deleted.').waitFor();

  const scroller = bob.id('messages');
  const back = Date.now();
  const end = back + 4 * WAIT_MS;
  while ((await scroller.getAttribute('data-more')) === 'true') {
    assert.ok(Date.now() < end, 'paging back takes too long');
    await scroller.evaluate(async (el) => {
      el.scrollTop = 0;
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    });
  }
  console.log(`# back to the first in ${Date.now() - back} ms`);
  await bob.id('beginning').waitFor({ state: 'attached' });
  // In the middle: a page that is loaded by now.
  await seeder.edit(id, seqs[500], 'edited after its page');
  await seeder.delete(id, seqs[501]);
  await until(seeder, () => seeder.unsent === 0);

  const gone = 'This message was deleted.';
  const expected = Array.from({ length: TOTAL }, (_, i) => `message ${i}`);
  Object.assign(expected, {
    3: 'edited before its page',
    4: gone,
    500: 'edited after its page',
    501: gone,
    [TOTAL - 3]: 'edited, seen live',
    [TOTAL - 2]: gone,
  });
  const list = await texts(bob, (l) => l.length === TOTAL && l[501] === gone);
  assert.deepEqual(list, expected);

  // What is in view stays there when more comes, and there is a way back to the end.
  await scroller.evaluate((el) => (el.scrollTop = 2_000));
  const top = () => message(bob, 'message 60').first().evaluate((el) => el.getBoundingClientRect().top);
  const before = await top();
  await seeder.send(id, 'one more');
  await bob.id('jump-newest').getByText('1 new').waitFor();
  assert.equal(await top(), before);
  await bob.id('jump-newest').click();
  await message(bob, 'one more').waitFor();
  await bob.page.waitForFunction(() => {
    const el = document.querySelector('[data-testid="messages"]');
    return el.scrollHeight - el.scrollTop - el.clientHeight < 60;
  });

  // Typing stays quick with all of them on the page.
  const slowest = await bob.page.evaluate(async () => {
    const box = document.querySelector('[data-testid="composer"]');
    let worst = 0;
    for (let i = 0; i < 20; i++) {
      const begun = performance.now();
      box.value += 'x';
      box.dispatchEvent(new InputEvent('input', { bubbles: true }));
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      worst = Math.max(worst, performance.now() - begun);
    }
    return worst;
  });
  console.log(`# the slowest of 20 keystrokes took ${Math.round(slowest)} ms to the frame after it`);
  await seeder.stop();
  assert.deepEqual([...alice.errors, ...bob.errors], []);
});

test('moving older messages in does not move what one reads', async () => {
  const carol = await person(browser);
  await signIn(carol, server.url, 'Carol');
  await carol.id('browse').click();
  await carol.id('join').first().click();
  await message(carol, 'one more').waitFor();
  const scroller = carol.id('messages');
  // Reads the place of a message in view right before and after a page is put above it.
  const moved = await scroller.evaluate(async (el) => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    el.scrollTop = 600;
    const { top } = el.getBoundingClientRect();
    const key = [...el.querySelectorAll('.message')].find((m) => m.getBoundingClientRect().top > top + 100).id;
    const place = () => document.getElementById(key).getBoundingClientRect().top;
    const count = () => el.querySelectorAll('.message').length;
    const before = place();
    const many = count();
    while (count() === many) await frame();
    await frame();
    return place() - before;
  });
  assert.ok(Math.abs(moved) <= 1, `it moved by ${moved} px`);
  await carol.context.close();
});

test('a quote leads to the message that it answers, however old', async () => {
  const seeder = await lib.connect(server.url, 'Alice');
  const { room } = seeder.rooms().find((r) => r.info.title === 'Long').info;
  await until(seeder, () => seeder.messages(room).writes.length === 0);
  seeder.openRoom(room);
  await until(seeder, () => seeder.messages(room).ready);
  await seeder.loadUntil(room, 1);
  const first = seeder.messages(room).messages[0];
  await seeder.send(room, 'as I said at the beginning', { replyTo: first.seq });
  await until(seeder, () => seeder.unsent === 0);
  const dave = await person(browser);
  await signIn(dave, server.url, 'Dave');
  await dave.id('browse').click();
  await dave.page.locator(`[data-testid="public-room"][data-room="${room}"] [data-testid="join"]`).click();
  const quote = message(dave, 'as I said').locator('[data-testid="quote"]');
  await quote.getByText('message 0').waitFor();
  assert.equal(await message(dave, /^message 0$/).count(), 0);
  await quote.click();
  await dave.page.waitForFunction((seq) => {
    const { activeElement } = document;
    const box = activeElement?.getBoundingClientRect();
    return activeElement?.getAttribute('data-seq') === seq && box.top > 0 && box.bottom < innerHeight;
  }, String(first.seq));
  await dave.context.close();
  await seeder.stop();
});
