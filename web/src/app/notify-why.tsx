/** Why one was told of something, or was not: the server's newest decisions about oneself. */
import { useState } from 'preact/hooks';
import type { Device, Kaiwa, NotifyDecision } from '../client/index.js';
import { explain } from './errors.js';
import { longTime } from './format.js';
import { t, type Key } from './i18n.js';
import { Problem } from './parts.js';
import { titleOf } from './room-list.js';

/** The server's words are English; those that are known are said in the person's language. */
const WHY: Record<string, Key> = {
  pushed: 'whyPushed',
  waits: 'whyWaits',
  expired: 'whyExpired',
  author: 'whyAuthor',
  server: 'whyServer',
  muted: 'whyMuted',
  room_muted: 'whyRoomMuted',
  room_level: 'whyRoomLevel',
  no_device: 'whyNoDevice',
  nothing_shown: 'whyNothingShown',
  disabled: 'whyDisabled',
  quarantined: 'whyQuarantined',
  no_sender: 'whyNoSender',
  quiet: 'whyQuiet',
  delivered: 'whyDelivered',
  read: 'whyRead',
};

export function NotifyWhy({ kaiwa, devices }: { kaiwa: Kaiwa; devices: Device[] }) {
  const [decisions, setDecisions] = useState<NotifyDecision[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const read = async () => {
    setProblem(null);
    try {
      setDecisions(await kaiwa.notifications.explain());
    } catch (error) {
      setProblem(explain(error));
    }
  };
  return (
    <details class="notify-why" data-testid="notify-why" onToggle={(e) => e.currentTarget.open && void read()}>
      <summary>{t('notifyWhy')}</summary>
      <Problem text={problem} />
      {!decisions && !problem && <p class="quiet-text">{t('notifyReading')}</p>}
      {decisions?.length === 0 && <p class="quiet-text">{t('notifyWhyNone')}</p>}
      <ul class="notify-decisions">
        {decisions?.map((decision) => (
          <Decision key={`${decision.eventId} ${decision.timeMs}`} kaiwa={kaiwa} decision={decision} devices={devices} />
        ))}
      </ul>
    </details>
  );
}

function Decision({ kaiwa, decision, devices }: { kaiwa: Kaiwa; decision: NotifyDecision; devices: Device[] }) {
  const { timeMs, room, isSent, reason, message, attempts } = decision;
  const known = room === '' ? null : kaiwa.room(room);
  const why = WHY[reason];
  const nameOf = (id: string) => devices.find((d) => d.deviceId === id)?.name ?? t('notifyGone');
  return (
    <li data-testid="decision" data-sent={isSent} data-reason={reason}>
      <p>
        <span class={`notify-verdict ${isSent ? 'sent' : ''}`}>{t(reason === 'waits' ? 'notifyWaits' : isSent ? 'notifySent' : 'notifyNotSent')}</span>
        {known && <b dir="auto">{titleOf(kaiwa, known)}</b>}
        <time class="quiet-text notify-small">{longTime(timeMs)}</time>
      </p>
      <p>{why ? t(why) : message || reason}</p>
      {attempts.map(({ deviceId, isAccepted, code, timeMs: at }) => (
        <p key={`${deviceId} ${at}`} class="quiet-text notify-small">
          {isAccepted ? t('notifyAccepted', { device: nameOf(deviceId) }) : t('notifyRefused', { device: nameOf(deviceId), code })}
        </p>
      ))}
    </li>
  );
}
