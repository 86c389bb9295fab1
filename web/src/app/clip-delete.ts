/** Deleting a clip's message. */
import { ClipsError, type Kaiwa, type Message } from '../client/index.js';
import { clips } from './clip-state.js';

/**
 * One's own clip is deleted everywhere, and by a moderator where it is at home; elsewhere its message alone goes.
 * Throws `ClipsError` or `KaiwaError`.
 */
export async function deleteClip(kaiwa: Kaiwa, room: string, message: Message): Promise<void> {
  const api = clips.value?.api;
  const { clip } = message;
  if (!api || !clip) return void (await kaiwa.delete(room, message.seq));
  try {
    const record = await api.get(clip.id);
    if (record.uploader === kaiwa.me.id || record.room === room) {
      clips.value?.uploads.find(clip.id)?.cancel();
      clips.value?.grants.forget(clip.id);
      await api.delete(clip.id);
      return;
    }
  } catch (error) {
    // Gone, or not to be deleted by this person: then its message is what can be.
    if (!(error instanceof ClipsError) || (error.code !== 404 && error.code !== 403)) throw error;
  }
  await kaiwa.delete(room, message.seq);
}
