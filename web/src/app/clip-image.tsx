/** A still picture in its message, and large. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { ClipView, PlaybackGrant } from '../client/index.js';
import { boxOf } from './clip-box.js';
import { useGrant } from './clip-poster.js';
import { titleText } from './clip-words.js';
import { t } from './i18n.js';
import { Icon, IconButton } from './parts.js';

export function ImageClip({ clip }: { clip: ClipView }) {
  const { ref, grant, error, handleBroken, again } = useGrant(clip.id);
  const [open, setOpen] = useState(false);
  const title = titleText(clip);
  return (
    <div ref={ref} class="clip-frame" style={boxOf(clip)}>
      <button type="button" class="clip-poster" aria-label={error ? `${title}: ${t('clipImageAgain')}` : t('clipOpenImage', { title })} disabled={!grant && !error} onClick={() => (error ? again() : setOpen(true))} data-testid="clip-image">
        {grant && !error ? (
          <img class="clip-poster-image" src={grant.posterUrl || grant.url} alt="" onError={handleBroken} data-testid="clip-poster" />
        ) : (
          <span class={`clip-poster-none ${error ? '' : 'waits'}`}>
            <Icon name={error ? 'warn' : 'image'} />
            {error !== null && <span class="clip-poster-again">{t('clipImageAgain')}</span>}
          </span>
        )}
      </button>
      {open && grant && <Lightbox title={title} grant={grant} onBroken={handleBroken} onClose={() => setOpen(false)} />}
    </div>
  );
}

function Lightbox({ title, grant, onBroken, onClose }: { title: string; grant: PlaybackGrant; onBroken: () => void; onClose: () => void }) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      class="lightbox"
      aria-label={title}
      data-testid="lightbox"
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
      onKeyDown={(e) => e.stopPropagation()}
      // Beside the picture, too: nothing else can be done here.
      onClick={onClose}
    >
      <img src={grant.url} alt={title} onError={onBroken} data-testid="lightbox-image" />
      <p class="lightbox-title" dir="auto">
        {title}
      </p>
      <IconButton icon="close" label={t('close')} class="lightbox-close" onClick={onClose} testid="lightbox-close" />
    </dialog>
  );
}
