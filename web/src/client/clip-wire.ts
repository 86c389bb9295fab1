/** Between the media schema's JSON and the library's clips. Wire types stop here. */
import { create, fromJson, toJson, type DescMessage, type JsonValue, type MessageShape } from '@bufbuild/protobuf';
import * as pb from '../gen/kaiwa/media/v1/media_pb.js';
import {
  ClipsError,
  type Clip,
  type ClipKind,
  type ClipPage,
  type ClipState,
  type PartPlan,
  type PlaybackGrant,
  type SignedParts,
  type UploadedPart,
} from './clip-types.js';

const KINDS: Record<number, ClipKind> = { 1: 'video', 2: 'audio', 3: 'image' };
const STATES: readonly ClipState[] = [
  'unknown',
  'created',
  'uploading',
  'uploaded',
  'validating',
  'submitted',
  'processing',
  'verifying',
  'ready',
  'expired',
  'rejected',
  'failed',
  'cancelled',
  'deleted',
];

export const clipKindOf = (kind: number): ClipKind => KINDS[kind] ?? 'video';

const stateName = (state: ClipState): string => `CLIP_STATE_${state.toUpperCase()}`;
const stateOf = (name: string): ClipState => STATES.find((state) => stateName(state) === name) ?? 'unknown';

/** Throws `ClipsError` with reason `unknown_reply` for what isn't that message. */
function read<D extends DescMessage>(schema: D, json: unknown): MessageShape<D> {
  try {
    return fromJson(schema, json as JsonValue, { ignoreUnknownFields: true });
  } catch {
    throw new ClipsError({ code: 0, reason: 'unknown_reply', message: `not a ${schema.name}` });
  }
}

function clipOfMessage(clip: pb.Clip): Clip {
  return {
    id: clip.id,
    room: clip.roomId,
    uploader: clip.uploaderId,
    title: clip.title,
    kind: clipKindOf(clip.kind),
    state: STATES[clip.state] ?? 'unknown',
    version: Number(clip.version),
    percent: clip.progress?.percent ?? 0,
    size: Number(clip.source?.size ?? clip.declared?.size ?? 0n),
    durationMs: Number(clip.source?.durationMs ?? 0n),
    width: clip.source?.video?.width ?? 0,
    height: clip.source?.video?.height ?? 0,
    hasPoster: clip.hasPoster,
    captions: clip.captions.map(({ language, label }) => ({ language, label })),
    error: clip.error ? { reason: clip.error.reason, message: clip.error.message, retryable: clip.error.retryable } : null,
    messageSeq: Number(clip.messageSeq ?? 0n),
    createdMs: Number(clip.createTimeMs),
    uploadExpiresMs: Number(clip.uploadExpireTimeMs),
  };
}

export const clipOf = (json: unknown): Clip => clipOfMessage(read(pb.ClipSchema, json));

export const clipsOf = (json: unknown): Clip[] => read(pb.BatchGetClipsResponseSchema, json).clips.map(clipOfMessage);

export function clipPageOf(json: unknown): ClipPage {
  const page = read(pb.ListClipsResponseSchema, json);
  return { clips: page.clips.map(clipOfMessage), next: page.nextPageToken };
}

export function signedPartsOf(json: unknown): SignedParts {
  const { way } = read(pb.UploadGrantSchema, json);
  if (way.case !== 'parts') throw new ClipsError({ code: 0, reason: 'unknown_reply', message: 'no signed parts' });
  const { partSize, parts, expireTimeMs } = way.value;
  return {
    partSize: Number(partSize),
    parts: parts.map((p) => ({ number: p.number, method: p.method, url: p.url, headers: { ...p.headers }, expiresMs: Number(p.expireTimeMs) })),
    expiresMs: Number(expireTimeMs),
  };
}

export function uploadedPartsOf(json: unknown): UploadedPart[] {
  return read(pb.UploadedPartsSchema, json).parts.map((p) => ({
    number: p.number,
    size: Number(p.size),
    etag: p.etag,
    sha256: p.sha256.length > 0 ? p.sha256 : null,
  }));
}

export function grantOf(json: unknown): PlaybackGrant {
  const grant = read(pb.PlaybackGrantSchema, json);
  const signed = signedQuery(grant.cookies);
  const opened = (url: string) => (url === '' ? '' : url + signed);
  return {
    url: opened(grant.url),
    posterUrl: opened(grant.posterUrl),
    spriteUrl: opened(grant.spriteUrl),
    captions: grant.captions.map(({ language, label, url }) => ({ language, label, url: opened(url) })),
    expiresMs: Number(grant.expireTimeMs),
  };
}

/**
 * CloudFront takes what its cookies say in the query as well (`CloudFront-Policy` as `Policy`, and so on). So it may stand
 * at any host: no page can set another site's cookies, and each clip has a right of its own.
 */
function signedQuery(cookies: Record<string, string>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(cookies)) query.set(name.replace(/^CloudFront-/, ''), value);
  return query.size === 0 ? '' : `?${query}`;
}

export const sharedSeqOf = (json: unknown): number => Number(read(pb.ShareClipResponseSchema, json).messageSeq);

export interface NewClip {
  room: string;
  title: string;
  name: string;
  size: number;
  contentType: string;
}

export function createBody(clip: NewClip): JsonValue {
  const declared = create(pb.DeclaredFileSchema, { name: clip.name, size: BigInt(clip.size), contentType: clip.contentType });
  return toJson(pb.CreateClipRequestSchema, create(pb.CreateClipRequestSchema, { roomId: clip.room, title: clip.title, declared, share: true }));
}

const NONE = new Uint8Array();
/** A copy on memory of its own, as the generated types want it. */
const own = (bytes: Uint8Array | null): Uint8Array<ArrayBuffer> => new Uint8Array(bytes ?? NONE);

export function signBody(parts: PartPlan[]): JsonValue {
  const plans = parts.map(({ number, size, sha256 }) => create(pb.PartPlanSchema, { number, size: BigInt(size), sha256: own(sha256) }));
  const request = create(pb.IssueUploadCredentialsRequestSchema, { mode: pb.UploadMode.MULTIPART, parts: plans });
  return toJson(pb.IssueUploadCredentialsRequestSchema, request);
}

export function completeBody(parts: UploadedPart[]): JsonValue {
  const marks = parts.map(({ number, size, etag, sha256 }) => create(pb.UploadedPartSchema, { number, size: BigInt(size), etag, sha256: own(sha256) }));
  return toJson(pb.CompleteUploadRequestSchema, create(pb.CompleteUploadRequestSchema, { parts: marks }));
}

export const statesQuery = (states: readonly ClipState[]): string => states.map(stateName).join();

interface ErrorBody {
  reason?: string;
  message?: string;
  help?: string;
  requestId?: string;
  fieldViolations?: { field: string; description: string }[];
  state?: string;
  quota?: string;
  retryAfterMs?: number;
}

/** `retryAfter`: the header, in seconds. `json`: null if the body was none. */
export function clipsErrorOf(status: number, retryAfter: string | null, json: unknown): ClipsError {
  const said = json !== null && typeof json === 'object' ? ((json as { error?: unknown }).error ?? null) : null;
  const error = said !== null && typeof said === 'object' ? (said as ErrorBody) : {};
  const after = Number(error.retryAfterMs ?? Number(retryAfter ?? 0) * 1_000);
  return new ClipsError({
    code: status,
    reason: error.reason ?? `http_${status}`,
    message: error.message ?? `HTTP ${status}`,
    // A quota of bytes a day passes as well, but nobody waits for it: its answer says how long.
    temporary: status >= 500 || status === 408 || status === 429 || error.reason === 'CLIP_CHANGED',
    retryMs: Number.isFinite(after) ? after : 0,
    help: error.help ?? '',
    requestId: error.requestId ?? '',
    violations: error.fieldViolations ?? [],
    state: error.state ? stateOf(error.state) : null,
    quota: error.quota ?? '',
  });
}
