//! The rate that the delay allows: additive and multiplicative increase, multiplicative decrease
//! (draft-ietf-rmcat-gcc-02, section 5.5; libwebrtc's `AimdRateControl`).

use super::trendline::Usage;

/// What remains of the acknowledged rate after overuse (draft, section 5.5). Less of it empties queues
/// faster and costs more picture.
const BACK_OFF: f64 = 0.85;

/// Growth per second while the path's capacity is unknown (draft, section 5.5).
const GROWTH: f64 = 1.08;

/// The estimate does not grow beyond so much of what is seen to arrive: what is not sent proves nothing.
const PROVEN: f64 = 1.5;

/// And this much more, so that a silent start can grow at all, in bit/s.
const PROVEN_EXTRA_BPS: f64 = 10_000.0;

/// Near capacity the estimate grows by a packet a response time, and at least so fast, in bit/s a second.
const ADDITIVE_MIN_BPS: f64 = 4_000.0;

/// A response time is the round trip and what the detector needs.
const DETECTOR_US: u64 = 100_000;

/// A packet, for the additive increase.
const PACKET_BITS: f64 = 1_200.0 * 8.0;

/// A second back-off has to wait until the first can show: a round trip, within these bounds, and what
/// allocation and feedback take.
const SETTLE_US: u64 = 150_000;
const REACTION_MIN_US: u64 = 10_000;
const REACTION_MAX_US: u64 = 200_000;

/// How far the estimate of the capacity follows a sample, from overuse and from a probe.
const CAPACITY_GAIN: f64 = 0.05;
const CAPACITY_GAIN_OF_PROBE: f64 = 0.5;

/// A rate of the moment stands for what the path carries for so long: the next feedbacks of the same full
/// queue may have too few packets to tell.
const BURST_KNOWN_US: u64 = 500_000;

/// What the rate control sees of the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) usage: Usage,
    /// What arrives, in bit/s, over some tenths of a second.
    pub(super) acknowledged_bps: Option<f64>,
    /// The same of the last feedback's packets alone. While a queue grows it is what the path carries;
    /// otherwise a burst that says nothing.
    pub(super) burst_bps: Option<f64>,
    pub(super) rtt_us: u64,
    /// More is lost than should be.
    pub(super) is_lossy: bool,
    /// The source sends much less than it might.
    pub(super) is_limited_by_source: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Hold,
    Increase,
}

/// The delay-based estimate.
#[derive(Debug)]
pub(super) struct RateControl {
    rate_bps: f64,
    phase: Phase,
    updated_us: Option<u64>,
    decreased_us: Option<u64>,
    /// The highest rate of the moment of late, and when it was seen.
    burst: Option<(f64, u64)>,
    capacity: Capacity,
}

impl RateControl {
    pub(super) fn new(start_bps: f64) -> Self {
        Self {
            rate_bps: start_bps,
            phase: Phase::Hold,
            updated_us: None,
            decreased_us: None,
            burst: None,
            capacity: Capacity::default(),
        }
    }

    /// In bit/s.
    pub(super) fn rate_bps(&self) -> f64 {
        self.rate_bps
    }

    /// When it last backed off.
    pub(super) fn decreased_us(&self) -> Option<u64> {
        self.decreased_us
    }

    /// Takes a rate from elsewhere: silence, or a bound.
    pub(super) fn set(&mut self, rate_bps: f64, now_us: u64) {
        self.rate_bps = rate_bps;
        self.updated_us = Some(now_us);
    }

    /// Takes what a probe measured. It may be lower than the estimate, when the probe filled the path;
    /// but never is it brought below what was seen to arrive.
    pub(super) fn handle_probe(&mut self, probe_bps: f64, seen: Seen, now_us: u64) {
        let floor_bps = seen
            .acknowledged_bps
            .map_or(0.0, |acknowledged| acknowledged * BACK_OFF)
            .min(self.rate_bps);
        self.set(probe_bps.max(floor_bps), now_us);
        self.capacity.learn(probe_bps, CAPACITY_GAIN_OF_PROBE);
        self.phase = Phase::Hold;
    }

    /// Takes a lower rate from the losses: the path is full there.
    pub(super) fn handle_loss(&mut self, rate_bps: f64, now_us: u64) {
        self.set(rate_bps, now_us);
        self.capacity.learn(rate_bps, CAPACITY_GAIN);
        self.decreased_us = Some(now_us);
        self.phase = Phase::Hold;
    }

    /// Takes the state of the path, once a feedback.
    pub(super) fn handle(&mut self, seen: Seen, now_us: u64) {
        let seen = Seen {
            burst_bps: self.recent_burst_bps(seen.burst_bps, now_us),
            ..seen
        };
        match seen.usage {
            Usage::Over if self.may_decrease(seen, now_us) => self.decrease(seen, now_us),
            Usage::Over | Usage::Under => self.phase = Phase::Hold,
            Usage::Normal => {
                if self.phase == Phase::Increase {
                    self.increase(seen, now_us);
                }
                self.phase = Phase::Increase;
            }
        }
        self.updated_us = Some(now_us);
    }

    fn recent_burst_bps(&mut self, burst_bps: Option<f64>, now_us: u64) -> Option<f64> {
        let known = self
            .burst
            .filter(|(_, at_us)| now_us < at_us + BURST_KNOWN_US);
        self.burst = match (known, burst_bps) {
            (Some((known_bps, _)), Some(bps)) if bps < known_bps => known,
            (known, None) => known,
            (_, Some(bps)) => Some((bps, now_us)),
        };
        self.burst.map(|(bps, _)| bps)
    }

    fn may_decrease(&self, seen: Seen, now_us: u64) -> bool {
        let reaction_us = SETTLE_US + seen.rtt_us.clamp(REACTION_MIN_US, REACTION_MAX_US);
        let is_far_off = !self.is_uninformed(seen) && self.carried_bps(seen) < 0.5 * self.rate_bps;
        self.decreased_us
            .is_none_or(|last| now_us.saturating_sub(last) >= reaction_us)
            || is_far_off
    }

    /// What the path carries while its queue grows. The acknowledged rate lags by tenths of a second, in
    /// which a source of layers may have gone to ten times of it: then its queue grows because of one
    /// key frame, and a tenth of the rate would be all that is left.
    fn carried_bps(&self, seen: Seen) -> f64 {
        let acknowledged_bps = seen.acknowledged_bps.unwrap_or(self.rate_bps);
        let burst_bps = seen.burst_bps.map_or(0.0, |burst| burst.min(self.rate_bps));
        acknowledged_bps.max(burst_bps)
    }

    /// A source far below the estimate shows nothing of the path but what it sends, and a receiver that was
    /// busy for a moment looks like overuse: unless a queue has shown a rate, the estimate falls by a step
    /// then, and by another if it goes on.
    fn is_uninformed(&self, seen: Seen) -> bool {
        seen.is_limited_by_source && seen.burst_bps.is_none()
    }

    fn decrease(&mut self, seen: Seen, now_us: u64) {
        if self.is_uninformed(seen) {
            let least_bps = seen.acknowledged_bps.unwrap_or(0.0) * BACK_OFF;
            self.rate_bps = (self.rate_bps * BACK_OFF).max(least_bps.min(self.rate_bps));
            self.decreased_us = Some(now_us);
            self.phase = Phase::Hold;
            return;
        }
        let carried_bps = self.carried_bps(seen);
        let mut rate_bps = carried_bps * BACK_OFF;
        if rate_bps > self.rate_bps
            && let Some(capacity_bps) = self.capacity.mean_bps()
        {
            rate_bps = BACK_OFF * capacity_bps;
        }
        self.rate_bps = self.rate_bps.min(rate_bps);
        if self
            .capacity
            .lower_bps()
            .is_some_and(|lower| carried_bps < lower)
        {
            self.capacity = Capacity::default();
        }
        self.capacity.learn(carried_bps, CAPACITY_GAIN);
        self.decreased_us = Some(now_us);
        self.phase = Phase::Hold;
    }

    fn increase(&mut self, seen: Seen, now_us: u64) {
        if seen.is_limited_by_source || seen.is_lossy {
            return;
        }
        let acknowledged_bps = seen.acknowledged_bps.unwrap_or(self.rate_bps);
        if self
            .capacity
            .upper_bps()
            .is_some_and(|upper| acknowledged_bps > upper)
        {
            self.capacity = Capacity::default();
        }
        let limit_bps = PROVEN * acknowledged_bps + PROVEN_EXTRA_BPS;
        if self.rate_bps >= limit_bps {
            return;
        }
        let since_us = self
            .updated_us
            .map_or(0, |last| now_us.saturating_sub(last))
            .min(1_000_000);
        let seconds = since_us as f64 / 1e6;
        let grown_bps = if self.capacity.mean_bps().is_some() {
            self.rate_bps + self.additive_bps(seen.rtt_us) * seconds
        } else {
            self.rate_bps * GROWTH.powf(seconds) + 1_000.0 * seconds
        };
        self.rate_bps = grown_bps.min(limit_bps);
    }

    /// Bit/s a second.
    fn additive_bps(&self, rtt_us: u64) -> f64 {
        let frame_bits = self.rate_bps / 30.0;
        let packet_bits = frame_bits / (frame_bits / PACKET_BITS).ceil().max(1.0);
        let response_s = (rtt_us + DETECTOR_US) as f64 / 1e6;
        (packet_bits / response_s).max(ADDITIVE_MIN_BPS)
    }
}

/// What the path carried when it was full: a mean and its deviation, in kbit/s.
#[derive(Debug, Default)]
struct Capacity {
    mean_kbps: Option<f64>,
    /// Of the squared deviation, relative to the mean.
    variance: f64,
}

impl Capacity {
    fn learn(&mut self, sample_bps: f64, gain: f64) {
        let sample = sample_bps / 1_000.0;
        let before = self.mean_kbps.unwrap_or(sample);
        let mean = before + gain * (sample - before);
        let error = (mean - sample).powi(2) / mean.max(1.0);
        self.variance = ((1.0 - gain) * self.variance + gain * error).clamp(0.4, 2.5);
        self.mean_kbps = Some(mean);
    }

    fn mean_bps(&self) -> Option<f64> {
        self.mean_kbps.map(|mean| mean * 1_000.0)
    }

    /// Three deviations above the mean.
    fn upper_bps(&self) -> Option<f64> {
        let mean = self.mean_kbps?;
        Some((mean + 3.0 * (self.variance * mean).sqrt()) * 1_000.0)
    }

    fn lower_bps(&self) -> Option<f64> {
        let mean = self.mean_kbps?;
        Some((mean - 3.0 * (self.variance * mean).sqrt()).max(0.0) * 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(usage: Usage, acknowledged_bps: f64) -> Seen {
        Seen {
            usage,
            acknowledged_bps: Some(acknowledged_bps),
            burst_bps: None,
            rtt_us: 50_000,
            is_lossy: false,
            is_limited_by_source: false,
        }
    }

    #[test]
    fn overuse_backs_off_below_what_arrives_and_not_twice_at_once() {
        let mut control = RateControl::new(2_000_000.0);
        control.handle(seen(Usage::Over, 1_000_000.0), 1_000_000);
        assert!((control.rate_bps() - 850_000.0).abs() < 1.0);
        control.handle(seen(Usage::Over, 600_000.0), 1_190_000);
        assert!((control.rate_bps() - 850_000.0).abs() < 1.0, "too soon");
        control.handle(seen(Usage::Over, 600_000.0), 1_200_000);
        assert!((control.rate_bps() - 510_000.0).abs() < 1.0);
    }

    #[test]
    fn the_rate_of_the_moment_counts_when_the_source_has_just_risen() {
        let mut control = RateControl::new(2_000_000.0);
        let risen = Seen {
            burst_bps: Some(1_800_000.0),
            ..seen(Usage::Over, 200_000.0)
        };
        control.handle(risen, 1_000_000);
        assert!((control.rate_bps() - 1_530_000.0).abs() < 1.0);
        let faster = Seen {
            burst_bps: Some(90_000_000.0),
            ..risen
        };
        control.handle(faster, 2_000_000);
        assert!(
            (control.rate_bps() - 1_300_500.0).abs() < 1.0,
            "it falls anyway"
        );
    }

    #[test]
    fn an_idle_source_and_no_queue_cost_a_step_and_no_more() {
        let mut control = RateControl::new(1_000_000.0);
        let idle = Seen {
            is_limited_by_source: true,
            ..seen(Usage::Over, 100_000.0)
        };
        control.handle(idle, 1_000_000);
        assert!((control.rate_bps() - 850_000.0).abs() < 1.0);
        control.handle(idle, 1_050_000);
        assert!((control.rate_bps() - 850_000.0).abs() < 1.0, "too soon");
        let queued = Seen {
            burst_bps: Some(600_000.0),
            ..idle
        };
        control.handle(queued, 1_300_000);
        assert!((control.rate_bps() - 510_000.0).abs() < 1.0);
    }

    #[test]
    fn the_rate_of_a_queue_is_remembered_for_half_a_second() {
        let mut control = RateControl::new(2_000_000.0);
        let queued = Seen {
            burst_bps: Some(600_000.0),
            ..seen(Usage::Normal, 100_000.0)
        };
        control.handle(queued, 1_000_000);
        control.handle(seen(Usage::Over, 100_000.0), 1_200_000);
        assert!((control.rate_bps() - 510_000.0).abs() < 1.0);
        control.handle(seen(Usage::Over, 100_000.0), 1_600_000);
        assert!((control.rate_bps() - 85_000.0).abs() < 1.0);
    }

    #[test]
    fn it_grows_by_eight_per_cent_a_second_and_only_to_what_is_proven() {
        let mut control = RateControl::new(1_000_000.0);
        let mut now_us = 0;
        for _ in 0..21 {
            control.handle(seen(Usage::Normal, 1_000_000.0), now_us);
            now_us += 50_000;
        }
        let after_a_second = control.rate_bps();
        assert!((1_070_000.0..1_090_000.0).contains(&after_a_second));
        for _ in 0..1_000 {
            control.handle(seen(Usage::Normal, 1_000_000.0), now_us);
            now_us += 50_000;
        }
        assert!((control.rate_bps() - 1_510_000.0).abs() < 1.0);
    }

    #[test]
    fn near_a_known_capacity_it_grows_slowly() {
        let mut control = RateControl::new(1_000_000.0);
        control.handle(seen(Usage::Over, 1_000_000.0), 0);
        let low = control.rate_bps();
        let mut now_us = 0;
        for _ in 0..22 {
            now_us += 50_000;
            control.handle(seen(Usage::Normal, 900_000.0), now_us);
        }
        let grown = control.rate_bps() - low;
        assert!((30_000.0..68_000.0).contains(&grown), "{grown}");
    }

    #[test]
    fn an_idle_source_proves_nothing() {
        let mut control = RateControl::new(1_000_000.0);
        let idle = Seen {
            is_limited_by_source: true,
            ..seen(Usage::Normal, 900_000.0)
        };
        for step in 0..100 {
            control.handle(idle, step * 50_000);
        }
        assert!((control.rate_bps() - 1_000_000.0).abs() < 1.0);
    }

    #[test]
    fn a_probe_lowers_the_estimate_but_not_below_what_arrives() {
        let mut control = RateControl::new(2_000_000.0);
        control.handle_probe(3_000_000.0, seen(Usage::Normal, 500_000.0), 0);
        assert!((control.rate_bps() - 3_000_000.0).abs() < 1.0);
        control.handle_probe(700_000.0, seen(Usage::Normal, 1_000_000.0), 0);
        assert!((control.rate_bps() - 850_000.0).abs() < 1.0);
    }
}
