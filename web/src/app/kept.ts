/** What the browser keeps, and where one is: what other parts of the app's state stand on. */
import { batch, signal } from '@preact/signals';

export function keep(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Private windows may refuse; it then lasts as long as the page.
  }
}

export function kept(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** A room has its conversation and a page of its clips. */
export type RoomPage = 'chat' | 'clips';

function routeOf(): { room: string; page: RoomPage } {
  const [, room = '', page] = /^#\/r\/([^/]+)(\/clips)?$/.exec(location.hash) ?? [];
  try {
    return { room: decodeURIComponent(room), page: page ? 'clips' : 'chat' };
  } catch {
    // A broken link leads to the list.
    return { room: '', page: 'chat' };
  }
}
/** The open room's id; empty for the list. */
export const openRoom = signal(routeOf().room);
export const openPage = signal(routeOf().page);

export function goTo(room: string, page: RoomPage = 'chat'): void {
  location.hash = room === '' ? '#/' : `#/r/${encodeURIComponent(room)}${page === 'clips' ? '/clips' : ''}`;
}

window.addEventListener('hashchange', () =>
  batch(() => {
    const { room, page } = routeOf();
    openRoom.value = room;
    openPage.value = page;
  }),
);
