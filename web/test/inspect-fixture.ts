/** A call as the inspector's endpoint tells it: somebody well, somebody behind a slow path, somebody whose picture never begins. */
import { seeded } from './harness.js';

export interface FixtureOptions {
  nowMs: number;
  room?: string;
  scope?: 'all' | 'own';
  /** Of each, at most 60. */
  seconds?: number;
  /** More people like Chie, without a problem. */
  more?: number;
}

const NAMES: Record<string, string> = { aiko: 'Aiko', ben: 'Ben', chie: 'Chie', dmitri: 'Dmitri' };

interface Shape {
  inKbps: number;
  outKbps: number;
  estimateKbps: number;
  inLoss: number;
  outLoss: number;
  rttMs: number;
  freezeEvery: number;
}

/** `inKbps` and the like are means; each second has its own. */
function samples(user: string, { nowMs, seconds = 60 }: FixtureOptions, shape: Shape): object[] {
  const last = Math.floor(nowMs / 1_000) * 1_000;
  return Array.from({ length: seconds }, (_, i) => {
    const ms = last - (seconds - 1 - i) * 1_000;
    const at = ms / 1_000;
    const random = seeded(at + user.length * 7_919 + user.charCodeAt(0));
    const wave = 1 + 0.12 * Math.sin(at / 5) + 0.1 * (random() - 0.5);
    const slow = shape.freezeEvery > 0 && at % 60 > 22 && at % 60 < 48 ? 0.35 : 1;
    const isBad = shape.freezeEvery > 0 && at % shape.freezeEvery === 0;
    return {
      ms,
      inKbps: Math.round(shape.inKbps * wave),
      outKbps: Math.round(shape.outKbps * wave * slow),
      estimateKbps: Math.round(shape.estimateKbps * (1 + 0.05 * Math.sin(at / 9)) * slow),
      allocatedKbps: Math.round(shape.outKbps * 0.9 * slow),
      inLoss: shape.inLoss * 2 * random(),
      outLoss: isBad ? shape.outLoss * 4 : shape.outLoss * 2 * random(),
      rttMs: Math.round(shape.rttMs * (1 + 0.3 * random()) * (slow < 1 ? 2.4 : 1)),
      jitterMs: Math.round(4 + 6 * random()),
      outJitterMs: Math.round(3 + 8 * random()),
      freezes: isBad ? 1 : 0,
      keyframeRequests: isBad || at % 29 === 0 ? 1 : 0,
      keyframesSent: at % 29 === 1 || isBad ? 1 : 0,
      nacks: Math.round(shape.outLoss * 200 * random()),
      queued: slow < 1 ? Math.round(30 * random()) : 0,
      dropped: 0,
    };
  });
}

const layers = (nowMs: number) => [
  { rid: 'q', kbps: 148, fps: 15, width: 320, height: 180, lastKeyframeMs: nowMs - 41_000 },
  { rid: 'h', kbps: 492, fps: 30, width: 640, height: 360, lastKeyframeMs: nowMs - 12_000 },
  { rid: 'f', kbps: 1_655, fps: 30, width: 1280, height: 720, lastKeyframeMs: nowMs - 3_000 },
];

const publications = (user: string, nowMs: number, cause: object | null = null) => [
  { id: `t_${user}_m`, source: 'microphone', codec: 'opus', muted: user === 'chie', layers: [{ kbps: 32, fps: 0, lastKeyframeMs: null }], lossNow: 0, cause: null },
  { id: `t_${user}_c`, source: 'camera', codec: user === 'dmitri' ? 'h264' : 'vp8', muted: false, layers: cause ? [{ rid: 'f', kbps: 1_402, fps: 30, lastKeyframeMs: null }] : layers(nowMs), lossNow: user === 'chie' ? 0.021 : 0, cause },
];

const subscription = (mid: number, user: string, more: object = {}) => ({
  mid: String(mid),
  publication: `t_${user}_c`,
  user,
  layer: 1,
  wantedWidth: 640,
  wantedHeight: 360,
  limitedBy: null,
  sinceMs: 0,
  fps: 30,
  freezeNow: false,
  ...more,
});

const sound = (mid: number, user: string) => ({ ...subscription(mid, user), publication: `t_${user}_m`, layer: null, wantedWidth: 0, wantedHeight: 0, sinceMs: null, fps: 0 });

const pair = (protocol: string, remote: string, more: object = {}) => ({
  protocol,
  local: '192.0.2.10:8080',
  remote,
  checks: 31,
  answered: 31,
  refused: 0,
  nominated: true,
  firstMs: 0,
  lastMs: 0,
  ...more,
});

export const STARVED = {
  kind: 'starved',
  text: 'The path to this participant carries 210 kbit/s, and the smallest wanted layers need 430 kbit/s.',
  remedy: 'Close what else uses the connection, or have fewer pictures shown at once.',
};
export const NO_KEYFRAMES = {
  kind: 'no_keyframes',
  text: 'The camera sends 1402 kbit/s, and 9 requests for a key frame brought none since 18 s.',
  remedy: 'Set the encoder to a key frame every two seconds, or start the camera again.',
};
export const MEDIA_BLOCKED = {
  kind: 'media_blocked',
  text: 'No connectivity check reached 192.0.2.10:8080 by UDP or TCP, though the page came from there.',
  remedy: 'Open UDP and TCP port 8080 between this network and the server.',
};
export const WRONG_ADDRESS = {
  kind: 'wrong_address',
  text: 'Nothing ever came to 10.0.0.5:8080, which clients are told, while this person reached HTTP at 192.0.2.10.',
  remedy: 'Set calls.advertise to an address that clients reach: 192.0.2.10:8080.',
};

function participants(options: FixtureOptions): object[] {
  const { nowMs } = options;
  const base = (user: string, remote: string) => ({ id: `p_${user}`, user, name: NAMES[user], joinedMs: nowMs - 724_000, state: 'connected', protocol: 'udp', local: '192.0.2.10:8080', remote, cause: null });
  return [
    {
      ...base('aiko', '198.51.100.7:54011'),
      samples: samples('aiko', options, { inKbps: 2_290, outKbps: 1_120, estimateKbps: 4_800, inLoss: 0, outLoss: 0.001, rttMs: 18, freezeEvery: 0 }),
      publications: publications('aiko', nowMs),
      subscriptions: [sound(1, 'ben'), subscription(5, 'ben'), subscription(6, 'chie', { layer: 0, limitedBy: 'publisher', sinceMs: nowMs - 95_000, fps: 15 }), subscription(7, 'dmitri', { layer: null, limitedBy: null, sinceMs: nowMs - 18_000, fps: 0, freezeNow: true })],
      changes: [
        { ms: nowMs - 600_000, kind: 'layer', mid: '5', from: '0/2', to: '1/2', why: 'bandwidth' },
        { ms: nowMs - 95_000, kind: 'layer', mid: '6', from: '1/2', to: '0/2', why: 'publisher' },
      ],
      pairs: [pair('udp', '198.51.100.7:54011')],
    },
    {
      ...base('ben', '203.0.113.99:40112'),
      protocol: 'tcp',
      cause: STARVED,
      samples: samples('ben', options, { inKbps: 640, outKbps: 600, estimateKbps: 620, inLoss: 0.01, outLoss: 0.03, rttMs: 84, freezeEvery: 7 }),
      publications: publications('ben', nowMs),
      subscriptions: [sound(1, 'aiko'), subscription(5, 'aiko', { layer: 0, limitedBy: 'bandwidth', sinceMs: nowMs - 26_000, fps: 14 }), subscription(6, 'chie', { layer: null, limitedBy: 'bandwidth', sinceMs: nowMs - 26_000, fps: 0, freezeNow: true })],
      changes: [
        { ms: nowMs - 700_000, kind: 'protocol', from: 'udp', to: 'tcp' },
        { ms: nowMs - 120_000, kind: 'interrupted' },
        { ms: nowMs - 117_000, kind: 'recovered' },
        { ms: nowMs - 26_000, kind: 'layer', mid: '5', from: '1/2', to: '0/2', why: 'bandwidth' },
        { ms: nowMs - 26_000, kind: 'layer', mid: '6', from: '0/2', to: 'none', why: 'bandwidth' },
        { ms: nowMs - 25_000, kind: 'freeze', mid: '6', why: 'bandwidth' },
      ],
      pairs: [pair('udp', '203.0.113.99:51820', { checks: 4, answered: 4, nominated: false }), pair('tcp', '203.0.113.99:40112')],
    },
    {
      ...base('chie', '[2001:db8::4c1]:60122'),
      samples: samples('chie', options, { inKbps: 610, outKbps: 1_900, estimateKbps: 3_300, inLoss: 0.02, outLoss: 0, rttMs: 41, freezeEvery: 0 }),
      publications: publications('chie', nowMs),
      subscriptions: [subscription(5, 'aiko', { layer: 2, wantedWidth: 1280, wantedHeight: 720 })],
      changes: [],
      pairs: [pair('udp', '[2001:db8::4c1]:60122', { local: '[2001:db8::10]:8080' })],
    },
    {
      ...base('dmitri', '198.51.100.200:9001'),
      samples: samples('dmitri', options, { inKbps: 1_440, outKbps: 0, estimateKbps: 1_000, inLoss: 0, outLoss: 0, rttMs: 9, freezeEvery: 0 }),
      publications: publications('dmitri', nowMs, NO_KEYFRAMES),
      subscriptions: [],
      changes: [],
      pairs: [pair('udp', '198.51.100.200:9001')],
    },
  ];
}

const TODAY = Date.now();

export const failures = (room: string) => [
  {
    ms: TODAY - 140_000,
    room,
    user: 'emiko',
    participant: 'p_emiko',
    way: 'socket',
    stage: 'ice',
    cause: MEDIA_BLOCKED,
    pairs: [],
    clientPairs: [
      { protocol: 'udp', localType: 'host', local: '5b4f1c1e-8d27.local:50211', remoteType: 'host', remote: '192.0.2.10:8080', state: 'failed', sent: 21, received: 0 },
      { protocol: 'tcp', localType: 'host', local: '5b4f1c1e-8d27.local:9', remoteType: 'host', remote: '192.0.2.10:8080', state: 'failed', sent: 7, received: 0 },
    ],
    candidates: ['udp 192.0.2.10:8080', 'tcp 192.0.2.10:8080'],
    userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  },
  { ms: TODAY - 1_900_000, room: null, user: null, participant: null, way: 'whip', stage: 'token', cause: { kind: 'token_expired', text: 'The token ran out 3 hours ago.', remedy: 'Make another one: kaiwa token --room.' }, pairs: [], clientPairs: [], candidates: [] },
];

/** As `GET /api/v1/calls/{room}` answers. */
export function fixture(options: FixtureOptions): object {
  const { nowMs, room = 'r1', scope = 'all' } = options;
  const four = participants(options);
  const all = [...Array.from({ length: options.more ?? 0 }, (_, i) => ({ ...four[2], id: `p_more${i}`, user: `guest-${i}`, name: `Guest ${i}` })), ...four];
  return { nowMs, room, scope, participants: scope === 'all' ? all : all.slice(0, 1), failures: scope === 'all' ? failures(room) : failures(room).slice(0, 0) };
}

/** As `GET /api/v1/calls` answers. */
export const callsFixture = (nowMs: number, room = 'r1'): object => ({
  nowMs,
  calls: [
    { room, startedMs: nowMs - 724_000, participants: 4 },
    { room: 'r_7f3a9c20', startedMs: nowMs - 60_000, participants: 23 },
  ],
  failures: failures(room),
});
