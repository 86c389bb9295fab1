/** How one is told of one room: in its header. */
import { useState } from 'preact/hooks';
import type { Kaiwa, NotifyLevel, RoomView } from '../client/index.js';
import { explain } from './errors.js';
import { longTime } from './format.js';
import { t, type Key } from './i18n.js';
import { isMutedNow, muteUntil, FOR_EVER_MS, type MuteFor } from './notify-times.js';
import { Choice, Dialog, IconButton, Problem } from './parts.js';
import { wishes } from './push-device.js';

const MUTES: { choice: MuteFor; label: Key }[] = [
  { choice: 'hour', label: 'notifyMuteHour' },
  { choice: 'eight', label: 'notifyMuteEight' },
  { choice: 'tomorrow', label: 'notifyMuteTomorrow' },
  { choice: 'ever', label: 'notifyMuteEver' },
];

export const mutedText = (untilMs: number): string =>
  // The end is by the server's clock, which may be some milliseconds off: 8:00, not 7:59.
  untilMs >= FOR_EVER_MS ? t('notifyMutedEver') : t('notifyMutedUntil', { time: longTime(Math.round(untilMs / 60_000) * 60_000) });

function wishOf(room: string): { level: NotifyLevel; mutedUntilMs: number } {
  const { level = 'default', mutedUntilMs = 0 } = wishes.value?.rooms.find((r) => r.room === room) ?? {};
  return { level, mutedUntilMs };
}

/** Nothing of this room comes just now, but for what names one. */
export function isQuietRoom(room: string, nowMs: number): boolean {
  const { level, mutedUntilMs } = wishOf(room);
  return level === 'none' || isMutedNow(mutedUntilMs, nowMs);
}

export function RoomBell({ kaiwa, room }: { kaiwa: Kaiwa; room: RoomView }) {
  const [open, setOpen] = useState(false);
  if (!wishes.value) return null;
  const isQuiet = isQuietRoom(room.info.room, Date.now());
  return (
    <>
      <IconButton
        icon={isQuiet ? 'bellOff' : 'bell'}
        label={isQuiet ? `${t('notifyRoom')} (${t('notifyRoomMuted')})` : t('notifyRoom')}
        onClick={() => setOpen(true)}
        testid="room-bell"
        data-quiet={isQuiet}
      />
      {open && <RoomNotifyDialog kaiwa={kaiwa} room={room.info.room} onClose={() => setOpen(false)} />}
    </>
  );
}

function RoomNotifyDialog({ kaiwa, room, onClose }: { kaiwa: Kaiwa; room: string; onClose: () => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const wish = wishOf(room);
  const isMuted = isMutedNow(wish.mutedUntilMs, Date.now());
  const set = async (change: Partial<typeof wish>) => {
    setProblem(null);
    try {
      wishes.value = await kaiwa.notifications.setRoom(room, { ...wish, ...change });
    } catch (error) {
      setProblem(explain(error));
    }
  };
  return (
    <Dialog title={t('notifyRoom')} testid="room-notify" onClose={onClose}>
      <Problem text={problem} />
      <Choice<NotifyLevel>
        label={t('notifyLevelRoom')}
        name="room-level"
        value={wish.level}
        options={[
          { value: 'default', label: t('notifyLevelDefault') },
          { value: 'all', label: t('notifyLevelAll') },
          { value: 'mentions', label: t('notifyLevelMentions') },
          { value: 'none', label: t('notifyLevelNone') },
        ]}
        onChange={(level) => void set({ level })}
      />
      <fieldset class="choice">
        <legend>{t('notifyMute')}</legend>
        <p class="quiet-text" role="status" data-testid="mute-state">
          {isMuted ? `${mutedText(wish.mutedUntilMs)} · ` : ''}
          {t('notifyMuteHint')}
        </p>
        <div class="notify-buttons">
          {isMuted ? (
            <button type="button" class="button quiet small" data-testid="unmute" onClick={() => void set({ mutedUntilMs: 0 })}>
              {t('notifyUnmute')}
            </button>
          ) : (
            MUTES.map(({ choice, label }) => (
              <button
                key={choice}
                type="button"
                class="button quiet small"
                data-testid={`mute-${choice}`}
                onClick={() => void set({ mutedUntilMs: muteUntil(choice, Date.now()) + (choice === 'ever' ? 0 : Math.round(kaiwa.clockOffsetMs)) })}
              >
                {t(label)}
              </button>
            ))
          )}
        </div>
      </fieldset>
    </Dialog>
  );
}
