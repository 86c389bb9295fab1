/** The inspector's JSON. What is missing or of another type becomes nothing, and lists end where the server's do. */
import {
  SAMPLES_MAX,
  SIGHTED_PAIRS_MAX,
  type CallCause,
  type CallChangeReport,
  type CallClientPair,
  type CallFailure,
  type CallLayerReport,
  type CallPairReport,
  type CallParticipantReport,
  type CallPublicationReport,
  type CallReport,
  type CallSample,
  type CallSighting,
  type CallsReport,
  type CallSubscriptionReport,
} from './inspect-types.js';

type Json = Record<string, unknown>;

/** Bounds of lists: above what the server gives, so that they only matter when it is mistaken. */
const PARTICIPANTS_MAX = 1_000;
const FAILURES_MAX = 500;
const CALLS_MAX = 10_000;
const TRACKS_MAX = 256;
const CHANGES_MAX = 64;
const LAYERS_MAX = 16;

export function reportOf(json: unknown): CallReport {
  const o = object(json);
  return {
    nowMs: number(o.nowMs),
    room: text(o.room),
    scope: o.scope === 'all' ? 'all' : 'own',
    participants: list(o.participants, PARTICIPANTS_MAX, participantOf),
    failures: list(o.failures, FAILURES_MAX, failureOf),
    next: text(o.next),
  };
}

export function callsOf(json: unknown): CallsReport {
  const o = object(json);
  return {
    nowMs: number(o.nowMs),
    calls: list(o.calls, CALLS_MAX, (c) => ({ room: text(c.room), startedMs: number(c.startedMs), participants: number(c.participants) })),
    failures: list(o.failures, FAILURES_MAX, failureOf),
  };
}

/** The verdict on a sighting; null: the server can't say. */
export const verdictOf = (json: unknown): CallCause | null => causeOf(object(json).cause);

/** Addresses and states in a report, in bytes, ASCII: the server refuses all of it where one is longer. */
const WORD_BYTES = 64;

/** Without a participant where there never was one. */
export function sightingBody({ participant, clientMs, iceState, dtlsState, pairs }: CallSighting): Json {
  const words = (pair: CallClientPair) => Object.fromEntries(Object.entries(pair).map(([key, value]) => [key, typeof value === 'string' ? word(value) : value]));
  return {
    ...(participant === '' ? {} : { participant }),
    clientMs: Math.round(clientMs),
    iceState: word(iceState),
    dtlsState: word(dtlsState),
    pairs: pairs.slice(0, SIGHTED_PAIRS_MAX).map(words),
  };
}

const word = (text: string): string => text.replace(/[^!-~]/g, '').slice(0, WORD_BYTES);

function participantOf(o: Json): CallParticipantReport {
  return {
    id: text(o.id),
    user: text(o.user),
    name: text(o.name),
    joinedMs: number(o.joinedMs),
    state: text(o.state),
    protocol: text(o.protocol),
    local: text(o.local),
    remote: text(o.remote),
    cause: causeOf(o.cause),
    samples: list(o.samples, SAMPLES_MAX, sampleOf),
    publications: list(o.publications, TRACKS_MAX, publicationOf),
    subscriptions: list(o.subscriptions, TRACKS_MAX, subscriptionOf),
    changes: list(o.changes, CHANGES_MAX, changeOf),
    pairs: list(o.pairs, SIGHTED_PAIRS_MAX, pairOf),
  };
}

function sampleOf(o: Json): CallSample {
  return {
    ms: number(o.ms),
    inKbps: number(o.inKbps),
    outKbps: number(o.outKbps),
    estimateKbps: number(o.estimateKbps),
    allocatedKbps: number(o.allocatedKbps),
    inLoss: number(o.inLoss),
    outLoss: number(o.outLoss),
    rttMs: numberOrNull(o.rttMs),
    jitterMs: numberOrNull(o.jitterMs),
    outJitterMs: numberOrNull(o.outJitterMs),
    freezes: number(o.freezes),
    keyframeRequests: number(o.keyframeRequests),
    keyframesSent: number(o.keyframesSent),
    nacks: number(o.nacks),
    queued: number(o.queued),
    dropped: number(o.dropped),
  };
}

function publicationOf(o: Json): CallPublicationReport {
  return {
    id: text(o.id),
    source: text(o.source),
    codec: text(o.codec),
    muted: o.muted === true,
    layers: list(o.layers, LAYERS_MAX, layerOf),
    lossNow: number(o.lossNow),
    cause: causeOf(o.cause),
  };
}

function layerOf(o: Json): CallLayerReport {
  return {
    id: label(o.rid ?? o.sid),
    kbps: number(o.kbps),
    fps: number(o.fps),
    width: number(o.width),
    height: number(o.height),
    lastKeyframeMs: numberOrNull(o.lastKeyframeMs),
  };
}

function subscriptionOf(o: Json): CallSubscriptionReport {
  return {
    mid: label(o.mid),
    publication: text(o.publication),
    user: text(o.user),
    layer: numberOrNull(o.layer),
    wantedWidth: number(o.wantedWidth),
    wantedHeight: number(o.wantedHeight),
    limitedBy: text(o.limitedBy),
    sinceMs: number(o.sinceMs),
    fps: number(o.fps),
    freezeNow: o.freezeNow === true,
  };
}

const changeOf = (o: Json): CallChangeReport => ({
  ms: number(o.ms),
  kind: text(o.kind),
  mid: label(o.mid),
  from: label(o.from),
  to: label(o.to),
  why: text(o.why),
});

function pairOf(o: Json): CallPairReport {
  return {
    protocol: text(o.protocol),
    local: text(o.local),
    remote: text(o.remote),
    checks: number(o.checks),
    answered: number(o.answered),
    refused: number(o.refused),
    nominated: o.nominated === true,
    firstMs: number(o.firstMs),
    lastMs: number(o.lastMs),
  };
}

function clientPairOf(o: Json): CallClientPair {
  return {
    protocol: o.protocol === 'tcp' ? 'tcp' : 'udp',
    localType: text(o.localType),
    local: text(o.local),
    remoteType: text(o.remoteType),
    remote: text(o.remote),
    state: text(o.state),
    sent: number(o.sent),
    received: number(o.received),
  };
}

function failureOf(o: Json): CallFailure {
  return {
    ms: number(o.ms),
    room: text(o.room),
    user: text(o.user),
    participant: text(o.participant),
    way: text(o.way),
    stage: text(o.stage),
    cause: causeOf(o.cause) ?? { kind: '', text: '', remedy: '' },
    pairs: list(o.pairs, SIGHTED_PAIRS_MAX, pairOf),
    clientPairs: list(o.clientPairs, SIGHTED_PAIRS_MAX, clientPairOf),
    candidates: (Array.isArray(o.candidates) ? o.candidates : []).slice(0, SIGHTED_PAIRS_MAX).map(text),
    userAgent: text(o.userAgent),
  };
}

function causeOf(json: unknown): CallCause | null {
  const o = object(json);
  const kind = text(o.kind);
  return kind === '' ? null : { kind, text: text(o.text), remedy: text(o.remedy) };
}

const object = (json: unknown): Json => (typeof json === 'object' && json !== null ? (json as Json) : {});
const text = (json: unknown): string => (typeof json === 'string' ? json : '');
/** Names that may be numbers: layers and m-lines. */
const label = (json: unknown): string => (typeof json === 'number' ? String(json) : text(json));
const number = (json: unknown): number => (typeof json === 'number' && Number.isFinite(json) ? json : 0);
const numberOrNull = (json: unknown): number | null => (typeof json === 'number' && Number.isFinite(json) ? json : null);

/** The newest of what is too long. */
function list<T>(json: unknown, max: number, parse: (o: Json) => T): T[] {
  return Array.isArray(json) ? json.slice(-max).map((item) => parse(object(item))) : [];
}
