//! What was sent, until its feedback comes: a ring indexed by the transport-wide number.

use super::ProbeCluster;
use crate::cache;
use crate::core::places::Places;

/// How long a packet waits for its feedback. Feedback comes every 50–100 ms a round trip later; what is
/// older says nothing about the path of now. Twice this would double the ring's memory.
const KEEP_US: u64 = 2_000_000;

/// Packets that the ring begins with once there is one: more than two seconds of a voice without pictures.
const FIRST: Places = Places::new(128);

/// Packets that it has at most, 8 bytes each. 4,096 in two seconds are about 18 Mbit/s of full packets;
/// beyond that the oldest leave before their two seconds are over, which only a round trip of more than
/// a second would notice.
const MAX_SLOTS: usize = 4_096;

/// Packets after which those too old are forgotten, if not before.
const EXPIRE_EVERY: u64 = 64;

/// Looks in a row, one a feedback, after which a step that was not needed is given back: some ten seconds.
const LOOKS: u8 = 100;

/// What is known of a packet's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Fate {
    /// Nothing yet.
    #[default]
    Unknown,
    /// A feedback says that it did not arrive; a later one may still say that it did.
    Lost,
    /// It arrived.
    Received,
}

/// A packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Its transport-wide number, not wrapped.
    pub(super) number: u64,
    /// When, in µs of the estimator's clock.
    pub(super) at_us: u64,
    /// The datagram's payload.
    pub(super) bytes: u16,
    /// The probe it belongs to.
    pub(super) cluster: Option<ProbeCluster>,
    /// What was known of it before.
    pub(super) fate: Fate,
}

/// Numbers are given out one after the other, so a slot needs none: its place says it.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// The lower 32 bits of the time in µs. They wrap after 71 minutes, long after the slot is stale.
    at_us: u32,
    bytes: u16,
    /// 0 for none.
    cluster: u8,
    fate: Fate,
}

/// The packets of the last two seconds.
#[derive(Debug)]
pub(super) struct History {
    /// Empty until the first packet.
    slots: Vec<Slot>,
    places: Places,
    oldest: u64,
    next: u64,
    last_us: u64,
    /// Looks in a row in which the step before would have done.
    roomy: u8,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            places: FIRST,
            oldest: 0,
            next: 0,
            last_us: 0,
            roomy: 0,
        }
    }

    /// Enters a packet and gives it its number. Allocates only when more packets than ever are under
    /// way, and never beyond [`MAX_SLOTS`].
    pub(super) fn push(&mut self, now_us: u64, bytes: u16, cluster: Option<ProbeCluster>) -> u16 {
        // To look at the oldest with each packet would be a cache miss with each. The times in the slots
        // wrap; so many packets are never as far apart.
        let is_due = self.next.is_multiple_of(EXPIRE_EVERY);
        if is_due || self.len() == self.slots.len() || now_us.saturating_sub(self.last_us) > KEEP_US
        {
            self.expire(now_us);
        }
        if self.len() == self.slots.len() {
            self.make_room();
        }
        let number = self.next;
        let slot = self.place(number);
        self.slots[slot] = Slot {
            at_us: lower_32(now_us),
            bytes,
            cluster: cluster.map_or(0, |cluster| cluster.0.get()),
            fate: Fate::Unknown,
        };
        self.next += 1;
        self.last_us = now_us;
        lower_16(number)
    }

    /// Some packets will be sent soon.
    pub(super) fn expect(&self, packets: usize) {
        let from = self.place(self.next);
        let end = (from + packets).min(self.slots.len());
        cache::expect_all(self.slots.get(from..end).unwrap_or_default());
    }

    /// Notes what became of a packet and returns it as it was before; `None` when no such packet was
    /// sent lately.
    pub(super) fn settle(&mut self, now_us: u64, wire: u16, fate: Fate) -> Option<Sent> {
        let sent = self.find(now_us, wire)?;
        if sent.fate != Fate::Received {
            let slot = self.place(sent.number);
            self.slots[slot].fate = fate;
        }
        Some(sent)
    }

    /// The packet with this number, when it was sent lately.
    pub(super) fn find(&self, now_us: u64, wire: u16) -> Option<Sent> {
        let back = u64::from(lower_16(self.next).wrapping_sub(wire));
        let number = self.next.checked_sub(back)?;
        if number < self.oldest || number >= self.next {
            return None;
        }
        let slot = self.slots[self.place(number)];
        let age_us = lower_32(now_us).wrapping_sub(slot.at_us);
        Some(Sent {
            number,
            at_us: now_us.saturating_sub(u64::from(age_us)),
            bytes: slot.bytes,
            cluster: ProbeCluster::from_index(slot.cluster),
            fate: slot.fate,
        })
    }

    /// Whether this number has not been given out, and is nearer to the next one than to the past.
    pub(super) fn is_to_come(&self, wire: u16) -> bool {
        wire.wrapping_sub(lower_16(self.next)) < 1 << 15
    }

    /// Forgets what is too old. To be called before numbers are looked up.
    pub(super) fn expire(&mut self, now_us: u64) {
        if now_us.saturating_sub(self.last_us) > KEEP_US {
            self.oldest = self.next;
            return;
        }
        while self.oldest < self.next {
            let slot = self.slots[self.place(self.oldest)];
            if u64::from(lower_32(now_us).wrapping_sub(slot.at_us)) <= KEEP_US {
                return;
            }
            self.oldest += 1;
        }
    }

    /// Forgets all that is under way. Numbers go on.
    pub(super) fn forget(&mut self) {
        self.oldest = self.next;
    }

    fn len(&self) -> usize {
        usize::try_from(self.next - self.oldest).unwrap_or(usize::MAX)
    }

    fn place(&self, number: u64) -> usize {
        self.places.of(number)
    }

    /// Gives room back that was needed for a moment only. To be called with each feedback.
    pub(super) fn look(&mut self) {
        let smaller = self.places.smaller();
        // A quarter is to be free, or the next probe would take it again.
        let is_roomy = self.places != FIRST && self.len() * 4 <= smaller.len() * 3;
        self.roomy = if is_roomy { self.roomy + 1 } else { 0 };
        if self.roomy == LOOKS {
            self.roomy = 0;
            self.resize(smaller);
        }
    }

    fn make_room(&mut self) {
        if self.slots.len() >= MAX_SLOTS {
            self.oldest += 1;
        } else if self.slots.is_empty() {
            self.resize(FIRST);
        } else {
            self.roomy = 0;
            self.resize(self.places.larger());
        }
    }

    fn resize(&mut self, places: Places) {
        let mut slots = vec![Slot::default(); places.len()];
        for number in self.oldest..self.next {
            slots[places.of(number)] = self.slots[self.place(number)];
        }
        (self.slots, self.places) = (slots, places);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are meant")]
fn lower_32(value: u64) -> u32 {
    value as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are meant")]
fn lower_16(value: u64) -> u16 {
    value as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_and_are_found_on_both_sides() {
        let mut history = History::new();
        for number in 0..70_000_u64 {
            let wire = history.push(number * 1_000, 100, None);
            assert_eq!(u64::from(wire), number % 65_536);
        }
        let now = 70_000 * 1_000;
        let last = history.find(now, lower_16(69_999)).expect("just sent");
        assert_eq!((last.number, last.at_us), (69_999, 69_999_000));
        assert_eq!(history.find(now, lower_16(70_000)), None, "not yet sent");
        assert_eq!(history.find(now, lower_16(60_000)), None, "long ago");
    }

    #[test]
    fn the_ring_grows_to_its_bound_and_then_forgets_the_oldest() {
        let mut history = History::new();
        for _ in 0..10_000 {
            history.push(5, 1, None);
        }
        assert_eq!(history.slots.len(), MAX_SLOTS);
        assert!(history.find(5, 9_999).is_some());
        assert!(history.find(5, lower_16(10_000 - 4_096)).is_some());
        assert!(history.find(5, lower_16(10_000 - 4_097)).is_none());
    }

    #[test]
    fn the_ring_is_little_larger_than_what_is_under_way() {
        let mut history = History::new();
        assert_eq!(history.slots.capacity(), 0);
        // 250 packets a second, and a hundred of a probe.
        for number in 0..2_000_u64 {
            history.push(number * 4_000, 1_100, None);
        }
        for _ in 0..100 {
            history.push(8_000_000, 1_100, ProbeCluster::from_index(1));
        }
        assert_eq!(history.slots.capacity(), 768);
        assert!(history.find(8_000_000, lower_16(2_099)).is_some());
        assert!(history.find(8_000_000, lower_16(1_500)).is_some());
        // Four seconds in one moment; and afterwards as before.
        for _ in 0..1_000 {
            history.push(8_000_000, 1_100, None);
        }
        assert!(history.slots.capacity() > 1_024);
        for number in 3_100..20_000_u64 {
            let now_us = 8_000_000 + (number - 3_100) * 4_000;
            history.push(now_us, 1_100, None);
            if number.is_multiple_of(25) {
                history.expire(now_us);
                history.look();
            }
            let oldest = history.find(now_us, lower_16(number - 499));
            assert!(oldest.is_some(), "{number}");
        }
        assert_eq!(history.slots.capacity(), 768);
    }

    #[test]
    fn silence_of_any_length_makes_everything_stale() {
        let mut history = History::new();
        history.push(0, 1, None);
        // One turn of the 32-bit time and a bit: the slot looks fresh, and must not be.
        let later = (1 << 32) + 10;
        history.expire(later);
        assert_eq!(history.find(later, 0), None);
    }

    #[test]
    fn a_received_packet_stays_received() {
        let mut history = History::new();
        history.push(0, 1, ProbeCluster::from_index(3));
        let first = history.settle(1, 0, Fate::Lost).expect("sent");
        assert_eq!(first.cluster, ProbeCluster::from_index(3));
        let again = history.settle(1, 0, Fate::Received).expect("sent");
        assert_eq!(again.fate, Fate::Lost);
        history.settle(1, 0, Fate::Lost);
        let last = history.settle(1, 0, Fate::Lost).expect("sent");
        assert_eq!(last.fate, Fate::Received);
    }
}
