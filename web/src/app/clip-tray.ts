/** Files that were chosen and aren't shared yet, by room: going elsewhere for a moment loses nothing. */
import { signal } from '@preact/signals';
import type { ClipKind, FileHandle } from '../client/index.js';

export interface Picked {
  id: number;
  file: File;
  handle: FileHandle | null;
  type: string;
  kind: ClipKind;
  title: string;
}

export interface Tray {
  picked: Picked[];
  /** Why others weren't taken. */
  problems: string[];
}

export const EMPTY: Tray = { picked: [], problems: [] };
const trays = signal<ReadonlyMap<string, Tray>>(new Map());

export const trayOf = (room: string): Tray => trays.value.get(room) ?? EMPTY;

export function setTray(room: string, tray: Tray): void {
  const next = new Map(trays.value);
  if (tray.picked.length + tray.problems.length > 0) next.set(room, tray);
  else next.delete(room);
  trays.value = next;
}

/** They are one person's: whoever signs in next chooses their own. */
export function forgetTrays(): void {
  trays.value = new Map();
}
