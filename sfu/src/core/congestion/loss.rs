//! The rate that losses allow: the likeliest pair of a bandwidth and an inherent loss
//! (the model of libwebrtc's `LossBasedBweV2`).
//!
//! A path loses some packets whatever is sent (its inherent loss), and all beyond its bandwidth. Of a
//! few candidates for the bandwidth the one is taken that explains the observations best. So random loss
//! alone costs no rate, until a share of it can no longer be told from congestion: the rate is held
//! below 100 kbit/s ÷ (loss − 5 %), which is 2 Mbit/s at 10 % and 670 kbit/s at 20 %.
//!
//! Losses come from transport-wide feedback only. Those of receiver reports also tell of the
//! publisher's bad uplink, and would lower every subscriber for it.

/// How long an observation lasts at least.
const OBSERVATION_US: u64 = 250_000;

/// Observations that count, 5 s or more.
const WINDOW: usize = 20;

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

/// Candidates relative to the present bandwidth.
const FACTORS: [f64; 3] = [1.02, 1.0, 0.95];

/// How much a higher bandwidth is preferred to a lower one that explains as much.
const BIAS: f64 = 0.02;

/// Above this loss a lower one is preferred.
const BIAS_LOSS_MAX: f64 = 0.15;

/// Growth of a loss-limited rate: per window, and beyond what arrives.
const RECOVERY_US: u64 = 1_000_000;
const RECOVERY: f64 = 1.3;
const PROVEN: f64 = 1.5;

/// How the losses bound the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossState {
    /// They don't.
    Unbound,
    /// They do, and get worse or stay.
    Falling,
    /// They do, and the bound rises.
    Rising,
}

#[derive(Debug, Clone, Copy, Default)]
struct Observation {
    kilobytes: f64,
    lost_kilobytes: f64,
    rate_bps: f64,
}

/// A candidate: the path's bandwidth, and what it loses anyway.
#[derive(Debug, Clone, Copy)]
struct Channel {
    bandwidth_bps: f64,
    inherent: f64,
}

/// The rest of the estimator, as far as losses need it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) delay_based_bps: f64,
    pub(super) acknowledged_bps: Option<f64>,
}

/// The loss-based bound.
#[derive(Debug)]
pub(super) struct LossControl {
    observations: [Observation; WINDOW],
    count: usize,
    next: usize,
    bytes: u64,
    lost_bytes: u64,
    began_us: Option<u64>,
    channel: Channel,
    state: LossState,
    recovery: Option<Recovery>,
}

/// What a bound may rise to until a time.
#[derive(Debug, Clone, Copy)]
struct Recovery {
    until_us: u64,
    limit_bps: f64,
}

impl LossControl {
    pub(super) fn new(start_bps: f64) -> Self {
        Self {
            observations: [Observation::default(); WINDOW],
            count: 0,
            next: 0,
            bytes: 0,
            lost_bytes: 0,
            began_us: None,
            channel: Channel {
                bandwidth_bps: start_bps,
                inherent: INHERENT_START,
            },
            state: LossState::Unbound,
            recovery: None,
        }
    }

    /// How the losses bound the rate.
    pub(super) fn state(&self) -> LossState {
        self.state
    }

    /// The bound in bit/s.
    pub(super) fn bound_bps(&self) -> f64 {
        match self.state {
            LossState::Unbound => self.instant_bound_bps(),
            LossState::Falling | LossState::Rising => {
                self.channel.bandwidth_bps.min(self.instant_bound_bps())
            }
        }
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

    /// A probe showed that the path carries more.
    pub(super) fn handle_probe(&mut self, probe_bps: f64) {
        self.channel.bandwidth_bps = self.channel.bandwidth_bps.max(probe_bps);
        if let Some(recovery) = &mut self.recovery {
            recovery.limit_bps = recovery.limit_bps.max(probe_bps);
        }
    }

    /// Ends an observation when it has lasted long enough; `sent_us` is when the last packet left that
    /// was counted.
    pub(super) fn handle(&mut self, sent_us: u64, context: Context) {
        let began_us = *self.began_us.get_or_insert(sent_us);
        let lasted_us = sent_us.saturating_sub(began_us);
        if self.state == LossState::Unbound {
            self.channel.bandwidth_bps = context.delay_based_bps;
        }
        if lasted_us < OBSERVATION_US || self.bytes == 0 {
            return;
        }
        self.observations[self.next] = Observation {
            kilobytes: self.bytes as f64 / 1_000.0,
            lost_kilobytes: self.lost_bytes as f64 / 1_000.0,
            rate_bps: self.bytes as f64 * 8e6 / lasted_us as f64,
        };
        self.next = (self.next + 1) % WINDOW;
        self.count = (self.count + 1).min(WINDOW);
        (self.bytes, self.lost_bytes) = (0, 0);
        self.began_us = Some(sent_us);
        self.estimate(sent_us, context);
    }

    fn estimate(&mut self, now_us: u64, context: Context) {
        let present_bps = self.channel.bandwidth_bps;
        let mut best = self.best(context);
        if self.loss() > best.inherent && best.bandwidth_bps > present_bps {
            best.bandwidth_bps = present_bps;
        }
        if let (LossState::Falling | LossState::Rising, Some(acknowledged)) =
            (self.state, context.acknowledged_bps)
        {
            let proven_bps = (PROVEN * acknowledged).max(present_bps);
            // What arrives is not too much, whatever is lost beside it.
            best.bandwidth_bps = best.bandwidth_bps.min(proven_bps).max(acknowledged);
        }
        let is_bound = best.bandwidth_bps < context.delay_based_bps;
        self.state = match self.state {
            _ if !is_bound => LossState::Unbound,
            LossState::Falling | LossState::Rising if best.bandwidth_bps > present_bps => {
                LossState::Rising
            }
            LossState::Rising if best.bandwidth_bps >= present_bps => LossState::Rising,
            LossState::Unbound | LossState::Falling | LossState::Rising => LossState::Falling,
        };
        self.channel = best;
        if !is_bound {
            self.recovery = None;
        } else if self.recovery.is_none_or(|recovery| now_us >= recovery.until_us) {
            self.recovery = Some(Recovery {
                until_us: now_us + RECOVERY_US,
                limit_bps: best.bandwidth_bps * RECOVERY,
            });
        }
    }

    fn best(&self, context: Context) -> Channel {
        let present = self.channel;
        let limit_bps = self
            .recovery
            .map_or(f64::MAX, |recovery| recovery.limit_bps)
            .min(self.instant_bound_bps())
            .min(context.delay_based_bps);
        let others = [context.acknowledged_bps, Some(context.delay_based_bps)];
        FACTORS
            .iter()
            .map(|factor| factor * present.bandwidth_bps)
            .chain(others.into_iter().flatten())
            .map(|bandwidth| {
                let bandwidth_bps = bandwidth.min(limit_bps).max(1_000.0);
                let channel = Channel {
                    bandwidth_bps,
                    inherent: present.inherent,
                };
                let channel = self.with_likeliest_loss(channel);
                (self.likelihood(channel), channel)
            })
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map_or(present, |(_, channel)| channel)
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

    fn instant_bound_bps(&self) -> f64 {
        let beyond = self.loss() - INHERENT_OFFSET;
        if beyond > 0.0 {
            BALANCE_BPS / beyond
        } else {
            f64::MAX
        }
    }

    /// Observations with their weights, the newest first.
    fn recent(&self) -> impl Iterator<Item = (f64, Observation)> + '_ {
        let newest = self.next + WINDOW - 1;
        (0..self.count).scan(1.0, move |weight, age| {
            let this = *weight;
            *weight *= FADE;
            Some((this, self.observations[(newest - age) % WINDOW]))
        })
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

    /// Sends at a rate for some seconds and loses a part; returns the bound at the end.
    fn run(control: &mut LossControl, at_us: &mut u64, rate_bps: f64, loss: f64, s: u64) -> f64 {
        let mut owed = 0.0;
        let packets = s * 250;
        for packet in 0..packets {
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
                control.handle(
                    *at_us,
                    Context {
                        delay_based_bps: 3e6,
                        acknowledged_bps: Some(rate_bps * (1.0 - loss)),
                    },
                );
            }
        }
        control.bound_bps()
    }

    #[test]
    fn without_loss_there_is_no_bound() {
        let mut control = LossControl::new(1e6);
        let mut at_us = 0;
        assert!(run(&mut control, &mut at_us, 1e6, 0.0, 10) >= 3e6);
        assert_eq!(control.state(), LossState::Unbound);
    }

    #[test]
    fn random_loss_of_two_per_cent_costs_nothing() {
        let mut control = LossControl::new(1e6);
        let mut at_us = 0;
        assert!(run(&mut control, &mut at_us, 1e6, 0.02, 20) >= 2.5e6);
    }

    #[test]
    fn random_loss_of_ten_per_cent_leaves_a_rate_that_can_be_used() {
        let mut control = LossControl::new(1e6);
        let mut at_us = 0;
        let bound = run(&mut control, &mut at_us, 1e6, 0.1, 20);
        assert!((900_000.0..2_300_000.0).contains(&bound), "{bound}");
    }

    #[test]
    fn a_full_path_bounds_the_rate_to_what_arrives() {
        let mut control = LossControl::new(2e6);
        let mut at_us = 0;
        let bound = run(&mut control, &mut at_us, 2e6, 0.6, 3);
        assert!(bound < 1_000_000.0, "{bound}");
        let after = run(&mut control, &mut at_us, 700_000.0, 0.0, 20);
        assert!(after > bound, "{after}");
    }
}
