//! A packet as it arrives.

use crate::core::ring::{Format, Vp8};
use crate::unit::{RtpTime, SeqNo};
use crate::wire::rtp::{AudioLevel, Header};
use crate::wire::vp8::Descriptor;

/// A packet that was authenticated and parsed.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
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
    /// Of VP8 payloads.
    pub vp8: Option<Vp8>,
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
    pub fn vp8(header: &Header, descriptor: Option<&Descriptor>, wire_bytes: u16) -> Self {
        let key_frame = descriptor.and_then(|descriptor| descriptor.key_frame);
        Self {
            starts_frame: descriptor.is_some_and(Descriptor::starts_frame),
            keyframe: key_frame.map(|key_frame| {
                let (width, height) = key_frame.size.unwrap_or_default();
                Resolution { width, height }
            }),
            vp8: descriptor.map(Vp8::from),
            ..Self::audio(header, Format::Primary, None, wire_bytes)
        }
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
            seq: header.seq,
            time: header.time,
            marker: header.marker,
            format,
            starts_frame: false,
            keyframe: None,
            vp8: None,
            level,
            wire_bytes,
        }
    }

    /// The same under another number: that of the original which a repair carries.
    #[must_use]
    pub fn as_original(self, seq: SeqNo) -> Self {
        Self { seq, ..self }
    }
}
