//! One layer of one source on its way through a slot: its numbers and pictures.

use super::numbers::NumberMap;
use crate::core::ring::{Coding, Meta, pictures_since};
use crate::unit::{ExtSeqNo, PayloadType};
use crate::wire::vp8::PictureId;

/// With what a run begins on our side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub(super) seq: ExtSeqNo,
    pub(super) picture_id: u16,
    pub(super) tl0: u8,
    pub(super) frame: u16,
}

/// One layer of one source, from where it was entered.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) layer: u8,
    /// The publisher's payload type: another one is another codec.
    pub(super) pt: PayloadType,
    pub(super) numbers: NumberMap,
    pub(super) pictures: Pictures,
    /// The newest packet, sent or not.
    last: Seen,
}

/// What the source's picture ids and TL0PICIDX begin with, and what ours do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pictures {
    source: Option<PictureId>,
    ours: u16,
    source_tl0: Option<u8>,
    our_tl0: u8,
    source_frame: Option<u16>,
    our_frame: u16,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    picture: Option<PictureId>,
    tl0: Option<u8>,
    /// The packet was the last one of its picture.
    marker: bool,
    is_sent: bool,
}

impl Run {
    pub(super) fn new(layer: u8, seq: ExtSeqNo, next: Next, meta: &Meta) -> Self {
        Self {
            layer,
            pt: meta.pt,
            numbers: NumberMap::new(seq, next.seq),
            pictures: Pictures {
                source: meta.coding.picture_id(),
                ours: next.picture_id,
                source_tl0: meta.coding.tl0(),
                our_tl0: next.tl0,
                source_frame: meta.coding.frame(),
                our_frame: next.frame,
            },
            last: Seen {
                picture: None,
                tl0: None,
                marker: true,
                is_sent: true,
            },
        }
    }

    /// Takes the newest packet: decides which numbers since the last one are closed.
    pub(super) fn advance(&mut self, seq: ExtSeqNo, meta: &Meta, is_sent: bool, limit: Option<u8>) {
        let picture = meta.coding.picture_id();
        let steps = match (picture, self.last.picture) {
            (Some(id), Some(last)) => Some(pictures_since(id, last)),
            (Some(_) | None, Some(_) | None) => None,
        };
        let gap = self.gap_pictures(meta, is_sent, steps, limit);
        if let Some(between) = gap {
            self.numbers.leave_out_before(seq, between);
        }
        if !is_sent {
            let is_new_picture = meta.payload_len > 0 && steps != Some(0);
            self.numbers
                .leave_out(seq, u16::from(is_new_picture && steps.is_some()));
        }
        self.numbers.advance(seq);
        // Padding belongs to no picture, and says nothing of the one before it.
        if meta.payload_len > 0 {
            self.last = Seen {
                picture,
                tl0: meta.coding.tl0(),
                marker: meta.marker,
                is_sent,
            };
        }
    }

    /// Of the packets between the last one and this: `Some` with the number of whole pictures that they
    /// were, if all of them would certainly have been left out.
    fn gap_pictures(
        &self,
        meta: &Meta,
        is_sent: bool,
        steps: Option<u16>,
        limit: Option<u8>,
    ) -> Option<u16> {
        // Of other streams what is missing between two packets may be of any layer.
        let Coding::Vp8(vp8) = meta.coding else {
            return None;
        };
        let steps = steps?;
        if meta.payload_len == 0 {
            return None;
        }
        if steps == 0 {
            return (!self.last.is_sent && !is_sent).then_some(0);
        }
        let rest_of_last = self.last.is_sent && !self.last.marker;
        let start_of_this = is_sent && !meta.starts_frame;
        if rest_of_last || start_of_this {
            return None;
        }
        if steps == 1 {
            return Some(0);
        }
        // Whole pictures are missing. With the lowest temporal layer alone they were left out if none
        // of them was counted by TL0PICIDX.
        let lowest = vp8.tl0?.wrapping_sub(self.last.tl0?);
        let own = u8::from(vp8.temporal == 0);
        (limit == Some(0) && steps < 0x40 && lowest == own).then(|| steps - 1)
    }
}

impl Pictures {
    pub(super) fn id(self, meta: &Meta, left_out: u16) -> Option<u16> {
        let id = meta.coding.picture_id()?;
        let since = self.source.map_or(0, |first| pictures_since(id, first));
        let left_out = match meta.coding {
            Coding::Vp8(_) => left_out,
            Coding::Plain | Coding::Layered(_) => 0,
        };
        Some(self.ours.wrapping_add(since).wrapping_sub(left_out) & 0x7fff)
    }

    pub(super) fn frame(self, meta: &Meta) -> Option<u16> {
        let frame = meta.coding.frame()?;
        let since = self
            .source_frame
            .map_or(0, |first| frame.wrapping_sub(first));
        Some(self.our_frame.wrapping_add(since))
    }

    pub(super) fn tl0(self, meta: &Meta) -> Option<u8> {
        let tl0 = meta.coding.tl0()?;
        let since = self.source_tl0.map_or(0, |first| tl0.wrapping_sub(first));
        Some(self.our_tl0.wrapping_add(since))
    }
}
