/** What a browser's statistics say of the pairs of addresses that it tried. */
import { SIGHTED_PAIRS_MAX, type CallClientPair, type CallSighting } from './inspect-types.js';

/** How far a peer came, in the browser's words. */
export interface PeerStates {
  ice: string;
  dtls: string;
}

interface Sighted {
  participant: string;
  clientMs: number;
  states: PeerStates;
  /** Null: the browser gave none. */
  stats: RTCStatsReport | null;
}

export function sightingOf({ participant, clientMs, states, stats }: Sighted): CallSighting {
  return { participant, clientMs, iceState: states.ice, dtlsState: states.dtls, pairs: stats ? pairsOf(stats) : [] };
}

/** The pairs that were tried most come first; there may be more than can be told. */
export function pairsOf(stats: RTCStatsReport): CallClientPair[] {
  const pairs: CallClientPair[] = [];
  stats.forEach((s: Stats) => {
    if (s.type !== 'candidate-pair') return;
    const local = sideOf(stats.get(s.localCandidateId));
    const remote = sideOf(stats.get(s.remoteCandidateId));
    pairs.push({
      protocol: (local.protocol || remote.protocol) === 'tcp' ? 'tcp' : 'udp',
      localType: local.type,
      local: local.address,
      remoteType: remote.type,
      remote: remote.address,
      state: s.state ?? '',
      // Firefox counts packets in place of checks.
      sent: s.requestsSent ?? s.packetsSent ?? 0,
      received: s.responsesReceived ?? s.packetsReceived ?? 0,
    });
  });
  return pairs.sort((a, b) => b.sent - a.sent).slice(0, SIGHTED_PAIRS_MAX);
}

/** Of `RTCIceCandidatePairStats` and `RTCIceCandidateStats`, what every browser may leave out. */
interface Stats {
  type: string;
  localCandidateId: string;
  remoteCandidateId: string;
  state?: string;
  requestsSent?: number;
  responsesReceived?: number;
  packetsSent?: number;
  packetsReceived?: number;
  protocol?: string;
  candidateType?: string;
  address?: string | null;
  ip?: string | null;
  port?: number;
}

function sideOf(candidate: Stats | undefined): { protocol: string; type: string; address: string } {
  const host = candidate?.address ?? candidate?.ip ?? '';
  const isBare6 = host.includes(':') && !host.startsWith('[');
  const address = host && candidate?.port !== undefined ? `${isBare6 ? `[${host}]` : host}:${candidate.port}` : host;
  return { protocol: candidate?.protocol ?? '', type: candidate?.candidateType ?? '', address };
}
