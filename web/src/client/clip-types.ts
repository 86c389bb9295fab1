/** Clips as the library gives them. A clip has two faces: what its message shows, and its record over HTTP. */
import { KaiwaError } from './types.js';

export type ClipKind = 'video' | 'audio' | 'image';
/** What a message shows of a clip's state. */
export type ClipShown = 'uploading' | 'processing' | 'ready' | 'failed';

/** A clip as its message shows it. Of two views the one with the greater `version` is right. */
export interface ClipView {
  /** UUIDv7. */
  id: string;
  version: number;
  kind: ClipKind;
  state: ClipShown;
  title: string;
  /** 0 for a picture, and while it isn't known. */
  durationMs: number;
  /** Pixels, as displayed; 0 while they aren't known. */
  width: number;
  height: number;
}

/** How far the transcoder is. A signal: the latest replaces older ones, and none is kept. */
export interface ClipProgress {
  room: string;
  /** Of its message. */
  seq: number;
  clip: string;
  /** 0 to 100. */
  percent: number;
  /** The clip's, at that time. */
  version: number;
}

export type ClipState =
  | 'created'
  | 'uploading'
  | 'uploaded'
  | 'validating'
  | 'submitted'
  | 'processing'
  | 'verifying'
  | 'ready'
  | 'expired'
  | 'rejected'
  | 'failed'
  | 'cancelled'
  | 'deleted'
  | 'unknown';

/** A clip's record. */
export interface Clip {
  id: string;
  room: string;
  uploader: string;
  title: string;
  kind: ClipKind;
  state: ClipState;
  version: number;
  /** 0 to 100, while it is transcoded. */
  percent: number;
  size: number;
  durationMs: number;
  width: number;
  height: number;
  hasPoster: boolean;
  captions: { language: string; label: string }[];
  /** Why it ended badly. */
  error: ClipFailure | null;
  /** Its message in the room; 0 as long as it has none. */
  messageSeq: number;
  createdMs: number;
  /** When an upload that is awaited is given up; 0 for none. */
  uploadExpiresMs: number;
}

export interface ClipFailure {
  /** Such as `NOT_A_MEDIA_FILE`. */
  reason: string;
  /** For people, in English. */
  message: string;
  /** Transcoding it again may help. */
  retryable: boolean;
}

export interface ClipPage {
  clips: Clip[];
  /** Empty on the last page. */
  next: string;
}

/** The right to play a clip, for a while. Whoever has it can play: it belongs into no log. */
/** Addresses have the right in themselves: in their path, or (CloudFront) in their query. */
export interface PlaybackGrant {
  /** The master playlist, or the picture or sound itself. */
  url: string;
  /** Or empty. */
  posterUrl: string;
  /** WebVTT of the pictures for scrubbing, or empty. */
  spriteUrl: string;
  captions: { language: string; label: string; url: string }[];
  /** By the server's clock. */
  expiresMs: number;
}

export interface PartPlan {
  /** From 1. */
  number: number;
  size: number;
  /** Of its bytes; null where the browser can't compute it. */
  sha256: Uint8Array | null;
}

/** A request that takes exactly one part. */
export interface SignedPart {
  number: number;
  method: string;
  url: string;
  headers: Record<string, string>;
  expiresMs: number;
}

export interface SignedParts {
  /** Bytes of every part but the last. */
  partSize: number;
  parts: SignedPart[];
  /** When the upload is given up. */
  expiresMs: number;
}

export interface UploadedPart {
  number: number;
  size: number;
  etag: string;
  sha256: Uint8Array | null;
}

/** A refusal of the clips' API: `reason` is one of those in `proto/kaiwa/media/v1/media.proto`, `code` the HTTP status. */
export class ClipsError extends KaiwaError {
  /** For people, in English: what to do. */
  readonly help: string;
  readonly requestId: string;
  readonly violations: readonly { field: string; description: string }[];
  /** The state that stands in the way, with reason `CLIP_STATE`. */
  readonly state: ClipState | null;
  /** Of what there is too much, with reason `QUOTA_EXCEEDED`. */
  readonly quota: string;

  constructor(init: {
    code: number;
    reason: string;
    message: string;
    temporary?: boolean;
    retryMs?: number;
    help?: string;
    requestId?: string;
    violations?: { field: string; description: string }[];
    state?: ClipState | null;
    quota?: string;
  }) {
    super(init);
    this.name = 'ClipsError';
    this.help = init.help ?? '';
    this.requestId = init.requestId ?? '';
    this.violations = init.violations ?? [];
    this.state = init.state ?? null;
    this.quota = init.quota ?? '';
  }
}
