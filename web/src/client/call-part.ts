/** One's part in one call, and how the people in it look from there. */
import type { Media } from './call-media.js';
import { Roster } from './call-roster.js';
import type { Locals } from './call-locals.js';
import type { CallCause } from './inspect-types.js';
import type { CallParticipantView, CallPublicationView } from './call-view.js';
import type { CallJoined, CallParticipant, CallPublication, CallRights, CallRoster, CallSource, User } from './types.js';

export interface Part {
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
  /** It takes unusually long to connect for the first time. */
  slow: boolean;
  /** Why it did not connect so far, as the server sees it. */
  cause: CallCause | null;
  /** There was no connection to join again over. */
  mustJoin: boolean;
  joining: boolean;
  /** Rosters that came while `call_join` was not answered. */
  early: CallRoster[];
  rejoins: number;
}

/** Rosters that are kept for a join's answer; what they say comes again with later ones. */
export const EARLY_ROSTERS = 32;

export const NO_RIGHTS: CallRights = { publish: [], subscribe: false, moderate: false };

/** One that has just asked to join. */
export function newPart(room: string): Part {
  return {
    room,
    participant: '',
    rights: NO_RIGHTS,
    told: null,
    roster: new Roster(),
    media: null,
    old: null,
    everConnected: false,
    slow: false,
    cause: null,
    mustJoin: false,
    joining: true,
    early: [],
    rejoins: 0,
  };
}

/** The server has answered: who one is now, and who is there, early rosters included. */
export function enterPart(part: Part, { participant, rights, roster }: Pick<CallJoined, 'participant' | 'rights' | 'roster'>): void {
  Object.assign(part, { participant, rights, roster: new Roster(), mustJoin: false });
  if (roster) {
    part.roster.handleRoster({ ...roster, full: true });
    for (const early of part.early) part.roster.handleRoster(early);
  }
  part.early = [];
}

/** What a view needs beside the part. */
export interface Around {
  me: User;
  locals: Locals;
  speaking(participant: string): boolean;
}

/** Everybody in the call, in the order of joining, oneself included. */
export function participantsOf(part: Part, around: Around): CallParticipantView[] {
  const all = part.roster.participants.filter((p) => p.participant !== part.old?.participant);
  if (!all.some((p) => p.participant === part.participant)) {
    all.push({ participant: part.participant, user: around.me, joinedMs: Number.MAX_SAFE_INTEGER, publications: [], interrupted: false });
  }
  return all.map((p) => viewOf(part, p, around));
}

function viewOf(part: Part, p: CallParticipant, { locals, speaking }: Around): CallParticipantView {
  const me = p.participant === part.participant;
  const own = (source: CallSource): CallPublicationView | null => {
    const local = locals.get(source);
    if (!local) return null;
    const publication = part.media?.publicationOf(source) ?? '';
    return { publication, source, muted: local.muted, layers: 1, track: local.track, layer: 0, limitedBy: '' };
  };
  const theirs = (source: CallSource): CallPublicationView | null => {
    const publication = p.publications.find((t) => t.source === source);
    return publication ? received(part, publication) : null;
  };
  const of = me ? own : theirs;
  return {
    participant: p.participant,
    user: p.user,
    me,
    joinedMs: p.joinedMs,
    interrupted: p.interrupted,
    quality: part.roster.quality(p.participant),
    speaking: speaking(p.participant),
    microphone: of('microphone'),
    camera: of('camera'),
    screen: of('screen'),
    screenAudio: of('screen_audio'),
  };
}

function received(part: Part, publication: CallPublication): CallPublicationView {
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
