/** Whom a text names: people in the room by “@id” or “@name”, everybody by “@all”. */
import type { Member, Mentions } from '../client/index.js';

/** The server takes no more in one message. */
const MENTIONS_MAX = 50;

/** `mayAll`: the server lets this person name everybody here. */
export function mentionsIn(text: string, members: readonly Member[], me: string, mayAll: boolean): Mentions {
  const lower = text.toLowerCase();
  const named = members.filter(({ user, membership }) => {
    return membership === 'joined' && user.id !== me && [user.id, user.name].some((name) => name !== '' && isNamed(lower, name.toLowerCase()));
  });
  const mentions = named.map(({ user }) => user.id).sort().slice(0, MENTIONS_MAX);
  return { mentions, mentionAll: mayAll && isNamed(lower, 'all') };
}

/** “@bob” names bob in “hi @bob!”, and neither in “x@bob.example” nor in “@bobby”. */
function isNamed(text: string, name: string): boolean {
  for (let at = text.indexOf(`@${name}`); at >= 0; at = text.indexOf(`@${name}`, at + 1)) {
    const before = text.slice(0, at);
    const after = text.slice(at + 1 + name.length);
    if (!/[\p{L}\p{N}_.+-]$/u.test(before) && !/^([\p{Script=Latin}\p{N}_]|[.-][\p{L}\p{N}])/u.test(after)) return true;
  }
  return false;
}
