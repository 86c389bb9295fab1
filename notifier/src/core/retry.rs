//! What becomes of a message that was not done with: the typed errors and the back-off.

use kaiwa_common::time::UnixMs;
use kaiwa_platform::queue::VISIBILITY;
use std::time::Duration;

/// Why a message is not done with, by what is to be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Receive it again after this.
    Retry {
        /// At least.
        after: Duration,
        /// What happened.
        code: String,
    },
    /// Receive it again after a while that grows.
    Backoff {
        /// What happened.
        code: String,
    },
    /// The same message, but with a receive count from one on: it did nothing wrong, its provider is away.
    Park {
        /// For so long.
        delay: Duration,
    },
    /// To the dead letters: it will never work.
    Poison {
        /// Why, for whoever looks at it.
        reason: String,
    },
    /// Nobody wants it any more.
    Drop {
        /// Why.
        reason: &'static str,
    },
}

/// The first back-off's bound. Each receive's is four times the one before: the first four are within a minute, so that
/// a breaker sees an outage, and all eight take twenty minutes (forty at most), so that a provider that throttles for
/// some minutes without a word buries nothing.
pub const BASE: Duration = Duration::from_secs(2);

/// The largest back-off that is our own choice.
pub const CAP: Duration = Duration::from_secs(15 * 60);

/// Full jitter: anything from nothing to `BASE · 4^(receives - 1)`, at most [`CAP`], so that what failed
/// together does not come again together. `roll` is any number.
#[must_use]
pub fn backoff(receives: u32, roll: u64) -> Duration {
    let before = receives.saturating_sub(1).min(8);
    let bound = BASE.saturating_mul(4_u32.pow(before)).min(CAP);
    let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(roll % (bound_ms + 1))
}

/// When to receive it again: what the provider wishes, or later. It is no use to come again after the
/// end, so the end is then; and no queue hides a message for longer than [`VISIBILITY`].
#[must_use]
pub fn again(wish: Option<Duration>, backoff: Duration, now: UnixMs, expires: UnixMs) -> Duration {
    let wanted = wish.unwrap_or_default().max(backoff);
    wanted
        .min(expires.since(now))
        .min(VISIBILITY - Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_grows_and_is_bounded() {
        assert_eq!(backoff(1, 2_000), Duration::from_secs(2));
        assert_eq!(backoff(1, 2_001), Duration::ZERO);
        assert_eq!(backoff(4, 128_000), Duration::from_secs(128));
        assert_eq!(backoff(u32::MAX, 900_000), CAP);
        assert_eq!(backoff(0, 2_000), Duration::from_secs(2));
    }

    #[test]
    fn what_is_not_given_up_for_many_minutes_is_tried_four_times_in_one() {
        use kaiwa_common::limits::NOTIFY_RECEIVES;
        let most = |receives| {
            let rolls = (0..=900_000).step_by(1_000);
            let all = rolls.map(|roll| backoff(receives, roll));
            all.max().unwrap_or_default()
        };
        let until = |receives: u32| (1..receives).map(most).sum::<Duration>();
        assert!(until(4) < Duration::from_secs(50), "{:?}", until(4));
        let half = until(NOTIFY_RECEIVES) / 2;
        assert!(half > Duration::from_secs(15 * 60), "on average {half:?}");
    }

    #[test]
    fn a_providers_wish_is_kept_unless_it_is_beyond_the_end() {
        let (now, end) = (UnixMs(0), UnixMs(3_600_000));
        let wish = Some(Duration::from_secs(120));
        assert_eq!(
            again(wish, Duration::from_secs(5), now, end),
            Duration::from_secs(120)
        );
        assert_eq!(
            again(wish, Duration::from_secs(300), now, end),
            Duration::from_secs(300)
        );
        let late = Some(Duration::from_secs(86_400));
        assert_eq!(
            again(late, Duration::ZERO, now, end),
            Duration::from_secs(3_600)
        );
        let day = UnixMs(48 * 3_600_000);
        assert!(again(late, Duration::ZERO, now, day) < VISIBILITY);
    }
}
