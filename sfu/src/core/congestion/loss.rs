//! The rate that losses allow: the likeliest pair of a bandwidth and an inherent loss
//! (the model of libwebrtc's `LossBasedBweV2`).
//!
//! A path loses some packets whatever is sent (its inherent loss), and all beyond its bandwidth. Of a
//! few candidates for the bandwidth the one is taken that explains the observations best. So random loss
//! alone costs no rate, until a share of it can no longer be told from congestion: the rate is held
//! below 100 kbit/s ÷ (loss − 5 %), which is 2 Mbit/s at 10 % and 670 kbit/s at 20 %.
//!
//! Unlike there the result is no second rate that recovers by rules of its own. It lowers the one rate,
//! and that grows again as after a back-off for delay; a source of layers that is far below its bound
//! would never lift it.
//!
//! Losses come from transport-wide feedback only. Those of receiver reports also tell of the
//! publisher's bad uplink, and would lower every subscriber for it.

/// How long an observation lasts at least.
const OBSERVATION_US: u64 = 250_000;

/// Observations that count, 5 s or more.
const WINDOW: usize = 20;

/// What was seen longer ago than this before the latest observation says nothing of the path any more. Of
/// who is sent nothing but a probe every 4 s, 20 observations would reach back for more than a minute.
const REMEMBERED_US: u64 = 10_000_000;

/// The weight of an observation compared to the one after it.
const FADE: f64 = 0.9;

/// Bounds of the inherent loss. The upper one falls with the bandwidth, as a fast path that loses much
/// is more likely a full one: 5 % and this rate ÷ bandwidth.
const INHERENT_MIN: f64 = 0.001;
const INHERENT_START: f64 = 0.01;
const INHERENT_OFFSET: f64 = 0.05;
const BALANCE_BPS: f64 = 100_000.0;

/// Steps of Newton's method for each candidate, and their size.
const NEWTON_STEPS: u32 = 2;
const NEWTON_SIZE: f64 = 0.75;

/// Two lower rates are tried: what arrives, and this part of the present one.
const STEP: f64 = 0.95;

/// How much a higher bandwidth is preferred to a lower one that explains as much.
const BIAS: f64 = 0.02;

/// Above this loss a lower one is preferred.
const BIAS_LOSS_MAX: f64 = 0.15;

/// By how much (in nats, a kilobyte counting as one observation) a lower rate must explain the losses
/// better than the present one. With less, a slow source's two packets lost by chance lower the rate.
const CLEARLY: f64 = 3.0;

/// An observation that lost more than the inherent loss, by this factor and so many kilobytes, shows that
/// the path is full.
const ABOVE: f64 = 1.5;
const ABOVE_KILOBYTES: f64 = 2.0;

/// How long such a loss keeps the rate from growing, after it was last seen.
const CALM_US: u64 = 500_000;

#[derive(Debug, Clone, Copy, Default)]
struct Observation {
    kilobytes: f64,
    lost_kilobytes: f64,
    rate_bps: f64,
    ended_us: u64,
}

/// A candidate: the path's bandwidth, and what it loses anyway.
#[derive(Debug, Clone, Copy)]
struct Channel {
    bandwidth_bps: f64,
    inherent: f64,
}

/// What losses say of the rate.
#[derive(Debug)]
pub(super) struct LossControl {
    observations: [Observation; WINDOW],
    count: usize,
    next: usize,
    bytes: u64,
    lost_bytes: u64,
    began_us: Option<u64>,
    inherent: f64,
    calm_from_us: u64,
}

impl LossControl {
    pub(super) fn new() -> Self {
        Self {
            observations: [Observation::default(); WINDOW],
            count: 0,
            next: 0,
            bytes: 0,
            lost_bytes: 0,
            began_us: None,
            inherent: INHERENT_START,
            calm_from_us: 0,
        }
    }

    /// Whether more is lost than the path loses anyway, or was just now.
    pub(super) fn is_rising(&self, now_us: u64) -> bool {
        now_us < self.calm_from_us
    }

    /// Counts a packet whose fate is known.
    pub(super) fn count(&mut self, bytes: u16, is_lost: bool) {
        self.bytes += u64::from(bytes);
        if is_lost {
            self.lost_bytes += u64::from(bytes);
        }
    }

    /// A packet that was counted as lost has arrived after all.
    pub(super) fn count_found(&mut self, bytes: u16) {
        self.lost_bytes = self.lost_bytes.saturating_sub(u64::from(bytes));
    }

    /// Ends an observation when it has lasted long enough; `sent_us` is when the last packet left that
    /// was counted. Returns the rate that explains what was seen when it is lower than the present one.
    pub(super) fn handle(
        &mut self,
        sent_us: u64,
        rate_bps: f64,
        acknowledged_bps: Option<f64>,
    ) -> Option<f64> {
        let began_us = *self.began_us.get_or_insert(sent_us);
        let lasted_us = sent_us.saturating_sub(began_us);
        if lasted_us < OBSERVATION_US || self.bytes == 0 {
            return None;
        }
        let latest = Observation {
            kilobytes: self.bytes as f64 / 1_000.0,
            lost_kilobytes: self.lost_bytes as f64 / 1_000.0,
            rate_bps: self.bytes as f64 * 8e6 / lasted_us as f64,
            ended_us: sent_us,
        };
        self.observations[self.next] = latest;
        self.next = (self.next + 1) % WINDOW;
        self.count = (self.count + 1).min(WINDOW);
        (self.bytes, self.lost_bytes) = (0, 0);
        self.began_us = Some(sent_us);
        if self.loss() <= 0.0 {
            // The common case: what is not lost needs no explanation.
            self.inherent = self.inherent.min(INHERENT_START);
            return None;
        }
        let best = self.best(rate_bps, acknowledged_bps);
        self.inherent = best.inherent;
        let is_lower = best.bandwidth_bps < rate_bps;
        let usual = ABOVE * best.inherent * latest.kilobytes;
        if is_lower || latest.lost_kilobytes > usual + ABOVE_KILOBYTES {
            self.calm_from_us = sent_us + CALM_US;
        }
        is_lower.then_some(best.bandwidth_bps)
    }

    /// The bound in bit/s that holds whatever explains the losses.
    pub(super) fn bound_bps(&self) -> f64 {
        let beyond = self.loss() - INHERENT_OFFSET;
        if beyond > 0.0 {
            BALANCE_BPS / beyond
        } else {
            f64::MAX
        }
    }

    fn best(&self, rate_bps: f64, acknowledged_bps: Option<f64>) -> Channel {
        let of = |bandwidth_bps: f64| {
            let channel = self.with_likeliest_loss(Channel {
                bandwidth_bps: bandwidth_bps.max(1_000.0),
                inherent: self.inherent,
            });
            (self.likelihood(channel), channel)
        };
        let present = of(rate_bps);
        // What arrives is not too much, whatever is lost beside it.
        let floor_bps = acknowledged_bps.unwrap_or(0.0);
        let step = of((STEP * rate_bps).max(floor_bps).min(rate_bps));
        let arrived = of(floor_bps.min(rate_bps));
        let lower = if arrived.0 > step.0 { arrived } else { step };
        if lower.0 > present.0 + CLEARLY {
            lower.1
        } else {
            present.1
        }
    }

    fn with_likeliest_loss(&self, mut channel: Channel) -> Channel {
        for _ in 0..NEWTON_STEPS {
            let (mut first, mut second) = (0.0, 0.0);
            for (weight, observation) in self.recent() {
                let lost = observation.lost_kilobytes;
                let got = observation.kilobytes - lost;
                let chance = channel.loss_at(observation.rate_bps);
                first += weight * (lost / chance - got / (1.0 - chance));
                second -= weight * (lost / chance.powi(2) + got / (1.0 - chance).powi(2));
            }
            if second < 0.0 && second.is_finite() {
                channel.inherent -= NEWTON_SIZE * first / second;
            }
            channel.inherent = channel.feasible_inherent();
        }
        channel
    }

    fn likelihood(&self, channel: Channel) -> f64 {
        let lead = BIAS_LOSS_MAX - self.loss();
        let bias = BIAS * (lead / (0.002 + lead.abs())) * (1.0 + channel.bandwidth_bps / 1e3).ln();
        self.recent()
            .map(|(weight, observation)| {
                let lost = observation.lost_kilobytes;
                let got = observation.kilobytes - lost;
                let chance = channel.loss_at(observation.rate_bps);
                weight
                    * (lost * chance.ln()
                        + got * (1.0 - chance).ln()
                        + bias * observation.kilobytes)
            })
            .sum()
    }

    /// The faded mean of lost bytes, 0–1.
    fn loss(&self) -> f64 {
        let (mut lost, mut all) = (0.0, 0.0);
        for (weight, observation) in self.recent() {
            lost += weight * observation.lost_kilobytes;
            all += weight * observation.kilobytes;
        }
        if all > 0.0 { lost / all } else { 0.0 }
    }

    /// Observations with their weights, the newest first.
    fn recent(&self) -> impl Iterator<Item = (f64, Observation)> + '_ {
        let newest = self.next + WINDOW - 1;
        let latest_us = self.observations[newest % WINDOW].ended_us;
        let all = (0..self.count).scan(1.0, move |weight, age| {
            let this = *weight;
            *weight *= FADE;
            Some((this, self.observations[(newest - age) % WINDOW]))
        });
        all.take_while(move |(_, seen)| seen.ended_us + REMEMBERED_US >= latest_us)
    }
}

impl Channel {
    /// The chance that a byte is lost when so much is sent.
    fn loss_at(&self, rate_bps: f64) -> f64 {
        let beyond = if rate_bps > self.bandwidth_bps {
            (rate_bps - self.bandwidth_bps) / rate_bps
        } else {
            0.0
        };
        (self.inherent + (1.0 - self.inherent) * beyond).clamp(1e-6, 1.0 - 1e-6)
    }

    fn feasible_inherent(&self) -> f64 {
        let most = (INHERENT_OFFSET + BALANCE_BPS / self.bandwidth_bps).min(1.0);
        self.inherent.clamp(INHERENT_MIN, most.max(INHERENT_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at a rate for some seconds and loses a part; returns the estimate at the end, which never
    /// grows here.
    fn run(control: &mut LossControl, at_us: &mut u64, rate_bps: f64, loss: f64, s: u64) -> f64 {
        let mut owed = 0.0;
        let mut estimate_bps = 3e6;
        for packet in 0..s * 250 {
            *at_us += 4_000;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a packet's size"
            )]
            let bytes = (rate_bps / 8.0 / 250.0) as u16;
            owed += loss;
            control.count(bytes, owed >= 1.0);
            if owed >= 1.0 {
                owed -= 1.0;
            }
            if packet % 25 == 0 {
                let acknowledged = rate_bps * (1.0 - loss);
                if let Some(lower) = control.handle(*at_us, estimate_bps, Some(acknowledged)) {
                    assert!(lower < estimate_bps);
                    estimate_bps = lower;
                }
            }
        }
        estimate_bps.min(control.bound_bps())
    }

    #[test]
    fn without_loss_there_is_no_bound() {
        let mut control = LossControl::new();
        let mut at_us = 0;
        assert!(run(&mut control, &mut at_us, 1e6, 0.0, 10) >= 3e6);
        assert!(!control.is_rising(at_us));
    }

    #[test]
    fn random_loss_of_two_per_cent_costs_nothing() {
        let mut control = LossControl::new();
        let mut at_us = 0;
        assert!(run(&mut control, &mut at_us, 1e6, 0.02, 20) >= 3e6);
    }

    #[test]
    fn random_loss_of_ten_per_cent_leaves_a_rate_that_can_be_used() {
        let mut control = LossControl::new();
        let mut at_us = 0;
        let estimate = run(&mut control, &mut at_us, 1e6, 0.1, 20);
        assert!((900_000.0..2_300_000.0).contains(&estimate), "{estimate}");
    }

    #[test]
    fn a_full_path_lowers_the_rate_to_about_what_arrives() {
        let mut control = LossControl::new();
        let mut at_us = 0;
        let estimate = run(&mut control, &mut at_us, 2e6, 0.6, 3);
        assert!((150_000.0..1_000_000.0).contains(&estimate), "{estimate}");
        assert!(control.is_rising(at_us));
        run(&mut control, &mut at_us, 500_000.0, 0.0, 6);
        assert!(!control.is_rising(at_us));
        assert!(control.bound_bps() > 1e6);
    }
}
