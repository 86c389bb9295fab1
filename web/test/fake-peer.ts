/** A `Peer` without WebRTC: descriptions with mids and directions, transports that change when they are told to. */
import type { MediaKind, OpenPeer, Peer, PeerSender, Transport } from '../src/client/call-negotiation.js';
import type { PeerStates } from '../src/client/inspect-sight.js';
import type { CallSource } from '../src/client/types.js';

export const fakeTrack = (kind: MediaKind): MediaStreamTrack => ({ kind, enabled: true }) as MediaStreamTrack;

interface Line {
  mid: string | null;
  kind: MediaKind;
  direction: 'recvonly' | 'sendonly' | 'inactive';
  track: MediaStreamTrack | null;
}

export class FakePeer implements Peer {
  readonly lines: Line[] = [];
  readonly sources = new Map<CallSource, Line>();
  closed = false;
  offers = 0;
  /** What `stats` gives. */
  seen: RTCStatsReport | null = null;
  restarts = 0;
  #pending = false;
  readonly #handleTransport: (transport: Transport) => void;

  constructor(handleTransport: (transport: Transport) => void) {
    this.#handleTransport = handleTransport;
  }

  addReceivers(kind: MediaKind, count: number): void {
    for (let i = 0; i < count; i++) this.lines.push({ mid: null, kind, direction: 'recvonly', track: fakeTrack(kind) });
  }

  receivers(kind: MediaKind): number {
    return this.lines.filter((l) => l.kind === kind && l.direction === 'recvonly').length;
  }

  addSender(source: CallSource, track: MediaStreamTrack): PeerSender {
    const line: Line = { mid: null, kind: track.kind as MediaKind, direction: 'sendonly', track };
    this.lines.push(line);
    this.sources.set(source, line);
    return {
      get mid() {
        return line.mid;
      },
      replace: (next) => (line.track = next),
      setActive: (active) => (line.direction = active ? 'sendonly' : 'inactive'),
    };
  }

  async offer({ iceRestart }: { iceRestart: boolean }): Promise<string> {
    this.offers += 1;
    if (iceRestart) this.restarts += 1;
    this.#pending = true;
    this.lines.forEach((line, i) => (line.mid ??= String(i)));
    return ['v=0', ...this.lines.flatMap((l) => [`m=${l.kind} 9 UDP/TLS/RTP/SAVPF 96`, `a=mid:${l.mid}`, `a=${l.direction}`]), ''].join('\n');
  }

  async answer(_sdp: string): Promise<void> {
    if (!this.#pending) throw new Error('an answer without an offer');
    this.#pending = false;
  }

  track(mid: string): MediaStreamTrack | null {
    return this.lines.find((l) => l.mid === mid && l.direction === 'recvonly')?.track ?? null;
  }

  async stats(): Promise<RTCStatsReport | null> {
    return this.seen;
  }

  states(): PeerStates {
    return { ice: 'checking', dtls: 'new' };
  }

  close(): void {
    this.closed = true;
  }

  becomes(transport: Transport): void {
    if (!this.closed) this.#handleTransport(transport);
  }
}

export class FakePeers {
  readonly all: FakePeer[] = [];

  readonly open: OpenPeer = (handleTransport) => {
    const peer = new FakePeer(handleTransport);
    this.all.push(peer);
    return peer;
  };

  get last(): FakePeer {
    return this.all.at(-1)!;
  }
}
