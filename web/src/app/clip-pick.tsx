/** Files on their way into a message: chosen, dropped or pasted, each with a title, until they are shared. */
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { ClipKind, FileHandle, Kaiwa } from '../client/index.js';
import { ACCEPT, lookAt } from './clip-check.js';
import { clipBytes, clips } from './clip-state.js';
import { EMPTY, setTray, trayOf, type Picked } from './clip-tray.js';
import { byteText, explainClip, KIND_NAMES } from './clip-words.js';
import { t } from './i18n.js';
import { Icon, IconButton, Problem, type IconName } from './parts.js';
import { showToast } from './state.js';

const MOST = 10;
const TITLE_MAX = 200;
let serial = 0;

export const KIND_ICONS: Record<ClipKind, IconName> = { video: 'film', audio: 'music', image: 'image' };

/** Adds files to what is going to be shared, as far as the server will take them. */
export function pick(kaiwa: Kaiwa, room: string, files: readonly { file: File; handle: FileHandle | null }[]): void {
  const { picked } = trayOf(room);
  const taken: Picked[] = [];
  const problems: string[] = [];
  for (const { file, handle } of files) {
    const looked = lookAt(file, clipBytes(kaiwa));
    if ('key' in looked) problems.push(t(looked.key, looked.values));
    else taken.push({ id: ++serial, file, handle, ...looked, title: '' });
  }
  const all = [...picked, ...taken];
  if (all.length > MOST) problems.push(t('clipMostFiles', { most: MOST }));
  setTray(room, { picked: all.slice(0, MOST), problems });
}

/** Begins the uploads. */
export function sharePicked(room: string): void {
  const uploads = clips.value?.uploads;
  const { picked } = trayOf(room);
  if (!uploads || picked.length === 0) return;
  setTray(room, EMPTY);
  const start = async () => {
    // One after the other, so that their messages come in the order in which they were chosen.
    for (const { file, handle, type, title } of picked) {
      await uploads
        .start(file, { room, title: title.trim(), type, handle })
        .catch((error: unknown) => showToast(`${file.name}: ${explainClip(error)}`, 'error'));
    }
  };
  void start();
}

type PickerWindow = Window & { showOpenFilePicker?: (options: { multiple: boolean }) => Promise<(FileHandle & { kind: string })[]> };

/** The button, and the field behind it. Where the browser gives a handle, the upload goes on after a reload without asking for the file. */
export function AttachButton({ kaiwa, room }: { kaiwa: Kaiwa; room: string }) {
  const field = useRef<HTMLInputElement>(null);
  const choose = async () => {
    const open = (window as PickerWindow).showOpenFilePicker;
    if (!open) return field.current?.click();
    try {
      const handles = await open.call(window, { multiple: true });
      pick(kaiwa, room, await Promise.all(handles.map(async (handle) => ({ file: await handle.getFile(), handle }))));
    } catch (error) {
      // Closed without a choice; or not allowed here, where the field still is.
      if ((error as DOMException).name !== 'AbortError') field.current?.click();
    }
  };
  return (
    <>
      <IconButton icon="attach" label={t('clipAttach')} class="attach" onClick={() => void choose()} testid="attach" />
      <input
        ref={field}
        type="file"
        multiple
        hidden
        accept={ACCEPT}
        data-testid="attach-field"
        onChange={(e) => {
          const { files } = e.currentTarget;
          pick(kaiwa, room, [...(files ?? [])].map((file) => ({ file, handle: null })));
          e.currentTarget.value = '';
        }}
      />
    </>
  );
}

/** What a drop or a paste brings. Handles have to be asked for before anything else. */
export async function filesOf(data: DataTransfer): Promise<{ file: File; handle: FileHandle | null }[]> {
  const items = [...data.items].filter((item) => item.kind === 'file');
  const asked = items.map((item) => {
    const handle = (item as DataTransferItem & { getAsFileSystemHandle?: () => Promise<(FileHandle & { kind: string }) | null> }).getAsFileSystemHandle;
    return { file: item.getAsFile(), handle: handle ? handle.call(item).catch(() => null) : Promise.resolve(null) };
  });
  const found = [];
  for (const { file, handle } of asked) {
    const held = await handle;
    if (file) found.push({ file, handle: held?.kind === 'file' ? held : null });
  }
  return found;
}

export function PickedTray({ room }: { room: string }) {
  const { picked, problems } = trayOf(room);
  if (picked.length + problems.length === 0) return null;
  const change = (next: Picked[]) => setTray(room, { picked: next, problems: next.length < picked.length ? [] : problems });
  return (
    <div class="picked" role="group" aria-label={t('clipPicked')} data-testid="picked-tray">
      {problems.length > 0 && (
        <Problem text={problems.join('\n')} testid="clip-problem">
          <IconButton icon="close" label={t('close')} onClick={() => setTray(room, { picked, problems: [] })} testid="clip-problem-close" />
        </Problem>
      )}
      <ul class="picked-list">
        {picked.map((p) => (
          <li key={p.id} class="picked-file" data-testid="picked">
            <Preview picked={p} />
            <label class="picked-main">
              <span class="visually-hidden">{t('clipTitleOf', { name: p.file.name })}</span>
              <input
                class="input picked-title"
                value={p.title}
                maxLength={TITLE_MAX}
                placeholder={t('clipTitlePlaceholder')}
                dir="auto"
                data-testid="picked-title"
                onInput={(e) => change(picked.map((q) => (q.id === p.id ? { ...p, title: e.currentTarget.value } : q)))}
              />
              <span class="picked-file-name">
                <span dir="auto">{p.file.name}</span>
                <span>{byteText(p.file.size)}</span>
              </span>
            </label>
            <IconButton icon="close" label={t('clipUnpick', { name: p.file.name })} onClick={() => change(picked.filter((q) => q.id !== p.id))} testid="unpick" />
          </li>
        ))}
      </ul>
    </div>
  );
}

/** A picture or the first frame, straight from the file. */
function Preview({ picked }: { picked: Picked }) {
  const url = useMemo(() => (picked.kind === 'audio' ? '' : URL.createObjectURL(picked.file)), [picked.file]);
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  return (
    <span class={`picked-preview ${picked.kind}`} title={t(KIND_NAMES[picked.kind])}>
      <Icon name={KIND_ICONS[picked.kind]} />
      {picked.kind === 'image' && <img src={url} alt="" />}
      {picked.kind === 'video' && <video src={url} preload="metadata" muted tabIndex={-1} aria-hidden="true" />}
    </span>
  );
}
