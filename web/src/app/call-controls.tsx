import { useEffect, useState } from 'preact/hooks';
import type { CallParticipantView, Kaiwa, RoomView } from '../client/index.js';
import { canShareScreen, devices, watchDevices } from './call-devices.js';
import type { Tile } from './call-layout.js';
import {
  busy,
  changeDevice,
  chatShown,
  isOn,
  leaveCall,
  nameOf,
  setSpeakerLayout,
  speakerLayout,
  toggleCamera,
  toggleMicrophone,
  toggleScreen,
  wholeWindow,
} from './call-state.js';
import { DeviceSelect, SpeakerSelect } from './call-prejoin.js';
import { inspecting } from './call-health.js';
import { Quality } from './call-tile.js';
import { useShortcuts } from './call-view.js';
import { explain } from './errors.js';
import { t } from './i18n.js';
import { Avatar, Dialog, Icon, IconButton, type IconName } from './parts.js';
import { callTick, levelsTick, roomTick, showToast } from './state.js';

interface ControlProps {
  icon: IconName;
  label: string;
  shortcut?: string;
  tone?: 'off' | 'on' | 'end' | '';
  pressed?: boolean;
  disabled?: boolean;
  class?: string;
  testid: string;
  badge?: string;
  onClick: () => void;
}

/** The label says what pressing does. */
function Control({ icon, label, shortcut = '', tone = '', pressed, disabled = false, class: extra = '', testid, badge, onClick }: ControlProps) {
  return (
    <button
      type="button"
      class={`control ${tone} ${extra}`}
      aria-label={label}
      aria-pressed={pressed}
      aria-keyshortcuts={shortcut || undefined}
      aria-disabled={disabled || undefined}
      title={shortcut ? `${label} (${shortcut})` : label}
      data-testid={testid}
      onClick={() => !disabled && onClick()}
    >
      <Icon name={icon} />
      {badge && (
        <span class="control-badge" aria-hidden="true">
          {badge}
        </span>
      )}
    </button>
  );
}

export function CallControls({ kaiwa, room, onMenu }: { kaiwa: Kaiwa; room: RoomView; onMenu: (tile: Tile) => void }) {
  callTick.value;
  const [dialog, setDialog] = useState<'people' | 'devices' | 'more' | null>(null);
  const { rights } = kaiwa.call;
  const may = (source: 'microphone' | 'camera' | 'screen') => kaiwa.call.participant === '' || rights.publish.includes(source);
  const mic = isOn('microphone');
  const cam = isOn('camera');
  const sharing = kaiwa.call.local('screen') !== null;
  const count = kaiwa.call.participants().length;
  const layout = () => setSpeakerLayout(!speakerLayout.value);
  const chat = () => (chatShown.value = !chatShown.value);
  const health = () => (inspecting.value = room.info.room);
  const share = canShareScreen() && may('screen');
  useShortcuts({
    m: () => may('microphone') && void toggleMicrophone(),
    v: () => may('camera') && void toggleCamera(),
    s: () => share && void toggleScreen(),
    l: layout,
    c: chat,
    p: () => setDialog('people'),
    h: health,
  });
  return (
    <div class="controls" role="toolbar" aria-label={t('controls')} data-testid="call-controls">
      {may('microphone') && (
        <Control icon={mic ? 'mic' : 'micOff'} label={t(mic ? 'micOn' : 'micOff')} shortcut="M" tone={mic ? '' : 'off'} disabled={busy.value.has('microphone')} testid="call-mic" onClick={() => void toggleMicrophone()} />
      )}
      {may('camera') && (
        <Control icon={cam ? 'cam' : 'camOff'} label={t(cam ? 'camOn' : 'camOff')} shortcut="V" tone={cam ? '' : 'off'} disabled={busy.value.has('camera')} testid="call-cam" onClick={() => void toggleCamera()} />
      )}
      {share && (
        <Control icon={sharing ? 'screenOff' : 'screen'} label={t(sharing ? 'screenOff' : 'screenOn')} shortcut="S" tone={sharing ? 'on' : ''} disabled={busy.value.has('screen')} testid="call-screen" onClick={() => void toggleScreen()} />
      )}
      <span class="controls-gap" />
      <Control
        icon={speakerLayout.value ? 'tiles' : 'large'}
        label={t(speakerLayout.value ? 'layoutGrid' : 'layoutSpeaker')}
        shortcut="L"
        class="wide-only"
        testid="call-layout"
        onClick={layout}
      />
      <Control icon="people" label={t('callPeopleCount', { count })} badge={String(count)} shortcut="P" class="wide-only" testid="call-people" onClick={() => setDialog('people')} />
      <Control icon="chat" label={t(chatShown.value ? 'callChatHide' : 'callChat')} pressed={chatShown.value} tone={chatShown.value ? 'on' : ''} shortcut="C" testid="call-chat" onClick={chat} />
      <Control icon="pulse" label={t('callHealth')} shortcut="H" class="wide-only" testid="call-health" onClick={health} />
      <Control icon="gear" label={t('callDevices')} class="wide-only" testid="call-devices" onClick={() => setDialog('devices')} />
      <Control
        icon={wholeWindow.value ? 'shrink' : 'expand'}
        label={t(wholeWindow.value ? 'callNarrow' : 'callWide')}
        class="desktop-only"
        testid="call-wide"
        onClick={() => (wholeWindow.value = !wholeWindow.value)}
      />
      <Control icon="dots" label={t('callMore')} class="narrow-only" testid="call-more" onClick={() => setDialog('more')} />
      <Control icon="hangUp" label={t('callLeave')} tone="end" testid="call-leave" onClick={leaveCall} />
      {dialog === 'people' && <PeopleDialog kaiwa={kaiwa} room={room} onMenu={onMenu} onClose={() => setDialog(null)} />}
      {dialog === 'devices' && <DevicesDialog onClose={() => setDialog(null)} />}
      {dialog === 'more' && (
        <Dialog title={t('callMore')} testid="call-more-menu" onClose={() => setDialog(null)}>
          <div class="menu">
            <button
              type="button"
              class="menu-item"
              onClick={() => {
                layout();
                setDialog(null);
              }}
            >
              <Icon name={speakerLayout.value ? 'tiles' : 'large'} />
              {t(speakerLayout.value ? 'layoutGrid' : 'layoutSpeaker')}
            </button>
            <button type="button" class="menu-item" onClick={() => setDialog('people')}>
              <Icon name="people" />
              {t('callPeopleCount', { count })}
            </button>
            <button type="button" class="menu-item" onClick={() => setDialog('devices')}>
              <Icon name="gear" />
              {t('callDevices')}
            </button>
            <button
              type="button"
              class="menu-item"
              data-testid="call-more-health"
              onClick={() => {
                setDialog(null);
                health();
              }}
            >
              <Icon name="pulse" />
              {t('callHealth')}
            </button>
          </div>
        </Dialog>
      )}
    </div>
  );
}

function DevicesDialog({ onClose }: { onClose: () => void }) {
  useEffect(watchDevices, []);
  return (
    <Dialog title={t('callDevices')} testid="call-devices-dialog" onClose={onClose}>
      <div class="form">
        <DeviceSelect kind="camera" onChange={(id) => void changeDevice('camera', id)} />
        <DeviceSelect kind="microphone" onChange={(id) => void changeDevice('microphone', id)} />
        {devices.value.speakers.length > 0 && <SpeakerSelect />}
      </div>
    </Dialog>
  );
}

interface PeopleProps {
  kaiwa: Kaiwa;
  room: RoomView;
  onMenu: (tile: Tile) => void;
  onClose: () => void;
}

/** Who is in the call, and who could be called to it. */
function PeopleDialog({ kaiwa, room, onMenu, onClose }: PeopleProps) {
  callTick.value;
  const id = room.info.room;
  roomTick(id).value;
  useEffect(() => void kaiwa.loadMembers(id).catch((error: unknown) => showToast(explain(error), 'error')), [id]);
  const people = kaiwa.call.participants();
  const inside = new Set(people.map((p) => p.user.id));
  const others = (kaiwa.members(id) ?? []).filter((m) => m.membership === 'joined' && !inside.has(m.user.id));
  return (
    <Dialog title={t('callPeopleCount', { count: people.length })} testid="call-people-dialog" onClose={onClose}>
      <ul class="members">
        {people.map((person) => (
          <PersonRow
            key={person.participant}
            kaiwa={kaiwa}
            person={person}
            onMenu={() => {
              onClose();
              onMenu({ key: `${person.participant}:camera`, kind: 'camera', person });
            }}
          />
        ))}
      </ul>
      {others.length > 0 && (
        <section aria-labelledby="not-in-call">
          <h3 class="section-head" id="not-in-call">
            {t('notInCall')}
          </h3>
          <ul class="members">
            {others.map(({ user }) => (
              <li key={user.id} class="member">
                <Avatar id={user.id} name={user.name} size={36} />
                <span class="room-main">
                  <span class="room-title" dir="auto">
                    {user.name || user.id}
                  </span>
                </span>
                <RingButton kaiwa={kaiwa} user={user.id} name={user.name || user.id} />
              </li>
            ))}
          </ul>
        </section>
      )}
    </Dialog>
  );
}

function RingButton({ kaiwa, user, name }: { kaiwa: Kaiwa; user: string; name: string }) {
  callTick.value;
  const ringing = kaiwa.call.outgoing?.users.includes(user) ?? false;
  if (ringing) return <span class="role-name">{t('ringing')}</span>;
  const ring = () => {
    kaiwa.call.ring([user]).catch((error: unknown) => showToast(explain(error), 'error'));
  };
  return <IconButton icon="phone" label={t('ringPerson', { name })} onClick={ring} testid="ring-person" />;
}

function PersonRow({ kaiwa, person, onMenu }: { kaiwa: Kaiwa; person: CallParticipantView; onMenu: () => void }) {
  levelsTick.value;
  const name = nameOf(person);
  const muted = person.microphone === null || person.microphone.muted;
  const state = person.interrupted ? t('tileInterrupted') : kaiwa.call.speaking(person.participant) && !muted ? t('tileSpeaking') : muted ? t('personMuted') : t('inCall');
  return (
    <li class="member" data-testid="call-person" data-participant={person.participant}>
      <Avatar id={person.user.id} name={name} size={36} />
      <span class="room-main">
        <span class="room-title" dir="auto">
          {person.me ? t('tileYou', { name }) : name}
        </span>
        <span class="quiet-text">{state}</span>
      </span>
      {person.quality && <Quality quality={person.quality} />}
      <span class="person-icons" aria-hidden="true">
        <Icon name={muted ? 'micOff' : 'mic'} />
        <Icon name={person.camera === null || person.camera.muted ? 'camOff' : 'cam'} />
      </span>
      <IconButton icon="dots" label={t('tileMenu', { name })} onClick={onMenu} testid="person-menu-open" />
    </li>
  );
}
