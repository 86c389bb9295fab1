/** What is looked at before anything is sent, so that a refusal doesn't come after the upload. The server looks again. */
import type { ClipKind } from '../client/index.js';
import type { Key } from './i18n.js';
import { byteText } from './clip-words.js';

/** By the ends of names: of files that the system has no type for, and of types that are called differently everywhere. */
const ENDINGS: Record<string, string> = {
  mp4: 'video/mp4',
  m4v: 'video/mp4',
  mov: 'video/quicktime',
  webm: 'video/webm',
  mkv: 'video/x-matroska',
  ts: 'video/mp2t',
  mts: 'video/mp2t',
  m2ts: 'video/mp2t',
  '3gp': 'video/3gpp',
  mp3: 'audio/mpeg',
  m4a: 'audio/mp4',
  aac: 'audio/aac',
  wav: 'audio/wav',
  ogg: 'audio/ogg',
  oga: 'audio/ogg',
  opus: 'audio/ogg',
  flac: 'audio/flac',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  png: 'image/png',
  gif: 'image/gif',
  webp: 'image/webp',
  avif: 'image/avif',
};

/** For the file dialog. */
export const ACCEPT = `video/*,audio/*,image/jpeg,image/png,image/gif,image/webp,image/avif,${Object.keys(ENDINGS)
  .map((e) => `.${e}`)
  .join()}`;

export interface Looked {
  /** A media type for the server. */
  type: string;
  kind: ClipKind;
}

export type Refused = { key: Key; values: Record<string, string> };

export function lookAt(file: { name: string; size: number; type: string }, most: number): Looked | Refused {
  const values = { name: file.name, size: byteText(file.size), most: byteText(most) };
  const ending = /\.([^.]+)$/.exec(file.name)?.[1]?.toLowerCase() ?? '';
  const known = ENDINGS[ending];
  if (/^image\/(heic|heif)/.test(file.type) || ending === 'heic' || ending === 'heif') return { key: 'clipHeic', values };
  if (file.type === 'image/svg+xml' || ending === 'svg') return { key: 'clipSvg', values };
  const kind = kindOf(file.type) ?? (file.type === '' || file.type === 'application/octet-stream' ? kindOf(known ?? '') : null);
  if (!kind || (kind === 'image' && !known && !/^image\/(jpeg|png|gif|webp|avif)$/.test(file.type))) return { key: 'clipWrongType', values };
  if (file.size === 0) return { key: 'clipEmptyFile', values };
  if (file.size > most) return { key: 'clipTooLarge', values };
  return { kind, type: known && kindOf(known) === kind ? known : file.type };
}

function kindOf(type: string): ClipKind | null {
  const main = type.split('/')[0];
  return main === 'video' || main === 'audio' || main === 'image' ? main : null;
}
