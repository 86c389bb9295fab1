import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { CallStatus, Kaiwa, RoomView } from '../client/index.js';
import { CallControls } from './call-controls.js';
import { GAP, gridOf, mainTile, tilesOf, type Size, type Tile } from './call-layout.js';
import { callStatus, nameOf, pinned, ringee, soundBlocked, speakerLayout } from './call-state.js';
import { CallTile, labelOf, PersonMenu } from './call-tile.js';
import { useWhy } from './call-why.js';
import { lang, t } from './i18n.js';
import { Icon, IconButton } from './parts.js';
import { titleOf } from './room-list.js';
import { callTick, connection, levelsTick } from './state.js';

export function CallView({ kaiwa, room }: { kaiwa: Kaiwa; room: RoomView }) {
  callTick.value;
  const [menu, setMenu] = useState<Tile | null>(null);
  const tiles = tilesOf(kaiwa.call.participants());
  return (
    <section class="call" aria-label={t('callTitle', { title: titleOf(kaiwa, room) })} data-testid="call-view">
      <CallBanner kaiwa={kaiwa} alone={tiles.length < 2} />
      <Stage kaiwa={kaiwa} tiles={tiles} onMenu={setMenu} />
      <CallControls kaiwa={kaiwa} room={room} onMenu={setMenu} />
      {menu && <PersonMenu kaiwa={kaiwa} tile={menu} onClose={() => setMenu(null)} />}
    </section>
  );
}

/** What is not as it should be, or what one waits for. */
function CallBanner({ kaiwa, alone }: { kaiwa: Kaiwa; alone: boolean }) {
  const status = callStatus.value;
  const why = useWhy(status.kind === 'joining' && status.slow ? status.cause : null);
  const text = why ? [why.text, why.remedy, t('callStillTrying')].join(lang.value === 'ja' ? '' : ' ') : bannerText(kaiwa, status, alone);
  const waiting = status.kind === 'joining' || status.kind === 'reconnecting' || kaiwa.call.outgoing !== null;
  return (
    <div class={`call-banner ${status.kind} ${text ? '' : 'empty'}`}>
      <p role="status" data-testid="call-status" data-status={status.kind} data-cause={why && status.kind === 'joining' ? status.cause?.kind : undefined}>
        {text && waiting && <span class="spinner" aria-hidden="true" />}
        {text || <span class="visually-hidden">{t('callConnected')}</span>}
      </p>
      {soundBlocked.value && (
        <p class="sound-blocked">
          {t('soundBlocked')}
          <button type="button" class="button small primary" onClick={() => (soundBlocked.value = false)} data-testid="sound-on">
            <Icon name="sound" />
            {t('soundOn')}
          </button>
        </p>
      )}
    </div>
  );
}

function bannerText(kaiwa: Kaiwa, status: CallStatus, alone: boolean): string {
  if (status.kind === 'joining') return joiningText(kaiwa, status.slow);
  if (status.kind === 'reconnecting') return t('callReconnecting');
  if (connection.value !== 'connected') return t('callNoServer');
  if (kaiwa.call.outgoing) return t('callCalling', { name: kaiwa.call.outgoing.users.map((u) => kaiwa.nameOf(u)).join(', ') || ringee(kaiwa) });
  return alone ? t('callAlone') : '';
}

function joiningText(kaiwa: Kaiwa, slow: boolean): string {
  if (kaiwa.call.participant === '') return t('callJoining');
  return t(slow ? 'callConnectingSlow' : 'callConnecting');
}

interface StageProps {
  kaiwa: Kaiwa;
  tiles: Tile[];
  onMenu: (tile: Tile) => void;
}

function Stage({ kaiwa, tiles, onMenu }: StageProps) {
  const ref = useRef<HTMLDivElement>(null);
  const space = useSize(ref);
  const main = mainTile(tiles, { pinned: pinned.value, active: kaiwa.call.active, speaker: speakerLayout.value });
  return (
    <div class="stage" ref={ref} data-testid="call-stage" data-layout={main ? 'speaker' : 'grid'}>
      {space.width > 0 &&
        (main ? (
          <Speaker kaiwa={kaiwa} main={main} rest={tiles.filter((x) => x !== main)} space={space} onMenu={onMenu} />
        ) : (
          <Grid kaiwa={kaiwa} tiles={tiles} space={space} onMenu={onMenu} />
        ))}
    </div>
  );
}

function Grid({ kaiwa, tiles, space, onMenu }: StageProps & { space: Size }) {
  const [wanted, setPage] = useState(0);
  const paged = gridOf(tiles.length, space).pages > 1;
  const grid = gridOf(tiles.length, paged ? { ...space, height: space.height - PAGER_HEIGHT } : space);
  const page = Math.min(wanted, grid.pages - 1);
  const shown = tiles.slice(page * grid.perPage, (page + 1) * grid.perPage);
  const width = grid.columns * grid.width + (grid.columns - 1) * GAP;
  return (
    <div class="grid-page">
      <div class="grid" style={{ width: `${width + 1}px` }}>
        {shown.map((tile) => (
          <CallTile key={tile.key} kaiwa={kaiwa} tile={tile} size={grid} onMenu={onMenu} />
        ))}
      </div>
      {grid.pages > 1 && (
        <nav class="pager" aria-label={t('callPeople')}>
          <IconButton icon="back" label={t('pageBack')} disabled={page === 0} onClick={() => setPage(page - 1)} testid="page-back" />
          <span data-testid="page">{t('page', { page: page + 1, pages: grid.pages })}</span>
          <IconButton icon="next" label={t('pageNext')} disabled={page === grid.pages - 1} onClick={() => setPage(page + 1)} testid="page-next" />
          <SpeakingElsewhere kaiwa={kaiwa} shown={shown} />
        </nav>
      )}
    </div>
  );
}

const PAGER_HEIGHT = 52;

function SpeakingElsewhere({ kaiwa, shown }: { kaiwa: Kaiwa; shown: Tile[] }) {
  levelsTick.value;
  const { active } = kaiwa.call;
  const speaker = kaiwa.call.participants().find((p) => p.participant === active && !p.me);
  if (!speaker || !kaiwa.call.speaking(active) || shown.some((tile) => tile.person.participant === active)) return null;
  return <span class="speaking-elsewhere">{t('speakingNow', { name: nameOf(speaker) })}</span>;
}

interface SpeakerProps {
  kaiwa: Kaiwa;
  main: Tile;
  rest: Tile[];
  space: Size;
  onMenu: (tile: Tile) => void;
}

const STRIP = { beside: { width: 176, height: 99 }, below: { width: 128, height: 88 } };

/** One large, the others in a strip beside or below it that is scrolled. */
function Speaker({ kaiwa, main, rest, space, onMenu }: SpeakerProps) {
  const beside = space.width > space.height * 1.25 && space.width > 560;
  const size = beside ? STRIP.beside : STRIP.below;
  const left: Size =
    rest.length === 0
      ? space
      : beside
        ? { width: space.width - size.width - GAP - 6, height: space.height }
        : { width: space.width, height: space.height - size.height - GAP - 6 };
  return (
    <div class={`speaker ${beside ? 'beside' : 'below'}`}>
      <div class="speaker-main">
        <CallTile key={main.key} kaiwa={kaiwa} tile={main} size={fitting(main, left)} onMenu={onMenu} />
      </div>
      {rest.length > 0 && (
        <div class="strip" role="region" aria-label={t('callPeople')} tabIndex={0}>
          {rest.map((tile) => (
            <div key={tile.key} class="strip-tile">
              <CallTile kaiwa={kaiwa} tile={tile} size={size} small />
              <button
                type="button"
                class="cover"
                aria-label={`${labelOf(tile)}: ${t('tilePin')}`}
                title={t('tilePin')}
                onClick={() => (pinned.value = tile.key)}
                data-testid="strip-pin"
              />
            </div>
          ))}
        </div>
      )}
    </div>
  );
}

/** A screen is shown whole in all there is; a face not wider than a camera's picture. */
function fitting({ kind }: Tile, { width, height }: Size): Size {
  if (kind === 'screen') return { width, height };
  return { width: Math.floor(Math.min(width, (height * 16) / 9)), height: Math.floor(height) };
}

function useSize(ref: { current: HTMLElement | null }): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = ref.current!;
    const measure = () => {
      const style = getComputedStyle(element);
      const width = element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      const height = element.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
      setSize((old) => (old.width === width && old.height === height ? old : { width, height }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return size;
}

/** The person who is looked at in the dock. */
export function DockTile({ kaiwa, size }: { kaiwa: Kaiwa; size: Size }) {
  callTick.value;
  const tiles = tilesOf(kaiwa.call.participants());
  const main = mainTile(tiles, { pinned: pinned.value, active: kaiwa.call.active, speaker: true }) ?? tiles[0];
  return main ? <CallTile key={main.key} kaiwa={kaiwa} tile={main} size={size} small /> : null;
}

/** Runs the shortcuts while the focus is in the call or nowhere. */
export function useShortcuts(keys: Record<string, () => void>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const listener = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
      const at = event.target as HTMLElement;
      if (document.querySelector('dialog[open]') || (at !== document.body && !at.closest?.('.call, .dock'))) return;
      const run = latest.current[event.key.toLowerCase()];
      if (!run) return;
      event.preventDefault();
      run();
    };
    document.addEventListener('keydown', listener);
    return () => document.removeEventListener('keydown', listener);
  }, []);
}
