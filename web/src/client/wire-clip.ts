/** Clips as the client protocol has them. */
import type * as pb from '../gen/kaiwa/client/v1/client_pb.js';
import type { ClipKind, ClipProgress, ClipShown, ClipView } from './clip-types.js';

const KINDS: Record<number, ClipKind> = { 1: 'video', 2: 'audio', 3: 'image' };
// A state of a later version is neither to be played nor over.
const SHOWN: Record<number, ClipShown> = { 1: 'uploading', 2: 'processing', 3: 'ready', 4: 'failed' };

export function clipViewOf(clip: pb.Clip | undefined): ClipView | null {
  if (!clip) return null;
  return {
    id: clip.id,
    version: Number(clip.version),
    kind: KINDS[clip.kind] ?? 'video',
    state: SHOWN[clip.state] ?? 'processing',
    title: clip.title,
    durationMs: Number(clip.durationMs),
    width: clip.width,
    height: clip.height,
  };
}

export function clipProgressOf(progress: pb.ClipProgress): ClipProgress {
  const { room, clip, percent } = progress;
  return { room, clip, percent, seq: Number(progress.seq), version: Number(progress.version) };
}
