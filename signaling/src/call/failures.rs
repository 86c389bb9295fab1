//! Remembers joins that failed: who, by which door, how far they came, and why. Bounded in number and time.
//!
//! ```text
//!  refused token ───────────────────────────┐
//!  refused join, offer ─────────────────────┤
//!  join ─► (known) ─► gone, never connected ┴─► ring ◄─ a client's report: its pairs, its clock
//!                └──► connected ─► gone: a loss is remembered too
//! ```
//!
//! Each join is counted once, at its first end: media was there, or why not.

mod model;
mod ring;

#[cfg(test)]
mod tests;

pub use model::{ClientPair, Failure, Report, SeenPair, Stage};

use super::causes::{Cause, Facts, Hint, Kind, of_join};
use super::core::effect::{CallError, Reply};
use super::people::PeopleRates;
use super::whence::Whence;
use crate::metrics::Metrics;
use crate::session::lock;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{CALL_REPORT_BURST, CALL_REPORTS_PER_S};
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{Dated, TokenError};
use kaiwa_sfu::control::trace::{JoinTrace, Told};
use kaiwa_sfu::control::{GoneReason, ParticipantId};
use ring::Ring;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A join or an offer that is asked for.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) stage: Stage,
    pub(super) room: RoomId,
    pub(super) user: UserId,
    pub(super) whence: Arc<Whence>,
}

/// Somebody whom the SFU has taken.
struct Joined {
    room: RoomId,
    user: UserId,
    whence: Arc<Whence>,
    is_counted: bool,
}

struct State {
    ring: Ring,
    joins: HashMap<ParticipantId, Joined>,
    reporters: PeopleRates,
}

impl Default for State {
    fn default() -> Self {
        Self {
            ring: Ring::default(),
            joins: HashMap::new(),
            reporters: PeopleRates::new(CALL_REPORTS_PER_S, CALL_REPORT_BURST),
        }
    }
}

/// The failed joins of a node.
pub struct Failures {
    told: Vec<Told>,
    metrics: Metrics,
    clock: fn() -> UnixMs,
    state: Mutex<State>,
}

impl Failures {
    /// None yet. Clients are told these addresses.
    #[must_use]
    pub fn new(told: Vec<Told>, metrics: Metrics, clock: fn() -> UnixMs) -> Arc<Self> {
        Arc::new(Self {
            told,
            metrics,
            clock,
            state: Mutex::default(),
        })
    }

    /// Where clients are told to send media.
    #[must_use]
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// Those of a room, the newest first.
    #[must_use]
    pub fn of_room(&self, room: &RoomId) -> Vec<Failure> {
        self.select(|failure| failure.room.as_ref() == Some(room))
    }

    /// Those of one person in a room, the newest first.
    #[must_use]
    pub fn of_person(&self, room: &RoomId, user: &UserId) -> Vec<Failure> {
        self.select(|f| f.room.as_ref() == Some(room) && f.user.as_ref() == Some(user))
    }

    /// All of the node, the newest first.
    #[must_use]
    pub fn all(&self) -> Vec<Failure> {
        self.select(|_| true)
    }

    fn select(&self, is_wanted: impl Fn(&Failure) -> bool) -> Vec<Failure> {
        let now = (self.clock)();
        lock(&self.state).ring.select(now, is_wanted)
    }

    /// Counts a person's report.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take_report(&self, user: &UserId, now: Instant) -> Result<(), Duration> {
        lock(&self.state).reporters.take(user, now)
    }

    /// A token was refused, perhaps of a room's encoder or player. Gives the cause.
    pub fn token_refused(
        &self,
        error: TokenError,
        dated: Option<Dated>,
        room: Option<&RoomId>,
        whence: Arc<Whence>,
    ) -> Option<Cause> {
        let at = (self.clock)();
        let user = dated.as_ref().map(|dated| dated.user.clone());
        let facts = Facts::Token { error, dated, at };
        self.refused(facts, (room.cloned(), user), Stage::Token, whence)
    }

    /// The same by a client's report of it.
    pub fn token_reported(
        &self,
        error: TokenError,
        dated: Option<Dated>,
        report: Report,
        whence: Arc<Whence>,
    ) -> Option<Cause> {
        let at = (self.clock)();
        if let Some(user) = dated.as_ref().map(|dated| &dated.user) {
            let mut state = lock(&self.state);
            let found = state.ring.latest(at, |failure| {
                // Of whichever token of theirs: another one may be wrong otherwise.
                let is_alike =
                    matches!(failure.facts, Facts::Token { error: of, .. } if of == error);
                is_alike && failure.user.as_ref() == Some(user)
            });
            if let Some(failure) = found {
                return self.refine(failure, report, at);
            }
        }
        let hint = report.hint(at);
        let user = dated.as_ref().map(|dated| dated.user.clone());
        let facts = Facts::Token { error, dated, at };
        let cause = of_join(&facts, &self.told, hint)?;
        self.remember(Failure {
            at,
            room: None,
            user,
            participant: None,
            whence,
            stage: Stage::Token,
            cause: cause.clone(),
            pairs: Vec::new(),
            client_pairs: report.pairs,
            facts,
        });
        Some(cause)
    }

    /// Somebody did not come in, for a reason that is told to them.
    pub fn refused(
        &self,
        facts: Facts,
        (room, user): (Option<RoomId>, Option<UserId>),
        stage: Stage,
        whence: Arc<Whence>,
    ) -> Option<Cause> {
        let cause = of_join(&facts, &self.told, Hint::default())?;
        // A connection is no join: nobody has asked for a call yet.
        if room.is_some() {
            let way = whence.way.as_str();
            self.metrics.call_join(way, cause.kind.as_str());
        }
        self.remember(Failure {
            at: (self.clock)(),
            room,
            user,
            participant: None,
            whence,
            stage,
            cause: cause.clone(),
            pairs: Vec::new(),
            client_pairs: Vec::new(),
            facts,
        });
        Some(cause)
    }

    /// A join or an offer was answered.
    pub(super) fn answered(
        &self,
        asking: &Asking,
        participant: Option<ParticipantId>,
        result: &Result<Reply, CallError>,
    ) {
        let facts = match result {
            Ok(Reply::Joined(joined)) => return self.joined(joined.participant, asking),
            Ok(Reply::Answer { answer, .. }) if !answer.without_codec.is_empty() => {
                Facts::WithoutCodec
            }
            Ok(Reply::Answer { .. } | Reply::Done) => return,
            Err(error) => Facts::Refused(error.clone()),
        };
        let of = (Some(asking.room.clone()), Some(asking.user.clone()));
        match (asking.stage, participant) {
            (Stage::Offer, Some(participant)) => self.offer_refused(facts, participant, asking),
            _ => drop(self.refused(facts, of, asking.stage, Arc::clone(&asking.whence))),
        }
    }

    /// An offer is refused to somebody who is in the call, and may offer again.
    fn offer_refused(&self, facts: Facts, participant: ParticipantId, asking: &Asking) {
        let Some(cause) = of_join(&facts, &self.told, Hint::default()) else {
            return;
        };
        if let Some(joined) = lock(&self.state).joins.get_mut(&participant) {
            self.count(joined, cause.kind.as_str());
        }
        self.remember(Failure {
            at: (self.clock)(),
            room: Some(asking.room.clone()),
            user: Some(asking.user.clone()),
            participant: Some(participant),
            whence: Arc::clone(&asking.whence),
            stage: Stage::Offer,
            cause,
            pairs: Vec::new(),
            client_pairs: Vec::new(),
            facts,
        });
    }

    fn joined(&self, participant: ParticipantId, asking: &Asking) {
        let joins = &mut lock(&self.state).joins;
        // A join that is repeated is one.
        joins.entry(participant).or_insert_with(|| Joined {
            room: asking.room.clone(),
            user: asking.user.clone(),
            whence: Arc::clone(&asking.whence),
            is_counted: false,
        });
    }

    fn count(&self, joined: &mut Joined, result: &'static str) {
        if !std::mem::replace(&mut joined.is_counted, true) {
            self.metrics.call_join(joined.whence.way.as_str(), result);
        }
    }

    /// Somebody's media is there: what a report said of it before was too early.
    pub(super) fn connected(&self, participant: ParticipantId) {
        let mut state = lock(&self.state);
        if let Some(joined) = state.joins.get_mut(&participant) {
            self.count(joined, "ok");
            let is_early = |f: &Failure| {
                f.participant == Some(participant) && matches!(f.stage, Stage::Ice | Stage::Dtls)
            };
            state.ring.forget(is_early);
        }
    }

    /// Somebody is out of the call.
    pub(super) fn gone(
        &self,
        participant: ParticipantId,
        reason: GoneReason,
        trace: Option<JoinTrace>,
    ) {
        let joined = lock(&self.state).joins.remove(&participant);
        let Some(mut joined) = joined else {
            return;
        };
        let facts = Facts::Media {
            trace: trace.unwrap_or_default(),
            end: Some(reason),
            origin: joined.whence.origin,
        };
        let Some(cause) = of_join(&facts, &self.told, Hint::default()) else {
            return;
        };
        self.count(&mut joined, cause.kind.as_str());
        if cause.kind != Kind::LeftEarly {
            self.seen(participant, &joined, facts, cause, Vec::new());
        }
    }

    /// Events were lost: whoever is not among these any more has gone unseen.
    pub(super) fn retain(&self, is_here: impl Fn(ParticipantId) -> bool) {
        lock(&self.state).joins.retain(|id, _| is_here(*id));
    }

    /// Which of a person's participants a report in a room is about, if they have one there now.
    pub(super) fn participant(
        &self,
        room: &RoomId,
        user: &UserId,
        named: Option<ParticipantId>,
    ) -> Option<ParticipantId> {
        let state = lock(&self.state);
        let mut theirs: Vec<ParticipantId> = state
            .joins
            .iter()
            .filter(|(_, joined)| joined.room == *room && joined.user == *user)
            .map(|(id, _)| *id)
            .collect();
        theirs.sort_unstable();
        match named {
            Some(named) => theirs.contains(&named).then_some(named),
            None => theirs.pop(),
        }
    }

    /// A client reports on a participant who is in the call, of whom this was seen until now.
    pub(super) fn reported_now(
        &self,
        participant: ParticipantId,
        trace: JoinTrace,
        report: Report,
        whence: &Whence,
    ) -> Option<Cause> {
        let joined = lock(&self.state).joins.get(&participant).map(|joined| {
            let mut known = Whence::clone(&joined.whence);
            if known.origin.reached.is_none() {
                known.origin.reached = whence.origin.reached;
                known.origin.is_named = whence.origin.is_named;
            }
            known.agent = known.agent.or_else(|| whence.agent.clone());
            Joined {
                room: joined.room.clone(),
                user: joined.user.clone(),
                whence: Arc::new(known),
                is_counted: joined.is_counted,
            }
        })?;
        let is_failing = !trace.was_connected && trace.is_answered;
        let facts = Facts::Media {
            trace,
            end: None,
            origin: joined.whence.origin,
        };
        let cause = of_join(&facts, &self.told, report.hint((self.clock)()))?;
        if is_failing {
            self.seen(participant, &joined, facts, cause.clone(), report.pairs);
        }
        Some(cause)
    }

    /// A client reports on a join that is over.
    pub(super) fn reported(&self, room: &RoomId, user: &UserId, report: Report) -> Option<Cause> {
        let now = (self.clock)();
        let named = report.participant;
        let mut state = lock(&self.state);
        let failure = state.ring.latest(now, |failure| {
            let is_theirs = failure.user.as_ref() == Some(user);
            let is_here = failure.room.as_ref().is_none_or(|of| of == room);
            is_theirs && is_here && (named.is_none() || failure.participant == named)
        })?;
        self.refine(failure, report, now)
    }

    /// What is known, with what the client says of it.
    fn refine(&self, failure: &mut Failure, report: Report, now: UnixMs) -> Option<Cause> {
        if let Some(cause) = of_join(&failure.facts, &self.told, report.hint(now)) {
            failure.cause = cause;
        }
        failure.client_pairs = report.pairs;
        Some(failure.cause.clone())
    }

    /// Remembers how somebody's media did not come up, once for each participant.
    fn seen(
        &self,
        participant: ParticipantId,
        joined: &Joined,
        facts: Facts,
        cause: Cause,
        client_pairs: Vec<ClientPair>,
    ) {
        let now = (self.clock)();
        let (pairs, stage) = if let Facts::Media { trace, .. } = &facts {
            (SeenPair::of(trace, now), Stage::of(trace))
        } else {
            (Vec::new(), Stage::Ice)
        };
        let is_theirs = |failure: &Failure| failure.participant == Some(participant);
        {
            let mut state = lock(&self.state);
            if let Some(known) = state.ring.latest(now, is_theirs) {
                // What was refused before is the reason of all that did not come up after it.
                if known.stage != Stage::Offer {
                    (known.cause, known.facts) = (cause, facts);
                    (known.pairs, known.stage) = (pairs, stage);
                    if !client_pairs.is_empty() {
                        known.client_pairs = client_pairs;
                    }
                }
                return;
            }
        }
        self.remember(Failure {
            at: now,
            room: Some(joined.room.clone()),
            user: Some(joined.user.clone()),
            participant: Some(participant),
            whence: Arc::clone(&joined.whence),
            stage,
            cause,
            pairs,
            client_pairs,
            facts,
        });
    }

    fn remember(&self, failure: Failure) {
        // Tokens are guessed and expire: that is no news.
        if failure.stage != Stage::Token {
            tracing::info!(
                target: "kaiwa::call",
                way = failure.whence.way.as_str(),
                stage = failure.stage.as_str(),
                kind = failure.cause.kind.as_str(),
                room = failure.room.as_ref().map(tracing::field::display),
                participant = failure.participant.map(tracing::field::display),
                "call.failure"
            );
        }
        lock(&self.state).ring.push(failure);
    }
}
