/**
 * Offers and answers of one peer, and what is done when its transport fails. WebRTC itself stands behind `Peer`, so that
 * all of this runs in tests; the clock is given.
 *
 * The client always offers and the server always answers, so there is no glare. One offer is on its way at a time; what
 * is wanted meanwhile goes into the next one.
 */
import type { PeerStates } from './inspect-sight.js';
import type { Clock } from './ports.js';
import { KaiwaError, type CallAnswer, type CallSource, type CallTrack } from './types.js';

export type MediaKind = 'audio' | 'video';

/** `connecting` also after a restart, while `interrupted` may heal by itself and `failed` doesn't. */
export type Transport = 'connecting' | 'connected' | 'interrupted' | 'failed';

/** A sending m-line, one for each source that was ever published. */
export interface PeerSender {
  /** Null until the first offer with it. */
  readonly mid: string | null;
  /** Sends another track from now on, or nothing, without an offer. */
  replace(track: MediaStreamTrack | null): void;
  /** Takes effect with the next offer. */
  setActive(active: boolean): void;
}

/** What is used of an RTCPeerConnection. */
export interface Peer {
  addReceivers(kind: MediaKind, count: number): void;
  /** Receiving m-lines of this kind, those not offered yet included. */
  receivers(kind: MediaKind): number;
  addSender(source: CallSource, track: MediaStreamTrack): PeerSender;
  /** Makes an offer, sets it as the local description and gives it. An unanswered one before it is void. */
  offer(options: { iceRestart: boolean }): Promise<string>;
  answer(sdp: string): Promise<void>;
  /** What arrives on a receiving m-line. */
  track(mid: string): MediaStreamTrack | null;
  stats(): Promise<RTCStatsReport | null>;
  /** How far it came, in the browser's words. */
  states(): PeerStates;
  close(): void;
}

export type OpenPeer = (handleTransport: (transport: Transport) => void) => Peer;

export interface NegotiationOptions {
  peer: Peer;
  clock: Clock;
  /** Puts an offer to the server. */
  ask(sdp: string, tracks: CallTrack[]): Promise<CallAnswer>;
  /** What is published with the next offer. */
  tracks(): CallTrack[];
  handleAnswer(answer: CallAnswer): void;
  /** The server or the browser refused for good. */
  handleRefused(error: unknown): void;
}

/** Waits between tries after a temporary refusal: doubling from here, this many times. */
const RETRY_MS = 300;
const TRIES_MAX = 6;

export class Negotiation {
  readonly #options: NegotiationOptions;
  /** Something is wanted that no offer has said yet. */
  #wanted = false;
  #iceRestart = false;
  #running = false;
  /** There is no connection to say it over. */
  #waiting = false;
  #tries = 0;
  #closed = false;
  #cancelRetry: (() => void) | null = null;

  constructor(options: NegotiationOptions) {
    this.#options = options;
  }

  /** An offer is on its way, or has to wait. */
  get busy(): boolean {
    return this.#running || this.#wanted;
  }

  /** What the peer has is to be offered. */
  want(): void {
    this.#wanted = true;
    void this.#run();
  }

  restart(): void {
    this.#iceRestart = true;
    this.want();
  }

  /** The session has a connection again. */
  handleLive(): void {
    this.#waiting = false;
    void this.#run();
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry?.();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#wanted && !this.#waiting && !this.#closed) await this.#round();
    } finally {
      this.#running = false;
    }
  }

  async #round(): Promise<void> {
    const { peer, ask, tracks, handleAnswer } = this.#options;
    const iceRestart = this.#iceRestart;
    this.#wanted = this.#iceRestart = false;
    try {
      const sdp = await peer.offer({ iceRestart });
      if (this.#closed) return;
      const answer = await ask(sdp, tracks());
      if (this.#closed) return;
      await peer.answer(answer.sdp);
      if (this.#closed) return;
      this.#tries = 0;
      handleAnswer(answer);
    } catch (error) {
      if (!this.#closed) this.#handleFailed(error, iceRestart);
    }
  }

  #handleFailed(error: unknown, iceRestart: boolean): void {
    const temporary = error instanceof KaiwaError && error.temporary;
    if (!temporary || this.#tries >= TRIES_MAX) {
      this.#wanted = this.#iceRestart = false;
      return this.#options.handleRefused(error);
    }
    // The server may have taken the offer and only the answer be lost: another one is right in both cases.
    this.#wanted = true;
    this.#iceRestart ||= iceRestart;
    this.#waiting = true;
    if (error.reason === 'offline') return;
    const wait = Math.max(error.retryMs, RETRY_MS * 2 ** this.#tries++);
    this.#cancelRetry = this.#options.clock.after(wait, () => this.handleLive());
  }
}

/** How long a transport may be interrupted before its addresses are tried anew. Shorter hiccups heal by themselves. */
const RESTART_AFTER_MS = 2_500;
/** How long a restart may take before the next one. */
const RESTART_TIMEOUT_MS = 6_000;
/** After this many restarts a new peer is tried. Together they stay within the 30 s that the server keeps a place. */
const RESTARTS_MAX = 3;
/** For the first connection, the handshake included. */
const CONNECT_TIMEOUT_MS = 15_000;

/**
 * What to do about a transport:
 *
 *   new ─► connecting ─► connected ─► interrupted ─2.5 s─► restarting ─6 s, thrice─► given up
 *              └─15 s or failed─► given up    └─failed, or another network─►┘
 */
export class Recovery {
  readonly #clock: Clock;
  readonly #restart: () => void;
  readonly #giveUp: () => void;
  transport: Transport = 'connecting';
  #wasConnected = false;
  #restarts = 0;
  #cancel: (() => void) | null = null;
  #closed = false;

  constructor(clock: Clock, { restart, giveUp }: { restart: () => void; giveUp: () => void }) {
    this.#clock = clock;
    this.#restart = restart;
    this.#giveUp = giveUp;
    this.#arm(CONNECT_TIMEOUT_MS, () => this.#end());
  }

  handleTransport(transport: Transport): void {
    if (this.#closed || transport === this.transport) return;
    this.transport = transport;
    switch (transport) {
      case 'connected':
        this.#wasConnected = true;
        this.#restarts = 0;
        return this.#disarm();
      case 'interrupted':
        return this.#arm(RESTART_AFTER_MS, () => this.#next());
      case 'failed':
        return this.#wasConnected ? this.#next() : this.#end();
      case 'connecting':
        // By a restart, whose timer runs already.
        return;
    }
  }

  /** This machine has another address: the old path won't come back. */
  handleNetworkChanged(): void {
    if (!this.#closed && this.#wasConnected) this.#next();
  }

  close(): void {
    this.#closed = true;
    this.#disarm();
  }

  #next(): void {
    if (this.#restarts >= RESTARTS_MAX) return this.#end();
    this.#restarts += 1;
    this.#arm(RESTART_TIMEOUT_MS, () => {
      if (this.transport === 'connected') this.#restarts = 0;
      else this.#next();
    });
    this.#restart();
  }

  #end(): void {
    this.close();
    this.#giveUp();
  }

  #arm(ms: number, run: () => void): void {
    this.#cancel?.();
    this.#cancel = this.#clock.after(ms, run);
  }

  #disarm(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
