//! RTP headers (RFC 3550, section 5.1) and their extensions (RFC 8285).

mod extension;
mod write;

#[cfg(test)]
mod tests;

pub use extension::{AudioLevel, ExtensionIds, Extensions};
pub use write::{
    Carried, Fields, HeaderWriter, MAX_DESCRIPTOR_GROWTH, MAX_HEADER_BYTES, Offsets, Values,
    put_abs_send_time, put_seq, put_transport_seq,
};

use super::reader::Reader;
use crate::unit::{PayloadType, RtpTime, SeqNo, Ssrc};

/// Bytes of a header without CSRCs and extension.
pub const FIXED_HEADER_BYTES: usize = 12;

/// The version of RTP, in the upper two bits of the first byte.
const VERSION: u8 = 2;

/// Why bytes are no RTP packet. The packet is to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// The version is not 2.
    #[error("not RTP of version 2")]
    Version,
    /// It ends within the header.
    #[error("the packet ends within its header")]
    Truncated,
    /// The count of padding bytes is zero or more than there are.
    #[error("a count of padding that can't be")]
    Padding,
}

/// A packet's header extension, by its place in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionBlock {
    /// "Defined by profile": which form its elements have, see [`Header::extensions`].
    pub profile: u16,
    /// Where its elements begin, counted from the packet's first byte.
    pub start: usize,
    /// Their bytes, a multiple of four.
    pub len: usize,
}

/// The header of an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of video: the last packet of a frame. Of audio: the first after a silence.
    pub marker: bool,
    /// Which codec.
    pub payload_type: PayloadType,
    /// One more than the packet before.
    pub seq: SeqNo,
    /// When the first sample of the payload was taken.
    pub time: RtpTime,
    /// Which stream.
    pub ssrc: Ssrc,
    /// How many contributing sources it names, 0 to 15.
    pub csrc_count: u8,
    /// Whether padding ends the packet.
    pub has_padding: bool,
    /// Where the payload begins: behind CSRCs and extension. SRTP leaves what is before it in the
    /// clear (RFC 3711, section 3.1).
    pub header_len: usize,
    /// The extension, if there is one.
    pub extension: Option<ExtensionBlock>,
}

impl Header {
    /// Reads the header of a packet, protected by SRTP or not.
    ///
    /// # Errors
    /// [`RtpError::Version`] and [`RtpError::Truncated`].
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let (fixed, rest) = packet
            .split_first_chunk::<FIXED_HEADER_BYTES>()
            .ok_or(RtpError::Truncated)?;
        let &[first, second, seq_a, seq_b, time @ .., s0, s1, s2, s3] = fixed;
        if first >> 6 != VERSION {
            return Err(RtpError::Version);
        }
        let csrc_count = first & 0x0f;
        let mut header = Self {
            marker: second & 0x80 != 0,
            payload_type: PayloadType(second & 0x7f),
            seq: SeqNo(u16::from_be_bytes([seq_a, seq_b])),
            time: RtpTime(u32::from_be_bytes(time)),
            ssrc: Ssrc(u32::from_be_bytes([s0, s1, s2, s3])),
            csrc_count,
            has_padding: first & 0x20 != 0,
            header_len: FIXED_HEADER_BYTES + 4 * usize::from(csrc_count),
            extension: None,
        };
        let has_extension = first & 0x10 != 0;
        if has_extension {
            let block = parse_block(rest, csrc_count).ok_or(RtpError::Truncated)?;
            header.header_len = block.start + block.len;
            header.extension = Some(block);
        } else if packet.len() < header.header_len {
            return Err(RtpError::Truncated);
        }
        Ok(header)
    }

    /// The payload of the packet that this header was read from, once it is in the clear: without
    /// header and padding. Empty when the packet is all padding, as a probe is.
    ///
    /// # Errors
    /// [`RtpError::Padding`] when the last byte counts no padding or more than there is (RFC 3550,
    /// section 5.1), [`RtpError::Truncated`] when the packet is shorter than its header.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Result<&'a [u8], RtpError> {
        let body = packet.get(self.header_len..).ok_or(RtpError::Truncated)?;
        if !self.has_padding {
            return Ok(body);
        }
        let padding = usize::from(*body.last().ok_or(RtpError::Padding)?);
        let len = body.len().checked_sub(padding).ok_or(RtpError::Padding)?;
        match padding {
            0 => Err(RtpError::Padding),
            _ => Ok(&body[..len]),
        }
    }

    /// The elements of the header extension as `(id, bytes)`, in their order: of the one-byte form
    /// with 1 to 16 bytes (RFC 8285, section 4.2), of the two-byte form with 0 to 255 (section 4.3).
    /// Nothing from an extension of another profile, and nothing after an element that runs over the
    /// extension's end.
    pub fn extensions<'a>(
        &self,
        packet: &'a [u8],
    ) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        extension::Elements::new(self.extension.as_ref(), packet)
    }

    /// The bytes of the element with this id; empty where there is none.
    #[must_use]
    pub fn element<'a>(&self, packet: &'a [u8], id: Option<u8>) -> &'a [u8] {
        let mut elements = self.extensions(packet);
        let found = elements.find(|(of, _)| Some(*of) == id);
        found.map_or(&[], |(_, bytes)| bytes)
    }
}

/// RFC 3550, section 5.3.1, behind the CSRCs.
fn parse_block(after_fixed: &[u8], csrc_count: u8) -> Option<ExtensionBlock> {
    let csrcs = 4 * usize::from(csrc_count);
    let mut reader = Reader::new(after_fixed);
    reader.take(csrcs)?;
    let profile = reader.u16()?;
    let len = 4 * usize::from(reader.u16()?);
    reader.take(len)?;
    Some(ExtensionBlock {
        profile,
        start: FIXED_HEADER_BYTES + csrcs + 4,
        len,
    })
}
