/** From samples to lines: scales, paths, and the figures that a chart says in words. */
import type { CallSample } from '../client/index.js';

/** What a chart shows of the past. */
export const SPAN_MS = 60_000;
/** Samples further apart are no line: between them nothing was measured. */
const GAP_MS = 2_500;

export type Pick = (sample: CallSample) => number | null;

export interface Frame {
  width: number;
  height: number;
  /** At the right edge. */
  nowMs: number;
  /** At the upper edge. */
  max: number;
}

/** Where a moment lies, from the left edge. */
export const xOf = (ms: number, { width, nowMs }: Frame): number => round(width * (1 - (nowMs - ms) / SPAN_MS));

/** An SVG path, broken where nothing was measured. */
export function pathOf(samples: readonly CallSample[], pick: Pick, frame: Frame): string {
  let path = '';
  let last = Number.NEGATIVE_INFINITY;
  for (const sample of samples) {
    const value = pick(sample);
    if (value === null || sample.ms < frame.nowMs - SPAN_MS) continue;
    const y = round(frame.height * (1 - Math.min(1, value / frame.max)));
    path += `${sample.ms - last > GAP_MS ? 'M' : 'L'}${xOf(sample.ms, frame)} ${y}`;
    last = sample.ms;
  }
  return path;
}

/** A round number that is not below any of them, nor below `least`. */
export function ceiling(samples: readonly CallSample[], picks: readonly Pick[], least: number): number {
  let most = least;
  for (const sample of samples) for (const pick of picks) most = Math.max(most, pick(sample) ?? 0);
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 6, 8, 10].map((n) => n * power).find((n) => n >= most * (1 - 1e-9)) ?? most;
}

export interface Range {
  now: number | null;
  least: number;
  most: number;
}

/** Null where nothing was measured. */
export function rangeOf(samples: readonly CallSample[], pick: Pick): Range | null {
  const values = samples.map(pick);
  const known = values.filter((v) => v !== null);
  if (known.length === 0) return null;
  return { now: values.at(-1) ?? null, least: Math.min(...known), most: Math.max(...known) };
}

/** Of the last `count` samples: the steadier figure to read. Null where nothing was measured. */
export function meanOf(samples: readonly CallSample[], pick: Pick, count: number): number | null {
  const known = samples.slice(-count).map(pick).filter((v) => v !== null);
  return known.length === 0 ? null : known.reduce((sum, v) => sum + v, 0) / known.length;
}

export const sumOf = (samples: readonly CallSample[], pick: Pick): number => samples.reduce((sum, s) => sum + (pick(s) ?? 0), 0);

/** The sample that was measured nearest to a moment. */
export function sampleAt(samples: readonly CallSample[], ms: number): CallSample | null {
  let best: CallSample | null = null;
  for (const sample of samples) if (best === null || Math.abs(sample.ms - ms) < Math.abs(best.ms - ms)) best = sample;
  return best;
}

const round = (n: number): number => Math.round(n * 10) / 10;
