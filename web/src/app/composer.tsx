import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { utf8Length, type Kaiwa, type Message, type RoomView } from '../client/index.js';
import { AttachButton, filesOf, pick, PickedTray, sharePicked } from './clip-pick.js';
import { trayOf } from './clip-tray.js';
import { clipBytes } from './clip-state.js';
import { UploadTray } from './clip-upload-view.js';
import { t } from './i18n.js';
import { mayModerate } from './members.js';
import { mentionsIn } from './mentions.js';
import { IconButton, Icon } from './parts.js';
import { titleOf } from './room-list.js';
import { keep, kept, roomTick, showToast, statusTick } from './state.js';

export type Intent = { kind: 'write' } | { kind: 'reply'; message: Message } | { kind: 'edit'; message: Message };

/** Before the server has said what it takes. */
const TEXT_BYTES = 4_000;
/** In larger rooms only moderators and owners name everybody. */
const ALL_MAX = 100;

interface Props {
  kaiwa: Kaiwa;
  room: RoomView;
  intent: Intent;
  onIntent: (intent: Intent) => void;
}

export function Composer({ kaiwa, room, intent, onIntent }: Props) {
  const id = room.info.room;
  const draftKey = `kaiwa.draft.${kaiwa.me.id}.${id}`;
  const [draft, setDraft] = useState(() => kept(draftKey) ?? '');
  // An edit borrows the box: the draft waits and comes back.
  const [edit, setEdit] = useState<{ of: Intent; text: string } | null>(null);
  const box = useRef<HTMLTextAreaElement>(null);
  const before = useRef<Intent>(intent);

  const editing = intent.kind === 'edit' ? intent.message : null;
  const text = editing === null ? draft : edit?.of === intent ? edit.text : editing.text;
  const limit = kaiwa.limits?.textBytes || TEXT_BYTES;
  const over = utf8Length(text) - limit;
  const empty = text.trim() === '';
  statusTick.value;
  roomTick(id).value;
  const takesClips = clipBytes(kaiwa) > 0 && editing === null;
  const picked = editing === null ? trayOf(id).picked.length : 0;

  useEffect(() => {
    if (matchMedia('(pointer: fine)').matches) box.current?.focus();
  }, []);

  useLayoutEffect(() => {
    if (before.current !== intent) box.current?.focus();
    before.current = intent;
  }, [intent]);

  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return;
    el.style.height = 'auto';
    el.style.height = `${el.scrollHeight}px`;
  }, [text]);

  const write = (value: string) => {
    setDraft(value);
    keep(draftKey, value === '' ? null : value);
  };

  const change = (value: string) => (editing === null ? write(value) : setEdit({ of: intent, text: value }));

  // Who is here, as soon as somebody may be named.
  const naming = text.includes('@');
  useEffect(() => {
    if (naming && !kaiwa.members(id)) kaiwa.loadMembers(id).catch(() => {});
  }, [kaiwa, id, naming]);

  const submit = () => {
    if (over > 0) return;
    if (picked > 0) sharePicked(id);
    if (empty) return;
    const value = text.replace(/^\s*\n|\s+$/g, '');
    const mayAll = mayModerate(room) || room.info.members <= ALL_MAX;
    const names = mentionsIn(value, kaiwa.members(id) ?? [], kaiwa.me.id, mayAll);
    const sent =
      intent.kind === 'edit'
        ? value === intent.message.text
          ? Promise.resolve('')
          : kaiwa.edit(id, intent.message.seq, value, names)
        : kaiwa.send(id, value, { replyTo: intent.kind === 'reply' ? intent.message.seq : 0, ...names });
    if (editing === null) write('');
    onIntent({ kind: 'write' });
    sent.catch(() => {
      // It isn't stored anywhere but here: put it back.
      if (editing === null) write(value);
      else {
        onIntent(intent);
        setEdit({ of: intent, text: value });
      }
      showToast(t('errNotKept'), 'error');
    });
    box.current?.focus();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes, Enter chooses a candidate (229 is what Safari says then).
    if (event.isComposing || event.keyCode === 229) return;
    const touch = matchMedia('(pointer: coarse)').matches;
    if (event.key === 'Enter' && !event.shiftKey && !touch) {
      event.preventDefault();
      submit();
    } else if (event.key === 'Escape' && intent.kind !== 'write') {
      event.preventDefault();
      onIntent({ kind: 'write' });
    } else if (event.key === 'ArrowUp' && text === '' && intent.kind === 'write') {
      const last = kaiwa.messages(id).messages.findLast((m) => m.sender === kaiwa.me.id && !m.deleted && !m.clip);
      if (!last) return;
      event.preventDefault();
      onIntent({ kind: 'edit', message: last });
    }
  };

  const onPaste = (event: ClipboardEvent) => {
    const data = event.clipboardData;
    if (!takesClips || !data || data.files.length === 0) return;
    event.preventDefault();
    void filesOf(data).then((files) => pick(kaiwa, id, files));
  };

  const title = titleOf(kaiwa, room);
  const shown = (clip: string) => kaiwa.messages(id).messages.some((m) => m.clip?.id === clip && m.clip.state === 'uploading');
  return (
    <form
      class="composer"
      data-testid="composer-form"
      onSubmit={(e) => {
        e.preventDefault();
        submit();
      }}
    >
      {intent.kind !== 'write' && (
        <div class="intent" data-testid="intent">
          <Icon name={intent.kind === 'edit' ? 'edit' : 'reply'} />
          <span class="intent-text">
            <b>{intent.kind === 'edit' ? t('editing') : t('replyingTo', { name: kaiwa.nameOf(intent.message.sender) })}</b>
            <span dir="auto">{intent.message.text}</span>
          </span>
          <IconButton icon="close" label={t('cancel')} onClick={() => onIntent({ kind: 'write' })} testid="cancel-intent" />
        </div>
      )}
      <UploadTray room={id} shown={shown} />
      {editing === null && <PickedTray room={id} />}
      <div class={`composer-box ${over > 0 ? 'over' : ''}`}>
        {takesClips && <AttachButton kaiwa={kaiwa} room={id} />}
        <textarea
          ref={box}
          rows={1}
          value={text}
          placeholder={t('write')}
          aria-label={t('writeTo', { title })}
          aria-describedby="send-hint"
          dir="auto"
          onInput={(e) => change(e.currentTarget.value)}
          onKeyDown={onKeyDown}
          onPaste={onPaste}
          data-testid="composer"
        />
        <button type="submit" class="send" aria-label={t(editing ? 'save' : 'send')} title={t(editing ? 'save' : 'send')} disabled={(empty && picked === 0) || over > 0} data-testid="send">
          <Icon name={editing ? 'check' : 'send'} />
        </button>
      </div>
      <p class="composer-hint" id="send-hint">
        {over > 0 ? (
          <span class="over-text" role="status">
            {t('tooLong', { over })}
          </span>
        ) : (
          t('sendHint')
        )}
      </p>
    </form>
  );
}
