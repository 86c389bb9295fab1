import { useState } from 'preact/hooks';
import type { Kaiwa, RoomView } from '../client/index.js';
import { BrowseDialog, NewRoomDialog } from './dialogs.js';
import { explain } from './errors.js';
import { shortTime } from './format.js';
import { UploadsMark } from './clip-upload-view.js';
import { KIND_NAMES, titleText } from './clip-words.js';
import { t } from './i18n.js';
import { Avatar, Icon, IconButton, Logo } from './parts.js';
import { isQuietRoom } from './notify-room.js';
import { NotifyDialog } from './notify-settings.js';
import { SettingsDialog } from './settings.js';
import { auth, connection, goTo, kept, openRoom, roomsTick, showToast } from './state.js';

export function titleOf(kaiwa: Kaiwa, { info }: { info: RoomView['info'] }): string {
  if (info.kind === 'direct' && info.peer) return info.peer.name || kaiwa.nameOf(info.peer.id);
  return info.title || info.room;
}

export function RoomAvatar({ info, size = 44 }: { info: RoomView['info']; size?: number }) {
  if (info.kind === 'direct' && info.peer) return <Avatar id={info.peer.id} name={info.peer.name} size={size} />;
  return <Avatar id={info.room} name={info.title} size={size} square />;
}

export function RoomList({ kaiwa }: { kaiwa: Kaiwa }) {
  const [dialog, setDialog] = useState<'new' | 'browse' | 'settings' | 'notifications' | null>(null);
  roomsTick.value;
  const rooms = kaiwa.rooms();
  const invitations = rooms.filter((r) => r.info.membership === 'invited');
  const joined = rooms.filter((r) => r.info.membership === 'joined');
  const close = () => setDialog(null);
  const me = auth.value?.user;
  return (
    <nav class="sidebar" aria-label={t('rooms')} data-testid="room-list">
      <header class="sidebar-head">
        <Logo size={30} />
        <Wordmark />
        <ConnectionDot />
      </header>
      <div class="sidebar-actions">
        <button type="button" class="button primary" onClick={() => setDialog('new')} data-testid="new-room">
          <Icon name="plus" />
          {t('newRoom')}
        </button>
        <button type="button" class="button quiet" onClick={() => setDialog('browse')} data-testid="browse">
          <Icon name="compass" />
          {t('browse')}
        </button>
      </div>
      <div class="sidebar-scroll" tabIndex={-1}>
        {invitations.length > 0 && (
          <section aria-labelledby="invitations-head">
            <h2 class="section-head" id="invitations-head">
              {t('invitations')}
            </h2>
            <ul class="rooms">
              {invitations.map((room) => (
                <Invitation key={room.info.room} kaiwa={kaiwa} room={room} />
              ))}
            </ul>
          </section>
        )}
        <section aria-labelledby="rooms-head">
          <h2 class="section-head" id="rooms-head">
            {t('rooms')}
          </h2>
          {joined.length === 0 ? (
            <div class="empty-list" data-testid="no-rooms">
              {kaiwa.listed ? (
                <>
                  <p>{t('noRooms')}</p>
                  <p class="quiet-text">{t('noRoomsHint')}</p>
                </>
              ) : (
                <p class="quiet-text">{t('loadingRooms')}</p>
              )}
            </div>
          ) : (
            <ul class="rooms">
              {joined.map((room) => (
                <RoomItem key={room.info.room} kaiwa={kaiwa} room={room} />
              ))}
            </ul>
          )}
        </section>
      </div>
      <UploadsMark />
      <footer class="sidebar-foot">
        <Avatar id={me?.id ?? ''} name={me?.name ?? ''} size={32} />
        <span class="me" data-testid="me">
          <span class="me-name" dir="auto">
            {me?.name || me?.id}
          </span>
          {me && me.name !== '' && <span class="quiet-text me-id">{me.id}</span>}
        </span>
        <IconButton icon="gear" label={t('settings')} onClick={() => setDialog('settings')} testid="open-settings" />
      </footer>
      {dialog === 'new' && <NewRoomDialog kaiwa={kaiwa} onClose={close} />}
      {dialog === 'browse' && <BrowseDialog kaiwa={kaiwa} onClose={close} />}
      {dialog === 'settings' && <SettingsDialog onClose={close} onNotifications={() => setDialog('notifications')} />}
      {dialog === 'notifications' && <NotifyDialog kaiwa={kaiwa} onClose={close} />}
    </nav>
  );
}

/** The page's heading, unless a room is open and its title is. */
function Wordmark() {
  const Tag = openRoom.value === '' ? 'h1' : 'p';
  return (
    <Tag class="wordmark">
      Kaiwa <span lang="ja">会話</span>
    </Tag>
  );
}

function ConnectionDot() {
  const state = connection.value;
  return (
    <span class={`connection ${state}`} data-testid="connection" data-state={state}>
      <span class="connection-dot" aria-hidden="true" />
      <span class="connection-text">{t(state)}</span>
    </span>
  );
}

function RoomItem({ kaiwa, room }: { kaiwa: Kaiwa; room: RoomView }) {
  const { info, newest, unread, writes } = room;
  const title = titleOf(kaiwa, room);
  const unsent = writes.some((w) => w.state.kind !== 'committed');
  const draft = info.room !== openRoom.value && kept(`kaiwa.draft.${kaiwa.me.id}.${info.room}`);
  const current = openRoom.value === info.room;
  return (
    <li>
      <a
        class={`room ${current ? 'current' : ''} ${unread.count > 0 ? 'has-unread' : ''}`}
        href={`#/r/${encodeURIComponent(info.room)}`}
        aria-current={current ? 'page' : undefined}
        data-testid="room"
        data-room={info.room}
      >
        <RoomAvatar info={info} />
        <span class="room-main">
          <span class="room-line">
            <span class="room-title" dir="auto">
              {title}
            </span>
            <CallMark kaiwa={kaiwa} room={info.room} />
            {isQuietRoom(info.room, Date.now()) && (
              <span class="room-muted" title={t('notifyRoomMuted')} data-testid="room-muted">
                <Icon name="bellOff" />
                <span class="visually-hidden">{t('notifyRoomMuted')}</span>
              </span>
            )}
            {newest && <time class="room-time">{shortTime(newest.timeMs)}</time>}
          </span>
          <span class="room-line">
            <span class="room-last">
              {draft ? (
                <>
                  <em class="draft-mark">{t('draft')}</em> {draft}
                </>
              ) : (
                <LastMessage kaiwa={kaiwa} room={room} />
              )}
            </span>
            {unsent && (
              <span class="unsent-mark" title={t('unsent')}>
                <Icon name="clock" />
                <span class="visually-hidden">{t('unsent')}</span>
              </span>
            )}
            {unread.mentions > 0 && (
              <span class="badge mention-badge" data-testid="unread-mentions">
                <span aria-hidden="true">@</span>
                <span class="visually-hidden">{t('unreadMentions', { count: unread.mentions })}</span>
              </span>
            )}
            {unread.count > 0 && (
              <span class="badge" data-testid="unread">
                <span aria-hidden="true">
                  {unread.count > 99 ? '99' : unread.count}
                  {unread.more || unread.count > 99 ? '+' : ''}
                </span>
                <span class="visually-hidden">{t('unread', { count: unread.count })}</span>
              </span>
            )}
          </span>
        </span>
      </a>
    </li>
  );
}

function CallMark({ kaiwa, room }: { kaiwa: Kaiwa; room: string }) {
  roomsTick.value;
  const { count } = kaiwa.callIn(room);
  if (count === 0) return null;
  return (
    <span class="call-mark" title={t('callGoingOn', { count })} data-testid="call-mark">
      <Icon name="phone" />
      <span aria-hidden="true">{count}</span>
      <span class="visually-hidden">{t('callGoingOn', { count })}</span>
    </span>
  );
}

function LastMessage({ kaiwa, room: { newest, writes, info } }: { kaiwa: Kaiwa; room: RoomView }) {
  const unsent = writes.findLast((w) => w.op.kind === 'send');
  if (unsent?.op.kind === 'send') return <>{`${t('you')}: ${unsent.op.text}`}</>;
  if (!newest) return <>{t('noMessages')}</>;
  if (newest.deleted) return <i>{t('deleted')}</i>;
  const name = newest.sender === kaiwa.me.id ? t('you') : info.kind === 'direct' ? '' : kaiwa.nameOf(newest.sender);
  const text = newest.clip ? t('clipLast', { kind: t(KIND_NAMES[newest.clip.kind]), title: titleText(newest.clip) }) : newest.text;
  return <>{name ? `${name}: ${text}` : text}</>;
}

function Invitation({ kaiwa, room }: { kaiwa: Kaiwa; room: RoomView }) {
  const [busy, setBusy] = useState(false);
  const act = async (work: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await work();
    } catch (error) {
      showToast(explain(error), 'error');
    }
    setBusy(false);
  };
  const { room: id } = room.info;
  return (
    <li class="invitation" data-testid="invitation" data-room={id}>
      <RoomAvatar info={room.info} size={40} />
      <span class="room-main">
        <span class="room-title" dir="auto">
          {titleOf(kaiwa, room)}
        </span>
        <span class="invitation-actions">
          <button
            type="button"
            class="button primary small"
            disabled={busy}
            data-testid="accept"
            onClick={() => act(() => kaiwa.joinRoom(id).then(() => goTo(id)))}
          >
            {t('accept')}
          </button>
          <button type="button" class="button quiet small" disabled={busy} data-testid="decline" onClick={() => act(() => kaiwa.leaveRoom(id))}>
            {t('decline')}
          </button>
        </span>
      </span>
    </li>
  );
}
