//! What a probe's packets found (libwebrtc's `ProbeBitrateEstimator`).

use super::{ProbeCluster, ProbePlan};
use crate::core::congestion::history::Sent;

/// Probes that are watched at the same time; a new one takes the place of the oldest.
const WATCHED: usize = 4;

/// The part of a probe that must have arrived before it says something.
const ARRIVED: f64 = 0.8;

/// Intervals beyond this are no burst.
const INTERVAL_MAX_US: f64 = 1e6;

/// Packets can't arrive so many times faster than they left unless they were held up before.
const RATIO_MAX: f64 = 2.0;

/// Below this part of the sent rate the probe filled the path; then its result is the path's capacity,
/// and this much of it is taken.
const FILLED: f64 = 0.9;
const OF_CAPACITY: f64 = 0.95;

/// A probe shows no more than this part of the rate that it was planned with; media that leaves beside it
/// may make it a little faster.
const OF_PLAN: f64 = 1.25;

#[derive(Debug, Clone, Copy)]
struct Watched {
    cluster: ProbeCluster,
    min_bytes: f64,
    min_packets: f64,
    rate_bps: f64,
    packets: u32,
    bytes: u32,
    first_sent_us: u64,
    last_sent_us: u64,
    last_sent_bytes: u16,
    first_arrival_us: i64,
    last_arrival_us: i64,
    first_arrival_bytes: u16,
}

/// The probes under way.
#[derive(Debug, Default)]
pub(in crate::core::congestion) struct Measurements {
    watched: [Option<Watched>; WATCHED],
    next: usize,
}

impl Measurements {
    /// A probe is about to be sent.
    pub(in crate::core::congestion) fn watch(&mut self, plan: &ProbePlan) {
        self.watched[self.next] = Some(Watched {
            cluster: plan.cluster,
            min_bytes: f64::from(plan.bytes) * ARRIVED,
            min_packets: f64::from(plan.packets) * ARRIVED,
            rate_bps: plan.rate.0 as f64,
            packets: 0,
            bytes: 0,
            first_sent_us: 0,
            last_sent_us: 0,
            last_sent_bytes: 0,
            first_arrival_us: 0,
            last_arrival_us: 0,
            first_arrival_bytes: 0,
        });
        self.next = (self.next + 1) % WATCHED;
    }

    /// Takes a packet that arrived; returns the measured rate in bit/s when enough of its probe has.
    /// More packets of it make it more exact.
    pub(in crate::core::congestion) fn handle(
        &mut self,
        sent: &Sent,
        arrival_us: i64,
    ) -> Option<f64> {
        let cluster = sent.cluster?;
        let watched = self
            .watched
            .iter_mut()
            .flatten()
            .find(|watched| watched.cluster == cluster)?;
        watched.add(sent, arrival_us);
        watched.result_bps()
    }
}

impl Watched {
    fn add(&mut self, sent: &Sent, arrival_us: i64) {
        let is_first = self.packets == 0;
        self.packets += 1;
        self.bytes += u32::from(sent.bytes);
        if is_first || sent.at_us < self.first_sent_us {
            self.first_sent_us = sent.at_us;
        }
        if is_first || sent.at_us >= self.last_sent_us {
            self.last_sent_us = sent.at_us;
            self.last_sent_bytes = sent.bytes;
        }
        if is_first || arrival_us < self.first_arrival_us {
            self.first_arrival_us = arrival_us;
            self.first_arrival_bytes = sent.bytes;
        }
        if is_first || arrival_us > self.last_arrival_us {
            self.last_arrival_us = arrival_us;
        }
    }

    fn result_bps(&self) -> Option<f64> {
        let bytes = f64::from(self.bytes);
        if f64::from(self.packets) < self.min_packets || bytes < self.min_bytes {
            return None;
        }
        // The last packet's bytes left after the interval, and the first one's arrived before it.
        let sent_bytes = bytes - f64::from(self.last_sent_bytes);
        let arrived_bytes = bytes - f64::from(self.first_arrival_bytes);
        let sent_us = self.last_sent_us.saturating_sub(self.first_sent_us) as f64;
        let arrived_us = (self.last_arrival_us - self.first_arrival_us) as f64;
        let is_burst = |us: f64| us > 0.0 && us <= INTERVAL_MAX_US;
        if !is_burst(sent_us) || !is_burst(arrived_us) {
            return None;
        }
        let sent_bps = sent_bytes * 8e6 / sent_us;
        let arrived_bps = arrived_bytes * 8e6 / arrived_us;
        if arrived_bps > RATIO_MAX * sent_bps {
            None
        } else if arrived_bps < FILLED * sent_bps {
            Some(OF_CAPACITY * arrived_bps)
        } else {
            // Who sends late sends faster than was planned, which shows no more than the plan.
            Some(arrived_bps.min(sent_bps).min(OF_PLAN * self.rate_bps))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::congestion::history::Fate;
    use crate::unit::Bitrate;

    fn plan(index: u8) -> ProbePlan {
        ProbePlan {
            cluster: ProbeCluster::from_index(index).expect("not zero"),
            rate: Bitrate::kbps(1_000),
            bytes: 5_000,
            packets: 5,
        }
    }

    fn run(gap_sent_us: u64, gap_arrived_us: i64, arrive: u64) -> Option<f64> {
        let mut measurements = Measurements::default();
        measurements.watch(&plan(7));
        let mut result = None;
        for number in 0..arrive {
            let sent = Sent {
                number,
                at_us: number * gap_sent_us,
                bytes: 1_000,
                cluster: ProbeCluster::from_index(7),
                fate: Fate::Unknown,
            };
            let arrival_us = 9_000_000 + i64::try_from(number).expect("few") * gap_arrived_us;
            result = measurements.handle(&sent, arrival_us).or(result);
        }
        result
    }

    #[test]
    fn a_path_that_carries_the_probe_gives_its_rate() {
        let rate = run(8_000, 8_000, 5).expect("a result");
        assert!((rate - 1e6).abs() < 1.0, "{rate}");
    }

    #[test]
    fn a_path_that_does_not_gives_a_bit_less_than_its_capacity() {
        let rate = run(8_000, 16_000, 5).expect("a result");
        assert!((rate - 475_000.0).abs() < 1.0, "{rate}");
    }

    #[test]
    fn a_probe_that_was_lost_or_squeezed_says_nothing() {
        assert_eq!(run(8_000, 8_000, 3), None);
        assert_eq!(run(8_000, 1_000, 5), None);
        assert_eq!(run(8_000, 0, 5), None);
    }

    #[test]
    fn packets_of_unknown_probes_are_left_alone() {
        let mut measurements = Measurements::default();
        let sent = Sent {
            number: 0,
            at_us: 0,
            bytes: 1_000,
            cluster: ProbeCluster::from_index(3),
            fate: Fate::Unknown,
        };
        assert_eq!(measurements.handle(&sent, 0), None);
    }
}
