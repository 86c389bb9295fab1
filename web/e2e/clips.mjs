/** Films, sounds and pictures made by FFmpeg, and what the tests of clips have in common. */
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { appendFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ffmpeg = (...args) => run('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-y', ...args]);

const picture = (size, rate, seconds) => ['-f', 'lavfi', '-i', `testsrc2=s=${size}:r=${rate}:d=${seconds}`];
const tone = (seconds) => ['-f', 'lavfi', '-i', `sine=frequency=330:duration=${seconds}`];
// A constant rate is filled up where the picture is simple: the file is as large as that of a camera.
const constant = (rate) => ['-b:v', rate, '-minrate', rate, '-maxrate', rate, '-bufsize', rate, '-x264-params', 'nal-hrd=cbr'];
const coded = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-shortest', '-movflags', '+faststart'];

/** Sixty seconds of 1080p, some 38 MB: five parts. Fifteen frames a second, so that two busy cores transcode it within the suite's time. */
export async function makeFilm(folder) {
  const path = join(folder, 'sixty-seconds.mp4');
  await ffmpeg(...picture('1920x1080', 15, 60), ...tone(60), ...coded, ...constant('5M'), path);
  return path;
}

/** A small film, filled up to `size` with a box that players skip (ISO/IEC 14496-12, 8.1.2). */
export async function makeShort(folder, name, { size = 0, dimensions = '640x360', seconds = 2, sound = true } = {}) {
  const path = join(folder, name);
  await ffmpeg(...picture(dimensions, 12, seconds), ...(sound ? tone(seconds) : []), ...coded, path);
  const missing = size - (await stat(path)).size;
  if (missing > 8) {
    const box = Buffer.alloc(missing);
    box.writeUInt32BE(missing, 0);
    box.write('free', 4, 'latin1');
    await appendFile(path, box);
  }
  return path;
}

export async function makePicture(folder, name, dimensions = '1200x800') {
  const path = join(folder, name);
  await ffmpeg(...picture(dimensions, 1, 1), '-frames:v', '1', '-update', '1', path);
  return path;
}

export async function makeSound(folder, name, seconds = 4) {
  const path = join(folder, name);
  await ffmpeg(...tone(seconds), '-c:a', 'libmp3lame', path);
  return path;
}

/** Holds parts of uploads that `holds` names, until it is opened. What is held goes nowhere. */
export async function holdParts({ context }, holds) {
  const held = [];
  let open = false;
  let arrived = () => {};
  const handler = async (route) => {
    if (open || !holds()) return route.continue().catch(() => {});
    held.push(route);
    arrived();
  };
  await context.route('**/objects/part*', handler);
  return {
    /** Until so many are held. */
    until: (count) =>
      new Promise((resolve) => {
        arrived = () => held.length >= count && resolve();
        arrived();
      }),
    /** Lets them go: on their way, or into nothing. */
    release: async (how = 'continue') => {
      open = true;
      for (const route of held.splice(0)) await (how === 'continue' ? route.continue() : route.abort()).catch(() => {});
    },
    end: () => context.unroute('**/objects/part*', handler),
  };
}

/** Shares files by the app's own field. `title` is of the first. */
export async function shareFiles(someone, paths, title = '') {
  await someone.id('attach-field').setInputFiles(paths);
  await someone.id('picked').first().waitFor();
  if (title) await someone.id('picked-title').first().fill(title);
  await someone.id('send').click();
}

/** The message of a clip by its title. */
export const clipMessage = ({ page }, title) =>
  page.locator('[data-testid="message"]', { has: page.locator('[data-testid="clip"]') }).filter({ hasText: title });

export const inState = (someone, title, state) => clipMessage(someone, title).locator(`[data-testid="clip"][data-state="${state}"]`);

/** Another token of the same clip and person, signed by the server's own key: of another time. */
export async function tokenOfTime(server, token, expiresMs) {
  const secret = await readFile(join(server.data, 'clip-playback-key'));
  const key = createHmac('sha256', secret).update('kaiwa playback token').digest();
  const payload = Buffer.from(token, 'base64url').subarray(0, 50);
  payload.writeBigInt64BE(BigInt(expiresMs), 34);
  return Buffer.concat([payload, createHmac('sha256', key).update(payload).digest()]).toString('base64url');
}
