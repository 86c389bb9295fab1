/**
 * Push in real Firefox, end to end but for the notifier: the app subscribes with a key of the test's at a push service
 * on this machine, the test encrypts and pushes as RFC 8291 and 8030 have it, Firefox decrypts and shows.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Caller, until } from '../calls.mjs';
import { library, Server } from '../harness.mjs';
import { encrypt, push, Vapid } from '../push/crypto.mjs';
import { clickNotification, shownIn, startFirefox, turnOnPush } from '../push/firefox.mjs';
import { PushService } from '../push/service.mjs';

const vapid = new Vapid();
let service, server, browser, lib, bob, room, other;

const order = async (what = {}) => (await fetch(`${server.url}/fake/notify`, { method: 'POST', body: JSON.stringify(what) })).json();
const deviceOf = async (user) => (await order()).devices.find((d) => d.user === user);
const shows = (condition, what) =>
  until(
    async () => condition(await shownIn(bob.page)),
    async () => `${what}; shown: ${JSON.stringify(await shownIn(bob.page))}`,
  );

let version = 0;
/** As the notifier does, for the device that is registered at present. */
async function pushTo(device, payload, options = {}) {
  version += 1;
  const text = typeof payload === 'string' ? payload : JSON.stringify({ user: 'bob', v: 1, badge: 1, version, ...payload });
  const handled = new Promise((resolve) => service.once('acked', resolve));
  const answer = await push(device, text, { vapid, ...options });
  assert.equal(answer.status, 201, await answer.text());
  return { answer, code: (await handled).code };
}

before(async () => {
  service = await new PushService().start();
  server = await Server.start();
  lib = await library();
  await order({ vapidKey: vapid.publicKey.toString('base64url') });
  browser = await startFirefox(service);
  const page = await browser.newPage();
  bob = new Caller(page, 'Bob', [], () => page.close());
  await bob.signIn(server.url);
  const alice = await lib.connect(server.url, 'Alice');
  room = (await alice.createRoom({ kind: 'direct', members: ['bob'] })).room;
  other = (await alice.createRoom({ kind: 'group', title: 'Tea', members: ['bob'] })).room;
  await turnOnPush(bob);
});

after(async () => {
  await browser?.close();
  await lib?.close();
  await server?.end();
  await service?.end();
});

test('encryption is that of RFC 8291, section 5', () => {
  const raw = (text) => Buffer.from(text, 'base64url');
  const keys = { p256dh: 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4', auth: 'BTBZMqHH6r4Tts7J_aSIgg' };
  const fixed = { privateKey: raw('yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw'), salt: raw('DGv6ra1nlYgDCS1FRnbzlw') };
  const expected =
    'DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN';
  assert.equal(encrypt('When I grow up, I want to be a watermelon', keys, fixed).toString('base64url'), expected);
});

test('a push is decrypted and shown, replaced by the next of its room, and a click opens the room', async () => {
  const device = await deviceOf('bob');
  assert.match(device.name, /Firefox/);
  const first = await pushTo(device, { class: 'message', title: 'Alice', body: 'Hello Bob', room, seq: 3, tag: `room:${room}` });
  assert.equal(first.code, 100, 'Firefox decrypted it and gave it to the service worker');
  assert.match(first.answer.headers.get('location'), /\/m\//);
  await shows((all) => all.length === 1 && all[0].body === 'Hello Bob', 'the message is not shown');
  await pushTo(device, { class: 'message', title: 'Alice', body: 'Are you there?', room, seq: 4, tag: `room:${room}` });
  await shows((all) => all.length === 1 && all[0].body === 'Are you there?', 'the later message does not replace the earlier one');
  await until(() => clickNotification(browser, 'Alice'), 'there is no notification to click');
  await bob.sees(`[data-testid="room-view"][data-room="${room}"]`);
  await shows((all) => all.length === 0, 'what was clicked is still shown');
});

test('a silent push takes away what was read elsewhere, and a ring that is over', async () => {
  await bob.page.evaluate(() => (location.hash = '#/'));
  await bob.sees('.room-view.nothing');
  const device = await deviceOf('bob');
  await pushTo(device, { class: 'message', title: 'Alice', body: 'Old', room, seq: 5, tag: `room:${room}` });
  await pushTo(device, { class: 'message', title: 'Tea', body: 'Alice: Kettle', room: other, seq: 2, tag: `room:${other}` });
  await pushTo(device, { class: 'call', title: 'Alice', body: 'calls', room, call: 'c1', tag: 'call:c1' }, { ttlS: 30, urgency: 'high' });
  await shows((all) => all.length === 3, 'not all three are shown');
  await pushTo(device, { class: 'read', room, seq: 5 }, { urgency: 'low' });
  await shows((all) => all.length === 2 && !all.some((n) => n.body === 'Old'), 'what was read is still shown');
  await pushTo(device, { class: 'call_over', room, call: 'c1', tag: 'call:c1' });
  await shows((all) => all.length === 1 && all[0].title === 'Tea', 'it still rings');
  await pushTo(device, { class: 'read', room: other, seq: 2 });
  await shows((all) => all.length === 0, 'something is left');
});

test('what can not be read shows something neutral, and what is for somebody else nothing', async () => {
  const device = await deviceOf('bob');
  await pushTo(device, { class: 'message', title: 'Mallory', body: 'secret', room, seq: 9, user: 'carol', tag: 'x' });
  await pushTo(device, { class: 'message', room, seq: 9, tag: `room:${room}` });
  await pushTo(device, 'no JSON');
  await shows((all) => all.length === 2, 'the neutral ones are not shown');
  const all = await shownIn(bob.page);
  assert.deepEqual(all.map((n) => n.title), ['Kaiwa', 'Kaiwa']);
  assert.ok(!JSON.stringify(all).includes('secret'));
});

test('without a window of the app a click opens one at the room', async () => {
  const device = await deviceOf('bob');
  const { page } = bob;
  await page.goto(`${server.url}/api/v1/info`);
  await pushTo(device, { class: 'message', title: 'Opens', body: 'a window', room: other, seq: 12, tag: `room:${other}` });
  await until(() => clickNotification(browser, 'Opens'), 'there is no notification to click');
  const opened = await until(async () => (await browser.pages()).find((p) => p.url().endsWith(`/#/r/${other}`)), 'no window was opened at the room');
  await new Caller(opened, 'Bob', [], () => {}).sees(`[data-testid="room-view"][data-room="${other}"], [data-testid="not-here"]`);
  await opened.close();
  await page.goto(`${server.url}/`);
  await bob.connection('connected');
});

test('the push service refuses what the real one refuses', async () => {
  const device = await deviceOf('bob');
  const status = async (options, to = device) => (await push(to, '{}', { vapid, ...options })).status;
  const stranger = new Vapid();
  const { endpoint } = device;
  assert.equal(await status({ headers: { Authorization: '' } }), 401);
  assert.equal(await status({ vapid: stranger }), 403, 'another key');
  assert.equal(await status({ headers: { Authorization: vapid.authorization(endpoint, { audience: 'https://elsewhere.example' }) } }), 403, 'another aud');
  assert.equal(await status({ headers: { Authorization: vapid.authorization(endpoint, { expiresS: 1 }) } }), 403, 'expired');
  assert.equal(await status({ headers: { TTL: '' } }), 400);
  assert.equal(await status({ urgency: 'soon' }), 400);
  assert.equal(await status({ topic: 'x'.repeat(33) }), 400);
  assert.equal((await push(device, 'x'.repeat(5_000), { vapid })).status, 413);
  assert.equal(await status({}, { ...device, endpoint: `${endpoint}x` }), 404);
});

test('signing out ends it: the device is gone, and nothing is left on the screen', async () => {
  const device = await deviceOf('bob');
  const gone = new Promise((resolve) => service.once('gone', resolve));
  await bob.click('open-settings');
  await bob.click('sign-out');
  await bob.sees('[data-testid="sign-in"]');
  await gone;
  assert.equal((await push(device, '{}', { vapid })).status, 410);
  await until(async () => (await order()).devices.length === 0, 'the server still knows the device');
  assert.deepEqual(await shownIn(bob.page), []);
});
