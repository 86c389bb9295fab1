/** Every state of a clip, for eyes (KAIWA_SHOTS names the folder) and by the rules of axe: one at a desk, one with a phone. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { clipMessage, holdParts, inState, makePicture, makeShort, makeSound, shareFiles } from './clips.mjs';
import { checkAccess, connected, createRoom, message, person, Server, signIn, startBrowser } from './harness.mjs';

const MIB = 1024 * 1024;
const out = process.env.KAIWA_SHOTS ?? fileURLToPath(new URL('./screenshots', import.meta.url));
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
let server, browser, folder, desk, phone, room;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaiwa-clip-looks-'));
  await mkdir(out, { recursive: true });
  server = await Server.start();
  browser = await startBrowser({ flags: ['--mute-audio'] });
  desk = await person(browser);
  phone = await person(browser, PHONE);
  await signIn(phone, server.url, 'Ben');
  await signIn(desk, server.url, 'Aiko');
  room = await createRoom(desk, { title: 'Garden / 庭', people: 'ben' });
  await phone.page.locator(`[data-testid="invitation"][data-room="${room}"] [data-testid="accept"]`).tap();
  await phone.id('attach').waitFor();
  // Enter begins a new line there.
  await phone.id('composer').fill('The lilies are out!');
  await phone.id('send').tap();
  await message(desk, 'The lilies').waitFor();
});

after(async () => {
  await browser?.close();
  await server?.end();
  await rm(folder, { recursive: true, force: true });
});

async function shot(someone, name) {
  // Pictures come when they are seen.
  await someone.page.waitForFunction(() => [...document.images].every((i) => i.complete));
  const finite = () => Promise.all(document.getAnimations().filter((a) => a.effect?.getTiming().iterations !== Infinity).map((a) => a.finished.catch(() => {})));
  await someone.page.evaluate(finite);
  await someone.page.screenshot({ path: join(out, `clips-${someone === phone ? 'phone' : 'desktop'}-${name}.png`) });
  await checkAccess(someone, name);
}

test('choosing, dropping, and what is refused', async () => {
  const film = await makeShort(folder, 'lilies-by-the-pond.mp4', { size: 26 * MIB });
  const notes = join(folder, 'notes.pdf');
  await writeFile(notes, '%PDF-1.4');
  await desk.id('attach-field').setInputFiles([film, await makePicture(folder, 'pond.png'), await makeSound(folder, 'frogs.mp3'), notes]);
  await desk.id('picked').nth(2).waitFor();
  await desk.id('picked-title').first().fill('Lilies by the pond, this morning');
  await shot(desk, '01-picked');
  for (let i = 0; i < 2; i++) await desk.id('unpick').nth(1).click();
  await desk.id('drop-zone').evaluate((zone) => {
    const data = new DataTransfer();
    data.items.add(new File(['x'], 'x.mp4', { type: 'video/mp4' }));
    zone.dispatchEvent(new DragEvent('dragenter', { dataTransfer: data, bubbles: true }));
  });
  await desk.id('drop-over').waitFor();
  await shot(desk, '02-drop');
  await desk.id('drop-zone').evaluate((zone) => zone.dispatchEvent(new DragEvent('dragleave', { dataTransfer: new DataTransfer(), bubbles: true })));
  await desk.id('drop-over').waitFor({ state: 'detached' });
});

test('on its way: sending, paused, without a connection, after a reload', async () => {
  let parts = 0;
  const held = await holdParts(desk, () => ++parts > 1);
  await desk.id('send').click();
  await held.until(3);
  await inState(phone, 'Lilies', 'uploading').waitFor();
  await shot(desk, '03-uploading');
  await shot(phone, '03-uploading-other');
  await desk.id('upload-pause').click();
  await desk.page.locator('[data-testid="upload"][data-state="paused"]').waitFor();
  await shot(desk, '04-paused');
  await desk.page.reload();
  await connected(desk);
  await desk.id('upload-resume').click();
  await desk.page.locator('[data-testid="upload"][data-state="needs_file"]').waitFor();
  await shot(desk, '05-after-reload');
  await held.release('abort');
  await held.end();
  await desk.id('upload-field').setInputFiles(join(folder, 'lilies-by-the-pond.mp4'));
  await inState(phone, 'Lilies', 'ready').waitFor();
});

test('from a phone: sound, pictures, an upright film, and one that fails', async () => {
  const upright = await makeShort(folder, 'upright.mp4', { dimensions: '720x1280', size: 12 * MIB });
  const wrong = join(folder, 'damaged.mp4');
  await writeFile(wrong, 'This is no film.');
  let parts = 0;
  const held = await holdParts(phone, () => ++parts > 1);
  await phone.id('attach-field').setInputFiles(upright);
  await phone.id('picked-title').fill('From the bridge');
  await shot(phone, '06-picked');
  await phone.id('send').tap();
  await held.until(1);
  await shot(phone, '07-uploading');
  await held.release();
  await held.end();
  await inState(desk, 'From the bridge', 'ready').waitFor();
  await shareFiles(phone, await makePicture(folder, 'pond.png'), 'A heron');
  await inState(desk, 'A heron', 'ready').waitFor();
  await shareFiles(phone, await makeSound(folder, 'frogs.mp3'), 'Frogs at night');
  await inState(desk, 'Frogs', 'ready').waitFor();
  await shareFiles(phone, wrong, 'Damaged');
  await inState(phone, 'Damaged', 'failed').getByText('is not a video').waitFor();
  await inState(desk, 'Damaged', 'failed').waitFor();
  for (const someone of [desk, phone]) {
    await shot(someone, '08-failed-and-sound');
    await clipMessage(someone, 'From the bridge').scrollIntoViewIfNeeded();
    await clipMessage(someone, 'From the bridge').locator('[data-testid="clip-poster"]').waitFor();
    await clipMessage(someone, 'A heron').locator('[data-testid="clip-poster"]').waitFor();
    await shot(someone, '09-posters');
  }
});

test('being made ready', async () => {
  const long = await makeShort(folder, 'tour.mp4', { dimensions: '1920x1080', seconds: 20 });
  await shareFiles(desk, long, 'A tour of the garden');
  await inState(phone, 'A tour', 'processing').getByText(/Getting ready… [1-9]\d?\s%/).waitFor();
  await shot(phone, '10-processing');
  await shot(desk, '10-processing');
  await inState(phone, 'A tour', 'ready').waitFor({ timeout: 120_000 });
});

test('subtitles, sharing, playing', async () => {
  const vtt = join(folder, 'tour.vtt');
  await writeFile(vtt, 'WEBVTT\n\n00:00.000 --> 00:20.000\nHere the roses begin.\n');
  await clipMessage(desk, 'A tour').hover();
  await desk.id('captions').click();
  await desk.id('captions-file').setInputFiles(vtt);
  await shot(desk, '11-captions');
  await desk.id('captions-add').click();
  await desk.id('captions-dialog').waitFor({ state: 'detached' });
  for (const someone of [desk, phone]) {
    const tour = clipMessage(someone, 'A tour');
    await tour.scrollIntoViewIfNeeded();
    await tour.locator('[data-testid="clip-poster"]').waitFor();
    await tour.locator('[data-testid="clip-play"]').click();
    await someone.page.waitForFunction(() => document.querySelector('[data-testid="player"]:not(.audio) video')?.currentTime > 0.3);
    await someone.page.evaluate(() => document.querySelector('[data-testid="player"]:not(.audio) video').pause());
    await tour.locator('[data-testid="player-captions"]').click();
    await tour.locator('[data-testid="player-seek"]').hover({ position: { x: 120, y: 8 } });
    await someone.page.locator('.player-scrub-picture').waitFor();
    await shot(someone, '12-playing');
    await tour.locator('[data-testid="player-settings"]').click();
    await tour.locator('[data-testid="player-menu"]').waitFor();
    await shot(someone, '13-menu');
    await someone.page.keyboard.press('Escape');
  }
  await clipMessage(phone, 'A heron').locator('[data-testid="clip-image"]').tap();
  await phone.page.waitForFunction(() => document.querySelector('[data-testid="lightbox-image"]')?.naturalWidth > 0);
  await shot(phone, '14-lightbox');
  await phone.id('lightbox-close').tap();
});

test('the player is worked by keys', async () => {
  const tour = clipMessage(desk, 'A tour');
  const video = await tour.locator('video').elementHandle();
  await tour.locator('[data-testid="player-toggle"]').focus();
  const is = (condition) => desk.page.waitForFunction(condition, video);
  await desk.page.keyboard.press('Space');
  await is((v) => !v.paused);
  await desk.page.keyboard.press('k');
  await is((v) => v.paused);
  await desk.page.keyboard.press('5');
  await is((v) => Math.abs(v.currentTime - 10) < 0.5);
  await desk.page.keyboard.press('ArrowRight');
  await is((v) => Math.abs(v.currentTime - 15) < 0.5);
  await desk.page.keyboard.press('m');
  await is((v) => v.muted);
  await desk.page.keyboard.press('>');
  await is((v) => v.playbackRate === 1.25);
  await desk.page.keyboard.press('c');
  await is((v) => [...v.textTracks].every((t) => t.mode === 'disabled'));
  await desk.page.keyboard.press('f');
  await desk.page.waitForFunction(() => document.fullscreenElement?.dataset.testid === 'player');
  await shot(desk, '15-full-screen');
  await desk.page.keyboard.press('f');
  await desk.page.waitForFunction(() => document.fullscreenElement === null);
});

test('the page of clips, in both languages and themes', async () => {
  for (const someone of [desk, phone]) {
    await someone.id('open-clips').click();
    await someone.page.locator('[data-testid="clip-tile"]', { hasText: 'A tour' }).locator('img').waitFor();
    await shot(someone, '16-page');
    await someone.page.locator('[data-testid="clip-tile"]', { hasText: 'A tour' }).locator('button').click();
    await someone.id('clip-viewer').locator('[data-testid="clip-poster"]').waitFor();
    await shot(someone, '17-viewer');
    await someone.id('clip-show-message').click();
    await clipMessage(someone, 'A tour').waitFor();
    await someone.page.evaluate(() => {
      localStorage.setItem('kaiwa.lang', 'ja');
      localStorage.setItem('kaiwa.theme', 'dark');
    });
    await someone.page.reload();
    await connected(someone);
    await clipMessage(someone, 'From the bridge').scrollIntoViewIfNeeded();
    await clipMessage(someone, 'From the bridge').locator('[data-testid="clip-poster"]').waitFor();
    await shot(someone, '18-dark-ja');
    await someone.id('open-clips').click();
    await someone.page.locator('[data-testid="clip-tile"]', { hasText: 'From the bridge' }).locator('img').waitFor();
    await shot(someone, '19-page-dark-ja');
    assert.deepEqual(someone.errors, []);
  }
});
