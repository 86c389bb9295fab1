/** Quality, speed and captions of the player. */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { captionsOf, chooseCaptions, SPEEDS } from './clip-keys.js';
import type { PlayerState } from './clip-player.js';
import { lang, t } from './i18n.js';
import { Icon, IconButton } from './parts.js';

interface Props {
  video: HTMLVideoElement;
  state: PlayerState;
  onChoose: (quality: number) => void;
}

export function PlayerMenu({ video, state, onChoose }: Props) {
  const [open, setOpen] = useState(false);
  const place = useRef<HTMLSpanElement>(null);
  const close = () => {
    setOpen(false);
    place.current?.querySelector<HTMLElement>('button')?.focus();
  };
  useEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => !place.current?.contains(event.target as Node) && setOpen(false);
    document.addEventListener('pointerdown', outside, true);
    return () => document.removeEventListener('pointerdown', outside, true);
  }, [open]);
  return (
    <span ref={place} class="player-menu-place" data-open={open}>
      <IconButton icon="gear" label={t('playerSettings')} aria-haspopup="menu" aria-expanded={open} onClick={() => (open ? close() : setOpen(true))} testid="player-settings" />
      {open && <Menu video={video} state={state} onChoose={onChoose} onClose={close} />}
    </span>
  );
}

interface Choice {
  key: string;
  label: string;
  isChosen: boolean;
  choose: () => void;
}

function Menu({ video, state, onChoose, onClose }: Props & { onClose: () => void }) {
  const menu = useRef<HTMLDivElement>(null);
  const items = () => [...(menu.current?.querySelectorAll<HTMLElement>('[role="menuitemradio"]') ?? [])];
  useLayoutEffect(() => (items().find((i) => i.getAttribute('aria-checked') === 'true') ?? items()[0])?.focus(), []);

  const onKeyDown = (event: KeyboardEvent) => {
    const list = items();
    const at = list.indexOf(document.activeElement as HTMLElement);
    const step = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: list.length - 1 }[event.key];
    if (event.key === 'Escape' || event.key === 'Tab') onClose();
    else if (step !== undefined) list[(step + list.length) % list.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const auto = state.chosen === -1 && state.lines > 0 ? t('playerAutoNow', { height: state.lines }) : t('playerAuto');
  const quality: Choice[] = [
    { key: 'auto', label: auto, isChosen: state.chosen === -1, choose: () => onChoose(-1) },
    ...state.qualities.map((q) => ({ key: String(q.lines), label: `${q.lines}p`, isChosen: state.chosen === q.index, choose: () => onChoose(q.index) })),
  ];
  const numbers = new Intl.NumberFormat(lang.value);
  const speed: Choice[] = SPEEDS.map((rate) => ({
    key: String(rate),
    label: rate === 1 ? t('playerNormal') : `${numbers.format(rate)}×`,
    isChosen: video.playbackRate === rate,
    choose: () => (video.playbackRate = rate),
  }));
  const shown = captionsOf(video);
  const captions: Choice[] = [
    { key: 'off', label: t('playerOff'), isChosen: shown === null, choose: () => chooseCaptions(video, null) },
    ...(state.grant?.captions ?? []).map((c) => ({
      key: c.language,
      label: c.label,
      isChosen: shown === c.language,
      choose: () => chooseCaptions(video, c.language),
    })),
  ];
  return (
    <div ref={menu} class="player-menu" role="menu" aria-label={t('playerSettings')} onKeyDown={onKeyDown} data-testid="player-menu">
      {state.qualities.length > 0 && <Group name="quality" label={t('playerQuality')} choices={quality} onClose={onClose} />}
      {captions.length > 1 && <Group name="captions" label={t('playerCaptions')} choices={captions} onClose={onClose} />}
      <Group name="speed" label={t('playerSpeed')} choices={speed} onClose={onClose} />
    </div>
  );
}

function Group({ name, label, choices, onClose }: { name: string; label: string; choices: Choice[]; onClose: () => void }) {
  return (
    <div role="group" aria-label={label} class="player-menu-group">
      <span class="player-menu-label" aria-hidden="true">
        {label}
      </span>
      {choices.map((choice) => (
        <button
          key={choice.key}
          type="button"
          role="menuitemradio"
          aria-checked={choice.isChosen}
          tabIndex={-1}
          class="player-menu-item"
          data-testid={`${name}-${choice.key}`}
          onClick={() => {
            choice.choose();
            onClose();
          }}
        >
          <span class="player-menu-mark">{choice.isChosen && <Icon name="check" />}</span>
          {choice.label}
        </button>
      ))}
    </div>
  );
}
