/** Addresses with a right to play in their path: `/v/TOKEN/CLIP/…` (docs/clips/api.md). */

/** The same file under the right of `grant`, another address of the same clip. Others stay as they are. */
export function inGrant(url: string, grant: string, clip: string): string {
  const place = new RegExp(`^(.*/v/)[^/]+(/${clip}/)`);
  const now = place.exec(grant);
  const then = place.exec(url);
  return now && then ? now[0] + url.slice(then[0].length) : url;
}
