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

/** What it comes to: a push that was decided on may yet have been overtaken, or be under way. */
function verdictOf({ isSent, reason, attempts }: NotifyDecision): Key {
  if (!isSent) return 'notifyNotSent';
  if (reason === 'waits') return 'notifyWaits';
  if (attempts.some((a) => a.isAccepted)) return 'notifySent';
  if (attempts.every((a) => isUnderWay(a.code))) return 'notifyUnderWay';
  return 'notifyNotSent';
}

function outcomeOf(isAccepted: boolean, code: string): Key {
  if (isAccepted) return 'notifyAccepted';
  if (isUnderWay(code)) return 'notifyTrying';
  return OVERTAKEN[code] ?? 'notifyRefused';
}

/** It is tried again by itself. */
const isUnderWay = (code: string) => ['sending', 'provider_away', 'throttled'].includes(code) || code.startsWith('transient');

/** Nobody needed it any more when it was its turn. */
const OVERTAKEN: Record<string, Key> = { read: 'notifyReadSince', delivered: 'notifySeenSince', call_over: 'notifyOverSince', expired: 'notifyTooLate' };

function Decision({ kaiwa, decision, devices }: { kaiwa: Kaiwa; decision: NotifyDecision; devices: Device[] }) {
  const { timeMs, room, reason, message, attempts } = decision;
  const verdict = verdictOf(decision);
  const why = WHY[reason];
  const known = room === '' ? null : kaiwa.room(room);
  const nameOf = (id: string) => devices.find((d) => d.deviceId === id)?.name ?? t('notifyGone');
  return (
    <li data-testid="decision" data-sent={decision.isSent} data-reason={reason}>
      <p>
        <span class={`notify-verdict ${verdict === 'notifySent' ? 'sent' : ''}`}>{t(verdict)}</span>
        {known && <b dir="auto">{titleOf(kaiwa, known)}</b>}
        <time class="quiet-text notify-small">{longTime(timeMs)}</time>
      </p>
      {/* Where it went to devices, they have the last word. */}
      {!(reason === 'pushed' && attempts.length > 0) && <p>{why ? t(why) : message || reason}</p>}
      {attempts.map(({ deviceId, isAccepted, code }) => (
        <p key={deviceId} class="quiet-text notify-small">
          {t(outcomeOf(isAccepted, code), { device: nameOf(deviceId), code })}
        </p>
      ))}
    </li>
  );
}
