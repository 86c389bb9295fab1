/** Joins that failed: who, why, what was tried. */
import type { CallFailure } from '../client/index.js';
import { Cause, ClientPairs, Pairs } from './call-inspect-parts.js';
import { w, wordOr } from './call-inspect-words.js';
import { longTime } from './format.js';

interface FailuresProps {
  failures: readonly CallFailure[];
  title: string;
  nameOf: (user: string) => string;
  /** Of a room, where they are of several. */
  titleOf?: (room: string) => string;
}

/** The newest first. */
export function Failures({ failures, title, nameOf, titleOf }: FailuresProps) {
  return (
    <section class="inspect-failures" aria-labelledby="inspect-failures" data-testid="inspect-failures">
      <h3 id="inspect-failures">{title}</h3>
      {failures.length === 0 && <p class="quiet-text">{w('noFailures')}</p>}
      <ul>
        {failures
          .toSorted((a, b) => b.ms - a.ms)
          .slice(0, SHOWN_MAX)
          .map((failure) => (
            <Failure key={`${failure.ms} ${failure.participant} ${failure.user}`} failure={failure} nameOf={nameOf} room={failure.room && titleOf ? titleOf(failure.room) : ''} />
          ))}
      </ul>
    </section>
  );
}

/** A node keeps 500; whoever wants more than the newest of them copies the report. */
const SHOWN_MAX = 50;

function Failure({ failure, nameOf, room }: { failure: CallFailure; nameOf: (user: string) => string; room: string }) {
  const { ms, user, way, stage, cause, pairs, clientPairs, candidates, userAgent } = failure;
  return (
    <li class="failure" data-testid="inspect-failure" data-kind={cause.kind} data-user={user} data-stage={stage}>
      <p class="failure-head">
        <b dir="auto">{user ? nameOf(user) : w('unknownPerson')}</b>
        {room && <span dir="auto">{w('inRoom', { title: room })}</span>}
        <span class="quiet-text">
          {wordOr(`way_${way}`, way)} · {wordOr(`stage_${stage}`, stage)} · <time>{longTime(ms)}</time>
        </span>
      </p>
      <Cause cause={cause} compact />
      {(stage === 'ice' || stage === 'dtls' || stage === 'media') && (
        <details class="inspect-more">
          <summary>{w('failDetails')}</summary>
          {candidates.length > 0 && (
            <>
              <h4>{w('failCandidates')}</h4>
              <p class="mono">{candidates.join(', ')}</p>
            </>
          )}
          <h4>{w('failSeen')}</h4>
          <Pairs pairs={pairs} title={w('failSeen')} />
          <h4>{w('failTried')}</h4>
          <ClientPairs pairs={clientPairs} title={w('failTried')} />
          {userAgent && (
            <>
              <h4>{w('failAgent')}</h4>
              <p class="mono">{userAgent}</p>
            </>
          )}
        </details>
      )}
    </li>
  );
}
