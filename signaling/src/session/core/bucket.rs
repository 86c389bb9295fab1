//! A token bucket: so many at once, so many a second for long.

use std::time::{Duration, Instant};

/// Counts what somebody does against a rate. Time is an argument.
#[derive(Debug)]
pub struct TokenBucket {
    /// How long one unit takes to come back.
    interval: Duration,
    /// How much credit there can be, in time.
    burst: Duration,
    /// When the bucket will be full again. In the past: it is full.
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket. A rate of 0 counts as 1.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            burst: interval.saturating_mul(burst.max(1)),
            full_at: now,
        }
    }

    /// Takes one unit.
    ///
    /// # Errors
    /// How long to wait until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + self.interval;
        let debt = full_at.duration_since(now);
        if debt > self.burst {
            return Err(debt - self.burst);
        }
        self.full_at = full_at;
        Ok(())
    }

    /// Nothing is owed: forgetting the bucket changes nothing.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_counts() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 5, start);
        for _ in 0..5 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(start + Duration::from_millis(100)), Ok(()));
        assert!(bucket.take(start + Duration::from_millis(100)).is_err());
        let later = start + Duration::from_secs(60);
        assert!(bucket.is_full(later));
        for _ in 0..5 {
            assert_eq!(bucket.take(later), Ok(()));
        }
        assert!(
            bucket.take(later).is_err(),
            "waiting gives no more than the burst"
        );
    }
}
