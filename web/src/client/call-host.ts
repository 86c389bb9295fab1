/** What calls need of the client around them, and what they tell it. */
import type { CallNotice } from './call-view.js';
import type { OpenPeer } from './call-negotiation.js';
import type { CallCause, CallSighting } from './inspect-types.js';
import type { Clock } from './ports.js';
import { KaiwaError, type CallCommand, type Result, type User } from './types.js';

export type CallChange =
  /** One's own call: its status, people, publications. */
  | { kind: 'call' }
  /** Who speaks, and how loud. */
  | { kind: 'call_levels' }
  | { kind: 'call_in'; room: string }
  | { kind: 'call_rings' }
  | { kind: 'call_notice'; notice: CallNotice };

export interface CallHost {
  clock: Clock;
  openPeer: OpenPeer | null;
  live(): boolean;
  /** The connection may be dead without a word: it is asked for one. */
  wake(): void;
  me(): User;
  /** The server's clock minus the local one. */
  clockOffsetMs(): number;
  /** Tells the server what could not be connected; gives the cause, null where it can't say. Never throws. */
  report(room: string, sighting: CallSighting): Promise<CallCause | null>;
  ask(command: CallCommand, policy: 'once' | 'repeat'): Promise<Exclude<Result, { kind: 'error' }>>;
  changed(change: CallChange): void;
  /** Tells the listeners soon. */
  settle(): void;
}

/** What the parts of `Calls` share: asking once, and telling. */
export interface CallContext {
  host: CallHost;
  ask(command: CallCommand): Promise<Exclude<Result, { kind: 'error' }>>;
  notice(notice: CallNotice): void;
  /** One's own call is another one now. */
  changed(): void;
}

export const notInCall = (): KaiwaError => new KaiwaError({ code: 0, reason: 'not_in_call', message: 'not in a call' });
