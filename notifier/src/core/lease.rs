//! Leases on received messages: each is extended at half of its time until its handler is done.

use kaiwa_common::time::UnixMs;
use kaiwa_platform::queue::{BATCH, Receipt};
use std::collections::BTreeMap;
use std::time::Duration;

/// Names a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(u64);

/// The leases on one queue's messages.
#[derive(Debug)]
pub struct Leases {
    held: BTreeMap<LeaseId, Lease>,
    next: u64,
    visibility: Duration,
}

#[derive(Debug)]
struct Lease {
    receipt: Receipt,
    taken: UnixMs,
    /// Others may receive it from then on.
    deadline: UnixMs,
    due: UnixMs,
}

/// SQS hides a message for 12 hours at most, from its receive on; an hour is left for giving it back.
pub const LONGEST: Duration = Duration::from_secs(11 * 3600);

/// After an extension that failed, it is tried again so much later.
const AGAIN: Duration = Duration::from_secs(1);

impl Leases {
    /// None yet. Each message is hidden for so long, at first and with each extension.
    #[must_use]
    pub fn new(visibility: Duration) -> Self {
        Self {
            held: BTreeMap::new(),
            next: 0,
            visibility,
        }
    }

    /// A message was received. `roll` is any number.
    pub fn hold(&mut self, receipt: Receipt, now: UnixMs, roll: u64) -> LeaseId {
        let id = LeaseId(self.next);
        self.next += 1;
        let lease = Lease {
            receipt,
            taken: now,
            deadline: now.plus(self.visibility),
            due: now.plus(self.half(roll)),
        };
        self.held.insert(id, lease);
        id
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMs> {
        self.held.values().map(|lease| lease.due).min()
    }

    /// Those to be extended now, in one call: by their [`visibility`](Self::visibility).
    #[must_use]
    pub fn due(&self, now: UnixMs) -> Vec<(LeaseId, Receipt)> {
        let due = self.held.iter().filter(|(_, lease)| lease.due <= now);
        let due = due.map(|(id, lease)| (*id, lease.receipt.clone()));
        due.take(BATCH).collect()
    }

    /// For how long each extension hides a message.
    #[must_use]
    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    /// The extension was granted. False when it was the last one: the lease is over, and its handler
    /// has to stop. `roll` is any number.
    pub fn extended(&mut self, id: LeaseId, now: UnixMs, roll: u64) -> bool {
        let half = self.half(roll);
        let Some(lease) = self.held.get_mut(&id) else {
            return true;
        };
        if now >= lease.taken.plus(LONGEST) {
            self.held.remove(&id);
            return false;
        }
        lease.deadline = now.plus(self.visibility);
        lease.due = now.plus(half);
        true
    }

    /// The extension failed. False when the time is up: somebody else may have it now.
    pub fn failed(&mut self, id: LeaseId, now: UnixMs) -> bool {
        let Some(lease) = self.held.get_mut(&id) else {
            return true;
        };
        lease.due = now.plus(AGAIN);
        let is_held = lease.due < lease.deadline;
        if !is_held {
            self.held.remove(&id);
        }
        is_held
    }

    /// Ends a lease: its handler is done, or somebody else has its message. False when it was over.
    pub fn stop(&mut self, id: LeaseId) -> bool {
        self.held.remove(&id).is_some()
    }

    /// Half of the time, up to a tenth of it earlier, so that not all come at once.
    fn half(&self, roll: u64) -> Duration {
        let half = self.visibility / 2;
        let tenth_ms = u64::try_from(self.visibility.as_millis() / 10).unwrap_or(u64::MAX);
        half.saturating_sub(Duration::from_millis(roll % (tenth_ms + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases() -> Leases {
        Leases::new(Duration::from_secs(30))
    }

    fn receipt(name: &str) -> Receipt {
        Receipt(name.to_owned())
    }

    #[test]
    fn a_lease_is_due_at_half_of_its_time_or_a_little_before() {
        let mut leases = leases();
        let id = leases.hold(receipt("a"), UnixMs(0), 3_000);
        assert_eq!(leases.next_due(), Some(UnixMs(12_000)));
        assert!(leases.due(UnixMs(11_999)).is_empty());
        assert_eq!(leases.due(UnixMs(12_000)).len(), 1);
        assert!(leases.extended(id, UnixMs(12_000), 0));
        assert_eq!(leases.next_due(), Some(UnixMs(27_000)));
    }

    #[test]
    fn extensions_go_in_batches() {
        let mut leases = leases();
        for n in 0..25 {
            leases.hold(receipt(&n.to_string()), UnixMs(0), 0);
        }
        assert_eq!(leases.due(UnixMs(15_000)).len(), BATCH);
    }

    #[test]
    fn failed_extensions_are_tried_until_the_time_is_up() {
        let mut leases = leases();
        let id = leases.hold(receipt("a"), UnixMs(0), 0);
        assert!(leases.failed(id, UnixMs(15_000)));
        assert_eq!(leases.next_due(), Some(UnixMs(16_000)));
        assert!(!leases.failed(id, UnixMs(29_000)));
        assert!(!leases.stop(id), "it is over");
    }

    #[test]
    fn nothing_is_held_longer_than_the_queue_allows() {
        let mut leases = leases();
        let id = leases.hold(receipt("a"), UnixMs(0), 0);
        let last = UnixMs(0).plus(LONGEST);
        assert!(leases.extended(id, UnixMs(last.0 - 1), 0));
        assert!(!leases.extended(id, last, 0));
    }
}
