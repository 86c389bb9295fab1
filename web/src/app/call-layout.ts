/** Where the tiles of a call go. Pure: sizes in, sizes out. */
import type { CallParticipantView } from '../client/index.js';

export interface Tile {
  key: string;
  kind: 'camera' | 'screen';
  person: CallParticipantView;
}

export interface Size {
  width: number;
  height: number;
}

export interface Grid extends Size {
  columns: number;
  /** Tiles on one page. */
  perPage: number;
  pages: number;
}

export const GAP = 8;
/** A face is recognised from about here on. */
const SMALLEST_WIDTH = 148;
const SMALLEST_HEIGHT = 104;
/** Limits of a tile's shape: a camera's picture is cut to it. */
const WIDEST = 16 / 9;
const NARROWEST = 2 / 3;
const PER_PAGE_MAX = 25;

/** One tile a person and one more for each screen; oneself last, others as they came. */
export function tilesOf(people: readonly CallParticipantView[]): Tile[] {
  const sorted = [...people].sort((a, b) => Number(a.me) - Number(b.me));
  const screens = sorted.filter((p) => p.screen !== null && !(p.me && p.screen.track === null));
  return [
    ...screens.map((person): Tile => ({ key: `${person.participant}:screen`, kind: 'screen', person })),
    ...sorted.map((person): Tile => ({ key: `${person.participant}:camera`, kind: 'camera', person })),
  ];
}

/** The largest tiles that fit, or as many pages as keep them recognisable. */
export function gridOf(count: number, space: Size): Grid {
  const columnsMax = Math.max(1, Math.floor((space.width + GAP) / (SMALLEST_WIDTH + GAP)));
  const rowsMax = Math.max(1, Math.floor((space.height + GAP) / (SMALLEST_HEIGHT + GAP)));
  const perPage = Math.max(1, Math.min(count, columnsMax * rowsMax, PER_PAGE_MAX));
  const pages = Math.max(1, Math.ceil(count / perPage));
  let best: Grid = { columns: 1, width: 0, height: 0, perPage, pages };
  for (let columns = 1; columns <= perPage; columns++) {
    const rows = Math.ceil(perPage / columns);
    const cell = { width: (space.width - GAP * (columns - 1)) / columns, height: (space.height - GAP * (rows - 1)) / rows };
    const tile = within(cell);
    if (tile.width * tile.height > best.width * best.height) best = { columns, ...tile, perPage, pages };
  }
  return best;
}

function within({ width, height }: Size): Size {
  if (width <= 0 || height <= 0) return { width: 0, height: 0 };
  const shape = Math.min(Math.max(width / height, NARROWEST), WIDEST);
  const w = Math.floor(Math.min(width, height * shape));
  return { width: w, height: Math.floor(w / shape) };
}

/** Which tile is large: what was pinned, else the newest screen, else (in the speaker layout) who has the floor. */
export function mainTile(tiles: readonly Tile[], { pinned, active, speaker }: { pinned: string; active: string; speaker: boolean }): Tile | null {
  const byKey = tiles.find((t) => t.key === pinned);
  if (byKey) return byKey;
  const screens = tiles.filter((t) => t.kind === 'screen');
  const screen = screens.find((t) => !t.person.me) ?? screens[0];
  if (screen) return screen;
  if (!speaker || tiles.length < 2) return null;
  const others = tiles.filter((t) => !t.person.me);
  return others.find((t) => t.person.participant === active) ?? others[0] ?? null;
}
