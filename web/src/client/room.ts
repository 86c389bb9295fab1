/** One room as this client knows it: its log, the list of its messages, who is in it, what is unread. */
import { RoomLog } from './room-log.js';
import { Timeline } from './timeline.js';
import type { StoredRoom } from './ports.js';
import type { ClipProgress, ClipView } from './clip-types.js';
import type { Marked, Member, Message, Position, RoomEvent, RoomInfo } from './types.js';

/** Kept over a reload, and while nobody looks at the room. */
const KEEP_MESSAGES = 200;
const TRIM_AT = 600;

/** The server counts no further. */
const UNREAD_MAX = 999;
/** Clips of one room whose progress is remembered; of others the next word is awaited. */
const CLIPS_MAX = 100;

/** It names this person. */
export const isNamed = (m: Message, user: string): boolean => m.mentionAll === true || (m.mentions ?? []).includes(user);

export interface Unread {
  count: number;
  /** There may be more than `count`. */
  more: boolean;
  /** Those of them that name one. */
  mentions: number;
}

export class Room {
  info: RoomInfo;
  /** The `version` of the state that `info` shows; states with a smaller one are older. */
  version = 0;
  readonly log: RoomLog;
  timeline: Timeline | null = null;
  lastRead = 0;
  /** What the server last said of how far one has read, on whatever device. */
  marked: Marked | null = null;
  /** Marked at the server, or refused by it for good: there is no use in saying it again. */
  markedSeq = 0;
  marking = false;
  /** By user id; null until they were read. */
  members: Map<string, Member> | null = null;
  /** Somebody came or went, and without `members` the count can't be told. */
  recount = false;
  /** What was written before it was followed has to be counted by the server. */
  uncounted = false;
  recounting = false;
  /** Names of senders are being read. */
  naming = false;
  following = false;
  open = false;
  loading: Promise<void> | null = null;
  /** The store has a list of this room's messages. */
  isKept = false;
  /** Of clips that are being made playable, by their messages' seq. */
  readonly #clipProgress = new Map<number, ClipProgress>();
  /** Quoted messages that were asked for once. */
  readonly asked = new Set<number>();

  constructor(info: RoomInfo, position: Position | null = null) {
    this.info = info;
    this.log = new RoomLog(position);
  }

  static restore(stored: StoredRoom): Room {
    const { position, timeline } = stored;
    // Without the list the position is worth nothing: the events before it would be missing.
    const whole = position !== null && timeline !== null;
    const room = new Room(stored.info, whole ? position : null);
    room.version = stored.version;
    room.lastRead = stored.lastRead;
    if (whole) room.timeline = Timeline.restore(position.seq, timeline);
    room.isKept = whole;
    return room;
  }

  /** Something can be shown, if only that the room is empty. */
  get ready(): boolean {
    return this.timeline !== null && (this.timeline.messages.length > 0 || !this.timeline.more);
  }

  store(nameOf: (user: string) => string): StoredRoom {
    const timeline = this.timeline?.snapshot(KEEP_MESSAGES) ?? null;
    const names: Record<string, string> = {};
    for (const m of timeline?.messages ?? []) names[m.sender] = nameOf(m.sender);
    return {
      info: this.info,
      version: this.version,
      position: this.log.position,
      timeline,
      lastRead: this.lastRead,
      names,
    };
  }

  reset(position: Position): void {
    this.timeline = new Timeline(position.seq);
    this.asked.clear();
    this.loading = null;
    this.info = { ...this.info, epoch: position.epoch, head: position.seq };
  }

  apply(event: RoomEvent): void {
    this.timeline?.applyEvent(event);
    const { body } = event;
    const info = { ...this.info, head: Math.max(this.info.head, event.seq) };
    if (body.kind === 'member' && !this.members) this.recount = true;
    if (body.kind === 'member' && this.members) {
      const { user, membership, role } = body;
      if (membership === 'left') this.members.delete(user.id);
      else this.members.set(user.id, { user, membership, role });
      info.members = [...this.members.values()].filter((m) => m.membership === 'joined').length;
    }
    this.info = info;
    this.#refreshLast(event);
    if (!this.open && this.timeline && this.timeline.messages.length > TRIM_AT) this.timeline.trim(KEEP_MESSAGES);
  }

  /** False: it says nothing new. Of marks the one read furthest is right, and then the one counted furthest. */
  handleMarked(marked: Marked): boolean {
    if (marked.epoch !== this.info.epoch) return false;
    const known = this.marked?.epoch === marked.epoch ? this.marked : null;
    if (known && (marked.readSeq < known.readSeq || (marked.readSeq === known.readSeq && marked.head < known.head))) return false;
    this.marked = marked;
    this.markedSeq = Math.max(this.markedSeq, marked.readSeq);
    this.lastRead = Math.max(this.lastRead, marked.readSeq);
    return true;
  }

  /** What a listing says of how far one has read; a server that knows no marks says nothing. */
  handleCounted({ room, epoch, readSeq, unread, unreadMentions, head }: RoomInfo): void {
    if (readSeq > 0 || unread > 0) this.handleMarked({ room, epoch, readSeq, unread, unreadMentions, head });
  }

  /** Of two words on a clip the one with the greater version is right, and then the one that is further. False: an old one. */
  handleClipProgress(progress: ClipProgress): boolean {
    const known = this.#clipProgress.get(progress.seq);
    const isOld = known?.clip === progress.clip && (known.version > progress.version || (known.version === progress.version && known.percent >= progress.percent));
    if (isOld) return false;
    this.#clipProgress.delete(progress.seq);
    this.#clipProgress.set(progress.seq, progress);
    if (this.#clipProgress.size > CLIPS_MAX) this.#clipProgress.delete(this.#clipProgress.keys().next().value!);
    return true;
  }

  /** 0 to 100; null where nothing is known, or nothing that still holds. */
  clipPercent(seq: number, clip: ClipView): number | null {
    const known = this.#clipProgress.get(seq);
    const holds = known?.clip === clip.id && known.version >= clip.version && clip.state === 'processing';
    return holds ? known.percent : null;
  }

  /** What the server counted holds as long as nothing more was read here. */
  get #counted(): Marked | null {
    const { marked } = this;
    return marked && marked.epoch === this.info.epoch && marked.readSeq >= this.lastRead ? marked : null;
  }

  /** The list begins after what was read, and what lies between was not counted. */
  get isUncounted(): boolean {
    const reaches = this.timeline !== null && this.timeline.floor <= this.lastRead + 1;
    return !reaches && (this.#counted?.head ?? 0) < this.info.head;
  }

  unread(me: string): Unread {
    const counted = this.#counted;
    let [count, mentions, later, laterMentions] = [0, 0, 0, 0];
    const list = this.timeline?.messages ?? [];
    for (let i = list.length - 1; i >= 0; i--) {
      const m = list[i]!;
      if (m.seq <= this.lastRead) return { count, more: false, mentions };
      if (m.sender === me || m.deleted) continue;
      const named = isNamed(m, me) ? 1 : 0;
      count += 1;
      mentions += named;
      if (counted && m.seq > counted.head) {
        later += 1;
        laterMentions += named;
      }
    }
    // The list holds all that came after what was read, though nothing that was.
    if (this.timeline && (!this.timeline.more || this.timeline.floor <= this.lastRead + 1)) return { count, more: false, mentions };
    if (counted) {
      const known = Math.max(count, counted.unread + later);
      return { count: known, more: counted.unread >= UNREAD_MAX, mentions: Math.max(mentions, counted.unreadMentions + laterMentions) };
    }
    const { last } = this.info;
    const more = last !== null && last.seq > this.lastRead && last.sender !== me;
    return { count: Math.max(count, more ? 1 : 0), more, mentions };
  }

  /** The newest message, for the list of rooms. */
  get newest(): Message | null {
    return this.timeline?.messages.at(-1) ?? this.info.last;
  }

  #refreshLast(event: RoomEvent): void {
    const newest = this.timeline?.messages.at(-1);
    if (newest && newest.seq >= (this.info.last?.seq ?? 0)) {
      this.info.last = newest;
    } else if (this.info.last && event.body.kind === 'deleted' && event.body.target === this.info.last.seq) {
      this.info.last = { ...this.info.last, deleted: true, text: '', clip: null };
    } else if (this.info.last && event.body.kind === 'edited' && event.body.target === this.info.last.seq) {
      this.info.last = { ...this.info.last, text: event.body.text, editedSeq: event.seq };
    } else if (this.info.last && event.body.kind === 'clip_changed' && event.body.target === this.info.last.seq) {
      this.info.last = { ...this.info.last, clip: event.body.clip };
    }
  }
}
