/** Why a call does not connect, in the person's words as soon as they are there. */
import { useEffect, useState } from 'preact/hooks';
import type { CallCause } from '../client/index.js';
import { lang } from './i18n.js';

type Words = typeof import('./call-cause-words.js');

/** What happened and what to do; null while nobody can say, or the words can't be loaded. */
export function useWhy(cause: CallCause | null): { text: string; remedy: string } | null {
  lang.value;
  const [words, setWords] = useState<Words | null>(null);
  const isWanted = cause !== null && words === null;
  useEffect(() => {
    // Without them today's text stays.
    if (isWanted) import('./call-cause-words.js').then((module) => setWords(() => module), () => {});
  }, [isWanted]);
  if (!cause || !words) return null;
  const { text, remedy } = words.causeWords(cause);
  return text === '' ? null : { text, remedy };
}
