/**
 * The library's own types. Wire types stop at `wire.ts`: here every number is a `number` (a `seq`
 * stays below 2^53 for longer than anybody will chat) and every enum is a word.
 */

import type { ClipProgress, ClipView } from './clip-types.js';

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
  /** User ids of those whom it names; nobody when deleted. */
  mentions: string[];
  /** It names everybody in the room. */
  mentionAll: boolean;
  /** Of a clip's message, the clip as it is now; its `text` is the clip's title. Null when deleted. */
  clip: ClipView | null;
}

/** Whom a message names. */
export interface Mentions {
  mentions: string[];
  mentionAll: boolean;
}

export type EventBody =
  | ({ kind: 'posted'; text: string; replyTo: number; erased: boolean; clip: ClipView | null } & Mentions)
  | ({ kind: 'edited'; target: number; text: string; erased: boolean } & Mentions)
  | { kind: 'deleted'; target: number }
  /** A clip's message shows it in another state. Null when the message was deleted later. */
  | { kind: 'clip_changed'; target: number; clip: ClipView | null }
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
  /** Of the room's call, if the server says so here. */
  call: CallRoster | null;
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
  /** How far one has read, where the server says so: in `room_list` and `room_get` alone. */
  readSeq: number;
  unread: number;
  unreadMentions: number;
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
  /** The largest file of a clip, in bytes; 0: the server has no clips. */
  clipBytes: number;
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

// --- calls ---

export type CallSource = 'microphone' | 'camera' | 'screen' | 'screen_audio';

export interface CallRights {
  publish: CallSource[];
  subscribe: boolean;
  /** Mute and remove others. */
  moderate: boolean;
}

/** A track that somebody offers to the call. */
export interface CallPublication {
  publication: string;
  source: CallSource;
  muted: boolean;
  /** Encodings of a simulcast; 1 without. */
  layers: number;
}

/** One session's part in a call. A person with two devices in it is two participants. */
export interface CallParticipant {
  participant: string;
  user: User;
  joinedMs: number;
  publications: CallPublication[];
  /** Their media or session is interrupted; they may come back. */
  interrupted: boolean;
}

/** What changed in a call, or with `full` all of it. */
export interface CallRoster {
  room: string;
  version: number;
  full: boolean;
  participants: CallParticipant[];
  gone: { participant: string; reason: string }[];
  count: number;
  startedMs: number;
}

export interface CallJoined {
  room: string;
  participant: string;
  rights: CallRights;
  roster: CallRoster | null;
  audioSlots: number;
  videoSlots: number;
}

/** What a sending m-line of an offer publishes. */
export interface CallTrack {
  mid: string;
  source: CallSource;
  muted: boolean;
}

export interface CallAnswer {
  sdp: string;
  /** The publication of each track, or why there is none. */
  tracks: { mid: string; publication: string; error: KaiwaError | null }[];
}

/** What a receiving m-line carries at present. */
export interface CallSlot {
  mid: string;
  /** Empty: free. */
  publication: string;
  participant: string;
  /** Of video: the layer that is sent, 1 the smallest; 0 while nothing is sent. */
  layer: number;
  /** Why less is sent than was asked for: "", "bandwidth", "publisher", "muted", "codec". */
  limitedBy: string;
}

export interface CallSlots {
  room: string;
  slots: CallSlot[];
  /** Receiving m-lines that are missing. */
  wantAudio: number;
  wantVideo: number;
}

/** How a publication is shown, in pixels of the device. */
export interface CallPreference {
  publication: string;
  width: number;
  height: number;
  /** Keep its slot, and send nothing. */
  paused: boolean;
}

export interface CallRinging {
  room: string;
  from: User;
  /** By the server's clock; 0: it is over. */
  untilMs: number;
  /** When over: "answered", "declined", "cancelled", "timed_out". */
  outcome: string;
  user: User | null;
}

export type CallQuality = 'good' | 'fair' | 'poor' | 'lost';

export type CallPush =
  | { kind: 'call_roster'; roster: CallRoster }
  | { kind: 'call_slots'; slots: CallSlots }
  | { kind: 'call_ringing'; ringing: CallRinging }
  | { kind: 'call_rights'; room: string; participant: string; rights: CallRights }
  | { kind: 'call_ended'; room: string; participant: string; reason: string }
  | { kind: 'call_speakers'; room: string; speakers: { participant: string; level: number }[]; active: string }
  | { kind: 'call_quality'; room: string; participants: { participant: string; quality: CallQuality }[] };

export type CallCommand =
  | { kind: 'call_join'; room: string }
  | { kind: 'call_leave'; room: string }
  | { kind: 'call_offer'; room: string; sdp: string; tracks: CallTrack[] }
  | { kind: 'call_prefer'; room: string; preferences: CallPreference[] }
  | { kind: 'call_mute'; room: string; publication: string; muted: boolean }
  | { kind: 'call_remove'; room: string; participant: string }
  | { kind: 'call_ring'; room: string; users: string[] }
  | { kind: 'call_decline'; room: string }
  | { kind: 'call_get'; room: string };

// --- all that is said ---

export type Push =
  | { kind: 'event'; event: RoomEvent }
  | { kind: 'state'; state: RoomState }
  | { kind: 'gap'; room: string; epoch: number; head: number }
  | { kind: 'ping'; count: number; heads: { room: string; position: Position }[] }
  | { kind: 'bye'; bye: Bye }
  | { kind: 'marked'; marked: Marked }
  | { kind: 'clip_progress'; progress: ClipProgress }
  | CallPush
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
  | { kind: 'call_joined'; joined: CallJoined }
  | { kind: 'call_answer'; answer: CallAnswer }
  | { kind: 'call_roster'; roster: CallRoster }
  | { kind: 'marked'; marked: Marked }
  | { kind: 'push_info'; info: PushInfo }
  | { kind: 'device'; device: Device }
  | { kind: 'devices'; devices: Device[] }
  | { kind: 'notify_settings'; settings: NotifySettings }
  | { kind: 'notify_decisions'; decisions: NotifyDecision[] }
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
  | { kind: 'ack'; count: number; isVisible: boolean }
  | { kind: 'mark'; room: string; epoch: number; seq: number }
  | { kind: 'subscribe'; room: string; after: Position | null }
  | { kind: 'unsubscribe'; room: string }
  | { kind: 'events'; room: string; epoch: number; after: number }
  | { kind: 'history'; room: string; before?: number; after?: number; limit: number }
  | ({ kind: 'send'; room: string; cid: string; text: string; replyTo: number } & Mentions)
  | ({ kind: 'edit'; room: string; cid: string; target: number; text: string } & Mentions)
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
  | { kind: 'room_set_role'; room: string; user: string; role: Exclude<Role, 'none'> }
  | CallCommand
  | NotifyCommand;

// --- notifications to people who are away ---

/** How devices can be reached. */
export interface PushInfo {
  /** `applicationServerKey` of a web push subscription; empty when Web Push is off. */
  vapidKey: Uint8Array;
}

/** A push subscription (W3C Push API) as the server takes it. */
export interface WebPushAddress {
  endpoint: string;
  /** 65 bytes. */
  p256dh: Uint8Array;
  /** 16 bytes. */
  auth: Uint8Array;
}

/** Every day from one time to another; over midnight when `untilMin` is not after `fromMin`. */
export interface QuietHours {
  /** Minutes after midnight, 0 to 1439. */
  fromMin: number;
  untilMin: number;
  /** Of the IANA time zone database. */
  zone: string;
  letsCalls: boolean;
  letsMentions: boolean;
}

export interface DeviceSettings {
  isMuted: boolean;
  /** No content leaves the server for it. */
  isWakeOnly: boolean;
  quiet: QuietHours | null;
}

export type PushChannel = 'web_push' | 'apns' | 'fcm' | 'sns' | 'unknown';

export interface Device {
  deviceId: string;
  name: string;
  channel: PushChannel;
  registeredMs: number;
  /** When a provider last took a push for it; 0 for never. */
  lastPushMs: number;
  settings: DeviceSettings;
}

/** `default`: as the person's, for a room; the server's choice, for a person. */
export type NotifyLevel = 'default' | 'all' | 'mentions' | 'none';

export interface NotifyRoom {
  room: string;
  level: NotifyLevel;
  /** Ms since the Unix epoch, by the server's clock; 0: not muted. */
  mutedUntilMs: number;
}

/** What holds for all of a person's devices. */
export interface NotifySettings {
  isMuted: boolean;
  letsCalls: boolean;
  level: NotifyLevel;
  rooms: NotifyRoom[];
  /** Greater at each change. */
  version: number;
}

/** Why one was told of something, or was not. */
export interface NotifyDecision {
  eventId: string;
  timeMs: number;
  room: string;
  seq: number;
  isSent: boolean;
  /** A stable word. */
  reason: string;
  /** For people, in English. */
  message: string;
  attempts: { deviceId: string; timeMs: number; isAccepted: boolean; code: string }[];
}

/** How far one has read a room, on whatever device, and what is left. */
export interface Marked {
  room: string;
  epoch: number;
  readSeq: number;
  unread: number;
  unreadMentions: number;
  /** Events up to this one are counted. */
  head: number;
}

export type NotifyCommand =
  | { kind: 'push_get' }
  | { kind: 'device_register'; deviceId: string; name: string; address: WebPushAddress }
  | { kind: 'device_set'; deviceId: string; settings: DeviceSettings }
  | { kind: 'device_list' }
  | { kind: 'device_remove'; deviceId: string }
  | { kind: 'notify_get' }
  | { kind: 'notify_set'; isMuted: boolean; letsCalls: boolean; level: NotifyLevel }
  | { kind: 'notify_set_room'; room: string; level: NotifyLevel; mutedUntilMs: number }
  | { kind: 'notify_explain'; room: string; limit: number };
