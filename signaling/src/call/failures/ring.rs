//! The failed joins that are remembered, the oldest first.

use super::Failure;
use kaiwa_common::address::subscriber;
use kaiwa_common::limits::{
    CALL_FAILURE_KEPT, CALL_FAILURE_REPORTED, CALL_FAILURES, CALL_FAILURES_PERSON,
    CALL_FAILURES_ROOM, CALL_FAILURES_UNKNOWN,
};
use kaiwa_common::time::UnixMs;
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Ring {
    failures: VecDeque<Failure>,
}

impl Ring {
    /// Remembers one; the oldest give way: those of the same person, then of the same kind, then of the node.
    pub(super) fn push(&mut self, failure: Failure) {
        let now = failure.at;
        self.failures.retain(|known| is_kept(known, now));
        self.make_room(CALL_FAILURES_PERSON, |known| is_of_one(known, &failure));
        let bound = match (&failure.user, &failure.room) {
            (Some(_), Some(_)) => CALL_FAILURES_ROOM,
            (None, _) | (_, None) => CALL_FAILURES_UNKNOWN,
        };
        self.make_room(bound, |known| is_of_one_kind(known, &failure));
        self.make_room(CALL_FAILURES, |_| true);
        self.failures.push_back(failure);
    }

    /// Forgets the oldest of these if there are as many as may be.
    fn make_room(&mut self, bound: usize, is_alike: impl Fn(&Failure) -> bool) {
        let alike = self.failures.iter().filter(|known| is_alike(known)).count();
        if alike >= bound
            && let Some(oldest) = self.failures.iter().position(is_alike)
        {
            self.failures.remove(oldest);
        }
    }

    /// These, the newest first.
    pub(super) fn select(&self, now: UnixMs, is_wanted: impl Fn(&Failure) -> bool) -> Vec<Failure> {
        let failures = self.failures.iter().rev();
        let wanted = failures.filter(|failure| is_kept(failure, now) && is_wanted(failure));
        wanted.cloned().collect()
    }

    /// The latest of these that a report may be about.
    pub(super) fn latest(
        &mut self,
        now: UnixMs,
        is_wanted: impl Fn(&Failure) -> bool,
    ) -> Option<&mut Failure> {
        let mut failures = self.failures.iter_mut().rev();
        failures
            .find(|failure| now.since(failure.at) <= CALL_FAILURE_REPORTED && is_wanted(failure))
    }

    /// Forgets these.
    pub(super) fn forget(&mut self, is_wanted: impl Fn(&Failure) -> bool) {
        self.failures.retain(|failure| !is_wanted(failure));
    }
}

/// Of one person; of nobody known, from one address.
fn is_of_one(known: &Failure, other: &Failure) -> bool {
    let address = |failure: &Failure| failure.whence.origin.client.map(subscriber);
    known.user == other.user && (known.user.is_some() || address(known) == address(other))
}

/// Of nobody known, of whichever room, so that strangers push out nobody else's; else of one room, or of none.
fn is_of_one_kind(known: &Failure, other: &Failure) -> bool {
    match (&known.user, &other.user) {
        (None, None) => true,
        (Some(_), Some(_)) => known.room == other.room,
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Within its time. One of a clock that was set back since is kept as well: it will be pushed out.
fn is_kept(failure: &Failure, now: UnixMs) -> bool {
    now.since(failure.at) < CALL_FAILURE_KEPT
}
