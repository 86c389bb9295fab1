/**
 * One session over many connections: connect, resume with the count, answer pings, refresh the
 * token, come back after a loss. No I/O and no clock: inputs are `handle…(…, now)`, what is to be
 * done comes out of `poll()`, and `deadline()` says when `handleTimer` wants to be called.
 *
 *   idle ─start─► token ─► opening ─► connecting ─Connected─► live
 *                   ▲                                          │ lost, bye, silence
 *                   └────────────── waiting ◄──────────────────┘
 *   any ─stop, or a code of 4300–4399─► stopped
 */
import { afterClose, backoffMs, type Random } from './backoff.js';
import type { Bye, Command, Connected, KaiwaError, Limits, Position, Push, Result, ServerSays } from './types.js';

export type StopReason = 'signed_out' | 'unauthorized' | 'replaced' | 'protocol_error' | 'too_large' | 'refused';

export type Status =
  | { kind: 'idle' }
  | { kind: 'connecting'; attempt: number }
  | { kind: 'live' }
  | { kind: 'waiting'; untilMs: number; attempt: number }
  | { kind: 'stopped'; reason: StopReason; code: number };

export type SessionEffect =
  /** Answer with `handleToken`, `handleTokenFailed` or `handleTokenRefused`. */
  | { kind: 'get_token'; fresh: boolean }
  /** Open a connection; what an earlier one still says is no longer of interest. */
  | { kind: 'open' }
  | { kind: 'close' }
  | { kind: 'send'; id: number; command: Command }
  | { kind: 'connected'; connected: Connected }
  | { kind: 'push'; push: Exclude<Push, { kind: 'ping' } | { kind: 'bye' }> | HeadsMoved }
  | { kind: 'reply'; id: number; result: Result }
  /** The connection is gone, and with it the replies that were on their way. */
  | { kind: 'lost' }
  /** The server says that local state is void (4101). */
  | { kind: 'forget' }
  | { kind: 'status'; status: Status };

export interface HeadsMoved {
  kind: 'heads';
  heads: { room: string; position: Position }[];
}

export interface SessionOptions {
  device: string;
  client: string;
  random: Random;
  /** Where the app stands in its rooms, asked at each connect. */
  positions: () => { room: string; position: Position }[];
}

/** Room for the server's answer to a Connect, the same that it gives the client for the Connect. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Added to `ping_ms` on both sides before silence counts as loss (section 2, point 4). */
const SILENCE_SLACK_MS = 10_000;
/** A connection that doesn't answer within this after a wake-up is dead. */
const PROBE_TIMEOUT_MS = 5_000;
const REFRESH_AT = 0.8;
const REFRESH_RETRY_MS = 15_000;

type State =
  | { kind: 'idle' }
  | { kind: 'token' }
  | { kind: 'opening'; deadline: number; token: string }
  | { kind: 'connecting'; deadline: number; id: number }
  | { kind: 'live'; silentAt: number; refreshAt: number; refreshId: number; pingMs: number }
  | { kind: 'waiting'; untilMs: number; interruptible: boolean }
  | { kind: 'stopped' };

export class Session {
  #state: State = { kind: 'idle' };
  #effects: SessionEffect[] = [];
  #resume: { session: string; count: number } | null = null;
  #freshToken = false;
  /** Attempts since the last connection that became live. */
  #attempt = 0;
  #nextId = 1;
  #lastHeard = 0;
  #probeId = 0;
  #status: Status = { kind: 'idle' };
  #limits: Limits | null = null;
  /** The server's clock minus ours. */
  #clockOffset = 0;
  readonly #options: SessionOptions;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get status(): Status {
    return this.#status;
  }

  get limits(): Limits | null {
    return this.#limits;
  }

  /** Reliable pushes of this session that were processed. */
  get count(): number {
    return this.#resume?.count ?? 0;
  }

  poll(): SessionEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  deadline(): number | null {
    const s = this.#state;
    switch (s.kind) {
      case 'opening':
      case 'connecting':
        return s.deadline;
      case 'live':
        return Math.min(s.silentAt, s.refreshAt);
      case 'waiting':
        return s.untilMs;
      default:
        return null;
    }
  }

  start(): void {
    if (this.#state.kind === 'idle' || this.#state.kind === 'stopped') this.#begin();
  }

  stop(reason: StopReason = 'signed_out', code = 0): void {
    if (this.#state.kind === 'stopped') return;
    this.#drop();
    this.#state = { kind: 'stopped' };
    this.#resume = null;
    this.#setStatus({ kind: 'stopped', reason, code });
  }

  /** The network is back or the app is in view again: don't wait for the timer. */
  handleWake(now: number): void {
    const s = this.#state;
    if (s.kind === 'waiting' && s.interruptible) this.#begin();
    if (s.kind !== 'live') return;
    if (now >= s.silentAt) return this.#lost(now);
    if (this.#probeId === 0 && now - this.#lastHeard > PROBE_TIMEOUT_MS) {
      this.#probeId = this.takeId();
      this.#effects.push({ kind: 'send', id: this.#probeId, command: { kind: 'room_list', cursor: '', limit: 1 } });
      s.silentAt = Math.min(s.silentAt, now + PROBE_TIMEOUT_MS);
    }
  }

  handleTimer(now: number): void {
    const s = this.#state;
    const due = this.deadline();
    if (due === null || now < due) return;
    if (s.kind === 'waiting') return this.#begin();
    if (s.kind === 'live' && now < s.silentAt) {
      s.refreshAt = now + REFRESH_RETRY_MS;
      this.#effects.push({ kind: 'get_token', fresh: true });
      return;
    }
    this.#lost(now);
  }

  handleToken(token: string, now: number): void {
    const s = this.#state;
    if (s.kind === 'token') {
      this.#freshToken = false;
      this.#state = { kind: 'opening', deadline: now + CONNECT_TIMEOUT_MS, token };
      this.#effects.push({ kind: 'open' });
    } else if (s.kind === 'live') {
      s.refreshId = this.takeId();
      this.#effects.push({ kind: 'send', id: s.refreshId, command: { kind: 'refresh', token } });
    }
  }

  /** No token now, perhaps later: the server that gives them could not be reached. */
  handleTokenFailed(now: number): void {
    if (this.#state.kind === 'token') this.#wait(backoffMs(this.#attempt, this.#options.random), now, true);
  }

  /** No token any more: somebody has to sign in again. A live connection lasts as long as its token. */
  handleTokenRefused(): void {
    if (this.#state.kind === 'token') this.stop('unauthorized', 4300);
    else if (this.#state.kind === 'live') this.#state.refreshAt = Number.POSITIVE_INFINITY;
  }

  handleOpen(now: number): void {
    if (this.#state.kind !== 'opening') return;
    const { token } = this.#state;
    const id = this.takeId();
    this.#state = { kind: 'connecting', deadline: now + CONNECT_TIMEOUT_MS, id };
    const { device, client, positions } = this.#options;
    const command: Command = { kind: 'connect', token, device, client, resume: this.#resume && { ...this.#resume }, rooms: positions() };
    this.#effects.push({ kind: 'send', id, command });
  }

  handleClosed(code: number, now: number): void {
    const s = this.#state;
    if (s.kind === 'opening' || s.kind === 'connecting' || s.kind === 'live') {
      this.#end({ code, reason: '', message: '', retryMinMs: 0, retryMaxMs: 0 }, now);
    }
  }

  /** The messages of one frame, all of them, before anything else is done. */
  handleFrame(messages: ServerSays[], now: number): void {
    this.#lastHeard = now;
    for (const said of messages) {
      const s = this.#state;
      if (s.kind !== 'connecting' && s.kind !== 'live') return;
      if (s.kind === 'live') s.silentAt = now + s.pingMs + SILENCE_SLACK_MS;
      if (said.kind === 'reply') this.#handleReply(said.id, said.result, now);
      else if (said.kind === 'push') this.#handlePush(said.push, now);
    }
  }

  takeId(): number {
    const id = this.#nextId;
    this.#nextId = id >= 0xffff_fffe ? 1 : id + 1;
    return id;
  }

  #handleReply(id: number, result: Result, now: number): void {
    const s = this.#state;
    if (s.kind === 'connecting' && id === s.id) {
      if (result.kind === 'connected') this.#becomeLive(result.connected, now);
      else if (result.kind === 'error') this.#connectRefused(result.error, now);
    } else if (s.kind === 'live' && id === this.#probeId) {
      this.#probeId = 0;
    } else if (s.kind === 'live' && id === s.refreshId) {
      if (result.kind === 'refreshed') s.refreshAt = refreshTime(now, result.expiresMs, this.#clockOffset);
      else if (result.kind === 'error' && !result.error.temporary) s.refreshAt = Number.POSITIVE_INFINITY;
    } else {
      this.#effects.push({ kind: 'reply', id, result });
    }
  }

  #becomeLive(connected: Connected, now: number): void {
    this.#attempt = 0;
    this.#probeId = 0;
    this.#limits = connected.limits;
    this.#resume = { session: connected.session, count: connected.count };
    this.#clockOffset = connected.timeMs - now;
    const pingMs = connected.pingMs || 25_000;
    this.#state = {
      kind: 'live',
      pingMs,
      silentAt: now + pingMs + SILENCE_SLACK_MS,
      refreshAt: refreshTime(now, connected.expiresMs, this.#clockOffset),
      refreshId: 0,
    };
    this.#effects.push({ kind: 'connected', connected });
    this.#setStatus({ kind: 'live' });
  }

  #connectRefused(error: KaiwaError, now: number): void {
    if (error.reason === 'token_expired') {
      return this.#end({ code: 4100, reason: '', message: '', retryMinMs: 0, retryMaxMs: 0 }, now);
    }
    if (error.temporary) {
      return this.#end({ code: 4000, reason: '', message: '', retryMinMs: error.retryMs, retryMaxMs: error.retryMs * 2 }, now);
    }
    this.stop(error.code >= 200 && error.code < 300 ? 'unauthorized' : 'refused', error.code);
  }

  #handlePush(push: Push, now: number): void {
    switch (push.kind) {
      case 'ping':
        return this.#handlePing(push.count, push.heads, now);
      case 'bye':
        return this.#end(push.bye, now);
      case 'event':
      case 'state':
      case 'gap':
      case 'marked':
      case 'call_roster':
      case 'call_slots':
      case 'call_ringing':
      case 'call_ended':
      case 'call_rights':
        if (this.#resume) this.#resume.count += 1;
    }
    this.#effects.push({ kind: 'push', push });
  }

  #handlePing(count: number, heads: HeadsMoved['heads'], now: number): void {
    if (!this.#resume) return;
    // A reliable push that was sent before this ping has not come: only a resume brings it back.
    if (count > this.#resume.count) return this.#lost(now);
    this.#effects.push({ kind: 'send', id: 0, command: { kind: 'pong', count: this.#resume.count } });
    if (heads.length > 0) this.#effects.push({ kind: 'push', push: { kind: 'heads', heads } });
  }

  #lost(now: number): void {
    this.#end({ code: 1006, reason: '', message: '', retryMinMs: 0, retryMaxMs: 0 }, now);
  }

  #end(bye: Bye, now: number): void {
    const after = afterClose(bye, this.#attempt, this.#options.random);
    this.#drop();
    if (after.kind === 'stop') {
      return this.stop(stopReason(after.code), after.code);
    }
    if (!after.resume) this.#resume = null;
    if (after.freshToken) this.#freshToken = true;
    if (after.forget) this.#effects.push({ kind: 'forget' });
    this.#wait(after.waitMs, now, Math.floor(bye.code / 100) !== 42);
  }

  /** Lets the connection go. */
  #drop(): void {
    const { kind } = this.#state;
    if (kind === 'opening' || kind === 'connecting' || kind === 'live') this.#effects.push({ kind: 'close' });
    if (kind === 'live') this.#effects.push({ kind: 'lost' });
  }

  #wait(waitMs: number, now: number, interruptible: boolean): void {
    this.#state = { kind: 'waiting', untilMs: now + waitMs, interruptible };
    this.#setStatus({ kind: 'waiting', untilMs: now + waitMs, attempt: this.#attempt });
    this.#attempt += 1;
  }

  #begin(): void {
    this.#state = { kind: 'token' };
    this.#setStatus({ kind: 'connecting', attempt: this.#attempt });
    this.#effects.push({ kind: 'get_token', fresh: this.#freshToken });
  }

  #setStatus(status: Status): void {
    this.#status = status;
    this.#effects.push({ kind: 'status', status });
  }
}

/** 80 % of what is left of the token, on the local clock. */
function refreshTime(now: number, expiresMs: number, clockOffset: number): number {
  if (expiresMs <= 0) return Number.POSITIVE_INFINITY;
  const left = expiresMs - clockOffset - now;
  return now + Math.max(1_000, left * REFRESH_AT);
}

function stopReason(code: number): StopReason {
  switch (code) {
    case 4300:
      return 'unauthorized';
    case 4302:
      return 'protocol_error';
    case 4304:
      return 'too_large';
    case 4305:
      return 'replaced';
    default:
      return 'refused';
  }
}
