//! What is remembered of one packet, and what a stretch of packets has in common.

use crate::core::forward::{Rewrite, SourceKey};
use crate::core::ring::Choice;
use crate::unit::{ExtSeqNo, RtpTime};
use arrayvec::ArrayVec;

/// Changes of source or layer within what is remembered. Beyond it the packets of the oldest are
/// forgotten: in a second nobody hears nine speakers through one slot.
const STRETCHES: usize = 8;

const IS_USED: u8 = 1;
const HAS_MARKER: u8 = 2;
const HAS_PICTURE_ID: u8 = 4;
const HAS_TL0: u8 = 8;
const WAS_RESENT: u8 = 16;
const HAS_FRAME: u8 = 32;

/// 20 bytes, of which there are up to 1,024 a slot. The number that the packet was sent with follows
/// from its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry {
    time: u32,
    source_seq_low: u32,
    picture_id: u16,
    frame: u16,
    /// Milliseconds of the slot's clock at which it left last. They wrap after 65 s, when no ring has
    /// the payload any more.
    left_ms: u16,
    stretch: u8,
    tl0: u8,
    /// One more than the choice's place; 0 for none.
    choice: u8,
    flags: u8,
}

/// Where a packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) source: SourceKey,
    pub(super) layer: u8,
    pub(super) seq: ExtSeqNo,
}

impl Entry {
    pub(super) fn pack(stretch: u8, source_seq: ExtSeqNo, rewrite: &Rewrite, now_ms: u16) -> Self {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        Self {
            time: rewrite.time.0,
            source_seq_low: low(source_seq),
            picture_id: rewrite.picture_id.unwrap_or(0),
            left_ms: now_ms,
            stretch,
            tl0: rewrite.tl0.unwrap_or(0),
            frame: rewrite.frame.unwrap_or(0),
            choice: rewrite.choice.map_or(0, |choice| index(choice.index()) + 1),
            flags: IS_USED
                | flag(rewrite.marker, HAS_MARKER)
                | flag(rewrite.picture_id.is_some(), HAS_PICTURE_ID)
                | flag(rewrite.tl0.is_some(), HAS_TL0)
                | flag(rewrite.frame.is_some(), HAS_FRAME),
        }
    }

    pub(super) fn is_used(&self) -> bool {
        self.has(IS_USED)
    }

    pub(super) fn rewrite(&self, seq: ExtSeqNo) -> Rewrite {
        Rewrite {
            seq,
            time: RtpTime(self.time),
            marker: self.has(HAS_MARKER),
            picture_id: self.has(HAS_PICTURE_ID).then_some(self.picture_id),
            tl0: self.has(HAS_TL0).then_some(self.tl0),
            frame: self.has(HAS_FRAME).then_some(self.frame),
            choice: Choice::all().nth(usize::from(self.choice).wrapping_sub(1)),
        }
    }

    /// How long ago it was sent; `None` when it was resent since.
    pub(super) fn age_ms(&self, now_ms: u16) -> Option<u16> {
        (!self.has(WAS_RESENT)).then(|| now_ms.wrapping_sub(self.left_ms))
    }

    /// How long ago it was resent; `None` when it was not.
    pub(super) fn resent_ms(&self, now_ms: u16) -> Option<u16> {
        self.has(WAS_RESENT)
            .then(|| now_ms.wrapping_sub(self.left_ms))
    }

    pub(super) fn handle_resent(&mut self, now_ms: u16) {
        self.left_ms = now_ms;
        self.flags |= WAS_RESENT;
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What packets have in common until source or layer change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    source: u32,
    /// Bits 32 to 47: a stream of a thousand packets a second needs them after 49 days, and no more
    /// after nine thousand years.
    source_seq_high: u16,
    layer: u8,
}

/// The stretches that entries are of.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    known: ArrayVec<Stretch, STRETCHES>,
    latest: u8,
}

impl Stretches {
    /// The stretch of a packet's origin. The packets of one whose place is needed are taken out of
    /// `entries`.
    pub(super) fn of(&mut self, origin: &Origin, entries: &mut [Entry]) -> u8 {
        let stretch = Stretch {
            source: origin.source.0,
            source_seq_high: high(origin.seq),
            layer: origin.layer,
        };
        if self.known.get(usize::from(self.latest)) == Some(&stretch) {
            return self.latest;
        }
        let found = self.known.iter().position(|known| *known == stretch);
        self.latest = match found {
            Some(at) => index(at),
            None if !self.known.is_full() => {
                self.known.push(stretch);
                index(self.known.len() - 1)
            }
            None => {
                let at = (self.latest + 1) % index(STRETCHES);
                for entry in entries.iter_mut().filter(|entry| entry.stretch == at) {
                    *entry = Entry::default();
                }
                if let Some(place) = self.known.get_mut(usize::from(at)) {
                    *place = stretch;
                }
                at
            }
        };
        self.latest
    }

    /// Where an entry's packet came from.
    pub(super) fn origin(&self, entry: &Entry) -> Option<Origin> {
        let stretch = self.known.get(usize::from(entry.stretch))?;
        let high = u64::from(stretch.source_seq_high) << 32;
        Some(Origin {
            source: SourceKey(stretch.source),
            layer: stretch.layer,
            seq: ExtSeqNo(high | u64::from(entry.source_seq_low)),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "below STRETCHES, or a choice's place"
)]
fn index(at: usize) -> u8 {
    at as u8
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are meant")]
fn low(seq: ExtSeqNo) -> u32 {
    seq.0 as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the bits above are zero")]
fn high(seq: ExtSeqNo) -> u16 {
    (seq.0 >> 32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 20);
    }

    #[test]
    fn the_packets_of_a_stretch_whose_place_is_needed_are_forgotten() {
        let mut stretches = Stretches::default();
        let mut entries = [Entry::default(); 10];
        let origin = |number: u32| Origin {
            source: SourceKey(number),
            layer: 0,
            seq: ExtSeqNo(5 << 32 | u64::from(number)),
        };
        let rewrite = Rewrite {
            seq: ExtSeqNo(0),
            time: RtpTime(0),
            marker: false,
            picture_id: None,
            tl0: None,
            frame: None,
            choice: None,
        };
        for number in 0..10 {
            let stretch = stretches.of(&origin(number), &mut entries);
            entries[number as usize] = Entry::pack(stretch, origin(number).seq, &rewrite, 0);
        }
        assert!(!entries[..2].iter().any(Entry::is_used));
        for number in 2..10 {
            let entry = entries[number as usize];
            assert_eq!(stretches.origin(&entry), Some(origin(number)));
        }
        // One that comes again has its place still.
        let before = stretches.of(&origin(5), &mut entries);
        assert_eq!(before, entries[5].stretch);
        assert!(entries[2..].iter().all(Entry::is_used));
    }
}
