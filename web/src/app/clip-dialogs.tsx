/** Subtitles for one's clip, and showing a clip in another room. */
import { useState } from 'preact/hooks';
import { ClipsError, type ClipView, type Kaiwa } from '../client/index.js';
import { clips } from './clip-state.js';
import { explainClip, titleText } from './clip-words.js';
import { lang, t } from './i18n.js';
import { mayWrite } from './members.js';
import { Dialog, Problem } from './parts.js';
import { RoomAvatar, titleOf } from './room-list.js';
import { showToast } from './state.js';

const VTT_MAX = 1024 * 1024;
const LABEL_MAX = 64;
/** RFC 5646, section 2.1, as far as people write it. */
const LANGUAGE = /^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/;

export function CaptionsDialog({ clip, onClose }: { clip: ClipView; onClose: () => void }) {
  const [file, setFile] = useState<File | null>(null);
  const [language, setLanguage] = useState<string>(lang.value);
  const [label, setLabel] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);

  const submit = async (event: Event) => {
    event.preventDefault();
    if (!file || busy) return;
    setProblem(null);
    if (file.size > VTT_MAX) return setProblem(t('clipCaptionsTooLarge', { name: file.name }));
    if (!LANGUAGE.test(language)) return setProblem(t('clipCaptionsNoLanguage'));
    setBusy(true);
    try {
      const vtt = await file.text();
      if (!/^\uFEFF?WEBVTT([ \t\r\n]|$)/.test(vtt)) throw new NoVtt();
      await clips.value?.api.addCaptions(clip.id, { language, label: label.trim() || nameOf(language), vtt });
      clips.value?.grants.forget(clip.id);
      showToast(t('clipCaptionsDone'));
      onClose();
    } catch (error) {
      setProblem(error instanceof NoVtt ? t('clipCaptionsNoVtt', { name: file.name }) : captionsProblem(error, file.name));
      setBusy(false);
    }
  };

  return (
    <Dialog title={t('clipCaptionsAdd')} testid="captions-dialog" onClose={onClose}>
      <p class="dialog-text">{t('clipCaptionsWhy')}</p>
      <form class="form" onSubmit={submit}>
        <label class="field">
          <span class="field-label">{t('clipCaptionsFile')}</span>
          <input type="file" class="input file-input" accept=".vtt,text/vtt" data-testid="captions-file" onChange={(e) => setFile(e.currentTarget.files?.[0] ?? null)} />
        </label>
        <label class="field">
          <span class="field-label">{t('clipCaptionsLanguage')}</span>
          <input
            class="input"
            value={language}
            maxLength={35}
            autocapitalize="off"
            spellcheck={false}
            data-testid="captions-language"
            onInput={(e) => setLanguage(e.currentTarget.value.trim())}
          />
          <span class="field-hint">{t('clipCaptionsLanguageHint')}</span>
        </label>
        <label class="field">
          <span class="field-label">{t('clipCaptionsLabel')}</span>
          <input
            class="input"
            value={label}
            maxLength={LABEL_MAX}
            placeholder={nameOf(language)}
            data-testid="captions-label"
            onInput={(e) => setLabel(e.currentTarget.value)}
          />
        </label>
        <Problem text={problem} />
        <div class="dialog-actions">
          <button type="button" class="button quiet" onClick={onClose}>
            {t('cancel')}
          </button>
          <button type="submit" class="button primary" disabled={busy || !file} data-testid="captions-add">
            {t('clipAdd')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

class NoVtt extends Error {}

/** What is wrong with the file is said with its line. */
function captionsProblem(error: unknown, name: string): string {
  const wrong = error instanceof ClipsError ? error.violations.find((v) => v.field === 'vtt') : undefined;
  return wrong ? t('clipCaptionsWrong', { name, why: wrong.description }) : explainClip(error);
}

/** In its own words, as menus of languages have it. */
function nameOf(language: string): string {
  try {
    return new Intl.DisplayNames([language], { type: 'language' }).of(language) ?? language;
  } catch {
    return language;
  }
}

export function ShareDialog({ kaiwa, room, clip, onClose }: { kaiwa: Kaiwa; room: string; clip: ClipView; onClose: () => void }) {
  const [busy, setBusy] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const rooms = kaiwa.rooms().filter((r) => r.info.room !== room && r.info.membership === 'joined' && mayWrite(r));
  const share = async (target: string, title: string) => {
    setBusy(target);
    setProblem(null);
    try {
      await clips.value?.api.share(clip.id, target);
      showToast(t('clipShareDone', { title }));
      onClose();
    } catch (error) {
      setProblem(explainClip(error));
      setBusy('');
    }
  };
  return (
    <Dialog title={t('clipShareTitle', { title: titleText(clip) })} testid="share-dialog" onClose={onClose}>
      <Problem text={problem} />
      {rooms.length === 0 && <p class="quiet-text">{t('clipShareNone')}</p>}
      <ul class="browse">
        {rooms.map((r) => {
          const title = titleOf(kaiwa, r);
          return (
            <li key={r.info.room} class="browse-room">
              <RoomAvatar info={r.info} size={40} />
              <span class="room-main">
                <span class="room-title" dir="auto">
                  {title}
                </span>
              </span>
              <button
                type="button"
                class="button primary small"
                disabled={busy !== ''}
                aria-label={t('clipShareIn', { title })}
                onClick={() => void share(r.info.room, title)}
                data-testid="share-to"
                data-room={r.info.room}
              >
                {t('clipShareHere')}
              </button>
            </li>
          );
        })}
      </ul>
    </Dialog>
  );
}
