//! When each of many things is due next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Deadlines of things by key. A thing that is scheduled again earlier has two entries for a while; the
/// later one fires for nothing, which costs less than taking it out.
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
}
