/**
 * Calls: being in one, over lost connections of the session and of the media; rings; which rooms have one.
 *
 *   idle ─join─► joining ─media connected─► connected ◄─► reconnecting
 *                   └──────────── refused, left, removed, given up ──► ended
 *
 * The session's connection may go without the media noticing. A resumed session goes on where it was; a new one joins
 * again with a new peer, while the old peer plays on until the new one is connected.
 */
import { type CallChange, type CallContext, type CallHost, notInCall } from './call-host.js';
import { Locals } from './call-locals.js';
import { Media, type Local } from './call-media.js';
import type { OpenPeer } from './call-negotiation.js';
import { EARLY_ROSTERS, enterPart, newPart, NO_RIGHTS, participantsOf, type Part } from './call-part.js';
import { callsPossible, openBrowserPeer } from './call-peer.js';
import { Preferences } from './call-preferences.js';
import { Rings } from './call-rings.js';
import { CallsGoingOn, type CallIn, type RosterChange } from './call-roster.js';
import { Speakers } from './call-speakers.js';
import { askWhy } from './call-why.js';
import type { CallEndReason, CallJoinOptions, CallNotice, CallOutgoing, CallParticipantView, CallRing, CallStatus } from './call-view.js';
import {
  KaiwaError,
  type CallAnswer,
  type CallCommand,
  type CallJoined,
  type CallParticipant,
  type CallPreference,
  type CallPush,
  type CallRights,
  type CallRoster,
  type CallSource,
  type CallTrack,
  type Result,
} from './types.js';

export type { CallChange, CallHost };

/** New peers in a row without one that lasted. Each takes up to 15 s. */
const REJOINS_MAX = 4;
/** Before anything got through once: what a network does not let through it will not in a minute either. */
const FIRST_REJOINS_MAX = 1;
/** Then whoever waits is told what may be the reason. Whoever can connect does so in two or three seconds. */
const HINT_AFTER_MS = 10_000;
/** A connection that held this long counts as one that lasted. */
const LASTED_MS = 20_000;
/** Between attempts. */
const REJOIN_AFTER_MS = 1_000;
/** Ends of a part that are nobody's wish. */
const REJOIN = ['timed_out', 'failed', 'server'];

export class Calls {
  readonly #host: CallHost;
  readonly #goingOn = new CallsGoingOn();
  readonly #locals: Locals;
  readonly #preferences: Preferences;
  readonly #rings: Rings;
  readonly #speakers = new Speakers();
  #part: Part | null = null;
  #ended: Extract<CallStatus, { kind: 'ended' }> | null = null;
  /** The part that failed, as long as its end is told: the server may yet say why. */
  #endedPart: Part | null = null;
  /** A room whose call was left without a connection to say so. */
  #leaveLater = '';
  #supported = true;

  constructor(host: CallHost) {
    this.#host = host;
    const context: CallContext = {
      host,
      ask: (command) => this.#ask(command),
      notice: (notice) => this.#notice(notice),
      changed: () => this.#changed(),
    };
    const part = () => this.#part;
    this.#locals = new Locals(context, part);
    this.#preferences = new Preferences(context, part);
    this.#rings = new Rings(context);
  }

  // --- how things stand ---

  /** The server and this browser know calls, as far as was seen. */
  get supported(): boolean {
    return this.#supported && this.#host.openPeer !== null;
  }

  get status(): CallStatus {
    const part = this.#part;
    if (!part) return this.#ended ?? { kind: 'idle' };
    if (!part.everConnected) return { kind: 'joining', room: part.room, slow: part.slow, cause: part.cause };
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
    return this.#speakers.active;
  }

  /** How loud somebody speaks, 0 to 1. */
  level(participant: string): number {
    return this.#speakers.level(participant);
  }

  speaking(participant: string): boolean {
    return this.#speakers.speaking(participant);
  }

  /** Everybody in the call, in the order of joining, oneself included. */
  participants(): CallParticipantView[] {
    if (!this.#part) return [];
    return participantsOf(this.#part, { me: this.#host.me(), locals: this.#locals, speaking: (p) => this.speaking(p) });
  }

  /** What one publishes, or tries to. */
  local(source: CallSource): Readonly<Local> | null {
    return this.#locals.get(source) ?? null;
  }

  rings(): CallRing[] {
    return this.#rings.all();
  }

  get outgoing(): CallOutgoing | null {
    return this.#rings.outgoing;
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
    this.#forgetEnd();
    this.#leaveLater = '';
    this.#locals.reset();
    for (const [source, track] of [['microphone', microphone], ['camera', camera]] as const) {
      if (track) this.#locals.set(source, track, muted.includes(source));
    }
    const part = newPart(room);
    this.#part = part;
    this.#rings.stop(room);
    this.#changed();
    this.#host.clock.after(HINT_AFTER_MS, () => {
      if (this.#part !== part || part.everConnected) return;
      part.slow = true;
      this.#changed();
      if (part.media) void this.#askWhy(part, part.media);
    });
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
    this.#forgetEnd();
    this.#changed();
    if (!this.#host.live()) {
      this.#leaveLater = part.room;
      return;
    }
    await this.#host.ask({ kind: 'call_leave', room: part.room }, 'once').catch(() => {});
  }

  /** Forgets how the last call ended. */
  dismiss(): void {
    this.#forgetEnd();
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
    const local = this.#locals.set(source, track, false);
    part.media?.handleLocal(local);
    this.#changed();
    if (part.media?.publicationOf(source)) {
      this.#locals.sayMutes();
      return Promise.resolve();
    }
    return this.#locals.published(source);
  }

  unpublish(source: CallSource): void {
    if (!this.#locals.delete(source)) return;
    this.#locals.settle(source, notInCall());
    this.#part?.media?.handleUnpublished(source);
    this.#changed();
  }

  /** A muted camera's track is let go of: `publish` gives it a new one. A muted microphone keeps its own. */
  mute(source: CallSource, muted: boolean): void {
    this.#locals.mute(source, muted);
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
    this.#preferences.set(preferences);
  }

  /** Calls people to the call that one is in. Nobody named: the other one of a direct room. */
  async ring(users: string[] = []): Promise<void> {
    const { room } = this;
    if (room === '') throw notInCall();
    this.#rings.call(room, users);
    try {
      await this.#ask({ kind: 'call_ring', room, users });
    } catch (error) {
      this.#rings.endCall();
      throw error;
    }
  }

  async decline(room: string): Promise<void> {
    this.#rings.stop(room);
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
      if (isWithoutCalls(error)) {
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
    this.#locals.sayMutes();
    void this.#preferences.say();
  }

  handleLost(): void {
    this.#locals.handleLost();
  }

  /** The client is stopped for good. */
  handleStopped(): void {
    this.#rings.stopAll();
    if (this.#part) this.#end('server');
  }

  handleRoomGone(room: string): void {
    this.#goingOn.drop(room);
    this.#rings.stop(room);
    if (this.#part?.room === room) this.#end('not_a_member');
  }

  handleGoingOn(roster: CallRoster): void {
    if (this.#goingOn.handleRoster(roster)) this.#host.changed({ kind: 'call_in', room: roster.room });
    if (roster.count === 0) this.#rings.stop(roster.room);
  }

  handlePush(push: CallPush): void {
    switch (push.kind) {
      case 'call_roster':
        this.handleGoingOn(push.roster);
        return this.#handleRoster(push.roster);
      case 'call_ringing':
        return this.#rings.handleRinging(push.ringing, this.room);
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
        if (this.#speakers.handleSpeakers(push.speakers, push.active)) this.#changed();
        return this.#host.changed({ kind: 'call_levels' });
      case 'call_quality':
        if (push.room !== this.#part?.room) return;
        this.#part.roster.handleQuality(push.participants);
        return this.#changed();
    }
  }

  #handleNewSession(): void {
    for (const room of this.#goingOn.forget()) this.#host.changed({ kind: 'call_in', room });
    this.#rings.stopAll();
    this.#rings.endCall();
  }

  #handleRoster(roster: CallRoster): void {
    const part = this.#part;
    if (!part || part.room !== roster.room) return;
    // It may come before the `CallJoined` that it follows.
    if (part.joining || part.participant === '') part.early = [...part.early, roster].slice(-EARLY_ROSTERS);
    if (part.participant === '') return;
    this.#tell(part, part.roster.handleRoster(roster));
    this.#locals.adoptMutes(part);
    this.#changed();
  }

  #tell(part: Part, { joined, gone }: RosterChange): void {
    const other = ({ participant }: CallParticipant) => participant !== part.participant && participant !== part.old?.participant;
    for (const p of joined.filter(other)) {
      this.#notice({ kind: 'joined', user: p.user });
      this.#rings.handleJoined(p.user.id);
    }
    for (const { participant, reason } of gone) {
      if (other(participant)) this.#notice({ kind: 'gone', user: participant.user, reason });
    }
  }

  #handleRights(room: string, participant: string, rights: CallRights): void {
    const part = this.#part;
    if (!part || part.room !== room) return;
    // It may come before the `CallJoined` that it follows, and is the newer then.
    part.told = { participant, rights };
    if (participant !== part.participant) return;
    part.rights = rights;
    for (const { source } of [...this.#locals.all()]) if (!rights.publish.includes(source)) this.unpublish(source);
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
    enterPart(part, { participant, rights, roster });
    if (roster) this.handleGoingOn(roster);
    this.#locals.keep(rights.publish);
    this.#preferences.forgetSaid();
    this.#speakers.clear();
    part.media = this.#openMedia(part, audioSlots, videoSlots);
    this.#changed();
    void this.#preferences.say();
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
      locals: () => this.#locals.all(),
      ask: (sdp, tracks) => {
        // What broke the media's path may have broken the session's too, and silence is noticed late.
        if (media.wasConnected && media.transport !== 'connected') this.#host.wake();
        return this.#askOffer(part.room, sdp, tracks);
      },
      handleChanged: current(() => {
        if (media.transport === 'interrupted' || media.transport === 'failed') this.#host.wake();
        if (media.transport === 'connected') {
          part.everConnected = true;
          part.cause = null;
          part.old?.media.close();
          part.old = null;
          lasted ??= this.#host.clock.after(LASTED_MS, current(() => {
            lasted = null;
            if (media.transport === 'connected') part.rejoins = 0;
          }));
        }
        this.#locals.settlePublished((source) => media.publicationOf(source));
        this.#locals.sayMutes();
        this.#changed();
      }),
      handleRefusedTrack: (source, error) => current(() => {
        this.#locals.delete(source);
        if (!this.#locals.settle(source, error)) this.#notice({ kind: 'failed', error });
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
    const { media } = part;
    part.media = null;
    if (media?.transport === 'connected') media.close();
    else if (media) {
      media.stop();
      void this.#askWhy(part, media, () => media.close());
    }
    part.rejoins += 1;
    if (part.rejoins > (part.everConnected ? REJOINS_MAX : FIRST_REJOINS_MAX)) return this.#end('failed');
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

  /** What the server says becomes part of the status, or of how the call ended by then. */
  async #askWhy(part: Part, media: Media, handleRead = () => {}): Promise<void> {
    const { room, participant } = part;
    const cause = await askWhy({ host: this.#host, room, participant, media, handleRead });
    if (!cause || part.media?.transport === 'connected') return;
    part.cause = cause;
    if (this.#ended && this.#endedPart === part) this.#ended = { ...this.#ended, cause };
    if (this.#part === part || this.#endedPart === part) this.#changed();
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
    const part = this.#part;
    this.#close();
    this.#endedPart = reason === 'failed' ? part : null;
    this.#ended = { kind: 'ended', room: part?.room ?? '', reason, error, cause: this.#endedPart?.cause ?? null };
    this.#changed();
  }

  #forgetEnd(): void {
    this.#ended = this.#endedPart = null;
  }

  #close(): void {
    const part = this.#part;
    this.#part = null;
    part?.media?.close();
    part?.old?.media.close();
    this.#preferences.clear();
    this.#locals.clear();
    this.#speakers.clear();
    this.#rings.endCall();
  }

  // --- bookkeeping ---

  async #ask(command: CallCommand): Promise<Exclude<Result, { kind: 'error' }>> {
    try {
      return await this.#host.ask(command, 'once');
    } catch (error) {
      if (isWithoutCalls(error)) this.#supported = false;
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

}

/** The server has calls switched off, or is from before them. */
const isWithoutCalls = (error: unknown) =>
  error instanceof KaiwaError && (error.reason === 'calls_off' || error.reason === 'unknown_command');

const ENDS: readonly string[] = ['removed', 'not_a_member', 'replaced'] satisfies CallEndReason[];

export const defaultOpenPeer = (): OpenPeer | null => (callsPossible() ? openBrowserPeer : null);
