import { signal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { lang, setLang, t, type Lang } from './i18n.js';
import { Choice, Confirm, Dialog, Icon } from './parts.js';
import { inspecting, isAdmin } from './call-health.js';
import { clips, uploadsTick } from './clip-state.js';
import { auth, client, keep, kept, roomsTick, signOut } from './state.js';

type Theme = 'system' | 'light' | 'dark';

const theme = signal<Theme>(readTheme());

function readTheme(): Theme {
  const value = kept('kaiwa.theme');
  return value === 'light' || value === 'dark' ? value : 'system';
}

function setTheme(next: Theme): void {
  theme.value = next;
  keep('kaiwa.theme', next === 'system' ? null : next);
  if (next === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
}

export function LanguageChoice() {
  return (
    <Choice<Lang>
      label={t('language')}
      name="lang"
      value={lang.value}
      options={[
        { value: 'en', label: 'English' },
        { value: 'ja', label: '日本語' },
      ]}
      onChange={setLang}
    />
  );
}

export function ThemeChoice() {
  return (
    <Choice<Theme>
      label={t('theme')}
      name="theme"
      value={theme.value}
      options={[
        { value: 'system', label: t('themeSystem') },
        { value: 'light', label: t('themeLight') },
        { value: 'dark', label: t('themeDark') },
      ]}
      onChange={setTheme}
    />
  );
}

export function SettingsDialog({ onClose, onNotifications }: { onClose: () => void; onNotifications: () => void }) {
  const [asking, setAsking] = useState(false);
  roomsTick.value;
  const user = client.value?.me ?? auth.value?.user;
  uploadsTick.value;
  const unsent = client.value?.unsent ?? 0;
  const uploads = clips.value?.uploads.list().length ?? 0;
  const lost = [unsent > 0 ? t('signOutUnsent', { count: unsent }) : '', uploads > 0 ? t('clipSignOut', { count: uploads }) : '', t('signOutSure')];
  if (asking) {
    return (
      <Confirm
        title={t('signOut')}
        text={lost.filter(Boolean).join(' ')}
        action={t('signOutAnyway')}
        onConfirm={() => void signOut()}
        onClose={onClose}
      />
    );
  }
  return (
    <Dialog title={t('settings')} testid="settings" onClose={onClose}>
      <p class="dialog-text">{t('signedInAs', { name: user?.name || user?.id || '', id: user?.id ?? '' })}</p>
      <LanguageChoice />
      <ThemeChoice />
      <button type="button" class="button quiet" data-testid="open-notifications" onClick={onNotifications}>
        <Icon name="bell" />
        {t('notifications')}
      </button>
      {isAdmin() && (
        <button
          type="button"
          class="button quiet"
          data-testid="open-calls-health"
          onClick={() => {
            onClose();
            inspecting.value = '';
          }}
        >
          <Icon name="pulse" />
          {t('callsHealth')}
        </button>
      )}
      <div class="dialog-actions">
        <button
          type="button"
          class="button quiet"
          data-testid="sign-out"
          onClick={() => (unsent + uploads > 0 ? setAsking(true) : void signOut())}
        >
          {t('signOut')}
        </button>
      </div>
    </Dialog>
  );
}
