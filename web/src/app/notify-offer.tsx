/** Offers notifications when there is something to be told of: after a first conversation, once, and without a question of the browser's. */
import { useRef } from 'preact/hooks';
import type { Kaiwa } from '../client/index.js';
import { t } from './i18n.js';
import { Icon } from './parts.js';
import { deviceState, mayOffer, notNow, turnOn } from './push-device.js';
import { roomTick, showToast } from './state.js';

export function NotifyOffer({ kaiwa, room }: { kaiwa: Kaiwa; room: string }) {
  roomTick(room).value;
  // Once there, it stays until it is answered, whatever is read meanwhile.
  const was = useRef(false);
  if (!mayOffer.value) return null;
  was.current ||= hasConversed(kaiwa, room);
  if (!was.current) return null;
  const accept = async () => {
    try {
      await turnOn(kaiwa);
      // The offer is gone with it: say where the way back is.
      if (deviceState.value === 'denied') showToast(t('notifyDeniedNow'), 'error');
    } catch {
      showToast(t('notifyFailed'), 'error');
    }
  };
  return (
    <section class="notify-offer" aria-label={t('notifications')} data-testid="notify-offer">
      <Icon name="bell" />
      <p>
        <b>{t('notifyOffer')}</b>
        <span class="quiet-text">{t('notifyOfferWhy')}</span>
      </p>
      <div class="notify-offer-actions">
        <button type="button" class="button quiet small" onClick={notNow} data-testid="notify-later">
          {t('notifyLater')}
        </button>
        <button type="button" class="button primary small" onClick={() => void accept()} data-testid="notify-accept">
          {t('notifyTurnOn')}
        </button>
      </div>
    </section>
  );
}

/** One has written here, and so has somebody else. */
function hasConversed(kaiwa: Kaiwa, room: string): boolean {
  const { messages } = kaiwa.messages(room);
  return messages.some((m) => m.sender === kaiwa.me.id) && messages.some((m) => m.sender !== kaiwa.me.id);
}
