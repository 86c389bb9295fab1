//! When to probe, and how high (facts from libwebrtc's `ProbeController`).
//!
//! ```text
//!          wanted            result, or 1 s
//!  Fresh ─────────► Waiting ────────────────► Idle
//!                   ▲  │ result > 0.7 × probe   │ wanted, and 4 s since the last,
//!                   └──┘ probe further          │ or more is wanted than then,
//!                   ▲                           │ or 2 s after a large drop
//!                   └───────────────────────────┘
//! ```
//!
//! An SFU sends layers, and a layer is often a multiple of the one below: growth that follows what
//! arrives never gets there. So it probes whenever more is wanted than the estimate, not only while the
//! source is idle, and never otherwise.

use super::{PROBE_PACKETS, PROBE_US, ProbeCluster, ProbePlan};
use crate::core::congestion::bitrate;
use std::num::NonZeroU8;

/// The first probes, as multiples of the start rate.
const FIRST: [f64; 2] = [3.0, 6.0];

/// A later one, as a multiple of the estimate.
const FURTHER: f64 = 2.0;

/// A result above this part of the probe asks for a further one.
const REACHED: f64 = 0.7;

/// Up to so much beyond what is wanted is probed: with less to spare, one false alarm of the delay costs a
/// layer; with more nothing would be won.
const WANTED: f64 = 2.0;

/// How long a result is waited for.
const WAIT_US: u64 = 1_000_000;

/// Between probes that were in vain. Each may queue up to some 50 ms at the bottleneck; this is also how
/// long a subscriber waits for better pictures after the path has recovered.
const INTERVAL_US: u64 = 4_000_000;

/// Between probes for other reasons.
const INTERVAL_MIN_US: u64 = 1_000_000;

/// A probe that congestion forbids is thought of again after this.
const RETRY_US: u64 = 200_000;

/// More is wanted than at the last probe when it is more by this.
const MORE: f64 = 1.1;

/// A fall below this part is a large drop; some time after it, so much of the rate before is probed, in
/// case it was a passing disturbance.
const DROP: f64 = 0.66;
const DROP_WAIT_US: u64 = 2_000_000;
const DROP_PROBE: f64 = 0.85;

/// What plans depend on.
#[derive(Debug, Clone, Copy)]
pub(in crate::core::congestion) struct Situation {
    pub(in crate::core::congestion) now_us: u64,
    pub(in crate::core::congestion) estimate_bps: f64,
    pub(in crate::core::congestion) wanted_bps: f64,
    /// Queues grow or losses rise: a probe would make it worse.
    pub(in crate::core::congestion) is_congested: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Fresh,
    Waiting { until_us: u64, above_bps: f64 },
    Idle,
}

#[derive(Debug, Clone, Copy)]
struct Drop {
    at_us: u64,
    before_bps: f64,
}

/// The schedule of probes.
#[derive(Debug)]
pub(in crate::core::congestion) struct Plans {
    phase: Phase,
    start_bps: f64,
    /// The next two rates, 0 for none.
    queue_bps: [f64; 2],
    next_cluster: NonZeroU8,
    last_us: Option<u64>,
    last_wanted_bps: f64,
    estimate_bps: f64,
    drop: Option<Drop>,
    /// When congestion last forbade a probe.
    forbidden_us: Option<u64>,
}

impl Plans {
    pub(in crate::core::congestion) fn new(start_bps: f64) -> Self {
        Self {
            phase: Phase::Fresh,
            start_bps,
            queue_bps: [0.0; 2],
            next_cluster: NonZeroU8::MIN,
            last_us: None,
            last_wanted_bps: 0.0,
            estimate_bps: start_bps,
            drop: None,
            forbidden_us: None,
        }
    }

    /// Whether one is planned.
    pub(in crate::core::congestion) fn is_waiting(&self) -> bool {
        self.queue_bps[0] > 0.0
    }

    /// Takes the next planned probe.
    pub(in crate::core::congestion) fn poll(&mut self) -> Option<ProbePlan> {
        let [rate_bps, after_bps] = self.queue_bps;
        if rate_bps <= 0.0 {
            return None;
        }
        self.queue_bps = [after_bps, 0.0];
        let cluster = ProbeCluster(self.next_cluster);
        self.next_cluster = self.next_cluster.checked_add(1).unwrap_or(NonZeroU8::MIN);
        let bytes = bitrate(rate_bps * PROBE_US / 8e6).0;
        Some(ProbePlan {
            cluster,
            rate: bitrate(rate_bps),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            packets: PROBE_PACKETS,
        })
    }

    /// When [`Self::handle`] has something to do without other inputs, in µs.
    pub(in crate::core::congestion) fn timeout_us(&self, wanted_bps: f64) -> Option<u64> {
        if self.queue_bps[0] > 0.0 || wanted_bps <= self.estimate_bps {
            return None;
        }
        let last_us = self.last_us?;
        let due_us = match self.phase {
            Phase::Fresh => return None,
            Phase::Waiting { until_us, .. } => until_us,
            Phase::Idle => self.due_us(last_us),
        };
        let again_us = self.forbidden_us.map_or(0, |at_us| at_us + RETRY_US);
        Some(due_us.max(again_us))
    }

    /// Plans probes if there is a reason.
    pub(in crate::core::congestion) fn handle(&mut self, at: Situation) {
        if at.estimate_bps < DROP * self.estimate_bps {
            self.drop = Some(Drop {
                at_us: at.now_us,
                before_bps: self.estimate_bps,
            });
        }
        self.estimate_bps = at.estimate_bps;
        if let Phase::Waiting { until_us, .. } = self.phase
            && at.now_us >= until_us
        {
            self.phase = Phase::Idle;
        }
        self.forbidden_us = at.is_congested.then_some(at.now_us);
        if at.is_congested || at.wanted_bps <= at.estimate_bps {
            self.queue_bps = [0.0; 2];
            return;
        }
        if self.queue_bps[0] > 0.0 {
            return;
        }
        match self.phase {
            Phase::Fresh => self.plan(FIRST.map(|factor| factor * self.start_bps), at),
            Phase::Waiting { above_bps, .. } if at.estimate_bps > above_bps => {
                self.plan([FURTHER * at.estimate_bps, 0.0], at);
            }
            Phase::Waiting { .. } => {}
            Phase::Idle => self.plan_again(at),
        }
    }

    fn plan_again(&mut self, at: Situation) {
        let last_us = self.last_us.unwrap_or(0);
        let since_us = at.now_us.saturating_sub(last_us);
        let is_more_wanted =
            at.wanted_bps > MORE * self.last_wanted_bps && since_us >= INTERVAL_MIN_US;
        if at.now_us < self.due_us(last_us) && !is_more_wanted {
            return;
        }
        let dropped_bps = self
            .drop
            .take_if(|drop| at.now_us >= drop.at_us + DROP_WAIT_US)
            .map_or(0.0, |drop| DROP_PROBE * drop.before_bps);
        self.plan([dropped_bps.max(FURTHER * at.estimate_bps), 0.0], at);
    }

    fn due_us(&self, last_us: u64) -> u64 {
        let regular_us = last_us + INTERVAL_US;
        match self.drop {
            Some(drop) => (drop.at_us + DROP_WAIT_US)
                .max(last_us + INTERVAL_MIN_US)
                .min(regular_us),
            None => regular_us,
        }
    }

    fn plan(&mut self, rates_bps: [f64; 2], at: Situation) {
        let limit_bps = WANTED * at.wanted_bps;
        let [first, second] = rates_bps.map(|rate| rate.min(limit_bps));
        self.queue_bps = [first, if second > first { second } else { 0.0 }];
        let highest = first.max(second);
        // At the limit there is nothing further to find.
        let above_bps = if highest < limit_bps {
            REACHED * highest
        } else {
            f64::MAX
        };
        self.phase = Phase::Waiting {
            until_us: at.now_us + WAIT_US,
            above_bps,
        };
        self.last_us = Some(at.now_us);
        self.last_wanted_bps = at.wanted_bps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now_ms: u64, estimate_bps: f64, wanted_bps: f64) -> Situation {
        Situation {
            now_us: now_ms * 1_000,
            estimate_bps,
            wanted_bps,
            is_congested: false,
        }
    }

    fn rates(plans: &mut Plans) -> Vec<u64> {
        std::iter::from_fn(|| plans.poll())
            .map(|plan| plan.rate.0 / 1_000)
            .collect()
    }

    #[test]
    fn the_first_probes_are_three_and_six_times_the_start() {
        let mut plans = Plans::new(300_000.0);
        plans.handle(at(0, 300_000.0, 0.0));
        assert!(rates(&mut plans).is_empty(), "nothing is wanted");
        plans.handle(at(5, 300_000.0, 5e6));
        assert_eq!(rates(&mut plans), vec![900, 1_800]);
        plans.handle(at(100, 1_700_000.0, 5e6));
        assert_eq!(rates(&mut plans), vec![3_400], "further");
        plans.handle(at(200, 3_300_000.0, 5e6));
        assert_eq!(rates(&mut plans), vec![6_600], "further");
        plans.handle(at(300, 5_900_000.0, 5e6));
        assert!(rates(&mut plans).is_empty());
    }

    #[test]
    fn in_vain_it_probes_every_four_seconds() {
        let mut plans = Plans::new(300_000.0);
        let mut times = Vec::new();
        for now_ms in (0..13_000).step_by(50) {
            plans.handle(at(now_ms, 300_000.0, 1e6));
            if !rates(&mut plans).is_empty() {
                times.push(now_ms);
            }
        }
        assert_eq!(times, vec![0, 4_000, 8_000, 12_000]);
        assert_eq!(plans.timeout_us(1e6), Some(13_000_000));
        assert_eq!(plans.timeout_us(0.0), None);
    }

    #[test]
    fn who_wants_more_needs_not_wait() {
        let mut plans = Plans::new(300_000.0);
        plans.handle(at(0, 300_000.0, 500_000.0));
        rates(&mut plans);
        plans.handle(at(1_200, 500_000.0, 400_000.0));
        plans.handle(at(1_300, 500_000.0, 2e6));
        assert_eq!(rates(&mut plans), vec![1_000]);
    }

    #[test]
    fn congestion_forbids_probes() {
        let mut plans = Plans::new(300_000.0);
        let mut congested = at(0, 300_000.0, 5e6);
        congested.is_congested = true;
        plans.handle(congested);
        assert!(rates(&mut plans).is_empty());
        plans.handle(at(10, 300_000.0, 5e6));
        congested.now_us = 20_000;
        plans.handle(congested);
        assert!(rates(&mut plans).is_empty(), "what was planned is dropped");
        congested.now_us = 60_000_000;
        plans.handle(congested);
        assert_eq!(plans.timeout_us(5e6), Some(60_200_000), "it does not spin");
    }

    #[test]
    fn after_a_large_drop_the_rate_before_it_is_tried_soon() {
        let mut plans = Plans::new(300_000.0);
        plans.handle(at(0, 300_000.0, 3e6));
        rates(&mut plans);
        plans.handle(at(1_500, 2_000_000.0, 3e6));
        plans.handle(at(2_000, 600_000.0, 3e6));
        plans.handle(at(3_900, 600_000.0, 3e6));
        assert!(rates(&mut plans).is_empty());
        plans.handle(at(4_001, 600_000.0, 3e6));
        assert_eq!(rates(&mut plans), vec![1_700]);
    }

    #[test]
    fn clusters_never_have_the_name_of_none() {
        let mut plans = Plans::new(300_000.0);
        for round in 0..600 {
            plans.handle(at(round * 4_000, 300_000.0, 1e6));
            while let Some(plan) = plans.poll() {
                assert_eq!(
                    ProbeCluster::from_index(plan.cluster.0.get()),
                    Some(plan.cluster)
                );
            }
        }
    }
}
