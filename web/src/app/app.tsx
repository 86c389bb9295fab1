import { useEffect, useRef } from 'preact/hooks';
import { CallLayer } from './call-around.js';
import { callInView, wholeWindow } from './call-state.js';
import { lang, t } from './i18n.js';
import { Icon, Logo } from './parts.js';
import { RoomList } from './room-list.js';
import { RoomView } from './room-view.js';
import { SignIn } from './sign-in.js';
import { auth, client, connection, openRoom, roomsTick, spoken, statusTick, toast } from './state.js';

export function App() {
  const kaiwa = client.value;
  const signedIn = auth.value !== null && kaiwa !== null;
  return (
    <>
      {signedIn ? <Shell /> : <SignIn />}
      <p class="visually-hidden" aria-live="polite" data-testid="spoken">
        {spoken.value}
      </p>
      <div class="toasts" role="status">
        {toast.value && (
          <p class={`toast ${toast.value.tone}`} data-testid="toast">
            {toast.value.text}
            <button type="button" class="toast-close" aria-label={t('close')} onClick={() => (toast.value = null)}>
              <Icon name="close" />
            </button>
          </p>
        )}
      </div>
    </>
  );
}

function Shell() {
  const kaiwa = client.value!;
  const room = openRoom.value;
  useTitle();
  useRoomFocus(room);
  return (
    <div class={`shell ${room ? 'in-room' : 'in-list'} ${wholeWindow.value && callInView.value ? 'whole-window' : ''}`} data-testid="shell">
      <Banner />
      <div class="panes">
        <RoomList kaiwa={kaiwa} />
        {room ? (
          <RoomView key={room} kaiwa={kaiwa} id={room} />
        ) : (
          <main class="room-view nothing">
            <div class="nothing-card">
              <Logo size={72} />
              <p class="quiet-text">{t('pickRoom')}</p>
            </div>
          </main>
        )}
      </div>
      <CallLayer kaiwa={kaiwa} />
    </div>
  );
}

/** What the connection means for what one writes. Silent while all is well. */
function Banner() {
  statusTick.value;
  const state = connection.value;
  const status = client.value?.status;
  const text = bannerText(state, status?.kind === 'stopped' ? status : null);
  return (
    <div class={`banner ${text ? state : 'hidden'}`} role="status" data-testid="banner" data-state={state}>
      {text && (
        <>
          <span class="banner-text">{text}</span>
          {state === 'stopped' ? (
            <button type="button" class="button small" onClick={() => client.value?.restart()}>
              {t('connectAgain')}
            </button>
          ) : (
            <button type="button" class="button small" onClick={() => client.value?.wake()} data-testid="try-now">
              {t('tryNow')}
            </button>
          )}
        </>
      )}
    </div>
  );
}

function bannerText(state: string, stopped: { reason: string; code: number } | null): string {
  if (state === 'reconnecting') return t('reconnectingLong');
  if (state === 'offline') return t('offlineLong');
  if (!stopped) return '';
  if (stopped.reason === 'replaced') return t('stoppedReplaced');
  if (stopped.reason === 'protocol_error' || stopped.reason === 'too_large') return t('stoppedProtocol');
  return t('stoppedOther', { code: stopped.code });
}

function useTitle(): void {
  roomsTick.value;
  const unread = client.value?.rooms().reduce((sum, r) => sum + r.unread.count, 0) ?? 0;
  const language = lang.value;
  useEffect(() => {
    document.title = `${unread > 0 ? `(${unread}) ` : ''}Kaiwa${language === 'ja' ? ' 会話' : ''}`;
  }, [unread, language]);
}

/** On a phone the list and the room take turns: the focus goes where the person went. */
function useRoomFocus(room: string): void {
  const before = useRef(room);
  useEffect(() => {
    const was = before.current;
    before.current = room;
    if (was === room) return;
    if (room === '') document.querySelector<HTMLElement>(`[data-testid="room"][data-room="${CSS.escape(was)}"]`)?.focus();
    else if (!matchMedia('(pointer: fine)').matches) document.querySelector<HTMLElement>('#room-title')?.focus();
  }, [room]);
}
