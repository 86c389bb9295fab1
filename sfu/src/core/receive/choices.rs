//! What each choice of a stream with spatial layers costs: bytes of the last two seconds.

use crate::core::ring::{Choice, Layered, SPATIAL_LAYERS, TEMPORAL_LAYERS};
use crate::unit::Bitrate;
use std::time::{Duration, Instant};

const CHOICES: usize = SPATIAL_LAYERS as usize * TEMPORAL_LAYERS as usize;

/// As [`super::meter`] has it, and for its reasons.
const STEPS: usize = 20;
const SECOND: u64 = 10;
const STEP: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_secs(2);
const MIN_WINDOW: Duration = Duration::from_millis(300);

/// A sliding window.
#[derive(Debug, Default)]
pub(super) struct ChoiceMeter {
    started: Option<Instant>,
    /// The last tenth of a second in which something of each spatial layer came, and one more: 0 for never.
    seen: [u64; SPATIAL_LAYERS as usize],
    steps: [Step; STEPS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    /// Which tenth of a second since the start.
    number: u64,
    bytes: [u32; CHOICES],
}

impl ChoiceMeter {
    pub(super) fn handle_bytes(&mut self, now: Instant, frame: &Layered, bytes: u16) {
        self.started.get_or_insert(now);
        let number = self.number(now);
        if let Some(seen) = self.seen.get_mut(usize::from(frame.spatial)) {
            *seen = number + 1;
        }
        let step = &mut self.steps[slot(number)];
        if step.number != number {
            *step = Step {
                number,
                ..Step::default()
            };
        }
        for choice in Choice::all().filter(|choice| frame.part_of.has(*choice)) {
            let lane = &mut step.bytes[choice.index()];
            *lane = lane.saturating_add(u32::from(bytes));
        }
    }

    pub(super) fn bitrate(&self, now: Instant, choice: Choice) -> Bitrate {
        let last = self.number(now);
        let steps = self.steps.iter();
        let bytes: u64 = steps
            .filter(|step| step.number <= last && step.number + STEPS as u64 > last)
            .map(|step| u64::from(step.bytes[choice.index()]))
            .sum();
        let window = self.elapsed(now).clamp(MIN_WINDOW, WINDOW);
        let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Bitrate(bytes * 8 * 1_000_000 / micros.max(1))
    }

    pub(super) fn highest_spatial(&self, now: Instant) -> u8 {
        let last = self.number(now);
        let is_seen = |seen: &u64| *seen > 0 && seen + SECOND > last;
        let highest = self.seen.iter().rposition(is_seen).unwrap_or(0);
        u8::try_from(highest).unwrap_or(0)
    }

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

    fn frame(spatial: u8, temporal: u8) -> Layered {
        let above = |choice: &Choice| choice.spatial >= spatial && choice.temporal >= temporal;
        Layered {
            spatial,
            temporal,
            part_of: Choice::all().filter(above).collect(),
            ..Layered::default()
        }
    }

    #[test]
    fn each_choice_costs_what_is_part_of_it() {
        let start = Instant::now();
        let mut meter = ChoiceMeter::default();
        let at = |ms: u64| start + Duration::from_millis(ms);
        for ms in 0..4_000 {
            // Every other picture is of the second temporal layer.
            let temporal = u8::from(ms % 2 == 1);
            meter.handle_bytes(at(ms), &frame(0, temporal), 125);
            meter.handle_bytes(at(ms), &frame(1, temporal), 250);
        }
        let now = at(3_999);
        let rate = |spatial, temporal| meter.bitrate(now, Choice { spatial, temporal });
        assert_eq!(rate(0, 0), Bitrate::kbps(500));
        assert_eq!(rate(0, 1), Bitrate::kbps(1_000));
        assert_eq!(rate(1, 0), Bitrate::kbps(1_500));
        assert_eq!(rate(2, 3), Bitrate::kbps(3_000));
        assert_eq!(meter.highest_spatial(now), 1);
        assert_eq!(meter.highest_spatial(at(5_500)), 0);
    }
}
