/** Which pictures one wants, and how large: said when it changes, of what is in the call. */
import type { CallContext } from './call-host.js';
import type { Part } from './call-part.js';
import type { CallPreference } from './types.js';

/** What is shown changes many times during a resize; the server wants to know where it ends. */
const PREFER_AFTER_MS = 150;
/** The server refuses more at once. */
const PREFERENCES_MAX = 64;

export class Preferences {
  readonly #context: CallContext;
  readonly #part: () => Part | null;
  #preferences: readonly CallPreference[] = [];
  /** What the server was told last. */
  #said = '';
  #saying = false;
  #cancel: (() => void) | null = null;

  constructor(context: CallContext, part: () => Part | null) {
    this.#context = context;
    this.#part = part;
  }

  set(preferences: readonly CallPreference[]): void {
    this.#preferences = preferences;
    this.#cancel ??= this.#context.host.clock.after(PREFER_AFTER_MS, () => {
      this.#cancel = null;
      void this.say();
    });
  }

  /** The server knows of none: one is somebody else to it. */
  forgetSaid(): void {
    this.#said = '';
  }

  clear(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#preferences = [];
  }

  async say(): Promise<void> {
    const part = this.#part();
    if (!part?.media || this.#saying || !this.#context.host.live()) return;
    const known = new Set(part.roster.participants.flatMap((p) => p.publications.map((t) => t.publication)));
    const preferences = this.#preferences.filter((p) => known.has(p.publication)).slice(0, PREFERENCES_MAX);
    const said = JSON.stringify(preferences);
    if (said === (this.#said || '[]')) return;
    this.#saying = true;
    this.#said = said;
    let again = true;
    try {
      await this.#context.ask({ kind: 'call_prefer', room: part.room, preferences });
    } catch {
      if (this.#said === said) this.#said = '';
      again = false;
    } finally {
      this.#saying = false;
    }
    if (again) void this.say();
  }
}
