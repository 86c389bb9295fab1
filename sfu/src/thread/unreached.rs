//! What an operator is told when people's media does not get through.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two warnings. People who can't connect try again and again, and anybody can pretend to.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Counts for all shards those who never connected, and says when it is time to speak of them.
#[derive(Default)]
pub(super) struct Unreached {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    untold: u64,
    quiet_until: Option<Instant>,
}

impl Unreached {
    /// So many more never connected. Gives how many did not since it was said last, when it is to be said again.
    pub(super) fn handle_more(&self, now: Instant, more: u64) -> Option<u64> {
        let mut state = self.lock();
        state.untold += more;
        let is_quiet = state.quiet_until.is_some_and(|until| now < until);
        if state.untold == 0 || is_quiet {
            return None;
        }
        state.quiet_until = Some(now + WARNING_INTERVAL);
        Some(std::mem::take(&mut state.untold))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic can't leave two numbers half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says it in the log.
pub(super) fn warn(people: u64) {
    tracing::warn!(
        people,
        "media got through never once to people who joined calls: does UDP, or at least TCP, reach this \
         host at the addresses that were printed at start? If others reach it at another address, name it with --advertise"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_once_a_minute_for_all_who_came_to_it() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let unreached = Unreached::default();
        assert_eq!(unreached.handle_more(at(0), 0), None);
        assert_eq!(unreached.handle_more(at(1), 2), Some(2));
        assert_eq!(unreached.handle_more(at(2), 1), None);
        assert_eq!(unreached.handle_more(at(60), 4), None);
        assert_eq!(
            unreached.handle_more(at(61), 0),
            Some(5),
            "of another shard too"
        );
        assert_eq!(unreached.handle_more(at(200), 0), None, "nobody new");
        assert_eq!(unreached.handle_more(at(201), 1), Some(1));
    }
}
