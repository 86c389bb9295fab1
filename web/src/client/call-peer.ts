/** `Peer` on the browser's RTCPeerConnection. */
import type { MediaKind, OpenPeer, Peer, PeerSender, Transport } from './call-negotiation.js';
import type { PeerStates } from './inspect-sight.js';
import type { CallSource } from './types.js';

/** The browser's, or none: then calls say so when they are asked for. */
export const openBrowserPeer: OpenPeer = (handleTransport) => new BrowserPeer(handleTransport);

export const callsPossible = (): boolean => typeof RTCPeerConnection === 'function';

class BrowserPeer implements Peer {
  readonly #pc: RTCPeerConnection;
  readonly #receivers: RTCRtpTransceiver[] = [];
  /** Changes of tracks that an offer has to wait for. */
  readonly #replacing = new Set<Promise<unknown>>();

  constructor(handleTransport: (transport: Transport) => void) {
    // No STUN or TURN: the server's address is public, and it learns the client's from the checks.
    this.#pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require' });
    const changed = () => handleTransport(transportOf(this.#pc));
    this.#pc.onconnectionstatechange = changed;
    this.#pc.oniceconnectionstatechange = changed;
  }

  addReceivers(kind: MediaKind, count: number): void {
    for (let i = 0; i < count; i++) this.#receivers.push(this.#pc.addTransceiver(kind, { direction: 'recvonly' }));
  }

  receivers(kind: MediaKind): number {
    return this.#receivers.filter((t) => t.receiver.track.kind === kind).length;
  }

  addSender(source: CallSource, track: MediaStreamTrack): PeerSender {
    const transceiver = this.#pc.addTransceiver(track, { direction: 'sendonly', sendEncodings: encodingsOf(source, track) });
    preferCodecs(transceiver, source);
    if (source === 'screen') keepSharp(transceiver.sender);
    const replace = (next: MediaStreamTrack | null) => {
      const done = transceiver.sender.replaceTrack(next).catch(() => {});
      this.#replacing.add(done);
      void done.then(() => this.#replacing.delete(done));
    };
    return {
      get mid() {
        return transceiver.mid;
      },
      replace,
      setActive: (active) => (transceiver.direction = active ? 'sendonly' : 'inactive'),
    };
  }

  async offer({ iceRestart }: { iceRestart: boolean }): Promise<string> {
    await Promise.all(this.#replacing);
    await this.#pc.setLocalDescription(await this.#pc.createOffer({ iceRestart }));
    // At once, without candidates: the server is ICE-lite and waits for checks.
    return this.#pc.localDescription?.sdp ?? '';
  }

  async answer(sdp: string): Promise<void> {
    await this.#pc.setRemoteDescription({ type: 'answer', sdp });
  }

  track(mid: string): MediaStreamTrack | null {
    return this.#receivers.find((t) => t.mid === mid)?.receiver.track ?? null;
  }

  stats(): Promise<RTCStatsReport | null> {
    return this.#pc.getStats().catch(() => null);
  }

  states(): PeerStates {
    // All is bundled over one transport.
    const [first] = this.#pc.getTransceivers();
    return { ice: this.#pc.iceConnectionState, dtls: first?.sender.transport?.state ?? '' };
  }

  close(): void {
    this.#pc.onconnectionstatechange = null;
    this.#pc.oniceconnectionstatechange = null;
    this.#pc.close();
  }
}

function transportOf(pc: RTCPeerConnection): Transport {
  if (pc.connectionState === 'failed' || pc.iceConnectionState === 'failed') return 'failed';
  if (pc.iceConnectionState === 'disconnected' || pc.connectionState === 'disconnected') return 'interrupted';
  return pc.connectionState === 'connected' ? 'connected' : 'connecting';
}

const KBIT = 1_000;
const MICROPHONE = 48 * KBIT;
/** Of a screen's sound, which may be music. */
const SCREEN_AUDIO = 128 * KBIT;

/**
 * The smallest first, by the size of the camera's picture. Chromium sends three encodings from 960×540 on, two from
 * 480×270 on and else one, and leaves the largest out: so it is asked for no more than it sends.
 */
const CAMERA: { from: number; encodings: RTCRtpEncodingParameters[] }[] = [
  {
    from: 960,
    encodings: [
      { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150 * KBIT },
      { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500 * KBIT },
      { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700 * KBIT },
    ],
  },
  {
    from: 480,
    encodings: [
      { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 180 * KBIT },
      { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 800 * KBIT },
    ],
  },
  { from: 0, encodings: [{ maxBitrate: 300 * KBIT }] },
];

const SCREEN: RTCRtpEncodingParameters[] = [
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 350 * KBIT, maxFramerate: 8 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 2_500 * KBIT, maxFramerate: 15 },
];

function encodingsOf(source: CallSource, track: MediaStreamTrack): RTCRtpEncodingParameters[] {
  switch (source) {
    case 'microphone':
      return [{ maxBitrate: MICROPHONE, priority: 'high', networkPriority: 'high' }];
    case 'screen_audio':
      return [{ maxBitrate: SCREEN_AUDIO }];
    case 'screen':
      return SCREEN;
    case 'camera': {
      const { width = 1280, height = 720 } = track.getSettings();
      // A phone held upright gives an upright picture.
      return CAMERA.find(({ from }) => Math.max(width, height) >= from)!.encodings;
    }
  }
}

/** Opus with redundancy where the browser has it (a lost packet is then in the next one), VP8 for pictures. */
function preferCodecs(transceiver: RTCRtpTransceiver, source: CallSource): void {
  const first = source === 'microphone' ? 'audio/red' : source === 'screen_audio' ? 'audio/opus' : 'video/vp8';
  const kind = first.startsWith('audio') ? 'audio' : 'video';
  const codecs = RTCRtpSender.getCapabilities?.(kind)?.codecs ?? [];
  const rank = ({ mimeType }: RTCRtpCodec) => (mimeType.toLowerCase() === first ? 0 : 1);
  if (!codecs.some((c) => rank(c) === 0)) return;
  try {
    transceiver.setCodecPreferences([...codecs].sort((a, b) => rank(a) - rank(b)));
  } catch {
    // The browser's own order, then.
  }
}

/** Text must stay readable: rather fewer pictures than smaller ones. */
function keepSharp(sender: RTCRtpSender): void {
  if (sender.track) sender.track.contentHint = 'detail';
  const parameters = sender.getParameters() as RTCRtpSendParameters & { degradationPreference?: string };
  parameters.degradationPreference = 'maintain-resolution';
  sender.setParameters(parameters).catch(() => {});
}
