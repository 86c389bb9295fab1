//! Asks a publisher for what is missing (RFC 4585, section 6.2.1).
//!
//! A number is asked for when it has been missing for longer than packets are out of order, and again
//! after a round trip, until it comes, is too old, or a key frame makes it needless. When more is
//! missing than repair can bring, everything is forgotten and a key frame is wanted instead.

use crate::unit::{ExtSeqNo, SeqNo};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets may be so much out of order without being asked for: bursts of a frame are reordered within
/// a few milliseconds, and a needless repair costs more than ten milliseconds of delay.
pub const REORDER_TOLERANCE: Duration = Duration::from_millis(10);

/// The least time between two requests for a packet, however near the publisher is: less than the time
/// that its next tick takes to answer brings the packet twice.
pub const MIN_RETRY: Duration = Duration::from_millis(20);

/// Requests for one packet, as in libwebrtc. What ten requests do not bring is not there.
pub const MAX_TRIES: u8 = 10;

/// Age after which a packet is given up: then its frame is long past its playout.
pub const MAX_AGE: Duration = Duration::from_secs(1);

/// Packets that may be missing at a time. Beyond this all are forgotten and a key frame is asked for,
/// which is smaller than what is missing.
pub const MAX_MISSING: usize = 512;

/// What is missing of one stream.
#[derive(Debug, Default)]
pub struct NackGenerator {
    /// By number.
    missing: VecDeque<Missing>,
    wants_keyframe: bool,
    given_up: u64,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    seq: ExtSeqNo,
    found_at: Instant,
    asked_at: Option<Instant>,
    tries: u8,
}

impl Missing {
    fn due(&self, rtt: Duration) -> Instant {
        match self.asked_at {
            None => self.found_at + REORDER_TOLERANCE,
            Some(asked_at) => asked_at + rtt.max(MIN_RETRY),
        }
    }

    fn is_hopeless(&self, now: Instant) -> bool {
        self.tries >= MAX_TRIES || now.saturating_duration_since(self.found_at) >= MAX_AGE
    }
}

impl NackGenerator {
    /// Nothing is missing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The packets from `from` to before `to` did not come, and later ones did.
    pub fn handle_gap(&mut self, now: Instant, from: ExtSeqNo, to: ExtSeqNo) {
        let count = usize::try_from(to.0.saturating_sub(from.0)).unwrap_or(usize::MAX);
        if count > MAX_MISSING.saturating_sub(self.missing.len()) {
            self.given_up += self.missing.len() as u64;
            self.missing.clear();
            self.wants_keyframe = true;
            return;
        }
        self.missing.extend((from.0..to.0).map(|seq| Missing {
            seq: ExtSeqNo(seq),
            found_at: now,
            asked_at: None,
            tries: 0,
        }));
    }

    /// A packet came after all.
    pub fn handle_received(&mut self, seq: ExtSeqNo) {
        if let Ok(index) = self
            .missing
            .binary_search_by_key(&seq, |missing| missing.seq)
        {
            self.missing.remove(index);
        }
    }

    /// A key frame begins here: what is before it is not needed any more.
    pub fn handle_keyframe(&mut self, seq: ExtSeqNo) {
        let needless = self.missing.partition_point(|missing| missing.seq < seq);
        self.missing.drain(..needless);
        self.wants_keyframe = false;
    }

    /// The stream begins anew: its numbers have nothing to do with the earlier ones.
    pub fn clear(&mut self) {
        self.missing.clear();
    }

    /// Adds to `out` what is to be asked for now, in the order of numbers; at most [`MAX_MISSING`].
    /// `rtt` is the round trip to the publisher.
    pub fn poll(&mut self, now: Instant, rtt: Duration, out: &mut Vec<SeqNo>) {
        let before = self.missing.len();
        self.missing.retain_mut(|missing| {
            if missing.is_hopeless(now) {
                return false;
            }
            if missing.due(rtt) <= now {
                missing.asked_at = Some(now);
                missing.tries += 1;
                out.push(missing.seq.wire());
            }
            true
        });
        self.given_up += (before - self.missing.len()) as u64;
    }

    /// When [`Self::poll`] has something to do next.
    #[must_use]
    pub fn next_due(&self, rtt: Duration) -> Option<Instant> {
        self.missing.iter().map(|missing| missing.due(rtt)).min()
    }

    /// Whether so much was lost that only a key frame helps; asked once.
    pub fn take_wants_keyframe(&mut self) -> bool {
        std::mem::take(&mut self.wants_keyframe)
    }

    /// How many packets are missing.
    #[must_use]
    pub fn len(&self) -> usize {
        self.missing.len()
    }

    /// Nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Packets that never came, ever.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn poll(nack: &mut NackGenerator, now: Instant) -> Vec<u16> {
        let mut out = Vec::new();
        nack.poll(now, RTT, &mut out);
        out.into_iter().map(|seq| seq.0).collect()
    }

    #[test]
    fn a_missing_packet_is_asked_for_once_a_round_trip() {
        let start = Instant::now();
        let mut nack = NackGenerator::new();
        nack.handle_gap(start, ExtSeqNo(0xffff), ExtSeqNo(0x1_0001));
        assert_eq!(poll(&mut nack, at(start, 9)), [] as [u16; 0]);
        assert_eq!(nack.next_due(RTT), Some(at(start, 10)));
        assert_eq!(poll(&mut nack, at(start, 10)), [0xffff, 0]);
        assert_eq!(poll(&mut nack, at(start, 59)), [] as [u16; 0]);
        nack.handle_received(ExtSeqNo(0xffff));
        assert_eq!(poll(&mut nack, at(start, 60)), [0]);
    }

    #[test]
    fn what_came_within_the_tolerance_is_never_asked_for() {
        let start = Instant::now();
        let mut nack = NackGenerator::new();
        nack.handle_gap(start, ExtSeqNo(5), ExtSeqNo(6));
        nack.handle_received(ExtSeqNo(5));
        assert!(nack.is_empty());
        assert_eq!(nack.next_due(RTT), None);
    }

    #[test]
    fn a_packet_is_given_up_after_its_tries_or_its_age() {
        let start = Instant::now();
        let mut nack = NackGenerator::new();
        nack.handle_gap(start, ExtSeqNo(5), ExtSeqNo(6));
        let tries = (0..100).filter(|i| !poll(&mut nack, at(start, i * 50)).is_empty());
        assert_eq!(tries.count(), usize::from(MAX_TRIES));
        nack.handle_gap(start, ExtSeqNo(7), ExtSeqNo(8));
        assert_eq!(poll(&mut nack, at(start, 1_000)), [] as [u16; 0]);
        assert_eq!(nack.given_up(), 2);
    }

    #[test]
    fn too_much_missing_is_forgotten_for_a_key_frame() {
        let start = Instant::now();
        let mut nack = NackGenerator::new();
        nack.handle_gap(start, ExtSeqNo(0), ExtSeqNo(512));
        assert!(!nack.take_wants_keyframe());
        nack.handle_gap(start, ExtSeqNo(600), ExtSeqNo(601));
        assert!(nack.is_empty());
        assert!(nack.take_wants_keyframe());
        assert!(!nack.take_wants_keyframe());
        nack.handle_gap(start, ExtSeqNo(0), ExtSeqNo(u64::MAX));
        assert!(nack.is_empty());
    }

    #[test]
    fn a_key_frame_makes_what_was_before_it_needless() {
        let start = Instant::now();
        let mut nack = NackGenerator::new();
        nack.handle_gap(start, ExtSeqNo(1), ExtSeqNo(4));
        nack.handle_gap(start, ExtSeqNo(7), ExtSeqNo(9));
        nack.handle_keyframe(ExtSeqNo(8));
        assert_eq!(poll(&mut nack, at(start, 10)), [8]);
    }
}
