//! Elements of header extensions, and those that we know.

use super::{ExtensionBlock, Header};
use crate::unit::{Mid, Rid};

/// "Defined by profile" of the one-byte form (RFC 8285, section 4.2).
pub(super) const ONE_BYTE: u16 = 0xbede;

/// And of the two-byte form (section 4.3); its lower four bits are the application's.
pub(super) const TWO_BYTE: u16 = 0x1000;

/// The id at which the one-byte form ends (section 4.2).
pub(super) const RESERVED: u8 = 15;

/// Which ids the extensions have that a peer negotiated, 1 to 255; 0 is padding and stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ExtensionIds {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 9143).
    pub mid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852).
    pub rid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id` (RFC 8852): of RTX.
    pub repaired_rid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464).
    pub audio_level: Option<u8>,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`.
    pub abs_send_time: Option<u8>,
    /// `http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01`.
    pub transport_cc: Option<u8>,
    /// `https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension`.
    pub dependency_descriptor: Option<u8>,
}

/// How loud a packet's sound is (RFC 6464, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// −dBov, 0 (loudest) to 127 (silence).
    pub level: u8,
    /// Whether the sender takes it for speech.
    pub voice: bool,
}

/// What a packet's header extension says, as far as we know it. An element of another length than
/// its definition has, or of a text that is none, counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// Which m-line.
    pub mid: Option<Mid>,
    /// Which encoding.
    pub rid: Option<Rid>,
    /// Which encoding a retransmission repairs.
    pub rrid: Option<Rid>,
    /// How loud.
    pub audio_level: Option<AudioLevel>,
    /// The number of the packet among all of its transport's.
    pub transport_seq: Option<u16>,
    /// When it was sent, in 24 bits: seconds modulo 64 in 2⁻¹⁸ s.
    pub abs_send_time: Option<u32>,
}

impl Extensions {
    /// Reads what `header` found in `packet`.
    #[must_use]
    pub fn read(ids: &ExtensionIds, header: &Header, packet: &[u8]) -> Self {
        let mut read = Self::default();
        for (id, bytes) in header.extensions(packet) {
            let id = Some(id);
            if id == ids.transport_cc {
                read.transport_seq = bytes.try_into().ok().map(u16::from_be_bytes);
            } else if id == ids.abs_send_time {
                read.abs_send_time = parse_u24(bytes);
            } else if id == ids.mid {
                read.mid = Mid::parse(bytes);
            } else if id == ids.audio_level {
                read.audio_level = parse_audio_level(bytes);
            } else if id == ids.rid {
                read.rid = Rid::parse(bytes);
            } else if id == ids.repaired_rid {
                read.rrid = Rid::parse(bytes);
            }
        }
        read
    }
}

fn parse_u24(bytes: &[u8]) -> Option<u32> {
    let &[a, b, c] = bytes.first_chunk()?;
    (bytes.len() == 3).then(|| u32::from_be_bytes([0, a, b, c]))
}

fn parse_audio_level(bytes: &[u8]) -> Option<AudioLevel> {
    match bytes {
        &[byte] | &[byte, 0] => Some(AudioLevel {
            level: byte & 0x7f,
            voice: byte & 0x80 != 0,
        }),
        _ => None,
    }
}

/// The elements of one extension.
#[derive(Debug, Clone)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    OneByte,
    TwoByte,
}

impl<'a> Elements<'a> {
    pub(super) fn new(block: Option<&ExtensionBlock>, packet: &'a [u8]) -> Self {
        let nothing = Self {
            rest: &[],
            form: Form::OneByte,
        };
        let Some(block) = block else { return nothing };
        let form = match block.profile {
            ONE_BYTE => Form::OneByte,
            profile if profile & 0xfff0 == TWO_BYTE => Form::TwoByte,
            _ => return nothing,
        };
        let rest = packet
            .get(block.start..block.start + block.len)
            .unwrap_or_default();
        Self { rest, form }
    }

    /// The next element, or `None` at the end; padding between elements is passed over.
    fn step(&mut self) -> Option<(u8, &'a [u8])> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            if first == 0 {
                self.rest = rest;
                continue;
            }
            let (id, len, rest) = match self.form {
                Form::OneByte => (first >> 4, usize::from(first & 0x0f) + 1, rest),
                Form::TwoByte => {
                    let (&len, rest) = rest.split_first()?;
                    (first, usize::from(len), rest)
                }
            };
            if matches!(self.form, Form::OneByte) && id == RESERVED {
                return None;
            }
            let (bytes, rest) = rest.split_at_checked(len)?;
            self.rest = rest;
            // An id of 0 with a length other than 0 must not be used (RFC 8285, section 4.2).
            if id != 0 {
                return Some((id, bytes));
            }
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let element = self.step();
        if element.is_none() {
            self.rest = &[];
        }
        element
    }
}
