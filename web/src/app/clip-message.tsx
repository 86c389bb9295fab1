/** A clip in its message: on its way, being made ready, to be played, or failed. */
import { useEffect, useState } from 'preact/hooks';
import type { Clip, ClipView, Kaiwa } from '../client/index.js';
import { boxOf } from './clip-box.js';
import { ImageClip } from './clip-image.js';
import { KIND_ICONS } from './clip-pick.js';
import { Player } from './clip-player.js';
import { useGrant } from './clip-poster.js';
import { clips, clipTick, uploadsTick } from './clip-state.js';
import { Bar, UploadCard } from './clip-upload-view.js';
import { explainClip, failureText, lengthText, spokenLength, titleText } from './clip-words.js';
import { t } from './i18n.js';
import { Icon } from './parts.js';
import { showToast } from './state.js';

interface Props {
  kaiwa: Kaiwa;
  room: string;
  seq: number;
  clip: ClipView;
  own: boolean;
  /** Of the uploader. */
  name: string;
}

export function ClipBody(props: Props) {
  const { clip } = props;
  return (
    <div class={`clip kind-${clip.kind} state-${clip.state}`} data-testid="clip" data-clip={clip.id} data-state={clip.state}>
      {clip.state === 'ready' ? <ReadyClip clip={clip} /> : <UnreadyClip {...props} />}
    </div>
  );
}

export function ReadyClip({ clip, large = false }: { clip: ClipView; large?: boolean }) {
  if (clip.kind === 'image') return <ImageClip clip={clip} />;
  if (clip.kind === 'audio') return <Player clip={clip} starts={false} />;
  return <VideoClip clip={clip} large={large} />;
}

function UnreadyClip({ kaiwa, room, seq, clip, own, name }: Props) {
  uploadsTick.value;
  clipTick.value;
  if (clip.state === 'failed') return <FailedClip clip={clip} own={own} />;
  const upload = clips.value?.uploads.find(clip.id);
  if (upload && clip.state === 'uploading') return <UploadCard upload={upload} />;
  const percent = kaiwa.clipPercent(room, seq, clip);
  const isUploading = clip.state === 'uploading';
  const line = isUploading
    ? own
      ? t('clipOwnElsewhere')
      : t('clipOtherUploads', { name })
    : percent === null
      ? t('clipProcessing')
      : t('clipProcessingPercent', { percent });
  return (
    <Card clip={clip} icon={isUploading ? 'up' : KIND_ICONS[clip.kind]} line={line} testid="clip-unready">
      {!isUploading && <Bar label={t('clipProgressOf', { title: titleText(clip) })} percent={percent ?? 0} unknown={percent === null} />}
      {own && <StopButton clip={clip} />}
    </Card>
  );
}

function Card({ clip, icon, line, testid, children }: { clip: ClipView; icon: Parameters<typeof Icon>[0]['name']; line: string; testid: string; children?: preact.ComponentChildren }) {
  return (
    <div class={`clip-card state-${clip.state}`} data-testid={testid}>
      <span class="clip-tile">
        <Icon name={icon} />
      </span>
      <div class="clip-card-main">
        <span class="clip-card-title" dir="auto">
          {titleText(clip)}
        </span>
        <span class="clip-card-line" data-testid="clip-line">
          {line}
        </span>
        {children}
      </div>
    </div>
  );
}

function StopButton({ clip }: { clip: ClipView }) {
  const [busy, setBusy] = useState(false);
  const stop = () => {
    setBusy(true);
    clips.value?.api
      .cancel(clip.id)
      .catch((error: unknown) => showToast(explainClip(error), 'error'))
      .finally(() => setBusy(false));
  };
  return (
    <span class="clip-card-actions">
      <button type="button" class="button quiet small" disabled={busy} onClick={stop} data-testid="clip-stop">
        {t('clipStop')}
      </button>
    </span>
  );
}

/** Its uploader is told why, and what can be done. */
function FailedClip({ clip, own }: { clip: ClipView; own: boolean }) {
  const [record, setRecord] = useState<Clip | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (own) clips.value?.api.get(clip.id).then(setRecord, () => {});
  }, [own, clip.id, clip.version]);
  const retry = () => {
    setBusy(true);
    clips.value?.api
      .retry(clip.id)
      .catch((error: unknown) => showToast(explainClip(error), 'error'))
      .finally(() => setBusy(false));
  };
  const line = own && record?.error ? t('clipFailedOwn', { why: failureText(record.error) }) : t('clipFailedOther');
  // What was refused stays refused: only transcoding can be tried again.
  const mayRetry = own && record?.state === 'failed';
  return (
    <Card clip={clip} icon="warn" line={line} testid="clip-failed">
      {mayRetry && (
        <span class="clip-card-actions">
          <button type="button" class="button quiet small" disabled={busy} onClick={retry} data-testid="clip-retry">
            {t('retry')}
          </button>
        </span>
      )}
    </Card>
  );
}

function VideoClip({ clip, large }: { clip: ClipView; large: boolean }) {
  const [playing, setPlaying] = useState(false);
  if (playing) return <Player clip={clip} starts large={large} />;
  return <VideoPoster clip={clip} large={large} onPlay={() => setPlaying(true)} />;
}

function VideoPoster({ clip, large, onPlay }: { clip: ClipView; large: boolean; onPlay: () => void }) {
  const { ref, grant, error, handleBroken } = useGrant(clip.id);
  const title = titleText(clip);
  const length = clip.durationMs > 0 ? t('clipPlay', { title, length: spokenLength(clip.durationMs) }) : t('clipPlayBare', { title });
  return (
    <div ref={ref} class="clip-frame" style={large ? {} : boxOf(clip)}>
      <button type="button" class="clip-poster" aria-label={length} onClick={onPlay} data-testid="clip-play">
        {grant?.posterUrl ? (
          <img class="clip-poster-image" src={grant.posterUrl} alt="" onError={handleBroken} data-testid="clip-poster" />
        ) : (
          <span class={`clip-poster-none ${grant || error ? '' : 'waits'}`}>
            <Icon name="film" />
          </span>
        )}
        <span class="clip-play-mark">
          <Icon name="play" />
        </span>
      </button>
      {clip.durationMs > 0 && (
        <span class="clip-length" aria-hidden="true">
          {lengthText(clip.durationMs)}
        </span>
      )}
    </div>
  );
}
