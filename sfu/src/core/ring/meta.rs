//! What is known of a packet besides its payload.

use super::layered::Layered;
use crate::unit::{NtpTime, PayloadType, RtpTime};
use crate::wire::rtp::AudioLevel;
use crate::wire::vp8::{Descriptor, PictureId};
use std::time::Instant;

/// What a payload holds, apart from which codec its stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The codec's own payload.
    Primary,
    /// Opus with its predecessors (RFC 2198).
    Red,
}

/// What a VP8 payload descriptor says (RFC 7741, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vp8 {
    /// Which picture the packet belongs to.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX: counts the pictures of the lowest temporal layer.
    pub tl0: Option<u8>,
    /// TID: its temporal layer; 0 when the descriptor has none.
    pub temporal: u8,
    /// Y: the picture needs no other of its temporal layer, only the lowest layer.
    pub is_sync: bool,
}

/// What is known of the layers and numbers of a packet's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coding {
    /// Nothing: there are no layers, or it is sound or padding.
    #[default]
    Plain,
    /// What VP8's descriptor says.
    Vp8(Vp8),
    /// What VP9's descriptor or a dependency descriptor says.
    Layered(Layered),
}

impl Coding {
    /// The temporal layer, 0 the slowest.
    #[must_use]
    pub fn temporal(&self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Vp8(vp8) => vp8.temporal,
            Self::Layered(layered) => layered.temporal,
        }
    }

    /// The spatial layer within the stream, 0 the smallest.
    #[must_use]
    pub fn spatial(&self) -> u8 {
        match self {
            Self::Plain | Self::Vp8(_) => 0,
            Self::Layered(layered) => layered.spatial,
        }
    }

    /// The picture's number.
    #[must_use]
    pub fn picture_id(&self) -> Option<PictureId> {
        match self {
            Self::Plain => None,
            Self::Vp8(vp8) => vp8.picture_id,
            Self::Layered(layered) => layered.picture_id,
        }
    }

    /// The frame's number in its dependency descriptor.
    #[must_use]
    pub fn frame(&self) -> Option<u16> {
        match self {
            Self::Plain | Self::Vp8(_) => None,
            Self::Layered(layered) => layered.frame,
        }
    }

    /// TL0PICIDX.
    #[must_use]
    pub fn tl0(&self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Vp8(vp8) => vp8.tl0,
            Self::Layered(layered) => layered.tl0,
        }
    }
}

/// What is known of a packet besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// The publisher's payload type; of a repair, the original's.
    pub pt: PayloadType,
    /// As the publisher wrote it.
    pub time: RtpTime,
    /// When it came, or was repaired.
    pub received_at: Instant,
    /// When it was captured, on the publisher's clock. `None` until its first sender report.
    pub captured: Option<NtpTime>,
    /// Bytes of the payload; 0 for a packet of nothing but padding.
    pub payload_len: u16,
    /// Bytes of its dependency descriptor; 0 without one.
    pub descriptor_len: u8,
    /// What the payload holds.
    pub format: Format,
    /// The marker bit: the last packet of a picture, the first one of a talk spurt.
    pub marker: bool,
    /// It begins a picture.
    pub starts_frame: bool,
    /// It begins a key frame.
    pub is_keyframe: bool,
    /// Of its picture.
    pub coding: Coding,
    /// Of audio, where the publisher states it.
    pub level: Option<AudioLevel>,
}

impl From<&Descriptor> for Vp8 {
    fn from(descriptor: &Descriptor) -> Self {
        let temporal = descriptor.temporal;
        Self {
            picture_id: descriptor.picture_id,
            tl0: descriptor.tl0,
            temporal: temporal.map_or(0, |temporal| temporal.layer),
            is_sync: temporal.is_some_and(|temporal| temporal.is_sync),
        }
    }
}

/// How many pictures after `earlier` a picture is, modulo the width of the narrower of the two ids.
pub(in crate::core) fn pictures_since(id: PictureId, earlier: PictureId) -> u16 {
    let distance = id.value().wrapping_sub(earlier.value());
    match (id, earlier) {
        (PictureId::Long(_), PictureId::Long(_)) => distance & 0x7fff,
        (PictureId::Short(_), _) | (_, PictureId::Short(_)) => distance & 0x7f,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_ids_are_told_apart_in_the_width_of_their_field() {
        let long = PictureId::Long;
        let short = PictureId::Short;
        assert_eq!(pictures_since(long(1), long(0x7fff)), 2);
        assert_eq!(pictures_since(short(1), short(0x7f)), 2);
        assert_eq!(pictures_since(long(0x101), short(0x7f)), 2);
    }
}
