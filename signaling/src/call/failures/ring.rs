//! The failed joins that are remembered, the oldest first.

use super::Failure;
use kaiwa_common::limits::{
    CALL_FAILURE_KEPT, CALL_FAILURE_REPORTED, CALL_FAILURES, CALL_FAILURES_ROOM,
    CALL_FAILURES_UNKNOWN,
};
use kaiwa_common::time::UnixMs;
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Ring {
    failures: VecDeque<Failure>,
}

impl Ring {
    /// Remembers one; the oldest give way.
    pub(super) fn push(&mut self, failure: Failure) {
        let now = failure.at;
        self.failures.retain(|known| is_kept(known, now));
        // Of nobody known, of whichever room, and of no room: so that strangers and tokens that have expired push out
        // nobody else's.
        let is_apart = |failure: &Failure| failure.user.is_none() || failure.room.is_none();
        let (room, is_unknown) = (failure.room.clone(), is_apart(&failure));
        let bound = if is_unknown {
            CALL_FAILURES_UNKNOWN
        } else {
            CALL_FAILURES_ROOM
        };
        let is_alike =
            |other: &Failure| is_apart(other) == is_unknown && (is_unknown || other.room == room);
        let alike = self.failures.iter().filter(|other| is_alike(other)).count();
        if alike >= bound
            && let Some(oldest) = self.failures.iter().position(is_alike)
        {
            self.failures.remove(oldest);
        }
        if self.failures.len() >= CALL_FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back(failure);
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

/// Within its time. One of a clock that was set back since is kept as well: it will be pushed out.
fn is_kept(failure: &Failure, now: UnixMs) -> bool {
    now.since(failure.at) < CALL_FAILURE_KEPT
}
