/** Between the schema's types and the library's. Nothing from the server makes this throw. */
import { create } from '@bufbuild/protobuf';
import * as pb from '../gen/kaiwa/client/v1/client_pb.js';
import { callAnswerOf, callCommandToWire, callJoinedOf, callPushOf, callRosterOf } from './wire-call.js';
import { clipProgressOf, clipViewOf } from './wire-clip.js';
import { errorOf, userOf } from './wire-common.js';
import { markedOf, notifyCommandToWire, notifyResultOf } from './wire-notify.js';
import type {
  Command,
  Connected,
  EventBody,
  EventPage,
  HistoryPage,
  Membership,
  Message,
  Push,
  Result,
  Role,
  RoomEvent,
  RoomInfo,
  RoomKind,
  ServerSays,
  Subscribed,
  Visibility,
} from './types.js';

const KINDS: Record<number, RoomKind> = { 1: 'direct', 2: 'group', 3: 'broadcast' };
const ROLES: Record<number, Role> = { 1: 'guest', 2: 'member', 3: 'moderator', 4: 'owner' };
const MEMBERSHIPS: Record<number, Membership> = { 1: 'invited', 2: 'joined', 3: 'left' };

const kindOf = (kind: number): RoomKind => KINDS[kind] ?? 'unknown';
const roleOf = (role: number): Role => ROLES[role] ?? 'none';
const membershipOf = (membership: number): Membership => MEMBERSHIPS[membership] ?? 'none';
const visibilityOf = (v: number): Visibility => (v === 2 ? 'public' : 'private');

const KIND_TO_WIRE = { direct: 1, group: 2, broadcast: 3 } as const;
const ROLE_TO_WIRE = { guest: 1, member: 2, moderator: 3, owner: 4 } as const;

export function messageOf(m: pb.Message): Message {
  return {
    seq: Number(m.seq),
    sender: m.sender,
    senderName: m.senderName,
    timeMs: Number(m.timeMs),
    text: m.text,
    replyTo: Number(m.replyTo),
    editedMs: Number(m.editedMs),
    editedSeq: Number(m.editedSeq),
    deletedMs: Number(m.deletedMs),
    deletedSeq: Number(m.deletedSeq),
    deleted: m.deletedSeq > 0n,
    cid: m.cid,
    mentions: [...m.mentions],
    mentionAll: m.mentionAll,
    clip: clipViewOf(m.clip),
  };
}

function bodyOf(event: pb.Event): EventBody {
  const { body } = event;
  switch (body.case) {
    case 'message':
      return {
        kind: 'posted',
        text: body.value.text,
        replyTo: Number(body.value.replyTo),
        erased: body.value.erased,
        mentions: [...body.value.mentions],
        mentionAll: body.value.mentionAll,
        clip: clipViewOf(body.value.clip),
      };
    case 'edited':
      return {
        kind: 'edited',
        target: Number(body.value.target),
        text: body.value.text,
        erased: body.value.erased,
        mentions: [...body.value.mentions],
        mentionAll: body.value.mentionAll,
      };
    case 'deleted':
      return { kind: 'deleted', target: Number(body.value.target) };
    case 'clipChanged':
      return { kind: 'clip_changed', target: Number(body.value.target), clip: clipViewOf(body.value.clip) };
    case 'member':
      return {
        kind: 'member',
        user: userOf(body.value.user),
        membership: membershipOf(body.value.membership),
        role: roleOf(body.value.role),
      };
    case 'created':
      return {
        kind: 'created',
        roomKind: kindOf(body.value.kind),
        title: body.value.title,
        visibility: visibilityOf(body.value.visibility),
      };
    default:
      return { kind: 'unknown' };
  }
}

export function eventOf(event: pb.Event): RoomEvent {
  return {
    room: event.room,
    epoch: event.epoch,
    seq: Number(event.seq),
    timeMs: Number(event.timeMs),
    sender: event.sender,
    cid: event.cid,
    body: bodyOf(event),
  };
}

function eventPageOf(page: pb.EventPage): EventPage {
  return {
    room: page.room,
    epoch: page.epoch,
    events: page.events.map(eventOf),
    head: Number(page.head),
    more: page.more,
    reset: page.reset !== undefined,
  };
}

function historyOf(page: pb.HistoryPage): HistoryPage {
  return {
    room: page.room,
    epoch: page.epoch,
    messages: page.messages.map(messageOf),
    asOf: Number(page.asOf),
    more: page.more,
  };
}

function subscribedOf(s: pb.Subscribed): Subscribed {
  // Read by name, so that it is understood as soon as the schema has it.
  const { call } = s as pb.Subscribed & { call?: pb.CallRoster };
  const base = { room: s.room, epoch: s.epoch, head: Number(s.head), call: call ? callRosterOf(call) : null };
  switch (s.outcome.case) {
    case 'reset':
      return { ...base, outcome: { kind: 'reset', reason: s.outcome.value.reason } };
    case 'error':
      return { ...base, outcome: { kind: 'error', error: errorOf(s.outcome.value) } };
    case 'events':
      return { ...base, outcome: { kind: 'events', page: eventPageOf(s.outcome.value) } };
    default: {
      // An outcome of a later version: to read the history afresh is right whatever it means.
      return { ...base, outcome: { kind: 'reset', reason: 'unknown' } };
    }
  }
}

export function roomOf(info: pb.RoomInfo): RoomInfo {
  return {
    room: info.room,
    kind: kindOf(info.kind),
    title: info.title,
    visibility: visibilityOf(info.visibility),
    createdMs: Number(info.createdMs),
    epoch: info.epoch,
    head: Number(info.head),
    members: info.members,
    membership: membershipOf(info.membership),
    role: roleOf(info.role),
    peer: info.peer ? userOf(info.peer) : null,
    last: info.last ? messageOf(info.last) : null,
    readSeq: Number(info.readSeq),
    unread: info.unread,
    unreadMentions: info.unreadMentions,
  };
}

function connectedOf(c: pb.Connected): Connected {
  return {
    session: c.session,
    resumed: c.resumed,
    resumeRefused: c.resumeRefused,
    count: Number(c.count),
    user: userOf(c.user),
    expiresMs: Number(c.expiresMs),
    timeMs: Number(c.timeMs),
    pingMs: c.pingMs,
    resumeMs: c.resumeMs,
    limits: {
      frameBytes: c.limits?.frameBytes ?? 0,
      textBytes: c.limits?.textBytes ?? 0,
      subscriptions: c.limits?.subscriptions ?? 0,
      inFlight: c.limits?.inFlight ?? 0,
      page: c.limits?.page ?? 0,
      clipBytes: Number(c.limits?.clipBytes ?? 0n),
    },
    rooms: c.rooms.map(subscribedOf),
    node: c.node,
  };
}

function resultOf(reply: pb.Reply): Result {
  const { result } = reply;
  switch (result.case) {
    case 'error':
      return { kind: 'error', error: errorOf(result.value) };
    case 'connected':
      return { kind: 'connected', connected: connectedOf(result.value) };
    case 'refreshed':
      return { kind: 'refreshed', expiresMs: Number(result.value.expiresMs) };
    case 'done':
      return { kind: 'done' };
    case 'subscribed':
      return { kind: 'subscribed', subscribed: subscribedOf(result.value) };
    case 'events':
      return { kind: 'events', page: eventPageOf(result.value) };
    case 'history':
      return { kind: 'history', page: historyOf(result.value) };
    case 'committed': {
      const { room, epoch, seq, timeMs, dup } = result.value;
      return {
        kind: 'committed',
        committed: { room, epoch, seq: Number(seq), timeMs: Number(timeMs), dup },
      };
    }
    case 'room':
      return { kind: 'room', info: roomOf(result.value) };
    case 'rooms':
      return { kind: 'rooms', rooms: result.value.rooms.map(roomOf), next: result.value.next };
    case 'members':
      return {
        kind: 'members',
        members: result.value.members.map((m) => ({
          user: userOf(m.user),
          membership: membershipOf(m.membership),
          role: roleOf(m.role),
        })),
        next: result.value.next,
      };
    case 'callJoined':
      return { kind: 'call_joined', joined: callJoinedOf(result.value) };
    case 'callAnswer':
      return { kind: 'call_answer', answer: callAnswerOf(result.value) };
    case 'callRoster':
      return { kind: 'call_roster', roster: callRosterOf(result.value) };
    default:
      return notifyResultOf(result) ?? { kind: 'unknown' };
  }
}

function pushOf(message: pb.Push): Push {
  const { push } = message;
  switch (push.case) {
    case 'event':
      return { kind: 'event', event: eventOf(push.value) };
    case 'state':
      return push.value.room
        ? { kind: 'state', state: { info: roomOf(push.value.room), version: Number(push.value.version) } }
        : { kind: 'unknown' };
    case 'gap':
      return { kind: 'gap', room: push.value.room, epoch: push.value.epoch, head: Number(push.value.head) };
    case 'ping':
      return {
        kind: 'ping',
        count: Number(push.value.count),
        heads: push.value.heads.map((h) => ({
          room: h.room,
          position: { epoch: h.epoch, seq: Number(h.seq) },
        })),
      };
    case 'bye':
      return {
        kind: 'bye',
        bye: {
          code: push.value.code,
          reason: push.value.reason,
          message: push.value.message,
          retryMinMs: push.value.retryMinMs,
          retryMaxMs: push.value.retryMaxMs,
        },
      };
    case 'marked':
      return { kind: 'marked', marked: markedOf(push.value) };
    case 'clipProgress':
      return { kind: 'clip_progress', progress: clipProgressOf(push.value) };
    default:
      return callPushOf(push) ?? { kind: 'unknown' };
  }
}

export function fromWire(message: pb.ServerMessage): ServerSays {
  switch (message.message.case) {
    case 'reply':
      return { kind: 'reply', id: message.message.value.id, result: resultOf(message.message.value) };
    case 'push':
      return { kind: 'push', push: pushOf(message.message.value) };
    default:
      return { kind: 'unknown' };
  }
}

type WireCommand = NonNullable<Parameters<typeof create<typeof pb.ClientMessageSchema>>[1]>;

function commandToWire(c: Command): WireCommand['command'] {
  switch (c.kind) {
    case 'connect':
      return {
        case: 'connect',
        value: create(pb.ConnectSchema, {
          token: c.token,
          device: c.device,
          client: c.client,
          ...(c.resume && {
            resume: create(pb.ResumeSchema, { session: c.resume.session, count: BigInt(c.resume.count) }),
          }),
          rooms: c.rooms.map(({ room, position }) =>
            create(pb.RoomPositionSchema, { room, epoch: position.epoch, seq: BigInt(position.seq) }),
          ),
        }),
      };
    case 'refresh':
      return { case: 'refresh', value: create(pb.RefreshSchema, { token: c.token }) };
    case 'pong':
      return { case: 'pong', value: create(pb.PongSchema, { count: BigInt(c.count) }) };
    case 'ack':
      return { case: 'ack', value: create(pb.AckSchema, { count: BigInt(c.count), isVisible: c.isVisible }) };
    case 'mark':
      return { case: 'mark', value: create(pb.MarkSchema, { room: c.room, epoch: c.epoch, seq: BigInt(c.seq) }) };
    case 'subscribe':
      return {
        case: 'subscribe',
        value: create(pb.SubscribeSchema, {
          after: create(pb.RoomPositionSchema, {
            room: c.room,
            epoch: c.after?.epoch ?? 0,
            seq: BigInt(c.after?.seq ?? 0),
          }),
        }),
      };
    case 'unsubscribe':
      return { case: 'unsubscribe', value: create(pb.UnsubscribeSchema, { room: c.room }) };
    case 'events':
      return {
        case: 'events',
        value: create(pb.ReadEventsSchema, { room: c.room, epoch: c.epoch, after: BigInt(c.after) }),
      };
    case 'history':
      return {
        case: 'history',
        value: create(pb.ReadHistorySchema, {
          room: c.room,
          limit: c.limit,
          ...(c.before !== undefined && { from: { case: 'before', value: BigInt(c.before) } }),
          ...(c.after !== undefined && { from: { case: 'after', value: BigInt(c.after) } }),
        }),
      };
    case 'send':
      return {
        case: 'send',
        value: create(pb.SendSchema, {
          room: c.room,
          cid: c.cid,
          text: c.text,
          replyTo: BigInt(c.replyTo),
          mentions: c.mentions,
          mentionAll: c.mentionAll,
        }),
      };
    case 'edit':
      return {
        case: 'edit',
        value: create(pb.EditSchema, {
          room: c.room,
          cid: c.cid,
          target: BigInt(c.target),
          text: c.text,
          mentions: c.mentions,
          mentionAll: c.mentionAll,
        }),
      };
    case 'delete':
      return {
        case: 'delete',
        value: create(pb.DeleteSchema, { room: c.room, cid: c.cid, target: BigInt(c.target) }),
      };
    case 'room_create':
      return {
        case: 'roomCreate',
        value: create(pb.RoomCreateSchema, {
          cid: c.cid,
          kind: KIND_TO_WIRE[c.roomKind],
          title: c.title,
          visibility: c.visibility === 'public' ? 2 : 1,
          members: c.members,
        }),
      };
    case 'room_get':
      return { case: 'roomGet', value: create(pb.RoomGetSchema, { room: c.room }) };
    case 'room_list':
      return { case: 'roomList', value: create(pb.RoomListSchema, { cursor: c.cursor, limit: c.limit }) };
    case 'room_browse':
      return { case: 'roomBrowse', value: create(pb.RoomBrowseSchema, { cursor: c.cursor, limit: c.limit }) };
    case 'room_members':
      return {
        case: 'roomMembers',
        value: create(pb.RoomMembersSchema, { room: c.room, cursor: c.cursor, limit: c.limit }),
      };
    case 'room_join':
      return { case: 'roomJoin', value: create(pb.RoomJoinSchema, { room: c.room }) };
    case 'room_leave':
      return { case: 'roomLeave', value: create(pb.RoomLeaveSchema, { room: c.room }) };
    case 'room_invite':
      return { case: 'roomInvite', value: create(pb.RoomInviteSchema, { room: c.room, user: c.user }) };
    case 'room_remove':
      return { case: 'roomRemove', value: create(pb.RoomRemoveSchema, { room: c.room, user: c.user }) };
    case 'room_set_role':
      return {
        case: 'roomSetRole',
        value: create(pb.RoomSetRoleSchema, { room: c.room, user: c.user, role: ROLE_TO_WIRE[c.role] }),
      };
    case 'push_get':
    case 'device_register':
    case 'device_set':
    case 'device_list':
    case 'device_remove':
    case 'notify_get':
    case 'notify_set':
    case 'notify_set_room':
    case 'notify_explain':
      return notifyCommandToWire(c);
    default:
      return callCommandToWire(c);
  }
}

export function toWire(id: number, command: Command): pb.ClientMessage {
  return create(pb.ClientMessageSchema, { id, command: commandToWire(command) } as WireCommand);
}
