//! What a peer is sent: the estimate of its path, and when packets leave.

use crate::cache;
use crate::core::congestion::{
    Config, EstimateChanged, Estimator, Feedback, FeedbackError, PacketResult,
};
use crate::core::forward::{Rewrite, SourceKey};
use crate::core::pacer::{Class, Enqueued, Output, Pacer};
use crate::unit::{Bitrate, ExtSeqNo};
use crate::wire::rtcp::TransportFeedback;
use std::time::{Duration, Instant};

/// A media packet that waits: where its payload is and how it is rewritten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queued {
    /// The slot's place.
    pub(crate) slot: usize,
    pub(crate) source: SourceKey,
    pub(crate) layer: u8,
    pub(crate) seq: ExtSeqNo,
    pub(crate) rewrite: Rewrite,
    /// Its number on the RTX source, if it is a repair.
    pub(crate) repair: Option<ExtSeqNo>,
}

/// The estimator and pacer of one transport.
pub(crate) struct Outflow {
    estimator: Estimator,
    pacer: Pacer<Queued>,
    is_paced: bool,
    /// What the path is taken to carry without feedback.
    assumed: Bitrate,
    /// The peer sends transport-wide feedback; otherwise nothing is estimated.
    has_feedback: bool,
    is_probing: bool,
    next_trim: Instant,
    /// All that ever left.
    sent_bytes: u64,
}

/// Between two looks at what the pacer's queues need: longer than between two key frames.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);

impl Outflow {
    pub(crate) fn new(now: Instant, is_paced: bool, assumed: Bitrate) -> Self {
        let mut config = Config::default();
        if !is_paced {
            // Who has pacing off says that paths are good: nothing is held back until feedback shows
            // otherwise. From there it is learnt by probes, as with pacing.
            config.start = assumed.clamp(config.min, config.max);
        }
        Self {
            estimator: Estimator::new(now, config),
            pacer: Pacer::new(now, config.start),
            is_paced,
            assumed,
            has_feedback: false,
            is_probing: false,
            next_trim: now + TRIM_INTERVAL,
            sent_bytes: 0,
        }
    }

    pub(crate) fn set_has_feedback(&mut self, has_feedback: bool) {
        self.has_feedback = has_feedback;
    }

    /// What the path carries.
    pub(crate) fn estimate(&self) -> Bitrate {
        if self.is_measured() {
            self.estimator.estimate()
        } else {
            self.assumed
        }
    }

    /// Nothing has been measured: the estimate is what the operator assumes.
    pub(crate) fn is_assumed(&self) -> bool {
        !self.is_measured() || (!self.is_paced && !self.estimator.is_heard())
    }

    /// Feedback was agreed on, and is not known not to come.
    fn is_measured(&self) -> bool {
        self.has_feedback && !self.estimator.is_unanswered()
    }

    /// Bytes of all packets that ever left.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Packets whose fate was ever told, and those of them that were lost.
    pub(crate) fn fates(&self) -> (u64, u64) {
        self.estimator.fates()
    }

    /// Packets that wait for their time.
    pub(crate) fn waiting(&self) -> usize {
        self.pacer.len()
    }

    /// What the allocator would use if it could.
    pub(crate) fn set_desired(&mut self, now: Instant, desired: Bitrate) {
        if now >= self.next_trim {
            self.next_trim = now + TRIM_INTERVAL;
            self.pacer.trim();
        }
        if self.has_feedback {
            self.estimator.set_desired(now, desired);
        }
    }

    /// Whether a packet leaves now.
    pub(crate) fn enqueue(
        &mut self,
        now: Instant,
        class: Class,
        bytes: u16,
        packet: Queued,
    ) -> Enqueued {
        if self.is_paced && self.is_measured() {
            self.pacer.enqueue(now, class, bytes, packet)
        } else {
            self.pacer.pass(now, bytes);
            Enqueued::Now
        }
    }

    /// Packets will be sent soon.
    pub(crate) fn expect(&self) {
        self.estimator.expect();
        cache::expect(&self.pacer);
    }

    /// A feedback will be taken soon.
    pub(crate) fn expect_feedback(&self) {
        self.estimator.expect_feedback();
    }

    /// So many will be, and [`Self::expect`] was a while ago.
    pub(crate) fn expect_packets(&self, packets: usize) {
        self.estimator.expect_packets(packets);
    }

    /// What is to be done now, of what waited.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Output<Queued>> {
        let output = self.pacer.poll(now);
        if output.is_none() && self.is_probing && self.pacer.cluster().is_none() {
            self.is_probing = false;
        }
        output
    }

    /// The number of a packet that leaves now.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: usize) -> u16 {
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        self.sent_bytes += u64::from(bytes);
        self.estimator.on_sent(now, bytes, self.pacer.cluster())
    }

    /// What is waiting for a slot is not to be sent any more; it is shown once more.
    pub(crate) fn discard(&mut self, slot: usize, mut show: impl FnMut(&Queued)) {
        self.pacer.discard(|queued| {
            let is_of_slot = queued.slot == slot;
            if is_of_slot {
                show(queued);
            }
            is_of_slot
        });
    }

    /// There is nothing to probe with.
    pub(crate) fn cancel_probe(&mut self, now: Instant) {
        self.pacer.cancel_probe(now);
    }

    pub(crate) fn handle_feedback(
        &mut self,
        now: Instant,
        feedback: &TransportFeedback<'_>,
    ) -> Result<(), FeedbackError> {
        self.has_feedback = true;
        let head = Feedback {
            base: feedback.base,
            reference_time: feedback.reference_time,
        };
        let results = feedback
            .statuses()
            .map(|(offset, delta)| PacketResult { offset, delta });
        self.estimator.handle_feedback(now, head, results)
    }

    /// The peer has another address: what was measured is of another path.
    pub(crate) fn handle_new_path(&mut self, now: Instant) {
        self.estimator.handle_new_path(now);
        self.pacer.cancel_probe(now);
        self.is_probing = false;
    }

    pub(crate) fn handle_rtt(&mut self, rtt: Duration) {
        self.estimator.handle_rtt(rtt);
    }

    /// Whether [`Self::poll_estimate`] has something to do.
    pub(crate) fn has_news(&self) -> bool {
        self.has_feedback && self.estimator.has_news()
    }

    /// Takes a change of the estimate, after which layers are chosen anew, and begins what is to be
    /// probed.
    pub(crate) fn poll_estimate(&mut self, now: Instant) -> Option<EstimateChanged> {
        if !self.has_feedback {
            return None;
        }
        if !self.is_probing
            && let Some(plan) = self.estimator.poll_probe()
        {
            self.is_probing = true;
            self.pacer.start_probe(now, plan);
        }
        let changed = self.estimator.poll_event()?;
        self.pacer.set_target(now, changed.estimate);
        Some(changed)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.has_feedback && self.estimator.poll_timeout().is_some_and(|due| due <= now) {
            self.estimator.handle_timeout(now);
        }
    }

    /// When [`Self::poll`] has something to do.
    pub(crate) fn packet_due(&self) -> Option<Instant> {
        self.pacer.poll_timeout()
    }

    /// When [`Self::handle_timeout`] has something to do, to some ten milliseconds.
    pub(crate) fn estimate_due(&self) -> Option<Instant> {
        self.estimator.poll_timeout().filter(|_| self.has_feedback)
    }
}
