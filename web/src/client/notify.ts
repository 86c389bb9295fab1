/** Notifications to oneself while one is away: this device, the others, what is wished, and why something came or didn't. */
import type { Policy } from './requests.js';
import {
  KaiwaError,
  type Command,
  type Device,
  type DeviceSettings,
  type NotifyDecision,
  type NotifyLevel,
  type NotifySettings,
  type PushInfo,
  type Result,
  type WebPushAddress,
} from './types.js';

type Answer = Exclude<Result, { kind: 'error' }>;

export interface NotificationsHost {
  /** Says at once if there is no connection. */
  ask(command: Command, policy: Policy): Promise<Answer>;
}

/** The server gives no more at once. */
const EXPLAIN_MAX = 50;

export class Notifications {
  readonly #ask: NotificationsHost['ask'];

  constructor(host: NotificationsHost) {
    this.#ask = (command, policy) => host.ask(command, policy);
  }

  /** What a subscription is made with. Throws `unknown_command` at a server without notifications. */
  async pushInfo(): Promise<PushInfo> {
    return expectKind(await this.#ask({ kind: 'push_get' }, 'repeat'), 'push_info').info;
  }

  /** Registers this installation, or tells its new address; it becomes this person's if it was another's. */
  async register(device: { deviceId: string; name: string; address: WebPushAddress }): Promise<Device> {
    return expectKind(await this.#ask({ kind: 'device_register', ...device }, 'repeat'), 'device').device;
  }

  async devices(): Promise<Device[]> {
    return expectKind(await this.#ask({ kind: 'device_list' }, 'repeat'), 'devices').devices;
  }

  async setDevice(deviceId: string, settings: DeviceSettings): Promise<Device> {
    return expectKind(await this.#ask({ kind: 'device_set', deviceId, settings }, 'repeat'), 'device').device;
  }

  async removeDevice(deviceId: string): Promise<void> {
    await this.#ask({ kind: 'device_remove', deviceId }, 'once');
  }

  async settings(): Promise<NotifySettings> {
    return expectKind(await this.#ask({ kind: 'notify_get' }, 'repeat'), 'notify_settings').settings;
  }

  async set(wish: { isMuted: boolean; letsCalls: boolean; level: NotifyLevel }): Promise<NotifySettings> {
    return expectKind(await this.#ask({ kind: 'notify_set', ...wish }, 'repeat'), 'notify_settings').settings;
  }

  async setRoom(room: string, wish: { level: NotifyLevel; mutedUntilMs: number }): Promise<NotifySettings> {
    return expectKind(await this.#ask({ kind: 'notify_set_room', room, ...wish }, 'repeat'), 'notify_settings').settings;
  }

  /** The newest decisions about oneself, the newest first; only of `room` if that is given. */
  async explain({ room = '', limit = EXPLAIN_MAX }: { room?: string; limit?: number } = {}): Promise<NotifyDecision[]> {
    const command = { kind: 'notify_explain', room, limit: Math.min(limit, EXPLAIN_MAX) } as const;
    return expectKind(await this.#ask(command, 'repeat'), 'notify_decisions').decisions;
  }
}

function expectKind<K extends Answer['kind']>(result: Answer, kind: K): Extract<Answer, { kind: K }> {
  if (result.kind !== kind) {
    throw new KaiwaError({ code: 0, reason: 'unknown_reply', message: `a ${result.kind} where a ${kind} belongs` });
  }
  return result as Extract<Answer, { kind: K }>;
}
