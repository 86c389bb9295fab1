/** The public face: rooms and messages that stay right by themselves, and writes that aren't lost. */
import { Acks } from './acks.js';
import { Calls, defaultOpenPeer, type CallChange } from './call.js';
import type { OpenPeer } from './call-negotiation.js';
import type { CallIn } from './call-roster.js';
import type { CodecName } from './codec.js';
import type { ClipView } from './clip-types.js';
import type { CallCause, CallSighting } from './inspect-types.js';
import { Connection, type GetToken } from './connection.js';
import { Notifications } from './notify.js';
import { commandOf, Outbox, type Write, type WriteOp } from './outbox.js';
import { systemClock, type Clock, type OpenSocket, type Store } from './ports.js';
import { Requests } from './requests.js';
import { Room, type Unread } from './room.js';
import type { LogStep } from './room-log.js';
import type { HeadsMoved, Status } from './session.js';
import {
  offlineError,
  KaiwaError,
  type Connected,
  type Limits,
  type Marked,
  type Member,
  type Message,
  type Push,
  type Result,
  type Role,
  type RoomInfo,
  type RoomKind,
  type RoomState,
  type Subscribed,
  type User,
  type Visibility,
} from './types.js';
import { uuid7 } from './uuid7.js';

export interface KaiwaOptions {
  /** Of the WebSocket, such as `wss://chat.example/ws`. */
  url: string;
  /** Whose store this is, as far as it is known before the first connection. */
  me: User;
  getToken: GetToken;
  store: Store;
  /** Names this installation: 1–64 of [A-Za-z0-9._-], chosen once and kept. */
  device: string;
  codec?: CodecName;
  openSocket?: OpenSocket;
  clock?: Clock;
  /** Fills an array with random bytes. */
  randomBytes?: (bytes: Uint8Array<ArrayBuffer>) => void;
  /** The server's clock minus the local one, from an earlier run. */
  clockOffsetMs?: number;
  /** Somebody looks at the app from the beginning; else `setVisible` says so. */
  isVisible?: boolean;
  /** For calls; the browser's RTCPeerConnection unless given. */
  openPeer?: OpenPeer;
  /** Tells the server what a call could not connect by (`CallInspector.report`), so that it can name the cause. */
  reportCall?: (room: string, sighting: CallSighting) => Promise<CallCause | null>;
}

export type Change =
  | { kind: 'status' }
  /** The list of rooms, or what it shows of one. */
  | { kind: 'rooms' }
  /** Messages, writes, members of one room. */
  | { kind: 'room'; room: string }
  /** Somebody wrote. Called once for each message of somebody else that arrives live. */
  | { kind: 'message'; room: string; message: Message }
  /** How far a clip is. */
  | { kind: 'clip_progress'; room: string; seq: number }
  /** One isn't in this room any more. */
  | { kind: 'gone'; room: string }
  | CallChange;

export interface RoomView {
  info: RoomInfo;
  unread: Unread;
  /** Messages up to this seq were seen on this device. */
  lastRead: number;
  newest: Message | null;
  /** Own writes that the list doesn't show yet, in order. */
  writes: readonly Write[];
}

/** The list of one room's messages. */
export interface MessagesView {
  messages: readonly Message[];
  /** Older ones can be read with `loadOlder`. */
  more: boolean;
  loading: boolean;
  /** False as long as nothing can be shown, not even that the room is empty. */
  ready: boolean;
  writes: readonly Write[];
}

const CLIENT = 'kaiwa-web/0.1.0';
const SAVE_AFTER_MS = 200;
const RETRY_MS = 1_000;
const PAGE = 50;
/** Pages that a jump to an old message may read. */
const JUMP_PAGES_MAX = 200;

export class Kaiwa {
  me: User;
  /** The call that one is in, and rings. */
  readonly call: Calls;
  /** What comes to one's devices while one is away. */
  readonly notifications: Notifications;
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #connection: Connection;
  readonly #requests: Requests;
  readonly #outbox: Outbox;
  readonly #random: () => number;
  readonly #randomBytes: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly #rooms = new Map<string, Room>();
  readonly #names = new Map<string, string>();
  /** People of whom the server knows no name either. */
  readonly #nameless = new Set<string>();
  readonly #listeners = new Set<(change: Change) => void>();
  /** Writes on the wire, by command id. */
  readonly #sent = new Map<number, string>();
  readonly #dirty = new Set<string>();
  /** Rooms whose state was pushed while the list was being read: the push is the newer one. */
  #pushedMeanwhile: Set<string> | null = null;
  /** The versions of rooms that one isn't in any more. */
  readonly #goneVersions = new Map<string, number>();
  #changes = new Map<string, Change>();
  #clockOffset: number;
  #lastMinted = 0;
  #lastWritten = 0;
  #cancelOutboxTimer: (() => void) | null = null;
  readonly #acks: Acks;
  #cancelAckTimer: (() => void) | null = null;
  /** The command that an ack was sent as; a server that doesn't know acks refuses it by that. */
  #ackId: number | null = null;
  /** The server knows acks and marks, as far as it has shown. */
  #takesAcks = true;
  #takesMarks = true;
  #cancelSave: (() => void) | null = null;
  #saving: Promise<void> = Promise.resolve();
  #stopped = false;
  #listed = false;
  #started = false;

  constructor(options: KaiwaOptions) {
    this.me = options.me;
    this.#clock = options.clock ?? systemClock;
    this.#store = options.store;
    this.#clockOffset = options.clockOffsetMs ?? 0;
    this.#randomBytes = options.randomBytes ?? ((bytes) => crypto.getRandomValues(bytes));
    this.#random = () => {
      const bytes = new Uint8Array(4);
      this.#randomBytes(bytes);
      return new DataView(bytes.buffer).getUint32(0) / 2 ** 32;
    };
    this.#outbox = new Outbox(this.#random);
    this.#acks = new Acks(options.isVisible ?? false);
    this.notifications = new Notifications({ ask: (command, policy) => this.#askNow(command, policy) });
    this.#connection = new Connection(
      {
        url: options.url,
        codec: options.codec ?? 'proto',
        clock: this.#clock,
        openSocket: options.openSocket ?? browserSocket,
        getToken: options.getToken,
        device: options.device,
        client: CLIENT,
        random: this.#random,
        positions: () => this.#positions(),
      },
      {
        handleConnected: (c) => this.#handleConnected(c),
        handlePush: (p) => this.#handlePush(p),
        handleReply: (id, r) => this.#handleReply(id, r),
        handleLost: () => this.#handleLost(),
        handleForget: () => this.#handleForget(),
        handleStatus: () => this.#handleStatus(),
        handleSettled: () => this.#settle(),
      },
    );
    this.#requests = new Requests({
      send: (command) => this.#connection.send(command),
      after: (ms, run) => void this.#clock.after(ms, run),
      // One place is kept for writes and for the answers to pings.
      inFlight: () => (this.#connection.live ? Math.max(1, (this.limits?.inFlight || 16) - 2) : 0),
    });
    this.call = new Calls({
      clock: this.#clock,
      openPeer: options.openPeer ?? defaultOpenPeer(),
      live: () => this.#connection.live,
      wake: () => this.#connection.wake(),
      me: () => this.me,
      clockOffsetMs: () => this.#clockOffset,
      report: async (room, sighting) => (await options.reportCall?.(room, sighting).catch(() => null)) ?? null,
      ask: (command, policy) => (policy === 'once' ? this.#askNow(command, policy) : this.#requests.ask(command, policy)),
      changed: (change) => this.#changed(change),
      // Later, so that nobody is told in the middle of a frame.
      settle: () => queueMicrotask(() => this.#emit()),
    });
  }

  /** Shows what the store has, then connects. */
  async start(): Promise<void> {
    if (this.#started) return;
    this.#started = true;
    this.#store.onOrphans(() => this.#adoptMore());
    try {
      for (const stored of await this.#store.rooms()) {
        for (const [id, name] of Object.entries(stored.names)) this.#names.set(id, name);
        this.#rooms.set(stored.info.room, Room.restore(stored));
      }
    } catch {
      // Nothing kept is as good as a first visit.
    }
    await this.#adopt(true);
    this.#changed({ kind: 'rooms' });
    this.#settle();
    if (!this.#stopped) this.#connection.start();
  }

  /** Connects again after the server said stop. */
  restart(): void {
    this.#connection.start();
    this.#settle();
  }

  /** Ends the connection. What is unsent stays in the store. */
  async stop(): Promise<void> {
    this.#stopped = true;
    // Said as long as there is a connection to say it over.
    void this.call.leave();
    this.#connection.stop();
    this.#requests.handleStopped();
    this.#cancelOutboxTimer?.();
    this.#cancelAckTimer?.();
    await this.flush();
  }

  /** Writes to the store what waits for it. */
  async flush(): Promise<void> {
    this.#cancelSave?.();
    this.#cancelSave = null;
    this.#save();
    await this.#saving;
  }

  /** The network is back, or the app is in view again. */
  wake(): void {
    if (this.#stopped || !this.#started) return;
    this.#connection.wake();
    this.#adoptMore();
    this.#settle();
  }

  /** Gives what ends the listening. Changes come in batches, after everything is consistent. */
  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get status(): Status {
    return this.#connection.session.status;
  }

  get limits(): Limits | null {
    return this.#connection.session.limits;
  }

  /** To be kept and given as `clockOffsetMs` the next time. */
  get clockOffsetMs(): number {
    return this.#clockOffset;
  }

  /** The list of rooms is complete (and not only what was kept). */
  get listed(): boolean {
    return this.#listed;
  }

  get unsent(): number {
    let count = 0;
    for (const room of this.#outbox.rooms) {
      count += this.#outbox.writes(room).filter((w) => w.state.kind !== 'committed').length;
    }
    return count;
  }

  nameOf(user: string): string {
    return this.#names.get(user) || user;
  }

  /** All rooms and invitations, the one with the newest message first. */
  rooms(): RoomView[] {
    const time = (room: Room) => Math.max(room.newest?.timeMs ?? 0, room.info.createdMs);
    return [...this.#rooms.values()].sort((a, b) => time(b) - time(a)).map((room) => this.#view(room));
  }

  room(id: string): RoomView | null {
    const room = this.#rooms.get(id);
    return room ? this.#view(room) : null;
  }

  messages(id: string): MessagesView {
    const room = this.#rooms.get(id);
    const timeline = room?.timeline;
    return {
      messages: timeline?.messages ?? [],
      more: timeline?.more ?? false,
      loading: room?.loading != null,
      ready: room?.ready ?? false,
      writes: this.#outbox.writes(id),
    };
  }

  /** A message that is known, also one that isn't in the list; asks for it if not. */
  quoted(id: string, seq: number): Message | null {
    const room = this.#rooms.get(id);
    const message = room?.timeline?.get(seq);
    if (message) return message;
    if (room?.timeline && !room.asked.has(seq)) {
      room.asked.add(seq);
      void this.#askQuoted(room, seq);
    }
    return null;
  }

  /** How far a clip is that is being made playable, 0 to 100; null while that isn't known. */
  clipPercent(id: string, seq: number, clip: ClipView): number | null {
    return this.#rooms.get(id)?.clipPercent(seq, clip) ?? null;
  }

  /** Who is in a room's call, as far as is known: how many, since when. */
  callIn(id: string): CallIn {
    return this.call.callIn(id);
  }

  /** Somebody looks at this room now: read its history and who is in it. */
  openRoom(id: string): void {
    const room = this.#rooms.get(id);
    if (!room) return;
    room.open = true;
    this.#fill(room);
    void this.call.look(id);
    void this.#recount(room);
  }

  closeRoom(id: string): void {
    const room = this.#rooms.get(id);
    if (room) room.open = false;
  }

  markRead(id: string): void {
    const room = this.#rooms.get(id);
    const seq = room?.timeline?.messages.at(-1)?.seq ?? 0;
    if (!room || seq === 0) return;
    if (seq > room.lastRead) {
      room.lastRead = seq;
      this.#touch(room);
      this.#settle();
    }
    void this.#mark(room);
  }

  /** Somebody looks at the app now, or has turned away: said to the server at once, which tells who is away by it. */
  setVisible(isVisible: boolean): void {
    this.#acks.handleVisible(isVisible, this.#clock.now());
    this.#sayAck();
  }

  /** Reads one more page of older messages. */
  async loadOlder(id: string, limit = PAGE): Promise<void> {
    const room = this.#rooms.get(id);
    if (!room?.timeline?.more) return;
    room.loading ??= this.#readOlder(room, limit).finally(() => {
      room.loading = null;
      this.#changed({ kind: 'room', room: id });
      this.#settle();
    });
    this.#changed({ kind: 'room', room: id });
    this.#settle();
    await room.loading;
  }

  /** Reads older pages until the message is in the list. False: it isn't there. */
  async loadUntil(id: string, seq: number): Promise<boolean> {
    const room = this.#rooms.get(id);
    for (let pages = 0; room?.timeline && pages < JUMP_PAGES_MAX; pages++) {
      if (room.timeline.floor <= seq || !room.timeline.more) break;
      await this.loadOlder(id, this.limits?.page || PAGE);
    }
    return room?.timeline?.messages.some((m) => m.seq === seq) ?? false;
  }

  /** Resolves with the cid as soon as the message is stored here; it is sent when that is possible. */
  send(room: string, text: string, options: { replyTo?: number; mentions?: string[]; mentionAll?: boolean } = {}): Promise<string> {
    const { replyTo = 0, mentions = [], mentionAll = false } = options;
    return this.#write(room, { kind: 'send', text, replyTo, mentions, mentionAll });
  }

  /** `mentions`: whom it names from now on. */
  edit(room: string, target: number, text: string, options: { mentions?: string[]; mentionAll?: boolean } = {}): Promise<string> {
    const { mentions = [], mentionAll = false } = options;
    return this.#write(room, { kind: 'edit', target, text, mentions, mentionAll });
  }

  delete(room: string, target: number): Promise<string> {
    return this.#write(room, { kind: 'delete', target });
  }

  /** Sends a failed write again. */
  retry(cid: string): void {
    this.#outbox.retry(cid, () => this.#mint());
    this.#settle();
  }

  /** Gives up on a write that failed or was never sent. False: it is on its way. */
  discard(cid: string): boolean {
    const done = this.#outbox.discard(cid);
    this.#settle();
    return done;
  }

  async createRoom(room: {
    kind: Exclude<RoomKind, 'unknown'>;
    title?: string;
    visibility?: Visibility;
    members?: string[];
  }): Promise<RoomInfo> {
    const { kind, title = '', visibility = 'private', members = [] } = room;
    const cid = this.#mint();
    const result = await this.#askNow(
      { kind: 'room_create', cid, roomKind: kind, title, visibility, members },
      'repeat',
    );
    return this.#enter(expectKind(result, 'room').info);
  }

  async joinRoom(room: string): Promise<RoomInfo> {
    const result = await this.#askNow({ kind: 'room_join', room }, 'once');
    return this.#enter(expectKind(result, 'room').info);
  }

  /** Leaves, or declines an invitation. */
  async leaveRoom(room: string): Promise<void> {
    await this.#askNow({ kind: 'room_leave', room }, 'once');
    this.#remove(room);
    this.#settle();
  }

  async invite(room: string, user: string): Promise<void> {
    await this.#askNow({ kind: 'room_invite', room, user }, 'once');
  }

  async removeMember(room: string, user: string): Promise<void> {
    await this.#askNow({ kind: 'room_remove', room, user }, 'once');
  }

  async setRole(room: string, user: string, role: Exclude<Role, 'none'>): Promise<void> {
    await this.#askNow({ kind: 'room_set_role', room, user, role }, 'once');
  }

  /** Public rooms, a page of them. `next` is empty at the end. */
  async browse(cursor = ''): Promise<{ rooms: RoomInfo[]; next: string }> {
    const result = await this.#requests.ask({ kind: 'room_browse', cursor, limit: 0 }, 'repeat');
    return expectKind(result, 'rooms');
  }

  /** Who is in a room, kept up to date by its events from then on. */
  members(id: string): Member[] | null {
    const members = this.#rooms.get(id)?.members;
    return members ? [...members.values()] : null;
  }

  async loadMembers(id: string): Promise<void> {
    const members = new Map<string, Member>();
    for (let cursor = ''; ; ) {
      const result = await this.#requests.ask({ kind: 'room_members', room: id, cursor, limit: 0 }, 'repeat');
      const page = expectKind(result, 'members');
      for (const member of page.members) {
        if (member.membership !== 'left') members.set(member.user.id, member);
        this.#learn(member.user);
      }
      if (page.next === '' || page.next === cursor) break;
      cursor = page.next;
    }
    const room = this.#rooms.get(id);
    if (!room) return;
    room.members = members;
    room.info = { ...room.info, members: [...members.values()].filter((m) => m.membership === 'joined').length };
    this.#touch(room);
    this.#settle();
  }

  // --- what comes from the connection ---

  #positions(): { room: string; position: { epoch: number; seq: number } }[] {
    const positions = [];
    for (const room of this.#rooms.values()) {
      const { position } = room.log;
      if (room.info.membership === 'joined' && position) positions.push({ room: room.info.room, position });
    }
    return positions.slice(0, this.limits?.subscriptions || positions.length);
  }

  #handleConnected(connected: Connected): void {
    this.#clockOffset = connected.timeMs - this.#clock.now();
    this.me = connected.user.name ? connected.user : { ...this.me, id: connected.user.id };
    this.#learn(this.me);
    if (!connected.resumed) {
      for (const room of this.#rooms.values()) {
        room.following = false;
        room.log.restart();
      }
    }
    for (const subscribed of connected.rooms) this.#handleSubscribed(subscribed);
    for (const room of this.#rooms.values()) {
      if (room.following) this.#step(room, room.log.handleResumed());
      else if (connected.resumed && room.info.membership === 'joined') this.#follow(room);
    }
    // Another server perhaps, or the same one after an update.
    this.#takesAcks = this.#takesMarks = true;
    this.#acks.handleConnected(this.#clock.now());
    this.#requests.flush();
    if (connected.resumed) for (const room of this.#rooms.values()) if (room.open) void this.#mark(room);
    this.call.handleConnected(connected.resumed);
    if (!connected.resumed) for (const room of this.#rooms.values()) if (room.open) void this.call.look(room.info.room);
    if (!connected.resumed || !this.#listed) void this.#readRooms();
    this.#adoptMore();
  }

  #handlePush(push: Exclude<Push, { kind: 'ping' } | { kind: 'bye' }> | HeadsMoved): void {
    switch (push.kind) {
      case 'event': {
        const room = this.#rooms.get(push.event.room);
        if (room) this.#step(room, room.log.handleEvent(push.event));
        return;
      }
      case 'gap': {
        const room = this.#rooms.get(push.room);
        if (room) this.#step(room, room.log.handleHead({ epoch: push.epoch, seq: push.head }));
        return;
      }
      case 'heads':
        for (const { room: id, position } of push.heads) {
          const room = this.#rooms.get(id);
          if (room) this.#step(room, room.log.handleHead(position));
        }
        return;
      case 'state':
        return this.#handleState(push.state);
      case 'marked':
        return this.#handleMarked(push.marked);
      case 'clip_progress': {
        const { room, seq } = push.progress;
        if (this.#rooms.get(room)?.handleClipProgress(push.progress)) this.#changed({ kind: 'clip_progress', room, seq });
        return;
      }
      case 'unknown':
        return;
      default:
        return this.call.handlePush(push);
    }
  }

  #handleReply(id: number, result: Result): void {
    const cid = this.#sent.get(id);
    if (id === this.#ackId) {
      // Only a refusal answers an ack. To repeat what is unknown would end the connection.
      this.#takesAcks = false;
    } else if (cid === undefined) {
      this.#requests.handleReply(id, result);
    } else {
      this.#handleWritten(id, cid, result);
    }
  }

  #handleWritten(id: number, cid: string, result: Result): void {
    this.#sent.delete(id);
    const room = this.#outbox.find(cid)?.room;
    this.#outbox.handleResult(cid, result, this.#clock.now(), () => this.#mint());
    if (room !== undefined) this.#shown(room);
  }

  #handleLost(): void {
    this.#sent.clear();
    this.#outbox.handleLost();
    this.call.handleLost();
    this.#requests.handleLost();
  }

  #handleForget(): void {
    for (const [id, room] of this.#rooms) {
      this.#rooms.set(id, new Room(room.info));
      this.#changed({ kind: 'room', room: id });
    }
    this.#listed = false;
  }

  #handleStatus(): void {
    this.#changed({ kind: 'status' });
    if (this.status.kind === 'stopped') {
      this.#requests.handleStopped();
      this.call.handleStopped();
    }
    // Nothing else may come after this for a while.
    this.#settle();
  }

  #handleMarked(marked: Marked): void {
    const room = this.#rooms.get(marked.room);
    if (room?.handleMarked(marked)) this.#touch(room);
  }

  /** Says how far one has read, one question at a time for each room. */
  async #mark(room: Room): Promise<void> {
    if (room.marking) return;
    room.marking = true;
    try {
      while (this.#connection.live && this.#takesMarks && room.lastRead > room.markedSeq) {
        const seq = room.lastRead;
        const { room: id, epoch } = room.info;
        const result = await this.#askNow({ kind: 'mark', room: id, epoch, seq }, 'once');
        room.markedSeq = Math.max(room.markedSeq, seq);
        if (result.kind === 'marked') this.#handleMarked(result.marked);
        this.#settle();
      }
    } catch (error) {
      const { reason, temporary } = error as KaiwaError;
      if (reason === 'unknown_command') this.#takesMarks = false;
      // Refused for good: not again. What was lost with the connection is said when it is back.
      else if (!temporary) room.markedSeq = room.lastRead;
    } finally {
      room.marking = false;
    }
  }

  #handleState({ info, version }: RoomState): void {
    const known = this.#rooms.get(info.room);
    if (version < (known?.version ?? this.#goneVersions.get(info.room) ?? 0)) return;
    this.#pushedMeanwhile?.add(info.room);
    if (info.membership !== 'joined' && info.membership !== 'invited') {
      this.#goneVersions.set(info.room, version);
      this.#remove(info.room);
      return;
    }
    const room = this.#put(info);
    room.version = version;
    if (!known && info.membership === 'joined') room.lastRead = 0;
    this.#follow(room);
  }

  // --- rooms ---

  async #readRooms(): Promise<void> {
    const pushed = new Set<string>();
    this.#pushedMeanwhile = pushed;
    const seen = new Set<string>();
    try {
      for (let cursor = ''; ; ) {
        const result = await this.#requests.ask({ kind: 'room_list', cursor, limit: 0 }, 'repeat');
        // A new session has begun the list anew.
        if (this.#pushedMeanwhile !== pushed) return;
        const page = expectKind(result, 'rooms');
        for (const info of page.rooms) {
          seen.add(info.room);
          if (!pushed.has(info.room)) this.#listedRoom(info);
        }
        if (page.next === '' || page.next === cursor) break;
        cursor = page.next;
      }
    } catch {
      return;
    } finally {
      if (this.#pushedMeanwhile === pushed) this.#pushedMeanwhile = null;
    }
    for (const id of this.#rooms.keys()) if (!seen.has(id) && !pushed.has(id)) this.#remove(id);
    this.#listed = true;
    this.#changed({ kind: 'rooms' });
    this.#settle();
  }

  #listedRoom(info: RoomInfo): void {
    const known = this.#rooms.has(info.room);
    const room = this.#put(info);
    const { readSeq, unread, head } = info;
    // What was written before this device knew the room counts as read, unless the server knows better.
    if (!known && !this.#listed) room.lastRead = unread > 0 ? readSeq : head;
    room.handleCounted(info);
    // Read here while there was no connection to say it over.
    if (unread > 0 && room.lastRead > readSeq) void this.#mark(room);
    this.#follow(room);
  }

  /** A room that one has just come into by one's own doing. */
  #enter(info: RoomInfo): RoomInfo {
    this.#pushedMeanwhile?.add(info.room);
    const room = this.#put(info);
    room.lastRead = Math.max(room.lastRead, info.head);
    this.#follow(room);
    this.#settle();
    return info;
  }

  #put(info: RoomInfo): Room {
    let room = this.#rooms.get(info.room);
    if (!room) {
      room = new Room(info);
      this.#rooms.set(info.room, room);
    } else {
      const { last, head } = room.info;
      const newer = last && last.seq > (info.last?.seq ?? 0) ? last : info.last;
      room.info = { ...info, last: newer, head: Math.max(head, info.head) };
    }
    if (info.peer) this.#learn(info.peer);
    if (info.last) this.#learn({ id: info.last.sender, name: info.last.senderName });
    this.#touch(room);
    return room;
  }

  #remove(id: string): void {
    if (!this.#rooms.delete(id)) return;
    this.#dirty.delete(id);
    this.#saving = this.#saving.then(() => this.#store.dropRoom(id)).catch(() => {});
    this.call.handleRoomGone(id);
    this.#changed({ kind: 'gone', room: id });
    this.#changed({ kind: 'rooms' });
  }

  /** Subscribes to a room that isn't followed yet. */
  #follow(room: Room): void {
    if (room.following || room.info.membership !== 'joined' || !this.#connection.live) return;
    room.following = true;
    room.log.restart();
    this.#subscribe(room);
  }

  #subscribe(room: Room): void {
    const id = room.info.room;
    this.#requests.ask({ kind: 'subscribe', room: id, after: room.log.position }, 'once').then(
      (result) => {
        if (result.kind === 'subscribed' && this.#rooms.get(id) === room) this.#handleSubscribed(result.subscribed);
        this.#settle();
      },
      (error: KaiwaError) => {
        room.following = false;
        if (error.temporary && error.code !== 0) this.#later(error, () => this.#follow(room));
      },
    );
  }

  #handleSubscribed(subscribed: Subscribed): void {
    const room = this.#rooms.get(subscribed.room);
    if (!room) return;
    if (subscribed.outcome.kind === 'error') {
      room.following = false;
      const { error } = subscribed.outcome;
      if (error.temporary) this.#later(error, () => this.#follow(room));
      return;
    }
    room.following = true;
    if (subscribed.call) this.call.handleGoingOn(subscribed.call);
    this.#step(room, room.log.handleSubscribed(subscribed));
    if (room.open) this.#fill(room);
  }

  #step(room: Room, step: LogStep): void {
    const id = room.info.room;
    if (step.reset) {
      room.reset(step.reset);
      room.uncounted = room.isUncounted;
      if (room.uncounted) void this.#recount(room);
      this.#touch(room);
      if (room.open) this.#fill(room);
    }
    for (const event of step.apply) {
      if (event.body.kind === 'member') this.#learn(event.body.user);
      room.apply(event);
      if (event.sender === this.me.id && event.cid) this.#outbox.handleOwnEvent(event.cid);
      if (event.body.kind === 'posted' && event.sender !== this.me.id && !event.body.erased) {
        const message = room.timeline?.get(event.seq);
        if (message) this.#changed({ kind: 'message', room: id, message });
      }
    }
    if (step.apply.length > 0) {
      this.#touch(room);
      this.#shown(id);
      void this.#recount(room);
      if (step.apply.some((e) => e.body.kind === 'posted' && this.#isStranger(e.sender))) void this.#askNames(room);
    }
    if (step.next.kind === 'subscribe') {
      room.timeline = null;
      this.#touch(room);
      this.#subscribe(room);
    } else if (step.next.kind === 'read') {
      this.#readEvents(room, step.next.position.epoch, step.next.position.seq);
    }
  }

  #readEvents(room: Room, epoch: number, after: number): void {
    const id = room.info.room;
    this.#requests.ask({ kind: 'events', room: id, epoch, after }, 'once').then(
      (result) => {
        if (result.kind === 'events' && this.#rooms.get(id) === room) this.#step(room, room.log.handlePage(result.page));
        this.#settle();
      },
      (error: KaiwaError) => {
        room.log.handleReadFailed();
        if (error.temporary && error.code !== 0) {
          this.#later(error, () => this.#rooms.get(id) === room && this.#step(room, room.log.retry()));
        }
      },
    );
  }

  /** Loads the newest page if there is little to see. */
  #fill(room: Room): void {
    const enough = (room.timeline?.messages.length ?? 0) >= PAGE / 2;
    if (room.timeline?.more && !enough) void this.loadOlder(room.info.room).catch(() => {});
  }

  async #readOlder(room: Room, limit: number): Promise<void> {
    for (let tries = 0; tries < 3; tries++) {
      const { timeline } = room;
      if (!timeline) return;
      const before = timeline.floor;
      const result = await this.#requests.ask(
        { kind: 'history', room: room.info.room, before, limit },
        'repeat',
      );
      const { page } = expectKind(result, 'history');
      if (room.timeline !== timeline || page.epoch !== room.log.position?.epoch) return;
      for (const m of page.messages) this.#learn({ id: m.sender, name: m.senderName });
      if (!timeline.applyOlder(page, before)) continue;
      this.#touch(room);
      this.#shown(room.info.room);
      return;
    }
  }

  async #askQuoted(room: Room, seq: number): Promise<void> {
    const { timeline } = room;
    try {
      const result = await this.#requests.ask(
        { kind: 'history', room: room.info.room, after: seq - 1, limit: 1 },
        'repeat',
      );
      const { page } = expectKind(result, 'history');
      const message = page.messages[0];
      if (!message || room.timeline !== timeline) return;
      this.#learn({ id: message.sender, name: message.senderName });
      timeline?.applySingle(message, page.asOf);
      this.#changed({ kind: 'room', room: room.info.room });
      this.#settle();
    } catch {
      room.asked.delete(seq);
    }
  }

  /**
   * Asks how many are in a room that somebody looks at, after others came or went; and what is unread in one that was
   * followed too late to see it.
   */
  async #recount(room: Room): Promise<void> {
    if (room.recounting) return;
    room.recounting = true;
    try {
      while (room.uncounted || (room.open && room.recount && !room.members)) {
        room.recount = room.uncounted = false;
        const result = await this.#requests.ask({ kind: 'room_get', room: room.info.room }, 'repeat');
        const { info } = expectKind(result, 'room');
        const { last } = room.info;
        const newer = (info.last?.seq ?? 0) > (last?.seq ?? 0) ? info.last : last;
        room.info = { ...room.info, members: info.members, last: newer };
        if (info.last) this.#learn({ id: info.last.sender, name: info.last.senderName });
        room.handleCounted(info);
        this.#touch(room);
      }
    } catch {
      room.recount = true;
      room.uncounted = room.isUncounted;
    } finally {
      room.recounting = false;
      this.#settle();
    }
  }

  #isStranger(user: string): boolean {
    return user !== this.me.id && !this.#names.has(user) && !this.#nameless.has(user);
  }

  /** Events carry no names: those of who was here before us come with the messages as they are now. */
  async #askNames(room: Room): Promise<void> {
    if (room.naming) return;
    room.naming = true;
    try {
      for (;;) {
        const first = room.timeline?.messages.find((m) => this.#isStranger(m.sender));
        if (!first) return;
        const result = await this.#requests.ask(
          { kind: 'history', room: room.info.room, after: first.seq - 1, limit: PAGE },
          'repeat',
        );
        const { messages } = expectKind(result, 'history').page;
        for (const m of messages) this.#learn({ id: m.sender, name: m.senderName });
        for (const { sender } of [first, ...messages]) if (this.#isStranger(sender)) this.#nameless.add(sender);
        this.#touch(room);
      }
    } catch {
      // The next message of theirs asks again.
    } finally {
      room.naming = false;
      this.#settle();
    }
  }

  // --- writes ---

  async #write(room: string, op: WriteOp): Promise<string> {
    this.#lastWritten = Math.max(this.#lastWritten + 1, this.#clock.now());
    const write: Write = {
      cid: this.#mint(),
      room,
      op,
      createdMs: this.#lastWritten,
      attempts: 0,
      state: { kind: 'waiting' },
    };
    // In the order of writing, however long the store takes for each.
    const saved = this.#saving.then(() => this.#store.saveWrite(write));
    this.#saving = saved.catch(() => {});
    await saved;
    this.#outbox.add(write);
    this.#settle();
    return write.cid;
  }

  async #adopt(first: boolean): Promise<void> {
    try {
      const writes = await this.#store.adoptWrites({ first });
      for (const write of writes) this.#lastWritten = Math.max(this.#lastWritten, write.createdMs);
      this.#outbox.restore(writes);
    } catch {
      // They stay where they are, for the next start.
    }
  }

  #adoptMore(): void {
    if (!this.#stopped) void this.#adopt(false).then(() => this.#settle());
  }

  /** What the list shows by now needn't be shown as a write. */
  #shown(id: string): void {
    const position = this.#rooms.get(id)?.log.position;
    if (position) this.#outbox.handleShown(id, position.epoch, position.seq);
  }

  #pump(): void {
    this.#cancelOutboxTimer?.();
    this.#cancelOutboxTimer = null;
    if (!this.#connection.live || this.#stopped) return;
    const now = this.#clock.now();
    for (const write of this.#outbox.take(now)) {
      const id = this.#connection.send(commandOf(write));
      if (id !== null) this.#sent.set(id, write.cid);
    }
    const due = this.#outbox.deadline();
    if (due !== null) this.#cancelOutboxTimer = this.#clock.after(Math.max(0, due - now), () => this.#settle());
  }

  /** Says what was received when that is due, and sets the timer for what isn't. */
  #sayAck(): void {
    this.#cancelAckTimer?.();
    this.#cancelAckTimer = null;
    if (!this.#connection.live || !this.#takesAcks || this.#stopped) return;
    const now = this.#clock.now();
    const ack = this.#acks.poll(this.#connection.session.count, now);
    if (ack) this.#ackId = this.#connection.send({ kind: 'ack', ...ack });
    const due = this.#acks.deadline();
    if (due !== null) this.#cancelAckTimer = this.#clock.after(Math.max(0, due - now), () => this.#sayAck());
  }

  // --- bookkeeping ---

  /** After any input: sends what can go, stores what changed, tells the listeners. */
  #settle(): void {
    this.#pump();
    this.#acks.handleCount(this.#connection.session.count, this.#clock.now());
    this.#sayAck();
    for (const effect of this.#outbox.poll()) {
      if (effect.kind === 'changed') {
        this.#changed({ kind: 'room', room: effect.room });
        this.#changed({ kind: 'rooms' });
      } else {
        const { write, cid } = effect.kind === 'save' ? { ...effect, cid: '' } : { write: null, cid: effect.cid };
        this.#saving = this.#saving
          .then(() => (write ? this.#store.saveWrite(write) : this.#store.dropWrite(cid)))
          .catch(() => {});
      }
    }
    this.#emit();
  }

  #emit(): void {
    while (this.#changes.size > 0) {
      const changes = this.#changes;
      this.#changes = new Map();
      for (const change of changes.values()) for (const listener of this.#listeners) listener(change);
    }
  }

  #changed(change: Change): void {
    this.#changes.set(this.#changeKey(change), change);
  }

  /** Changes of one key count once in a batch. */
  #changeKey(change: Change): string {
    if (change.kind === 'message') return `message ${change.room} ${change.message.seq}`;
    if (change.kind === 'clip_progress') return `progress ${change.room} ${change.seq}`;
    if (change.kind === 'call_notice') return `notice ${this.#changes.size}`;
    return `${change.kind} ${'room' in change ? change.room : ''}`;
  }

  #touch(room: Room): void {
    this.#dirty.add(room.info.room);
    this.#cancelSave ??= this.#clock.after(SAVE_AFTER_MS, () => {
      this.#cancelSave = null;
      this.#save();
    });
    this.#changed({ kind: 'room', room: room.info.room });
    this.#changed({ kind: 'rooms' });
  }

  #save(): void {
    for (const id of this.#dirty) {
      const room = this.#rooms.get(id);
      // A list that is being read anew has nothing to show yet: what was kept is better until it has.
      if (!room || (room.isKept && !room.ready)) continue;
      room.isKept = room.ready;
      const stored = room.store((user) => this.nameOf(user));
      this.#saving = this.#saving.then(() => this.#store.saveRoom(stored)).catch(() => {});
    }
    this.#dirty.clear();
  }

  #view(room: Room): RoomView {
    return {
      info: room.info,
      unread: room.unread(this.me.id),
      lastRead: room.lastRead,
      newest: room.newest,
      writes: this.#outbox.writes(room.info.room),
    };
  }

  #learn(user: User): void {
    if (!user.id || !user.name) return;
    this.#names.set(user.id, user.name);
    this.#nameless.delete(user.id);
  }

  #later(error: KaiwaError, run: () => void): void {
    this.#clock.after(Math.max(error.retryMs, RETRY_MS), () => {
      if (this.#stopped) return;
      run();
      this.#settle();
    });
  }

  /** For what a person waits for: says at once that there is no connection. */
  #askNow(
    command: Parameters<Requests['ask']>[0],
    policy: 'once' | 'repeat',
  ): Promise<Exclude<Result, { kind: 'error' }>> {
    if (!this.#connection.live) return Promise.reject(offlineError());
    return this.#requests.ask(command, policy);
  }

  /** A new cid, by the server's clock, later than all before it. */
  #mint(): string {
    const random = new Uint8Array(16);
    this.#randomBytes(random);
    this.#lastMinted = Math.max(this.#lastMinted + 1, this.#clock.now() + this.#clockOffset);
    return uuid7(this.#lastMinted, random);
  }
}

function expectKind<K extends Result['kind']>(result: Result, kind: K): Extract<Result, { kind: K }> {
  if (result.kind !== kind) {
    throw new KaiwaError({ code: 0, reason: 'unknown_reply', message: `a ${result.kind} where a ${kind} belongs` });
  }
  return result as Extract<Result, { kind: K }>;
}

function browserSocket(url: string, subprotocols: string[]): ReturnType<OpenSocket> {
  return new WebSocket(url, subprotocols) as unknown as ReturnType<OpenSocket>;
}
