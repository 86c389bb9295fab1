//! How well media gets through, as people are shown it.
//!
//! The bounds are those at which people notice: ITU-T G.114 calls 150 ms one way good and 400 ms the
//! limit; with repair and redundancy 2 % of loss are not seen, 10 % are.

use crate::control::Quality;
use std::time::Duration;

/// What was measured over some seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Packets that did not come at first, in 256ths of those expected.
    pub fraction_lost: u8,
    /// The round trip; `None` when it can't be known, and then it is no reason for anything.
    pub rtt: Option<Duration>,
    /// Of arrivals.
    pub jitter: Duration,
    /// Nothing at all was heard of the other side.
    pub is_silent: bool,
}

/// Loss above which media is as good as gone: three quarters, in 256ths.
const LOST_ABOVE: u8 = 192;
/// Loss above which it is bad to use: a tenth.
const POOR_ABOVE: u8 = 26;
/// Loss above which it is noticed: 2 %.
const FAIR_ABOVE: u8 = 5;

/// Worse samples in a row that count. One report may catch a burst.
const WORSE_IN_A_ROW: u8 = 2;
/// Better samples in a row that count: what was just bad is not at once called good.
const BETTER_IN_A_ROW: u8 = 4;

/// The quality of one sample, by its worst part.
#[must_use]
pub fn score(sample: Sample) -> Quality {
    if sample.is_silent || sample.fraction_lost > LOST_ABOVE {
        return Quality::Lost;
    }
    let loss = match sample.fraction_lost {
        lost if lost > POOR_ABOVE => Quality::Poor,
        lost if lost > FAIR_ABOVE => Quality::Fair,
        _ => Quality::Good,
    };
    let rtt = by_bounds(
        sample.rtt.unwrap_or_default(),
        Duration::from_millis(300),
        Duration::from_millis(800),
    );
    let jitter = by_bounds(
        sample.jitter,
        Duration::from_millis(50),
        Duration::from_millis(150),
    );
    loss.min(rtt).min(jitter)
}

fn by_bounds(value: Duration, good: Duration, fair: Duration) -> Quality {
    if value <= good {
        Quality::Good
    } else if value <= fair {
        Quality::Fair
    } else {
        Quality::Poor
    }
}

/// The quality over time. It begins as good, and changes when several samples in a row say so.
#[derive(Debug, Clone, Copy)]
pub struct QualityMeter {
    shown: Quality,
    /// The best of the worse samples, or the worst of the better ones, in a row.
    other: Quality,
    in_a_row: u8,
}

impl Default for QualityMeter {
    fn default() -> Self {
        Self {
            shown: Quality::Good,
            other: Quality::Good,
            in_a_row: 0,
        }
    }
}

impl QualityMeter {
    /// What is shown.
    #[must_use]
    pub fn get(&self) -> Quality {
        self.shown
    }

    /// Takes a sample; gives the quality if it changed.
    pub fn handle_sample(&mut self, sample: Sample) -> Option<Quality> {
        let quality = score(sample);
        if quality == self.shown {
            self.in_a_row = 0;
            return None;
        }
        let is_worse = quality < self.shown;
        let goes_on = self.in_a_row > 0 && is_worse == (self.other < self.shown);
        self.other = match (goes_on, is_worse) {
            (false, _) => quality,
            (true, true) => self.other.max(quality),
            (true, false) => self.other.min(quality),
        };
        self.in_a_row = if goes_on { self.in_a_row + 1 } else { 1 };
        let needed = if is_worse {
            WORSE_IN_A_ROW
        } else {
            BETTER_IN_A_ROW
        };
        if self.in_a_row < needed {
            return None;
        }
        self.in_a_row = 0;
        self.shown = self.other;
        Some(self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(fraction_lost: u8) -> Sample {
        Sample {
            fraction_lost,
            rtt: Some(Duration::from_millis(40)),
            jitter: Duration::from_millis(5),
            is_silent: false,
        }
    }

    #[test]
    fn the_worst_part_counts() {
        assert_eq!(score(lost(0)), Quality::Good);
        assert_eq!(score(lost(10)), Quality::Fair);
        assert_eq!(score(lost(30)), Quality::Poor);
        assert_eq!(score(lost(255)), Quality::Lost);
        let slow = Sample {
            rtt: Some(Duration::from_millis(900)),
            ..lost(0)
        };
        assert_eq!(score(slow), Quality::Poor);
        let silent = Sample {
            is_silent: true,
            ..lost(0)
        };
        assert_eq!(score(silent), Quality::Lost);
    }

    #[test]
    fn one_bad_sample_is_not_shown_and_two_are() {
        let mut meter = QualityMeter::default();
        assert_eq!(meter.handle_sample(lost(200)), None);
        assert_eq!(meter.handle_sample(lost(0)), None);
        assert_eq!(meter.handle_sample(lost(200)), None);
        assert_eq!(meter.handle_sample(lost(30)), Some(Quality::Poor));
    }

    #[test]
    fn what_was_bad_is_good_after_a_while() {
        let mut meter = QualityMeter::default();
        meter.handle_sample(lost(30));
        meter.handle_sample(lost(30));
        assert_eq!(meter.get(), Quality::Poor);
        for _ in 0..3 {
            assert_eq!(meter.handle_sample(lost(0)), None);
        }
        assert_eq!(meter.handle_sample(lost(10)), Some(Quality::Fair));
    }
}
