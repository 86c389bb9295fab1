/** Everything about notifications in one place: this device, all devices, the others, rooms, and why. */
import { useEffect, useState } from 'preact/hooks';
import { KaiwaError, type Device, type DeviceSettings, type Kaiwa, type NotifyLevel, type NotifySettings } from '../client/index.js';
import { explain } from './errors.js';
import { longTime } from './format.js';
import { t, type Key } from './i18n.js';
import { NotifyWhy } from './notify-why.js';
import { localZone, minutesOf, timeOf, zones } from './notify-times.js';
import { mutedText } from './notify-room.js';
import { Choice, Dialog, IconButton, Problem, Switch } from './parts.js';
import { deviceState, pushDeviceId, turnOff, turnOn, wishes, type DeviceState } from './push-device.js';
import { titleOf } from './room-list.js';

/** What is quiet for somebody who hasn't said when. */
const NIGHT = { fromMin: 22 * 60, untilMin: 7 * 60, letsCalls: true, letsMentions: false };

const WHY_NOT: Partial<Record<DeviceState, Key>> = {
  denied: 'notifyDenied',
  unsupported: 'notifyUnsupported',
  insecure: 'notifyInsecure',
  blocked: 'notifyBlocked',
  server_off: 'notifyServerOff',
};

export function NotifyDialog({ kaiwa, onClose }: { kaiwa: Kaiwa; onClose: () => void }) {
  const [devices, setDevices] = useState<Device[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const state = deviceState.value;

  /** Does it, shows what went wrong, and what devices there are then. */
  const act = async (work: () => Promise<unknown>) => {
    setProblem(null);
    try {
      await work();
      setDevices(await kaiwa.notifications.devices());
    } catch (error) {
      // A server without notifications is said below.
      if (!(deviceState.value === 'server_off' && isOff(error))) setProblem(error instanceof DOMException ? t('notifyFailed') : explain(error));
    }
  };
  useEffect(() => void act(async () => (wishes.value = await kaiwa.notifications.settings())), [kaiwa]);

  const mine = devices?.find((d) => d.deviceId === pushDeviceId()) ?? null;
  const others = devices?.filter((d) => d !== mine) ?? [];
  const whyNot = WHY_NOT[state];
  const set = (settings: DeviceSettings) => void act(() => kaiwa.notifications.setDevice(pushDeviceId(), settings));
  return (
    <Dialog title={t('notifications')} testid="notify-settings" onClose={onClose}>
      <Problem text={problem} />
      <section class="notify-section" aria-labelledby="notify-this">
        <h3 id="notify-this">{t('notifyThisDevice')}</h3>
        {whyNot ? (
          <p class="notify-why-not" data-testid="notify-why-not" data-state={state}>
            {t(whyNot)}
          </p>
        ) : (
          <Switch
            label={t('notifyOn')}
            hint={state === 'turning_on' ? t('notifyTurningOn') : t('notifyOnHint')}
            checked={state === 'on' || state === 'turning_on'}
            disabled={state === 'turning_on' || state === 'unknown'}
            onChange={(on) => void act(() => (on ? turnOn(kaiwa) : turnOff(kaiwa)))}
            testid="notify-on"
          />
        )}
        {mine && state === 'on' && <ThisDevice settings={mine.settings} onSet={set} />}
      </section>
      {wishes.value && <Everywhere kaiwa={kaiwa} wishes={wishes.value} act={act} />}
      {wishes.value && (
        <section class="notify-section" aria-labelledby="notify-others">
          <h3 id="notify-others">{t('notifyOthers')}</h3>
          {devices && others.length === 0 && <p class="quiet-text">{t('notifyNoOthers')}</p>}
          <ul class="members">
            {others.map((device) => (
              <li key={device.deviceId} class="member" data-testid="other-device">
                <span class="room-main">
                  <span dir="auto">{device.name}</span>
                  <span class="quiet-text notify-small">
                    {device.settings.isMuted && `${t('notifyDeviceMuted')} · `}
                    {device.lastPushMs > 0 ? t('notifyLastPush', { time: longTime(device.lastPushMs) }) : t('notifyNeverPush')}
                  </span>
                </span>
                <IconButton
                  icon="trash"
                  label={t('notifyRemove', { name: device.name })}
                  onClick={() => void act(() => kaiwa.notifications.removeDevice(device.deviceId))}
                  testid="remove-device"
                />
              </li>
            ))}
          </ul>
        </section>
      )}
      {wishes.value && <NotifyWhy kaiwa={kaiwa} devices={devices ?? []} />}
    </Dialog>
  );
}

const isOff = (error: unknown) => error instanceof KaiwaError && (error.reason === 'push_off' || error.reason === 'unknown_command');

function ThisDevice({ settings, onSet }: { settings: DeviceSettings; onSet: (settings: DeviceSettings) => void }) {
  const { quiet } = settings;
  const setQuiet = (change: Partial<NonNullable<typeof quiet>>) => quiet && onSet({ ...settings, quiet: { ...quiet, ...change } });
  const time = (label: Key, testid: string, value: number, set: (minutes: number) => void) => (
    <label class="field">
      <span class="field-label">{t(label)}</span>
      <input class="input" type="time" value={timeOf(value)} data-testid={testid} onChange={(e) => {
        const minutes = minutesOf(e.currentTarget.value);
        if (minutes !== null) set(minutes);
      }} />
    </label>
  );
  return (
    <>
      <Switch label={t('notifyWakeOnly')} hint={t('notifyWakeOnlyHint')} checked={settings.isWakeOnly} onChange={(isWakeOnly) => onSet({ ...settings, isWakeOnly })} testid="notify-wake-only" />
      <Switch
        label={t('notifyQuiet')}
        hint={t('notifyQuietHint')}
        checked={quiet !== null}
        onChange={(on) => onSet({ ...settings, quiet: on ? { ...NIGHT, zone: localZone() } : null })}
        testid="notify-quiet"
      />
      {quiet && (
        <div class="notify-quiet">
          {time('notifyFrom', 'quiet-from', quiet.fromMin, (fromMin) => setQuiet({ fromMin }))}
          {time('notifyUntil', 'quiet-until', quiet.untilMin, (untilMin) => setQuiet({ untilMin }))}
          <label class="field notify-zone">
            <span class="field-label">{t('notifyZone')}</span>
            <select class="select" value={quiet.zone} data-testid="quiet-zone" onChange={(e) => setQuiet({ zone: e.currentTarget.value })}>
              {zones(quiet.zone).map((zone) => (
                <option key={zone} value={zone}>
                  {zone.replaceAll('_', ' ')}
                </option>
              ))}
            </select>
          </label>
          <Switch label={t('notifyLetsMentions')} checked={quiet.letsMentions} onChange={(letsMentions) => setQuiet({ letsMentions })} testid="quiet-mentions" />
          <Switch label={t('notifyLetsCalls')} checked={quiet.letsCalls} onChange={(letsCalls) => setQuiet({ letsCalls })} testid="quiet-calls" />
        </div>
      )}
    </>
  );
}

interface EverywhereProps {
  kaiwa: Kaiwa;
  wishes: NotifySettings;
  act: (work: () => Promise<unknown>) => Promise<void>;
}

function Everywhere({ kaiwa, wishes: now, act }: EverywhereProps) {
  const { isMuted, letsCalls, level } = now;
  const set = (change: Partial<Pick<NotifySettings, 'isMuted' | 'letsCalls' | 'level'>>) =>
    void act(async () => (wishes.value = await kaiwa.notifications.set({ isMuted, letsCalls, level, ...change })));
  const rooms = now.rooms.flatMap((wish) => {
    const room = kaiwa.room(wish.room);
    return room ? [{ ...wish, title: titleOf(kaiwa, room) }] : [];
  });
  return (
    <section class="notify-section" aria-labelledby="notify-everywhere">
      <h3 id="notify-everywhere">{t('notifyEverywhere')}</h3>
      <Switch label={t('notifyMuted')} checked={isMuted} onChange={(muted) => set({ isMuted: muted })} testid="notify-muted" />
      {isMuted && <Switch label={t('notifyMutedCalls')} checked={letsCalls} onChange={(lets) => set({ letsCalls: lets })} testid="notify-muted-calls" />}
      <Choice<NotifyLevel>
        label={t('notifyLevel')}
        name="notify-level"
        value={level === 'default' ? 'all' : level}
        options={[
          { value: 'all', label: t('notifyLevelAll') },
          { value: 'mentions', label: t('notifyLevelMentions') },
          { value: 'none', label: t('notifyLevelNone') },
        ]}
        onChange={(next) => set({ level: next })}
      />
      {rooms.length > 0 && (
        <>
          <h4>{t('notifyRooms')}</h4>
          <ul class="members">
            {rooms.map(({ room, title, level: own, mutedUntilMs }) => (
              <li key={room} class="member" data-testid="room-wish">
                <span class="room-main">
                  <span dir="auto">{title}</span>
                  <span class="quiet-text notify-small">
                    {[own !== 'default' && t(LEVEL_NAMES[own]), mutedUntilMs > Date.now() && mutedText(mutedUntilMs)].filter(Boolean).join(' · ')}
                  </span>
                </span>
                <IconButton
                  icon="close"
                  label={t('notifyRoomReset', { title })}
                  onClick={() => void act(async () => (wishes.value = await kaiwa.notifications.setRoom(room, { level: 'default', mutedUntilMs: 0 })))}
                  testid="room-wish-reset"
                />
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

const LEVEL_NAMES: Record<NotifyLevel, Key> = {
  default: 'notifyLevelDefault',
  all: 'notifyLevelAll',
  mentions: 'notifyLevelMentions',
  none: 'notifyLevelNone',
};
