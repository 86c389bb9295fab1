//! How often each person asks about calls.

use crate::session::core::bucket::TokenBucket;
use kaiwa_common::id::UserId;
use kaiwa_common::limits::CALL_ASKERS;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A rate of each person's own. Time is an argument.
#[derive(Debug)]
pub struct PeopleRates {
    per_second: u32,
    burst: u32,
    owing: HashMap<UserId, TokenBucket>,
}

impl PeopleRates {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst,
            owing: HashMap::new(),
        }
    }

    /// Counts a question. Of more people than [`CALL_ASKERS`] those are forgotten who owe nothing.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&mut self, user: &UserId, now: Instant) -> Result<(), Duration> {
        if !self.owing.contains_key(user) && self.owing.len() >= CALL_ASKERS {
            self.owing.retain(|_, bucket| !bucket.is_full(now));
            if self.owing.len() >= CALL_ASKERS {
                return Err(Duration::from_secs(1));
            }
        }
        let bucket = self.owing.entry(user.clone());
        bucket
            .or_insert_with(|| TokenBucket::new(self.per_second, self.burst, now))
            .take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> UserId {
        UserId::parse(&format!("u{number}")).expect("an id")
    }

    #[test]
    fn each_has_a_rate_of_their_own_and_a_crowd_takes_bounded_memory() {
        let start = Instant::now();
        let mut rates = PeopleRates::new(1, 2);
        assert_eq!(rates.take(&user(0), start), Ok(()));
        assert_eq!(rates.take(&user(0), start), Ok(()));
        assert_eq!(rates.take(&user(0), start), Err(Duration::from_secs(1)));
        for number in 1..CALL_ASKERS {
            assert_eq!(rates.take(&user(number), start), Ok(()));
        }
        let one_more = user(CALL_ASKERS);
        assert!(rates.take(&one_more, start).is_err(), "all owe something");
        let later = start + Duration::from_secs(1);
        assert_eq!(rates.take(&one_more, later), Ok(()));
        assert_eq!(rates.owing.len(), 2, "of the crowd only who owes");
    }
}
