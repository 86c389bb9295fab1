/** Clips in the app: the API, the uploads and the rights to play of who is signed in. */
import { signal } from '@preact/signals';
import { forgetTrays } from './clip-tray.js';
import { ClipsApi, ClipUploads, IndexedDbUploads, MemoryUploads, PlaybackGrants, type GetToken, type Kaiwa, type UploadStore } from '../client/index.js';

export interface ClipsHere {
  api: ClipsApi;
  uploads: ClipUploads;
  grants: PlaybackGrants;
}

export const clips = signal<ClipsHere | null>(null);
/** Counts up with each change of an upload; with each word on a clip's progress. */
export const uploadsTick = signal(0);
export const clipTick = signal(0);

const storeOf = (user: string): UploadStore => (typeof indexedDB === 'undefined' ? new MemoryUploads() : new IndexedDbUploads(user));

/** Whose chosen files there may be. */
let owner = '';

export function beginClips(kaiwa: Kaiwa, getToken: GetToken): void {
  if (owner !== kaiwa.me.id) forgetTrays();
  owner = kaiwa.me.id;
  const api = new ClipsApi({ getToken });
  const uploads = new ClipUploads({ api, store: storeOf(kaiwa.me.id) });
  uploads.onChange(() => uploadsTick.value++);
  clips.value = { api, uploads, grants: new PlaybackGrants(api, () => kaiwa.clockOffsetMs) };
  void uploads.restore();
}

/** Uploads stay where they are kept, for the next time. */
export async function pauseClips(): Promise<void> {
  const here = clips.value;
  clips.value = null;
  await here?.uploads.stop();
}

/** Signing out, while the server can still be told: it keeps nothing waiting for files that will not come. */
export async function giveUpClips(): Promise<void> {
  const here = clips.value;
  clips.value = null;
  await here?.uploads.end();
}

/** Signed out: nothing of this person stays. */
export async function endClips(user: string): Promise<void> {
  await pauseClips();
  forgetTrays();
  await storeOf(user).clear().catch(() => {});
}

/** Where a conversation goes when it opens next. */
export const jumpTo = signal<{ room: string; seq: number } | null>(null);

/** The largest file that the server takes; 0: it has no clips, or hasn't said so yet. */
export const clipBytes = (kaiwa: Kaiwa): number => kaiwa.limits?.clipBytes ?? 0;
