/** The file of an upload: what it is recognised by, and its parts' sums. Pieces are read; never the whole. */

/** The part of the browser's File that is used. */
export interface UploadFile {
  readonly name: string;
  readonly size: number;
  /** A media type, or empty. */
  readonly type: string;
  readonly lastModified: number;
  slice(from: number, to: number): Blob;
}

/** The part of `FileSystemFileHandle` that is used. It can be kept, and gives the file again after a reload. */
export interface FileHandle {
  getFile(): Promise<File>;
  queryPermission?(descriptor: { mode: 'read' }): Promise<PermissionState>;
  requestPermission?(descriptor: { mode: 'read' }): Promise<PermissionState>;
}

/** SHA-256; null where there is none (a page without a secure context). */
export type Digest = (bytes: ArrayBuffer) => Promise<Uint8Array | null>;

// The browser computes it beside the page, so that it never blocks.
export const webDigest: Digest = async (bytes) => {
  if (!globalThis.crypto?.subtle) return null;
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
};

/** The file can't be read any more: it was moved, changed, or the browser has taken the right away. */
export class FileGone extends Error {
  constructor(cause: unknown) {
    super('the file can not be read', { cause });
    this.name = 'FileGone';
  }
}

const MIB = 1024 * 1024;

export async function readPiece(file: UploadFile, from: number, to: number): Promise<ArrayBuffer> {
  let bytes: ArrayBuffer;
  try {
    bytes = await file.slice(from, to).arrayBuffer();
  } catch (error) {
    throw new FileGone(error);
  }
  if (bytes.byteLength !== to - from) throw new FileGone(new Error('it has become shorter'));
  return bytes;
}

/** Of the first and the last MiB, in hexadecimal; empty where no sum can be computed. */
export async function printOf(file: UploadFile, digest: Digest): Promise<string> {
  const head = await readPiece(file, 0, Math.min(MIB, file.size));
  const tail = await readPiece(file, Math.max(0, file.size - MIB), file.size);
  const both = new Uint8Array(head.byteLength + tail.byteLength);
  both.set(new Uint8Array(head));
  both.set(new Uint8Array(tail), head.byteLength);
  const sum = await digest(both.buffer);
  return sum ? Array.from(sum, (b) => b.toString(16).padStart(2, '0')).join('') : '';
}

export interface KnownFile {
  name: string;
  size: number;
  modifiedMs: number;
  print: string;
}

/** Whether this is the same file as the one that was begun with. */
export async function isSameFile(file: UploadFile, known: KnownFile, digest: Digest): Promise<boolean> {
  if (file.name !== known.name || file.size !== known.size || file.lastModified !== known.modifiedMs) return false;
  return (await printOf(file, digest)) === known.print;
}
