/** What the server knows of a call from the inside (docs/inspector.md). Times are Unix ms by the server's clock. */

/** Stable words for programs; later servers may know more. */
export type CallCauseKind =
  | 'wrong_address'
  | 'udp_blocked'
  | 'media_blocked'
  | 'token_invalid'
  | 'token_expired'
  | 'clock_off'
  | 'room_full'
  | 'no_common_codec'
  | 'bad_offer'
  | 'fingerprint_mismatch'
  | 'handshake_failed'
  | 'ice_credentials'
  | 'consent_lost'
  | 'no_keyframes'
  | 'starved'
  | 'loss'
  | 'forbidden'
  | 'left_early'
  | 'server';

/** What is wrong, and what to do about it. */
export interface CallCause {
  /** A `CallCauseKind`, or a word of a later server. */
  kind: string;
  /** English, with the facts: addresses, figures. */
  text: string;
  /** English. */
  remedy: string;
}

/** One second of somebody's media, as the server measured it. */
export interface CallSample {
  ms: number;
  /** From them to the server, from the server to them; kbit/s. */
  inKbps: number;
  outKbps: number;
  /** What their path is believed to carry, and what of it was given to pictures; kbit/s. */
  estimateKbps: number;
  allocatedKbps: number;
  /** Shares of packets, 0 to 1, of the same two directions. */
  inLoss: number;
  outLoss: number;
  rttMs: number | null;
  jitterMs: number | null;
  outJitterMs: number | null;
  /** Pictures that they should have received and that stood still. */
  freezes: number;
  /** By them for pictures that they receive. */
  keyframeRequests: number;
  keyframesSent: number;
  nacks: number;
  /** Packets that wait to be sent to them, and that were given up. */
  queued: number;
  dropped: number;
}

/** One encoding of what somebody publishes. */
export interface CallLayerReport {
  /** `rid` or spatial layer; empty where there is one alone. */
  id: string;
  kbps: number;
  fps: number;
  /** 0: not known. */
  width: number;
  height: number;
  lastKeyframeMs: number | null;
}

export interface CallPublicationReport {
  id: string;
  source: string;
  codec: string;
  muted: boolean;
  layers: CallLayerReport[];
  lossNow: number;
  cause: CallCause | null;
}

/** A picture that somebody receives. */
export interface CallSubscriptionReport {
  mid: string;
  publication: string;
  /** Whose. */
  user: string;
  /** Of pictures, the one that is sent, 0 the smallest; null while nothing is. */
  layer: number | null;
  /** 0 for sound, and for what is paused. */
  wantedWidth: number;
  wantedHeight: number;
  /** "", "bandwidth", "publisher", "muted", "codec". */
  limitedBy: string;
  /** Since when layer and limit are these; 0: not known. */
  sinceMs: number;
  fps: number;
  freezeNow: boolean;
}

export interface CallChangeReport {
  ms: number;
  /** "layer", "freeze", "protocol", "interrupted", "recovered", … */
  kind: string;
  mid: string;
  /** Of layers: the layer and its temporal one ("2/1"), or "none". */
  from: string;
  to: string;
  why: string;
}

/** An address of theirs and one of the server's, as the server saw them. */
export interface CallPairReport {
  protocol: string;
  local: string;
  remote: string;
  /** Connectivity checks that came, were answered, and were refused for wrong credentials. */
  checks: number;
  answered: number;
  refused: number;
  nominated: boolean;
  firstMs: number;
  lastMs: number;
}

export interface CallParticipantReport {
  id: string;
  user: string;
  name: string;
  joinedMs: number;
  /** "connecting", "connected", "interrupted". */
  state: string;
  /** "udp", "tcp"; empty while there is no path. */
  protocol: string;
  /** Empty where one may not see them: others' are for administrators alone. */
  local: string;
  remote: string;
  cause: CallCause | null;
  /** The oldest first, at most `SAMPLES_MAX`. */
  samples: CallSample[];
  publications: CallPublicationReport[];
  /** Sounds as well as pictures. */
  subscriptions: CallSubscriptionReport[];
  /** The oldest first. */
  changes: CallChangeReport[];
  pairs: CallPairReport[];
}

/** A pair of addresses as a client's browser tried it. Addresses may be empty or mDNS names. */
export interface CallClientPair {
  protocol: 'udp' | 'tcp';
  localType: string;
  local: string;
  remoteType: string;
  remote: string;
  state: string;
  sent: number;
  received: number;
}

/** Somebody who did not get in. */
export interface CallFailure {
  ms: number;
  /** Empty: not known. */
  room: string;
  user: string;
  participant: string;
  /** "socket", "whip", "whep". */
  way: string;
  /** How far they came: "token", "join", "offer", "ice", "dtls", "media". */
  stage: string;
  cause: CallCause;
  pairs: CallPairReport[];
  clientPairs: CallClientPair[];
  /** Addresses that the server told them, as "udp 10.0.0.5:8080". */
  candidates: string[];
  userAgent: string;
}

export interface CallReport {
  nowMs: number;
  room: string;
  /** Everybody, or one's own part alone. */
  scope: 'all' | 'own';
  participants: CallParticipantReport[];
  failures: CallFailure[];
  /** There are more participants, after this one; empty: there are not. */
  next: string;
}

/** All calls of a node, for its administrators. */
export interface CallsReport {
  nowMs: number;
  calls: { room: string; startedMs: number; participants: number }[];
  failures: CallFailure[];
}

/** What a client saw that could not connect. */
export interface CallSighting {
  participant: string;
  clientMs: number;
  iceState: string;
  dtlsState: string;
  pairs: CallClientPair[];
}

/** Samples of a participant, one a second: as many as the server keeps. */
export const SAMPLES_MAX = 60;
/** Pairs that a client reports; the server takes no more. */
export const SIGHTED_PAIRS_MAX = 32;
