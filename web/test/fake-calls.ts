/** Calls of the fake server: control as in the protocol, without any media. Bots are people without a session. */
import { create } from '@bufbuild/protobuf';
import * as pb from '../src/gen/kaiwa/client/v1/client_pb.js';
import { refusal, type FakeServer, type FakeSession } from './fake-server.js';

type ReplyResult = pb.Reply['result'];
type PushBody = pb.Push['push'];

export interface FakeParticipant {
  id: string;
  user: string;
  session: FakeSession | null;
  joinedMs: number;
  interrupted: boolean;
  publications: { id: string; source: pb.CallSource; mid: string; muted: boolean; layers: number }[];
  mids: { mid: string; kind: string }[];
  preferences: Map<string, { publication: string; paused: boolean; width: number; height: number }>;
}

interface FakeCall {
  version: number;
  startedMs: number;
  participants: Map<string, FakeParticipant>;
}

const { CallSource, Membership, Role, RoomKind } = pb;
const AUDIO = [CallSource.MICROPHONE, CallSource.SCREEN_AUDIO];
const RING_MS = 45_000;

export class FakeCalls {
  readonly rooms = new Map<string, FakeCall>();
  audioSlots = 2;
  videoSlots = 2;
  peopleMax = 100;
  /** Of whose pictures nothing gets through, for want of rate. */
  readonly starved = new Set<string>();
  readonly #server: FakeServer;

  constructor(server: FakeServer) {
    this.#server = server;
  }

  /** Undefined: no command of calls. */
  handle(command: pb.ClientMessage['command'], session: FakeSession): ReplyResult | undefined {
    if (!command.case?.startsWith('call')) return undefined;
    const room = (command.value as { room: string }).room;
    const error = (code: number, reason: string): ReplyResult => ({ case: 'error', value: refusal(code, reason) });
    const done: ReplyResult = { case: 'done', value: create(pb.DoneSchema) };
    if (this.#server.rooms.get(room)?.members.get(session.user)?.membership !== Membership.JOINED) return error(402, 'not_a_member');
    if (command.case === 'callGet') return { case: 'callRoster', value: this.roster(room, { full: true }) };
    if (command.case === 'callJoin') return this.#join(room, session) ?? error(407, 'call_full');
    if (command.case === 'callDecline') return this.#decline(room, session), done;
    const me = this.of(session.id);
    if (command.case === 'callLeave' && !me) return done;
    if (!me || !this.rooms.get(room)?.participants.has(me.id)) return error(500, 'not_in_call');
    switch (command.case) {
      case 'callLeave':
        return this.gone(room, me.id, 'left'), done;
      case 'callOffer':
        return this.#offer(room, me, command.value);
      case 'callPrefer':
        me.preferences = new Map(command.value.preferences.map(({ publication, paused, width, height }) => [publication, { publication, paused, width, height }]));
        return this.#slots(room, me), done;
      case 'callMute': {
        const { publication, muted } = command.value;
        for (const p of this.rooms.get(room)!.participants.values()) {
          const found = p.publications.find((t) => t.id === publication);
          if (!found) continue;
          if (p !== me && !this.#moderates(room, session.user)) return error(300, 'forbidden');
          found.muted = muted;
          this.changed(room, p.id);
          return done;
        }
        return error(501, 'publication_not_found');
      }
      case 'callRemove':
        if (!this.#moderates(room, session.user)) return error(300, 'forbidden');
        this.end(room, command.value.participant, 'removed');
        return done;
      case 'callRing':
        return this.#ring(room, session.user, command.value.users), done;
      default:
        return done;
    }
  }

  of(session: string): FakeParticipant | undefined {
    for (const call of this.rooms.values()) for (const p of call.participants.values()) if (p.session?.id === session) return p;
    return undefined;
  }

  /** Somebody without a session is in the call. */
  addBot(room: string, user: string, sources: { source: pb.CallSource; muted?: boolean }[]): FakeParticipant {
    const bot = this.#enter(room, user, null);
    bot.publications = sources.map(({ source, muted = false }) => ({ id: this.#server.nextId('t_'), source, mid: '', muted, layers: 3 }));
    this.changed(room, bot.id);
    return bot;
  }

  roster(room: string, { full = false, of = [] as string[], gone = [] as [string, string][], countOnly = false } = {}): pb.CallRoster {
    const call = this.rooms.get(room);
    const all = [...(call?.participants.values() ?? [])];
    const chosen = countOnly ? [] : full ? all : all.filter((p) => of.includes(p.id));
    return create(pb.CallRosterSchema, {
      room,
      version: BigInt(call?.version ?? 0),
      full,
      participants: chosen.map((p) => this.#participant(p)),
      gone: gone.map(([participant, reason]) => create(pb.CallGoneSchema, { participant, reason })),
      count: all.length,
      startedMs: BigInt(all.length > 0 ? (call?.startedMs ?? 0) : 0),
    });
  }

  /** A participant's state is another one now: everybody in the call hears it, and gets what it means for their slots. */
  changed(room: string, participant: string): void {
    this.#tell(room, { of: [participant] }, false);
    for (const p of this.rooms.get(room)?.participants.values() ?? []) this.#slots(room, p);
  }

  gone(room: string, participant: string, reason: string): void {
    const call = this.rooms.get(room);
    if (!call?.participants.delete(participant)) return;
    this.#tell(room, { gone: [[participant, reason]] }, true);
    for (const p of call.participants.values()) this.#slots(room, p);
  }

  /** Ends somebody's part, and tells them why. */
  end(room: string, participant: string, reason: string): void {
    const session = this.rooms.get(room)?.participants.get(participant)?.session;
    this.gone(room, participant, reason);
    if (session) this.#server.push(session, { case: 'callEnded', value: create(pb.CallEndedSchema, { room, participant, reason }) });
  }

  /** Changes what somebody may publish: what they publish without the right ends. */
  rights(room: string, participant: string, publish: pb.CallSource[]): void {
    const session = this.rooms.get(room)?.participants.get(participant)?.session;
    const rights = create(pb.CallRightsSchema, { publish, subscribe: true });
    const value = create(pb.CallRightsChangedSchema, { room, participant, rights });
    if (session) this.#server.push(session, { case: 'callRightsChanged', value });
  }

  speakers(room: string, speakers: [string, number][], active: string): void {
    const value = create(pb.CallSpeakersSchema, {
      room,
      speakers: speakers.map(([participant, level]) => create(pb.CallSpeakerSchema, { participant, level })),
      active,
    });
    this.#each(room, { case: 'callSpeakers', value });
  }

  quality(room: string, participant: string, quality: string): void {
    const participants = [create(pb.CallParticipantQualitySchema, { participant, quality })];
    this.#each(room, { case: 'callQuality', value: create(pb.CallQualitySchema, { room, participants }) });
  }

  /** Rings at somebody, or stops to. */
  pushRinging(room: string, to: string, from: string, untilMs: number, outcome = '', user = ''): void {
    const value = create(pb.CallRingingSchema, {
      room,
      from: this.#server.user(from),
      untilMs: BigInt(untilMs),
      outcome,
      ...(user && { user: this.#server.user(user) }),
    });
    for (const s of this.#server.sessions.values()) if (s.user === to) this.#server.push(s, { case: 'callRinging', value });
  }

  /** A session is gone, and its part in a call with it. */
  sessionGone(session: string): void {
    for (const [room, call] of this.rooms) {
      for (const p of call.participants.values()) if (p.session?.id === session) this.gone(room, p.id, 'timed_out');
    }
  }

  #join(room: string, session: FakeSession): ReplyResult | null {
    const known = this.of(session.id);
    const call = this.rooms.get(room);
    if (!known && (call?.participants.size ?? 0) >= this.peopleMax) return null;
    const me = known ?? this.#enter(room, session.user, session);
    for (const s of this.#server.sessions.values()) {
      if (s.user === session.user && s !== session) this.pushRinging(room, s.user, '', 0, 'answered');
    }
    const value = create(pb.CallJoinedSchema, {
      room,
      participant: me.id,
      rights: create(pb.CallRightsSchema, {
        publish: [CallSource.MICROPHONE, CallSource.CAMERA, CallSource.SCREEN, CallSource.SCREEN_AUDIO],
        subscribe: true,
        moderate: this.#moderates(room, session.user),
      }),
      roster: this.roster(room, { full: true }),
      audioSlots: this.audioSlots,
      videoSlots: this.videoSlots,
    });
    return { case: 'callJoined', value };
  }

  #enter(room: string, user: string, session: FakeSession | null): FakeParticipant {
    let call = this.rooms.get(room);
    if (!call || call.participants.size === 0) {
      call = { version: call?.version ?? 0, startedMs: this.#server.now(), participants: new Map() };
      this.rooms.set(room, call);
    }
    const participant: FakeParticipant = {
      id: this.#server.nextId('p_'),
      user,
      session,
      joinedMs: this.#server.now(),
      interrupted: false,
      publications: [],
      mids: [],
      preferences: new Map(),
    };
    call.participants.set(participant.id, participant);
    this.#tell(room, { of: [participant.id] }, true);
    return participant;
  }

  #offer(room: string, me: FakeParticipant, { sdp, tracks }: pb.CallOffer): ReplyResult {
    me.mids = [];
    for (const section of sdp.split(/^m=/m).slice(1)) {
      const mid = /^a=mid:(\S+)/m.exec(section)?.[1] ?? '';
      if (/^a=recvonly/m.test(section)) me.mids.push({ mid, kind: section.split(' ')[0]! });
    }
    me.publications = tracks.map(({ mid, source, muted }) => {
      const known = me.publications.find((p) => p.mid === mid);
      return known ?? { id: this.#server.nextId('t_'), source, mid, muted, layers: source === CallSource.CAMERA ? 3 : 1 };
    });
    for (const t of tracks) me.publications.find((p) => p.mid === t.mid)!.muted = t.muted;
    this.changed(room, me.id);
    const value = create(pb.CallAnswerSchema, {
      room,
      sdp: sdp.replace(/^(a=)(sendonly|recvonly)/gm, (_, a: string, d: string) => a + (d === 'sendonly' ? 'recvonly' : 'sendonly')),
      tracks: me.publications.map((p) => create(pb.CallTrackAnswerSchema, { mid: p.mid, outcome: { case: 'publication', value: p.id } })),
    });
    return { case: 'callAnswer', value };
  }

  #slots(room: string, me: FakeParticipant): void {
    if (!me.session || me.mids.length === 0) return;
    const others = [...(this.rooms.get(room)?.participants.values() ?? [])].filter((p) => p !== me);
    const wanted = others.flatMap((p) => p.publications.map((t) => ({ ...t, participant: p.id, starved: this.starved.has(p.user) })));
    const audio = wanted.filter((t) => AUDIO.includes(t.source));
    const video = wanted.filter((t) => !AUDIO.includes(t.source) && me.preferences.has(t.id));
    const free = { audio: [...audio], video: [...video] };
    const slots = me.mids.map(({ mid, kind }) => {
      const t = free[kind as 'audio' | 'video'].shift();
      const paused = t === undefined || t.muted || me.preferences.get(t.id)?.paused === true;
      const limitedBy = kind === 'video' && !paused && t.starved ? 'bandwidth' : '';
      const layer = kind === 'video' && !paused && !t.starved ? 2 : 0;
      return create(pb.CallSlotSchema, { mid, publication: t?.id ?? '', participant: t?.participant ?? '', layer, limitedBy });
    });
    const value = create(pb.CallSlotsSchema, { room, slots, wantAudio: free.audio.length, wantVideo: free.video.length });
    this.#server.push(me.session, { case: 'callSlots', value });
  }

  #ring(room: string, from: string, users: string[]): void {
    const members = [...this.#server.room(room).members.keys()].filter((m) => m !== from);
    for (const user of users.length > 0 ? users : members) this.pushRinging(room, user, from, this.#server.now() + RING_MS);
  }

  #decline(room: string, session: FakeSession): void {
    this.pushRinging(room, session.user, '', 0, 'declined');
    for (const p of this.rooms.get(room)?.participants.values() ?? []) {
      if (p.session) this.pushRinging(room, p.user, p.user, 0, 'declined', session.user);
    }
  }

  #moderates(room: string, user: string): boolean {
    const found = this.#server.room(room);
    return found.kind !== RoomKind.DIRECT && (found.members.get(user)?.role ?? 0) >= Role.MODERATOR;
  }

  #participant(p: FakeParticipant): pb.CallParticipant {
    return create(pb.CallParticipantSchema, {
      participant: p.id,
      user: this.#server.user(p.user),
      joinedMs: BigInt(p.joinedMs),
      interrupted: p.interrupted,
      publications: p.publications.map(({ id, source, muted, layers }) =>
        create(pb.CallPublicationSchema, { publication: id, source, muted, layers }),
      ),
    });
  }

  #tell(room: string, what: { of?: string[]; gone?: [string, string][] }, countChanged: boolean): void {
    const call = this.rooms.get(room);
    if (!call) return;
    call.version += 1;
    const inside = new Set([...call.participants.values()].map((p) => p.session?.id));
    for (const s of this.#server.sessions.values()) {
      if (inside.has(s.id)) this.#server.push(s, { case: 'callRoster', value: this.roster(room, what) });
      else if (countChanged && s.rooms.has(room)) this.#server.push(s, { case: 'callRoster', value: this.roster(room, { countOnly: true }) });
    }
  }

  #each(room: string, push: PushBody): void {
    for (const p of this.rooms.get(room)?.participants.values() ?? []) if (p.session) this.#server.push(p.session, push);
  }
}
