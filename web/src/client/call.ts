/**
 * Calls: being in one, over lost connections of the session and of the media; rings; which rooms have one.
 *
 *   idle ─join─► joining ─media connected─► connected ◄─► reconnecting
 *                   └──────────── refused, left, removed, given up ──► ended
 *
 * The session's connection may go without the media noticing. A resumed session goes on where it was; a new one joins
 * again with a new peer, while the old peer plays on until the new one is connected.
 */
import { Media, type Local } from './call-media.js';
import { callsPossible, openBrowserPeer } from './call-peer.js';
import { CallsGoingOn, Roster, type CallIn, type RosterChange } from './call-roster.js';
import type { OpenPeer } from './call-negotiation.js';
import type {
  CallEndReason,
  CallJoinOptions,
  CallNotice,
  CallOutgoing,
  CallParticipantView,
  CallPublicationView,
  CallRing,
  CallStatus,
} from './call-view.js';
import type { Clock } from './ports.js';
import {
  KaiwaError,
  type CallAnswer,
  type CallCommand,
  type CallJoined,
  type CallParticipant,
  type CallPreference,
  type CallPublication,
  type CallPush,
  type CallRights,
  type CallRinging,
  type CallRoster,
  type CallSource,
  type CallTrack,
  type Result,
  type User,
} from './types.js';

export type CallChange =
  /** One's own call: its status, people, publications. */
  | { kind: 'call' }
  /** Who speaks, and how loud. */
  | { kind: 'call_levels' }
  | { kind: 'call_in'; room: string }
  | { kind: 'call_rings' }
  | { kind: 'call_notice'; notice: CallNotice };

/** What calls need of the client around them. */
export interface CallHost {
  clock: Clock;
  openPeer: OpenPeer | null;
  live(): boolean;
  /** The connection may be dead without a word: it is asked for one. */
  wake(): void;
  me(): User;
  /** The server's clock minus the local one. */
  clockOffsetMs(): number;
  ask(command: CallCommand, policy: 'once' | 'repeat'): Promise<Exclude<Result, { kind: 'error' }>>;
  changed(change: CallChange): void;
  /** Tells the listeners soon. */
  settle(): void;
}

/** New peers in a row without one that lasted. Each takes up to 15 s. */
const REJOINS_MAX = 4;
/** A connection that held this long counts as one that lasted. */
const LASTED_MS = 20_000;
/** Between attempts. */
const REJOIN_AFTER_MS = 1_000;
/** What is shown changes many times during a resize; the server wants to know where it ends. */
const PREFER_AFTER_MS = 150;
/** The server refuses more at once. */
const PREFERENCES_MAX = 64;
/** The server stops earlier; this is for a push that never comes. */
const OUTGOING_MAX_MS = 60_000;

interface Waiter {
  resolve(): void;
  reject(error: KaiwaError): void;
}

/** One's part in one call. */
interface Part {
  room: string;
  /** Empty until the server has answered the first `call_join`. */
  participant: string;
  rights: CallRights;
  /** As they were pushed last, and to whom. */
  told: { participant: string; rights: CallRights } | null;
  roster: Roster;
  media: Media | null;
  /** From before a new session: plays on until `media` is connected. */
  old: { media: Media; participant: string } | null;
  everConnected: boolean;
  /** There was no connection to join again over. */
  mustJoin: boolean;
  joining: boolean;
  /** Rosters that came while `call_join` was not answered. */
  early: CallRoster[];
  rejoins: number;
}

/** Rosters that are kept for a join's answer; what they say comes again with later ones. */
const EARLY_ROSTERS = 32;

/** Ends of a part that are nobody's wish. */
const REJOIN = ['timed_out', 'failed', 'server'];

export class Calls {
  readonly #host: CallHost;
  readonly #goingOn = new CallsGoingOn();
  readonly #locals = new Map<CallSource, Local>();
  readonly #saying = new Set<CallSource>();
  readonly #waiters = new Map<CallSource, Waiter[]>();
  readonly #rings = new Map<string, { ring: CallRing; cancel: () => void }>();
  #part: Part | null = null;
  #ended: Extract<CallStatus, { kind: 'ended' }> | null = null;
  #outgoing: CallOutgoing | null = null;
  #cancelOutgoing: () => void = () => {};
  #levels = new Map<string, number>();
  #active = '';
  #preferences: readonly CallPreference[] = [];
  #preferred = '';
  #preferring = false;
  #cancelPrefer: (() => void) | null = null;
  /** A room whose call was left without a connection to say so. */
  #leaveLater = '';
  #supported = true;

  constructor(host: CallHost) {
    this.#host = host;
  }

  // --- how things stand ---

  /** The server and this browser know calls, as far as was seen. */
  get supported(): boolean {
    return this.#supported && this.#host.openPeer !== null;
  }

  get status(): CallStatus {
    const part = this.#part;
    if (!part) return this.#ended ?? { kind: 'idle' };
    if (!part.everConnected) return { kind: 'joining', room: part.room };
    const through = part.media?.transport === 'connected' || part.old?.media.transport === 'connected';
    return { kind: through ? 'connected' : 'reconnecting', room: part.room };
  }

  /** The room whose call one is in; empty for none. */
  get room(): string {
    return this.#part?.room ?? '';
  }

  get participant(): string {
    return this.#part?.participant ?? '';
  }

  get rights(): CallRights {
    return this.#part?.rights ?? NO_RIGHTS;
  }

  get startedMs(): number {
    return this.#part?.roster.startedMs ?? 0;
  }

  /** Who has the floor; empty for nobody. */
  get active(): string {
    return this.#active;
  }

  /** How loud somebody speaks, 0 to 1. */
  level(participant: string): number {
    const dbov = this.#levels.get(participant);
    return dbov === undefined ? 0 : Math.max(0, Math.min(1, 1 - dbov / QUIET_DBOV));
  }

  speaking(participant: string): boolean {
    return this.#levels.has(participant);
  }

  /** Everybody in the call, in the order of joining, oneself included. */
  participants(): CallParticipantView[] {
    const part = this.#part;
    if (!part) return [];
    const all = part.roster.participants.filter((p) => p.participant !== part.old?.participant);
    if (!all.some((p) => p.participant === part.participant)) {
      const me = { participant: part.participant, user: this.#host.me(), joinedMs: Number.MAX_SAFE_INTEGER, publications: [], interrupted: false };
      all.push(me);
    }
    return all.map((p) => this.#view(part, p));
  }

  /** What one publishes, or tries to. */
  local(source: CallSource): Readonly<Local> | null {
    return this.#locals.get(source) ?? null;
  }

  rings(): CallRing[] {
    return [...this.#rings.values()].map(({ ring }) => ring);
  }

  get outgoing(): CallOutgoing | null {
    return this.#outgoing;
  }

  callIn(room: string): CallIn {
    return this.#goingOn.get(room);
  }

  async stats(): Promise<RTCStatsReport | null> {
    return (await this.#part?.media?.peer.stats()) ?? null;
  }

  // --- what one does ---

  /** Resolves when the server has taken one in; the media connects after that. Leaves another room's call first. */
  async join(room: string, { microphone, camera, muted = [] }: CallJoinOptions = {}): Promise<void> {
    if (this.#part?.room === room) return;
    if (this.#part) await this.leave();
    if (!this.#host.openPeer) throw new KaiwaError({ code: 0, reason: 'calls_unsupported', message: 'no WebRTC here' });
    this.#ended = null;
    this.#leaveLater = '';
    this.#locals.clear();
    for (const [source, track] of [['microphone', microphone], ['camera', camera]] as const) {
      if (track) this.#setLocal(source, track, muted.includes(source));
    }
    const part: Part = {
      room,
      participant: '',
      rights: NO_RIGHTS,
      told: null,
      roster: new Roster(),
      media: null,
      old: null,
      everConnected: false,
      mustJoin: false,
      joining: true,
      early: [],
      rejoins: 0,
    };
    this.#part = part;
    this.#stopRing(room);
    this.#changed();
    try {
      const joined = await this.#askJoin(room);
      if (this.#part === part) this.#enter(part, joined);
    } catch (error) {
      if (this.#part === part) this.#end('refused', error as KaiwaError);
      throw error;
    } finally {
      part.joining = false;
    }
  }

  async leave(): Promise<void> {
    const part = this.#part;
    if (!part) return;
    this.#close();
    this.#ended = null;
    this.#changed();
    if (!this.#host.live()) {
      this.#leaveLater = part.room;
      return;
    }
    await this.#host.ask({ kind: 'call_leave', room: part.room }, 'once').catch(() => {});
  }

  /** Forgets how the last call ended. */
  dismiss(): void {
    this.#ended = null;
    this.#changed();
  }

  /**
   * Publishes a track, or another one in place of what is published under this source (then without an offer), unmuted.
   * Resolves when others can have it. The track stays the caller's, who also stops it.
   */
  publish(source: CallSource, track: MediaStreamTrack): Promise<void> {
    const part = this.#part;
    if (!part) return Promise.reject(notInCall());
    if (part.participant !== '' && !part.rights.publish.includes(source)) {
      return Promise.reject(new KaiwaError({ code: 300, reason: 'forbidden', message: `no right to publish a ${source}` }));
    }
    const local = this.#setLocal(source, track, false);
    part.media?.handleLocal(local);
    this.#changed();
    if (part.media?.publicationOf(source)) {
      this.#sayMutes();
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.#waiters.set(source, [...(this.#waiters.get(source) ?? []), { resolve, reject }]);
    });
  }

  unpublish(source: CallSource): void {
    if (!this.#locals.delete(source)) return;
    this.#settleWaiters(source, notInCall());
    this.#part?.media?.handleUnpublished(source);
    this.#changed();
  }

  /** A muted camera's track is let go of: `publish` gives it a new one. A muted microphone keeps its own. */
  mute(source: CallSource, muted: boolean): void {
    const local = this.#locals.get(source);
    if (!local || local.muted === muted) return;
    this.#applyMute(local, muted);
    this.#sayMutes();
    this.#changed();
  }

  /** As moderator. */
  async muteOther(publication: string): Promise<void> {
    await this.#ask({ kind: 'call_mute', room: this.room, publication, muted: true });
  }

  /** As moderator: ends somebody's part in the call. */
  async remove(participant: string): Promise<void> {
    await this.#ask({ kind: 'call_remove', room: this.room, participant });
  }

  /** How others' publications are shown, by falling importance, all of them each time. Video that isn't named isn't sent. */
  prefer(preferences: readonly CallPreference[]): void {
    this.#preferences = preferences;
    this.#cancelPrefer ??= this.#host.clock.after(PREFER_AFTER_MS, () => {
      this.#cancelPrefer = null;
      void this.#sayPreferences();
    });
  }

  /** Calls people to the call that one is in. Nobody named: the other one of a direct room. */
  async ring(users: string[] = []): Promise<void> {
    const { room } = this;
    if (room === '') throw notInCall();
    this.#setOutgoing({ room, users: [...new Set([...(this.#outgoing?.users ?? []), ...users])] });
    try {
      await this.#ask({ kind: 'call_ring', room, users });
    } catch (error) {
      this.#setOutgoing(null);
      throw error;
    }
  }

  async decline(room: string): Promise<void> {
    this.#stopRing(room);
    this.#host.settle();
    await this.#ask({ kind: 'call_decline', room });
  }

  /** The machine has another network: media is moved over at once instead of when it fails. */
  networkChanged(): void {
    this.#part?.media?.handleNetworkChanged();
  }

  /** Asks whether there is a call, for a room that somebody looks at. */
  async look(room: string): Promise<void> {
    if (!this.supported) return;
    try {
      const result = await this.#host.ask({ kind: 'call_get', room }, 'once');
      if (result.kind === 'call_roster') this.handleGoingOn(result.roster);
    } catch (error) {
      if (error instanceof KaiwaError && error.reason === 'unknown_command') {
        this.#supported = false;
        this.#host.changed({ kind: 'call_in', room });
      }
    }
    this.#host.settle();
  }

  // --- what comes from the client ---

  handleConnected(resumed: boolean): void {
    const leaveLater = this.#leaveLater;
    this.#leaveLater = '';
    if (resumed && leaveLater) void this.#host.ask({ kind: 'call_leave', room: leaveLater }, 'once').catch(() => {});
    if (!resumed) this.#handleNewSession();
    const part = this.#part;
    if (!part || part.joining) return;
    if (!resumed || part.mustJoin) return void this.#rejoin(part, { sameSession: resumed });
    part.media?.handleLive();
    this.#sayMutes();
    void this.#sayPreferences();
  }

  handleLost(): void {
    // What was on its way may not have arrived.
    for (const local of this.#locals.values()) if (this.#saying.has(local.source)) local.said = null;
  }

  /** The client is stopped for good. */
  handleStopped(): void {
    for (const room of [...this.#rings.keys()]) this.#stopRing(room);
    if (this.#part) this.#end('server');
  }

  handleRoomGone(room: string): void {
    this.#goingOn.drop(room);
    this.#stopRing(room);
    if (this.#part?.room === room) this.#end('not_a_member');
  }

  handleGoingOn(roster: CallRoster): void {
    if (this.#goingOn.handleRoster(roster)) this.#host.changed({ kind: 'call_in', room: roster.room });
    if (roster.count === 0) this.#stopRing(roster.room);
  }

  handlePush(push: CallPush): void {
    switch (push.kind) {
      case 'call_roster':
        this.handleGoingOn(push.roster);
        return this.#handleRoster(push.roster);
      case 'call_ringing':
        return this.#handleRinging(push.ringing);
      case 'call_slots':
        if (push.slots.room !== this.#part?.room) return;
        this.#part.media?.handleSlots(push.slots);
        return this.#changed();
      case 'call_rights':
        return this.#handleRights(push.room, push.participant, push.rights);
      case 'call_ended':
        return this.#handleEnded(push.room, push.participant, push.reason);
      case 'call_speakers':
        if (push.room !== this.#part?.room) return;
        this.#levels = new Map(push.speakers.map((s) => [s.participant, s.level]));
        if (push.active !== this.#active) this.#changed();
        this.#active = push.active;
        return this.#host.changed({ kind: 'call_levels' });
      case 'call_quality':
        if (push.room !== this.#part?.room) return;
        this.#part.roster.handleQuality(push.participants);
        return this.#changed();
    }
  }

  #handleNewSession(): void {
    for (const room of this.#goingOn.forget()) this.#host.changed({ kind: 'call_in', room });
    for (const room of [...this.#rings.keys()]) this.#stopRing(room);
    if (this.#outgoing) this.#setOutgoing(null);
  }

  #handleRoster(roster: CallRoster): void {
    const part = this.#part;
    if (!part || part.room !== roster.room) return;
    // It may come before the `CallJoined` that it follows.
    if (part.joining || part.participant === '') part.early = [...part.early, roster].slice(-EARLY_ROSTERS);
    if (part.participant === '') return;
    this.#tell(part, part.roster.handleRoster(roster));
    this.#adoptMutes(part);
    this.#changed();
  }

  #tell(part: Part, { joined, gone }: RosterChange): void {
    const other = ({ participant }: CallParticipant) => participant !== part.participant && participant !== part.old?.participant;
    for (const p of joined.filter(other)) {
      this.#notice({ kind: 'joined', user: p.user });
      if (this.#outgoing?.users.includes(p.user.id) || this.#outgoing?.users.length === 0) this.#answered(p.user.id);
    }
    for (const { participant, reason } of gone) {
      if (other(participant)) this.#notice({ kind: 'gone', user: participant.user, reason });
    }
  }

  /** The server has the last word on being muted, and nobody but oneself on being heard. */
  #adoptMutes(part: Part): void {
    const mine = part.roster.get(part.participant)?.publications ?? [];
    for (const { publication, source, muted } of mine) {
      const local = this.#locals.get(source);
      if (!local || this.#saying.has(source) || publication !== part.media?.publicationOf(source)) continue;
      if (local.said !== local.muted || muted === local.muted) continue;
      local.said = muted;
      if (!muted) continue;
      this.#applyMute(local, true);
      this.#notice({ kind: 'muted', source });
    }
    this.#sayMutes();
  }

  #handleRinging({ room, from, untilMs, outcome, user }: CallRinging): void {
    if (from.id === this.#host.me().id) {
      if (untilMs > 0 || this.#outgoing?.room !== room) return;
      if (outcome !== 'answered') this.#notice({ kind: 'ring', user, outcome });
      return this.#answered(user?.id ?? '');
    }
    this.#stopRing(room);
    const localUntil = untilMs - this.#host.clockOffsetMs();
    const left = localUntil - this.#host.clock.now();
    if (untilMs === 0 || left <= 0 || this.#part?.room === room) return;
    const cancel = this.#host.clock.after(left, () => {
      this.#stopRing(room);
      this.#host.settle();
    });
    this.#rings.set(room, { ring: { room, from, untilMs: localUntil }, cancel });
    this.#host.changed({ kind: 'call_rings' });
  }

  #handleRights(room: string, participant: string, rights: CallRights): void {
    const part = this.#part;
    if (!part || part.room !== room) return;
    // It may come before the `CallJoined` that it follows, and is the newer then.
    part.told = { participant, rights };
    if (participant !== part.participant) return;
    part.rights = rights;
    for (const source of [...this.#locals.keys()]) if (!rights.publish.includes(source)) this.unpublish(source);
    this.#changed();
  }

  #handleEnded(room: string, participant: string, reason: string): void {
    const part = this.#part;
    if (!part || part.room !== room || part.participant === '') return;
    if (participant !== '' && participant !== part.participant) return;
    // Come back, as often as is sensible.
    if (REJOIN.includes(reason)) return this.#rebuild(part, { leave: false });
    this.#end(ENDS.includes(reason) ? (reason as CallEndReason) : 'server');
  }

  // --- being in a call ---

  async #askJoin(room: string): Promise<CallJoined> {
    const result = await this.#ask({ kind: 'call_join', room });
    if (result.kind !== 'call_joined') throw new KaiwaError({ code: 0, reason: 'unknown_reply', message: `a ${result.kind}` });
    return result.joined;
  }

  #enter(part: Part, { participant, rights: joined, roster, audioSlots, videoSlots }: CallJoined): void {
    const rights = part.told?.participant === participant ? part.told.rights : joined;
    if (part.media?.transport === 'connected') {
      part.old?.media.close();
      part.old = { media: part.media, participant: part.participant };
    } else {
      part.media?.close();
    }
    Object.assign(part, { participant, rights, roster: new Roster(), mustJoin: false });
    if (roster) {
      part.roster.handleRoster({ ...roster, full: true });
      this.handleGoingOn(roster);
      for (const early of part.early) part.roster.handleRoster(early);
    }
    part.early = [];
    for (const source of [...this.#locals.keys()]) if (!rights.publish.includes(source)) this.#locals.delete(source);
    this.#preferred = '';
    this.#levels.clear();
    this.#active = '';
    part.media = this.#openMedia(part, audioSlots, videoSlots);
    this.#changed();
    void this.#sayPreferences();
  }

  #openMedia(part: Part, audioSlots: number, videoSlots: number): Media {
    const current = (run: () => void) => () => {
      if (this.#part === part && part.media === media) run();
    };
    let lasted: (() => void) | null = null;
    const media: Media = new Media({
      openPeer: this.#host.openPeer!,
      clock: this.#host.clock,
      audioSlots,
      videoSlots,
      locals: () => this.#locals.values(),
      ask: (sdp, tracks) => {
        // What broke the media's path may have broken the session's too, and silence is noticed late.
        if (media.wasConnected && media.transport !== 'connected') this.#host.wake();
        return this.#askOffer(part.room, sdp, tracks);
      },
      handleChanged: current(() => {
        if (media.transport === 'interrupted' || media.transport === 'failed') this.#host.wake();
        if (media.transport === 'connected') {
          part.everConnected = true;
          part.old?.media.close();
          part.old = null;
          lasted ??= this.#host.clock.after(LASTED_MS, current(() => {
            lasted = null;
            if (media.transport === 'connected') part.rejoins = 0;
          }));
        }
        for (const source of [...this.#waiters.keys()]) if (media.publicationOf(source)) this.#settleWaiters(source, null);
        this.#sayMutes();
        this.#changed();
      }),
      handleRefusedTrack: (source, error) => current(() => {
        this.#locals.delete(source);
        if (!this.#settleWaiters(source, error)) this.#notice({ kind: 'failed', error });
      })(),
      handleRefused: (error) => current(() => this.#handleOfferRefused(part, error))(),
      handleGivenUp: current(() => this.#rebuild(part, { leave: true })),
    });
    return media;
  }

  #handleOfferRefused(part: Part, error: unknown): void {
    if (error instanceof KaiwaError && (error.reason === 'forbidden' || error.reason === 'not_a_member')) {
      return this.#end('refused', error);
    }
    this.#rebuild(part, { leave: true });
  }

  async #askOffer(room: string, sdp: string, tracks: CallTrack[]): Promise<CallAnswer> {
    const result = await this.#ask({ kind: 'call_offer', room, sdp, tracks });
    if (result.kind !== 'call_answer') throw new KaiwaError({ code: 0, reason: 'unknown_reply', message: `a ${result.kind}` });
    return result.answer;
  }

  /** The peer is of no use any more: another one, as another participant. */
  #rebuild(part: Part, { leave }: { leave: boolean }): void {
    part.media?.close();
    part.media = null;
    part.rejoins += 1;
    if (part.rejoins > REJOINS_MAX) return this.#end('failed');
    part.mustJoin = true;
    this.#changed();
    if (!this.#host.live()) return;
    if (leave) void this.#host.ask({ kind: 'call_leave', room: part.room }, 'once').catch(() => {});
    const wait = part.rejoins > 1 ? REJOIN_AFTER_MS * part.rejoins : 0;
    if (wait === 0) return void this.#rejoin(part, { sameSession: true });
    this.#host.clock.after(wait, () => {
      if (this.#part === part && part.mustJoin && this.#host.live()) void this.#rejoin(part, { sameSession: true });
    });
  }

  async #rejoin(part: Part, { sameSession }: { sameSession: boolean }): Promise<void> {
    if (part.joining) return;
    part.joining = true;
    part.mustJoin = true;
    if (sameSession) part.media?.close();
    try {
      const joined = await this.#askJoin(part.room);
      part.joining = false;
      if (this.#part === part) this.#enter(part, joined);
    } catch (error) {
      part.joining = false;
      if (this.#part === part) this.#handleRejoinFailed(part, error as KaiwaError);
    }
  }

  #handleRejoinFailed(part: Part, error: KaiwaError): void {
    if (error.reason === 'offline') {
      // The next connection joins; it may be there already.
      if (this.#host.live()) void this.#rejoin(part, { sameSession: true });
      return;
    }
    part.rejoins += 1;
    if (!error.temporary || part.rejoins > REJOINS_MAX) return this.#end('refused', error);
    this.#host.clock.after(Math.max(error.retryMs, REJOIN_AFTER_MS * part.rejoins), () => {
      if (this.#part === part && part.mustJoin && this.#host.live()) void this.#rejoin(part, { sameSession: true });
    });
  }

  #end(reason: CallEndReason, error: KaiwaError | null = null): void {
    const room = this.#part?.room ?? '';
    this.#close();
    this.#ended = { kind: 'ended', room, reason, error };
    this.#changed();
  }

  #close(): void {
    const part = this.#part;
    this.#part = null;
    part?.media?.close();
    part?.old?.media.close();
    this.#cancelPrefer?.();
    this.#cancelPrefer = null;
    this.#preferences = [];
    this.#locals.clear();
    this.#levels.clear();
    this.#active = '';
    if (this.#outgoing) this.#setOutgoing(null);
    for (const source of [...this.#waiters.keys()]) this.#settleWaiters(source, notInCall());
  }

  // --- what one publishes ---

  #setLocal(source: CallSource, track: MediaStreamTrack, muted: boolean): Local {
    const known = this.#locals.get(source);
    const local: Local = known ?? { source, track, muted, said: null };
    local.track = track;
    this.#locals.set(source, local);
    this.#applyMute(local, muted);
    return local;
  }

  #applyMute(local: Local, muted: boolean): void {
    local.muted = muted;
    if (local.track) local.track.enabled = !muted;
    if (muted && local.source === 'camera') local.track = null;
    if (this.#part?.media?.publicationOf(local.source)) this.#part.media.handleLocal(local);
  }

  /** Tells the server what it doesn't know about one's mutes. An offer that is not answered yet says it by itself. */
  #sayMutes(): void {
    const part = this.#part;
    if (!part?.media || !this.#host.live()) return;
    for (const local of this.#locals.values()) {
      const publication = part.media.publicationOf(local.source);
      if (publication !== '' && local.said !== local.muted && !this.#saying.has(local.source)) void this.#sayMute(part, local, publication);
    }
  }

  async #sayMute(part: Part, local: Local, publication: string): Promise<void> {
    const { source, muted } = local;
    this.#saying.add(source);
    local.said = muted;
    let again = true;
    try {
      await this.#ask({ kind: 'call_mute', room: part.room, publication, muted });
    } catch (error) {
      local.said = null;
      again = error instanceof KaiwaError && error.temporary && error.reason !== 'offline';
      if (!again && error instanceof KaiwaError && error.reason !== 'offline' && this.#part === part) {
        // Nobody may be heard who believes to be muted, nor believe to be heard who isn't.
        local.said = true;
        this.#applyMute(local, true);
        this.#notice({ kind: 'failed', error });
        this.#changed();
      }
    } finally {
      this.#saying.delete(source);
    }
    if (again) this.#sayMutes();
  }

  #settleWaiters(source: CallSource, error: KaiwaError | null): boolean {
    const waiters = this.#waiters.get(source) ?? [];
    this.#waiters.delete(source);
    for (const { resolve, reject } of waiters) {
      if (error) reject(error);
      else resolve();
    }
    return waiters.length > 0;
  }

  async #sayPreferences(): Promise<void> {
    const part = this.#part;
    if (!part?.media || this.#preferring || !this.#host.live()) return;
    const known = new Set(part.roster.participants.flatMap((p) => p.publications.map((t) => t.publication)));
    const preferences = this.#preferences.filter((p) => known.has(p.publication)).slice(0, PREFERENCES_MAX);
    const said = JSON.stringify(preferences);
    if (said === (this.#preferred || '[]')) return;
    this.#preferring = true;
    this.#preferred = said;
    let again = true;
    try {
      await this.#ask({ kind: 'call_prefer', room: part.room, preferences });
    } catch {
      if (this.#preferred === said) this.#preferred = '';
      again = false;
    } finally {
      this.#preferring = false;
    }
    if (again) void this.#sayPreferences();
  }

  // --- rings ---

  #stopRing(room: string): void {
    const known = this.#rings.get(room);
    if (!known) return;
    known.cancel();
    this.#rings.delete(room);
    this.#host.changed({ kind: 'call_rings' });
  }

  #setOutgoing(outgoing: CallOutgoing | null): void {
    this.#cancelOutgoing();
    this.#outgoing = outgoing;
    if (outgoing) {
      this.#cancelOutgoing = this.#host.clock.after(OUTGOING_MAX_MS, () => {
        this.#setOutgoing(null);
        this.#host.settle();
      });
    }
    this.#host.changed({ kind: 'call' });
  }

  #answered(user: string): void {
    const users = this.#outgoing?.users.filter((u) => u !== user) ?? [];
    const over = users.length === 0 || user === '';
    this.#setOutgoing(over ? null : { room: this.#outgoing!.room, users });
  }

  // --- bookkeeping ---

  async #ask(command: CallCommand): Promise<Exclude<Result, { kind: 'error' }>> {
    try {
      return await this.#host.ask(command, 'once');
    } catch (error) {
      if (error instanceof KaiwaError && error.reason === 'unknown_command') this.#supported = false;
      throw error;
    }
  }

  #notice(notice: CallNotice): void {
    this.#host.changed({ kind: 'call_notice', notice });
  }

  #changed(): void {
    this.#host.changed({ kind: 'call' });
    this.#host.settle();
  }

  #view(part: Part, p: CallParticipant): CallParticipantView {
    const me = p.participant === part.participant;
    const own = (source: CallSource): CallPublicationView | null => {
      const local = this.#locals.get(source);
      if (!local) return null;
      const publication = part.media?.publicationOf(source) ?? '';
      return { publication, source, muted: local.muted, layers: 1, track: local.track, layer: 0, limitedBy: '' };
    };
    const theirs = (source: CallSource): CallPublicationView | null => {
      const publication = p.publications.find((t) => t.source === source);
      return publication ? this.#received(part, publication) : null;
    };
    const of = me ? own : theirs;
    return {
      participant: p.participant,
      user: p.user,
      me,
      joinedMs: p.joinedMs,
      interrupted: p.interrupted,
      quality: part.roster.quality(p.participant),
      speaking: this.#levels.has(p.participant),
      microphone: of('microphone'),
      camera: of('camera'),
      screen: of('screen'),
      screenAudio: of('screen_audio'),
    };
  }

  #received(part: Part, publication: CallPublication): CallPublicationView {
    const now = part.media?.slot(publication.publication);
    const from = now && part.media?.transport === 'connected' ? part.media : (part.old?.media ?? part.media);
    const slot = from?.slot(publication.publication);
    return {
      ...publication,
      track: from?.track(publication.publication) ?? null,
      layer: slot?.layer ?? 0,
      limitedBy: slot?.limitedBy ?? '',
    };
  }
}

const NO_RIGHTS: CallRights = { publish: [], subscribe: false, moderate: false };
const ENDS: readonly string[] = ['removed', 'not_a_member', 'replaced'] satisfies CallEndReason[];
/** −dBov at which somebody counts as silent. */
const QUIET_DBOV = 70;

const notInCall = (): KaiwaError => new KaiwaError({ code: 0, reason: 'not_in_call', message: 'not in a call' });

export const defaultOpenPeer = (): OpenPeer | null => (callsPossible() ? openBrowserPeer : null);
