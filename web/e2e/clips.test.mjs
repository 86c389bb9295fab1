/** Clips through the real server and the real FFmpeg: a server that dies, a page that is reloaded, and who may not see them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { clipMessage, holdParts, inState, makeFilm, makePicture, makeShort, shareFiles, tokenOfTime } from './clips.mjs';
import { comeBack, connected, createRoom, library, message, person, Server, signIn, startBrowser, until } from './harness.mjs';

const MIB = 1024 * 1024;
const FILM = 'Sixty seconds';
let server, browser, lib, folder, alice, bob, room;
/** Of the film: what Bob's player asked for. */
const seen = { playlist: '', segment: '' };

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaiwa-clips-'));
  server = await Server.start();
  browser = await startBrowser({ flags: ['--autoplay-policy=no-user-gesture-required', '--mute-audio'] });
  lib = await library();
  alice = await person(browser);
  bob = await person(browser);
  await signIn(bob, server.url, 'Bob');
  await signIn(alice, server.url, 'Alice');
  room = await createRoom(alice, { title: 'Cinema', people: 'bob' });
  await bob.page.locator(`[data-testid="invitation"][data-room="${room}"] [data-testid="accept"]`).click();
  await bob.id('composer').waitFor();
  await alice.id('attach').waitFor();
});

after(async () => {
  await lib?.close();
  await browser?.close();
  await server?.end();
  await rm(folder, { recursive: true, force: true });
});

/** The path as it stands: `fetch` would mend it. */
async function statusOf(url) {
  const { hostname, port, origin } = new URL(url);
  const path = url.slice(origin.length);
  const request = get({ hostname, port, path });
  const [response] = await once(request, 'response');
  response.resume();
  return response.statusCode;
}

async function killAndRestart() {
  await server.kill();
  for (const someone of [alice, bob]) await connected(someone, 'reconnecting');
  await server.restart();
  for (const someone of [alice, bob]) await comeBack(someone);
}

test('a film outlives two ends of the server, and is played in more than one quality', async () => {
  const film = await makeFilm(folder);
  let parts = 0;
  const held = await holdParts(alice, () => ++parts > 2);
  await shareFiles(alice, film, FILM);
  await held.until(3);
  await inState(bob, FILM, 'uploading').getByText('Alice is uploading this…').waitFor();
  const card = alice.id('upload');
  const sent = Number(await card.getAttribute('data-sent'));
  assert.ok(sent >= 2 * 8 * MIB, `two parts have arrived: ${sent}`);

  await server.kill();
  await held.release('abort');
  await alice.page.locator('[data-testid="upload"][data-state="waiting"]').waitFor();
  await server.restart();
  for (const someone of [alice, bob]) await comeBack(someone);
  await inState(bob, FILM, 'processing').waitFor();
  await inState(alice, FILM, 'processing').waitFor();
  assert.ok(parts <= 6 + 3, `what has arrived is not sent again: ${parts} parts were sent`);

  await inState(bob, FILM, 'processing').getByText(/Getting ready… [1-9]\d?\s%/).waitFor();
  await killAndRestart();
  await inState(bob, FILM, 'ready').waitFor({ timeout: 240_000 });
  await held.end();

  const wanted = bob.page.waitForRequest(/\/v\/.+\.m4s/);
  bob.page.on('request', (request) => {
    if (/\/v\/.+\/master\.m3u8$/.test(request.url())) seen.playlist = request.url();
  });
  await clipMessage(bob, FILM).locator('[data-testid="clip-poster"]').waitFor();
  await clipMessage(bob, FILM).locator('[data-testid="clip-play"]').click();
  seen.segment = (await wanted).url();
  const video = await clipMessage(bob, FILM).locator('video').elementHandle();
  await bob.page.waitForFunction((v) => v.currentTime > 0.5 && v.videoHeight > 0, video);
  for (const height of [360, 1080]) {
    await bob.id('player-settings').click();
    await bob.id(`quality-${height}`).click();
    await bob.page.waitForFunction(([v, h]) => v.videoHeight === h, [video, height]);
    const from = await video.evaluate((v) => v.currentTime);
    await bob.page.waitForFunction(([v, at]) => v.currentTime > at + 0.3, [video, from]);
  }
  await bob.id('player-seek').hover();
  await bob.page.locator('.player-scrub-picture').waitFor();
  await video.evaluate((v) => v.pause());
});

test('outsiders, run out rights, other paths and removed members get 403, for the playlist and for a segment', async () => {
  const { playlist, segment } = seen;
  const [, token, clip] = /\/v\/([^/]+)\/([^/]+)\//.exec(playlist);
  const ask = (url, headers = {}) => fetch(url, { headers }).then(async (r) => (await r.arrayBuffer(), r.status));
  const other = (make) => [playlist, segment].map(make);
  const inPlace = (next) => other((url) => url.replace(token, next));
  for (const url of [playlist, segment]) assert.equal(await ask(url), 200);

  const forged = `${token.slice(0, 60)}${token[60] === 'A' ? 'B' : 'A'}${token.slice(61)}`;
  for (const url of inPlace(forged)) assert.equal(await ask(url), 403, 'a token of one’s own');
  for (const url of inPlace(await tokenOfTime(server, token, Date.now() + 60_000))) assert.equal(await ask(url), 200, 'the test signs as the server does');
  for (const url of inPlace(await tokenOfTime(server, token, Date.now() - 1))) assert.equal(await ask(url), 403, 'a token that has run out');
  const nobodys = clip.replace(/.$/, (c) => (c === '0' ? '1' : '0'));
  for (const url of other((u) => u.replace(clip, nobodys))) assert.equal(await ask(url), 403, 'another clip');
  for (const wrong of ['hls//', 'hls/../hls/', 'hls%2F', 'HLS/']) {
    for (const url of other((u) => u.replace('hls/', wrong))) assert.equal(await statusOf(url), 403, `another path: ${wrong}`);
  }
  for (const url of [playlist.replace('master', 'other'), segment.replace('.m4s', '.mp5')]) assert.equal(await ask(url), 403, url);

  const carol = await lib.tokenOf(server.url, 'Carol');
  const grant = await fetch(`${server.url}/api/v1/clips/${clip}/playback`, { method: 'POST', headers: { Authorization: `Bearer ${carol}` } });
  assert.ok([403, 404].includes(grant.status), `an outsider gets no right to play: ${grant.status}`);
  // What she has is a sign-in, which is no right to play: neither in its place nor beside it.
  for (const url of [...inPlace(carol), ...inPlace('x')]) assert.equal(await ask(url, { Authorization: `Bearer ${carol}` }), 403, 'an outsider');

  await alice.id('open-members').click();
  await alice.page.locator('[data-testid="member"][data-user="bob"] [data-testid="remove"]').click();
  await alice.id('confirm-yes').click();
  await bob.id('not-here').waitFor();
  for (const url of [playlist, segment]) assert.equal(await ask(url), 403, 'a removed member');
  await alice.page.keyboard.press('Escape');
});

test('others of the room play on with another right, and the removed one comes back', async () => {
  await clipMessage(alice, FILM).locator('[data-testid="clip-play"]').click();
  const video = await clipMessage(alice, FILM).locator('video').elementHandle();
  await alice.page.waitForFunction((v) => v.currentTime > 0.2, video);
  await video.evaluate((v) => {
    v.loop = true;
  });
  // Somebody else leaves: all rights of the room end.
  const dave = await lib.connect(server.url, 'Dave');
  await alice.id('open-members').click();
  for (const name of ['bob', 'dave']) {
    await alice.id('invite-id').fill(name);
    await alice.id('invite').click();
    await alice.page.locator(`[data-testid="member"][data-user="${name}"]`).waitFor();
  }
  await alice.page.keyboard.press('Escape');
  await until(dave, () => dave.room(room) !== null);
  await dave.joinRoom(room);
  await dave.leaveRoom(room);
  await bob.page.locator(`[data-testid="invitation"][data-room="${room}"] [data-testid="accept"]`).click();
  await bob.id('composer').waitFor();
  // Nothing of this quality was read before: it is asked for with the old right, refused, and asked for with another.
  const renewed = alice.page.waitForRequest(/\/api\/v1\/clips\/[^/]+\/playback$/);
  await alice.id('player-settings').click();
  await alice.id('quality-480').click();
  await renewed;
  await alice.page.waitForFunction((v) => v.videoHeight === 480 && !v.paused, video);
  await video.evaluate((v) => v.pause());
});

test('a reload in the middle goes on with the same file, and not with another', async () => {
  const path = await makeShort(folder, 'short.mp4', { size: 26 * MIB });
  const stranger = await makeShort(folder, 'stranger.mp4', { size: 26 * MIB });
  let parts = 0;
  const held = await holdParts(alice, () => ++parts > 1);
  await shareFiles(alice, path, 'Reloaded');
  await held.until(3);
  await inState(bob, 'Reloaded', 'uploading').waitFor();
  await alice.page.reload();
  await held.release('abort');
  await held.end();
  await connected(alice);
  await alice.page.locator('[data-testid="upload"][data-state="needs_file"]').waitFor();
  await alice.id('upload-field').setInputFiles(stranger);
  await alice.id('toast').getByText('This is another file.').waitFor();
  let again = 0;
  await alice.context.route('**/objects/part*', (route) => {
    again++;
    return route.continue();
  });
  await alice.id('upload-field').setInputFiles(path);
  await inState(bob, 'Reloaded', 'ready').waitFor();
  assert.equal(again, 3, 'the part that had arrived is not sent again');
  await alice.context.unroute('**/objects/part*');
});

test('an upload whose file the browser keeps a hold of goes on after a reload by itself', async () => {
  // A file of the page's own, which is held as the ones of the system's dialog are.
  await alice.page.evaluate(async (size) => {
    const root = await navigator.storage.getDirectory();
    const handle = await root.getFileHandle('held.mp3', { create: true });
    const writable = await handle.createWritable();
    await writable.write(new Uint8Array(size));
    await writable.close();
    window.showOpenFilePicker = async () => [handle];
  }, 20 * MIB);
  let parts = 0;
  const held = await holdParts(alice, () => ++parts > 1);
  await alice.id('attach').click();
  await alice.id('picked-title').fill('Held');
  await alice.id('send').click();
  await held.until(2);
  await inState(bob, 'Held', 'uploading').waitFor();
  await alice.page.reload();
  await held.release('abort');
  await held.end();
  await connected(alice);
  // It is nothing that can be played: its uploader is told so, in words.
  await inState(alice, 'Held', 'failed').getByText(/is not a video, sound or picture that can be shared/).waitFor();
  await inState(bob, 'Held', 'failed').getByText('This could not be made ready to play.').waitFor();
});

test('an upload is paused, goes on, and is given up', async () => {
  const path = await makeShort(folder, 'paused.mp4', { size: 26 * MIB });
  let parts = 0;
  const held = await holdParts(alice, () => ++parts > 1);
  await shareFiles(alice, path, 'Paused');
  await held.until(3);
  await inState(bob, 'Paused', 'uploading').waitFor();
  await alice.id('upload-pause').click();
  const paused = alice.page.locator('[data-testid="upload"][data-state="paused"]');
  await paused.getByText('Paused at 30 %').waitFor();
  await alice.id('upload-resume').click();
  await held.until(6);
  await alice.id('upload-cancel').click();
  await alice.id('confirm-yes').click();
  await clipMessage(alice, 'Paused').waitFor({ state: 'detached' });
  await clipMessage(bob, 'Paused').waitFor({ state: 'detached' });
  await held.release('abort');
  await held.end();
  await alice.id('upload').waitFor({ state: 'detached' });
});

test('what can not be shared is refused before it is sent, in words', async () => {
  const notes = join(folder, 'notes.pdf');
  const empty = join(folder, 'empty.mp4');
  await writeFile(notes, '%PDF-1.4');
  await writeFile(empty, '');
  await alice.id('attach-field').setInputFiles([notes, empty]);
  await alice.id('clip-problem').getByText('“notes.pdf” is not a video, sound or picture.').waitFor();
  await alice.id('clip-problem').getByText('“empty.mp4” is empty.').waitFor();
  assert.equal(await alice.id('picked').count(), 0);
  await alice.id('clip-problem-close').click();
});

test('a clip is shown in another room, and its deletion leaves nothing in either', async () => {
  await shareFiles(alice, await makePicture(folder, 'garden.png'), 'Garden');
  await inState(bob, 'Garden', 'ready').waitFor();
  await clipMessage(bob, 'Garden').locator('[data-testid="clip-image"]').click();
  await bob.page.waitForFunction(() => document.querySelector('[data-testid="lightbox-image"]')?.naturalWidth > 0);
  await bob.page.keyboard.press('Escape');

  const other = await createRoom(alice, { title: 'Gallery', people: 'bob' });
  await bob.page.locator(`[data-testid="invitation"][data-room="${other}"] [data-testid="accept"]`).click();
  await bob.id('composer').waitFor();
  await alice.page.locator(`[data-testid="room"][data-room="${room}"]`).click();
  await clipMessage(alice, 'Garden').hover();
  await alice.id('share').click();
  await alice.page.locator(`[data-testid="share-to"][data-room="${other}"]`).click();
  await alice.id('share-dialog').waitFor({ state: 'detached' });
  await inState(bob, 'Garden', 'ready').waitFor();

  await alice.id('open-clips').click();
  await alice.page.locator('[data-testid="clip-tile"]', { hasText: 'Garden' }).waitFor();
  await alice.page.locator('[data-testid="clip-tile"]', { hasText: FILM }).waitFor();
  await alice.id('open-clips').click();
  await clipMessage(alice, 'Garden').hover();
  await alice.id('delete').click();
  await alice.id('confirm').getByText('from every room in which it is shown').waitFor();
  await alice.id('confirm-yes').click();
  await clipMessage(bob, 'Garden').waitFor({ state: 'detached' });
  await message(bob, 'This message was deleted.').waitFor();
  await clipMessage(alice, 'Garden').waitFor({ state: 'detached' });
  await message(alice, 'This message was deleted.').last().waitFor();
  for (const someone of [alice, bob]) assert.deepEqual(someone.errors, []);
});

test('too large a file is refused by the size that this server takes', async () => {
  const small = await Server.start({ KAIWA_CLIPS__MAX_BYTES: '1000000' });
  const off = await Server.start({ KAIWA_CLIPS__ENABLED: 'false' });
  try {
    const eve = await person(browser);
    await signIn(eve, small.url, 'Eve');
    await createRoom(eve, { title: 'Small' });
    await eve.id('attach-field').setInputFiles(await makeShort(folder, 'large.mp4', { size: 2 * MIB }));
    await eve.id('clip-problem').getByText('“large.mp4” has 2.1 MB; this server takes 1 MB at most.').waitFor();
    await eve.context.close();
    const frank = await person(browser);
    await signIn(frank, off.url, 'Frank');
    await createRoom(frank, { title: 'No clips' });
    await frank.id('composer').waitFor();
    for (const name of ['attach', 'open-clips']) assert.equal(await frank.id(name).count(), 0, 'no clips, no buttons');
    await frank.context.close();
  } finally {
    await small.end();
    await off.end();
  }
});
