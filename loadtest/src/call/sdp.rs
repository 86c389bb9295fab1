//! Session descriptions as far as a participant needs them: an offer as Chromium writes it, and what a
//! server says of transport and sources (RFC 8866, RFC 9429).

pub mod parse;
pub mod write;

use super::coding::Coding;

pub use parse::{Description, Media, SdpError};
pub use write::{Local, Section, Simulcast};

/// Sound or pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
}

impl Kind {
    /// As an m-line has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// Payload types, with Chromium's numbers. Answers may use others in a description of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadTypes {
    /// Opus.
    pub opus: u8,
    /// Redundant Opus; `None` when it was not agreed on.
    pub red: Option<u8>,
    /// Pictures, of this codec.
    pub video: u8,
    /// See `video`.
    pub coding: Coding,
    /// Its retransmissions.
    pub rtx: Option<u8>,
}

impl Default for PayloadTypes {
    fn default() -> Self {
        Self {
            opus: 111,
            red: Some(63),
            video: 96,
            coding: Coding::Vp8,
            rtx: Some(97),
        }
    }
}

/// The ids of header extensions; `None` for those that were not agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// RFC 6464.
    pub audio_level: Option<u8>,
    /// webrtc.org's `abs-send-time`.
    pub abs_send_time: Option<u8>,
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01
    pub transport_cc: Option<u8>,
    /// RFC 9143.
    pub mid: Option<u8>,
    /// RFC 8852.
    pub rid: Option<u8>,
    /// RFC 8852.
    pub repaired_rid: Option<u8>,
}

/// The URIs, each with the id that offers give it, Chromium's.
pub const EXTENSION_URIS: [(u8, &str); 6] = [
    (1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    (
        2,
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    ),
    (
        3,
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    ),
    (4, "urn:ietf:params:rtp-hdrext:sdes:mid"),
    (10, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
    (11, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
];

impl Extensions {
    /// Notes an id for a URI; others are nothing to us.
    pub fn note(&mut self, id: u8, uri: &str) {
        let place = EXTENSION_URIS.iter().position(|(_, known)| *known == uri);
        let field = match place {
            Some(0) => &mut self.audio_level,
            Some(1) => &mut self.abs_send_time,
            Some(2) => &mut self.transport_cc,
            Some(3) => &mut self.mid,
            Some(4) => &mut self.rid,
            Some(5) => &mut self.repaired_rid,
            _ => return,
        };
        *field = Some(id);
    }

    /// Whether extensions of this place in [`EXTENSION_URIS`] are for a kind.
    #[must_use]
    pub fn is_for(place: usize, kind: Kind) -> bool {
        match place {
            0 => kind == Kind::Audio,
            4 | 5 => kind == Kind::Video,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
