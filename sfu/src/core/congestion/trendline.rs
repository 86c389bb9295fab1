//! Whether the queue on the path grows: the slope of the delay against an adaptive threshold
//! (draft-ietf-rmcat-gcc-02, sections 5.3 and 5.4; the slope by least squares instead of a Kalman
//! filter, as libwebrtc's `TrendlineEstimator` does it).

use super::arrival::Spacing;

/// Groups that the slope is fitted to. At 25 frames a second they are 0.8 s; fewer see jitter as
/// congestion, more see congestion late.
const WINDOW: usize = 20;

/// How much of the old value remains in the smoothed delay.
const SMOOTHING: f64 = 0.9;

/// The slope is worth more the more groups speak for it, up to this many.
const COUNT_MAX: u32 = 60;

/// What makes slopes comparable to thresholds in ms.
const GAIN: f64 = 4.0;

/// Where the threshold starts and its bounds, in ms (draft, section 5.4).
const THRESHOLD_START_MS: f64 = 12.5;
const THRESHOLD_MIN_MS: f64 = 6.0;
const THRESHOLD_MAX_MS: f64 = 600.0;

/// How fast the threshold follows the slope up and down, per ms. Down must be slower than a queue
/// grows, or competing TCP flows starve us (draft, section 5.4).
const FOLLOW_UP: f64 = 0.008_7;
const FOLLOW_DOWN: f64 = 0.039;

/// A slope that is further from the threshold than this is an outlier, a route change say, and does not
/// move it.
const OUTLIER_MS: f64 = 15.0;

/// Time between two groups that the threshold takes into account at most, in ms.
const STEP_MAX_MS: f64 = 100.0;

/// How long the slope must exceed the threshold (draft, section 5.4).
const OVERUSE_MS: f64 = 10.0;

/// What the delay says of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    /// The queue neither grows nor shrinks.
    #[default]
    Normal,
    /// It grows: more is sent than the path carries.
    Over,
    /// It shrinks.
    Under,
}

/// Delay observations and the state of the detector.
#[derive(Debug)]
pub(super) struct Trendline {
    /// (ms since the first arrival, smoothed delay in ms), the oldest at `next` once it is full.
    points: [(f64, f64); WINDOW],
    next: usize,
    count: u32,
    first_us: Option<i64>,
    delay_ms: f64,
    smoothed_ms: f64,
    threshold_ms: f64,
    last_update_us: Option<i64>,
    over_ms: Option<f64>,
    over_count: u32,
    previous_slope: f64,
    usage: Usage,
}

impl Trendline {
    pub(super) fn new() -> Self {
        Self {
            points: [(0.0, 0.0); WINDOW],
            next: 0,
            count: 0,
            first_us: None,
            delay_ms: 0.0,
            smoothed_ms: 0.0,
            threshold_ms: THRESHOLD_START_MS,
            last_update_us: None,
            over_ms: None,
            over_count: 0,
            previous_slope: 0.0,
            usage: Usage::Normal,
        }
    }

    /// What the groups up to now say.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes two groups' spacing.
    pub(super) fn handle(&mut self, spacing: Spacing) {
        let first_us = *self.first_us.get_or_insert(spacing.at_us);
        self.count = (self.count + 1).min(1_000);
        self.delay_ms += spacing.arrived_ms - spacing.sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.delay_ms;
        self.points[self.next] = (
            (spacing.at_us - first_us) as f64 / 1_000.0,
            self.smoothed_ms,
        );
        self.next = (self.next + 1) % WINDOW;
        if usize::try_from(self.count).is_ok_and(|count| count < WINDOW) {
            return;
        }
        let slope = slope(&self.points).unwrap_or(self.previous_slope);
        self.detect(slope, spacing);
    }

    fn detect(&mut self, slope: f64, spacing: Spacing) {
        let trend_ms = f64::from(self.count.min(COUNT_MAX)) * slope * GAIN;
        if trend_ms > self.threshold_ms {
            let over_ms = match self.over_ms {
                None => spacing.sent_ms / 2.0,
                Some(over_ms) => over_ms + spacing.sent_ms,
            };
            self.over_ms = Some(over_ms);
            self.over_count += 1;
            if over_ms > OVERUSE_MS && self.over_count > 1 && slope >= self.previous_slope {
                self.over_ms = Some(0.0);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = None;
            self.over_count = 0;
            self.usage = if trend_ms < -self.threshold_ms {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.previous_slope = slope;
        self.adapt(trend_ms, spacing.at_us);
    }

    fn adapt(&mut self, trend_ms: f64, at_us: i64) {
        let last_us = self.last_update_us.replace(at_us).unwrap_or(at_us);
        let distance_ms = trend_ms.abs() - self.threshold_ms;
        if distance_ms > OUTLIER_MS {
            return;
        }
        let follow = if distance_ms < 0.0 {
            FOLLOW_DOWN
        } else {
            FOLLOW_UP
        };
        let step_ms = ((at_us - last_us).max(0) as f64 / 1_000.0).min(STEP_MAX_MS);
        self.threshold_ms = (self.threshold_ms + follow * distance_ms * step_ms)
            .clamp(THRESHOLD_MIN_MS, THRESHOLD_MAX_MS);
    }
}

/// The slope of the line with the least squares; `None` when all points are above each other.
fn slope(points: &[(f64, f64); WINDOW]) -> Option<f64> {
    let count = WINDOW as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in points {
        above += (x - mean_x) * (y - mean_y);
        below += (x - mean_x) * (x - mean_x);
    }
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds groups that leave every 20 ms, each so much later than the one before.
    fn run(trendline: &mut Trendline, groups: u32, later_ms: f64, at_us: &mut i64) -> Vec<Usage> {
        (0..groups)
            .map(|_| {
                *at_us += 20_000;
                trendline.handle(Spacing {
                    sent_ms: 20.0,
                    arrived_ms: 20.0 + later_ms,
                    at_us: *at_us,
                });
                trendline.usage()
            })
            .collect()
    }

    #[test]
    fn a_growing_queue_is_overuse_and_a_steady_one_is_not() {
        let mut trendline = Trendline::new();
        let mut at_us = 0;
        let steady = run(&mut trendline, 100, 0.0, &mut at_us);
        assert!(steady.iter().all(|usage| *usage == Usage::Normal));
        let growing = run(&mut trendline, 30, 4.0, &mut at_us);
        assert!(growing.contains(&Usage::Over));
        let steady = run(&mut trendline, 200, 0.0, &mut at_us);
        assert_eq!(steady.last(), Some(&Usage::Normal));
    }

    #[test]
    fn a_shrinking_queue_is_underuse() {
        let mut trendline = Trendline::new();
        let mut at_us = 0;
        run(&mut trendline, 60, 0.0, &mut at_us);
        let shrinking = run(&mut trendline, 20, -3.0, &mut at_us);
        assert!(shrinking.contains(&Usage::Under));
        assert!(!shrinking.contains(&Usage::Over));
    }

    #[test]
    fn nothing_is_said_before_the_window_is_full() {
        let mut trendline = Trendline::new();
        let mut at_us = 0;
        let early = run(&mut trendline, 19, 10.0, &mut at_us);
        assert!(early.iter().all(|usage| *usage == Usage::Normal));
    }

    #[test]
    fn regular_jitter_raises_the_threshold_and_is_no_overuse() {
        let mut trendline = Trendline::new();
        let mut at_us = 0;
        let mut over = 0;
        for round in 0..400 {
            let later = if round % 2 == 0 { 8.0 } else { -8.0 };
            over += run(&mut trendline, 1, later, &mut at_us)
                .iter()
                .filter(|usage| **usage == Usage::Over)
                .count();
        }
        assert_eq!(over, 0);
    }
}
