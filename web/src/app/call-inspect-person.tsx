/** One participant: how they are connected, timelines, what they receive and send, what changed. */
import { useState } from 'preact/hooks';
import type { CallParticipantReport, CallPublicationReport, CallSample, CallSubscriptionReport } from '../client/index.js';
import { LinesChart, MarksChart, MomentSlider, type Line, type Mark } from './call-inspect-chart.js';
import { Cause, NoCause, Pairs, Scrolled, State } from './call-inspect-parts.js';
import { meanOf, type Pick } from './call-inspect-scale.js';
import { codecText, layerText, msText, rateText, secondText, shareText, spanText, w, wordOr } from './call-inspect-words.js';
import { clockTime } from './format.js';
import { Avatar } from './parts.js';

export interface PersonProps {
  person: CallParticipantReport;
  nowMs: number;
  /** One's own part. */
  isOwn: boolean;
  nameOf: (user: string) => string;
  sourceOf: (publication: string) => string;
}

export function PersonReport({ person, nowMs, isOwn, nameOf, sourceOf }: PersonProps) {
  const name = person.name || nameOf(person.user);
  const pictureOf = (s: CallSubscriptionReport): string => {
    const source = sourceOf(s.publication);
    return source ? w('pictureOf', { name: nameOf(s.user), source: wordOr(source, source) }) : nameOf(s.user);
  };
  return (
    <article class="inspect-person" aria-labelledby="inspect-person" data-testid="inspect-person" data-user={person.user} data-state={person.state} data-protocol={person.protocol}>
      <header class="inspect-person-head">
        <Avatar id={person.user} name={name} size={44} />
        <div>
          <h3 id="inspect-person" dir="auto">
            {isOwn ? w('you', { name }) : name}
          </h3>
          <p>
            <State state={person.state} /> {person.protocol && <span class="chip">{person.protocol.toUpperCase()}</span>}
          </p>
          <p class="quiet-text">
            <span>{w('since', { time: clockTime(person.joinedMs) })}</span>
            {person.remote && <span>{w('path', { path: `${person.local || '?'} ↔ ${person.remote}` })}</span>}
          </p>
        </div>
      </header>
      {person.cause && <Cause cause={person.cause} />}
      {!isTroubled(person) && person.state === 'connected' && person.samples.length > 0 && <NoCause />}
      <Timelines samples={person.samples} nowMs={nowMs} />
      <Section title={w(isOwn ? 'picturesOwn' : 'pictures')}>
        <Subscriptions list={person.subscriptions.filter((s) => isPicture(s, sourceOf(s.publication)))} nowMs={nowMs} pictureOf={pictureOf} />
      </Section>
      <Section title={w(isOwn ? 'publishesOwn' : 'publishes')}>
        <Publications list={person.publications} nowMs={nowMs} />
      </Section>
      <details class="inspect-more" data-testid="inspect-changes">
        <summary>
          {w('changes')} <span class="quiet-text">{person.changes.length}</span>
        </summary>
        <Changes person={person} pictureOf={pictureOf} />
      </details>
      {person.pairs.length > 0 && (
        <details class="inspect-more" data-testid="inspect-pairs">
          <summary>
            {w('pairs')} <span class="quiet-text">{person.pairs.length}</span>
          </summary>
          <Pairs pairs={person.pairs} title={w('pairs')} />
        </details>
      )}
    </article>
  );
}

function Section({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <section class="inspect-section">
      <h4>{title}</h4>
      {children}
    </section>
  );
}

// --- timelines ---

const pick = {
  in: (s: CallSample) => s.inKbps,
  out: (s: CallSample) => s.outKbps,
  estimate: (s: CallSample) => s.estimateKbps,
  inLoss: (s: CallSample) => s.inLoss,
  outLoss: (s: CallSample) => s.outLoss,
  rtt: (s: CallSample) => s.rttMs,
  jitter: (s: CallSample) => s.jitterMs,
  outJitter: (s: CallSample) => s.outJitterMs,
} satisfies Record<string, Pick>;

const rates = (): Line[] => [
  { name: w('sent'), tone: 'in', pick: pick.in },
  { name: w('received'), tone: 'out', pick: pick.out },
  { name: w('estimate'), tone: 'estimate', pick: pick.estimate },
];
const losses = (): Line[] => [
  { name: w('sent'), tone: 'in', pick: pick.inLoss },
  { name: w('received'), tone: 'out', pick: pick.outLoss },
];
const delays = (): Line[] => [
  { name: w('rtt'), tone: 'estimate', pick: pick.rtt },
  { name: w('jitter'), tone: 'in', pick: pick.jitter },
  { name: w('outJitter'), tone: 'out', pick: pick.outJitter },
];
const events = (): Mark[] => [
  { name: w('freezes'), tone: 'freeze', pick: (s) => s.freezes },
  { name: w('keyframesAsked'), tone: 'asked', pick: (s) => s.keyframeRequests },
  { name: w('keyframesSent'), tone: 'sent', pick: (s) => s.keyframesSent },
];

function Timelines({ samples, nowMs }: { samples: CallSample[]; nowMs: number }) {
  const [ago, onAgo] = useState(0);
  const [isTable, setTable] = useState(false);
  if (samples.length === 0) return <p class="quiet-text">{w('noSamples')}</p>;
  // The newest second stands at the right edge, however long the answer took.
  const shared = { samples, nowMs: Math.max(samples.at(-1)!.ms, nowMs - 1_500), ago, onAgo };
  return (
    <div class="timelines" data-testid="inspect-charts" data-samples={samples.length}>
      <LinesChart {...shared} title={w('chartRate')} lines={rates()} least={100} text={rateText} />
      <LinesChart {...shared} title={w('chartLoss')} lines={losses()} least={0.02} text={shareText} />
      <LinesChart {...shared} title={w('chartDelay')} lines={delays()} least={20} text={msText} />
      <MarksChart {...shared} title={w('chartEvents')} marks={events()} />
      <MomentSlider ago={ago} onAgo={onAgo} />
      <details class="inspect-more" data-testid="inspect-table" onToggle={(e) => setTable(e.currentTarget.open)}>
        <summary>{w('table')}</summary>
        {isTable && <Table samples={samples} />}
      </details>
    </div>
  );
}

const COLUMNS: { name: () => string; text: (s: CallSample) => string | number }[] = [
  { name: () => w('sent'), text: (s) => rateText(s.inKbps) },
  { name: () => w('received'), text: (s) => rateText(s.outKbps) },
  { name: () => w('estimate'), text: (s) => rateText(s.estimateKbps) },
  { name: () => w('allocated'), text: (s) => rateText(s.allocatedKbps) },
  { name: () => w('lossSent'), text: (s) => shareText(s.inLoss) },
  { name: () => w('lossReceived'), text: (s) => shareText(s.outLoss) },
  { name: () => w('rtt'), text: (s) => (s.rttMs === null ? '–' : msText(s.rttMs)) },
  { name: () => w('jitter'), text: (s) => (s.jitterMs === null ? '–' : msText(s.jitterMs)) },
  { name: () => w('outJitter'), text: (s) => (s.outJitterMs === null ? '–' : msText(s.outJitterMs)) },
  { name: () => w('freezes'), text: (s) => s.freezes },
  { name: () => w('keyframesAsked'), text: (s) => s.keyframeRequests },
  { name: () => w('keyframesSent'), text: (s) => s.keyframesSent },
  { name: () => w('nacks'), text: (s) => s.nacks },
  { name: () => w('queued'), text: (s) => s.queued },
  { name: () => w('dropped'), text: (s) => s.dropped },
];

function Table({ samples }: { samples: CallSample[] }) {
  return (
    <Scrolled label={w('table')}>
      <table class="figures">
        <thead>
          <tr>
            <th scope="col">{w('second')}</th>
            {COLUMNS.map(({ name }) => (
              <th scope="col" key={name()}>
                {name()}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {samples.toReversed().map((s) => (
            <tr key={s.ms}>
              <th scope="row">{secondText(s.ms)}</th>
              {COLUMNS.map(({ name, text }) => (
                <td key={name()}>{text(s)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolled>
  );
}

// --- pictures ---

/** Sounds are among what somebody receives, too; of whom one can't see, the source is not known. */
const isPicture = (s: CallSubscriptionReport, source: string): boolean => (source === '' ? s.wantedWidth > 0 || s.layer !== null : source === 'camera' || source === 'screen');

interface SubscriptionsProps {
  list: readonly CallSubscriptionReport[];
  nowMs: number;
  pictureOf: (subscription: CallSubscriptionReport) => string;
}

function Subscriptions({ list, nowMs, pictureOf }: SubscriptionsProps) {
  if (list.length === 0) return <p class="quiet-text">{w('noPictures')}</p>;
  return (
    <ul class="tracks">
      {list.map((s) => {
        const since = s.sinceMs > 0 ? ` · ${w('forTime', { time: spanText(nowMs - s.sinceMs) })}` : '';
        return (
          <li key={`${s.mid} ${s.publication}`} data-testid="inspect-picture" data-user={s.user} data-layer={s.layer ?? ''} data-limited={s.limitedBy}>
            <p class="track-title">
              <span dir="auto">{pictureOf(s)}</span>
              {s.freezeNow && <span class="chip bad">{w('frozen')}</span>}
            </p>
            <dl>
              <Term name={w('layer')} text={s.layer === null ? w('nothing') : layerText(String(s.layer))} />
              <Term name={w('wanted')} text={s.wantedWidth > 0 ? `${s.wantedWidth}×${s.wantedHeight}` : '–'} />
              <Term name={w('frames')} text={w('framesText', { count: Math.round(s.fps) })} />
              {s.limitedBy !== '' && <Term name={w('why')} text={wordOr(s.limitedBy, s.limitedBy) + since} tone={s.limitedBy === 'bandwidth' ? 'poor' : ''} />}
            </dl>
          </li>
        );
      })}
    </ul>
  );
}

function Publications({ list, nowMs }: { list: readonly CallPublicationReport[]; nowMs: number }) {
  if (list.length === 0) return <p class="quiet-text">{w('noPictures')}</p>;
  return (
    <ul class="tracks">
      {list.map((p) => (
        <li key={p.id} data-testid="inspect-publication" data-source={p.source}>
          <p class="track-title">
            <span>{wordOr(p.source, p.source)}</span>
            {p.codec && <span class="chip">{codecText(p.codec)}</span>}
            {p.muted && <span class="chip">{w('off')}</span>}
            {p.lossNow >= 0.005 && (
              <span class="quiet-text">
                {w('chartLoss')} {shareText(p.lossNow)}
              </span>
            )}
          </p>
          {p.cause && <Cause cause={p.cause} compact />}
          {p.layers.map((layer, i) => (
            <dl key={layer.id || i}>
              {p.layers.length > 1 && <Term name={w('layer')} text={`L${i + 1}${layer.id && Number.isNaN(Number(layer.id)) ? ` (${layer.id})` : ''}`} />}
              <Term name={w('rate')} text={rateText(layer.kbps)} />
              {layer.width > 0 && <Term name={w('size')} text={`${layer.width}×${layer.height}`} />}
              {layer.fps > 0 && <Term name={w('frames')} text={w('framesText', { count: Math.round(layer.fps) })} />}
              {layer.lastKeyframeMs !== null && <Term name={w('lastKeyframe')} text={w('ago', { time: spanText(nowMs - layer.lastKeyframeMs) })} />}
            </dl>
          ))}
        </li>
      ))}
    </ul>
  );
}

function Term({ name, text, tone = '' }: { name: string; text: string; tone?: string }) {
  return (
    <div class={tone}>
      <dt>{name}</dt>
      <dd>{text}</dd>
    </div>
  );
}

/** The newest first. */
function Changes({ person: { changes, subscriptions }, pictureOf }: { person: CallParticipantReport; pictureOf: (s: CallSubscriptionReport) => string }) {
  if (changes.length === 0) return <p class="quiet-text">{w('noChanges')}</p>;
  // What an m-line carries now; it may have been another picture then, and those that carry none are told by number.
  const pictures = new Map(subscriptions.map((s) => [s.mid, pictureOf(s)]));
  return (
    <ol class="changes">
      {changes.toReversed().map((c, i) => (
        <li key={changes.length - i}>
          <time>{secondText(c.ms)}</time>
          <span>
            {wordOr(`change_${c.kind}`, c.kind)}
            {(c.from || c.to) && ` ${changed(c.from)} → ${changed(c.to)}`}
            {(c.mid || c.why) && <span class="quiet-text"> {[c.mid && (pictures.get(c.mid) ?? `#${c.mid}`), c.why && wordOr(c.why, c.why)].filter(Boolean).join(' · ')}</span>}
          </span>
        </li>
      ))}
    </ol>
  );
}

/** Protocols are written in capitals. */
const changed = (what: string): string => (what === 'udp' || what === 'tcp' ? what.toUpperCase() : layerText(what));

// --- a person in the list ---

/** Something of theirs, or of what they send, is not as it should be. */
export const isTroubled = ({ cause, state, publications }: CallParticipantReport): boolean =>
  cause !== null || state === 'interrupted' || publications.some((p) => p.cause !== null);

/** In one line: protocol, round trip, loss of the worse direction; means of some seconds, so that they can be read. */
export function inShort({ protocol, samples }: CallParticipantReport): string {
  const rtt = meanOf(samples, pick.rtt, 5);
  const loss = Math.max(meanOf(samples, pick.inLoss, 5) ?? 0, meanOf(samples, pick.outLoss, 5) ?? 0);
  const parts = [protocol.toUpperCase(), rtt === null ? '' : msText(rtt), samples.length > 0 ? `${w('chartLoss')} ${shareText(loss)}` : ''];
  return parts.filter(Boolean).join(' · ');
}
