/** Pieces of the inspector: a cause, and the addresses that were tried. */
import type { CallCause, CallClientPair, CallPairReport } from '../client/index.js';
import { causeWords } from './call-cause-words.js';
import { w, wordOr } from './call-inspect-words.js';
import { lang } from './i18n.js';
import { Icon } from './parts.js';

/** What is wrong and what to do. The server's own words have the figures; they are English. */
export function Cause({ cause, compact = false }: { cause: CallCause; compact?: boolean }) {
  const words = causeWords(cause);
  const isEnglish = lang.value === 'en';
  return (
    <div class={`cause ${compact ? 'compact' : ''}`} data-testid="inspect-cause" data-kind={cause.kind}>
      <Icon name="warn" />
      <div>
        <p class="cause-name">{words.name}</p>
        <p>{(isEnglish && sentence(cause.text)) || words.text}</p>
        <p>{(isEnglish && sentence(cause.remedy)) || words.remedy}</p>
        {!isEnglish && cause.text !== '' && (
          <details class="cause-server">
            <summary>{w('serverWords')}</summary>
            <p lang="en">
              {sentence(cause.text)} {sentence(cause.remedy)}
            </p>
          </details>
        )}
      </div>
    </div>
  );
}

/** The server's words begin small and end without a stop, as they stand in logs. */
const sentence = (text: string): string => (text === '' ? '' : `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`);

export function NoCause() {
  return (
    <div class="cause well" data-testid="inspect-well">
      <Icon name="check" />
      <div>
        <p class="cause-name">{w('well')}</p>
        <p>{w('wellText')}</p>
      </div>
    </div>
  );
}

/** As the server saw them. */
export function Pairs({ pairs, title }: { pairs: readonly CallPairReport[]; title: string }) {
  if (pairs.length === 0) return <p class="quiet-text">{w('pairsNone')}</p>;
  return (
    <Scrolled label={title}>
      <table class="figures">
        <thead>
          <tr>
            <th scope="col">{w('protocol')}</th>
            <th scope="col">{w('pairServer')}</th>
            <th scope="col">{w('pairThem')}</th>
            <th scope="col">{w('pairChecks')}</th>
            <th scope="col">{w('pairAnswered')}</th>
            <th scope="col">{w('pairRefused')}</th>
          </tr>
        </thead>
        <tbody>
          {pairs.map((p, i) => (
            <tr key={i}>
              <td>
                {p.protocol.toUpperCase()}
                {p.nominated && ` · ${w('pairUsed')}`}
              </td>
              <td>{p.local || '–'}</td>
              <td>{p.remote || '–'}</td>
              <td>{p.checks}</td>
              <td>{p.answered}</td>
              <td>{p.refused}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolled>
  );
}

/** As their browser saw them. */
export function ClientPairs({ pairs, title }: { pairs: readonly CallClientPair[]; title: string }) {
  if (pairs.length === 0) return <p class="quiet-text">{w('failNoReport')}</p>;
  return (
    <Scrolled label={title}>
      <table class="figures">
        <thead>
          <tr>
            <th scope="col">{w('protocol')}</th>
            <th scope="col">{w('pairThem')}</th>
            <th scope="col">{w('pairServer')}</th>
            <th scope="col">{w('state')}</th>
            <th scope="col">{w('sentChecks')}</th>
            <th scope="col">{w('gotChecks')}</th>
          </tr>
        </thead>
        <tbody>
          {pairs.map((p, i) => (
            <tr key={i}>
              <td>{p.protocol.toUpperCase()}</td>
              <td>
                {p.local || '–'} {p.localType && <span class="quiet-text">{p.localType}</span>}
              </td>
              <td>
                {p.remote || '–'} {p.remoteType && <span class="quiet-text">{p.remoteType}</span>}
              </td>
              <td>{p.state}</td>
              <td>{p.sent}</td>
              <td>{p.received}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolled>
  );
}

/** What may be wider than its place, and is then scrolled, by keys as well. */
export function Scrolled({ label, children }: { label: string; children: preact.ComponentChildren }) {
  return (
    <div class="scrolled" role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

const TONES: Record<string, string> = { connected: 'good', connecting: 'waiting', interrupted: 'bad' };

export function State({ state }: { state: string }) {
  return (
    <span class={`inspect-state ${TONES[state] ?? 'waiting'}`} data-state={state}>
      <span class="dot" aria-hidden="true" />
      {wordOr(state === 'connected' ? 'isConnected' : state, state)}
    </span>
  );
}
