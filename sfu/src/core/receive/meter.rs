//! What a layer costs: bytes and pictures of the last second.

use crate::unit::Bitrate;
use std::time::{Duration, Instant};

/// Temporal layers that are told apart; TID has two bits (RFC 7741, section 4.2).
pub const TEMPORAL_LAYERS: usize = 4;

/// The window is a second in steps of a tenth: long enough that a key frame does not look like a rate,
/// short enough to see a layer go away.
const STEPS: usize = 10;
const STEP: Duration = Duration::from_millis(100);

/// A rate of less than this much time is not extrapolated further.
const MIN_WINDOW: Duration = Duration::from_millis(300);

/// A sliding window.
#[derive(Debug)]
pub(super) struct RateMeter {
    started: Option<Instant>,
    steps: [Step; STEPS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    /// Which tenth of a second since the start.
    number: u64,
    bytes: [u32; TEMPORAL_LAYERS],
    frames: u32,
}

impl RateMeter {
    pub(super) fn new() -> Self {
        Self {
            started: None,
            steps: [Step::default(); STEPS],
        }
    }

    pub(super) fn handle_bytes(&mut self, now: Instant, temporal: u8, bytes: u16) {
        let step = self.step(now);
        let lane = usize::from(temporal).min(TEMPORAL_LAYERS - 1);
        step.bytes[lane] = step.bytes[lane].saturating_add(u32::from(bytes));
    }

    pub(super) fn handle_frame(&mut self, now: Instant) {
        let step = self.step(now);
        step.frames = step.frames.saturating_add(1);
    }

    pub(super) fn bitrate(&self, now: Instant, temporal: u8) -> Bitrate {
        let lanes = usize::from(temporal).min(TEMPORAL_LAYERS - 1) + 1;
        let bytes: u64 = self
            .window(now)
            .flat_map(|step| step.bytes.into_iter().take(lanes))
            .map(u64::from)
            .sum();
        let window = self.elapsed(now).clamp(MIN_WINDOW, STEP * 10);
        let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Bitrate(bytes * 8 * 1_000_000 / micros.max(1))
    }

    pub(super) fn frames(&self, now: Instant) -> u32 {
        self.window(now).map(|step| step.frames).sum()
    }

    pub(super) fn highest_temporal(&self, now: Instant) -> u8 {
        let seen = |lane: &u8| {
            let lane = usize::from(*lane);
            self.window(now).any(|step| step.bytes[lane] > 0)
        };
        (1..4u8).rev().find(seen).unwrap_or(0)
    }

    fn step(&mut self, now: Instant) -> &mut Step {
        self.started.get_or_insert(now);
        let number = self.number(now);
        let step = &mut self.steps[slot(number)];
        if step.number != number {
            *step = Step {
                number,
                ..Step::default()
            };
        }
        step
    }

    fn window(&self, now: Instant) -> impl Iterator<Item = Step> + use<'_> {
        let last = self.number(now);
        self.steps
            .iter()
            .copied()
            .filter(move |step| step.number <= last && step.number + STEPS as u64 > last)
    }

    /// Which tenth of a second it is.
    fn number(&self, now: Instant) -> u64 {
        u64::try_from(self.elapsed(now).as_millis() / STEP.as_millis()).unwrap_or(0)
    }

    fn elapsed(&self, now: Instant) -> Duration {
        self.started
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a remainder of a division by ten"
)]
fn slot(number: u64) -> usize {
    (number % STEPS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_rate_is_that_of_the_last_second_by_temporal_layer() {
        let start = Instant::now();
        let mut meter = RateMeter::new();
        for ms in 0..3_000 {
            // 1 Mbit/s in the lowest layer, as much in the third; twice that in the first second.
            let bytes = if ms < 1_000 { 250 } else { 125 };
            meter.handle_bytes(at(start, ms), 0, bytes);
            meter.handle_bytes(at(start, ms), 2, bytes);
            if ms % 40 == 0 {
                meter.handle_frame(at(start, ms));
            }
        }
        let now = at(start, 2_999);
        assert_eq!(meter.bitrate(now, 0), Bitrate::kbps(1_000));
        assert_eq!(meter.bitrate(now, 1), Bitrate::kbps(1_000));
        assert_eq!(meter.bitrate(now, 3), Bitrate::kbps(2_000));
        assert_eq!(meter.frames(now), 25);
        assert_eq!(meter.highest_temporal(now), 2);
        assert_eq!(meter.bitrate(at(start, 4_000), 3), Bitrate(0));
        assert_eq!(meter.highest_temporal(at(start, 4_000)), 0);
    }

    #[test]
    fn a_stream_that_just_began_has_its_rate_soon() {
        let start = Instant::now();
        let mut meter = RateMeter::new();
        for ms in 0..500 {
            meter.handle_bytes(at(start, ms), 0, 125);
        }
        assert_eq!(meter.bitrate(at(start, 500), 0), Bitrate::kbps(1_000));
    }
}
