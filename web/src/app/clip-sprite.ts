/** Pictures for scrubbing: WebVTT whose cues name a part of one picture (`sprite.jpg#xywh=x,y,w,h`, Media Fragments URI). */

import { named } from './clip-url.js';

export interface SpriteCue {
  fromS: number;
  toS: number;
  /** Whole. */
  image: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Cues that can't be read are left out. `base`: of the file, to which its addresses are relative. */
export function parseSprite(vtt: string, base: string): SpriteCue[] {
  const cues: SpriteCue[] = [];
  for (const block of vtt.replace(/\r\n?/g, '\n').split(/\n\n+/)) {
    const lines = block.split('\n');
    const at = lines.findIndex((line) => line.includes('-->'));
    const target = /^(.+)#xywh=(\d+),(\d+),(\d+),(\d+)$/.exec(lines[at + 1]?.trim() ?? '');
    if (at < 0 || !target) continue;
    const [from, to] = lines[at]!.split('-->').map((stamp) => secondsOf(stamp.trim().split(/\s/)[0] ?? ''));
    if (from === undefined || to === undefined || Number.isNaN(from + to)) continue;
    const [x, y, width, height] = target.slice(2).map(Number) as [number, number, number, number];
    cues.push({ fromS: from, toS: to, image: named(target[1]!, base), x, y, width, height });
  }
  return cues.sort((a, b) => a.fromS - b.fromS);
}

function secondsOf(stamp: string): number {
  const parts = stamp.split(':').map(Number);
  return parts.length < 2 || parts.length > 3 ? NaN : parts.reduce((sum, part) => sum * 60 + part, 0);
}

/** The picture of a moment; the last one from its end on. */
export function cueAt(cues: readonly SpriteCue[], seconds: number): SpriteCue | null {
  return cues.findLast((cue) => cue.fromS <= seconds) ?? cues[0] ?? null;
}
