/**
 * How calls are doing, by what the server measures: a room's call (everybody's part for those who moderate it, else one's
 * own), or all calls of the server for its administrators. Figures come each second while they are in sight.
 */
import { useEffect, useState } from 'preact/hooks';
import { KaiwaError, serverInfo, type CallReport, type CallsReport, type Kaiwa } from '../client/index.js';
import type { InspectProps } from './call-health.js';
import { copy, copyText } from './call-inspect-copy.js';
import { Failures } from './call-inspect-failures.js';
import { inShort, isTroubled, PersonReport } from './call-inspect-person.js';
import { useCallsReport, useRoomReport, type Polled } from './call-inspect-use.js';
import { secondText, w } from './call-inspect-words.js';
import { explain } from './errors.js';
import { longTime } from './format.js';
import { Avatar, Dialog, Icon, IconButton, Problem } from './parts.js';
import { titleOf } from './room-list.js';
import './styles/call-inspect.css';

export function InspectDialog({ kaiwa, room, onClose }: InspectProps) {
  const [chosen, setChosen] = useState('');
  const [paused, setPaused] = useState(false);
  const shown = room || chosen;
  const title = shown === '' ? w('serverTitle') : w('titleIn', { title: roomTitle(kaiwa, shown) });
  const shared = { kaiwa, paused, onPaused: setPaused };
  return (
    <Dialog title={title} testid="inspect" class="inspect" onClose={onClose}>
      {shown === '' ? (
        <Server {...shared} onRoom={setChosen} />
      ) : (
        <Room key={shown} {...shared} room={shown} {...(room === '' ? { onBack: () => setChosen('') } : {})} />
      )}
    </Dialog>
  );
}

function roomTitle(kaiwa: Kaiwa, id: string): string {
  const room = kaiwa.room(id);
  return room ? titleOf(kaiwa, room) : id;
}

interface Shared {
  kaiwa: Kaiwa;
  paused: boolean;
  onPaused: (paused: boolean) => void;
}

// --- one call ---

type Choice = { kind: 'person'; id: string } | { kind: 'failures' };

function Room({ kaiwa, room, paused, onPaused, onBack }: Shared & { room: string; onBack?: () => void }) {
  const polled = useRoomReport(room, paused);
  const [picked, setPicked] = useState<Choice | null>(null);
  // Who failed to join isn't in the call, which else knows the names.
  useEffect(() => {
    if (kaiwa.room(room)?.info.membership === 'joined') kaiwa.loadMembers(room).catch(() => {});
  }, [kaiwa, room]);
  const report = polled.value;
  const isAlone = report?.scope === 'own';
  const choice = report && choiceOf(report, picked, kaiwa.me.id);
  return (
    <>
      <Bar polled={polled} paused={paused} onPaused={onPaused} summary={report ? summaryOf(report) : w('reading')} {...(onBack ? { onBack } : {})} />
      <Refused polled={polled} noRight={w('noRight')} />
      {report && choice && (
        <div class={`inspect-panes ${isAlone ? 'alone' : ''} ${picked ? 'picked' : ''}`} data-testid="inspect-panes" data-scope={report.scope}>
          {!isAlone && <People report={report} choice={choice} me={kaiwa.me.id} onPick={setPicked} />}
          <div class="inspect-detail">
            {picked && !isAlone && (
              <button type="button" class="button small quiet inspect-back" onClick={() => setPicked(null)} data-testid="inspect-back">
                <Icon name="back" />
                {w('all')}
              </button>
            )}
            <Detail kaiwa={kaiwa} report={report} choice={choice} />
          </div>
        </div>
      )}
    </>
  );
}

/** What somebody picked, as long as it is there; else whom it is most worth looking at. */
function choiceOf({ participants, failures }: CallReport, picked: Choice | null, me: string): Choice {
  if (picked?.kind === 'failures') return picked;
  const person = participants.find((p) => p.id === picked?.id) ?? participants.find(isTroubled) ?? participants.find((p) => p.user === me) ?? participants[0];
  if (person) return { kind: 'person', id: person.id };
  return failures.length > 0 ? { kind: 'failures' } : { kind: 'person', id: '' };
}

function summaryOf({ participants, failures, scope }: CallReport): string {
  const troubled = participants.filter(isTroubled).length;
  const isAll = scope === 'all';
  const parts = isAll ? [w('sumPeople', { count: participants.length })] : [];
  if (troubled > 0) parts.push(w('sumProblems', { count: troubled }));
  else if (participants.length > 0) parts.push(w(isAll ? 'sumWell' : 'well'));
  if (failures.length > 0) parts.push(w('sumFailures', { count: failures.length }));
  return parts.join(' · ');
}

/** People in the list; those with a problem come before others are left out. */
const PEOPLE_MAX = 100;

interface PeopleProps {
  report: CallReport;
  choice: Choice;
  me: string;
  onPick: (choice: Choice) => void;
}

function People({ report: { participants, failures }, choice, me, onPick }: PeopleProps) {
  const few = participants.length <= PEOPLE_MAX ? participants : [...participants.filter(isTroubled), ...participants.filter((p) => !isTroubled(p))].slice(0, PEOPLE_MAX);
  return (
    <nav class="inspect-list" aria-label={w('people')}>
      {participants.length === 0 && <p class="quiet-text">{w('nobody')}</p>}
      <ul>
        {few.map((p) => (
          <li key={p.id}>
            <button
              type="button"
              class="inspect-item"
              aria-current={choice.kind === 'person' && choice.id === p.id ? 'true' : undefined}
              onClick={() => onPick({ kind: 'person', id: p.id })}
              data-testid="inspect-item"
              data-user={p.user}
            >
              <Avatar id={p.user} name={p.name} size={32} />
              <span class="inspect-item-text">
                <span dir="auto">{p.user === me ? w('you', { name: p.name || p.user }) : p.name || p.user}</span>
                <span class="quiet-text">{p.state === 'connected' ? inShort(p) : w(p.state === 'interrupted' ? 'interrupted' : 'connecting')}</span>
              </span>
              {isTroubled(p) && <Icon name="warn" />}
            </button>
          </li>
        ))}
        {participants.length > few.length && <li class="quiet-text">{w('more', { count: participants.length - few.length })}</li>}
        <li>
          <button
            type="button"
            class="inspect-item"
            aria-current={choice.kind === 'failures' ? 'true' : undefined}
            onClick={() => onPick({ kind: 'failures' })}
            data-testid="inspect-item-failures"
            data-count={failures.length}
          >
            <span class="inspect-item-text">{w('failures')}</span>
            <span class="inspect-count">{failures.length}</span>
          </button>
        </li>
      </ul>
    </nav>
  );
}

function Detail({ kaiwa, report, choice }: { kaiwa: Kaiwa; report: CallReport; choice: Choice }) {
  const { participants, failures, scope, nowMs } = report;
  const nameOf = (user: string) => participants.find((p) => p.user === user)?.name || nameInCall(kaiwa, user) || kaiwa.nameOf(user) || user;
  const list = <Failures failures={failures} title={w(scope === 'own' ? 'failuresOwn' : 'failures')} nameOf={nameOf} />;
  if (choice.kind === 'failures') return list;
  const person = participants.find((p) => p.id === choice.id);
  return (
    <>
      {person ? (
        <PersonReport key={person.id} person={person} nowMs={nowMs} isOwn={person.user === kaiwa.me.id} nameOf={nameOf} sourceOf={(id) => sourceOf(kaiwa, report, id)} />
      ) : (
        <p class="quiet-text">{w(scope === 'own' ? 'notInCall' : 'nobody')}</p>
      )}
      {scope === 'own' && list}
    </>
  );
}

const nameInCall = (kaiwa: Kaiwa, user: string): string => kaiwa.call.participants().find((p) => p.user.id === user)?.user.name ?? '';

/** Others' publications are in the report of those who moderate; whoever is in the call knows them anyway. */
function sourceOf(kaiwa: Kaiwa, { participants }: CallReport, publication: string): string {
  for (const p of participants) for (const t of p.publications) if (t.id === publication) return t.source;
  for (const p of kaiwa.call.participants()) for (const t of [p.microphone, p.camera, p.screen, p.screenAudio]) if (t?.publication === publication) return t.source;
  return '';
}

// --- all calls ---

/** Calls in the list, the largest first. */
const CALLS_MAX = 200;

function Server({ kaiwa, paused, onPaused, onRoom }: Shared & { onRoom: (room: string) => void }) {
  const polled = useCallsReport(paused);
  const report = polled.value;
  const name = (id: string) => roomTitle(kaiwa, id);
  return (
    <>
      <Bar polled={polled} paused={paused} onPaused={onPaused} summary={report ? `${w('calls')}: ${report.calls.length}` : w('reading')} />
      <Refused polled={polled} noRight={w('notAdmin')} />
      {report && (
        <div class="inspect-panes alone" data-testid="inspect-server">
          <div class="inspect-detail">
            <section class="inspect-section" aria-labelledby="inspect-calls">
              <h3 id="inspect-calls">{w('calls')}</h3>
              {report.calls.length === 0 && <p class="quiet-text">{w('noCalls')}</p>}
              <ul>
                {report.calls
                  .toSorted((a, b) => b.participants - a.participants)
                  .slice(0, CALLS_MAX)
                  .map((call) => (
                    <li key={call.room}>
                      <button type="button" class="inspect-item" onClick={() => onRoom(call.room)} data-testid="inspect-call" data-room={call.room}>
                        <Avatar id={call.room} name={name(call.room)} size={32} square />
                        <span class="inspect-item-text">
                          <span dir="auto">{name(call.room)}</span>
                          <span class="quiet-text">
                            {w('callPeople', { count: call.participants })} · {w('callSince', { time: longTime(call.startedMs) })}
                          </span>
                        </span>
                        <Icon name="next" />
                      </button>
                    </li>
                  ))}
              </ul>
            </section>
            <Failures failures={report.failures} title={w('failures')} nameOf={(user) => kaiwa.nameOf(user) || user} titleOf={name} />
          </div>
        </div>
      )}
    </>
  );
}

// --- around both ---

interface BarProps {
  polled: Polled<CallReport | CallsReport>;
  summary: string;
  paused: boolean;
  onPaused: (paused: boolean) => void;
  onBack?: () => void;
}

function Bar({ polled: { value }, summary, paused, onPaused, onBack }: BarProps) {
  const [server, setServer] = useState<{ name: string; version: string } | null>(null);
  const [notice, setNotice] = useState<'copied' | 'copyFailed' | null>(null);
  useEffect(() => {
    serverInfo().then(({ name, version }) => setServer({ name, version }), () => {});
  }, []);
  const copyIt = async (event: MouseEvent) => {
    const near = (event.currentTarget as HTMLElement).closest('dialog')!;
    const isCopied = value !== null && (await copy(copyText({ report: value, server, userAgent: navigator.userAgent }), near));
    setNotice(isCopied ? 'copied' : 'copyFailed');
  };
  return (
    <div class="inspect-bar">
      {onBack && <IconButton icon="back" label={w('back')} onClick={onBack} testid="inspect-all-calls" />}
      <p role="status" data-testid="inspect-summary">
        {summary}
      </p>
      <button type="button" class="button small quiet" onClick={() => onPaused(!paused)} data-testid="inspect-pause">
        <Icon name={paused ? 'play' : 'pause'} />
        {w(paused ? 'go' : 'pause')}
      </button>
      <button type="button" class="button small quiet" disabled={value === null} onClick={(e) => void copyIt(e)} data-testid="inspect-copy">
        {w('copy')}
      </button>
      <p class={notice ? 'note' : 'visually-hidden'} role="status" data-testid="inspect-notice">
        {notice && w(notice)}
      </p>
    </div>
  );
}

/** Why there is nothing, or nothing new. */
function Refused({ polled: { value, problem, again }, noRight }: { polled: Polled<{ nowMs: number }>; noRight: string }) {
  if (!problem) return null;
  const why = whyNot(problem, noRight);
  return (
    <Problem text={value ? w('stale', { time: secondText(value.nowMs), why }) : why} testid="inspect-problem">
      <button type="button" class="button small" onClick={again}>
        {w('again')}
      </button>
    </Problem>
  );
}

function whyNot(problem: unknown, noRight: string): string {
  if (problem instanceof KaiwaError) {
    if (problem.reason === 'forbidden' || problem.reason === 'not_a_member') return noRight;
    // An older server answers with its page.
    if (problem.reason === 'http_404' || problem.reason === 'http_405') return w('unsupported');
  }
  return explain(problem);
}

