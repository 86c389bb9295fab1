/** What the browser keeps, and where one is: what other parts of the app's state stand on. */
import { signal } from '@preact/signals';

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

function routeOf(): string {
  try {
    return decodeURIComponent(/^#\/r\/(.+)$/.exec(location.hash)?.[1] ?? '');
  } catch {
    // A broken link leads to the list.
    return '';
  }
}
/** The open room's id; empty for the list. */
export const openRoom = signal(routeOf());

export function goTo(room: string): void {
  location.hash = room === '' ? '#/' : `#/r/${encodeURIComponent(room)}`;
}

window.addEventListener('hashchange', () => (openRoom.value = routeOf()));
