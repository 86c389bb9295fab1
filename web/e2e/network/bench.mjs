/**
 * What people see of a bad network, in figures: bench.mjs [--rounds N] [--into FILE]. Medians of some rounds, each with
 * a server and browsers of its own, go between FILE's markers, or to the terminal.
 */
import { parseArgs } from 'node:util';
import { machine, publish, quantile, today } from '../report.mjs';
import { FPS, HEIGHT, WIDTH } from './picture.mjs';
import { Stage } from './people.mjs';
import { begin, bottleneck, HIGH, join, LARGE, LIMIT_KBIT, loss, LOW, resize, SMALL } from './scenarios.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, into: { type: 'string' } } });
const rounds = [];
for (let i = 0; i < Number(values.rounds); i++) rounds.push(await round());
await publish('network', page(rounds), values.into);

async function round() {
  const stage = await Stage.open(['alice', 'bob', 'carol']);
  try {
    const { room, alice } = await begin(stage);
    const bob = await join(stage, room, 'bob', { viewport: LARGE }, HIGH);
    const carol = await join(stage, room, 'carol', { viewport: SMALL }, LOW);
    const upMs = await resize(carol.someone, LARGE, HIGH);
    const smallMs = await resize(carol.someone, SMALL, LOW);
    await resize(carol.someone, LARGE, HIGH);
    const limited = await bottleneck(stage, { alice, bob: bob.someone, carol: carol.someone });
    const down = await loss(stage, 'bob', 'down', bob.someone);
    const up = await loss(stage, 'alice', 'up', carol.someone);
    await bob.someone.close();
    const plain = await join(stage, room, 'bob', { viewport: LARGE, red: false }, HIGH);
    const downPlain = await loss(stage, 'bob', 'down', plain.someone);
    return { bob, carol, upMs, smallMs, limited, down, up, downPlain };
  } finally {
    await stage.close();
  }
}

function page(all) {
  const median = (of) => quantile(all.map(of), 0.5);
  const s = (of) => `${(median(of) / 1_000).toFixed(1)} s`;
  const fps = (of) => `${median(of).toFixed(1)} of ${FPS}`;
  const percent = (of) => `${(100 * median(of)).toFixed(1)} %`;
  const count = (of) => String(median(of));
  const rows = [
    ['Join pressed to connected', s((r) => r.bob.connectedMs)],
    ['… to the first frame', s((r) => r.bob.connectedMs + r.bob.firstMs)],
    [`… to the high layer (${HIGH.width} px)`, s((r) => r.bob.connectedMs + r.bob.thereMs)],
    ['A window becomes large: to the high layer', s((r) => r.upMs)],
    ['A window becomes small: to the low layer', s((r) => r.smallMs)],
    [`${LIMIT_KBIT} kbit/s: to a lower layer`, s((r) => r.limited.downMs)],
    ['… frames a second there', fps((r) => r.limited.low.fps)],
    ['… limit lifted, to the high layer', s((r) => r.limited.backMs)],
    ['… frames a second there', fps((r) => r.limited.high.fps)],
    ['… frames of another in the high layer meanwhile, of those sent', percent((r) => r.limited.other.frames / r.limited.other.sent)],
    ['… key frames asked for in all', count((r) => r.limited.keyFramesAsked)],
    ['10 % lost to a subscriber: frames a second', fps((r) => r.down.fps)],
    ['… time frozen', percent((r) => r.down.frozen)],
    ['… sound concealed, with RED', percent((r) => r.down.concealed)],
    ['… sound concealed, without RED', percent((r) => r.downPlain.concealed)],
    ['10 % lost from the publisher: frames a second', fps((r) => r.up.fps)],
    ['… time frozen', percent((r) => r.up.frozen)],
    ['… sound concealed', percent((r) => r.up.concealed)],
  ];
  const table = rows.map(([what, value]) => `| ${what} | ${value} |`).join('\n');
  return `## Calls on bad networks

Chromium, a camera of ${WIDTH}×${HEIGHT} at ${FPS} frames a second in three layers, one publisher and two subscribers in network namespaces without
delay of their own; browsers and server share ${machine()}. Medians of ${all.length} rounds of ${today()}.

| | |
|---|---|
${table}
`;
}
