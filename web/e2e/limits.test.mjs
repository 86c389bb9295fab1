/** Tokens that run out, and a server that says “too fast”. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connected, createRoom, library, message, person, say, Server, signIn, startBrowser, texts, until } from './harness.mjs';

const STAND_IN = process.env.KAIWA_BIN?.endsWith('.mjs') ? 'the stand-in server has no settings' : false;

test('a token is renewed while connected; one that ran out asks to sign in again and loses nothing', { skip: STAND_IN }, async () => {
  const server = await Server.start({ KAIWA_AUTH__TOKEN_TTL_S: '8' });
  const browser = await startBrowser();
  try {
    const alice = await person(browser);
    await signIn(alice, server.url, 'Alice');
    await createRoom(alice, { title: 'Long stay' });
    const expires = () => alice.page.evaluate(() => JSON.parse(localStorage.getItem('kaiwa.auth')).expiresMs);
    const first = await expires();
    await alice.page.waitForFunction((old) => JSON.parse(localStorage.getItem('kaiwa.auth')).expiresMs > old, first);
    // Past the first token's end, on the same connection.
    await alice.page.waitForFunction((end) => Date.now() > end, first);
    await connected(alice);
    await say(alice, 'still here');
    await alice.page.locator('[data-testid="message"][data-state="sent"]').waitFor();

    await server.kill();
    await connected(alice, 'reconnecting');
    await say(alice, 'written too late');
    await alice.page.locator('[data-testid="message"][data-state="waiting"]').waitFor();
    await alice.page.waitForFunction(() => Date.now() > JSON.parse(localStorage.getItem('kaiwa.auth')).expiresMs);
    await server.restart();
    await alice.id('try-now').click({ timeout: 1_000 }).catch(() => {});
    await alice.id('expired').getByText('kept on this device').waitFor({ timeout: 45_000 });
    assert.equal(await alice.id('name').inputValue(), 'Alice');
    await alice.id('sign-in-button').click();
    await connected(alice);
    await message(alice, 'written too late').and(alice.page.locator('[data-state="sent"]')).waitFor();
    assert.deepEqual(await texts(alice), ['still here', 'written too late']);
    assert.deepEqual(alice.errors, []);
  } finally {
    await browser.close();
    await server.end();
  }
});

test('messages that come too fast for the server arrive later, all of them, in order', { skip: STAND_IN }, async () => {
  const server = await Server.start({ KAIWA_LIMITS__COMMANDS_PER_S: '20', KAIWA_LIMITS__COMMAND_BURST: '20' });
  const lib = await library();
  try {
    const alice = await lib.connect(server.url, 'Alice');
    const { room } = await alice.createRoom({ kind: 'group', title: 'Haste' });
    const written = Array.from({ length: 60 }, (_, i) => `quick ${i}`);
    for (const text of written) await alice.send(room, text);
    await until(alice, () => alice.unsent === 0);
    await until(alice, () => alice.messages(room).messages.length === written.length);
    assert.deepEqual(alice.messages(room).messages.map((m) => m.text), written);
    assert.equal(alice.status.kind, 'live');
    await alice.stop();
  } finally {
    await lib.close();
    await server.end();
  }
});
