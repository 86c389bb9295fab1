/** The call inspector over HTTP (docs/inspector.md). Throws `KaiwaError`, or `TypeError` when the server can't be reached. */
import type { Fetch } from './clip-api.js';
import type { GetToken } from './connection.js';
import { errorOf } from './http.js';
import type { CallCause, CallReport, CallSighting, CallsReport } from './inspect-types.js';
import { callsOf, reportOf, sightingBody, verdictOf } from './inspect-wire.js';
import { systemClock, type Clock } from './ports.js';
import { KaiwaError } from './types.js';

export interface CallInspectorOptions {
  /** Of the server's HTTP address; empty for the page's own. */
  base?: string;
  getToken: GetToken;
  fetch?: Fetch;
  clock?: Clock;
}

/** Figures that are older than this are of no use; whoever asks asks again. */
const ANSWER_MS = 10_000;

export class CallInspector {
  readonly #base: string;
  readonly #getToken: GetToken;
  readonly #fetch: Fetch;
  readonly #clock: Clock;

  constructor(options: CallInspectorOptions) {
    this.#base = options.base ?? '';
    this.#getToken = options.getToken;
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
    this.#clock = options.clock ?? systemClock;
  }

  /** All calls of the node, and who did not get in: for its administrators. */
  async calls(): Promise<CallsReport> {
    return callsOf(await this.#ask(''));
  }

  /** A room's call: of everybody for those who moderate it, else one's own part. `seconds`: samples of the last 1 to 60. `after`: a report's `next`. */
  async room(room: string, seconds = 60, after = ''): Promise<CallReport> {
    const query = new URLSearchParams({ seconds: String(seconds), ...(after === '' ? {} : { after }) });
    return reportOf(await this.#ask(`/${encodeURIComponent(room)}?${query}`));
  }

  /** Tells what could not be connected; gives what the server takes for the cause, null where it can't say. */
  async report(room: string, sighting: CallSighting): Promise<CallCause | null> {
    try {
      return verdictOf(await this.#ask(`/${encodeURIComponent(room)}/reports`, sightingBody(sighting)));
    } catch (error) {
      // A token that is refused is a cause as well.
      if (error instanceof Refused && error.verdict) return error.verdict;
      throw error;
    }
  }

  /** With a fresh token where the old one has run out. */
  async #ask(path: string, body?: unknown): Promise<unknown> {
    try {
      return await this.#once(path, body, false);
    } catch (error) {
      if (!(error instanceof Unauthorized)) throw error;
      return await this.#once(path, body, true);
    }
  }

  async #once(path: string, body: unknown, fresh: boolean): Promise<unknown> {
    const token = await this.#getToken({ fresh });
    if (token === null) throw new KaiwaError({ code: 401, reason: 'token_invalid', message: 'not signed in' });
    const headers: Record<string, string> = { Authorization: `Bearer ${token}` };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const late = new AbortController();
    const cancel = this.#clock.after(ANSWER_MS, () => late.abort());
    try {
      const response = await this.#fetch(`${this.#base}/api/v1/calls${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        cache: 'no-store',
        signal: late.signal,
      });
      if (response.status === 401 && !fresh) throw new Unauthorized();
      if (!response.ok) throw await refusalOf(response);
      return await response.json();
    } catch (error) {
      if (error instanceof KaiwaError || error instanceof Unauthorized) throw error;
      throw new TypeError('the server did not answer', { cause: error });
    } finally {
      cancel();
    }
  }
}

/** The token ran out; another one may do. */
class Unauthorized extends Error {}

class Refused extends KaiwaError {
  /** Null: the server didn't say more than the error. */
  verdict: CallCause | null = null;
}

async function refusalOf(response: Response): Promise<Refused> {
  const body = response.clone();
  const { code, reason, message, temporary, retryMs } = await errorOf(response);
  const refused = new Refused({ code, reason, message, temporary, retryMs });
  refused.verdict = verdictOf(await body.json().catch(() => null));
  return refused;
}
