//! Picture loss indication (RFC 4585, section 6.3.1).

use super::{append, format, packet_type, put_ssrc, ssrc};
use crate::unit::Ssrc;
use crate::wire::reader::Reader;

/// Somebody can't decode a stream any more and wants a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pli {
    /// Who.
    pub sender: Ssrc,
    /// Of which stream.
    pub media: Ssrc,
}

impl Pli {
    pub(super) fn parse(mut body: Reader<'_>) -> Option<Self> {
        Some(Self {
            sender: ssrc(&mut body)?,
            media: ssrc(&mut body)?,
        })
    }
}

/// Appends a PLI.
pub fn write_pli(out: &mut Vec<u8>, pli: Pli) {
    append(out, packet_type::PAYLOAD_FEEDBACK, format::PLI, |out| {
        put_ssrc(out, pli.sender);
        put_ssrc(out, pli.media);
    });
}
