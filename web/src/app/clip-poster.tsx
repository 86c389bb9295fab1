/** The right to play a clip, asked for as soon as its place comes into view. */
import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { PlaybackGrant } from '../client/index.js';
import { clips } from './clip-state.js';

/** Asked for a little before it is seen. */
const AHEAD = '300px';

export interface Granted {
  ref: RefObject<HTMLDivElement | null>;
  grant: PlaybackGrant | null;
  error: unknown;
  /** A picture could not be loaded: once with another grant, then not again. */
  handleBroken: () => void;
  /** Asks once more after an error. */
  again: () => void;
}

/** `ref` belongs onto the place where the clip is shown. */
export function useGrant(clip: string, wanted = true): Granted {
  const ref = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState(false);
  const [grant, setGrant] = useState<PlaybackGrant | null>(null);
  const [error, setError] = useState<unknown>(null);
  const renewed = useRef(false);

  useEffect(() => {
    const place = ref.current;
    if (!place || seen || !wanted) return;
    const observer = new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && setSeen(true), { rootMargin: AHEAD });
    observer.observe(place);
    return () => observer.disconnect();
  }, [seen, wanted]);

  const ask = (again: boolean) => {
    const grants = clips.value?.grants;
    const asked = again ? grants?.renew(clip) : grants?.get(clip);
    asked?.then(
      (given) => {
        setGrant(given);
        setError(null);
      },
      (refused: unknown) => setError(refused),
    );
  };

  useEffect(() => {
    renewed.current = false;
    setGrant(null);
    setError(null);
    if (seen && wanted) ask(false);
  }, [clip, seen, wanted]);

  const handleBroken = () => {
    if (renewed.current) return setError(new TypeError('no picture'));
    renewed.current = true;
    ask(true);
  };
  const again = () => {
    renewed.current = false;
    ask(true);
  };
  return { ref, grant, error, handleBroken, again };
}
