//! What was sent on a slot's SSRC, for repairs: only where the payload is and how it was rewritten.
//!
//! A repair goes out on the slot's second SSRC with numbers of its own (RFC 4588, section 4); its
//! payload is read again from the layer's ring, and is the same byte for byte.

use super::forward::{Rewrite, SourceKey};
use super::ring::HISTORY;
use crate::unit::{ExtSeqNo, RtpTime, SeqNo};
use std::time::{Duration, Instant};

/// Packets that are remembered at first and at most. It doubles while it forgets what is younger than a
/// layer's ring remembers.
const PACKETS: (usize, usize) = (64, 1_024);

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
    /// By the lower bits of the number; empty until the first packet, then a power of two.
    entries: Vec<Entry>,
    newest: Option<ExtSeqNo>,
    /// In halves of a repair, see [`SENT_PER_RESEND`].
    credit: u32,
    next_rtx: ExtSeqNo,
    resent: u64,
}

/// 32 bytes. Whole numbers are found again from those near them: the slot's from its newest, the
/// source's since no ring has more than 2^31 packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Entry {
    seq: u32,
    source_seq_low: u32,
    source_seq_high: u16,
    picture_id: u16,
    time: u32,
    source: u32,
    /// Milliseconds since the epoch.
    sent_ms: u32,
    /// See `sent_ms`; that value while it was not resent.
    resent_ms: u32,
    layer: u8,
    tl0: u8,
    flags: u8,
}

const IS_USED: u8 = 1;
const HAS_MARKER: u8 = 2;
const HAS_PICTURE_ID: u8 = 4;
const HAS_TL0: u8 = 8;
const WAS_RESENT: u8 = 16;

impl SentHistory {
    /// Nothing was sent. `rtx_seq` is the first number of the RTX SSRC, below 2^15.
    #[must_use]
    pub fn new(now: Instant, rtx_seq: u16) -> Self {
        Self {
            epoch: now,
            entries: Vec::new(),
            newest: None,
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
        self.make_room(now, rewrite.seq);
        self.credit = (self.credit + 1).min(MAX_CREDIT * SENT_PER_RESEND);
        self.newest = Some(self.newest.map_or(rewrite.seq, |seq| seq.max(rewrite.seq)));
        let sent_ms = self.ms(now);
        let index = self.index(rewrite.seq);
        if let Some(entry) = self.entries.get_mut(index) {
            let is_newer = low(rewrite.seq).wrapping_sub(entry.seq).cast_signed() > 0;
            // One that comes very late takes no newer one's place.
            if is_newer || !entry.has(IS_USED) {
                *entry = Entry::pack(source, layer, source_seq, rewrite);
                entry.sent_ms = sent_ms;
            }
        }
    }

    /// The subscriber misses a packet. `None` if it is not known any more, was resent within a round
    /// trip, or too much is asked for.
    pub fn handle_nack(&mut self, now: Instant, rtt: Duration, seq: SeqNo) -> Option<Resend> {
        let wanted = self.newest?.nearest(seq);
        let now_ms = self.ms(now);
        let index = self.index(wanted);
        let credit = self.credit.checked_sub(SENT_PER_RESEND)?;
        let entry = self.entries.get_mut(index)?;
        if !entry.has(IS_USED) || entry.seq != low(wanted) {
            return None;
        }
        let spacing = u32::try_from(rtt.max(MIN_SPACING).as_millis()).unwrap_or(u32::MAX);
        if entry.has(WAS_RESENT) && now_ms.saturating_sub(entry.resent_ms) < spacing {
            return None;
        }
        entry.resent_ms = now_ms;
        entry.flags |= WAS_RESENT;
        let entry = *entry;
        self.credit = credit;
        self.resent += 1;
        Some(self.resend(&entry, wanted))
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
        let entry = *self.entries.get(self.index(newest))?;
        (entry.has(IS_USED) && entry.seq == low(newest)).then(|| self.resend(&entry, newest))
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

    fn resend(&mut self, entry: &Entry, seq: ExtSeqNo) -> Resend {
        let rtx_seq = self.next_rtx;
        self.next_rtx = rtx_seq.next();
        Resend {
            source: SourceKey(entry.source),
            layer: entry.layer,
            source_seq: entry.source_seq(),
            rewrite: entry.rewrite(seq),
            rtx_seq,
        }
    }

    fn make_room(&mut self, now: Instant, seq: ExtSeqNo) {
        if self.entries.is_empty() {
            self.entries.resize(PACKETS.0, Entry::default());
        }
        let history = u32::try_from(HISTORY.as_millis()).unwrap_or(u32::MAX);
        let now_ms = self.ms(now);
        let displaced = self.entries.get(self.index(seq));
        let is_young = displaced.is_some_and(|entry| {
            entry.has(IS_USED) && now_ms.saturating_sub(entry.sent_ms) < history
        });
        if !is_young || self.entries.len() >= PACKETS.1 {
            return;
        }
        let larger = vec![Entry::default(); self.entries.len() * 2];
        let old = std::mem::replace(&mut self.entries, larger);
        for entry in old.into_iter().filter(|entry| entry.has(IS_USED)) {
            let index = self.index(ExtSeqNo(u64::from(entry.seq)));
            if let Some(place) = self.entries.get_mut(index) {
                *place = entry;
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

    /// Wraps after 49 days, for which a call does not go on.
    fn ms(&self, now: Instant) -> u32 {
        let ms = now.saturating_duration_since(self.epoch).as_millis();
        u32::try_from(ms).unwrap_or(u32::MAX)
    }
}

impl Entry {
    fn pack(source: SourceKey, layer: u8, source_seq: ExtSeqNo, rewrite: &Rewrite) -> Self {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        Self {
            seq: low(rewrite.seq),
            source_seq_low: low(source_seq),
            source_seq_high: high(source_seq),
            picture_id: rewrite.picture_id.unwrap_or(0),
            time: rewrite.time.0,
            source: source.0,
            sent_ms: 0,
            resent_ms: 0,
            layer,
            tl0: rewrite.tl0.unwrap_or(0),
            flags: IS_USED
                | flag(rewrite.marker, HAS_MARKER)
                | flag(rewrite.picture_id.is_some(), HAS_PICTURE_ID)
                | flag(rewrite.tl0.is_some(), HAS_TL0),
        }
    }

    fn rewrite(&self, seq: ExtSeqNo) -> Rewrite {
        Rewrite {
            seq,
            time: RtpTime(self.time),
            marker: self.has(HAS_MARKER),
            picture_id: self.has(HAS_PICTURE_ID).then_some(self.picture_id),
            tl0: self.has(HAS_TL0).then_some(self.tl0),
        }
    }

    fn source_seq(&self) -> ExtSeqNo {
        ExtSeqNo(u64::from(self.source_seq_high) << 32 | u64::from(self.source_seq_low))
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are meant")]
fn low(seq: ExtSeqNo) -> u32 {
    seq.0 as u32
}

/// Bits 32 to 47: a stream of a thousand packets a second needs them after 49 days, and no more after
/// nine thousand years.
#[expect(clippy::cast_possible_truncation, reason = "the bits above are zero")]
fn high(seq: ExtSeqNo) -> u16 {
    (seq.0 >> 32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

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
        }
    }

    fn sent(history: &mut SentHistory, now: Instant, seq: u64) {
        let source_seq = ExtSeqNo(seq + 0xffff_fff0);
        history.handle_sent(now, SourceKey(3), 2, source_seq, &rewrite(seq));
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 32);
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
    }
}
