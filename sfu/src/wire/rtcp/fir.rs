//! Full intra request (RFC 5104, section 4.3.1).

use super::{append, format, packet_type, put_ssrc, ssrc};
use crate::unit::Ssrc;
use crate::wire::reader::Reader;

/// One stream of which a key frame is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirEntry {
    /// Which.
    pub media: Ssrc,
    /// One more for each new request; the same when a request is repeated.
    pub command_seq: u8,
}

/// Somebody wants key frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fir<'a> {
    /// Who.
    pub sender: Ssrc,
    entries: &'a [[u8; 8]],
}

impl<'a> Fir<'a> {
    pub(super) fn parse(mut body: Reader<'a>) -> Option<Self> {
        let sender = ssrc(&mut body)?;
        let _media_is_not_used = ssrc(&mut body)?;
        let (entries, []) = body.rest().as_chunks() else {
            return None;
        };
        Some(Self { sender, entries })
    }

    /// Of which streams.
    pub fn entries(&self) -> impl Iterator<Item = FirEntry> + use<'a> {
        self.entries
            .iter()
            .map(|&[a, b, c, d, command_seq, ..]| FirEntry {
                media: Ssrc(u32::from_be_bytes([a, b, c, d])),
                command_seq,
            })
    }
}

/// Appends a FIR for one stream.
pub fn write_fir(out: &mut Vec<u8>, sender: Ssrc, entry: FirEntry) {
    append(out, packet_type::PAYLOAD_FEEDBACK, format::FIR, |out| {
        put_ssrc(out, sender);
        put_ssrc(out, Ssrc(0));
        put_ssrc(out, entry.media);
        out.extend_from_slice(&[entry.command_seq, 0, 0, 0]);
    });
}
