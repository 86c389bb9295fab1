/**
 * Addresses with a right to play in them: in the path, `/v/TOKEN/CLIP/…` (docs/clips/api.md), or in the query, where
 * CloudFront is in front. What a playlist names is relative to it and has the path's right by itself, but no query.
 */

/** The same file under the right of `grant`, another address of the same clip. Others stay as they are. */
export function inGrant(url: string, grant: string, clip: string): string {
  const place = new RegExp(`^(.*/v/)[^/]+(/${clip}/)`);
  const now = place.exec(grant);
  const then = place.exec(url);
  if (now && then) return now[0] + url.slice(then[0].length);
  return beside(url, grant, clip);
}

function beside(url: string, grant: string, clip: string): string {
  if (!URL.canParse(url) || !URL.canParse(grant)) return url;
  const there = new URL(url);
  const { origin, search } = new URL(grant);
  // To nobody else: whoever has the query can play.
  if (search === '' || there.origin !== origin || !there.pathname.includes(`/${clip}/`)) return url;
  there.search = search;
  return there.href;
}

/** A file that another one names, with that one's query. */
export function named(file: string, base: string): string {
  const whole = new URL(file, base);
  const { origin, search } = new URL(base);
  if (whole.origin === origin && whole.search === '') whole.search = search;
  return whole.href;
}

/** Whether another host has it: a page may then read it only if that one says so. */
export const isElsewhere = (url: string): boolean => new URL(url, location.href).origin !== location.origin;
