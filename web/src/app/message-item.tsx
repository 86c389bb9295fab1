import { memo } from 'preact/compat';
import { useState } from 'preact/hooks';
import type { Kaiwa, Message, Write } from '../client/index.js';
import { ClipBody } from './clip-message.js';
import { explainReason } from './errors.js';
import { clockTime, fullTime } from './format.js';
import { t } from './i18n.js';
import { Avatar, Icon, IconButton, Text } from './parts.js';

export interface Item {
  key: string;
  sender: string;
  own: boolean;
  timeMs: number;
  text: string;
  replyTo: number;
  /** Null for a write that is not in the list yet. */
  message: Message | null;
  /** One's own write of this message, or to it. */
  write: Write | null;
  writeState: string;
  first: boolean;
  last: boolean;
}

interface Props {
  item: Item;
  kaiwa: Kaiwa;
  room: string;
  first: boolean;
  last: boolean;
  lang: string;
  name: string;
  quote: Message | null;
  quoteName: string;
  focusable: boolean;
  flash: boolean;
  mayReply: boolean;
  mayEdit: boolean;
  mayDelete: boolean;
  /** Show its clip in another room; add subtitles to it. */
  mayShare: boolean;
  onJump: (seq: number) => void;
  onReply: (message: Message) => void;
  onEdit: (message: Message) => void;
  onDelete: (message: Message) => void;
  onShare: (message: Message) => void;
  onCaptions: (message: Message) => void;
}

export const MessageItem = memo(function MessageItem(props: Props) {
  const { item, kaiwa, first, last, name, focusable, flash, room } = props;
  const { message, write, own } = item;
  const [hot, setHot] = useState(false);
  const pendingEdit = write?.op.kind === 'edit' && write.state.kind !== 'failed' ? write.op.text : null;
  const deleted = message?.deleted ?? false;
  const edited = (message?.editedSeq ?? 0) > 0 || pendingEdit !== null;
  const clip = deleted ? null : (message?.clip ?? null);
  const showActions = hot && message !== null && !deleted;
  return (
    <li
      id={item.key}
      class={`message ${own ? 'own' : 'other'} ${first ? 'first' : ''} ${last ? 'last' : ''} ${flash ? 'flash' : ''} ${item.writeState}`}
      tabIndex={focusable ? 0 : -1}
      data-testid="message"
      data-seq={message?.seq}
      data-state={message ? 'sent' : write?.state.kind}
      data-sender={item.sender}
      onPointerEnter={(e) => e.pointerType === 'mouse' && setHot(true)}
      onPointerLeave={(e) => e.pointerType === 'mouse' && setHot(false)}
      onFocusCapture={() => setHot(true)}
      onBlurCapture={(e) => {
        if (!e.currentTarget.contains(e.relatedTarget as Node | null)) setHot(false);
      }}
    >
      {!own && <span class="message-face">{first && <Avatar id={item.sender} name={name} size={34} />}</span>}
      <div class="bubble-column">
        {first && !own && (
          <span class="message-name" dir="auto">
            {name}
          </span>
        )}
        {first && own && <span class="visually-hidden">{t('you')}</span>}
        <div class="bubble-row">
          <div class={`bubble ${deleted ? 'tombstone' : ''} ${clip ? 'with-clip' : ''}`}>
            {item.replyTo > 0 && !deleted && <Quote {...props} />}
            {clip && message && <ClipBody kaiwa={kaiwa} room={room} seq={message.seq} clip={clip} own={own} name={name} />}
            <span class={clip && clip.state !== 'ready' ? 'visually-hidden' : 'message-text'} dir="auto" data-testid="text">
              {deleted ? t('deleted') : <Text text={pendingEdit ?? item.text} />}
            </span>
            <span class="message-meta">
              {edited && !deleted && <span data-testid="edited">{t('edited')}</span>}
              <time dateTime={new Date(item.timeMs).toISOString()} title={fullTime(item.timeMs)}>
                {clockTime(item.timeMs)}
              </time>
              {own && <OwnState item={item} />}
            </span>
          </div>
          {showActions && <Actions {...props} message={message} />}
        </div>
        {write?.state.kind === 'failed' && <Failed kaiwa={kaiwa} write={write} />}
      </div>
    </li>
  );
});

function Actions({ item, mayReply, mayEdit, mayDelete, mayShare, message, onReply, onEdit, onDelete, onShare, onCaptions }: Props & { message: Message }) {
  const { clip } = message;
  const share = mayShare && clip !== null && clip.state !== 'failed';
  const captions = mayShare && item.own && clip?.kind === 'video' && clip.state !== 'failed';
  if (!mayReply && !mayEdit && !mayDelete && !share) return null;
  return (
    <span class="message-actions" role="group" aria-label={t('actions')}>
      {mayReply && <IconButton icon="reply" label={t('reply')} onClick={() => onReply(message)} testid="reply" />}
      {share && <IconButton icon="share" label={t('clipShare')} onClick={() => onShare(message)} testid="share" />}
      {captions && <IconButton icon="captions" label={t('clipCaptionsAdd')} onClick={() => onCaptions(message)} testid="captions" />}
      {mayEdit && !clip && <IconButton icon="edit" label={t('edit')} onClick={() => onEdit(message)} testid="edit" />}
      {mayDelete && <IconButton icon="trash" label={t('delete')} onClick={() => onDelete(message)} testid="delete" />}
    </span>
  );
}

function Quote({ item, quote, quoteName, onJump }: Props) {
  const text = quote?.deleted ? t('deleted') : (quote?.text ?? t('quotedMissing'));
  return (
    <button type="button" class="quote" onClick={() => onJump(item.replyTo)} data-testid="quote">
      <span class="visually-hidden">{t('jumpTo')}</span>
      {quote && <b dir="auto">{quoteName}</b>}
      <span dir="auto">{short(text)}</span>
    </button>
  );
}

const short = (text: string): string => {
  const letters = [...text.replace(/\s+/g, ' ')];
  return letters.length > 120 ? `${letters.slice(0, 120).join('')}…` : letters.join('');
};

function OwnState({ item: { message, write } }: { item: Item }) {
  const state = write?.state.kind;
  if (message && (!write || state === 'committed')) return <StateIcon icon="check" label={t('sent')} />;
  if (state === 'failed') return <StateIcon icon="warn" label={t(message ? 'editWaiting' : 'waiting')} hidden />;
  if (message) return <StateIcon icon="clock" label={t('editWaiting')} />;
  if (state === 'committed') return <StateIcon icon="check" label={t('sent')} />;
  return <StateIcon icon="clock" label={t(state === 'in_flight' ? 'sending' : 'waiting')} />;
}

function StateIcon({ icon, label, hidden = false }: { icon: 'check' | 'clock' | 'warn'; label: string; hidden?: boolean }) {
  return (
    <span class={`own-state ${icon}`} title={hidden ? undefined : label} data-testid="own-state">
      <Icon name={icon} />
      {!hidden && <span class="visually-hidden">{label}</span>}
    </span>
  );
}

function Failed({ kaiwa, write }: { kaiwa: Kaiwa; write: Write }) {
  if (write.state.kind !== 'failed') return null;
  const why = explainReason(write.state.reason, write.state.message);
  const key = ({ send: 'failed', edit: 'editFailed', delete: 'deleteFailed' } as const)[write.op.kind];
  return (
    <div class="failed" role="alert" data-testid="failed">
      <span>{t(key, { why })}</span>
      <span class="failed-actions">
        <button type="button" class="button quiet small" onClick={() => kaiwa.retry(write.cid)} data-testid="retry">
          {t('retry')}
        </button>
        <button type="button" class="button quiet small" onClick={() => kaiwa.discard(write.cid)} data-testid="discard">
          {t('discard')}
        </button>
      </span>
    </div>
  );
}
