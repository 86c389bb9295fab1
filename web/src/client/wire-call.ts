/** The calls' part of `wire.ts`. */
import { create } from '@bufbuild/protobuf';
import * as pb from '../gen/kaiwa/client/v1/client_pb.js';
import { errorOf, userOf } from './wire-common.js';
import type {
  CallAnswer,
  CallCommand,
  CallJoined,
  CallParticipant,
  CallPush,
  CallQuality,
  CallRights,
  CallRoster,
  CallSlots,
  CallSource,
} from './types.js';

const SOURCES: Record<number, CallSource> = { 1: 'microphone', 2: 'camera', 3: 'screen', 4: 'screen_audio' };
const SOURCE_TO_WIRE = { microphone: 1, camera: 2, screen: 3, screen_audio: 4 } as const;
const QUALITIES: readonly string[] = ['good', 'fair', 'poor', 'lost'] satisfies CallQuality[];

function participantOf(p: pb.CallParticipant): CallParticipant {
  return {
    participant: p.participant,
    user: userOf(p.user),
    joinedMs: Number(p.joinedMs),
    // A source of a later version can't be shown: there is no place for it.
    publications: p.publications.flatMap(({ publication, source, muted, layers }) => {
      const known = SOURCES[source];
      return known ? [{ publication, source: known, muted, layers }] : [];
    }),
    interrupted: p.interrupted,
  };
}

export function callRosterOf(r: pb.CallRoster): CallRoster {
  return {
    room: r.room,
    version: Number(r.version),
    full: r.full,
    participants: r.participants.map(participantOf),
    gone: r.gone.map(({ participant, reason }) => ({ participant, reason })),
    count: r.count,
    startedMs: Number(r.startedMs),
  };
}

const rightsOf = (rights?: pb.CallRights): CallRights => ({
  publish: (rights?.publish ?? []).flatMap((source) => SOURCES[source] ?? []),
  subscribe: rights?.subscribe ?? false,
  moderate: rights?.moderate ?? false,
});

export function callJoinedOf(j: pb.CallJoined): CallJoined {
  return {
    room: j.room,
    participant: j.participant,
    rights: rightsOf(j.rights),
    roster: j.roster ? callRosterOf(j.roster) : null,
    audioSlots: j.audioSlots,
    videoSlots: j.videoSlots,
  };
}

export function callAnswerOf(a: pb.CallAnswer): CallAnswer {
  return {
    sdp: a.sdp,
    tracks: a.tracks.map(({ mid, outcome }) => ({
      mid,
      publication: outcome.case === 'publication' ? outcome.value : '',
      error: outcome.case === 'error' ? errorOf(outcome.value) : null,
    })),
  };
}

function slotsOf(s: pb.CallSlots): CallSlots {
  return {
    room: s.room,
    slots: s.slots.map(({ mid, publication, participant, layer, limitedBy }) => ({ mid, publication, participant, layer, limitedBy })),
    wantAudio: s.wantAudio,
    wantVideo: s.wantVideo,
  };
}

export function callPushOf(push: pb.Push['push']): CallPush | null {
  switch (push.case) {
    case 'callRoster':
      return { kind: 'call_roster', roster: callRosterOf(push.value) };
    case 'callSlots':
      return { kind: 'call_slots', slots: slotsOf(push.value) };
    case 'callRinging': {
      const { room, from, untilMs, outcome, user } = push.value;
      const ringing = { room, from: userOf(from), untilMs: Number(untilMs), outcome, user: user ? userOf(user) : null };
      return { kind: 'call_ringing', ringing };
    }
    case 'callRightsChanged': {
      const { room, participant, rights } = push.value;
      return { kind: 'call_rights', room, participant, rights: rightsOf(rights) };
    }
    case 'callEnded': {
      const { room, participant, reason } = push.value;
      return { kind: 'call_ended', room, participant, reason };
    }
    case 'callSpeakers': {
      const { room, speakers, active } = push.value;
      return { kind: 'call_speakers', room, speakers: speakers.map(({ participant, level }) => ({ participant, level })), active };
    }
    case 'callQuality': {
      const participants = push.value.participants
        .filter(({ quality }) => QUALITIES.includes(quality))
        .map(({ participant, quality }) => ({ participant, quality: quality as CallQuality }));
      return { kind: 'call_quality', room: push.value.room, participants };
    }
    default:
      return null;
  }
}

export function callCommandToWire(c: CallCommand) {
  switch (c.kind) {
    case 'call_join':
      return { case: 'callJoin', value: create(pb.CallJoinSchema, { room: c.room }) } as const;
    case 'call_leave':
      return { case: 'callLeave', value: create(pb.CallLeaveSchema, { room: c.room }) } as const;
    case 'call_offer': {
      const tracks = c.tracks.map(({ mid, source, muted }) =>
        create(pb.CallTrackSchema, { mid, source: SOURCE_TO_WIRE[source], muted }),
      );
      return { case: 'callOffer', value: create(pb.CallOfferSchema, { room: c.room, sdp: c.sdp, tracks }) } as const;
    }
    case 'call_prefer': {
      const preferences = c.preferences.map((p) => create(pb.CallPreferenceSchema, p));
      return { case: 'callPrefer', value: create(pb.CallPreferSchema, { room: c.room, preferences }) } as const;
    }
    case 'call_mute': {
      const { room, publication, muted } = c;
      return { case: 'callMute', value: create(pb.CallMuteSchema, { room, publication, muted }) } as const;
    }
    case 'call_remove':
      return { case: 'callRemove', value: create(pb.CallRemoveSchema, { room: c.room, participant: c.participant }) } as const;
    case 'call_ring':
      return { case: 'callRing', value: create(pb.CallRingSchema, { room: c.room, users: c.users }) } as const;
    case 'call_decline':
      return { case: 'callDecline', value: create(pb.CallDeclineSchema, { room: c.room }) } as const;
    case 'call_get':
      return { case: 'callGet', value: create(pb.CallGetSchema, { room: c.room }) } as const;
  }
}
