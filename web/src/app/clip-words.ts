/** Sizes, lengths and reasons in words. */
import { ClipsError, FileGone, type ClipFailure, type ClipKind } from '../client/index.js';
import { explain } from './errors.js';
import { lang, t, type Key } from './i18n.js';

const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const;

/** Such as “4.2 MB”, by thousands, as systems show the sizes of files. */
export function byteText(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1_000 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  const options = { style: 'unit', unit: UNITS[unit]!, unitDisplay: unit === 0 ? 'long' : 'short', maximumFractionDigits: digits } as const;
  return new Intl.NumberFormat(lang.value === 'ja' ? 'ja-JP' : 'en-GB', options).format(value);
}

/** Such as “1:05” or “1:02:03”. */
export function lengthText(ms: number): string {
  const all = Math.max(0, Math.round(ms / 1_000));
  const [hours, minutes, seconds] = [Math.floor(all / 3_600), Math.floor(all / 60) % 60, all % 60];
  const two = (n: number) => String(n).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** For ears. */
export function spokenLength(ms: number): string {
  const all = Math.max(0, Math.round(ms / 1_000));
  const minutes = Math.floor(all / 60);
  return minutes > 0 ? t('clipMinutesSeconds', { minutes, seconds: all % 60 }) : t('clipSeconds', { seconds: all % 60 });
}

export function leftText(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 60) return t('clipLeftSeconds', { seconds });
  return seconds < 5_400 ? t('clipLeftMinutes', { minutes: Math.round(seconds / 60) }) : t('clipLeftHours', { hours: Math.round(seconds / 3_600) });
}

export const KIND_NAMES: Record<ClipKind, Key> = { video: 'clipVideo', audio: 'clipAudio', image: 'clipImage' };

export const titleText = (clip: { title: string; kind: ClipKind }): string => clip.title || t(KIND_NAMES[clip.kind]);

/** Of the file, and of what became of it. */
const FAILURES: Record<string, Key> = {
  EMPTY_FILE: 'clipWhyEmpty',
  TOO_LARGE: 'clipWhyTooLarge',
  SIZE_MISMATCH: 'clipWhyCorrupt',
  CHECKSUM_MISMATCH: 'clipWhyCorrupt',
  UPLOAD_CORRUPT: 'clipWhyCorrupt',
  TYPE_MISMATCH: 'clipWhyUnreadable',
  NOT_A_MEDIA_FILE: 'clipWhyNoMedia',
  PLAYLIST: 'clipWhyNoMedia',
  CONCAT_SCRIPT: 'clipWhyNoMedia',
  DASH_MANIFEST: 'clipWhyNoMedia',
  SDP: 'clipWhyNoMedia',
  SVG: 'clipWhyNoMedia',
  XML: 'clipWhyNoMedia',
  HTML: 'clipWhyNoMedia',
  ARCHIVE: 'clipWhyNoMedia',
  POLYGLOT: 'clipWhyNoMedia',
  UNREADABLE: 'clipWhyUnreadable',
  TRUNCATED: 'clipWhyTruncated',
  NO_TRACKS: 'clipWhyNoMedia',
  TOO_MANY_STREAMS: 'clipWhyTooComplex',
  TOO_MANY_CHANNELS: 'clipWhyTooComplex',
  TOO_LONG: 'clipWhyTooLong',
  TOO_MANY_PIXELS: 'clipWhyTooManyPixels',
  FRAME_RATE: 'clipWhyTooComplex',
  CODEC_NOT_ALLOWED: 'clipWhyCodec',
  HDR: 'clipWhyHdr',
  INSPECTION_TIMEOUT: 'clipWhyTooComplex',
  UPLOAD_EXPIRED: 'clipWhyExpired',
};

/** Why a clip can't be played, and what to do. Reasons of the transcoder's own mean nothing to people. */
export function failureText({ reason, message, retryable }: ClipFailure): string {
  const key = FAILURES[reason];
  if (key) return t(key, { message });
  return retryable ? t('clipWhyServer') : t('clipWhyServerNoRetry', { reason });
}

/** Why a request about clips was refused, and what to do. */
const REFUSALS: Record<string, Key> = {
  NOT_FOUND: 'clipErrGone',
  CANCELLED: 'clipErrGone',
  PERMISSION_DENIED: 'clipErrDenied',
  NOT_ROOM_MEMBER: 'errNotMember',
  NOT_UPLOADER: 'clipErrDenied',
  ROLE_TOO_LOW: 'clipErrRole',
  CLIP_STATE: 'clipErrState',
  CLIP_CHANGED: 'clipErrState',
  REQUEST_TOO_LARGE: 'errTooLarge',
  STREAM_LIMIT: 'errRate',
  UNAVAILABLE: 'errServer',
  DEADLINE_EXCEEDED: 'errServer',
  DEADLINE_TOO_SHORT: 'errServer',
  STORAGE_REFUSED: 'clipErrStorage',
  BUSY: 'errServer',
};

export function explainClip(error: unknown): string {
  if (error instanceof FileGone) return t('clipErrFile');
  if (!(error instanceof ClipsError)) return explain(error);
  if (FAILURES[error.reason]) return failureText({ reason: error.reason, message: error.message, retryable: false });
  if (error.reason === 'QUOTA_EXCEEDED') return quotaText(error);
  const field = error.violations[0];
  if (field) return t('clipErrField', { field: field.field, allowed: field.description });
  const key = REFUSALS[error.reason] ?? (error.temporary ? 'errServer' : null);
  return key ? t(key) : explain(error);
}

function quotaText(error: ClipsError): string {
  const minutes = Math.ceil(error.retryMs / 60_000);
  if (error.quota === 'rooms of a clip') return t('clipErrRooms');
  if (error.quota === 'languages of a clip') return t('clipErrLanguages');
  return minutes > 1 ? t('clipErrQuotaWait', { minutes }) : t('clipErrQuota');
}
