/** Asking the server why a peer did not connect, by what its browser tried. */
import type { CallHost } from './call-host.js';
import type { Media } from './call-media.js';
import { sightingOf, type PeerStates } from './inspect-sight.js';
import type { CallCause } from './inspect-types.js';
import type { Clock } from './ports.js';

/** Browsers give statistics within milliseconds; one that doesn't shall not keep a peer open. */
const STATS_MS = 1_000;

export interface WhyOptions {
  host: CallHost;
  room: string;
  participant: string;
  media: Media;
  /** The peer's statistics are read, or won't come. */
  handleRead?(): void;
}

/** Null: the server can't say, or can't be asked. */
export async function askWhy({ host, room, participant, media, handleRead }: WhyOptions): Promise<CallCause | null> {
  const seen = await sight(media, host.clock).catch(() => null);
  handleRead?.();
  return seen && host.report(room, sightingOf({ participant, clientMs: host.clock.now(), ...seen }));
}

async function sight({ peer }: Media, clock: Clock): Promise<{ states: PeerStates; stats: RTCStatsReport | null }> {
  const states = peer.states();
  let cancel = () => {};
  const late = new Promise<null>((resolve) => (cancel = clock.after(STATS_MS, () => resolve(null))));
  const stats = await Promise.race([peer.stats(), late]);
  cancel();
  return { states, stats };
}
