/** Timelines of one minute as SVG. What they show is said in words, too. */
import type { CallSample } from '../client/index.js';
import { ceiling, pathOf, rangeOf, sampleAt, SPAN_MS, sumOf, xOf, type Frame, type Pick } from './call-inspect-scale.js';
import { w } from './call-inspect-words.js';

export interface Line {
  name: string;
  tone: 'in' | 'out' | 'estimate';
  pick: Pick;
}

interface ChartProps {
  title: string;
  samples: readonly CallSample[];
  nowMs: number;
  /** Seconds before now that are looked at. */
  ago: number;
  onAgo: (ago: number) => void;
}

interface LinesProps extends ChartProps {
  lines: readonly Line[];
  /** The upper edge is never below. */
  least: number;
  text: (value: number) => string;
}

const WIDTH = 600;
const HEIGHT = 72;
const SECOND = WIDTH / (SPAN_MS / 1_000);

export function LinesChart({ title, samples, nowMs, ago, onAgo, lines, least, text }: LinesProps) {
  const frame: Frame = { width: WIDTH, height: HEIGHT, nowMs, max: ceiling(samples, lines.map((l) => l.pick), least) };
  const at = sampleAt(samples, nowMs - ago * 1_000);
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        {lines.map(({ name, tone, pick }) => {
          const value = at && pick(at);
          return (
            <span key={name} class={`chart-key ${tone}`}>
              <svg viewBox="0 0 18 6" aria-hidden="true">
                <path d="M0 3H18" />
              </svg>
              {name} <b>{value === null ? '–' : text(value)}</b>
            </span>
          );
        })}
      </figcaption>
      <div class="chart-plot" onPointerMove={(e) => onAgo(agoOf(e))} onPointerLeave={() => onAgo(0)}>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}. ${wordsOf(samples, lines, text)}`}>
          <path class="chart-grid" d={`M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}`} />
          <Moment ago={ago} frame={frame} />
          {lines.map(({ name, tone, pick }) => (
            <path key={name} class={`chart-line ${tone}`} d={pathOf(samples, pick, frame)} />
          ))}
        </svg>
        <span class="chart-max" aria-hidden="true">
          {text(frame.max)}
        </span>
      </div>
    </figure>
  );
}

function wordsOf(samples: readonly CallSample[], lines: readonly Line[], text: (value: number) => string): string {
  const said = lines.map(({ name, pick }) => {
    const range = rangeOf(samples, pick);
    if (!range) return `${name}: ${w('chartNone')}`;
    const { now, least, most } = range;
    return w('chartNow', { name, now: now === null ? '–' : text(now), least: text(least), most: text(most) });
  });
  return said.join('. ');
}

export interface Mark {
  name: string;
  tone: 'freeze' | 'asked' | 'sent';
  pick: Pick;
}

const ROW = 12;

/** What happened in which second, a row for each kind. */
export function MarksChart({ title, samples, nowMs, ago, onAgo, marks }: ChartProps & { marks: readonly Mark[] }) {
  const height = marks.length * ROW;
  const frame: Frame = { width: WIDTH, height, nowMs, max: 1 };
  const words = marks.map(({ name, pick }) => w('chartCount', { name, count: sumOf(samples, pick) })).join('. ');
  return (
    <figure class="chart marks">
      <figcaption>
        <span class="chart-title">{title}</span>
        {marks.map(({ name, tone, pick }) => (
          <span key={name} class={`chart-key ${tone}`}>
            <svg viewBox="0 0 18 6" aria-hidden="true">
              <path d="M6 0H12V6H6Z" />
            </svg>
            {name} <b>{sumOf(samples, pick)}</b>
          </span>
        ))}
      </figcaption>
      <div class="chart-plot" onPointerMove={(e) => onAgo(agoOf(e))} onPointerLeave={() => onAgo(0)}>
        <svg viewBox={`0 0 ${WIDTH} ${height}`} preserveAspectRatio="none" role="img" aria-label={`${title}. ${words}`}>
          <path class="chart-grid" d={marks.map((_, i) => `M0 ${i * ROW + ROW / 2}H${WIDTH}`).join('')} />
          <Moment ago={ago} frame={frame} />
          {marks.map(({ name, tone, pick }, i) => (
            <path key={name} class={`chart-mark ${tone}`} d={barsOf(samples, pick, frame, i * ROW)} />
          ))}
        </svg>
      </div>
    </figure>
  );
}

function barsOf(samples: readonly CallSample[], pick: Pick, frame: Frame, top: number): string {
  return samples
    .filter((s) => (pick(s) ?? 0) > 0 && s.ms > frame.nowMs - SPAN_MS)
    .map((s) => `M${Math.min(xOf(s.ms, frame), WIDTH - SECOND) + 1} ${top + 1.5}h${SECOND - 2}v${ROW - 3}h${2 - SECOND}z`)
    .join('');
}

function Moment({ ago, frame: { width, height } }: { ago: number; frame: Frame }) {
  if (ago === 0) return null;
  return <path class="chart-moment" d={`M${width - ago * SECOND} 0V${height}`} />;
}

function agoOf(event: PointerEvent): number {
  const { left, width } = (event.currentTarget as HTMLElement).getBoundingClientRect();
  const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
  return Math.round((1 - share) * (SPAN_MS / 1_000 - 1));
}

/** The same for the keyboard: which second the figures beside the lines are of. */
export function MomentSlider({ ago, onAgo }: { ago: number; onAgo: (ago: number) => void }) {
  const text = ago === 0 ? w('momentNow') : w('momentAgo', { seconds: ago });
  return (
    <label class="moment">
      <span class="moment-text">
        {w('moment')} <b>{text}</b>
      </span>
      <input
        type="range"
        min={1 - SPAN_MS / 1_000}
        max={0}
        step={1}
        value={-ago}
        aria-valuetext={text}
        data-testid="inspect-moment"
        onInput={(e) => onAgo(-Number(e.currentTarget.value))}
      />
    </label>
  );
}
