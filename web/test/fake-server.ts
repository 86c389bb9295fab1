/**
 * A server for tests and for looking at the app: the protocol's rules over in-memory state, with
 * faults to order. It is no reference; the real one is next door.
 */
import { create, fromBinary, fromJsonString, toJsonString } from '@bufbuild/protobuf';
import { BinaryReader, sizeDelimitedEncode } from '@bufbuild/protobuf/wire';
import * as pb from '../src/gen/kaiwa/client/v1/client_pb.js';
import { FakeCalls } from './fake-calls.js';
import { FakeNotify } from './fake-notify.js';

export interface ServerSocket {
  readonly protocol: string;
  send(frame: string | Uint8Array): void;
  close(code: number, reason?: string): void;
}

type Body = pb.Event['body'];
type ReplyResult = pb.Reply['result'];
type PushBody = pb.Push['push'];

interface FakeRoom {
  id: string;
  kind: pb.RoomKind;
  title: string;
  visibility: pb.Visibility;
  createdMs: number;
  epoch: number;
  events: pb.Event[];
  members: Map<string, { membership: pb.Membership; role: pb.Role }>;
  cids: Map<string, number>;
}

export interface FakeSession {
  id: string;
  user: string;
  conn: FakeConnection | null;
  count: number;
  /** Reliable pushes not yet acknowledged, by number. */
  outbox: Map<number, PushBody>;
  rooms: Set<string>;
}

export interface Faults {
  /** Give false to lose the reply to this command (it was done all the same). */
  reply?: (command: pb.ClientMessage['command'], result: ReplyResult) => boolean;
  /** Give a result to answer with it, without doing anything. */
  instead?: (command: pb.ClientMessage['command']) => ReplyResult | undefined;
  /** Give false to lose this push. It isn't counted then. */
  push?: (push: PushBody, user: string) => boolean;
}

const PAGE = 100;
const { Membership, Role, RoomKind, Visibility } = pb;
const RELIABLE: readonly unknown[] = ['event', 'state', 'gap', 'marked', 'callRoster', 'callSlots', 'callRinging', 'callEnded', 'callRightsChanged'];

export class FakeServer {
  now: () => number;
  faults: Faults = {};
  refuseResume = '';
  /** Called with each event before anybody hears of it. */
  persist: () => void = () => {};
  pingMs = 25_000;
  /** 0: no clips. */
  clipBytes = 0n;
  tokenMs = 3_600_000;
  readonly users = new Map<string, string>();
  readonly rooms = new Map<string, FakeRoom>();
  readonly sessions = new Map<string, FakeSession>();
  readonly connections = new Set<FakeConnection>();
  /** Every command, in the order of arrival. */
  readonly log: pb.ClientMessage[] = [];
  readonly calls = new FakeCalls(this);
  readonly notify = new FakeNotify(this);
  #serial = 0;

  constructor(now: () => number) {
    this.now = now;
  }

  token(user: string, name = user): string {
    this.users.set(user, name);
    return `${user}.${this.now() + this.tokenMs}`;
  }

  accept(socket: ServerSocket): FakeConnection {
    const conn = new FakeConnection(this, socket);
    this.connections.add(conn);
    return conn;
  }

  /** Cuts everybody off, with a code or as a network does. */
  cut(code = 1006): void {
    for (const conn of [...this.connections]) conn.end(code);
  }

  bye(code: number, range: [number, number] = [0, 0]): void {
    for (const conn of [...this.connections]) conn.bye(code, range);
  }

  room(id: string): FakeRoom {
    const room = this.rooms.get(id);
    if (!room) throw new Error(`no room ${id}`);
    return room;
  }

  createRoom(owner: string, title: string, members: string[] = [], kind: pb.RoomKind = RoomKind.GROUP, visibility: pb.Visibility = Visibility.PRIVATE): FakeRoom {
    const room: FakeRoom = {
      id: `r${++this.#serial}`,
      kind,
      title,
      visibility,
      createdMs: this.now(),
      epoch: 7,
      events: [],
      members: new Map(),
      cids: new Map(),
    };
    this.rooms.set(room.id, room);
    room.members.set(owner, { membership: Membership.JOINED, role: Role.OWNER });
    this.append(room, owner, '', { case: 'created', value: create(pb.RoomCreatedSchema, { kind, title, visibility: room.visibility }) });
    this.pushState(room, owner);
    for (const m of members) this.setMember(room, owner, m, Membership.JOINED, Role.MEMBER);
    return room;
  }

  post(room: FakeRoom, sender: string, text: string, replyTo = 0, cid = '', names: { mentions?: string[]; mentionAll?: boolean } = {}): pb.Event {
    const { mentions = [], mentionAll = false } = names;
    return this.append(room, sender, cid, {
      case: 'message',
      value: create(pb.MessagePostedSchema, { text, replyTo: BigInt(replyTo), mentions, mentionAll }),
    });
  }

  edit(room: FakeRoom, sender: string, target: number, text: string, cid = ''): pb.Event {
    return this.append(room, sender, cid, {
      case: 'edited',
      value: create(pb.MessageEditedSchema, { target: BigInt(target), text }),
    });
  }

  remove(room: FakeRoom, sender: string, target: number, cid = ''): pb.Event {
    for (const event of room.events) {
      if (Number(event.seq) === target && event.body.case === 'message') Object.assign(event.body.value, { text: '', erased: true });
      if (event.body.case === 'edited' && Number(event.body.value.target) === target) Object.assign(event.body.value, { text: '', erased: true });
    }
    return this.append(room, sender, cid, {
      case: 'deleted',
      value: create(pb.MessageDeletedSchema, { target: BigInt(target) }),
    });
  }

  setMember(room: FakeRoom, by: string, user: string, membership: pb.Membership, role: pb.Role): pb.Event {
    room.members.set(user, { membership, role });
    const event = this.append(room, by, '', {
      case: 'member',
      value: create(pb.MemberChangedSchema, { user: this.user(user), membership, role }),
    });
    if (membership === Membership.LEFT) {
      for (const s of this.sessions.values()) if (s.user === user) s.rooms.delete(room.id);
    }
    this.pushState(room, user);
    return event;
  }

  append(room: FakeRoom, sender: string, cid: string, body: Body): pb.Event {
    const event = create(pb.EventSchema, {
      room: room.id,
      epoch: room.epoch,
      seq: BigInt(room.events.length + 1),
      timeMs: BigInt(this.now()),
      sender,
      cid,
      body,
    });
    room.events.push(event);
    if (cid) room.cids.set(`${sender} ${cid}`, Number(event.seq));
    this.persist();
    for (const session of this.sessions.values()) {
      if (session.rooms.has(room.id)) this.push(session, { case: 'event', value: structuredClone(event) as pb.Event });
    }
    return event;
  }

  push(session: FakeSession, push: PushBody): void {
    if (this.faults.push?.(push, session.user) === false) return;
    if (RELIABLE.includes(push.case)) {
      session.count += 1;
      session.outbox.set(session.count, push);
    }
    session.conn?.write({ case: 'push', value: create(pb.PushSchema, { push }) });
  }

  ping(heads: { room: string; epoch: number; seq: bigint }[] = []): void {
    for (const session of this.sessions.values()) {
      const value = create(pb.PingSchema, {
        count: BigInt(session.count),
        heads: heads.map((h) => create(pb.RoomPositionSchema, h)),
      });
      this.push(session, { case: 'ping', value });
    }
  }

  pushState(room: FakeRoom, user: string): void {
    const value = create(pb.RoomStateSchema, { room: this.info(room, user), version: BigInt(room.events.length) });
    for (const session of this.sessions.values()) if (session.user === user) this.push(session, { case: 'state', value });
  }

  user(id: string): pb.User {
    return create(pb.UserSchema, { id, name: this.users.get(id) ?? '' });
  }

  /** Messages as they were after `asOf`. */
  messages(room: FakeRoom, asOf = room.events.length): pb.Message[] {
    const messages = new Map<number, pb.Message>();
    for (const event of room.events.slice(0, asOf)) {
      const { body } = event;
      if (body.case === 'message') {
        messages.set(
          Number(event.seq),
          create(pb.MessageSchema, {
            seq: event.seq,
            sender: event.sender,
            senderName: this.users.get(event.sender) ?? '',
            timeMs: event.timeMs,
            text: body.value.text,
            replyTo: body.value.replyTo,
            cid: event.cid,
            mentions: body.value.mentions,
            mentionAll: body.value.mentionAll,
          }),
        );
      } else if (body.case === 'edited') {
        const m = messages.get(Number(body.value.target));
        if (m) Object.assign(m, { text: body.value.text, editedSeq: event.seq, editedMs: event.timeMs });
      } else if (body.case === 'deleted') {
        const m = messages.get(Number(body.value.target));
        if (m) Object.assign(m, { text: '', deletedSeq: event.seq, deletedMs: event.timeMs });
      }
    }
    return [...messages.values()];
  }

  info(room: FakeRoom, user: string): pb.RoomInfo {
    const me = room.members.get(user);
    const peer = room.kind === RoomKind.DIRECT ? [...room.members.keys()].find((m) => m !== user) : undefined;
    const last = me?.membership === Membership.JOINED ? this.messages(room).at(-1) : undefined;
    return create(pb.RoomInfoSchema, {
      room: room.id,
      kind: room.kind,
      title: room.title,
      visibility: room.visibility,
      createdMs: BigInt(room.createdMs),
      epoch: room.epoch,
      head: BigInt(room.events.length),
      members: [...room.members.values()].filter((m) => m.membership === Membership.JOINED).length,
      membership: me?.membership ?? Membership.LEFT,
      role: me?.role ?? Role.UNSPECIFIED,
      ...(peer && { peer: this.user(peer) }),
      ...(last && { last }),
    });
  }

  eventPage(room: FakeRoom, epoch: number, after: number): pb.EventPage {
    const head = room.events.length;
    if (epoch !== room.epoch || after > head) {
      return create(pb.EventPageSchema, {
        room: room.id,
        epoch: room.epoch,
        head: BigInt(head),
        reset: create(pb.ResetSchema, { reason: epoch !== room.epoch ? 'epoch' : 'ahead' }),
      });
    }
    const events = room.events.slice(after, after + PAGE);
    return create(pb.EventPageSchema, {
      room: room.id,
      epoch: room.epoch,
      events,
      head: BigInt(head),
      more: after + events.length < head,
    });
  }

  subscribe(session: FakeSession, { room: id, epoch, seq }: pb.RoomPosition): pb.Subscribed {
    const room = this.rooms.get(id);
    if (!room || room.members.get(session.user)?.membership !== Membership.JOINED) {
      return create(pb.SubscribedSchema, { room: id, outcome: { case: 'error', value: refusal(402, 'not_a_member') } });
    }
    session.rooms.add(id);
    const base = { room: id, epoch: room.epoch, head: BigInt(room.events.length) };
    const after = epoch === 0 && seq === 0n ? room.events.length : Number(seq);
    const page = this.eventPage(room, epoch === 0 ? room.epoch : epoch, after);
    return create(pb.SubscribedSchema, {
      ...base,
      outcome: page.reset ? { case: 'reset', value: page.reset } : { case: 'events', value: page },
    });
  }

  nextId(prefix: string): string {
    return `${prefix}${++this.#serial}`;
  }
}

export function refusal(code: number, reason: string, more: { temporary?: boolean; retryMs?: number } = {}): pb.Error {
  return create(pb.ErrorSchema, { code, reason, message: reason, ...more });
}

export class FakeConnection {
  session: FakeSession | null = null;
  readonly #server: FakeServer;
  readonly #socket: ServerSocket;
  readonly #json: boolean;
  #ended = false;

  constructor(server: FakeServer, socket: ServerSocket) {
    this.#server = server;
    this.#socket = socket;
    this.#json = socket.protocol === 'kaiwa.v1+json';
  }

  receive(frame: string | Uint8Array): void {
    if (this.#ended) return;
    for (const message of this.#decode(frame)) {
      if (message.command.case !== 'ack') this.#server.log.push(message);
      this.#handle(message);
    }
  }

  write(message: pb.ServerMessage['message']): void {
    if (this.#ended) return;
    const said = create(pb.ServerMessageSchema, { message });
    this.#socket.send(this.#json ? toJsonString(pb.ServerMessageSchema, said) : sizeDelimitedEncode(pb.ServerMessageSchema, said));
  }

  bye(code: number, [retryMinMs, retryMaxMs]: [number, number] = [0, 0]): void {
    const bye = create(pb.ByeSchema, { code, retryMinMs, retryMaxMs });
    this.write({ case: 'push', value: create(pb.PushSchema, { push: { case: 'bye', value: bye } }) });
    this.end(code);
  }

  end(code: number): void {
    if (this.#ended) return;
    this.closed();
    this.#socket.close(code);
  }

  closed(): void {
    this.#ended = true;
    this.#server.connections.delete(this);
    if (this.session?.conn === this) this.session.conn = null;
  }

  #decode(frame: string | Uint8Array): pb.ClientMessage[] {
    if (typeof frame === 'string') {
      return frame.split('\n').filter(Boolean).map((line) => fromJsonString(pb.ClientMessageSchema, line));
    }
    const messages = [];
    for (const reader = new BinaryReader(frame); reader.pos < reader.len; ) {
      messages.push(fromBinary(pb.ClientMessageSchema, reader.bytes()));
    }
    return messages;
  }

  #handle({ id, command }: pb.ClientMessage): void {
    const server = this.#server;
    if (command.case === 'pong') return;
    if (command.case === 'ack' && this.session && server.notify.isKnown) {
      server.notify.acks.push({ session: this.session.id, count: Number(command.value.count), isVisible: command.value.isVisible });
      return;
    }
    if (command.case === 'connect') return this.#connect(id, command.value);
    if (!this.session) return this.#reply(id, command, { case: 'error', value: refusal(106, 'not_connected') });
    const result = server.faults.instead?.(command) ?? this.#do(command, this.session);
    if (server.faults.reply?.(command, result) === false) return;
    this.#reply(id, command, result);
  }

  #reply(id: number, _command: pb.ClientMessage['command'], result: ReplyResult): void {
    if (id !== 0) this.write({ case: 'reply', value: create(pb.ReplySchema, { id, result }) });
  }

  #connect(id: number, connect: pb.Connect): void {
    const server = this.#server;
    const [user = '', exp = ''] = connect.token.split('.');
    const fail = (code: number, reason: string, bye: number) => {
      this.write({ case: 'reply', value: create(pb.ReplySchema, { id, result: { case: 'error', value: refusal(code, reason) } }) });
      this.bye(bye);
    };
    if (!server.users.has(user)) return fail(200, 'token_invalid', 4300);
    if (Number(exp) <= server.now()) return fail(201, 'token_expired', 4100);
    const old = connect.resume && server.sessions.get(connect.resume.session);
    const refused = !connect.resume ? '' : server.refuseResume || (!old ? 'unknown' : '');
    const resumed = old !== undefined && refused === '';
    const session: FakeSession = resumed
      ? old
      : { id: server.nextId('s'), user, conn: null, count: 0, outbox: new Map(), rooms: new Set() };
    if (!resumed) {
      if (old) server.sessions.delete(old.id);
      if (old) server.calls.sessionGone(old.id);
      server.sessions.set(session.id, session);
    }
    session.conn?.bye(4305);
    const from = resumed ? Number(connect.resume?.count ?? 0n) : 0;
    const rooms = connect.rooms.filter((r) => !session.rooms.has(r.room)).map((r) => server.subscribe(session, r));
    this.session = session;
    session.conn = this;
    const connected = create(pb.ConnectedSchema, {
      session: session.id,
      resumed,
      resumeRefused: refused,
      count: BigInt(from),
      user: server.user(user),
      expiresMs: BigInt(exp),
      timeMs: BigInt(server.now()),
      pingMs: server.pingMs,
      resumeMs: 120_000,
      limits: create(pb.LimitsSchema, { frameBytes: 65_536, textBytes: 4_000, subscriptions: 1_000, inFlight: 32, page: PAGE, clipBytes: this.#server.clipBytes }),
      rooms,
      node: 'fake',
    });
    this.write({ case: 'reply', value: create(pb.ReplySchema, { id, result: { case: 'connected', value: connected } }) });
    for (const [number, push] of [...session.outbox]) {
      if (number <= from) session.outbox.delete(number);
      else this.write({ case: 'push', value: create(pb.PushSchema, { push }) });
    }
  }

  #do(command: pb.ClientMessage['command'], session: FakeSession): ReplyResult {
    const server = this.#server;
    const me = session.user;
    const no = (code: number, reason: string): ReplyResult => ({ case: 'error', value: refusal(code, reason) });
    const ofOthers = server.calls.handle(command, session) ?? server.notify.handle(command, session);
    if (ofOthers) return ofOthers;
    switch (command.case) {
      case 'refresh':
        return { case: 'refreshed', value: create(pb.RefreshedSchema, { expiresMs: BigInt(command.value.token.split('.')[1] ?? '0') }) };
      case 'subscribe':
        return { case: 'subscribed', value: server.subscribe(session, command.value.after!) };
      case 'roomList': {
        const rooms = [...server.rooms.values()].reverse().filter((r) => {
          const m = r.members.get(me)?.membership;
          return m === Membership.JOINED || m === Membership.INVITED;
        });
        return { case: 'rooms', value: create(pb.RoomPageSchema, { rooms: rooms.map((r) => this.#withMarks(r, me)) }) };
      }
      case 'roomBrowse': {
        const rooms = [...server.rooms.values()].reverse().filter((r) => r.visibility === Visibility.PUBLIC);
        return { case: 'rooms', value: create(pb.RoomPageSchema, { rooms: rooms.map((r) => server.info(r, me)) }) };
      }
      case 'roomCreate':
        return this.#createRoom(command.value, me);
    }
    const value = command.value as { room?: string } | undefined;
    const room = server.rooms.get(value?.room ?? '');
    if (!room) return no(401, 'room_not_found');
    return this.#inRoom(command, room, me);
  }

  /** As the list and the look at one room have it; a room that one has never marked counts as read. */
  #withMarks(room: FakeRoom, me: string): pb.RoomInfo {
    const info = this.#server.info(room, me);
    if (!this.#server.notify.marks.has(`${room.id} ${me}`)) return info;
    const { readSeq, unread, unreadMentions } = this.#server.notify.marked(room.id, me);
    return Object.assign(info, { readSeq, unread, unreadMentions });
  }

  #createRoom(c: pb.RoomCreate, me: string): ReplyResult {
    const server = this.#server;
    if (c.kind === RoomKind.DIRECT) {
      const other = c.members[0] ?? '';
      if (!server.users.has(other)) return { case: 'error', value: refusal(406, 'user_not_found') };
      const known = [...server.rooms.values()].find((r) => r.kind === RoomKind.DIRECT && r.members.has(me) && r.members.has(other));
      const room = known ?? server.createRoom(me, '', [other], RoomKind.DIRECT);
      return { case: 'room', value: server.info(room, me) };
    }
    const room = server.createRoom(me, c.title, [], c.kind, c.visibility || Visibility.PRIVATE);
    for (const m of c.members) server.setMember(room, me, m, Membership.INVITED, Role.MEMBER);
    return { case: 'room', value: server.info(room, me) };
  }

  #inRoom(command: pb.ClientMessage['command'], room: FakeRoom, me: string): ReplyResult {
    const server = this.#server;
    const committed = (seq: number, dup = false): ReplyResult => ({
      case: 'committed',
      value: create(pb.CommittedSchema, { room: room.id, epoch: room.epoch, seq: BigInt(seq), timeMs: BigInt(server.now()), dup }),
    });
    const write = (cid: string, make: () => pb.Event): ReplyResult => {
      const before = room.cids.get(`${me} ${cid}`);
      return before ? committed(before, true) : committed(Number(make().seq));
    };
    switch (command.case) {
      case 'events':
        return { case: 'events', value: server.eventPage(room, command.value.epoch, Number(command.value.after)) };
      case 'history':
        return { case: 'history', value: this.#history(room, command.value) };
      case 'send': {
        const { cid, text, replyTo, mentions, mentionAll } = command.value;
        return write(cid, () => server.post(room, me, text, Number(replyTo), cid, { mentions, mentionAll }));
      }
      case 'edit': {
        const { cid, text, target } = command.value;
        return write(cid, () => server.edit(room, me, Number(target), text, cid));
      }
      case 'delete': {
        const { cid, target } = command.value;
        return write(cid, () => server.remove(room, me, Number(target), cid));
      }
      case 'roomGet':
        return { case: 'room', value: this.#withMarks(room, me) };
      case 'roomMembers': {
        const members = [...room.members].map(([id, m]) => create(pb.MemberSchema, { user: server.user(id), ...m }));
        return { case: 'members', value: create(pb.MemberPageSchema, { room: room.id, members }) };
      }
      case 'roomJoin':
        server.setMember(room, me, me, Membership.JOINED, room.members.get(me)?.role || Role.MEMBER);
        return { case: 'room', value: server.info(room, me) };
      case 'roomLeave':
        return committed(Number(server.setMember(room, me, me, Membership.LEFT, Role.UNSPECIFIED).seq));
      case 'roomInvite':
        if (!server.users.has(command.value.user)) return { case: 'error', value: refusal(406, 'user_not_found') };
        return committed(Number(server.setMember(room, me, command.value.user, Membership.INVITED, Role.MEMBER).seq));
      case 'roomRemove':
        return committed(Number(server.setMember(room, me, command.value.user, Membership.LEFT, Role.UNSPECIFIED).seq));
      case 'roomSetRole':
        return committed(Number(server.setMember(room, me, command.value.user, Membership.JOINED, command.value.role).seq));
      default:
        return { case: 'error', value: refusal(102, 'unknown_command') };
    }
  }

  #history(room: FakeRoom, { from, limit }: pb.ReadHistory): pb.HistoryPage {
    const all = this.#server.messages(room);
    const size = Math.min(limit || PAGE, PAGE);
    const matching = all.filter((m) =>
      from.case === 'before' ? m.seq < from.value : from.case === 'after' ? m.seq > from.value : true,
    );
    const messages = from.case === 'after' ? matching.slice(0, size) : matching.slice(-size);
    return create(pb.HistoryPageSchema, {
      room: room.id,
      epoch: room.epoch,
      messages,
      asOf: BigInt(room.events.length),
      more: matching.length > messages.length,
    });
  }
}
