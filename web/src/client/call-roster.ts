/**
 * Who is in one call: the newest state of each participant, folded from full and partial rosters. No I/O, no clock.
 *
 * A roster's `version` grows with each change, so one that is not newer than what is known says nothing new: replies and
 * pushes may be mixed in any order, and each may come twice.
 */
import type { CallParticipant, CallQuality, CallRoster } from './types.js';

/** What a fold changed, for those who are told. */
export interface RosterChange {
  joined: CallParticipant[];
  gone: { participant: CallParticipant; reason: string }[];
}

const NOTHING: RosterChange = { joined: [], gone: [] };

export class Roster {
  #version = -1;
  /** A full roster was seen; before, partial ones have nothing to be folded into. */
  #whole = false;
  readonly #participants = new Map<string, CallParticipant>();
  readonly #qualities = new Map<string, CallQuality>();
  count = 0;
  startedMs = 0;

  /** In the order of joining. */
  get participants(): CallParticipant[] {
    return [...this.#participants.values()].sort(
      (a, b) => a.joinedMs - b.joinedMs || (a.participant < b.participant ? -1 : 1),
    );
  }

  get(participant: string): CallParticipant | undefined {
    return this.#participants.get(participant);
  }

  quality(participant: string): CallQuality | null {
    return this.#qualities.get(participant) ?? null;
  }

  handleRoster(roster: CallRoster): RosterChange {
    // What those outside are told, with the version of what those inside are told as well.
    if (!roster.full && roster.participants.length === 0 && roster.gone.length === 0) return NOTHING;
    if (roster.version < this.#version || (roster.version === this.#version && (this.#whole || !roster.full))) return NOTHING;
    this.#version = roster.version;
    this.count = roster.count;
    this.startedMs = roster.startedMs;
    return roster.full ? this.#replace(roster) : this.#fold(roster);
  }

  handleQuality(changes: readonly { participant: string; quality: CallQuality }[]): void {
    for (const { participant, quality } of changes) {
      // Of those alone who are there, so that this doesn't grow with everybody who ever was.
      if (this.#participants.has(participant)) this.#qualities.set(participant, quality);
    }
  }

  #replace(roster: CallRoster): RosterChange {
    const first = !this.#whole;
    this.#whole = true;
    const before = new Map(this.#participants);
    this.#participants.clear();
    for (const p of roster.participants) this.#participants.set(p.participant, p);
    const reasons = new Map(roster.gone.map((g) => [g.participant, g.reason]));
    const gone = [...before.values()].filter((p) => !this.#participants.has(p.participant));
    for (const { participant } of gone) this.#qualities.delete(participant);
    return {
      joined: first ? [] : roster.participants.filter((p) => !before.has(p.participant)),
      gone: gone.map((participant) => ({ participant, reason: reasons.get(participant.participant) ?? 'left' })),
    };
  }

  #fold(roster: CallRoster): RosterChange {
    const change: RosterChange = { joined: [], gone: [] };
    for (const p of roster.participants) {
      if (!this.#participants.has(p.participant)) change.joined.push(p);
      this.#participants.set(p.participant, p);
    }
    for (const { participant, reason } of roster.gone) {
      const known = this.#participants.get(participant);
      if (!known) continue;
      this.#participants.delete(participant);
      this.#qualities.delete(participant);
      change.gone.push({ participant: known, reason });
    }
    return change;
  }
}

/** How many are in a room's call, for those who are not. */
export interface CallIn {
  /** 0: there is no call. */
  count: number;
  /** When it began, in ms since the Unix epoch; 0 without one. */
  startedMs: number;
}

const NONE: CallIn = { count: 0, startedMs: 0 };

/** Which rooms have a call. */
export class CallsGoingOn {
  readonly #rooms = new Map<string, CallIn & { version: number; lastStartedMs: number }>();

  get(room: string): CallIn {
    return this.#rooms.get(room) ?? NONE;
  }

  /** True: something is different now. */
  handleRoster({ room, version, count, startedMs }: CallRoster): boolean {
    const known = this.#rooms.get(room);
    // A room's next call may count its versions anew.
    if (known && version < known.version && startedMs <= known.lastStartedMs) return false;
    const lastStartedMs = Math.max(startedMs, known?.lastStartedMs ?? 0);
    this.#rooms.set(room, { version, count, startedMs: count > 0 ? startedMs : 0, lastStartedMs });
    return (known?.count ?? 0) !== count || (count > 0 && known?.startedMs !== startedMs);
  }

  /** A new session: what was missed meanwhile isn't told again. Gives the rooms that had a call. */
  forget(): string[] {
    const rooms = [...this.#rooms].filter(([, call]) => call.count > 0).map(([room]) => room);
    this.#rooms.clear();
    return rooms;
  }

  drop(room: string): void {
    this.#rooms.delete(room);
  }
}
