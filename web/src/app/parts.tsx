/** Small pieces that the rest is made of. */
import type { ComponentChildren, JSX } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { t } from './i18n.js';

const ICONS = {
  plus: 'M12 5v14M5 12h14',
  compass: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm3.8 5.2-2.3 5.3-5.3 2.3 2.3-5.3 5.3-2.3Z',
  back: 'M15 5l-7 7 7 7',
  people: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Zm-6 9c0-3.3 2.7-6 6-6s6 2.7 6 6M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.3c1.8.9 3 2.9 3 5.7',
  close: 'M6 6l12 12M18 6 6 18',
  reply: 'M10 6 4 12l6 6M4.5 12H14c3.6 0 6 2.4 6 6',
  edit: 'M4 20h4L19 9l-4-4L4 16v4ZM13 7l4 4',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  send: 'M4 12l16-8-6 16-2.5-6.5L4 12Zm7.5 1.5L20 4',
  down: 'M12 5v14M6 13l6 6 6-6',
  clock: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16Zm0 4v4.5l3 2',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  warn: 'M12 8v5M12 16.5v.1M12 3 2.5 20h19L12 3Z',
  gear: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5',
  lock: 'M7 11h10v9H7zM9 11V8a3 3 0 0 1 6 0v3',
  globe: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18',
  phone: 'M6.6 4h2.8l1.6 4-2 1.6a11.5 11.5 0 0 0 5.4 5.4l1.6-2 4 1.6v2.8c0 1.2-1 2.1-2.1 2.1C10.7 19.5 4.5 13.3 4.5 6.1 4.5 5 5.4 4 6.6 4Z',
  hangUp: 'M3 13.8c5-4.6 13-4.6 18 0l-1.9 3.4-4.3-1.3v-2.7c-1.8-.6-3.8-.6-5.6 0v2.7l-4.3 1.3L3 13.8Z',
  mic: 'M12 3.5A2.7 2.7 0 0 0 9.3 6.2v5.2a2.7 2.7 0 0 0 5.4 0V6.2A2.7 2.7 0 0 0 12 3.5ZM5.8 11.4a6.2 6.2 0 0 0 12.4 0M12 17.6v3',
  micOff: 'M9.3 9.3v2.1a2.7 2.7 0 0 0 4.3 2.2M14.7 10.5V6.2a2.7 2.7 0 0 0-5.2-1M5.8 11.4a6.2 6.2 0 0 0 10 4.9M18.2 11.4a6 6 0 0 1-.5 2.4M12 17.6v3M4 4l16 16',
  cam: 'M3.5 7h11.5v10H3.5zM15 10.6l5.5-3v8.8l-5.5-3',
  camOff: 'M6.8 7H3.5v10H15v-1.8M10.6 7H15v6.4l5.5 3V7.6l-5.5 3M4 4l16 16',
  screen: 'M3 5h18v11.5H3zM8.5 20h7M12 13.5v-5M9.7 10.6 12 8.3l2.3 2.3',
  screenOff: 'M3 5h18v11.5H3zM8.5 20h7M9.7 8.4l4.6 4.6M14.3 8.4 9.7 13',
  tiles: 'M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z',
  large: 'M4 4.5h16v9.5H4zM4 17h4v2.5H4zM10 17h4v2.5h-4zM16 17h4v2.5h-4z',
  chat: 'M4 5h16v11h-9.5L6.5 20v-4H4z',
  dots: 'M5.5 12h.01M12 12h.01M18.5 12h.01',
  pin: 'M9 4h6l-.8 6 2.8 2.6V15H7v-2.4L9.8 10 9 4ZM12 15v5.5',
  expand: 'M9.5 4H4v5.5M14.5 4H20v5.5M4 14.5V20h5.5M20 14.5V20h-5.5',
  shrink: 'M4 9.5h5.5V4M20 9.5h-5.5V4M9.5 20v-5.5H4M14.5 20v-5.5H20',
  sound: 'M4 9.5v5h3.5l5 4v-13l-5 4H4ZM16 9.3c1.4 1.6 1.4 3.8 0 5.4M18.4 6.8c2.9 3 2.9 7.4 0 10.4',
  next: 'M9 5l7 7-7 7',
  bell: 'M6 17V11a6 6 0 0 1 12 0v6l1.5 1.5h-15L6 17ZM10 21h4M12 5V3',
  bellOff: 'M8 6.5A6 6 0 0 1 18 11v4M6 10.5V17l-1.5 1.5H17M10 21h4M12 5V3M4 4l16 16',
  attach: 'M8.5 12.5l6-6a3 3 0 0 1 4.2 4.2l-8 8a5 5 0 0 1-7-7l7.6-7.6',
  film: 'M3.5 5h17v14h-17zM8 5v14M16 5v14M3.5 9.7H8M3.5 14.3H8M16 9.7h4.5M16 14.3h4.5',
  image: 'M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01',
  music: 'M9 18.5a2.5 2.5 0 1 1-2.5-2.5c1.4 0 2.5 1.1 2.5 2.5V6l10-2v12.5a2.5 2.5 0 1 1-2.5-2.5c1.4 0 2.5 1.1 2.5 2.5',
  play: 'M8 5.2v13.6L19 12 8 5.2Z',
  pause: 'M8.5 5.5v13M15.5 5.5v13',
  captions: 'M3.5 5.5h17v13h-17zM10.5 10.4a2.2 2.2 0 1 0 0 3.2M17.3 10.4a2.2 2.2 0 1 0 0 3.2',
  pip: 'M3.5 5h17v14h-17zM12 12.5h6v4h-6z',
  share: 'M14 5l6 5.5-6 5.5v-3.4c-5 0-8 1.4-10 4.4.6-5 3.6-8.6 10-9V5Z',
  soundOff: 'M4 9.5v5h3.5l5 4v-13l-5 4H4ZM16.5 9.8l4.4 4.4M20.9 9.8l-4.4 4.4',
  up: 'M12 19V6M6 11.5L12 5.5l6 6',
  pulse: 'M3 12.5h4l2.5-7 4.5 13 2.5-6H21',
  horn: 'M4 10v4h3l8 5V5l-8 5H4Zm14-1c1.3 1.6 1.3 4.4 0 6',
} as const;

export type IconName = keyof typeof ICONS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={ICONS[name]} />
    </svg>
  );
}

export function Logo({ size = 32 }: { size?: number }) {
  return (
    <svg class="logo" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path class="logo-ring" d="M13.5 5.5a9 9 0 1 0 3.5 17.3" />
      <circle class="logo-dot" cx="19.6" cy="16.4" r="7.4" />
      <path class="logo-dot" d="M24 21l2.6 5.2-7-2.4z" />
    </svg>
  );
}

interface IconButtonProps extends Omit<JSX.IntrinsicElements['button'], 'icon'> {
  icon: IconName;
  label: string;
  testid?: string;
}

export function IconButton({ icon, label, testid, class: extra, ...rest }: IconButtonProps) {
  return (
    <button type="button" class={`icon-button ${extra ?? ''}`} aria-label={label} title={label} data-testid={testid} {...rest}>
      <Icon name={icon} />
    </button>
  );
}

/** Colour and letter from the id, so that a person looks the same everywhere. */
export function Avatar({ id, name, size = 36, square = false }: { id: string; name: string; size?: number; square?: boolean }) {
  const h = hash(id);
  const tone = h % 8;
  const turn = ((h >>> 8) % 12) * 30;
  const letter = [...(name || id)][0]?.toUpperCase() ?? '·';
  return (
    <svg class={`avatar tone-${tone}`} width={size} height={size} viewBox="0 0 40 40" aria-hidden="true" focusable="false">
      <rect class="avatar-ground" width="40" height="40" rx={square ? 12 : 20} />
      <g transform={`rotate(${turn} 20 20)`}>
        <path class="avatar-arc" d="M20 4.5A15.5 15.5 0 0 1 35.5 20" />
      </g>
      <text class="avatar-letter" x="20" y="20.5" text-anchor="middle" dominant-baseline="central">
        {letter}
      </text>
    </svg>
  );
}

/** FNV-1a. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

interface DialogProps {
  title: string;
  testid: string;
  /** For what needs room. */
  wide?: boolean;
  class?: string;
  onClose: () => void;
  children: ComponentChildren;
}

/** A modal dialog; the browser keeps the focus in it and gives it back afterwards. */
export function Dialog({ title, testid, wide = false, class: extra = '', onClose, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const opener = useRef(document.activeElement as HTMLElement | null);
  // A layout effect: it is undone at once, and not after others have taken the focus.
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => {
      const active = document.activeElement as HTMLElement | null;
      const left = active !== null && active !== document.body && !dialog?.contains(active);
      // Closing gives the focus back by itself, even if it has gone elsewhere by now.
      dialog?.close();
      (left ? active : opener.current)?.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={`dialog ${wide ? 'wide' : ''} ${extra}`}
      aria-labelledby={`${testid}-title`}
      data-testid={testid}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
      onClick={(e) => e.target === ref.current && onClose()}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={`${testid}-title`} dir="auto">
            {title}
          </h2>
          <IconButton icon="close" label={t('close')} onClick={onClose} testid={`${testid}-close`} />
        </header>
        {children}
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  text?: string;
  action: string;
  /** What not to do is called; “Cancel” unless that says something else here. */
  cancel?: string;
  onConfirm: () => void;
  onClose: () => void;
}

export function Confirm({ title, text, action, cancel, onConfirm, onClose }: ConfirmProps) {
  return (
    <Dialog title={title} testid="confirm" onClose={onClose}>
      {text && <p class="dialog-text">{text}</p>}
      <div class="dialog-actions">
        <button type="button" class="button quiet" onClick={onClose} data-testid="confirm-no">
          {cancel ?? t('cancel')}
        </button>
        <button
          type="button"
          class="button danger"
          autofocus
          data-testid="confirm-yes"
          onClick={() => {
            onClose();
            onConfirm();
          }}
        >
          {action}
        </button>
      </div>
    </Dialog>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  name: string;
  value: T;
  options: { value: T; label: string; hint?: string }[];
  onChange: (value: T) => void;
}

export function Choice<T extends string>({ label, name, value, options, onChange }: ChoiceProps<T>) {
  return (
    <fieldset class="choice">
      <legend>{label}</legend>
      <div class="choice-options">
        {options.map((o) => (
          <label key={o.value} class={`choice-option ${o.value === value ? 'chosen' : ''}`} data-testid={`${name}-${o.value}`}>
            <input type="radio" name={name} value={o.value} checked={o.value === value} onChange={() => onChange(o.value)} />
            <span class="choice-label">{o.label}</span>
            {o.hint && <span class="choice-hint">{o.hint}</span>}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

interface SwitchProps {
  label: string;
  hint?: string;
  checked: boolean;
  disabled?: boolean;
  onChange: (checked: boolean) => void;
  testid: string;
}

/** Something that is on or off, and takes effect at once. */
export function Switch({ label, hint, checked, disabled = false, onChange, testid }: SwitchProps) {
  const id = useId();
  return (
    <label class="switch">
      <span class="switch-text">
        <span id={`${id}-label`}>{label}</span>
        {hint && (
          <span class="switch-hint" id={`${id}-hint`}>
            {hint}
          </span>
        )}
      </span>
      <input
        type="checkbox"
        role="switch"
        checked={checked}
        disabled={disabled}
        aria-labelledby={`${id}-label`}
        aria-describedby={hint ? `${id}-hint` : undefined}
        data-testid={testid}
        onChange={(e) => {
          const wanted = e.currentTarget.checked;
          // It shows how things are, and not what was wished.
          e.currentTarget.checked = checked;
          onChange(wanted);
        }}
      />
    </label>
  );
}

/** What went wrong and what to do; `children`: a button that does it. */
export function Problem({ text, testid = 'error', children }: { text: string | null; testid?: string; children?: ComponentChildren }) {
  return (
    <div role="alert" class={text ? 'problem' : 'problem-none'} data-testid={text ? testid : undefined}>
      {text && (
        <>
          <Icon name="warn" />
          <span>{text}</span>
          {children}
        </>
      )}
    </div>
  );
}

const LINK = /(https?:\/\/[^\s<>"'「」（）、。]+[^\s<>"'「」（）、。.,;:!?)\]])/g;

/** Plain text with its addresses made into links. */
export function Text({ text }: { text: string }) {
  const parts = text.split(LINK);
  return (
    <>
      {parts.map((part, i) =>
        i % 2 === 1 ? (
          <a key={i} href={part} target="_blank" rel="noopener noreferrer nofollow">
            {part}
          </a>
        ) : (
          part
        ),
      )}
    </>
  );
}
