/** The part of `wire.ts` for notifications and marks. */
import { create } from '@bufbuild/protobuf';
import * as pb from '../gen/kaiwa/client/v1/client_pb.js';
import type {
  Device,
  DeviceSettings,
  Marked,
  NotifyCommand,
  NotifyDecision,
  NotifyLevel,
  NotifySettings,
  PushChannel,
  QuietHours,
  Result,
} from './types.js';

const CHANNELS: Record<number, PushChannel> = { 1: 'web_push', 2: 'apns', 3: 'fcm', 4: 'sns' };
const LEVELS: Record<number, NotifyLevel> = { 1: 'all', 2: 'mentions', 3: 'none' };
const LEVEL_TO_WIRE = { default: 0, all: 1, mentions: 2, none: 3 } as const;

const levelOf = (level: number): NotifyLevel => LEVELS[level] ?? 'default';

const quietOf = ({ fromMin, untilMin, zone, letsCalls, letsMentions }: pb.QuietHours): QuietHours => ({ fromMin, untilMin, zone, letsCalls, letsMentions });

const settingsOf = (s?: pb.DeviceSettings): DeviceSettings => ({
  isMuted: s?.isMuted ?? false,
  isWakeOnly: s?.isWakeOnly ?? false,
  quiet: s?.quiet ? quietOf(s.quiet) : null,
});

const deviceOf = (d: pb.Device): Device => ({
  deviceId: d.deviceId,
  name: d.name,
  channel: CHANNELS[d.channel] ?? 'unknown',
  registeredMs: Number(d.registeredMs),
  lastPushMs: Number(d.lastPushMs),
  settings: settingsOf(d.settings),
});

const notifySettingsOf = (s: pb.NotifySettings): NotifySettings => ({
  isMuted: s.isMuted,
  letsCalls: s.letsCalls,
  level: levelOf(s.level),
  rooms: s.rooms.map(({ room, level, mutedUntilMs }) => ({ room, level: levelOf(level), mutedUntilMs: Number(mutedUntilMs) })),
  version: Number(s.version),
});

const decisionOf = (d: pb.NotifyDecision): NotifyDecision => ({
  eventId: d.eventId,
  timeMs: Number(d.timeMs),
  room: d.room,
  seq: Number(d.seq),
  isSent: d.isSent,
  reason: d.reason,
  message: d.message,
  attempts: d.attempts.map((a) => ({ deviceId: a.deviceId, timeMs: Number(a.timeMs), isAccepted: a.isAccepted, code: a.code })),
});

export const markedOf = (m: pb.Marked): Marked => ({
  room: m.room,
  epoch: m.epoch,
  readSeq: Number(m.readSeq),
  unread: m.unread,
  unreadMentions: m.unreadMentions,
  head: Number(m.head),
});

export function notifyResultOf(result: pb.Reply['result']): Result | null {
  switch (result.case) {
    case 'marked':
      return { kind: 'marked', marked: markedOf(result.value) };
    case 'push':
      // A copy: Firefox reads an `applicationServerKey` that is a view from its buffer's beginning.
      return { kind: 'push_info', info: { vapidKey: result.value.vapidKey.slice() } };
    case 'device':
      return { kind: 'device', device: deviceOf(result.value) };
    case 'devices':
      return { kind: 'devices', devices: result.value.devices.map(deviceOf) };
    case 'notifySettings':
      return { kind: 'notify_settings', settings: notifySettingsOf(result.value) };
    case 'notifyDecisions':
      return { kind: 'notify_decisions', decisions: result.value.decisions.map(decisionOf) };
    default:
      return null;
  }
}

export function notifyCommandToWire(c: NotifyCommand) {
  switch (c.kind) {
    case 'push_get':
      return { case: 'pushGet', value: create(pb.PushGetSchema) } as const;
    case 'device_register': {
      const { deviceId, name, address } = c;
      const value = create(pb.WebPushAddressSchema, address);
      return { case: 'deviceRegister', value: create(pb.DeviceRegisterSchema, { deviceId, name, address: { case: 'webPush', value } }) } as const;
    }
    case 'device_set': {
      const { isMuted, isWakeOnly, quiet } = c.settings;
      const settings = create(pb.DeviceSettingsSchema, { isMuted, isWakeOnly, ...(quiet && { quiet: create(pb.QuietHoursSchema, quiet) }) });
      return { case: 'deviceSet', value: create(pb.DeviceSetSchema, { deviceId: c.deviceId, settings }) } as const;
    }
    case 'device_list':
      return { case: 'deviceList', value: create(pb.DeviceListSchema) } as const;
    case 'device_remove':
      return { case: 'deviceRemove', value: create(pb.DeviceRemoveSchema, { deviceId: c.deviceId }) } as const;
    case 'notify_get':
      return { case: 'notifyGet', value: create(pb.NotifyGetSchema) } as const;
    case 'notify_set': {
      const { isMuted, letsCalls, level } = c;
      return { case: 'notifySet', value: create(pb.NotifySetSchema, { isMuted, letsCalls, level: LEVEL_TO_WIRE[level] }) } as const;
    }
    case 'notify_set_room': {
      const value = { room: c.room, level: LEVEL_TO_WIRE[c.level], mutedUntilMs: BigInt(Math.round(c.mutedUntilMs)) };
      return { case: 'notifySetRoom', value: create(pb.NotifySetRoomSchema, value) } as const;
    }
    case 'notify_explain':
      return { case: 'notifyExplain', value: create(pb.NotifyExplainSchema, { room: c.room, limit: c.limit }) } as const;
  }
}
