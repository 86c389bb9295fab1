import { describe, expect, it } from 'vitest';
import type { CallParticipantView, CallPublicationView } from '../src/client/index.js';
import { GAP, gridOf, mainTile, tilesOf } from '../src/app/call-layout.js';
import { seeded } from './harness.js';

const publication = (source: 'camera' | 'screen'): CallPublicationView => ({
  publication: 't',
  source,
  muted: false,
  layers: 1,
  track: {} as MediaStreamTrack,
  layer: 1,
  limitedBy: '',
});

const person = (id: string, more: Partial<CallParticipantView> = {}): CallParticipantView => ({
  participant: id,
  user: { id, name: id },
  me: false,
  joinedMs: 0,
  interrupted: false,
  quality: null,
  speaking: false,
  microphone: null,
  camera: publication('camera'),
  screen: null,
  screenAudio: null,
  ...more,
});

describe('the grid', () => {
  it('holds everybody on its pages, within the space, in sensible shapes', () => {
    const random = seeded(7);
    for (let i = 0; i < 3_000; i++) {
      const count = 1 + Math.floor(random() * 60);
      const space = { width: 150 + random() * 2_000, height: 110 + random() * 1_200 };
      const grid = gridOf(count, space);
      const rows = Math.ceil(grid.perPage / grid.columns);
      expect(grid.perPage * grid.pages).toBeGreaterThanOrEqual(count);
      expect(grid.perPage * (grid.pages - 1)).toBeLessThan(count);
      expect(grid.columns * grid.width + (grid.columns - 1) * GAP).toBeLessThanOrEqual(space.width + 0.001);
      expect(rows * grid.height + (rows - 1) * GAP).toBeLessThanOrEqual(space.height + 0.001);
      expect(grid.width).toBeGreaterThan(0);
      expect(grid.width / grid.height).toBeGreaterThan(0.6);
      expect(grid.width / grid.height).toBeLessThan(1.9);
    }
  });

  it('puts two side by side where it is wide and above each other where it is high', () => {
    expect(gridOf(2, { width: 1_200, height: 500 }).columns).toBe(2);
    expect(gridOf(2, { width: 380, height: 640 }).columns).toBe(1);
    expect(gridOf(4, { width: 378, height: 676 }).columns).toBe(2);
  });
});

describe('tiles', () => {
  it('show screens first and oneself last', () => {
    const tiles = tilesOf([person('me', { me: true }), person('a'), person('b', { screen: publication('screen') })]);
    expect(tiles.map((t) => t.key)).toEqual(['b:screen', 'a:camera', 'b:camera', 'me:camera']);
  });

  it('have a large one: pinned before a screen before who speaks, and none in a grid', () => {
    const people = [person('me', { me: true }), person('a'), person('b')];
    const main = (pinned: string, active: string, speaker: boolean, screen = false) => {
      const all = screen ? [...people, person('c', { screen: publication('screen') })] : people;
      return mainTile(tilesOf(all), { pinned, active, speaker })?.key ?? null;
    };
    expect(main('', 'b', false)).toBeNull();
    expect(main('', 'b', true)).toBe('b:camera');
    expect(main('', 'me', true)).toBe('a:camera');
    expect(main('', 'b', true, true)).toBe('c:screen');
    expect(main('a:camera', 'b', false, true)).toBe('a:camera');
    expect(main('gone:camera', 'b', false)).toBeNull();
  });
});
