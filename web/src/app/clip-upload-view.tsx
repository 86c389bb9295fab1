/** An upload that is done here, in its message or, until it has one, over the composer. */
import { useRef, useState } from 'preact/hooks';
import type { ClipUpload, UploadFile } from '../client/index.js';
import { ACCEPT } from './clip-check.js';
import { KIND_ICONS } from './clip-pick.js';
import { clips, uploadsTick } from './clip-state.js';
import { byteText, explainClip, leftText } from './clip-words.js';
import { t } from './i18n.js';
import { Confirm, Icon, IconButton } from './parts.js';
import { goTo, showToast } from './state.js';

export const percentOf = (upload: ClipUpload): number => Math.floor((100 * upload.sent) / Math.max(1, upload.file.size));

export function UploadCard({ upload }: { upload: ClipUpload }) {
  uploadsTick.value;
  const [asking, setAsking] = useState(false);
  const { state } = upload;
  const percent = percentOf(upload);
  const moves = ['starting', 'sending', 'completing', 'waiting'].includes(state.kind);
  return (
    <div class={`clip-card upload state-${state.kind}`} data-testid="upload" data-state={state.kind} data-sent={upload.sent}>
      <span class="clip-tile">
        <Icon name={state.kind === 'failed' ? 'warn' : KIND_ICONS[upload.kind]} />
      </span>
      <div class="clip-card-main">
        <span class="clip-card-title" dir="auto">
          {upload.title}
        </span>
        <span class="clip-card-line" data-testid="upload-line">
          {lineOf(upload)}
        </span>
        {state.kind === 'needs_file' && <Again upload={upload} />}
        {state.kind === 'failed' && (
          <span class="clip-card-actions">
            <button type="button" class="button quiet small" onClick={() => upload.retry()} data-testid="upload-retry">
              {t('retry')}
            </button>
          </span>
        )}
        <Bar label={t('clipUploadPercent', { title: upload.title })} percent={percent} still={!moves} unknown={state.kind === 'starting'} />
      </div>
      {state.kind === 'paused' ? (
        <IconButton icon="play" label={t('clipResume')} onClick={() => upload.resume()} testid="upload-resume" />
      ) : (
        ['starting', 'sending', 'waiting'].includes(state.kind) && (
          <IconButton icon="pause" label={t('clipPause')} onClick={() => upload.pause()} testid="upload-pause" />
        )
      )}
      {state.kind !== 'completing' && <IconButton icon="close" label={t('clipCancel')} onClick={() => setAsking(true)} testid="upload-cancel" />}
      {asking && (
        <Confirm
          title={t('clipCancelSure')}
          text={t('clipCancelWhat')}
          action={t('clipCancelDo')}
          cancel={t('clipKeepOn')}
          onConfirm={() => upload.cancel()}
          onClose={() => setAsking(false)}
        />
      )}
    </div>
  );
}

function lineOf(upload: ClipUpload): string {
  const { state, file, sent, rate, leftMs } = upload;
  const percent = percentOf(upload);
  switch (state.kind) {
    case 'starting':
      return t('clipStarting');
    case 'sending': {
      const parts = [t('clipSending', { sent: byteText(sent), size: byteText(file.size) })];
      if (rate > 0) parts.push(t('clipSpeed', { speed: byteText(rate) }));
      if (leftMs > 0 && sent < file.size) parts.push(leftText(leftMs));
      return parts.join(' · ');
    }
    case 'paused':
      return t('clipPaused', { percent });
    case 'waiting':
      return state.error ? t('clipWaitingWhy', { why: explainClip(state.error) }) : t('clipWaiting');
    case 'needs_file':
      return t(state.isHeld ? 'clipNeedsLeave' : 'clipNeedsFile', { name: file.name, percent });
    case 'failed':
      return t('clipUploadFailed', { why: explainClip(state.error) });
    default:
      return t('clipCompleting');
  }
}

/** After a reload: the browser is asked for the file it has, or the person chooses it again. */
function Again({ upload }: { upload: ClipUpload }) {
  const field = useRef<HTMLInputElement>(null);
  const isHeld = upload.state.kind === 'needs_file' && upload.state.isHeld;
  const give = async (file: UploadFile) => {
    if (await upload.provideFile(file)) return;
    showToast(t('clipOtherFile', { name: upload.file.name, size: byteText(upload.file.size) }), 'error');
  };
  return (
    <span class="clip-card-actions">
      {isHeld && (
        <button type="button" class="button primary small" onClick={() => void upload.openHandle({ ask: true })} data-testid="upload-go-on">
          {t('clipGoOn')}
        </button>
      )}
      <button type="button" class={`button small ${isHeld ? 'quiet' : 'primary'}`} onClick={() => field.current?.click()} data-testid="upload-choose">
        {t('clipChoose')}
      </button>
      <input
        ref={field}
        type="file"
        hidden
        accept={ACCEPT}
        data-testid="upload-field"
        onChange={(e) => {
          const file = e.currentTarget.files?.[0];
          if (file) void give(file);
          e.currentTarget.value = '';
        }}
      />
    </span>
  );
}

export function Bar({ label, percent, still = false, unknown = false }: { label: string; percent: number; still?: boolean; unknown?: boolean }) {
  return (
    <span
      class={`clip-bar ${still ? 'still' : ''} ${unknown ? 'unknown' : ''}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={unknown ? undefined : percent}
      data-testid="clip-bar"
    >
      <span class="clip-bar-done" style={{ width: `${percent}%` }} />
    </span>
  );
}

/** Over the composer: uploads of this room that no message shows. */
export function UploadTray({ room, shown }: { room: string; shown: (clip: string) => boolean }) {
  uploadsTick.value;
  const uploads = clips.value?.uploads.list(room).filter((u) => u.clip === '' || !shown(u.clip)) ?? [];
  if (uploads.length === 0) return null;
  return (
    <ul class="upload-tray" aria-label={t('clipUploads')} data-testid="upload-tray">
      {uploads.map((upload) => (
        <li key={upload.id}>
          <UploadCard upload={upload} />
        </li>
      ))}
    </ul>
  );
}

/** In the list of rooms: something is on its way, wherever one is. Leads to its room. */
export function UploadsMark() {
  uploadsTick.value;
  const uploads = clips.value?.uploads.list() ?? [];
  const first = uploads[0];
  if (!first) return null;
  const size = uploads.reduce((sum, u) => sum + u.file.size, 0);
  const percent = Math.floor((100 * uploads.reduce((sum, u) => sum + u.sent, 0)) / Math.max(1, size));
  const waits = uploads.every((u) => ['paused', 'needs_file', 'failed'].includes(u.state.kind));
  const count = uploads.length;
  return (
    <button type="button" class="uploads-mark" onClick={() => goTo(first.room)} data-testid="uploads-mark">
      <Icon name="up" />
      <span>{waits ? t('clipUploadWaits') : count === 1 ? t('clipSendingOne', { percent }) : t('clipsSending', { count, percent })}</span>
    </button>
  );
}
