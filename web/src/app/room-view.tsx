import { useEffect, useRef, useState } from 'preact/hooks';
import type { Kaiwa, Message } from '../client/index.js';
import { CallButton } from './call-around.js';
import { roomLayout } from './call-state.js';
import { CallView } from './call-view.js';
import { deleteClip } from './clip-delete.js';
import { CaptionsDialog, ShareDialog } from './clip-dialogs.js';
import { DropZone } from './clip-drop.js';
import { ClipsPage } from './clip-page.js';
import { clipBytes } from './clip-state.js';
import { explainClip } from './clip-words.js';
import { Composer, type Intent } from './composer.js';
import { memberCount } from './dialogs.js';
import { t } from './i18n.js';
import { MembersDialog, mayWrite } from './members.js';
import { MessageList } from './message-list.js';
import { NotifyOffer } from './notify-offer.js';
import { RoomBell } from './notify-room.js';
import { Confirm, Icon, IconButton } from './parts.js';
import { RoomAvatar, titleOf } from './room-list.js';
import { goTo, openPage, roomsTick, showToast, statusTick } from './state.js';

export function RoomView({ kaiwa, id }: { kaiwa: Kaiwa; id: string }) {
  roomsTick.value;
  statusTick.value;
  const room = kaiwa.room(id);
  const [members, setMembers] = useState(false);
  const [intent, setIntent] = useState<Intent>({ kind: 'write' });
  const [deleting, setDeleting] = useState<Message | null>(null);
  const [sharing, setSharing] = useState<Message | null>(null);
  const [captioning, setCaptioning] = useState<Message | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const joined = room?.info.membership === 'joined';

  useEffect(() => {
    if (!joined) return;
    kaiwa.openRoom(id);
    return () => kaiwa.closeRoom(id);
  }, [kaiwa, id, joined]);

  useEffect(() => {
    setIntent({ kind: 'write' });
    setDeleting(null);
    setMembers(false);
    setSharing(null);
    setCaptioning(null);
  }, [id]);

  if (!room || !joined) return <NotHere kaiwa={kaiwa} />;
  const title = titleOf(kaiwa, room);
  const { info } = room;

  const layout = roomLayout.value;
  const hasClips = clipBytes(kaiwa) > 0;
  const page = openPage.value;
  const writes = mayWrite(room);

  const remove = (message: Message) => {
    deleteClip(kaiwa, id, message).catch((error: unknown) => showToast(explainClip(error), 'error'));
  };

  return (
    <main class={`room-view layout-${layout}`} aria-labelledby="room-title" data-testid="room-view" data-room={id}>
      <header class="room-head">
        <IconButton icon="back" label={t('back')} class="back" onClick={() => goTo('')} testid="back" />
        <RoomAvatar info={info} size={40} />
        <div class="room-main">
          <h1 id="room-title" ref={heading} tabIndex={-1} dir="auto" data-testid="room-heading">
            {title}
          </h1>
          <p class="room-sub">
            <Icon name={info.kind === 'broadcast' ? 'horn' : info.visibility === 'public' ? 'globe' : 'lock'} />
            <span>
              {info.kind === 'direct' ? t('directRoom') : memberCount(info.members)}
              {info.kind !== 'direct' && ` · ${t(info.kind === 'broadcast' ? 'kindBroadcast' : info.visibility)}`}
            </span>
          </p>
        </div>
        <CallButton kaiwa={kaiwa} room={room} />
        {hasClips && (
          <IconButton
            icon={page === 'clips' ? 'chat' : 'film'}
            label={t(page === 'clips' ? 'clipsBack' : 'clips')}
            onClick={() => goTo(id, page === 'clips' ? 'chat' : 'clips')}
            testid="open-clips"
          />
        )}
        <RoomBell kaiwa={kaiwa} room={room} />
        <IconButton icon="people" label={t('members')} onClick={() => setMembers(true)} testid="open-members" />
      </header>
      <div class="room-body">
        {layout !== 'chat' && <CallView kaiwa={kaiwa} room={room} />}
        {layout !== 'call' && page === 'clips' && <ClipsPage key={`clips ${id}`} kaiwa={kaiwa} room={room} />}
        {layout !== 'call' && page === 'chat' && (
          <DropZone kaiwa={kaiwa} room={id} title={title} enabled={hasClips && writes}>
            <MessageList key={id} kaiwa={kaiwa} room={room} onIntent={setIntent} onDelete={setDeleting} onShare={setSharing} onCaptions={setCaptioning} />
            <NotifyOffer kaiwa={kaiwa} room={id} />
            {writes ? (
              <Composer key={`composer ${id}`} kaiwa={kaiwa} room={room} intent={intent} onIntent={setIntent} />
            ) : (
              <p class="read-only">{t(info.kind === 'broadcast' ? 'readOnly' : 'readOnlyGuest')}</p>
            )}
          </DropZone>
        )}
      </div>
      {sharing?.clip && <ShareDialog kaiwa={kaiwa} room={id} clip={sharing.clip} onClose={() => setSharing(null)} />}
      {captioning?.clip && <CaptionsDialog clip={captioning.clip} onClose={() => setCaptioning(null)} />}
      {members && <MembersDialog kaiwa={kaiwa} room={room} onClose={() => setMembers(false)} />}
      {deleting && (
        <Confirm
          title={
            deleting.sender !== kaiwa.me.id
              ? t('deleteSureOther', { name: kaiwa.nameOf(deleting.sender) })
              : t(deleting.clip ? 'clipDeleteSure' : 'deleteSure')
          }
          text={t(deleting.clip ? 'clipDeleteWhat' : 'deleteWhat')}
          action={t('delete')}
          onConfirm={() => remove(deleting)}
          onClose={() => setDeleting(null)}
        />
      )}
    </main>
  );
}

function NotHere({ kaiwa }: { kaiwa: Kaiwa }) {
  statusTick.value;
  return (
    <main class="room-view nothing" data-testid="not-here">
      <div class="nothing-card">
        {kaiwa.listed ? (
          <>
            <h1>{t('roomGone')}</h1>
            <p class="quiet-text">{t('roomGoneHint')}</p>
            <button type="button" class="button quiet" onClick={() => goTo('')}>
              {t('back')}
            </button>
          </>
        ) : (
          <p class="quiet-text">{t('loadingRooms')}</p>
        )}
      </div>
    </main>
  );
}
