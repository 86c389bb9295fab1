/** A room's clips, the newest first. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { type Clip, type ClipShown, type ClipState, type ClipView, type Kaiwa, type RoomView } from '../client/index.js';
import { ReadyClip } from './clip-message.js';
import { KIND_ICONS } from './clip-pick.js';
import { useGrant } from './clip-poster.js';
import { clipTick, clips, jumpTo } from './clip-state.js';
import { Bar } from './clip-upload-view.js';
import { explainClip, failureText, lengthText, titleText } from './clip-words.js';
import { dayName, longTime } from './format.js';
import { t } from './i18n.js';
import { Dialog, Icon, Problem } from './parts.js';
import { titleOf } from './room-list.js';
import { goTo, roomTick } from './state.js';

const PAGE = 24;
/** Those that were given up have nothing to show. */
const STATES: ClipState[] = ['created', 'uploading', 'uploaded', 'validating', 'submitted', 'processing', 'verifying', 'ready', 'failed', 'rejected'];
const SHOWN: Partial<Record<ClipState, ClipShown>> = { created: 'uploading', uploading: 'uploading', ready: 'ready', failed: 'failed', rejected: 'failed' };

const shownOf = (state: ClipState): ClipShown => SHOWN[state] ?? 'processing';

const viewOf = (clip: Clip): ClipView => {
  const { id, version, kind, title, durationMs, width, height, state } = clip;
  return { id, version, kind, title, durationMs, width, height, state: shownOf(state) };
};

export function ClipsPage({ kaiwa, room }: { kaiwa: Kaiwa; room: RoomView }) {
  const id = room.info.room;
  const { list, next, problem, loading, more, again } = useClips(kaiwa, id);
  const [open, setOpen] = useState<Clip | null>(null);
  const end = useRef<HTMLDivElement>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const title = titleOf(kaiwa, room);

  useEffect(() => heading.current?.focus(), []);
  // The next page comes when its place comes into view.
  useEffect(() => {
    const place = end.current;
    if (!place || next === '' || loading) return;
    const observer = new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && more(), { rootMargin: '400px' });
    observer.observe(place);
    return () => observer.disconnect();
  }, [next, loading, more]);

  // Others' failures concern nobody else.
  const shown = list?.filter((c) => shownOf(c.state) !== 'failed' || c.uploader === kaiwa.me.id) ?? [];
  return (
    <section class="clips-page" aria-labelledby="clips-title" data-testid="clips-page" data-ready={list !== null}>
      <div class="clips-head">
        <h2 id="clips-title" tabIndex={-1} ref={heading}>
          <span class="visually-hidden">{t('clipsOf', { title })}</span>
          <span aria-hidden="true">{t('clips')}</span>
        </h2>
      </div>
      <Problem text={problem}>
        <button type="button" class="button small" onClick={again}>
          {t('retry')}
        </button>
      </Problem>
      {list === null && !problem && <p class="quiet-text clips-loading">{t('clipsLoading')}</p>}
      {list !== null && shown.length === 0 && next === '' && (
        <div class="clips-none" data-testid="clips-none">
          <Icon name="film" />
          <p>{t('clipsNone')}</p>
          <p class="quiet-text">{t('clipsNoneHint')}</p>
        </div>
      )}
      <ul class="clips-grid">
        {shown.map((clip) => (
          <li key={clip.id}>
            <Tile kaiwa={kaiwa} room={id} clip={clip} onOpen={() => setOpen(clip)} />
          </li>
        ))}
      </ul>
      <div ref={end} class="clips-end">
        {next !== '' && (
          <button type="button" class="button quiet" disabled={loading} onClick={more} data-testid="clips-more">
            {t('more')}
          </button>
        )}
      </div>
      {open && <Viewer kaiwa={kaiwa} room={id} clip={open} onClose={() => setOpen(null)} />}
    </section>
  );
}

/** The pages read so far, kept up to date by the room's messages. */
function useClips(kaiwa: Kaiwa, room: string) {
  const [list, setList] = useState<Clip[] | null>(null);
  const [next, setNext] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [loading, setLoading] = useState(false);

  const read = useCallback(
    async (after: string) => {
      setLoading(true);
      try {
        const page = await clips.value!.api.list(room, { states: STATES, size: PAGE, after });
        setList((before) => merged(after === '' ? [] : (before ?? []), page.clips));
        setNext(page.next);
        setProblem(null);
      } catch (error) {
        setProblem(explainClip(error));
      }
      setLoading(false);
    },
    [room],
  );
  useEffect(() => void read(''), [read]);

  // What the conversation shows is news: of clips in the list, and of such that aren't in it yet.
  const tick = roomTick(room).value;
  const asked = useRef(new Map<string, number>());
  useEffect(() => {
    if (list === null) return;
    const known = new Map(list.map((c) => [c.id, c.version]));
    const oldest = list.at(-1)?.id ?? '';
    const news = kaiwa.messages(room).messages.flatMap(({ clip }) => {
      const isNews = clip && (known.has(clip.id) ? clip.version > known.get(clip.id)! : clip.id > oldest || next === '');
      return isNews && (asked.current.get(clip.id) ?? 0) < clip.version ? [clip] : [];
    });
    const gone = new Set(list.filter((c) => isGone(kaiwa, room, c)).map((c) => c.id));
    if (gone.size > 0) setList(list.filter((c) => !gone.has(c.id)));
    if (news.length === 0) return;
    for (const { id, version } of news) asked.current.set(id, version);
    clips.value?.api.getMany(news.map((c) => c.id)).then(
      (fresh) => setList((before) => merged(before ?? [], fresh)),
      // The next change asks again.
      () => news.forEach(({ id }) => asked.current.delete(id)),
    );
  }, [tick, list]);

  return { list, next, problem, loading, more: () => void read(next), again: () => void read('') };
}

function merged(before: readonly Clip[], fresh: readonly Clip[]): Clip[] {
  const all = new Map(before.map((c) => [c.id, c]));
  for (const clip of fresh) if ((all.get(clip.id)?.version ?? 0) <= clip.version) all.set(clip.id, clip);
  // Ids are UUIDv7: their order is that of their making.
  return [...all.values()].filter((c) => STATES.includes(c.state)).sort((a, b) => (a.id < b.id ? 1 : -1));
}

/** Its message here was deleted. */
function isGone(kaiwa: Kaiwa, room: string, clip: Clip): boolean {
  if (clip.room !== room || clip.messageSeq === 0) return false;
  return kaiwa.messages(room).messages.some((m) => m.seq === clip.messageSeq && m.deleted);
}

function Tile({ kaiwa, room, clip, onOpen }: { kaiwa: Kaiwa; room: string; clip: Clip; onOpen: () => void }) {
  clipTick.value;
  const state = shownOf(clip.state);
  const { ref, grant, error, handleBroken } = useGrant(clip.id, state === 'ready' && clip.kind !== 'audio');
  const title = titleText(clip);
  const who = clip.uploader === kaiwa.me.id ? t('you') : kaiwa.nameOf(clip.uploader);
  const percent = kaiwa.clipPercent(room, clip.messageSeq, viewOf(clip)) ?? clip.percent;
  const picture = grant && (grant.posterUrl || (clip.kind === 'image' ? grant.url : ''));
  const line =
    state === 'uploading'
      ? t('clipOtherUploads', { name: who })
      : state === 'processing'
        ? t('clipProcessingPercent', { percent })
        : clip.error
          ? failureText(clip.error)
          : t('clipFailedOther');
  return (
    <div ref={ref} class={`clips-tile state-${state}`} data-testid="clip-tile" data-clip={clip.id} data-state={state}>
      <div class="clips-frame">
        <button type="button" class="clips-picture" disabled={state !== 'ready'} onClick={onOpen} aria-label={t(clip.kind === 'image' ? 'clipOpenImage' : 'clipPlayBare', { title })}>
          {picture ? (
            <img class="clip-poster-image" src={picture} alt="" onError={handleBroken} />
          ) : (
            <span class={`clip-poster-none ${state === 'ready' && !grant && !error && clip.kind !== 'audio' ? 'waits' : ''}`}>
              <Icon name={state === 'failed' ? 'warn' : state === 'uploading' ? 'up' : KIND_ICONS[clip.kind]} />
            </span>
          )}
          {state === 'ready' && clip.kind === 'video' && (
            <span class="clip-play-mark small">
              <Icon name="play" />
            </span>
          )}
        </button>
        {clip.durationMs > 0 && (
          <span class="clip-length" aria-hidden="true">
            {lengthText(clip.durationMs)}
          </span>
        )}
      </div>
      {state === 'processing' && <Bar label={t('clipProgressOf', { title })} percent={percent} />}
      <span class="clips-tile-title" dir="auto">
        {title}
      </span>
      <span class="clips-tile-line">
        {state === 'ready' ? (
          <>
            {who} · <time title={longTime(clip.createdMs)}>{dayName(clip.createdMs)}</time>
          </>
        ) : (
          line
        )}
      </span>
    </div>
  );
}

function Viewer({ kaiwa, room, clip, onClose }: { kaiwa: Kaiwa; room: string; clip: Clip; onClose: () => void }) {
  const seq = clip.room === room ? clip.messageSeq : 0;
  const who = clip.uploader === kaiwa.me.id ? t('you') : kaiwa.nameOf(clip.uploader);
  return (
    <Dialog title={titleText(clip)} testid="clip-viewer" wide onClose={onClose}>
      <ReadyClip clip={viewOf(clip)} large />
      <div class="viewer-foot">
        <span class="quiet-text">
          {who} · {longTime(clip.createdMs)}
        </span>
        {seq > 0 && (
          <button
            type="button"
            class="button quiet small"
            data-testid="clip-show-message"
            onClick={() => {
              onClose();
              jumpTo.value = { room, seq };
              goTo(room);
            }}
          >
            {t('clipShowMessage')}
          </button>
        )}
      </div>
    </Dialog>
  );
}

