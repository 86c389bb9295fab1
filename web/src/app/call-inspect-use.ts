/** Polling for as long as a component is there, the page in sight and nobody has paused it. */
import { useEffect, useReducer, useRef } from 'preact/hooks';
import type { CallReport } from '../client/index.js';
import { systemClock } from '../client/ports.js';
import { Poll, merged, secondsFor, whole } from './call-inspect-poll.js';
import { inspector } from './state.js';

export interface Polled<T> {
  value: T | null;
  problem: unknown;
  /** Asks again at once. */
  again: () => void;
}

type Ask<T> = (before: T | null, sinceMs: number) => Promise<T>;

export function usePoll<T>(ask: Ask<T>, paused: boolean): Polled<T> {
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const latest = useRef(ask);
  latest.current = ask;
  const ref = useRef<Poll<T> | null>(null);
  ref.current ??= new Poll<T>({
    clock: systemClock,
    ask: (before, sinceMs) => latest.current(before, sinceMs),
    handleChanged: () => redraw(undefined),
  });
  const poll = ref.current;
  useEffect(() => {
    const follow = () => (!paused && document.visibilityState === 'visible' ? poll.start() : poll.stop());
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      poll.stop();
    };
  }, [poll, paused]);
  return {
    value: poll.value,
    problem: poll.problem,
    again: () => {
      poll.stop();
      poll.start();
    },
  };
}

export const useRoomReport = (room: string, paused: boolean): Polled<CallReport> =>
  usePoll<CallReport>(async (before, sinceMs) => {
    const from = await inspector();
    const seconds = secondsFor(before, sinceMs);
    return merged(before, await whole((after) => from.room(room, seconds, after)));
  }, paused);

export const useCallsReport = (paused: boolean) => usePoll(async () => (await inspector()).calls(), paused);
