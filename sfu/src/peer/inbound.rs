//! What a peer sends: which SSRC is which layer, and what is told back about its packets' arrival.

use crate::table::Key;
use crate::track::Track;
use crate::unit::{Mid, Ssrc};
use crate::wire::rtcp::{Arrival, write_transport_feedback};
use crate::wire::rtp::ExtensionIds;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// SSRCs of one peer that are known to be something. A publisher of eight simulcast tracks has 48. At the
/// bound others are ignored.
const SOURCES: usize = 64;

/// Between two feedbacks. Chromium's own receiver sends them every 50 to 250 ms by load.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(60);

/// Arrivals that wait for a feedback at most: 60 ms at 8,000 packets/s. At half of it one is sent at once. Room
/// for all would be 12 KB; a voice needs a hundredth.
const ARRIVALS: usize = 512;

/// Numbers between two feedbacks that are told of as lost. A greater jump is a sender that began anew.
const GAP_MAX: u16 = 4_096;

/// What an SSRC carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// A layer's media.
    Media(Key<Track>, u8),
    /// A layer's retransmissions.
    Rtx(Key<Track>, u8),
}

impl Carries {
    /// The same of the track that has the m-line now, if that has such a layer.
    pub(crate) fn of(self, key: Key<Track>, track: &Track) -> Option<Self> {
        match self {
            Self::Media(_, layer) => track.layer(layer).map(|_| Self::Media(key, layer)),
            Self::Rtx(_, layer) => track.layer(layer).map(|_| Self::Rtx(key, layer)),
        }
    }
}

/// The streams of one peer, by SSRC, and transport-wide feedback about them.
pub(crate) struct Inbound {
    /// As negotiated; a bundle has one meaning for an id.
    pub(crate) ids: ExtensionIds,
    sources: Vec<(Ssrc, Carries)>,
    /// Of tracks that are no more, by their m-lines; the oldest first.
    ended: VecDeque<(Ssrc, Mid, Carries)>,
    arrivals: Vec<Arrival>,
    /// The highest number that feedback was given up to, not wrapped.
    reported: Option<u64>,
    newest: u64,
    feedback_count: u8,
    due: Option<Instant>,
    epoch: Instant,
}

impl Inbound {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            ids: ExtensionIds::default(),
            sources: Vec::new(),
            ended: VecDeque::new(),
            arrivals: Vec::new(),
            reported: None,
            newest: 1 << 16,
            feedback_count: 0,
            due: None,
            epoch: now,
        }
    }

    /// What an SSRC carries, if it is known.
    pub(crate) fn find(&self, ssrc: Ssrc) -> Option<Carries> {
        let found = self.sources.iter().find(|(known, _)| *known == ssrc);
        found.map(|(_, carries)| *carries)
    }

    /// From now on an SSRC carries this. One that carries something keeps it: an SSRC that changes its
    /// meaning is a mistake or an attack.
    pub(crate) fn learn(&mut self, ssrc: Ssrc, carries: Carries) -> bool {
        let is_known = self.find(ssrc).is_some();
        if is_known || self.sources.len() >= SOURCES {
            return false;
        }
        self.ended.retain(|(ended, ..)| *ended != ssrc);
        self.sources.push((ssrc, carries));
        true
    }

    /// The track of an m-line is no more.
    pub(crate) fn forget(&mut self, track: Key<Track>, mid: Mid) {
        let ended = &mut self.ended;
        self.sources.retain(|(ssrc, carries)| match carries {
            Carries::Media(of, _) | Carries::Rtx(of, _) if *of == track => {
                ended.push_back((*ssrc, mid, *carries));
                false
            }
            Carries::Media(..) | Carries::Rtx(..) => true,
        });
        let excess = ended.len().saturating_sub(SOURCES);
        ended.drain(..excess);
    }

    /// Which m-line an SSRC was of whose track is no more, and what it carried there. Senders name the m-line until
    /// they know that their SSRC is known (RFC 8843, section 9.2), and not again.
    pub(crate) fn ended(&self, ssrc: Ssrc) -> Option<(Mid, Carries)> {
        let found = self.ended.iter().find(|(ended, ..)| *ended == ssrc);
        found.map(|(_, mid, carries)| (*mid, *carries))
    }

    /// A packet with this transport-wide number came.
    pub(crate) fn handle_arrival(&mut self, now: Instant, number: u16) {
        let distance = number.wrapping_sub(wrapped(self.newest)).cast_signed();
        let Some(at) = self.newest.checked_add_signed(i64::from(distance)) else {
            return;
        };
        self.newest = self.newest.max(at);
        let since = now.saturating_duration_since(self.epoch);
        if self.arrivals.len() < ARRIVALS {
            self.arrivals.push(Arrival {
                transport_seq: number,
                at_us: Some(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)),
            });
        }
        self.due.get_or_insert(now + FEEDBACK_INTERVAL);
    }

    /// When feedback is due; `None` while there is nothing to tell.
    pub(crate) fn feedback_due(&self) -> Option<Instant> {
        if self.arrivals.len() >= ARRIVALS / 2 {
            return Some(self.epoch);
        }
        self.due
    }

    /// Writes feedback, if it is due.
    pub(crate) fn poll_feedback(&mut self, now: Instant, ours: Ssrc, out: &mut Vec<u8>) {
        if self.feedback_due().is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        let media = self.sources.first().map_or(Ssrc(0), |(ssrc, _)| *ssrc);
        self.prepare();
        let mut rest = self.arrivals.as_slice();
        while !rest.is_empty() {
            let told = write_transport_feedback(out, ours, media, self.feedback_count, rest);
            self.feedback_count = self.feedback_count.wrapping_add(1);
            if told == 0 {
                break;
            }
            rest = rest.get(told..).unwrap_or_default();
        }
        self.arrivals.clear();
    }

    /// Puts arrivals into the order of their numbers, each number once, beginning where the last feedback
    /// ended, so that what was lost between the two is told of. What came late was told of as lost.
    fn prepare(&mut self) {
        let newest = wrapped(self.newest);
        let age = |number: u16| newest.wrapping_sub(number);
        let told = self.reported.map_or(u64::MAX, |told| self.newest - told);
        self.arrivals
            .retain(|arrival| u64::from(age(arrival.transport_seq)) < told);
        self.arrivals
            .sort_unstable_by_key(|arrival| u16::MAX - age(arrival.transport_seq));
        self.arrivals.dedup_by_key(|arrival| arrival.transport_seq);
        if let Some(reported) = self.reported
            && let Some(first) = self.arrivals.first()
            && self.newest - reported < u64::from(GAP_MAX)
        {
            let next = wrapped(reported + 1);
            if first.transport_seq != next {
                let lost = Arrival {
                    transport_seq: next,
                    at_us: None,
                };
                self.arrivals.insert(0, lost);
            }
        }
        self.reported = Some(self.newest);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the wire has the lower 16 bits"
)]
fn wrapped(number: u64) -> u16 {
    number as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtcp::{Packet, Packets};

    fn told(inbound: &mut Inbound, now: Instant) -> Vec<(u16, bool)> {
        let mut out = Vec::new();
        inbound.poll_feedback(now, Ssrc(1), &mut out);
        let mut told = Vec::new();
        for packet in Packets::new(&out) {
            let Packet::TransportFeedback(feedback) = packet.expect("whole") else {
                panic!("feedback");
            };
            let statuses = feedback.statuses();
            told.extend(
                statuses.map(|(at, delta)| (feedback.base.wrapping_add(at), delta.is_some())),
            );
        }
        told
    }

    #[test]
    fn what_is_lost_between_two_feedbacks_is_told_of() {
        let start = Instant::now();
        let mut inbound = Inbound::new(start);
        assert_eq!(inbound.feedback_due(), None);
        for number in [65_534, 65_535, 1] {
            inbound.handle_arrival(start, number);
        }
        let later = start + FEEDBACK_INTERVAL;
        assert_eq!(told(&mut inbound, start), []);
        let first = told(&mut inbound, later);
        assert_eq!(
            first,
            [(65_534, true), (65_535, true), (0, false), (1, true)]
        );
        inbound.handle_arrival(later, 4);
        inbound.handle_arrival(later, 3);
        // Late: it was told of.
        inbound.handle_arrival(later, 0);
        let second = told(&mut inbound, later + FEEDBACK_INTERVAL);
        assert_eq!(second, [(2, false), (3, true), (4, true)]);
    }

    #[test]
    fn room_for_arrivals_is_made_as_they_need_it() {
        let start = Instant::now();
        let mut inbound = Inbound::new(start);
        for number in 0..300 {
            let now = start + FEEDBACK_INTERVAL * u32::from(number) / 3;
            inbound.handle_arrival(now, number);
            told(&mut inbound, now);
        }
        assert!(inbound.arrivals.capacity() <= 8);
        for number in 300..2_000 {
            inbound.handle_arrival(start, number);
        }
        assert!(inbound.arrivals.capacity() <= ARRIVALS);
    }
}
