/** A camera's picture that is large enough for three layers and not too easy to encode. */
import { open } from 'node:fs/promises';

export const WIDTH = 1_280;
export const HEIGHT = 720;
/** A third of a camera's, for the two cores that all browsers and the server share. */
export const FPS = 10;
const FRAMES = 16;
/** How far the picture moves between frames; after all of them it is where it began. */
const STEP = 8;
const PERIOD = FRAMES * STEP;
/** Of the noise, in steps of brightness. */
const GRAIN = 10;

/** Writes it as YUV4MPEG2, which Chromium plays again and again. */
export async function writePicture(path, fps = FPS) {
  const file = await open(path, 'w');
  try {
    await file.write(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F${fps}:1 Ip A1:1 C420mpeg2\n`);
    const random = noise(1);
    const texture = Uint8Array.from({ length: PERIOD * PERIOD }, () => 64 + (random() % 128));
    const smooth = texture.map((_, i) => [0, 1, 2, 3].reduce((sum, d) => sum + texture[(i + d) % texture.length], 0) / 4);
    for (let frame = 0; frame < FRAMES; frame++) {
      await file.write('FRAME\n');
      await file.write(bright(smooth, frame * STEP, random));
      await file.write(new Uint8Array((WIDTH * HEIGHT) / 4).fill(100 + frame));
      await file.write(new Uint8Array((WIDTH * HEIGHT) / 4).fill(150 - frame));
    }
  } finally {
    await file.close();
  }
}

function bright(texture, shift, random) {
  const out = new Uint8Array(WIDTH * HEIGHT);
  for (let y = 0, at = 0; y < HEIGHT; y++) {
    const row = (((y >> 1) + shift) % PERIOD) * PERIOD;
    for (let x = 0; x < WIDTH; x++) out[at++] = texture[row + (((x >> 1) + shift) % PERIOD)] + (random() % GRAIN);
  }
  return out;
}

/** Xorshift, so that the picture is the same in each run. */
function noise(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
