//! A packet as it arrives.

use crate::core::ring::{Coding, Format, Layered, Vp8};
use crate::unit::{PayloadType, RtpTime, SeqNo};
use crate::wire::rtp::{AudioLevel, Header};
use crate::wire::{av1, h264, vp8, vp9};

/// A packet that was authenticated and parsed.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Its payload type. Of a repair, the original's.
    pub pt: PayloadType,
    /// Its number. Of a repair, the original's (RFC 4588, section 4, OSN).
    pub seq: SeqNo,
    /// Its timestamp.
    pub time: RtpTime,
    /// The marker bit.
    pub marker: bool,
    /// What the payload holds.
    pub format: Format,
    /// It begins a picture.
    pub starts_frame: bool,
    /// It begins a key frame, of this size if the payload says so.
    pub keyframe: Option<Resolution>,
    /// Of its picture.
    pub coding: Coding,
    /// Of audio (RFC 6464).
    pub level: Option<AudioLevel>,
    /// The datagram's bytes, for the bit rate.
    pub wire_bytes: u16,
}

/// The size of a picture in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resolution {
    /// 0 when it is not known.
    pub width: u16,
    /// 0 when it is not known.
    pub height: u16,
}

impl Arrival {
    /// A packet of a VP8 stream; without a descriptor when it is nothing but padding.
    #[must_use]
    pub fn vp8(header: &Header, descriptor: Option<&vp8::Descriptor>, wire_bytes: u16) -> Self {
        let Some(descriptor) = descriptor else {
            return Self::bare(header, wire_bytes);
        };
        let key_frame = descriptor.key_frame;
        Self {
            starts_frame: descriptor.starts_frame(),
            keyframe: key_frame.map(|key_frame| Resolution::from(key_frame.size)),
            coding: Coding::Vp8(Vp8::from(descriptor)),
            ..Self::bare(header, wire_bytes)
        }
    }

    /// A packet of a VP9 stream.
    #[must_use]
    pub fn vp9(header: &Header, descriptor: &vp9::Descriptor, wire_bytes: u16) -> Self {
        let is_keyframe = descriptor.is_keyframe();
        Self {
            starts_frame: descriptor.starts_frame,
            keyframe: is_keyframe.then(|| Resolution::from(descriptor.size)),
            coding: Coding::Layered(Layered::from(descriptor)),
            ..Self::bare(header, wire_bytes)
        }
    }

    /// A packet of an H.264 stream.
    #[must_use]
    pub fn h264(header: &Header, payload: &h264::Payload, wire_bytes: u16) -> Self {
        let is_keyframe = payload.is_keyframe();
        Self {
            starts_frame: payload.starts_frame(),
            keyframe: is_keyframe.then(|| Resolution::from(payload.size)),
            ..Self::bare(header, wire_bytes)
        }
    }

    /// A packet of an AV1 stream.
    #[must_use]
    pub fn av1(header: &Header, payload: &av1::Payload, wire_bytes: u16) -> Self {
        let is_keyframe = payload.is_keyframe();
        Self {
            starts_frame: payload.starts_frame,
            keyframe: is_keyframe.then(|| Resolution::from(payload.size)),
            ..Self::bare(header, wire_bytes)
        }
    }

    /// A packet of pictures of which nothing is known but its header.
    #[must_use]
    pub fn bare(header: &Header, wire_bytes: u16) -> Self {
        Self::audio(header, Format::Primary, None, wire_bytes)
    }

    /// A packet of an audio stream.
    #[must_use]
    pub fn audio(
        header: &Header,
        format: Format,
        level: Option<AudioLevel>,
        wire_bytes: u16,
    ) -> Self {
        Self {
            pt: header.payload_type,
            seq: header.seq,
            time: header.time,
            marker: header.marker,
            format,
            starts_frame: false,
            keyframe: None,
            coding: Coding::Plain,
            level,
            wire_bytes,
        }
    }

    /// The same as the original that a repair carries.
    #[must_use]
    pub fn as_original(self, pt: PayloadType, seq: SeqNo) -> Self {
        Self { pt, seq, ..self }
    }
}

impl From<Option<(u16, u16)>> for Resolution {
    fn from(size: Option<(u16, u16)>) -> Self {
        let (width, height) = size.unwrap_or_default();
        Self { width, height }
    }
}
