import { useEffect, useRef, useState } from 'preact/hooks';
import type { Kaiwa, RoomInfo, Visibility } from '../client/index.js';
import { explain } from './errors.js';
import { t } from './i18n.js';
import { Choice, Dialog, Problem } from './parts.js';
import { RoomAvatar, titleOf } from './room-list.js';
import { goTo } from './state.js';

type Kind = 'direct' | 'group' | 'broadcast';

export function NewRoomDialog({ kaiwa, onClose }: { kaiwa: Kaiwa; onClose: () => void }) {
  const [kind, setKind] = useState<Kind>('group');
  const [title, setTitle] = useState('');
  const [people, setPeople] = useState('');
  const [visibility, setVisibility] = useState<Visibility>('private');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const first = useRef<HTMLInputElement>(null);

  useEffect(() => first.current?.focus(), [kind]);

  const ids = people.split(/[\s,、，]+/).filter(Boolean);
  const complete = kind === 'direct' ? ids.length === 1 : title.trim() !== '';

  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy || !complete) return;
    setBusy(true);
    setProblem(null);
    try {
      const room =
        kind === 'direct'
          ? await kaiwa.createRoom({ kind, members: ids })
          : await kaiwa.createRoom({ kind, title: title.trim(), visibility, members: ids });
      onClose();
      leaveFor(room.room);
    } catch (error) {
      setProblem(explain(error));
      setBusy(false);
    }
  };

  return (
    <Dialog title={t('newRoom')} testid="new-room-dialog" onClose={onClose}>
      <form class="form" onSubmit={submit}>
        <Choice<Kind>
          label={t('kind')}
          name="kind"
          value={kind}
          options={[
            { value: 'group', label: t('kindGroup'), hint: t('kindGroupHint') },
            { value: 'direct', label: t('kindDirect'), hint: t('kindDirectHint') },
            { value: 'broadcast', label: t('kindBroadcast'), hint: t('kindBroadcastHint') },
          ]}
          onChange={setKind}
        />
        {kind !== 'direct' && (
          <label class="field">
            <span class="field-label">{t('roomTitle')}</span>
            <input ref={first} class="input" maxLength={128} value={title} onInput={(e) => setTitle(e.currentTarget.value)} data-testid="room-title" />
          </label>
        )}
        <label class="field">
          <span class="field-label">{t(kind === 'direct' ? 'person' : 'people')}</span>
          <input
            ref={kind === 'direct' ? first : null}
            class="input"
            autocapitalize="off"
            spellcheck={false}
            value={people}
            onInput={(e) => setPeople(e.currentTarget.value)}
            data-testid="room-people"
          />
          {kind !== 'direct' && <span class="field-hint">{t('peopleHint')}</span>}
        </label>
        {kind !== 'direct' && (
          <Choice<Visibility>
            label={t('visibility')}
            name="visibility"
            value={visibility}
            options={[
              { value: 'private', label: t('private'), hint: t('privateHint') },
              { value: 'public', label: t('public'), hint: t('publicHint') },
            ]}
            onChange={setVisibility}
          />
        )}
        <Problem text={problem} />
        <div class="dialog-actions">
          <button type="button" class="button quiet" onClick={onClose}>
            {t('cancel')}
          </button>
          <button type="submit" class="button primary" disabled={busy || !complete} data-testid="create">
            {t(busy ? 'creating' : 'create')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export function BrowseDialog({ kaiwa, onClose }: { kaiwa: Kaiwa; onClose: () => void }) {
  const [rooms, setRooms] = useState<RoomInfo[] | null>(null);
  const [next, setNext] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState('');

  const load = async (cursor: string) => {
    try {
      const page = await kaiwa.browse(cursor);
      setRooms((before) => [...(cursor === '' ? [] : (before ?? [])), ...page.rooms]);
      setNext(page.next);
    } catch (error) {
      setProblem(explain(error));
    }
  };
  useEffect(() => void load(''), []);

  const enter = async (info: RoomInfo) => {
    setBusy(info.room);
    setProblem(null);
    try {
      if (kaiwa.room(info.room)?.info.membership !== 'joined') await kaiwa.joinRoom(info.room);
      onClose();
      leaveFor(info.room);
    } catch (error) {
      setProblem(explain(error));
      setBusy('');
    }
  };

  return (
    <Dialog title={t('browse')} testid="browse-dialog" onClose={onClose}>
      <Problem text={problem} />
      {rooms === null && !problem && <p class="quiet-text">{t('loadingRooms')}</p>}
      {rooms?.length === 0 && <p class="quiet-text">{t('noPublic')}</p>}
      <ul class="browse">
        {rooms?.map((info) => {
          const joined = kaiwa.room(info.room)?.info.membership === 'joined';
          return (
            <li key={info.room} class="browse-room" data-testid="public-room" data-room={info.room}>
              <RoomAvatar info={info} size={40} />
              <span class="room-main">
                <span class="room-title" dir="auto">
                  {titleOf(kaiwa, { info })}
                </span>
                <span class="quiet-text">{memberCount(info.members)}</span>
              </span>
              <button
                type="button"
                class={`button small ${joined ? 'quiet' : 'primary'}`}
                disabled={busy !== ''}
                onClick={() => enter(info)}
                data-testid="join"
              >
                {t(joined ? 'open' : 'join')}
              </button>
            </li>
          );
        })}
      </ul>
      {next !== '' && (
        <button type="button" class="button quiet" onClick={() => void load(next)}>
          {t('more')}
        </button>
      )}
    </Dialog>
  );
}

export function memberCount(count: number): string {
  return count === 1 ? t('memberCount') : t('membersCount', { count });
}

/** Into a room from a dialog: only when it is closed can the room take the focus. */
function leaveFor(room: string): void {
  setTimeout(() => goTo(room));
}
