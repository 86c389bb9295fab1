/** Figures for docs/benchmarks.md: each bench owns what is between its markers. */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';

const LOAD = loadavg()[0].toFixed(1);

/** What it ran on, as a block names it, and how busy that was with other things before. */
export const machine = () => `${cpus().length} × ${cpus()[0].model} (load average before: ${LOAD})`;
export const today = () => new Date().toISOString().slice(0, 10);

/** The value that this share of them does not exceed; of 0.5 the (upper) median. */
export function quantile(values, share) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** Between a page's markers of this name, or to the terminal without a page. */
export async function publish(name, block, path) {
  if (!path) return console.log(block);
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
  const old = await readFile(path, 'utf8');
  const [from, to] = [old.indexOf(begin), old.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${path} has no ${begin} … ${end}`);
  await writeFile(path, `${old.slice(0, from + begin.length)}\n${block}${old.slice(to)}`);
}
