//! What clients ask. Each command gets exactly one reply, now or later.

use super::effect::{
    At, CallError, Caller, Effect, EndReason, LookUp, Push, Reply, RingOutcome, RingState, Ringing,
    SessionNo, SfuCommand, Ticket,
};
use super::rights::may_moderate;
use super::ring::Ring;
use super::{Asked, CallCore, Timer};
use crate::call::command::Command;
use kaiwa_chat::model::{RoomKind, User};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{CALL_PUBLISHERS, CALL_REMOVED, CALL_RING_AGAIN, CALL_RING_USERS};
use kaiwa_common::redact::Redacted;
use kaiwa_sfu::control::{
    Answer, Hears, Mute, Offer, ParticipantId, Prefer, PublicationId, SfuError, Track, Wish,
};
use kaiwa_sfu::unit::Mid;

/// Somebody wants to ring people of whom it is not known whether they are in the room.
#[derive(Debug)]
pub(super) struct RingAsked {
    participant: ParticipantId,
    room: RoomId,
    users: Vec<UserId>,
}

type Outcome = Result<(), CallError>;

impl CallCore {
    /// Takes a command. Its reply is an [`Effect::Reply`] with this ticket.
    pub fn handle_command(&mut self, caller: Caller, command: Command, ticket: Ticket, at: At) {
        let session = caller.session;
        let result = match command {
            Command::Join { room, video_codecs } => {
                return self.join(caller, (room, video_codecs), ticket, at);
            }
            Command::Leave { room } => self.leave(session, &room, at).map(|()| true),
            Command::Candidate { room } => self.present(session, &room).map(|_| true),
            Command::Remove { room, participant } => {
                self.remove(session, &room, participant, at).map(|()| true)
            }
            Command::Decline { room } => {
                self.decline(&caller.actor.user, &room, at);
                Ok(true)
            }
            Command::Offer { room, sdp, tracks } => self
                .offer(session, &room, Described { sdp, tracks }, (ticket, at))
                .map(|()| false),
            Command::Prefer {
                room,
                wishes,
                hears,
            } => self
                .prefer(session, &room, (wishes, hears), (ticket, at))
                .map(|()| false),
            Command::Mute {
                room,
                publication,
                is_muted,
            } => self
                .mute(session, &room, (publication, is_muted), (ticket, at))
                .map(|()| false),
            Command::Ring { room, users } => self
                .ring(session, &room, users, (ticket, at))
                .map(|()| false),
        };
        match result {
            Ok(true) => self.reply(ticket, Ok(Reply::Done)),
            // The reply comes later.
            Ok(false) => {}
            Err(error) => self.reply(ticket, Err(error)),
        }
    }

    /// Leaving a call that one is not in is no error: it is as it was meant to be.
    fn leave(&mut self, session: SessionNo, room: &RoomId, at: At) -> Outcome {
        if self.is_joining(session, room) {
            self.cancel_joining(session);
        }
        match self.seat(session) {
            Some((here, id)) if here == *room => self.end(id, EndReason::Left, at),
            Some(_) | None => {}
        }
        Ok(())
    }

    /// The session's participant in this room's call.
    fn present(&self, session: SessionNo, room: &RoomId) -> Result<ParticipantId, CallError> {
        let id = *self.seats.get(&session).ok_or(CallError::NotInCall)?;
        let call = self.calls.get(room).ok_or(CallError::NotInCall)?;
        let participant = call.participants.get(&id).ok_or(CallError::NotInCall)?;
        participant
            .is_present()
            .then_some(id)
            .ok_or(CallError::NotInCall)
    }

    fn offer(
        &mut self,
        session: SessionNo,
        room: &RoomId,
        described: Described,
        (ticket, at): (Ticket, At),
    ) -> Outcome {
        let id = self.present(session, room)?;
        let rates = self.rates(session, at);
        rates.offers.take(at.now).map_err(CallError::TooSoon)?;
        let call = &self.calls[room];
        let publishers = call.publishers();
        let participant = &call.participants[&id];
        let rights = participant.powers.rights;
        let may = |track: &Track| rights.may_publish(track.source);
        let (tracks, refused): (Vec<_>, Vec<_>) = described.tracks.into_iter().partition(may);
        let is_new = !tracks.is_empty() && participant.publications.is_empty();
        if is_new && publishers >= CALL_PUBLISHERS {
            let limit = u32::try_from(CALL_PUBLISHERS).unwrap_or(u32::MAX);
            let what = "people who publish in a call";
            return Err(CallError::Full { what, limit });
        }
        let offer = Offer {
            participant: id,
            sdp: described.sdp.0,
            tracks,
        };
        let refused = refused.into_iter().map(|track| track.mid).collect();
        self.effects.push_back(Effect::Sfu(SfuCommand::Offer {
            ticket,
            offer,
            refused,
        }));
        Ok(())
    }

    /// The SFU answered an offer, or refused it.
    pub fn handle_answer(
        &mut self,
        ticket: Ticket,
        participant: ParticipantId,
        refused: Vec<Mid>,
        result: Result<Answer, SfuError>,
        at: At,
    ) {
        let result = match (result, self.rooms.get(&participant)) {
            (Ok(answer), Some(room)) => Ok(Reply::Answer {
                room: room.clone(),
                answer,
                refused,
            }),
            // They left meanwhile.
            (Ok(_), None) => Err(CallError::NotInCall),
            (Err(error), _) => Err(self.sfu_refused(participant, error, at)),
        };
        self.reply(ticket, result);
    }

    /// The SFU did what was asked, or refused.
    pub fn handle_done(
        &mut self,
        ticket: Ticket,
        participant: ParticipantId,
        result: Result<(), SfuError>,
        at: At,
    ) {
        let result = match result {
            Ok(()) => Ok(Reply::Done),
            Err(error) => Err(self.sfu_refused(participant, error, at)),
        };
        self.reply(ticket, result);
    }

    /// A participant whom the SFU does not know is not in the call, whatever was missed.
    fn sfu_refused(&mut self, participant: ParticipantId, error: SfuError, at: At) -> CallError {
        if error == SfuError::NoSuchParticipant {
            self.forget(participant, EndReason::Server, at);
        }
        error.into()
    }

    fn prefer(
        &mut self,
        session: SessionNo,
        room: &RoomId,
        (mut wishes, hears): (Vec<Wish>, Hears),
        (ticket, at): (Ticket, At),
    ) -> Outcome {
        let id = self.present(session, room)?;
        let rates = self.rates(session, at);
        rates.prefers.take(at.now).map_err(CallError::TooSoon)?;
        let call = &self.calls[room];
        // One that ended meanwhile is no fault of the client's.
        wishes.retain(|wish| call.owner(wish.publication).is_some());
        let prefer = Prefer {
            participant: id,
            wishes,
            hears,
        };
        self.effects
            .push_back(Effect::Sfu(SfuCommand::Prefer { ticket, prefer }));
        Ok(())
    }

    fn mute(
        &mut self,
        session: SessionNo,
        room: &RoomId,
        (publication, is_muted): (PublicationId, bool),
        (ticket, at): (Ticket, At),
    ) -> Outcome {
        let id = self.present(session, room)?;
        let call = &self.calls[room];
        let owner = call
            .owner(publication)
            .ok_or(CallError::PublicationNotFound)?;
        if owner != id {
            let (me, them) = (&call.participants[&id], &call.participants[&owner]);
            may_moderate(me.powers, me.role(), them.role())?;
            if !is_muted {
                let needs = "to be its owner: a moderator mutes, and the owner unmutes";
                return Err(CallError::Forbidden(needs));
            }
        }
        let rates = self.rates(session, at);
        rates.mutes.take(at.now).map_err(CallError::TooSoon)?;
        let mute = Mute {
            participant: owner,
            publication,
            is_muted,
        };
        self.effects
            .push_back(Effect::Sfu(SfuCommand::Mute { ticket, mute }));
        Ok(())
    }

    fn remove(
        &mut self,
        session: SessionNo,
        room: &RoomId,
        target: ParticipantId,
        at: At,
    ) -> Outcome {
        let id = self.present(session, room)?;
        let call = &self.calls[room];
        let them = call.participants.get(&target).filter(|p| p.is_present());
        let them = them.ok_or(CallError::ParticipantNotFound)?;
        let me = &call.participants[&id];
        may_moderate(me.powers, me.role(), them.role())?;
        let until = at.now + CALL_REMOVED;
        let user = them.actor.user.id.clone();
        self.timers
            .insert((until, Timer::Removed(room.clone(), user.clone())));
        self.removed.insert((room.clone(), user), until);
        self.end(target, EndReason::Removed, at);
        Ok(())
    }

    fn ring(
        &mut self,
        session: SessionNo,
        room: &RoomId,
        users: Vec<UserId>,
        (ticket, at): (Ticket, At),
    ) -> Outcome {
        let id = self.present(session, room)?;
        let me = &self.calls[room].participants[&id];
        if !me.powers.may_ring {
            return Err(CallError::Forbidden("the right to speak in the room"));
        }
        let caller = me.actor.user.id.clone();
        let mut users = users;
        if users.is_empty() && me.standing.kind == RoomKind::Direct {
            users.extend(me.standing.peer.clone());
        }
        users.sort();
        users.dedup();
        if users.is_empty() || users.len() > CALL_RING_USERS {
            let rule = "1 to 32 people, or nobody in a direct room";
            return Err(CallError::Invalid {
                field: "users",
                rule,
            });
        }
        self.check_ringable(room, &users, at)?;
        self.rings.take(&caller, users.len(), at.now)?;
        let asked = RingAsked {
            participant: id,
            room: room.clone(),
            users: users.clone(),
        };
        self.asked.insert(ticket, Asked::Ring(asked));
        let what = LookUp::Members {
            room: room.clone(),
            users,
        };
        self.effects.push_back(Effect::LookUp { ticket, what });
        Ok(())
    }

    fn check_ringable(&self, room: &RoomId, users: &[UserId], at: At) -> Outcome {
        let call = self.calls.get(room).ok_or(CallError::NotInCall)?;
        for user in users {
            if call.has(user) {
                return Err(CallError::AlreadyCalled(user.clone()));
            }
            self.rings.check(user, room, at.now)?;
        }
        if self.rings.has_room(users.len()) {
            Ok(())
        } else {
            Err(CallError::Unavailable)
        }
    }

    /// Chat's answer to [`LookUp::Members`]: all of them are, or who is not, or why that can't be said.
    pub fn handle_members(&mut self, ticket: Ticket, answer: Result<(), CallError>, at: At) {
        let Some(Asked::Ring(asked)) = self.asked.remove(&ticket) else {
            return;
        };
        let result = answer.and_then(|()| self.begin_rings(asked, at));
        self.reply(ticket, result.map(|()| Reply::Done));
    }

    fn begin_rings(&mut self, asked: RingAsked, at: At) -> Outcome {
        let RingAsked {
            participant,
            room,
            users,
        } = asked;
        // All of it may have changed while chat was asked.
        self.check_ringable(&room, &users, at)?;
        let caller = self.participant_mut(&room, participant);
        let caller = caller.ok_or(CallError::NotInCall)?;
        let ring = Ring {
            from: caller.actor.user.clone(),
            participant,
            session: caller.session,
            until: at.now + self.times.ring,
            until_wall: at.wall.plus(self.times.ring),
        };
        for user in users {
            self.timers
                .insert((ring.until, Timer::Ring(user.clone(), room.clone())));
            self.rings.begin(user.clone(), room.clone(), ring.clone());
            let push = Push::Ringing(Ringing {
                room: room.clone(),
                from: ring.from.clone(),
                until: ring.until_wall,
                state: RingState::Rings(ring.until_wall),
            });
            self.effects.push_back(Effect::PushUser {
                user,
                except: None,
                push,
            });
        }
        Ok(())
    }

    fn decline(&mut self, user: &User, room: &RoomId, at: At) {
        if let Some(ring) = self.stop_ring(&user.id, room) {
            self.ring_over(&ring, user.clone(), room, RingOutcome::Declined);
            self.quiet(&user.id, room, at);
        }
    }

    pub(super) fn cancel_ring(&mut self, user: &UserId, room: &RoomId, _: At) {
        if let Some(ring) = self.stop_ring(user, room) {
            self.ring_over(&ring, nameless(user), room, RingOutcome::Cancelled);
        }
    }

    pub(super) fn ring_timed_out(&mut self, user: &UserId, room: &RoomId, at: At) {
        if let Some(ring) = self.rings.handle_timeout(user, room, at.now) {
            self.ring_over(&ring, nameless(user), room, RingOutcome::TimedOut);
            self.quiet(user, room, at);
        }
    }

    pub(super) fn stop_ring(&mut self, user: &UserId, room: &RoomId) -> Option<Ring> {
        let ring = self.rings.stop(user, room)?;
        self.timers
            .remove(&(ring.until, Timer::Ring(user.clone(), room.clone())));
        Some(ring)
    }

    fn quiet(&mut self, user: &UserId, room: &RoomId, at: At) {
        let until = at.now + CALL_RING_AGAIN;
        self.timers
            .insert((until, Timer::Ring(user.clone(), room.clone())));
        self.rings.quiet(user.clone(), room.clone(), until);
    }

    /// Tells both sides that a ring is over.
    fn ring_over(&mut self, ring: &Ring, user: User, room: &RoomId, outcome: RingOutcome) {
        let over = |about| {
            Push::Ringing(Ringing {
                room: room.clone(),
                from: ring.from.clone(),
                until: ring.until_wall,
                state: RingState::Over(outcome, about),
            })
        };
        let (to_them, to_caller) = (over(None), over(Some(user.clone())));
        self.effects.push_back(Effect::PushUser {
            user: user.id,
            except: None,
            push: to_them,
        });
        self.push(ring.session, to_caller);
    }
}

/// A person whose name is not known here.
fn nameless(user: &UserId) -> User {
    User {
        id: user.clone(),
        name: Redacted(String::new()),
    }
}

/// An offer as it came.
struct Described {
    sdp: Redacted<String>,
    tracks: Vec<Track>,
}
