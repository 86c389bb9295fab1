//! A queue and providers that are scripted, on a clock that is tokio's paused one.

#[path = "support/make.rs"]
pub(crate) mod make;
#[path = "support/provider.rs"]
pub(crate) mod provider;
#[path = "support/queue.rs"]
pub(crate) mod queue;
#[path = "support/world.rs"]
pub(crate) mod world;

use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// Wall-clock time that goes with tokio's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SimClock {
    base: UnixMs,
    start: Instant,
}

impl SimClock {
    pub(crate) fn at(base: UnixMs) -> Self {
        let start = Instant::now();
        Self { base, start }
    }
}

impl Clock for SimClock {
    fn now(&self) -> UnixMs {
        self.base.plus(self.start.elapsed())
    }

    fn sleep_until(&self, until: UnixMs) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let until = self.start + until.since(self.base);
        Box::pin(tokio::time::sleep_until(until))
    }
}

/// Chance from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Less than this.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn upto(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(self.below(longest.as_millis() as u64 + 1))
    }
}
