/** The numbers outside the page: on the app's icon, in the window's title. */
import type { NotifySettings, RoomView } from '../client/index.js';
import { isMutedNow } from './notify-times.js';

/** Unread messages in rooms that aren't muted, as the server counts them for pushes. */
export function unmutedUnread(rooms: readonly RoomView[], wishes: NotifySettings | null, nowMs: number): number {
  if (wishes?.isMuted) return 0;
  const quiet = new Set(wishes?.rooms.filter((r) => r.level === 'none' || isMutedNow(r.mutedUntilMs, nowMs)).map((r) => r.room));
  return rooms.reduce((sum, { info, unread }) => (info.membership === 'joined' && !quiet.has(info.room) ? sum + unread.count : sum), 0);
}

let shown = -1;

/** Browsers without a badge, and apps that aren't installed, have none; nothing depends on it. */
export function showBadge(count: number): void {
  if (count === shown) return;
  shown = count;
  const done = count > 0 ? navigator.setAppBadge?.(count) : navigator.clearAppBadge?.();
  done?.catch(() => {});
}
