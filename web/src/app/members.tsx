import { useEffect, useState } from 'preact/hooks';
import type { Kaiwa, Member, Role, RoomView } from '../client/index.js';
import { explain } from './errors.js';
import { t, type Key } from './i18n.js';
import { Avatar, Confirm, Dialog, IconButton, Problem } from './parts.js';
import { titleOf } from './room-list.js';
import { goTo, roomTick, showToast } from './state.js';

const RANK: Record<Role, number> = { none: 0, guest: 1, member: 2, moderator: 3, owner: 4 };
const ROLE_NAMES: Record<Role, Key> = {
  none: 'roleMember',
  guest: 'roleGuest',
  member: 'roleMember',
  moderator: 'roleModerator',
  owner: 'roleOwner',
};

export const mayWrite = ({ info }: RoomView): boolean =>
  info.kind === 'direct' || RANK[info.role] >= (info.kind === 'broadcast' ? RANK.moderator : RANK.member);

export const mayModerate = ({ info }: RoomView): boolean => info.kind !== 'direct' && RANK[info.role] >= RANK.moderator;

const mayInvite = ({ info }: RoomView): boolean =>
  info.kind !== 'direct' && RANK[info.role] >= (info.kind === 'broadcast' ? RANK.moderator : RANK.member);

function mayRemove({ info }: RoomView, other: Role): boolean {
  if (info.kind === 'direct' || RANK[info.role] < RANK.moderator) return false;
  return RANK[info.role] > RANK[other] || info.role === 'owner';
}

export function MembersDialog({ kaiwa, room, onClose }: { kaiwa: Kaiwa; room: RoomView; onClose: () => void }) {
  const [who, setWho] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState<{ kind: 'leave' } | { kind: 'remove'; member: Member } | null>(null);
  const id = room.info.room;
  roomTick(id).value;
  const members = kaiwa.members(id);

  useEffect(() => {
    kaiwa.loadMembers(id).catch((error: unknown) => setProblem(explain(error)));
  }, [id]);

  const act = async (work: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    setProblem(null);
    try {
      await work();
      return true;
    } catch (error) {
      setProblem(explain(error));
      return false;
    } finally {
      setBusy(false);
    }
  };

  const invite = async (event: Event) => {
    event.preventDefault();
    const name = who.trim();
    if (name === '' || busy) return;
    if (await act(() => kaiwa.invite(id, name))) {
      setWho('');
      showToast(t('invitedDone', { name }));
    }
  };

  if (asking?.kind === 'leave') {
    return (
      <Confirm
        title={t('leave')}
        text={t('leaveSure', { title: titleOf(kaiwa, room) })}
        action={t('leaveDo')}
        onClose={() => setAsking(null)}
        onConfirm={async () => {
          if (await act(() => kaiwa.leaveRoom(id))) {
            onClose();
            goTo('');
          }
        }}
      />
    );
  }
  if (asking?.kind === 'remove') {
    const { user } = asking.member;
    return (
      <Confirm
        title={t('removeSure', { name: user.name || user.id })}
        action={t('removeDo')}
        onClose={() => setAsking(null)}
        onConfirm={() => void act(() => kaiwa.removeMember(id, user.id))}
      />
    );
  }
  return (
    <Dialog title={t('members')} testid="members" onClose={onClose}>
      <Problem text={problem} />
      {mayInvite(room) && (
        <form class="inline-form" onSubmit={invite}>
          <label class="field grow">
            <span class="field-label">{t('invitePerson')}</span>
            <input class="input" autocapitalize="off" spellcheck={false} value={who} onInput={(e) => setWho(e.currentTarget.value)} data-testid="invite-id" />
          </label>
          <button type="submit" class="button primary" disabled={busy || who.trim() === ''} data-testid="invite">
            {t('invite')}
          </button>
        </form>
      )}
      <ul class="members">
        {members
          ?.sort((a, b) => RANK[b.role] - RANK[a.role] || (a.user.name || a.user.id).localeCompare(b.user.name || b.user.id))
          .map((member) => {
            const { user, role, membership } = member;
            const name = user.name || user.id;
            return (
              <li key={user.id} class="member" data-testid="member" data-user={user.id}>
                <Avatar id={user.id} name={name} size={36} />
                <span class="room-main">
                  <span class="room-title" dir="auto">
                    {name}
                    {user.id === kaiwa.me.id && <span class="quiet-text"> · {t('you')}</span>}
                  </span>
                  <span class="quiet-text">
                    {user.id}
                    {membership === 'invited' && ` · ${t('invited')}`}
                  </span>
                </span>
                {room.info.role === 'owner' && room.info.kind !== 'direct' && membership === 'joined' ? (
                  <select
                    class="select"
                    aria-label={t('roleOf', { name })}
                    value={role}
                    disabled={busy}
                    data-testid="role"
                    onChange={(e) => {
                      const next = e.currentTarget.value as Exclude<Role, 'none'>;
                      void act(() => kaiwa.setRole(id, user.id, next));
                    }}
                  >
                    {(['guest', 'member', 'moderator', 'owner'] as const).map((r) => (
                      <option key={r} value={r}>
                        {t(ROLE_NAMES[r])}
                      </option>
                    ))}
                  </select>
                ) : (
                  room.info.kind !== 'direct' && <span class="role-name">{t(ROLE_NAMES[role])}</span>
                )}
                {user.id !== kaiwa.me.id && mayRemove(room, role) && (
                  <IconButton icon="close" label={t('remove', { name })} onClick={() => setAsking({ kind: 'remove', member })} testid="remove" />
                )}
              </li>
            );
          })}
      </ul>
      {room.info.kind !== 'direct' && (
        <div class="dialog-actions">
          <button type="button" class="button quiet danger-text" onClick={() => setAsking({ kind: 'leave' })} data-testid="leave">
            {t('leave')}
          </button>
        </div>
      )}
    </Dialog>
  );
}
