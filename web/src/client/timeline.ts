/**
 * The messages of one room as they are now, put together from history pages and events.
 *
 * Every message keeps the seq of the change that it shows (`editedSeq`, `deletedSeq`), and the
 * greater one wins; of a clip it is the greater version of the clip itself. Changes to messages that aren't loaded are kept until their page comes. So the
 * result doesn't depend on the order in which pages and events arrive; it is what the log says.
 *
 * `floor` is where the list begins: every message from there to the log's position is here. Single
 * older messages (quoted ones) may be known too, but aren't in the list.
 */
import type { ClipView } from './clip-types.js';
import type { HistoryPage, Message, RoomEvent } from './types.js';

interface Change {
  editedSeq: number;
  editedMs: number;
  text: string;
  mentions: string[];
  mentionAll: boolean;
  deletedSeq: number;
  deletedMs: number;
  erased: boolean;
  clip: ClipView | null;
}

/** What is kept over a reload. */
export interface TimelineSnapshot {
  floor: number;
  more: boolean;
  messages: Message[];
}

export class Timeline {
  readonly #messages = new Map<number, Message>();
  /** Changes to messages that aren't here, by target. */
  readonly #changes = new Map<number, Change>();
  #floor: number;
  #more: boolean;
  /** Pages that don't show this event are out of date: the events up to it won't come again. */
  #base: number;
  /** The last event seen. */
  #applied: number;
  #list: readonly Message[] | null = null;

  /** Nothing is known; the events after `base` will come, history is read before `base + 1`. */
  constructor(base: number) {
    this.#base = base;
    this.#applied = base;
    this.#floor = base + 1;
    this.#more = base > 0;
  }

  static restore(base: number, snapshot: TimelineSnapshot): Timeline {
    const timeline = new Timeline(base);
    timeline.#floor = snapshot.floor;
    timeline.#more = snapshot.more;
    for (const message of snapshot.messages) timeline.#messages.set(message.seq, message);
    return timeline;
  }

  /** The newest `limit` messages, for keeping. */
  snapshot(limit: number): TimelineSnapshot {
    const list = this.messages;
    const messages = list.slice(Math.max(0, list.length - limit));
    const cut = messages.length < list.length;
    return {
      floor: cut ? messages[0]!.seq : this.#floor,
      more: cut || this.#more,
      messages,
    };
  }

  /** By ascending seq, without holes. The same array until something changes. */
  get messages(): readonly Message[] {
    this.#list ??= [...this.#messages.values()]
      .filter((m) => m.seq >= this.#floor)
      .sort((a, b) => a.seq - b.seq);
    return this.#list;
  }

  /** There are older messages than the list's first. Read them with `before: floor`. */
  get more(): boolean {
    return this.#more;
  }

  get floor(): number {
    return this.#floor;
  }

  /** A message that is known, in the list or not. */
  get(seq: number): Message | undefined {
    return this.#messages.get(seq);
  }

  applyEvent(event: RoomEvent): void {
    const { body } = event;
    this.#applied = Math.max(this.#applied, event.seq);
    switch (body.kind) {
      case 'posted':
        return this.#put({
          seq: event.seq,
          sender: event.sender,
          senderName: '',
          timeMs: event.timeMs,
          text: body.text,
          replyTo: body.replyTo,
          editedMs: 0,
          editedSeq: 0,
          deletedMs: 0,
          deletedSeq: 0,
          deleted: body.erased,
          cid: event.cid,
          mentions: body.mentions,
          mentionAll: body.mentionAll,
          clip: body.erased ? null : body.clip,
        });
      case 'edited':
        return this.#change(body.target, {
          ...NO_CHANGE,
          editedSeq: event.seq,
          editedMs: event.timeMs,
          text: body.text,
          mentions: body.mentions,
          mentionAll: body.mentionAll,
          erased: body.erased,
        });
      case 'clip_changed':
        return this.#change(body.target, { ...NO_CHANGE, clip: body.clip });
      case 'deleted':
        return this.#change(body.target, {
          ...NO_CHANGE,
          deletedSeq: event.seq,
          deletedMs: event.timeMs,
          erased: true,
        });
    }
  }

  /**
   * A page read with `before`, the floor at that time. False: it is older than what this list began
   * with, or the list was trimmed meanwhile and the page doesn't touch it; ask again.
   */
  applyOlder(page: HistoryPage, before = this.#floor): boolean {
    if (page.asOf < this.#base || before < this.#floor) return false;
    for (const message of page.messages) this.#put(message);
    const first = page.messages[0];
    this.#more = page.more && first !== undefined;
    this.#floor = Math.min(this.#floor, this.#more && first ? first.seq : 1);
    this.#list = null;
    return true;
  }

  /** A message read on its own, for a quote. */
  applySingle(message: Message, asOf: number): void {
    if (asOf >= this.#base) this.#put(message);
  }

  /** Forgets all but the newest `limit` messages of the list. */
  trim(limit: number): void {
    const { messages } = this;
    if (messages.length <= limit) return;
    this.#floor = messages[messages.length - limit]!.seq;
    this.#more = true;
    // Pages from now on have to show all that is forgotten here.
    this.#base = this.#applied;
    this.#changes.clear();
    for (const seq of this.#messages.keys()) if (seq < this.#floor) this.#messages.delete(seq);
    this.#list = null;
  }

  #put(incoming: Message): void {
    const known = this.#messages.get(incoming.seq);
    let message = known ? merged(known, changeOf(incoming), incoming.senderName) : incoming;
    const waiting = this.#changes.get(incoming.seq);
    if (waiting) {
      message = merged(message, waiting, '');
      this.#changes.delete(incoming.seq);
    }
    this.#messages.set(incoming.seq, message);
    this.#list = null;
  }

  #change(target: number, change: Change): void {
    const known = this.#messages.get(target);
    if (known) {
      this.#messages.set(target, merged(known, change, ''));
      this.#list = null;
      return;
    }
    const before = this.#changes.get(target);
    this.#changes.set(target, before ? joined(before, change) : change);
  }
}

const NO_CHANGE: Change = { editedSeq: 0, editedMs: 0, text: '', mentions: [], mentionAll: false, deletedSeq: 0, deletedMs: 0, erased: false, clip: null };

function changeOf(m: Message): Change {
  const { editedSeq, editedMs, text, deletedSeq, deletedMs, deleted } = m;
  // What a device kept from before there were mentions has none.
  return { editedSeq, editedMs, text, mentions: m.mentions ?? [], mentionAll: m.mentionAll ?? false, deletedSeq, deletedMs, erased: deleted, clip: m.clip ?? null };
}

function joined(a: Change, b: Change): Change {
  // Of two that are equally old the first is the message, and the second may have no text to give.
  const [older, newer] = a.editedSeq < b.editedSeq ? [a, b] : [b, a];
  return {
    editedSeq: newer.editedSeq,
    editedMs: newer.editedMs,
    text: newer.text,
    mentions: newer.mentions,
    mentionAll: newer.mentionAll,
    deletedSeq: Math.max(older.deletedSeq, newer.deletedSeq),
    deletedMs: Math.max(older.deletedMs, newer.deletedMs),
    erased: older.erased || newer.erased,
    clip: newerClip(a.clip, b.clip),
  };
}

/** Views carry the clip's own version: their events' order says nothing of it. */
const newerClip = (a: ClipView | null, b: ClipView | null): ClipView | null => (!a || (b && b.version > a.version) ? b : a);

function merged(message: Message, change: Change, senderName: string): Message {
  const now = joined(changeOf(message), change);
  const deleted = now.erased || now.deletedSeq > 0;
  return {
    ...message,
    senderName: message.senderName || senderName,
    text: deleted ? '' : now.text,
    mentions: deleted ? [] : now.mentions,
    mentionAll: !deleted && now.mentionAll,
    clip: deleted ? null : now.clip,
    editedSeq: now.editedSeq,
    editedMs: now.editedMs,
    deletedSeq: now.deletedSeq,
    deletedMs: now.deletedMs,
    deleted,
  };
}
