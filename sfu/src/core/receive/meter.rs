//! What a layer costs: bytes of the last two seconds, and pictures of the last one.

use crate::unit::Bitrate;
use std::time::{Duration, Instant};

/// Temporal layers that are told apart; TID has two bits (RFC 7741, section 4.2).
pub const TEMPORAL_LAYERS: usize = 4;

/// The window is two seconds in steps of a tenth: long enough that a key frame does not look like a rate
/// (in one second it makes a small layer half as much again, for which subscribers have paused it), short
/// enough to see a layer grow. Pictures are counted over half of it, to see a layer go away.
const STEPS: usize = 20;
const SECOND: usize = 10;
const STEP: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_secs(2);

/// A layer that began less than this ago is still finding its rate.
const STEADY_AFTER: Duration = Duration::from_secs(1);

/// A rate of less than this much time is not extrapolated further.
const MIN_WINDOW: Duration = Duration::from_millis(300);

/// A sliding window.
#[derive(Debug)]
pub(super) struct RateMeter {
    started: Option<Instant>,
    /// Since when something comes without a pause as long as the window.
    began: Option<Instant>,
    last: Option<Instant>,
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
            began: None,
            last: None,
            steps: [Step::default(); STEPS],
        }
    }

    pub(super) fn handle_bytes(&mut self, now: Instant, temporal: u8, bytes: u16) {
        if self.last.is_none_or(|last| now >= last + WINDOW) {
            self.began = Some(now);
        }
        self.last = Some(now);
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
            .window(now, STEPS)
            .flat_map(|step| step.bytes.into_iter().take(lanes))
            .map(u64::from)
            .sum();
        let age = self.age(now);
        let window = age.clamp(MIN_WINDOW, WINDOW);
        let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Bitrate(bytes * 8 * 1_000_000 / micros.max(1))
    }

    pub(super) fn frames(&self, now: Instant) -> u32 {
        self.window(now, SECOND).map(|step| step.frames).sum()
    }

    /// Whether its rate can be relied on: it has come for a second without a long pause.
    pub(super) fn is_steady(&self, now: Instant) -> bool {
        self.age(now) >= STEADY_AFTER
    }

    pub(super) fn highest_temporal(&self, now: Instant) -> u8 {
        let seen = |lane: &u8| {
            let lane = usize::from(*lane);
            self.window(now, SECOND).any(|step| step.bytes[lane] > 0)
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

    /// The last so many steps.
    fn window(&self, now: Instant, steps: usize) -> impl Iterator<Item = Step> + use<'_> {
        let last = self.number(now);
        self.steps
            .iter()
            .copied()
            .filter(move |step| step.number <= last && step.number + steps as u64 > last)
    }

    fn age(&self, now: Instant) -> Duration {
        self.began
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
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
    reason = "a remainder of a division by twenty"
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
    fn a_rate_is_that_of_the_last_two_seconds_by_temporal_layer() {
        let start = Instant::now();
        let mut meter = RateMeter::new();
        for ms in 0..4_000 {
            // 1 Mbit/s in the lowest layer, as much in the third; twice that at first.
            let bytes = if ms < 2_000 { 250 } else { 125 };
            meter.handle_bytes(at(start, ms), 0, bytes);
            meter.handle_bytes(at(start, ms), 2, bytes);
            if ms % 40 == 0 {
                meter.handle_frame(at(start, ms));
            }
        }
        let now = at(start, 3_999);
        assert_eq!(meter.bitrate(now, 0), Bitrate::kbps(1_000));
        assert_eq!(meter.bitrate(now, 1), Bitrate::kbps(1_000));
        assert_eq!(meter.bitrate(now, 3), Bitrate::kbps(2_000));
        assert_eq!(meter.frames(now), 25);
        assert_eq!(meter.highest_temporal(now), 2);
        assert_eq!(meter.bitrate(at(start, 6_000), 3), Bitrate(0));
        assert_eq!(meter.highest_temporal(at(start, 5_000)), 0);
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
    #[test]
    fn a_layer_that_comes_back_is_measured_from_then_on_and_steady_after_a_second() {
        let start = Instant::now();
        let mut meter = RateMeter::new();
        assert!(!meter.is_steady(start));
        for ms in 0..2_000 {
            meter.handle_bytes(at(start, ms), 0, 125);
        }
        assert!(meter.is_steady(at(start, 2_000)));
        for ms in 10_000..10_500 {
            meter.handle_bytes(at(start, ms), 0, 125);
        }
        assert!(!meter.is_steady(at(start, 10_900)));
        assert_eq!(meter.bitrate(at(start, 10_500), 0), Bitrate::kbps(1_000));
        assert!(meter.is_steady(at(start, 11_000)));
    }

    #[test]
    fn a_key_frame_does_not_look_like_a_rate() {
        let start = Instant::now();
        let mut meter = RateMeter::new();
        for ms in 0..2_000 {
            meter.handle_bytes(at(start, ms), 0, 18);
        }
        meter.handle_bytes(at(start, 2_000), 0, 8_000);
        let with = meter.bitrate(at(start, 2_010), 0);
        assert!(with < Bitrate::kbps(180), "{with:?}");
    }
}
