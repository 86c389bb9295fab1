/** What an app sees of calls. */
import type { CallCause } from './inspect-types.js';
import type { CallPublication, CallQuality, CallSource, KaiwaError, User } from './types.js';

export type CallEndReason =
  | 'left'
  /** By a moderator. */
  | 'removed'
  /** Out of the room altogether. */
  | 'not_a_member'
  /** The media could not be connected, or not again. */
  | 'failed'
  | 'timed_out'
  | 'server'
  /** The same person's session is in the call from somewhere else. */
  | 'replaced'
  /** `error` says why the server refused. */
  | 'refused';

export type CallStatus =
  | { kind: 'idle' }
  /** `slow`: for ten seconds already; something may be in the way, and `cause` is what, where the server can say. */
  | { kind: 'joining'; room: string; slow: boolean; cause: CallCause | null }
  | { kind: 'connected'; room: string }
  /** Nothing gets through at present; it is being worked on. */
  | { kind: 'reconnecting'; room: string }
  /** Until the next join or `dismiss`. `cause` of `failed`: may come a moment later. */
  | { kind: 'ended'; room: string; reason: CallEndReason; error: KaiwaError | null; cause: CallCause | null };

export interface CallPublicationView extends CallPublication {
  /** What arrives, or one's own; null while there is no slot for it. */
  track: MediaStreamTrack | null;
  /** Of video: the layer that arrives, 1 the smallest; 0 while nothing does. */
  layer: number;
  /** Why less arrives than was asked for: "", "bandwidth", "publisher", "muted", "codec". */
  limitedBy: string;
}

/** The path carries nothing of a picture that is there and wanted. */
export function isStarved(picture: CallPublicationView | null): boolean {
  return picture !== null && !picture.muted && picture.layer === 0 && picture.limitedBy === 'bandwidth';
}

/** The picture comes in a codec that this browser did not negotiate. */
export function isUndecodable(picture: CallPublicationView | null): boolean {
  return picture !== null && !picture.muted && picture.layer === 0 && picture.limitedBy === 'codec';
}

export interface CallParticipantView {
  participant: string;
  user: User;
  me: boolean;
  joinedMs: number;
  interrupted: boolean;
  quality: CallQuality | null;
  speaking: boolean;
  microphone: CallPublicationView | null;
  camera: CallPublicationView | null;
  screen: CallPublicationView | null;
  screenAudio: CallPublicationView | null;
}

/** Somebody calls. */
export interface CallRing {
  room: string;
  from: User;
  /** By the local clock. */
  untilMs: number;
}

/** One calls somebody. */
export interface CallOutgoing {
  room: string;
  /** Who hasn't answered yet; empty: the other one of a direct room. */
  users: string[];
}

/** Worth telling once. */
export type CallNotice =
  | { kind: 'joined'; user: User }
  | { kind: 'gone'; user: User; reason: string }
  /** A moderator muted one's own publication. */
  | { kind: 'muted'; source: CallSource }
  /** Somebody answered one's ring: "declined", "timed_out", … */
  | { kind: 'ring'; user: User | null; outcome: string }
  /** Something done in the background was refused. */
  | { kind: 'failed'; error: KaiwaError };

export interface CallJoinOptions {
  microphone?: MediaStreamTrack | null;
  camera?: MediaStreamTrack | null;
  /** Published, but muted to begin with. */
  muted?: readonly CallSource[];
}
