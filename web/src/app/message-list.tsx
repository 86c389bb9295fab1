import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Kaiwa, Message, RoomView, Write } from '../client/index.js';
import type { Intent } from './composer.js';
import { dayName, dayStart } from './format.js';
import { clipBytes, jumpTo } from './clip-state.js';
import { lang, t } from './i18n.js';
import { mayModerate, mayWrite } from './members.js';
import { MessageItem, type Item } from './message-item.js';
import { Icon } from './parts.js';
import { titleOf } from './room-list.js';
import { isLooking, roomTick, showToast } from './state.js';
import { explain } from './errors.js';

/** Messages of one person within this time look like one. */
const GROUP_MS = 5 * 60_000;
/** So near to the end counts as being there. */
const AT_END_PX = 60;
/** Older messages are read when the beginning is this near. */
const READ_AHEAD_PX = 1_200;
/** Of these at once; the server may give fewer. */
const OLDER_PAGE = 100;

interface Props {
  kaiwa: Kaiwa;
  room: RoomView;
  onIntent: (intent: Intent) => void;
  onDelete: (message: Message) => void;
  onShare: (message: Message) => void;
  onCaptions: (message: Message) => void;
}

export function MessageList({ kaiwa, room, onIntent, onDelete, onShare, onCaptions }: Props) {
  const id = room.info.room;
  const tick = roomTick(id).value;
  const { messages, more, loading, ready, writes } = kaiwa.messages(id);
  const me = kaiwa.me.id;

  const scroller = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const anchor = useRef<{ key: string; top: number } | null>(null);
  const [away, setAway] = useState(false);
  const [below, setBelow] = useState(0);
  const [active, setActive] = useState<string | null>(null);
  const [flash, setFlash] = useState<string | null>(null);
  /** Where "new" begins: fixed when the room is opened, until it is opened again. */
  const [newFrom] = useState(room.lastRead);

  const items = useItems(messages, writes, me, lang.value);
  const lastSeq = messages.at(-1)?.seq ?? 0;
  const seen = useRef(lastSeq);

  const toEnd = useCallback((smooth = false) => {
    const el = scroller.current;
    if (!el) return;
    el.scrollTo({ top: el.scrollHeight, behavior: smooth && !reducedMotion() ? 'smooth' : 'instant' });
    atEnd.current = true;
    setAway(false);
    setBelow(0);
  }, []);

  const readAhead = useCallback(() => {
    const el = scroller.current;
    if (!el || el.scrollTop > READ_AHEAD_PX) return;
    const view = kaiwa.messages(id);
    if (view.more && !view.loading) kaiwa.loadOlder(id, OLDER_PAGE).catch((error: unknown) => showToast(explain(error), 'error'));
  }, [kaiwa, id]);

  // Before the paint: what was in view stays where it was, or the end stays in view.
  useLayoutEffect(() => {
    const el = scroller.current;
    if (!el) return;
    if (atEnd.current) {
      el.scrollTop = el.scrollHeight;
    } else if (anchor.current) {
      const node = document.getElementById(anchor.current.key);
      if (node) el.scrollTop += node.offsetTop - anchor.current.top;
    }
    anchor.current = firstItem(el);
  }, [items, more]);

  useEffect(() => {
    readAhead();
    const fresh = messages.filter((m) => m.seq > seen.current && m.sender !== me).length;
    const own = messages.some((m) => m.seq > seen.current && m.sender === me);
    seen.current = Math.max(seen.current, lastSeq);
    if (!atEnd.current && fresh > 0 && !own) setBelow((n) => n + fresh);
    if (atEnd.current && isLooking()) kaiwa.markRead(id);
  }, [items, tick]);

  // What one has just written should be seen.
  const written = writes.filter((w) => w.op.kind === 'send').length;
  const wasWritten = useRef(written);
  useLayoutEffect(() => {
    if (written > wasWritten.current) toEnd();
    wasWritten.current = written;
  }, [written]);

  useEffect(() => {
    const el = scroller.current;
    const look = () => isLooking() && atEnd.current && kaiwa.markRead(id);
    document.addEventListener('visibilitychange', look);
    window.addEventListener('focus', look);
    // The window's size, the keyboard of a phone, a growing composer, a message that grows: the end stays in view.
    const resized = new ResizeObserver(() => atEnd.current && el && (el.scrollTop = el.scrollHeight));
    if (el) resized.observe(el);
    const items = el?.querySelector('.message-items');
    if (items) resized.observe(items);
    return () => {
      document.removeEventListener('visibilitychange', look);
      window.removeEventListener('focus', look);
      resized.disconnect();
    };
  }, [kaiwa, id]);

  const onScroll = () => {
    const el = scroller.current;
    if (!el) return;
    const end = el.scrollHeight - el.scrollTop - el.clientHeight < AT_END_PX;
    if (end !== atEnd.current) {
      atEnd.current = end;
      setAway(!end);
      if (end) {
        setBelow(0);
        if (isLooking()) kaiwa.markRead(id);
      }
    }
    anchor.current = firstItem(el);
    readAhead();
  };

  const jump = useCallback(
    async (seq: number) => {
      if (!(await kaiwa.loadUntil(id, seq))) return;
      const key = `m-${seq}`;
      requestAnimationFrame(() => {
        const node = document.getElementById(key);
        if (!node) return;
        atEnd.current = false;
        setAway(true);
        node.scrollIntoView({ block: 'center', behavior: reducedMotion() ? 'instant' : 'smooth' });
        node.focus({ preventScroll: true });
        setFlash(key);
      });
    },
    [kaiwa, id],
  );

  // From the page of clips to the message of one.
  useEffect(() => {
    const target = jumpTo.value;
    if (!ready || target?.room !== id) return;
    jumpTo.value = null;
    void jump(target.seq);
  }, [ready, id, jump]);

  const writable = mayWrite(room);
  const moderates = mayModerate(room);
  const reply = useCallback((m: Message) => onIntent({ kind: 'reply', message: m }), [onIntent]);
  const edit = useCallback((m: Message) => onIntent({ kind: 'edit', message: m }), [onIntent]);

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.target as HTMLElement;
    const onItem = target.classList.contains('message');
    const step = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step !== undefined) {
      const at = items.findIndex((i) => i.key === (active ?? items.at(-1)?.key));
      const next = items[Math.max(0, Math.min(items.length - 1, at + step))];
      if (!next) return;
      event.preventDefault();
      setActive(next.key);
      document.getElementById(next.key)?.focus();
      return;
    }
    if (!onItem) return;
    const message = items.find((i) => i.key === target.id)?.message;
    if (!message || message.deleted) return;
    const own = message.sender === me;
    const key = event.key.toLowerCase();
    if (key === 'r' && writable) reply(message);
    else if (key === 'e' && own && writable && !message.clip) edit(message);
    else if ((event.key === 'Delete' || event.key === 'Backspace') && ((own && writable) || moderates)) onDelete(message);
    else return;
    event.preventDefault();
  };

  const title = titleOf(kaiwa, room);
  const focusable = active && items.some((i) => i.key === active) ? active : items.at(-1)?.key;
  let day = 0;
  let newShown = false;
  return (
    <div class="messages-wrap">
      <div
        class="messages"
        ref={scroller}
        onScroll={onScroll}
        onKeyDown={onKeyDown}
        role="group"
        aria-label={t('messages', { title })}
        aria-describedby="list-help"
        aria-busy={loading}
        data-testid="messages"
        data-more={more}
        data-ready={ready}
        tabIndex={items.length === 0 ? 0 : -1}
      >
        <p id="list-help" class="visually-hidden">
          {t('listHelp')}
        </p>
        <div class="messages-top">
          {more || (!ready && items.length === 0) ? (
            <p class="quiet-text loading" data-testid="loading">
              {t('loadingMessages')}
            </p>
          ) : items.length > 0 ? (
            <p class="quiet-text beginning" data-testid="beginning">
              {t('beginning')}
            </p>
          ) : (
            <div class="empty-room" data-testid="empty">
              <EmptyArt />
              <p>{t(writable ? 'empty' : 'emptyReader')}</p>
            </div>
          )}
        </div>
        <ol class="message-items">
          {items.map((item) => {
            const itemDay = dayStart(item.timeMs);
            const newDay = itemDay !== day;
            day = itemDay;
            const unread = item.message !== null && item.message.seq > newFrom && !item.own;
            const newHere = unread && !newShown && newFrom > 0;
            if (unread) newShown = true;
            return [
              newDay && (
                <li key={`day-${itemDay}`} class="day">
                  <span>{dayName(item.timeMs)}</span>
                </li>
              ),
              newHere && (
                <li key="new" class="new-mark" data-testid="new-mark">
                  <span>{t('newMessages')}</span>
                </li>
              ),
              <MessageItem
                key={item.key}
                item={item}
                kaiwa={kaiwa}
                room={id}
                first={item.first || newDay || newHere}
                last={item.last}
                lang={lang.value}
                name={kaiwa.nameOf(item.sender)}
                quote={item.replyTo ? kaiwa.quoted(id, item.replyTo) : null}
                quoteName={item.replyTo ? kaiwa.nameOf(kaiwa.quoted(id, item.replyTo)?.sender ?? '') : ''}
                focusable={item.key === focusable}
                flash={item.key === flash}
                mayReply={writable}
                mayEdit={writable && item.own && !item.message?.clip}
                mayDelete={(writable && item.own) || moderates}
                mayShare={clipBytes(kaiwa) > 0}
                onJump={jump}
                onReply={reply}
                onEdit={edit}
                onDelete={onDelete}
                onShare={onShare}
                onCaptions={onCaptions}
              />,
            ];
          })}
        </ol>
      </div>
      {away && (
        <button type="button" class="jump" onClick={() => toEnd(true)} data-testid="jump-newest" aria-label={below > 0 ? `${t('newBelow', { count: below })}: ${t('jumpNewest')}` : t('jumpNewest')}>
          <Icon name="down" />
          {below > 0 && <span>{t('newBelow', { count: below })}</span>}
        </button>
      )}
    </div>
  );
}

/** Messages and, after them, writes that aren't among them yet. */
function useItems(messages: readonly Message[], writes: readonly Write[], me: string, language: string): Item[] {
  const writesKey = writes.map((w) => `${w.cid} ${w.state.kind}`).join();
  const before = useRef(new Map<string, Item>());
  return useMemo(() => {
    const changes = new Map<number, Write>();
    for (const write of writes) if (write.op.kind !== 'send') changes.set(write.op.target, write);
    const items: Item[] = messages.map((m) => ({
      key: `m-${m.seq}`,
      sender: m.sender,
      own: m.sender === me,
      timeMs: m.timeMs,
      text: m.text,
      replyTo: m.replyTo,
      message: m,
      write: changes.get(m.seq) ?? null,
      writeState: changes.get(m.seq)?.state.kind ?? '',
      first: true,
      last: true,
    }));
    for (const write of writes) {
      if (write.op.kind !== 'send') continue;
      items.push({
        key: `w-${write.cid}`,
        sender: me,
        own: true,
        timeMs: write.createdMs,
        text: write.op.text,
        replyTo: write.op.replyTo,
        message: null,
        write,
        writeState: write.state.kind,
        first: true,
        last: true,
      });
    }
    for (let i = 1; i < items.length; i++) {
      const a = items[i - 1]!;
      const b = items[i]!;
      const together = a.sender === b.sender && b.timeMs - a.timeMs < GROUP_MS && dayStart(a.timeMs) === dayStart(b.timeMs);
      b.first = !together;
      a.last = !together;
    }
    // Items that didn't change stay the same objects, so that their rows needn't be drawn again.
    const kept = new Map<string, Item>();
    for (const [i, item] of items.entries()) {
      const old = before.current.get(item.key);
      if (old && sameItem(old, item)) items[i] = old;
      kept.set(item.key, items[i]!);
    }
    before.current = kept;
    return items;
  }, [messages, writesKey, me, language]);
}

function sameItem(a: Item, b: Item): boolean {
  return (
    a.message === b.message && a.write === b.write && a.writeState === b.writeState && a.first === b.first && a.last === b.last
  );
}

/** The first message that is in view, and where it is. */
function firstItem(el: HTMLElement): { key: string; top: number } | null {
  const nodes = el.getElementsByClassName('message');
  let low = 0;
  let high = nodes.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const node = nodes[middle] as HTMLElement;
    if (node.offsetTop + node.offsetHeight < el.scrollTop) low = middle + 1;
    else high = middle;
  }
  const node = nodes[low] as HTMLElement | undefined;
  return node ? { key: node.id, top: node.offsetTop } : null;
}

function reducedMotion(): boolean {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}

function EmptyArt() {
  return (
    <svg class="empty-art" width="88" height="64" viewBox="0 0 88 64" aria-hidden="true" focusable="false">
      <path class="logo-ring" d="M34 8a24 24 0 1 0 9 46" />
      <circle class="logo-dot" cx="54" cy="34" r="18" />
      <path class="logo-dot" d="M64 45l8 14-18-6z" />
    </svg>
  );
}
