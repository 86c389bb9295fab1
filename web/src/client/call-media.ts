/** One peer connection of a call: what is published over it, what its receiving m-lines carry. */
import { Negotiation, Recovery, type MediaKind, type OpenPeer, type Peer, type PeerSender, type Transport } from './call-negotiation.js';
import type { Clock } from './ports.js';
import type { CallAnswer, CallSlot, CallSlots, CallSource, CallTrack, KaiwaError } from './types.js';

/** What one publishes, whichever peer carries it. */
export interface Local {
  source: CallSource;
  track: MediaStreamTrack | null;
  muted: boolean;
  /** What the server was last told about `muted`; null: nothing, or it is not known whether it heard. */
  said: boolean | null;
}

export interface MediaOptions {
  openPeer: OpenPeer;
  clock: Clock;
  audioSlots: number;
  videoSlots: number;
  locals: () => Iterable<Local>;
  ask(sdp: string, tracks: CallTrack[]): Promise<CallAnswer>;
  /** The transport, what arrives or what is published changed. */
  handleChanged(): void;
  handleRefusedTrack(source: CallSource, error: KaiwaError): void;
  handleRefused(error: unknown): void;
  /** The transport can't be brought back. */
  handleGivenUp(): void;
}

/** Receiving m-lines of one kind, whatever the server wishes for: each costs memory even when it is idle. */
const RECEIVERS_MAX = 64;

export class Media {
  readonly peer: Peer;
  readonly #options: MediaOptions;
  readonly #negotiation: Negotiation;
  readonly #recovery: Recovery;
  readonly #senders = new Map<CallSource, PeerSender>();
  /** What others know one's publications by. */
  readonly #publications = new Map<CallSource, string>();
  /** By publication. */
  #slots = new Map<string, CallSlot>();
  /** True from the first time that media could get through. */
  wasConnected = false;

  constructor(options: MediaOptions) {
    this.#options = options;
    const { clock } = options;
    this.#recovery = new Recovery(clock, { restart: () => this.#negotiation.restart(), giveUp: options.handleGivenUp });
    this.peer = options.openPeer((transport) => this.#handleTransport(transport));
    this.#negotiation = new Negotiation({
      peer: this.peer,
      clock,
      ask: options.ask,
      tracks: () => this.#tracks(),
      handleAnswer: (answer) => this.#handleAnswer(answer),
      handleRefused: options.handleRefused,
    });
    this.peer.addReceivers('audio', options.audioSlots);
    this.peer.addReceivers('video', options.videoSlots);
    for (const local of options.locals()) this.#carry(local);
    this.#negotiation.want();
  }

  get transport(): Transport {
    return this.#recovery.transport;
  }

  publicationOf(source: CallSource): string {
    return this.#publications.get(source) ?? '';
  }

  sourceOf(publication: string): CallSource | null {
    for (const [source, id] of this.#publications) if (id === publication) return source;
    return null;
  }

  slot(publication: string): CallSlot | null {
    return this.#slots.get(publication) ?? null;
  }

  track(publication: string): MediaStreamTrack | null {
    const slot = this.#slots.get(publication);
    return slot ? this.peer.track(slot.mid) : null;
  }

  /** What is published under this source is another track now, or muted, or new. */
  handleLocal(local: Local): void {
    const sender = this.#senders.get(local.source);
    // A publication stays through mutes and other tracks; only a new one has to be offered.
    if (sender && this.#publications.has(local.source)) return sender.replace(sending(local));
    if (this.#carry(local)) this.#negotiation.want();
  }

  handleUnpublished(source: CallSource): void {
    const sender = this.#senders.get(source);
    if (!sender) return;
    this.#publications.delete(source);
    sender.replace(null);
    sender.setActive(false);
    this.#negotiation.want();
  }

  handleSlots({ slots, wantAudio, wantVideo }: CallSlots): void {
    this.#slots = new Map(slots.filter((s) => s.publication !== '').map((s) => [s.publication, s]));
    const offered: Record<MediaKind, number> = { audio: 0, video: 0 };
    for (const { mid } of slots) {
      const kind = this.peer.track(mid)?.kind as MediaKind | undefined;
      if (kind) offered[kind] += 1;
    }
    // Counted from what the server has seen, so that a wish that is said twice isn't granted twice.
    const audio = this.#grow('audio', offered.audio, wantAudio);
    const video = this.#grow('video', offered.video, wantVideo);
    if (audio || video) this.#negotiation.want();
  }

  /** The session has a connection again. */
  handleLive(): void {
    this.#negotiation.handleLive();
  }

  handleNetworkChanged(): void {
    this.#recovery.handleNetworkChanged();
  }

  /** Nothing more is asked or tried; the peer stays as it is. */
  stop(): void {
    this.#negotiation.close();
    this.#recovery.close();
  }

  close(): void {
    this.stop();
    this.peer.close();
  }

  #carry(local: Local): boolean {
    const { source, track } = local;
    const known = this.#senders.get(source);
    if (known) {
      known.setActive(true);
      known.replace(sending(local));
      return true;
    }
    if (!track) return false;
    const sender = this.peer.addSender(source, track);
    this.#senders.set(source, sender);
    if (sending(local) === null) sender.replace(null);
    return true;
  }

  #tracks(): CallTrack[] {
    const tracks: CallTrack[] = [];
    for (const local of this.#options.locals()) {
      const { source, muted } = local;
      const mid = this.#senders.get(source)?.mid;
      if (!mid) continue;
      local.said = muted;
      tracks.push({ mid, source, muted });
    }
    return tracks;
  }

  #handleAnswer(answer: CallAnswer): void {
    for (const { mid, publication, error } of answer.tracks) {
      const source = [...this.#senders].find(([, sender]) => sender.mid === mid)?.[0];
      if (!source) continue;
      if (error) {
        this.#senders.get(source)?.setActive(false);
        this.#publications.delete(source);
        this.#options.handleRefusedTrack(source, error);
      } else {
        this.#publications.set(source, publication);
      }
    }
    this.#options.handleChanged();
  }

  #handleTransport(transport: Transport): void {
    if (transport === 'connected') this.wasConnected = true;
    this.#recovery.handleTransport(transport);
    this.#options.handleChanged();
  }

  #grow(kind: MediaKind, offered: number, more: number): boolean {
    const missing = Math.min(offered + more, RECEIVERS_MAX) - this.peer.receivers(kind);
    if (more === 0 || missing <= 0) return false;
    this.peer.addReceivers(kind, missing);
    return true;
  }
}

/** A muted camera sends nothing at all; a muted microphone keeps its path warm with silence. */
function sending({ source, track, muted }: Local): MediaStreamTrack | null {
  return muted && source === 'camera' ? null : track;
}
