//! How much the path to one subscriber carries, from transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, draft-ietf-rmcat-gcc-02, and what libwebrtc has
//! made of it since).
//!
//! ```text
//! on_sent ──► History
//!                │           ┌─► Arrivals ─► Trendline ──┐
//! feedback ──────┴───────────┼─► Acknowledged ───────────┼─► RateControl ─► estimate ─► Plans ─► probes
//!                            ├─► Measurements of probes ─┤
//!                            └─► LossControl ────────────┘
//! ```
//!
//! The rate control may not grow beyond 1.5 times of what arrives, nor at all while the source sends
//! much less than it might; then only probes raise the estimate, up to what they have shown.
//!
//! The public `Gcc`, `History` and `Pacer` of `rtc-interceptor` 0.21.1 are not used: its history is three
//! hash maps and a new vector for each feedback, it neither probes nor knows of application-limited
//! sources, and its loss control lowers the rate for as long as a tenth is lost, whatever loses it.
//!
//! One estimator is about 6 KiB at 250 packets a second, 4 of them history. It allocates only when more packets than ever
//! are under way.

mod acknowledged;
mod alr;
mod arrival;
mod feedback;
mod history;
mod loss;
mod probe;
mod rate;
mod trendline;

#[cfg(test)]
mod tests;

pub use feedback::{Feedback, FeedbackError, PacketResult, RESULTS_MAX};
pub use probe::{PROBE_PACKETS, ProbeCluster, ProbePlan};

use crate::cache;
use crate::unit::Bitrate;
use acknowledged::Acknowledged;
use alr::Alr;
use arrival::Arrivals;
use feedback::{Burst, Timed};
use history::{Fate, History, Sent};
use loss::LossControl;
use probe::{Measurements, Plans, Situation};
use rate::{RateControl, Seen};
use std::time::{Duration, Instant};
use trendline::{Trendline, Usage};

/// How far a packet's way may differ from that of the last one. A queue of ten seconds is none.
const WAY_CHANGE_MAX_US: i64 = 10_000_000;

/// So many feedbacks in a row that disagree with the past are believed: the receiver's clock was set, or
/// its machine slept.
const DISBELIEVED_MAX: u8 = 3;

/// Round trip while none is known.
const RTT_START_US: u64 = 100_000;

/// Packets without any feedback for this long, and at least three round trips, mean that nothing gets
/// through; then the estimate falls by a fifth, again and again.
const SILENCE_US: u64 = 1_000_000;
const SILENCE_STEP_US: u64 = 500_000;
const SILENCE_FACTOR: f64 = 0.8;

/// An overuse without any feedback since is no longer known of after this. Who is sent nothing for it would
/// never be probed again.
const OVERUSE_KNOWN_US: u64 = 1_000_000;

/// A change of the estimate below this is not worth an event.
const WORTH: f64 = 0.01;

/// Where an estimate starts, and its bounds.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Before anything is known.
    pub start: Bitrate,
    /// Never below; what audio needs.
    pub min: Bitrate,
    /// Never above.
    pub max: Bitrate,
}

impl Default for Config {
    /// 300 kbit/s as libwebrtc; at least 30 kbit/s, which is a voice; at most 50 Mbit/s.
    fn default() -> Self {
        Self {
            start: Bitrate::kbps(300),
            min: Bitrate::kbps(30),
            max: Bitrate::kbps(50_000),
        }
    }
}

/// What moved the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Growth, or a queue that grew.
    Delay,
    /// Losses bound it.
    Loss,
    /// A probe has shown it; it can be used at once.
    Probe,
    /// No feedback came.
    Silence,
    /// Another path is taken.
    NewPath,
}

/// The estimate is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EstimateChanged {
    /// What the path carries, everything included.
    pub estimate: Bitrate,
    /// What moved it.
    pub cause: Cause,
}

/// The send side's estimate for one transport.
///
/// Shell: call [`on_sent`](Self::on_sent) for every packet that carries a transport-wide number, hand over
/// feedback, then [`poll_event`](Self::poll_event) and, whenever no probe is being sent,
/// [`poll_probe`](Self::poll_probe). Call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so; too early does no harm.
#[derive(Debug)]
pub struct Estimator {
    epoch: Instant,
    config: Config,
    history: History,
    arrivals: Arrivals,
    trendline: Trendline,
    acknowledged: Acknowledged,
    rate: RateControl,
    loss: LossControl,
    alr: Alr,
    plans: Plans,
    measurements: Measurements,
    rtt_us: Option<u64>,
    feedback_rtt_us: u64,
    wanted_bps: f64,
    /// The last reference time, not wrapped.
    reference: Option<i64>,
    /// A packet's arrival minus its departure, by two clocks.
    way_us: Option<i64>,
    disbelieved: u8,
    /// When the first packet left that no feedback followed; then when the estimate fell for it.
    silent_since_us: Option<u64>,
    silence_fell_us: Option<u64>,
    /// When feedback last told of a packet that arrived.
    heard_us: Option<u64>,
    estimate_bps: f64,
    /// Packets whose fate was told, and those of them that were lost.
    told: u64,
    lost: u64,
    told_bps: f64,
    event: Option<EstimateChanged>,
}

impl Estimator {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let start_bps = config.start.0 as f64;
        Self {
            epoch: now,
            config,
            history: History::new(),
            arrivals: Arrivals::default(),
            trendline: Trendline::new(),
            acknowledged: Acknowledged::new(),
            rate: RateControl::new(start_bps),
            loss: LossControl::new(),
            alr: Alr::new(),
            plans: Plans::new(start_bps),
            measurements: Measurements::default(),
            rtt_us: None,
            feedback_rtt_us: RTT_START_US,
            wanted_bps: 0.0,
            reference: None,
            way_us: None,
            disbelieved: 0,
            silent_since_us: None,
            silence_fell_us: None,
            heard_us: None,
            estimate_bps: start_bps,
            told_bps: start_bps,
            told: 0,
            lost: 0,
            event: None,
        }
    }

    /// A packet leaves now: its datagram's payload in bytes and the probe it belongs to. Returns its
    /// transport-wide number, which it must carry.
    pub fn on_sent(&mut self, now: Instant, bytes: u16, cluster: Option<ProbeCluster>) -> u16 {
        let now_us = self.us(now);
        let was_limited = self.alr.is_limited();
        let media_bytes = if cluster.is_none() { bytes } else { 0 };
        let is_limited = self.alr.handle(now_us, media_bytes, self.estimate_bps);
        if was_limited && !is_limited {
            self.acknowledged.expect_jump();
        }
        self.silent_since_us.get_or_insert(now_us);
        self.history.push(now_us, bytes, cluster)
    }

    /// Packets will be sent soon.
    pub(crate) fn expect(&self) {
        cache::expect(&self.history);
        cache::expect(&self.alr);
        cache::expect(&self.silent_since_us);
        cache::expect(&self.epoch);
    }

    /// So many will be, and [`Self::expect`] was a while ago.
    pub(crate) fn expect_packets(&self, packets: usize) {
        self.history.expect(packets);
    }

    /// A feedback will be taken soon.
    pub(crate) fn expect_feedback(&self) {
        cache::expect(self);
    }

    /// Takes a feedback: its head, and its results in their order, the same each time they are asked for.
    ///
    /// # Errors
    /// [`FeedbackError`]; then nothing has changed.
    pub fn handle_feedback<R>(
        &mut self,
        now: Instant,
        feedback: Feedback,
        results: R,
    ) -> Result<(), FeedbackError>
    where
        R: Iterator<Item = PacketResult> + Clone,
    {
        let now_us = self.us(now);
        self.history.expire(now_us);
        let reference = self.unwrap_reference(feedback.reference_time);
        let arrivals = Timed::new(feedback.base, reference, results);
        self.check(now_us, arrivals.clone())?;
        self.reference = Some(reference);
        let batch = self.settle(now_us, arrivals);
        self.history.look();
        self.silent_since_us = None;
        self.silence_fell_us = None;
        self.update(now_us, batch);
        Ok(())
    }

    /// Packets take another path from now on, of which nothing is known: all is as at the start. Numbers go
    /// on; what was sent over the old path tells nothing any more.
    pub fn handle_new_path(&mut self, now: Instant) {
        let now_us = self.us(now);
        let mut history = std::mem::replace(&mut self.history, History::new());
        history.forget();
        *self = Self {
            history,
            reference: self.reference,
            told: self.told,
            lost: self.lost,
            wanted_bps: self.wanted_bps,
            told_bps: self.told_bps,
            ..Self::new(self.epoch, self.config)
        };
        self.publish(Cause::NewPath);
        self.plan(now_us);
    }

    /// Takes a measured round trip, from reports or ICE. Without one the age of what feedback is about
    /// serves.
    pub fn handle_rtt(&mut self, rtt: Duration) {
        self.rtt_us = Some(
            u64::try_from(rtt.as_micros())
                .unwrap_or(u64::MAX)
                .min(10_000_000),
        );
    }

    /// Takes what the allocator would use if it could. Above the estimate it makes the estimator probe.
    pub fn set_desired(&mut self, now: Instant, desired: Bitrate) {
        let wanted_bps = desired.0.min(self.config.max.0) as f64;
        if (wanted_bps - self.wanted_bps).abs() > f64::EPSILON {
            self.wanted_bps = wanted_bps;
            let now_us = self.us(now);
            self.plan(now_us);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now_us = self.us(now);
        self.alr.handle(now_us, 0, self.estimate_bps);
        if self.silence_due_us().is_some_and(|due| now_us >= due) {
            self.silence_fell_us = Some(now_us);
            let rate_bps = (self.rate.rate_bps().min(self.estimate_bps) * SILENCE_FACTOR)
                .max(self.config.min.0 as f64);
            self.rate.set(rate_bps, now_us);
            self.publish(Cause::Silence);
        }
        self.plan(now_us);
    }

    /// When [`Self::handle_timeout`] is due; `None` when only other inputs can change anything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let plan_us = self.plans.timeout_us(self.wanted_bps);
        let due_us = match (self.silence_due_us(), plan_us) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        Some(self.epoch + Duration::from_micros(due_us))
    }

    /// What the path carries.
    #[must_use]
    pub fn estimate(&self) -> Bitrate {
        bitrate(self.estimate_bps)
    }

    /// Whether any feedback has told of a packet that arrived: until then the estimate is a guess.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.way_us.is_some()
    }

    /// Whether packets were sent until the least estimate and nothing was ever said of them: who negotiated
    /// feedback does not give it.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        !self.is_heard() && self.estimate_bps <= self.config.min.0 as f64
    }

    /// What was seen to arrive; zero before half a second of packets has.
    #[must_use]
    pub fn acknowledged(&self) -> Bitrate {
        bitrate(self.acknowledged.rate_bps().unwrap_or(0.0))
    }

    /// Whether [`Self::poll_event`] or [`Self::poll_probe`] have something.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.event.is_some() || self.plans.is_waiting()
    }

    /// Takes the news, if the estimate has changed by a hundredth or more since the last.
    pub fn poll_event(&mut self) -> Option<EstimateChanged> {
        self.event.take()
    }

    /// Packets whose fate was ever told, and those of them that were lost.
    #[must_use]
    pub fn fates(&self) -> (u64, u64) {
        (self.told, self.lost)
    }

    /// Takes a probe that is to be sent now. To be asked when the one before has been sent.
    pub fn poll_probe(&mut self) -> Option<ProbePlan> {
        let plan = self.plans.poll()?;
        self.measurements.watch(&plan);
        Some(plan)
    }

    fn us(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        // Not `as_micros`: dividing 128 bits costs more than the rest of `on_sent`.
        since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
    }

    fn rtt_us(&self) -> u64 {
        self.rtt_us.unwrap_or(self.feedback_rtt_us)
    }

    /// The reference time nearest to the last one.
    fn unwrap_reference(&self, wire: i32) -> i64 {
        let wire = i64::from(wire);
        let Some(last) = self.reference else {
            return wire;
        };
        // 24 bits, sign-extended: how far it is from the last one, either way.
        let distance = ((wire - last) << 40) >> 40;
        last + distance
    }

    /// Whether a feedback can be true.
    fn check<R>(&mut self, now_us: u64, results: Timed<R>) -> Result<(), FeedbackError>
    where
        R: Iterator<Item = PacketResult>,
    {
        let mut has_news = false;
        let mut way_us = self.way_us;
        let mut is_impossible = false;
        for (count, (wire, arrival_us)) in results.enumerate() {
            if count >= RESULTS_MAX {
                return Err(FeedbackError::TooMany);
            }
            let Some(sent) = self.history.find(now_us, wire) else {
                if self.history.is_to_come(wire) {
                    return Err(FeedbackError::NeverSent);
                }
                continue;
            };
            has_news |= match sent.fate {
                Fate::Unknown => true,
                Fate::Lost => arrival_us.is_some(),
                Fate::Received => false,
            };
            if let Some(arrival_us) = arrival_us {
                let this_us = way(&sent, arrival_us);
                let change_us = this_us - *way_us.get_or_insert(this_us);
                is_impossible |= change_us.abs() > WAY_CHANGE_MAX_US;
            }
        }
        if !has_news {
            return Err(FeedbackError::NoNews);
        }
        if is_impossible {
            self.disbelieved += 1;
            if self.disbelieved < DISBELIEVED_MAX {
                return Err(FeedbackError::BadTimes);
            }
            self.way_us = None;
            self.arrivals = Arrivals::default();
            self.trendline = Trendline::new();
        }
        self.disbelieved = 0;
        Ok(())
    }

    /// Tells everybody of the packets' fates.
    fn settle<R>(&mut self, now_us: u64, results: Timed<R>) -> Batch
    where
        R: Iterator<Item = PacketResult>,
    {
        let mut batch = Batch::default();
        for (wire, arrival_us) in results {
            let fate = arrival_us.map_or(Fate::Lost, |_| Fate::Received);
            let Some(sent) = self.history.settle(now_us, wire, fate) else {
                continue;
            };
            match (sent.fate, fate) {
                (Fate::Received, _) | (Fate::Lost, Fate::Lost | Fate::Unknown) => continue,
                (Fate::Lost, Fate::Received) => {
                    self.lost -= 1;
                    self.loss.count_found(sent.bytes);
                }
                (Fate::Unknown, _) => {
                    self.told += 1;
                    self.lost += u64::from(arrival_us.is_none());
                    self.loss.count(sent.bytes, arrival_us.is_none());
                }
            }
            batch.last_sent_us = batch.last_sent_us.max(sent.at_us);
            let Some(arrival_us) = arrival_us else {
                continue;
            };
            batch.last_received_us = Some(sent.at_us);
            self.way_us = Some(way(&sent, arrival_us));
            self.acknowledged.handle(arrival_us, sent.bytes);
            batch.burst.add(sent.at_us, arrival_us, sent.bytes);
            if let Some(rate_bps) = self.measurements.handle(&sent, arrival_us) {
                batch.probe_bps = Some(rate_bps);
            }
            // A probe may fill the path for a moment: that is its purpose, and no congestion.
            if sent.cluster.is_none()
                && let Some(spacing) = self.arrivals.handle(sent.at_us, arrival_us)
            {
                self.trendline.handle(spacing);
            }
        }
        batch
    }

    fn update(&mut self, now_us: u64, batch: Batch) {
        if let Some(sent_us) = batch.last_received_us {
            self.heard_us = Some(now_us);
            let sample_us = now_us.saturating_sub(sent_us);
            self.feedback_rtt_us = (self.feedback_rtt_us * 7 + sample_us) / 8;
        }
        let seen = Seen {
            usage: self.trendline.usage(),
            acknowledged_bps: self.acknowledged.rate_bps(),
            burst_bps: batch.burst.rate_bps(),
            rtt_us: self.rtt_us(),
            is_lossy: self.loss.is_rising(now_us),
            is_limited_by_source: self.alr.is_limited(),
        };
        let probe_bps = batch.probe_bps.filter(|_| seen.usage != Usage::Over);
        if let Some(probe_bps) = probe_bps {
            self.rate.handle_probe(probe_bps, seen, now_us);
        } else {
            self.rate.handle(seen, now_us);
        }
        let lower_bps = self.loss.handle(
            batch.last_sent_us,
            self.rate.rate_bps(),
            seen.acknowledged_bps,
        );
        if let Some(lower_bps) = lower_bps {
            self.rate.handle_loss(lower_bps, now_us);
        }
        self.publish(
            if lower_bps.is_some() || self.loss.bound_bps() < self.rate.rate_bps() {
                Cause::Loss
            } else if probe_bps.is_some() {
                Cause::Probe
            } else {
                Cause::Delay
            },
        );
        self.plan(now_us);
    }

    fn publish(&mut self, cause: Cause) {
        let (min_bps, max_bps) = (self.config.min.0 as f64, self.config.max.0 as f64);
        let estimate_bps = self.rate.rate_bps().min(self.loss.bound_bps());
        self.estimate_bps = estimate_bps.min(max_bps).max(min_bps);
        if (self.estimate_bps - self.told_bps).abs() >= WORTH * self.told_bps {
            self.told_bps = self.estimate_bps;
            self.event = Some(EstimateChanged {
                estimate: self.estimate(),
                cause,
            });
        }
    }

    fn plan(&mut self, now_us: u64) {
        // At the least estimate pictures are paused, and perhaps nothing is sent that feedback could follow:
        // then only a probe, which is small there, learns that the path is back.
        let is_least = self.estimate_bps <= self.config.min.0 as f64;
        // Who is sent nothing gives no feedback either: then a probe is all that can begin the conversation.
        let is_heard = match self.silence_fell_us {
            Some(_) => is_least,
            None => self.is_heard() || self.silent_since_us.is_none(),
        };
        let rtt_us = self.rtt_us();
        let has_just_fallen = self
            .rate
            .decreased_us()
            .is_some_and(|last| now_us.saturating_sub(last) < rtt_us.max(500_000));
        let is_over = self.trendline.usage() == Usage::Over
            && self
                .heard_us
                .is_some_and(|at_us| now_us < at_us + OVERUSE_KNOWN_US);
        let is_full = is_over || self.loss.is_rising(now_us);
        self.plans.handle(Situation {
            now_us,
            estimate_bps: self.estimate_bps,
            wanted_bps: self.wanted_bps,
            is_congested: is_full || has_just_fallen || !is_heard,
        });
    }

    fn silence_due_us(&self) -> Option<u64> {
        let since_us = self.silent_since_us?;
        Some(match self.silence_fell_us {
            Some(fell_us) => fell_us + SILENCE_STEP_US,
            None => since_us + SILENCE_US.max(3 * self.rtt_us()),
        })
    }
}

/// What a feedback's packets amount to.
#[derive(Debug, Default)]
struct Batch {
    last_sent_us: u64,
    last_received_us: Option<u64>,
    probe_bps: Option<f64>,
    burst: Burst,
}

fn way(sent: &Sent, arrival_us: i64) -> i64 {
    arrival_us - i64::try_from(sent.at_us).unwrap_or(i64::MAX / 2)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^63; the cast saturates"
)]
fn bitrate(bps: f64) -> Bitrate {
    Bitrate(bps as u64)
}
