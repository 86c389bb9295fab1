//! When a client comes back after its connection ended: section 8 of the specification.

use crate::rng::Rng;
use kaiwa_proto::client::v1::Bye;
use std::time::Duration;

/// What a client does after its connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comeback {
    /// Connect again after this long, resuming the session.
    Resume(Duration),
    /// Connect again after this long with a fresh token; the session is resumed if it still can be.
    Refresh(Duration),
    /// Not at all: the server said stop.
    Stop,
}

/// How long to wait where the server names no time.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The least before the first attempt.
    pub least: Duration,
    /// The most before the first attempt; it doubles with every failure.
    pub most: Duration,
    /// The most before any attempt.
    pub ceiling: Duration,
    /// Times named by a `bye` are cut to this, so that a test needn't wait; `None` to obey.
    pub bye_ceiling: Option<Duration>,
}

impl Default for Policy {
    /// As the specification says: 500–3,000 ms, doubling up to 30 s, and a `bye` is obeyed.
    fn default() -> Self {
        Self {
            least: Duration::from_millis(500),
            most: Duration::from_secs(3),
            ceiling: Duration::from_secs(30),
            bye_ceiling: None,
        }
    }
}

impl Policy {
    /// Decides by the code's range, also for codes that nobody knows yet; `failures` counts attempts
    /// since the last connection that got as far as `Connected`.
    pub fn decide(
        &self,
        code: Option<u16>,
        bye: Option<&Bye>,
        failures: u32,
        rng: &mut Rng,
    ) -> Comeback {
        let code = bye.and_then(|b| u16::try_from(b.code).ok()).or(code);
        match code {
            Some(4300..=4399) => Comeback::Stop,
            Some(4200..=4299) => {
                Comeback::Resume(self.named(bye, rng).unwrap_or(Duration::from_secs(30)))
            }
            Some(4100..=4199) => Comeback::Refresh(self.named(bye, rng).unwrap_or(Duration::ZERO)),
            Some(4000..=4099) => {
                let wait = self.named(bye, rng);
                Comeback::Resume(wait.unwrap_or_else(|| self.doubled(failures, rng)))
            }
            _ => Comeback::Resume(self.doubled(failures, rng)),
        }
    }

    fn named(&self, bye: Option<&Bye>, rng: &mut Rng) -> Option<Duration> {
        let bye = bye?;
        let ms = rng.between(u64::from(bye.retry_min_ms), u64::from(bye.retry_max_ms));
        let wait = Duration::from_millis(ms);
        Some(self.bye_ceiling.map_or(wait, |ceiling| wait.min(ceiling)))
    }

    fn doubled(&self, failures: u32, rng: &mut Rng) -> Duration {
        let factor = 1_u32 << failures.min(10);
        let most = self.most.saturating_mul(factor).min(self.ceiling);
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rng.between(ms(self.least.min(most)), ms(most)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bye(code: u32, min: u32, max: u32) -> Bye {
        Bye {
            code,
            retry_min_ms: min,
            retry_max_ms: max,
            ..Bye::default()
        }
    }

    fn decide(code: Option<u16>, bye: Option<&Bye>, failures: u32) -> Comeback {
        Policy::default().decide(code, bye, failures, &mut Rng::new(1))
    }

    #[test]
    fn the_range_decides_also_for_unknown_codes() {
        assert!(matches!(decide(Some(4077), None, 0), Comeback::Resume(_)));
        assert!(matches!(decide(Some(4177), None, 0), Comeback::Refresh(_)));
        assert_eq!(
            decide(Some(4277), None, 0),
            Comeback::Resume(Duration::from_secs(30))
        );
        assert_eq!(decide(Some(4377), None, 0), Comeback::Stop);
    }

    #[test]
    fn the_bye_names_the_time() {
        let wait = decide(Some(4000), Some(&bye(4000, 700, 700)), 0);
        assert_eq!(wait, Comeback::Resume(Duration::from_millis(700)));
    }

    #[test]
    fn a_loss_without_a_code_waits_longer_each_time_up_to_the_ceiling() {
        for (failures, most) in [(0, 3), (1, 6), (2, 12), (9, 30), (99, 30)] {
            let Comeback::Resume(wait) = decide(None, None, failures) else {
                panic!("stops")
            };
            assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_secs(most));
        }
    }
}
