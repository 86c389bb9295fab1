//! What was sent on a slot's SSRC, for repairs: only where the payload is and how it was rewritten.
//!
//! A repair goes out on the slot's second SSRC with numbers of its own (RFC 4588, section 4); its
//! payload is read again from the layer's ring, and is the same byte for byte.

mod entry;

use super::forward::{Rewrite, SourceKey};
use super::ring::HISTORY;
use crate::cache;
use crate::unit::{ExtSeqNo, SeqNo};
use entry::{Entry, Origin, Stretches};
use std::time::{Duration, Instant};

/// Packets that are remembered at first and at most. It doubles while it forgets what is younger than
/// [`REMEMBERED`].
const PACKETS: (usize, usize) = (64, 1_024);

/// How long a packet is remembered at least: nearly as long as a layer's ring has it, so that a stream
/// whose second comes in bursts and just fits does not take twice the memory for its jitter.
const REMEMBERED: Duration = HISTORY.saturating_sub(Duration::from_millis(100));

/// Packets from one look to the next at whether half of the room would do, and looks in a row after which the
/// rest is given back: some 2,000 packets, so that what each key frame needs is not taken and given all the time.
const LOOK_EVERY: u64 = 64;
const LOOKS: u8 = 32;

/// Repairs for each packet sent, as a divisor: a subscriber that loses more than half needs a lower
/// layer, not more packets; and one that asks for everything twice gets no more than this.
const SENT_PER_RESEND: u32 = 2;

/// Repairs that may be saved up: the loss of a large key frame at once.
const MAX_CREDIT: u32 = 128;

/// The least time between two repairs of one packet, however near the subscriber is.
const MIN_SPACING: Duration = Duration::from_millis(5);

/// A repair to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resend {
    /// Whose payload.
    pub source: SourceKey,
    /// Of which layer.
    pub layer: u8,
    /// Its number there.
    pub source_seq: ExtSeqNo,
    /// How it was rewritten; `seq` is the original number (OSN).
    pub rewrite: Rewrite,
    /// The number on the slot's RTX SSRC.
    pub rtx_seq: ExtSeqNo,
}

/// What one slot sent of late.
#[derive(Debug)]
pub struct SentHistory {
    epoch: Instant,
    /// By the lower bits of the number; empty until the first packet, then a power of two. What is in
    /// use is of the last so many numbers.
    entries: Vec<Entry>,
    stretches: Stretches,
    newest: Option<ExtSeqNo>,
    /// Looks in a row in which half of the room would have done.
    roomy: u8,
    /// In halves of a repair, see [`SENT_PER_RESEND`].
    credit: u32,
    next_rtx: ExtSeqNo,
    resent: u64,
}

impl SentHistory {
    /// Nothing was sent. `rtx_seq` is the first number of the RTX SSRC, below 2^15.
    #[must_use]
    pub fn new(now: Instant, rtx_seq: u16) -> Self {
        Self {
            epoch: now,
            entries: Vec::new(),
            stretches: Stretches::default(),
            newest: None,
            roomy: 0,
            credit: MAX_CREDIT * SENT_PER_RESEND,
            next_rtx: ExtSeqNo(u64::from(rtx_seq)),
            resent: 0,
        }
    }

    /// A packet went out. Padding is not remembered: nobody misses it twice.
    pub fn handle_sent(
        &mut self,
        now: Instant,
        source: SourceKey,
        layer: u8,
        source_seq: ExtSeqNo,
        rewrite: &Rewrite,
    ) {
        let now_ms = self.ms(now);
        self.make_room(now_ms, rewrite.seq);
        self.credit = (self.credit + 1).min(MAX_CREDIT * SENT_PER_RESEND);
        if !self.advance(rewrite.seq) {
            return;
        }
        let origin = Origin {
            source,
            layer,
            seq: source_seq,
        };
        let stretch = self.stretches.of(&origin, &mut self.entries);
        let index = self.index(rewrite.seq);
        if let Some(entry) = self.entries.get_mut(index) {
            *entry = Entry::pack(stretch, source_seq, rewrite, now_ms);
        }
        if rewrite.seq.0.is_multiple_of(LOOK_EVERY) {
            self.look(now_ms, rewrite.seq);
        }
    }

    /// Some packets will be sent soon.
    pub(crate) fn expect(&self, packets: usize) {
        if let Some(newest) = self.newest {
            let from = self.index(newest.next());
            let end = (from + packets).min(self.entries.len());
            cache::expect_all(self.entries.get(from..end).unwrap_or_default());
        }
    }

    /// The subscriber misses a packet. `None` if it is not known any more, was resent within a round
    /// trip, or too much is asked for.
    pub fn handle_nack(&mut self, now: Instant, rtt: Duration, seq: SeqNo) -> Option<Resend> {
        let wanted = self.newest?.nearest(seq);
        let credit = self.credit.checked_sub(SENT_PER_RESEND)?;
        let entry = self.find(wanted)?;
        let now_ms = self.ms(now);
        let spacing = u16::try_from(rtt.max(MIN_SPACING).as_millis()).unwrap_or(u16::MAX);
        if entry.resent_ms(now_ms).is_some_and(|ago| ago < spacing) {
            return None;
        }
        let index = self.index(wanted);
        self.entries.get_mut(index)?.handle_resent(now_ms);
        let resend = self.resend(&entry, wanted)?;
        self.credit = credit;
        self.resent += 1;
        Some(resend)
    }

    /// A number on the RTX SSRC for a packet of nothing but padding, to probe for bandwidth before there
    /// is anything to repeat.
    pub fn take_padding(&mut self) -> ExtSeqNo {
        let seq = self.next_rtx;
        self.next_rtx = seq.next();
        seq
    }

    /// The newest packet once more, to probe for bandwidth with something of use. `None` before the
    /// first one, or when it is forgotten.
    pub fn poll_probe(&mut self) -> Option<Resend> {
        let newest = self.newest?;
        let entry = self.find(newest)?;
        self.resend(&entry, newest)
    }

    /// Repairs that were given out, ever.
    #[must_use]
    pub fn resent(&self) -> u64 {
        self.resent
    }

    /// Packets that it has room for at present.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of memory that it holds.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.entries.len() * size_of::<Entry>()
    }

    fn find(&self, seq: ExtSeqNo) -> Option<Entry> {
        if !self.is_remembered(seq) {
            return None;
        }
        let entry = *self.entries.get(self.index(seq))?;
        entry.is_used().then_some(entry)
    }

    /// Whether a number's place is its own.
    fn is_remembered(&self, seq: ExtSeqNo) -> bool {
        let newest = self.newest.unwrap_or(seq);
        let behind = newest.0.checked_sub(seq.0);
        behind.is_some_and(|behind| behind < self.entries.len() as u64)
    }

    fn resend(&mut self, entry: &Entry, seq: ExtSeqNo) -> Option<Resend> {
        let Origin {
            source,
            layer,
            seq: source_seq,
        } = self.stretches.origin(entry)?;
        let rtx_seq = self.next_rtx;
        self.next_rtx = rtx_seq.next();
        Some(Resend {
            source,
            layer,
            source_seq,
            rewrite: entry.rewrite(seq),
            rtx_seq,
        })
    }

    /// Takes the places of the numbers up to this one from those that had them before; false if its
    /// own place is a newer one's.
    fn advance(&mut self, seq: ExtSeqNo) -> bool {
        let newest = self.newest.unwrap_or(seq);
        if seq <= newest {
            self.newest = Some(newest);
            return self.is_remembered(seq);
        }
        self.newest = Some(seq);
        let skipped = seq.0 - newest.0 - 1;
        let first = seq.0 - skipped.min(self.entries.len() as u64);
        for number in first..seq.0 {
            let index = self.index(ExtSeqNo(number));
            if let Some(entry) = self.entries.get_mut(index) {
                *entry = Entry::default();
            }
        }
        true
    }

    fn make_room(&mut self, now_ms: u16, seq: ExtSeqNo) {
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); PACKETS.0];
        }
        let displaced = self.entries.get(self.index(seq));
        let is_young = displaced.is_some_and(|entry| {
            let age_ms = entry.age_ms(now_ms).filter(|_| entry.is_used());
            age_ms.is_some_and(|age_ms| u128::from(age_ms) < REMEMBERED.as_millis())
        });
        if is_young && self.entries.len() < PACKETS.1 {
            self.roomy = 0;
            self.resize(self.entries.len() * 2);
        }
    }

    /// Gives half of the room back when it was not needed for long: a machine that stands still for a moment
    /// makes a second's packets look like more.
    fn look(&mut self, now_ms: u16, newest: ExtSeqNo) {
        let half = self.entries.len() / 2;
        let needless = ExtSeqNo(newest.0.saturating_sub(half as u64));
        let age_ms = self.find(needless).and_then(|entry| entry.age_ms(now_ms));
        let is_roomy = age_ms.is_some_and(|age_ms| u128::from(age_ms) >= HISTORY.as_millis());
        self.roomy = if is_roomy { self.roomy + 1 } else { 0 };
        if self.roomy == LOOKS && half >= PACKETS.0 {
            self.resize(half);
        }
        self.roomy %= LOOKS;
    }

    /// Keeps the newest.
    fn resize(&mut self, places: usize) {
        let Some(newest) = self.newest else {
            return;
        };
        let old = std::mem::replace(&mut self.entries, vec![Entry::default(); places]);
        let mask = old.len() as u64 - 1;
        let kept = old.len().min(places) as u64;
        for number in newest.0.saturating_sub(kept - 1)..=newest.0 {
            let before = usize::try_from(number & mask).unwrap_or(usize::MAX);
            let index = self.index(ExtSeqNo(number));
            if let (Some(place), Some(entry)) = (self.entries.get_mut(index), old.get(before)) {
                *place = *entry;
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "masked to less than the index's length"
    )]
    fn index(&self, seq: ExtSeqNo) -> usize {
        (seq.0 & (self.entries.len() as u64).wrapping_sub(1)) as usize
    }

    /// The lower bits of the milliseconds since it began.
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits are meant")]
    fn ms(&self, now: Instant) -> u16 {
        let since = now.saturating_duration_since(self.epoch);
        (since.as_secs() * 1_000 + u64::from(since.subsec_millis())) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ring::Choice;
    use crate::unit::RtpTime;

    const RTT: Duration = Duration::from_millis(40);

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn rewrite(seq: u64) -> Rewrite {
        Rewrite {
            seq: ExtSeqNo(seq),
            time: RtpTime(7),
            marker: seq.is_multiple_of(2),
            picture_id: Some(0x7fff),
            tl0: None,
            frame: Some(0xffff),
            choice: Choice::all().nth(11),
        }
    }

    fn sent(history: &mut SentHistory, now: Instant, seq: u64) {
        let source_seq = ExtSeqNo(seq + 0xffff_fff0);
        history.handle_sent(now, SourceKey(3), 2, source_seq, &rewrite(seq));
    }

    #[test]
    fn a_repair_is_rewritten_as_the_packet_was() {
        let start = Instant::now();
        let mut history = SentHistory::new(start, 500);
        for seq in 0xfff0..0x1_0010 {
            sent(&mut history, start, seq);
        }
        let resend = history.handle_nack(start, RTT, SeqNo(2)).expect("a repair");
        assert_eq!(resend.rewrite, rewrite(0x1_0002));
        assert_eq!(resend.source_seq, ExtSeqNo(0x1_0002 + 0xffff_fff0));
        assert_eq!((resend.source, resend.layer), (SourceKey(3), 2));
        assert_eq!(resend.rtx_seq, ExtSeqNo(500));
        let probe = history.poll_probe().expect("a probe");
        assert_eq!(probe.rewrite.seq, ExtSeqNo(0x1_000f));
        assert_eq!(probe.rtx_seq, ExtSeqNo(501));
    }

    #[test]
    fn a_packet_is_resent_once_a_round_trip() {
        let start = Instant::now();
        let mut history = SentHistory::new(start, 0);
        sent(&mut history, start, 9);
        let nacks = (0..120).filter(|&ms| {
            let resend = history.handle_nack(at(start, ms), RTT, SeqNo(9));
            resend.is_some()
        });
        assert_eq!(nacks.collect::<Vec<_>>(), [0, 40, 80]);
    }

    #[test]
    fn what_was_never_sent_is_not_resent() {
        let start = Instant::now();
        let mut history = SentHistory::new(start, 0);
        assert_eq!(history.handle_nack(start, RTT, SeqNo(9)), None);
        sent(&mut history, start, 9);
        for seq in [8, 10, 9 + 64, 0x8000, 0xffff] {
            assert_eq!(history.handle_nack(start, RTT, SeqNo(seq)), None);
        }
    }

    #[test]
    fn a_number_that_was_never_sent_is_not_taken_for_what_had_its_place() {
        let start = Instant::now();
        let mut history = SentHistory::new(start, 0);
        for seq in 0..64 {
            sent(&mut history, start, seq);
        }
        // A second later their places are given away; two of them to numbers that are filled in.
        let now = at(start, 1_000);
        for seq in (64..100).filter(|seq| ![70, 71].contains(seq)) {
            sent(&mut history, now, seq);
        }
        for seq in [6, 7, 70, 71, 100] {
            assert_eq!(history.handle_nack(now, RTT, SeqNo(seq)), None, "{seq}");
        }
        for seq in [36, 63, 69, 72, 99] {
            let resend = history.handle_nack(now, RTT, SeqNo(seq));
            let seq = u64::from(seq);
            assert_eq!(resend.map(|r| r.rewrite), Some(rewrite(seq)), "{seq}");
        }
        // One of them turns out to be late.
        sent(&mut history, now, 70);
        let resend = history.handle_nack(now, RTT, SeqNo(70));
        assert_eq!(resend.map(|r| r.rewrite), Some(rewrite(70)));
    }

    #[test]
    fn what_comes_later_than_its_place_is_kept_takes_no_newer_ones_place() {
        let start = Instant::now();
        let mut history = SentHistory::new(start, 0);
        for seq in 64..128 {
            sent(&mut history, start, seq);
        }
        let now = at(start, 1_000);
        sent(&mut history, now, 0);
        assert_eq!(history.handle_nack(now, RTT, SeqNo(0)), None);
        assert!(history.handle_nack(now, RTT, SeqNo(64)).is_some());
    }

    #[test]
    fn repairs_are_no_more_than_half_of_what_is_sent() {
        let start = Instant::now();
        let mut history = SentHistory::new(start, 0);
        for seq in 0..1_000 {
            sent(&mut history, at(start, seq), seq);
        }
        let greedy = |history: &mut SentHistory, round: u64| {
            let now = at(start, 1_000 + round * 40);
            (0..1_000)
                .filter(|&seq| history.handle_nack(now, RTT, SeqNo(seq)).is_some())
                .count()
        };
        assert_eq!(greedy(&mut history, 0), MAX_CREDIT as usize);
        assert_eq!(greedy(&mut history, 1), 0);
        sent(&mut history, at(start, 2_000), 1_000);
        sent(&mut history, at(start, 2_000), 1_001);
        assert_eq!(greedy(&mut history, 30), 1);
        assert_eq!(history.resent(), u64::from(MAX_CREDIT) + 1);
    }

    #[test]
    fn it_grows_until_it_remembers_a_second() {
        let start = Instant::now();
        let mut history = SentHistory::new(start, 0);
        assert_eq!(history.footprint(), 0);
        for seq in 0..5_000 {
            sent(&mut history, at(start, seq * 4), seq);
        }
        assert_eq!(history.capacity(), 256);
        let now = at(start, 20_000);
        assert!(history.handle_nack(now, RTT, SeqNo(4_999 - 249)).is_some());
        for seq in 5_000..50_000 {
            sent(&mut history, now, seq);
        }
        assert_eq!(history.capacity(), 1_024);
        // That was a moment; from here on it is as before.
        for seq in 50_000..60_000 {
            sent(&mut history, at(start, 20_000 + (seq - 50_000) * 4), seq);
        }
        assert_eq!(history.capacity(), 256);
        let now = at(start, 60_000);
        assert!(history.handle_nack(now, RTT, SeqNo(59_999 - 224)).is_some());
        assert_eq!(history.handle_nack(now, RTT, SeqNo(59_999 - 257)), None);
    }
}
