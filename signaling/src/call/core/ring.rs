//! Who is rung, by whom and until when.
//!
//! ```text
//!            ring                 answered, cancelled
//!  (none) ─────────► Rings{until} ─────────────────────► (none)
//!     ▲                   │ declined, timed out
//!     └────── until ── Quiet{until}
//! ```

use super::effect::{CallError, SessionNo};
use crate::session::core::bucket::TokenBucket;
use kaiwa_chat::model::User;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{CALL_RING_BURST, CALL_RINGS, CALL_RINGS_PER_S};
use kaiwa_common::time::UnixMs;
use kaiwa_sfu::control::ParticipantId;
use std::collections::BTreeMap;
use std::time::Instant;

/// People's rates that are kept before those that owe nothing are forgotten.
const SWEEP: usize = 1_024;

/// A person's phone rings.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    pub(super) from: User,
    pub(super) participant: ParticipantId,
    pub(super) session: SessionNo,
    pub(super) until: Instant,
    pub(super) until_wall: UnixMs,
}

#[derive(Debug)]
enum State {
    Rings(Ring),
    Quiet(Instant),
}

/// Every ring of this node, at most one for each person and room.
#[derive(Debug, Default)]
pub(super) struct Rings {
    states: BTreeMap<(UserId, RoomId), State>,
    rates: BTreeMap<UserId, TokenBucket>,
}

impl Rings {
    /// Counts people who are rung against their caller's rate.
    pub(super) fn take(
        &mut self,
        caller: &UserId,
        people: usize,
        now: Instant,
    ) -> Result<(), CallError> {
        if self.rates.len() >= SWEEP {
            self.rates.retain(|_, rate| !rate.is_full(now));
        }
        let rate = self
            .rates
            .entry(caller.clone())
            .or_insert_with(|| TokenBucket::new(CALL_RINGS_PER_S, CALL_RING_BURST, now));
        for _ in 0..people {
            rate.take(now).map_err(CallError::TooSoon)?;
        }
        Ok(())
    }

    /// Whether this person can be rung.
    pub(super) fn check(
        &self,
        user: &UserId,
        room: &RoomId,
        now: Instant,
    ) -> Result<(), CallError> {
        match self.states.get(&(user.clone(), room.clone())) {
            Some(State::Rings(_)) => Err(CallError::AlreadyCalled(user.clone())),
            Some(State::Quiet(until)) if *until > now => Err(CallError::RungLately {
                user: user.clone(),
                wait: until.duration_since(now),
            }),
            Some(State::Quiet(_)) | None => Ok(()),
        }
    }

    /// Whether there is room for so many more.
    pub(super) fn has_room(&self, people: usize) -> bool {
        self.states.len() + people <= CALL_RINGS
    }

    /// Begins to ring.
    pub(super) fn begin(&mut self, user: UserId, room: RoomId, ring: Ring) {
        self.states.insert((user, room), State::Rings(ring));
    }

    /// Stops ringing, if it rings.
    pub(super) fn stop(&mut self, user: &UserId, room: &RoomId) -> Option<Ring> {
        let key = (user.clone(), room.clone());
        match self.states.remove(&key)? {
            State::Rings(ring) => Some(ring),
            quiet @ State::Quiet(_) => {
                self.states.insert(key, quiet);
                None
            }
        }
    }

    /// They are not rung again before `until`.
    pub(super) fn quiet(&mut self, user: UserId, room: RoomId, until: Instant) {
        self.states.insert((user, room), State::Quiet(until));
    }

    /// What is due for this person and room: a ring that is over by itself, which is given, or the
    /// quiet after one.
    pub(super) fn handle_timeout(
        &mut self,
        user: &UserId,
        room: &RoomId,
        now: Instant,
    ) -> Option<Ring> {
        let key = (user.clone(), room.clone());
        let due = match self.states.get(&key)? {
            State::Rings(ring) => ring.until,
            State::Quiet(until) => *until,
        };
        if due > now {
            return None;
        }
        match self.states.remove(&key) {
            Some(State::Rings(ring)) => Some(ring),
            Some(State::Quiet(_)) | None => None,
        }
    }

    /// Whom this participant rings.
    pub(super) fn by(&self, participant: ParticipantId) -> Vec<(UserId, RoomId)> {
        let theirs =
            |state: &State| matches!(state, State::Rings(r) if r.participant == participant);
        let rung = self.states.iter().filter(|(_, state)| theirs(state));
        rung.map(|(key, _)| key.clone()).collect()
    }

    /// What rings for this person.
    pub(super) fn of(&self, user: &UserId) -> Vec<(RoomId, Ring)> {
        let first = (user.clone(), RoomId::parse("0").expect("a room id"));
        let theirs = self
            .states
            .range(first..)
            .take_while(|((u, _), _)| u == user);
        let ringing = theirs.filter_map(|((_, room), state)| match state {
            State::Rings(ring) => Some((room.clone(), ring.clone())),
            State::Quiet(_) => None,
        });
        ringing.collect()
    }

    /// Whether nothing is kept of anybody but rates.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Who rings somebody.
    #[cfg(test)]
    pub(super) fn callers(&self) -> Vec<ParticipantId> {
        let rings = self.states.values().filter_map(|state| match state {
            State::Rings(ring) => Some(ring.participant),
            State::Quiet(_) => None,
        });
        rings.collect()
    }

    /// Every ring's end.
    #[cfg(test)]
    pub(super) fn ends(&self) -> Vec<Instant> {
        let rings = self.states.values().filter_map(|state| match state {
            State::Rings(ring) => Some(ring.until),
            State::Quiet(_) => None,
        });
        rings.collect()
    }
}
