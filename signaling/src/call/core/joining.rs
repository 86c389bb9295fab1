//! Coming in: the right is looked up, the SFU is asked, then the participant is there.

use super::effect::{
    At, CallError, Caller, Effect, EndReason, Joined, LookUp, Reply, RingOutcome, RingState,
    Ringing, SessionNo, SfuCommand, Ticket,
};
use super::rights::{Powers, Standing};
use super::state::{Call, Participant, Phase};
use super::{Asked, CallCore, Push, Timer, VERSIONS_PER_MS};
use kaiwa_chat::bus::MemberChange;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::User;
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::CALLS;
use kaiwa_common::position::Seq;
use kaiwa_sfu::control::{Join, ParticipantId, Quality, SfuError};
use kaiwa_sfu::core::negotiate::{VideoCodec, VideoCodecs};
use std::collections::BTreeMap;
use std::time::Duration;

/// A join whose right is being looked up.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) room: RoomId,
    pub(super) caller: Caller,
    /// Which codecs of pictures it should take, if it is the caller's to say.
    video_codecs: Vec<VideoCodec>,
    /// The question to chat; an older one's answer is not this one's.
    question: Ticket,
    /// The commands that wait.
    tickets: Vec<Ticket>,
    pub(super) is_attached: bool,
    /// The latest that was committed since the question was asked: how the caller stands now.
    change: Option<(Seq, Option<Standing>)>,
}

impl Joining {
    /// The later of the answer and what was committed meanwhile.
    fn standing(&self, answer: Result<Option<Standing>, ChatError>) -> Result<Standing, CallError> {
        let seen = match (&answer, &self.change) {
            (Ok(Some(standing)), Some((version, change))) if *version > standing.version => {
                change.clone()
            }
            (Ok(Some(standing)), _) => Some(standing.clone()),
            // An answer without a version was read before a change that says otherwise.
            (
                Ok(None) | Err(ChatError::RoomNotFound | ChatError::NotAMember),
                Some((_, change)),
            ) => change.clone(),
            (Ok(None), None) => None,
            (Err(error), _) => return Err(error.clone().into()),
        };
        seen.ok_or(CallError::Chat(ChatError::NotAMember))
    }
}

impl CallCore {
    pub(super) fn join(
        &mut self,
        caller: Caller,
        (room, video_codecs): (RoomId, Vec<VideoCodec>),
        ticket: Ticket,
        at: At,
    ) {
        let session = caller.session;
        let user = caller.actor.user.id.clone();
        if let Some((here, id)) = self.seat(session)
            && here == room
        {
            self.cancel_joining(session);
            let participant = self
                .participant_mut(&room, id)
                .expect("a seat's participant");
            return match &mut participant.phase {
                Phase::Entering(tickets) => tickets.push(ticket),
                Phase::Present => self.reply_joined(&room, id, ticket),
            };
        }
        if let Some(until) = self.removed.get(&(room.clone(), user))
            && *until > at.now
        {
            let wait = until.duration_since(at.now);
            return self.reply(ticket, Err(CallError::TooSoon(wait)));
        }
        if let Some(joining) = self.joinings.get_mut(&session)
            && joining.room == room
        {
            joining.tickets.push(ticket);
            return;
        }
        self.cancel_joining(session);
        let actor = caller.actor.clone();
        let joining = Joining {
            room: room.clone(),
            caller,
            video_codecs,
            question: ticket,
            tickets: vec![ticket],
            is_attached: true,
            change: None,
        };
        self.joinings.insert(session, joining);
        self.asked.insert(ticket, Asked::Join(session));
        let what = LookUp::Standing { actor, room };
        self.effects.push_back(Effect::LookUp { ticket, what });
    }

    /// Chat's answer to [`LookUp::Standing`]: how the caller stands to the room, `None` when they have not
    /// joined it.
    pub fn handle_standing(
        &mut self,
        ticket: Ticket,
        answer: Result<Option<Standing>, ChatError>,
        at: At,
    ) {
        let Some(Asked::Join(session)) = self.asked.remove(&ticket) else {
            return;
        };
        if self.joinings.get(&session).map(|joining| joining.question) != Some(ticket) {
            return;
        }
        let joining = self.joinings.remove(&session).expect("just seen");
        match joining.standing(answer) {
            Ok(standing) => self.enter(joining, standing, at),
            Err(error) => self.refuse(joining.tickets, &error),
        }
    }

    fn enter(&mut self, joining: Joining, standing: Standing, at: At) {
        if let Err(error) = self.check_room(&joining.room) {
            return self.refuse(joining.tickets, &error);
        }
        let session = joining.caller.session;
        if let Some(former) = self.seats.get(&session).copied() {
            self.end(former, EndReason::Replaced, at);
        }
        let id = ParticipantId(self.next_participant);
        self.next_participant += 1;
        let room = joining.room.clone();
        let codecs = VideoCodecs::new(&joining.video_codecs);
        let participant = participant(joining, standing, self.times.away, at);
        if let Some(until) = participant.away {
            self.timers.insert((until, Timer::Away(id)));
        }
        let rights = participant.powers.rights;
        let version = self.first_version(&room, at);
        let new_call = || Call::new(at.wall, version);
        let call = self.calls.entry(room.clone()).or_insert_with(new_call);
        if rights.camera || rights.screen {
            call.video_codecs.get_or_insert(codecs);
        }
        let join = Join {
            room: room.clone(),
            participant: id,
            rights,
            video_codecs: call.video_codecs,
        };
        let way = participant.way;
        call.participants.insert(id, participant);
        self.seats.insert(session, id);
        self.rooms.insert(id, room);
        self.ways[way as usize] += 1;
        self.effects.push_back(Effect::Sfu(SfuCommand::Join(join)));
    }

    fn check_room(&self, room: &RoomId) -> Result<(), CallError> {
        let full = |what, limit| Err(CallError::Full { what, limit });
        match self.calls.get(room) {
            None if self.calls.len() >= CALLS => full(
                "calls on this server",
                u32::try_from(CALLS).unwrap_or(u32::MAX),
            ),
            Some(call) if call.participants.len() >= self.max_participants as usize => {
                full("people in a call", self.max_participants)
            }
            None | Some(_) => Ok(()),
        }
    }

    pub(super) fn first_version(&self, room: &RoomId, at: At) -> u64 {
        let clock = u64::try_from(at.wall.0).unwrap_or(0) * VERSIONS_PER_MS;
        let last = self.notices.get(room).map_or(0, |notice| notice.version);
        clock.max(last + 1)
    }

    /// The SFU took a participant in, or refused.
    pub fn handle_entered(&mut self, id: ParticipantId, result: Result<(), SfuError>, at: At) {
        let Some(room) = self.rooms.get(&id).cloned() else {
            return;
        };
        let call = self.calls.get_mut(&room).expect("a participant's call");
        let participant = call
            .participants
            .get_mut(&id)
            .expect("a call's participant");
        let Phase::Entering(tickets) = std::mem::replace(&mut participant.phase, Phase::Present)
        else {
            return;
        };
        if let Err(error) = result {
            participant.phase = Phase::Entering(Vec::new());
            // Whether it happened is not known.
            if error == SfuError::Unavailable {
                self.effects.push_back(Effect::Sfu(SfuCommand::Leave(id)));
            }
            self.refuse(tickets, &error.into());
            return self.forget(id, EndReason::Failed, at);
        }
        participant.joined = at.wall;
        participant.entered = at.now;
        let way = participant.way;
        let user = participant.actor.user.clone();
        let session = participant.session;
        if call.summary().count == 0 {
            call.started = at.wall;
        }
        call.came(id);
        self.note_joined(&room, id, way);
        for ticket in tickets {
            self.reply_joined(&room, id, ticket);
        }
        self.schedule_roster(&room, at.now);
        self.schedule_notice(&room, at.now);
        if !self.calls[&room].qualities(at.now).is_empty() {
            self.schedule_quality(&room, at.now);
        }
        if self.calls[&room].participants[&id].was_away {
            self.tell_all(&room, id, at.now);
        } else {
            self.tell_slots(&room, id);
        }
        self.ring_answered(user, session, &room);
    }

    /// Somebody who was rung is in the call: it rings nowhere else any more, and their caller hears of it.
    fn ring_answered(&mut self, user: User, session: SessionNo, room: &RoomId) {
        let Some(ring) = self.stop_ring(&user.id, room) else {
            return;
        };
        let over = |user| {
            Push::Ringing(Ringing {
                room: room.clone(),
                from: ring.from.clone(),
                until: ring.until_wall,
                state: RingState::Over(RingOutcome::Answered, user),
            })
        };
        let (to_them, to_caller) = (over(None), over(Some(user.clone())));
        self.effects.push_back(Effect::PushUser {
            user: user.id,
            except: Some(session),
            push: to_them,
        });
        self.push(ring.session, to_caller);
    }

    fn reply_joined(&mut self, room: &RoomId, id: ParticipantId, ticket: Ticket) {
        let call = &self.calls[room];
        let powers = call.participants[&id].powers;
        let joined = Joined {
            participant: id,
            rights: powers.rights,
            may_moderate: powers.may_moderate,
            roster: call.roster(room),
        };
        self.reply(ticket, Ok(Reply::Joined(Box::new(joined))));
    }

    /// A join that is not in the SFU's hands yet is given up; true when there was one.
    pub(super) fn cancel_joining(&mut self, session: SessionNo) -> bool {
        let Some(joining) = self.joinings.remove(&session) else {
            return false;
        };
        self.asked.remove(&joining.question);
        self.refuse(joining.tickets, &CallError::NotInCall);
        true
    }

    /// Whether this session waits to come into this room's call.
    pub(super) fn is_joining(&self, session: SessionNo, room: &RoomId) -> bool {
        self.joinings
            .get(&session)
            .is_some_and(|joining| joining.room == *room)
    }

    /// Somebody's part in a room changed: it is committed.
    pub fn handle_member_change(&mut self, change: &MemberChange, at: At) {
        let (room, user) = (&change.info.room, &change.user);
        let standing = Standing::of(&change.info, change.version);
        for joining in self.joinings.values_mut() {
            if joining.room == *room && joining.caller.actor.user.id == *user {
                joining.change = Some((change.version, standing.clone()));
            }
        }
        if standing.is_none() {
            self.cancel_ring(user, room, at);
        }
        let Some(call) = self.calls.get(room) else {
            return;
        };
        let theirs = call
            .participants
            .iter()
            .filter(|(_, p)| p.actor.user.id == *user && p.standing.version < change.version);
        let theirs: Vec<ParticipantId> = theirs.map(|(id, _)| *id).collect();
        for id in theirs {
            match &standing {
                None => self.end(id, EndReason::NotAMember, at),
                Some(standing) => {
                    let participant = self.participant_mut(room, id).expect("just seen");
                    participant.standing = standing.clone();
                    self.powers_changed(room, id);
                }
            }
        }
    }
}

fn participant(joining: Joining, standing: Standing, away: Duration, at: At) -> Participant {
    let Caller {
        session,
        actor,
        grant,
        way,
    } = joining.caller;
    Participant {
        session,
        powers: Powers::of(&standing, actor.role, grant),
        actor,
        grant,
        standing,
        way,
        joined: at.wall,
        entered: at.now,
        was_connected: false,
        phase: Phase::Entering(joining.tickets),
        away: (!joining.is_attached).then(|| at.now + away),
        was_away: false,
        is_media_lost: false,
        publications: BTreeMap::new(),
        slots: None,
        quality: Quality::Good,
        quality_changed: None,
    }
}
