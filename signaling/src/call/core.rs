//! The rules of calls, without I/O: participants, publications, rosters, rings, and their deadlines.
//!
//! Inputs are `handle_*`; outputs come by [`CallCore::poll_effect`] in the order in which they have to be
//! performed, deadlines by [`CallCore::poll_timeout`]. Time is an argument.
//!
//! A join asks chat how its caller stands to the room ([`Effect::LookUp`]); what is committed in between is
//! kept with the question ([`CallCore::handle_member_change`]), so that nobody slips in by an answer that
//! is older. Then the SFU is asked, and then the participant is there. Rosters are made when they are due
//! and not when something changes, so that what waits is bounded by the size of a call.

pub mod effect;
pub mod noted;
pub mod rights;

mod commands;
mod events;
mod joining;
mod ring;
mod state;
mod telling;

use crate::call::whence::Way;
use effect::{
    At, CallError, Effect, EndReason, Push, Reply, RingState, Ringing, Roster, SessionNo,
    SfuCommand, Summary, Ticket,
};
use joining::Joining;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{CallGrant, ServerRole};
use kaiwa_sfu::control::{ParticipantId, SfuError};
use noted::Left;
use rights::Powers;
use ring::Rings;
use state::{Call, Participant, Phase, Rates};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// What a version of a room's calls begins with, for each millisecond of the wall clock: versions grow
/// from one call to the next, also over a restart, as long as a room's calls change less often than a
/// thousand times a millisecond. They stay within the whole numbers of a double until the year 2255.
const VERSIONS_PER_MS: u64 = 1_000;

/// Something that is due at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A participant whose session is away leaves.
    Away(ParticipantId),
    /// A roster is told.
    Roster(RoomId),
    /// A signal of qualities is told.
    Quality(RoomId),
    /// The followers of a room are told of its call.
    Notice(RoomId),
    /// A ring, or the quiet after it, is over.
    Ring(UserId, RoomId),
    /// Somebody who was removed may join again.
    Removed(RoomId, UserId),
}

/// What the followers of a room were told, and are to be told.
#[derive(Debug)]
struct Notice {
    told: Option<Instant>,
    due: Instant,
    is_dirty: bool,
    /// Of the room's last call, once it is over.
    version: u64,
}

/// A question to chat that is not answered yet.
#[derive(Debug)]
enum Asked {
    Join(SessionNo),
    Ring(commands::RingAsked),
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Calls.
    pub calls: usize,
    /// Participants of all calls by [`Way::ALL`], those included whom the SFU has not taken yet.
    pub participants: [usize; Way::ALL.len()],
}

/// How long what takes its time in a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimes {
    /// How long somebody stays whose session or media is away.
    pub away: Duration,
    /// How long a ring lasts.
    pub ring: Duration,
}

/// All calls of a node.
#[derive(Debug)]
pub struct CallCore {
    max_participants: u32,
    times: CallTimes,
    next_participant: u64,
    calls: BTreeMap<RoomId, Call>,
    /// Where each participant is.
    rooms: BTreeMap<ParticipantId, RoomId>,
    /// Each session's participant.
    seats: BTreeMap<SessionNo, ParticipantId>,
    joinings: BTreeMap<SessionNo, Joining>,
    /// Of sessions that have been in a call.
    rates: BTreeMap<SessionNo, Rates>,
    asked: BTreeMap<Ticket, Asked>,
    rings: Rings,
    removed: BTreeMap<(RoomId, UserId), Instant>,
    notices: BTreeMap<RoomId, Notice>,
    timers: BTreeSet<(Instant, Timer)>,
    effects: VecDeque<Effect>,
    /// Those who have left, and of whom the SFU has yet to say how their media was.
    leaving: BTreeMap<ParticipantId, Box<Left>>,
    /// Participants by the door they came by.
    ways: [usize; Way::ALL.len()],
}

impl CallCore {
    /// No calls yet. `first_participant` has to be above every id that was used before;
    /// `max_participants` is the bound of one call.
    #[must_use]
    pub fn new(first_participant: u64, max_participants: u32, times: CallTimes) -> Self {
        Self {
            max_participants,
            times,
            next_participant: first_participant,
            calls: BTreeMap::new(),
            rooms: BTreeMap::new(),
            seats: BTreeMap::new(),
            joinings: BTreeMap::new(),
            rates: BTreeMap::new(),
            asked: BTreeMap::new(),
            rings: Rings::default(),
            removed: BTreeMap::new(),
            notices: BTreeMap::new(),
            timers: BTreeSet::new(),
            effects: VecDeque::new(),
            leaving: BTreeMap::new(),
            ways: [0; Way::ALL.len()],
        }
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// How many calls and participants there are.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            calls: self.calls.len(),
            participants: self.ways,
        }
    }

    /// A session's participant, also one whom the SFU has not taken yet.
    #[must_use]
    pub fn participant_of(&self, session: SessionNo) -> Option<ParticipantId> {
        self.seats.get(&session).copied()
    }

    /// Whether somebody is in a call.
    #[must_use]
    pub fn has(&self, participant: ParticipantId) -> bool {
        self.rooms.contains_key(&participant)
    }

    /// A room's call in three numbers; `None` when there is none.
    #[must_use]
    pub fn summary(&self, room: &RoomId) -> Option<Summary> {
        let summary = self.calls.get(room)?.summary();
        (summary.count > 0).then_some(summary)
    }

    /// Every call in three numbers, by its room.
    #[must_use]
    pub fn summaries(&self) -> Vec<(RoomId, Summary)> {
        let calls = self.calls.iter();
        let summaries = calls.map(|(room, call)| (room.clone(), call.summary()));
        summaries.filter(|(_, summary)| summary.count > 0).collect()
    }

    /// Who is in a room's call. Nobody, when there is none, with a version that every call before it is below and the
    /// next one above: whoever asks takes the greatest.
    #[must_use]
    pub fn roster(&self, room: &RoomId, at: At) -> Roster {
        match self.calls.get(room) {
            Some(call) => call.roster(room),
            None => Roster {
                room: room.clone(),
                summary: Summary {
                    version: self.first_version(room, at),
                    count: 0,
                    started: UnixMs(0),
                },
                is_full: true,
                entries: Vec::new(),
                gone: Vec::new(),
            },
        }
    }

    /// What rings for a person whose session begins.
    #[must_use]
    pub fn ringing(&self, user: &UserId) -> Vec<Ringing> {
        let rings = self.rings.of(user).into_iter();
        let ringing = rings.map(|(room, ring)| Ringing {
            room,
            from: ring.from,
            until: ring.until_wall,
            state: RingState::Rings(ring.until_wall),
        });
        ringing.collect()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, at: At) {
        while let Some((due, _)) = self.timers.first()
            && *due <= at.now
        {
            let (due, timer) = self.timers.pop_first().expect("there is a first one");
            match timer {
                Timer::Away(participant) => self.end(participant, EndReason::TimedOut, at),
                Timer::Roster(room) => self.tell_roster(&room, at.now),
                Timer::Quality(room) => self.tell_qualities(&room, at.now),
                Timer::Notice(room) => self.tell_notice(&room, at.now),
                Timer::Ring(user, room) => self.ring_timed_out(&user, &room, at),
                Timer::Removed(room, user) => {
                    // Removed once more, and later: that has its own timer.
                    let key = (room, user);
                    if self.removed.get(&key) == Some(&due) {
                        self.removed.remove(&key);
                    }
                }
            }
        }
    }

    /// A session has a connection, or has none now. Saying it twice is no harm.
    pub fn handle_link(&mut self, session: SessionNo, is_attached: bool, at: At) {
        if let Some(joining) = self.joinings.get_mut(&session) {
            joining.is_attached = is_attached;
        }
        let Some((room, id)) = self.seat(session) else {
            return;
        };
        let call = self.calls.get_mut(&room).expect("a seat's call");
        let participant = call
            .participants
            .get_mut(&id)
            .expect("a seat's participant");
        match (is_attached, participant.away) {
            (false, None) => {
                let until = at.now + self.times.away;
                participant.away = Some(until);
                self.timers.insert((until, Timer::Away(id)));
            }
            (true, Some(until)) => {
                participant.away = None;
                participant.was_away = true;
                self.timers.remove(&(until, Timer::Away(id)));
            }
            (false, Some(_)) | (true, None) => return,
        }
        self.changed(&room, id, at.now);
        if is_attached {
            self.tell_all(&room, id, at.now);
        }
    }

    /// A session ended for good.
    pub fn handle_session_ended(&mut self, session: SessionNo, at: At) {
        self.cancel_joining(session);
        if let Some(id) = self.seats.get(&session).copied() {
            self.end(id, EndReason::Left, at);
        }
        self.rates.remove(&session);
    }

    /// What a session has left. Only of one that is in a call, so that there are no more than have been.
    fn rates(&mut self, session: SessionNo, at: At) -> &mut Rates {
        let rates = self.rates.entry(session);
        rates.or_insert_with(|| Rates::new(at.now))
    }

    /// A session's token was replaced.
    pub fn handle_identity(&mut self, session: SessionNo, role: ServerRole, grant: CallGrant) {
        if let Some(joining) = self.joinings.get_mut(&session) {
            joining.caller.actor.role = role;
            joining.caller.grant = grant;
        }
        let Some((room, id)) = self.seat(session) else {
            return;
        };
        let participant = self
            .participant_mut(&room, id)
            .expect("a seat's participant");
        participant.actor.role = role;
        participant.grant = grant;
        self.powers_changed(&room, id);
    }

    /// What somebody may do is worked out anew. They are told, and of rights to media the SFU is.
    fn powers_changed(&mut self, room: &RoomId, id: ParticipantId) {
        let participant = self.participant_mut(room, id).expect("the caller found it");
        let powers = Powers::of(
            &participant.standing,
            participant.actor.role,
            participant.grant,
        );
        let before = std::mem::replace(&mut participant.powers, powers);
        if powers.rights != before.rights {
            let command = SfuCommand::SetRights(id, powers.rights);
            self.effects.push_back(Effect::Sfu(command));
        }
        if powers.rights != before.rights || powers.may_moderate != before.may_moderate {
            self.tell_rights(room, id);
        }
    }

    /// The SFU took somebody's rights. When it could not, nobody knows what they may: their part ends.
    pub fn handle_rights_set(&mut self, id: ParticipantId, result: Result<(), SfuError>, at: At) {
        if result.is_err() {
            self.end(id, EndReason::Server, at);
        }
    }

    /// Ends somebody's part, and all that hangs on it.
    fn end(&mut self, id: ParticipantId, reason: EndReason, at: At) {
        if self.rooms.contains_key(&id) {
            self.effects.push_back(Effect::Sfu(SfuCommand::Leave(id)));
            self.forget(id, reason, at);
        }
    }

    /// [`Self::end`] for somebody whom the SFU knows no longer.
    fn forget(&mut self, id: ParticipantId, reason: EndReason, at: At) {
        let Some(room) = self.rooms.remove(&id) else {
            return;
        };
        let call = self.calls.get_mut(&room).expect("a participant's call");
        let gone = call.remove(id, reason).expect("a call's participant");
        self.ways[gone.way as usize] -= 1;
        if gone.is_present() {
            self.note_left((&room, id), &gone, reason, at);
        }
        self.seats.remove(&gone.session);
        if let Some(until) = gone.away {
            self.timers.remove(&(until, Timer::Away(id)));
        }
        for (user, room) in self.rings.by(id) {
            self.cancel_ring(&user, &room, at);
        }
        match gone.phase {
            Phase::Entering(tickets) => self.refuse(tickets, &CallError::NotInCall),
            Phase::Present => {
                if reason != EndReason::Left {
                    let push = Push::Ended {
                        room: room.clone(),
                        participant: id,
                        reason,
                    };
                    self.push(gone.session, push);
                }
                self.schedule_roster(&room, at.now);
                self.schedule_notice(&room, at.now);
            }
        }
        self.close_if_empty(&room);
    }

    fn close_if_empty(&mut self, room: &RoomId) {
        let is_empty = |call: &Call| call.participants.is_empty();
        if !self.calls.get(room).is_some_and(is_empty) {
            return;
        }
        let call = self.calls.remove(room).expect("just seen");
        let timers = [
            call.roster_due
                .map(|due| (due, Timer::Roster(room.clone()))),
            call.quality_due
                .map(|due| (due, Timer::Quality(room.clone()))),
        ];
        for timer in timers.into_iter().flatten() {
            self.timers.remove(&timer);
        }
        if let Some(notice) = self.notices.get_mut(room) {
            notice.version = call.version();
        }
    }

    /// Where a session is.
    fn seat(&self, session: SessionNo) -> Option<(RoomId, ParticipantId)> {
        let id = *self.seats.get(&session)?;
        Some((
            self.rooms.get(&id).expect("a participant's room").clone(),
            id,
        ))
    }

    fn participant_mut(&mut self, room: &RoomId, id: ParticipantId) -> Option<&mut Participant> {
        self.calls.get_mut(room)?.participants.get_mut(&id)
    }

    fn reply(&mut self, ticket: Ticket, result: Result<Reply, CallError>) {
        self.effects.push_back(Effect::Reply { ticket, result });
    }

    fn refuse(&mut self, tickets: Vec<Ticket>, error: &CallError) {
        for ticket in tickets {
            self.reply(ticket, Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
