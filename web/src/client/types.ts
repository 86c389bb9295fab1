/**
 * The library's own types. Wire types stop at `wire.ts`: here every number is a `number` (a `seq`
 * stays below 2^53 for longer than anybody will chat) and every enum is a word.
 */

export type RoomKind = 'direct' | 'group' | 'broadcast' | 'unknown';
export type Visibility = 'private' | 'public';
export type Role = 'none' | 'guest' | 'member' | 'moderator' | 'owner';
export type Membership = 'none' | 'invited' | 'joined' | 'left';

export interface User {
  id: string;
  /** To show; may be empty. */
  name: string;
}

/** A place in a room's stream: everything up to and including `seq` of `epoch` is known. */
export interface Position {
  epoch: number;
  seq: number;
}

/** A message as it is now. `seq` is its name within the room. */
export interface Message {
  seq: number;
  sender: string;
  /** As the server gave it; may be empty, then look the name up by `sender`. */
  senderName: string;
  timeMs: number;
  /** Empty when deleted. */
  text: string;
  /** The seq of the message it replies to, 0 for none. */
  replyTo: number;
  editedMs: number;
  /** The event that edited it last, 0 for never. */
  editedSeq: number;
  deletedMs: number;
  /** The event that deleted it, 0 for never. */
  deletedSeq: number;
  deleted: boolean;
  cid: string;
}

export type EventBody =
  | { kind: 'posted'; text: string; replyTo: number; erased: boolean }
  | { kind: 'edited'; target: number; text: string; erased: boolean }
  | { kind: 'deleted'; target: number }
  | { kind: 'member'; user: User; membership: Membership; role: Role }
  | { kind: 'created'; roomKind: RoomKind; title: string; visibility: Visibility }
  /** A kind that this version doesn't know. It still counts as one step of the log. */
  | { kind: 'unknown' };

/** One change to a room. */
export interface RoomEvent {
  room: string;
  epoch: number;
  seq: number;
  timeMs: number;
  sender: string;
  cid: string;
  body: EventBody;
}

export interface EventPage {
  room: string;
  epoch: number;
  events: RoomEvent[];
  head: number;
  more: boolean;
  /** The position asked for is not of this stream. */
  reset: boolean;
}

export interface HistoryPage {
  room: string;
  epoch: number;
  messages: Message[];
  asOf: number;
  more: boolean;
}

export interface Subscribed {
  room: string;
  epoch: number;
  head: number;
  outcome:
    | { kind: 'events'; page: EventPage }
    | { kind: 'reset'; reason: string }
    | { kind: 'error'; error: KaiwaError };
}

export interface Committed {
  room: string;
  epoch: number;
  seq: number;
  timeMs: number;
  dup: boolean;
}

export interface RoomInfo {
  room: string;
  kind: RoomKind;
  title: string;
  visibility: Visibility;
  createdMs: number;
  epoch: number;
  head: number;
  members: number;
  membership: Membership;
  role: Role;
  peer: User | null;
  last: Message | null;
}

export interface RoomState {
  info: RoomInfo;
  version: number;
}

export interface Member {
  user: User;
  membership: Membership;
  role: Role;
}

export interface Limits {
  frameBytes: number;
  textBytes: number;
  subscriptions: number;
  inFlight: number;
  page: number;
}

export interface Connected {
  session: string;
  resumed: boolean;
  resumeRefused: string;
  count: number;
  user: User;
  expiresMs: number;
  timeMs: number;
  pingMs: number;
  resumeMs: number;
  limits: Limits;
  rooms: Subscribed[];
  node: string;
}

export interface Bye {
  code: number;
  reason: string;
  message: string;
  retryMinMs: number;
  retryMaxMs: number;
}

/** A refusal: by the server (`code` from docs/protocol.md) or by this library (`code` 0). */
export class KaiwaError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly temporary: boolean;
  readonly retryMs: number;
  readonly details: Readonly<Record<string, string>>;

  constructor(init: {
    code: number;
    reason: string;
    message: string;
    temporary?: boolean;
    retryMs?: number;
    details?: Record<string, string>;
  }) {
    super(init.message);
    this.name = 'KaiwaError';
    this.code = init.code;
    this.reason = init.reason;
    this.temporary = init.temporary ?? false;
    this.retryMs = init.retryMs ?? 0;
    this.details = init.details ?? {};
  }
}

/** The connection went before the reply came, or there is none. What was asked may have happened. */
export function offlineError(): KaiwaError {
  return new KaiwaError({ code: 0, reason: 'offline', message: 'not connected', temporary: true });
}

export type Push =
  | { kind: 'event'; event: RoomEvent }
  | { kind: 'state'; state: RoomState }
  | { kind: 'gap'; room: string; epoch: number; head: number }
  | { kind: 'ping'; count: number; heads: { room: string; position: Position }[] }
  | { kind: 'bye'; bye: Bye }
  | { kind: 'unknown' };

export type Result =
  | { kind: 'error'; error: KaiwaError }
  | { kind: 'connected'; connected: Connected }
  | { kind: 'refreshed'; expiresMs: number }
  | { kind: 'done' }
  | { kind: 'subscribed'; subscribed: Subscribed }
  | { kind: 'events'; page: EventPage }
  | { kind: 'history'; page: HistoryPage }
  | { kind: 'committed'; committed: Committed }
  | { kind: 'room'; info: RoomInfo }
  | { kind: 'rooms'; rooms: RoomInfo[]; next: string }
  | { kind: 'members'; members: Member[]; next: string }
  | { kind: 'unknown' };

export type ServerSays =
  | { kind: 'reply'; id: number; result: Result }
  | { kind: 'push'; push: Push }
  | { kind: 'unknown' };

/** What a client can say, without the id. */
export type Command =
  | {
      kind: 'connect';
      token: string;
      device: string;
      client: string;
      resume: { session: string; count: number } | null;
      rooms: { room: string; position: Position }[];
    }
  | { kind: 'refresh'; token: string }
  | { kind: 'pong'; count: number }
  | { kind: 'subscribe'; room: string; after: Position | null }
  | { kind: 'unsubscribe'; room: string }
  | { kind: 'events'; room: string; epoch: number; after: number }
  | { kind: 'history'; room: string; before?: number; after?: number; limit: number }
  | { kind: 'send'; room: string; cid: string; text: string; replyTo: number }
  | { kind: 'edit'; room: string; cid: string; target: number; text: string }
  | { kind: 'delete'; room: string; cid: string; target: number }
  | {
      kind: 'room_create';
      cid: string;
      roomKind: Exclude<RoomKind, 'unknown'>;
      title: string;
      visibility: Visibility;
      members: string[];
    }
  | { kind: 'room_get'; room: string }
  | { kind: 'room_list'; cursor: string; limit: number }
  | { kind: 'room_browse'; cursor: string; limit: number }
  | { kind: 'room_members'; room: string; cursor: string; limit: number }
  | { kind: 'room_join'; room: string }
  | { kind: 'room_leave'; room: string }
  | { kind: 'room_invite'; room: string; user: string }
  | { kind: 'room_remove'; room: string; user: string }
  | { kind: 'room_set_role'; room: string; user: string; role: Exclude<Role, 'none'> };
