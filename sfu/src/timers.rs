//! When each of many things is due next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Entries for each thing, and for all of them, up to which stale ones are left alone: looking through all
/// of them is paid for by as many pushes.
const STALE: usize = 4;
const STALE_MIN: usize = 256;

/// Deadlines of things by key. A thing that is scheduled again earlier has two entries for a while; the
/// later one fires for nothing, which costs less than taking it out, unless there are [too
/// many](Self::prune): one that is due in seconds may be scheduled over and over.
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
        }
    }

    /// Schedules a thing, whose earliest entry is kept in `scheduled`.
    pub(crate) fn schedule(&mut self, key: K, due: Instant, scheduled: &mut Option<Instant>) {
        if scheduled.is_none_or(|at| due < at) {
            *scheduled = Some(due);
            self.heap.push(Reverse((due, key)));
        }
    }

    /// Takes out what would fire for nothing when there is much of it, `things` being how many there are;
    /// `is_scheduled` says whether an entry is its thing's earliest.
    pub(crate) fn prune(&mut self, things: usize, is_scheduled: impl Fn(K, Instant) -> bool) {
        if self.heap.len() <= STALE * things + STALE_MIN {
            return;
        }
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.retain(|Reverse((due, key))| is_scheduled(*key, *due));
        entries.sort_unstable();
        entries.dedup();
        self.heap = entries.into();
    }

    /// Takes a thing that is due; whoever it is sets its `scheduled` to `None` if that is this entry.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        let Reverse((due, _)) = self.heap.peek()?;
        if *due > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Entries, those that will fire for nothing among them.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_later_wish_does_not_replace_an_earlier_one() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        let mut scheduled = None;
        timers.schedule(1, at(10), &mut scheduled);
        timers.schedule(1, at(20), &mut scheduled);
        timers.schedule(1, at(5), &mut scheduled);
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.pop_due(at(4)), None);
        assert_eq!(timers.pop_due(at(30)), Some((at(5), 1)));
        assert_eq!(timers.pop_due(at(30)), Some((at(10), 1)));
        assert_eq!(timers.pop_due(at(30)), None);
    }

    #[test]
    fn entries_that_fire_for_nothing_do_not_pile_up() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        let mut scheduled = None;
        for turn in 0..10_000 {
            // Each turn something comes up before the report, which is due in a while.
            timers.schedule(1, at(60_000), &mut scheduled);
            timers.schedule(1, at(turn), &mut scheduled);
            assert!(timers.pop_due(at(turn)).is_some());
            scheduled = None;
            timers.schedule(1, at(60_000), &mut scheduled);
            timers.prune(1, |key, due| key == 1 && scheduled == Some(due));
            assert!(timers.len() <= STALE + STALE_MIN + 1, "{}", timers.len());
        }
        assert_eq!(timers.next(), Some(at(60_000)), "what counts is kept");
    }
}
