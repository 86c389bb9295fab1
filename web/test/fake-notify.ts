/** The fake server's part for notifications and marks: devices, settings, decisions, how far people have read. */
import { create } from '@bufbuild/protobuf';
import * as pb from '../src/gen/kaiwa/client/v1/client_pb.js';
import type { FakeServer, FakeSession } from './fake-server.js';

export interface FakeDevice {
  user: string;
  device: pb.Device;
  address: pb.DeviceRegister['address'];
}

interface Person {
  settings: pb.NotifySettings;
  decisions: pb.NotifyDecision[];
}

export class FakeNotify {
  /** An uncompressed point of P-256, for subscriptions; empty: no Web Push. */
  vapidKey: Uint8Array = new Uint8Array();
  /** False: a server of a version without all this. */
  isKnown = true;
  readonly devices = new Map<string, FakeDevice>();
  /** What each session last said of itself. */
  readonly acks: { session: string; count: number; isVisible: boolean }[] = [];
  readonly marks = new Map<string, number>();
  readonly #people = new Map<string, Person>();
  readonly #server: FakeServer;

  constructor(server: FakeServer) {
    this.#server = server;
  }

  person(user: string): Person {
    let person = this.#people.get(user);
    if (!person) {
      person = { settings: create(pb.NotifySettingsSchema, { letsCalls: true, level: pb.NotifyLevel.ALL, version: 1n }), decisions: [] };
      this.#people.set(user, person);
    }
    return person;
  }

  marked(room: string, user: string): pb.Marked {
    const known = this.#server.room(room);
    const readSeq = this.marks.get(`${room} ${user}`) ?? 0;
    const unread = this.#server.messages(known).filter((m) => Number(m.seq) > readSeq && m.sender !== user && m.deletedSeq === 0n);
    const mentions = unread.filter((m) => m.mentionAll || m.mentions.includes(user));
    return create(pb.MarkedSchema, {
      room,
      epoch: known.epoch,
      readSeq: BigInt(readSeq),
      unread: Math.min(999, unread.length),
      unreadMentions: mentions.length,
      head: BigInt(known.events.length),
    });
  }

  /** Marks as another device of this person does. */
  mark(room: string, user: string, seq: number): pb.Marked {
    const key = `${room} ${user}`;
    this.marks.set(key, Math.max(seq, this.marks.get(key) ?? 0));
    const marked = this.marked(room, user);
    for (const session of this.#server.sessions.values()) {
      if (session.user === user) this.#server.push(session, { case: 'marked', value: marked });
    }
    return marked;
  }

  addDevice(user: string, name: string): void {
    const deviceId = this.#server.nextId('d');
    const device = create(pb.DeviceSchema, { deviceId, name, channel: pb.PushChannel.FCM, registeredMs: BigInt(this.#server.now()), settings: create(pb.DeviceSettingsSchema) });
    this.devices.set(deviceId, { user, device, address: { case: undefined } });
  }

  decide(user: string, list: { room: string; reason: string; message: string; isSent: boolean }[]): void {
    const timeMs = BigInt(this.#server.now());
    this.person(user).decisions = list.map((d, i) => create(pb.NotifyDecisionSchema, { ...d, eventId: this.#server.nextId('e'), timeMs: timeMs - BigInt(i * 60_000) }));
  }

  /** Null: it isn't one of these. */
  handle(command: pb.ClientMessage['command'], { user }: FakeSession): pb.Reply['result'] | null {
    if (!this.isKnown) return null;
    const refused = (code: number, reason: string): pb.Reply['result'] => ({ case: 'error', value: create(pb.ErrorSchema, { code, reason, message: reason }) });
    switch (command.case) {
      case 'mark':
        if (!this.#server.rooms.has(command.value.room)) return refused(401, 'room_not_found');
        return { case: 'marked', value: this.mark(command.value.room, user, Number(command.value.seq)) };
      case 'pushGet':
        return { case: 'push', value: create(pb.PushInfoSchema, { vapidKey: this.vapidKey }) };
      case 'deviceRegister':
        return { case: 'device', value: this.#register(command.value, user) };
      case 'deviceSet': {
        const known = this.devices.get(command.value.deviceId);
        if (known?.user !== user) return refused(300, 'device_not_found');
        known.device.settings = command.value.settings ?? create(pb.DeviceSettingsSchema);
        return { case: 'device', value: known.device };
      }
      case 'deviceList': {
        const devices = [...this.devices.values()].filter((d) => d.user === user).map((d) => d.device);
        return { case: 'devices', value: create(pb.DevicesSchema, { devices }) };
      }
      case 'deviceRemove':
        if (this.devices.get(command.value.deviceId)?.user === user) this.devices.delete(command.value.deviceId);
        return { case: 'done', value: create(pb.DoneSchema) };
      case 'notifyGet':
        return { case: 'notifySettings', value: this.person(user).settings };
      case 'notifySet': {
        const { isMuted, letsCalls, level } = command.value;
        return this.#changed(user, { isMuted, letsCalls, level });
      }
      case 'notifySetRoom': {
        const rooms = this.person(user).settings.rooms.filter((r) => r.room !== command.value.room);
        const { room, level, mutedUntilMs } = command.value;
        if (level !== 0 || mutedUntilMs !== 0n) rooms.push(create(pb.NotifyRoomSchema, { room, level, mutedUntilMs }));
        return this.#changed(user, { rooms });
      }
      case 'notifyExplain': {
        const decisions = this.person(user).decisions.filter((d) => !command.value.room || d.room === command.value.room);
        return { case: 'notifyDecisions', value: create(pb.NotifyDecisionsSchema, { decisions: decisions.slice(0, command.value.limit || 50) }) };
      }
      default:
        return null;
    }
  }

  #register({ deviceId, name, address }: pb.DeviceRegister, user: string): pb.Device {
    const now = BigInt(this.#server.now());
    const known = this.devices.get(deviceId);
    const same = known?.user === user ? known.device : null;
    const device = create(pb.DeviceSchema, {
      deviceId,
      name,
      channel: pb.PushChannel.WEB_PUSH,
      registeredMs: same?.registeredMs ?? now,
      lastPushMs: same?.lastPushMs ?? 0n,
      settings: same?.settings ?? create(pb.DeviceSettingsSchema),
    });
    this.devices.set(deviceId, { user, device, address });
    return device;
  }

  #changed(user: string, wish: Partial<pb.NotifySettings>): pb.Reply['result'] {
    const person = this.person(user);
    person.settings = { ...person.settings, ...wish, version: person.settings.version + 1n };
    return { case: 'notifySettings', value: person.settings };
  }
}
