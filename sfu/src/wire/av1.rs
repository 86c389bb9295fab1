//! Payloads of AV1 (RTP Payload Format For AV1, section 4): the aggregation header and the OBUs behind it.

mod sequence;
#[cfg(test)]
mod tests;

use super::reader::Reader;

/// Types of OBUs (AV1, section 6.2.2).
mod obu {
    pub(super) const SEQUENCE_HEADER: u8 = 1;
    pub(super) const FRAME_HEADER: u8 = 3;
    pub(super) const METADATA: u8 = 5;
    pub(super) const FRAME: u8 = 6;
}

/// Elements of one payload at most: a frame of as many tiles as AV1 has rows and columns for would have
/// more, and none that is encoded as it is spoken does.
const MAX_ELEMENTS: usize = 64;

/// Why a payload is none of AV1. The packet is to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Av1Error {
    /// It ends within a header or an element, or has no element.
    #[error("the payload ends within an OBU")]
    Truncated,
    /// More than 64 elements.
    #[error("too many OBUs")]
    TooMany,
    /// A length that takes more bytes than it may (AV1, section 4.10.5).
    #[error("a length that can't be")]
    Length,
}

/// What a payload brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Payload {
    /// Z: its first element goes on from the packet before.
    pub is_continuation: bool,
    /// Y: its last element goes on in the next packet.
    pub is_continued: bool,
    /// N: a coded video sequence begins here, which is a key frame with its sequence header.
    pub starts_sequence: bool,
    /// The first OBU that begins in it is one with which a frame begins.
    pub starts_frame: bool,
    /// A sequence header is in it.
    pub has_sequence_header: bool,
    /// Width and height of the largest pictures, in pixels, if a sequence header says it.
    pub size: Option<(u16, u16)>,
}

impl Payload {
    /// Reads an RTP payload.
    ///
    /// # Errors
    /// [`Av1Error`].
    pub fn parse(payload: &[u8]) -> Result<Self, Av1Error> {
        let mut reader = Reader::new(payload);
        let header = reader.u8().ok_or(Av1Error::Truncated)?;
        let mut read = Self {
            is_continuation: header & 0x80 != 0,
            is_continued: header & 0x40 != 0,
            starts_sequence: header & 0x08 != 0,
            ..Self::default()
        };
        // W: so many elements, of which the last has no length; 0 where each has one.
        let count = usize::from(header >> 4 & 0x03);
        if reader.is_empty() {
            return Err(Av1Error::Truncated);
        }
        let mut at = 0;
        while !reader.is_empty() {
            at += 1;
            if at > MAX_ELEMENTS {
                return Err(Av1Error::TooMany);
            }
            let element = if at == count {
                let rest = reader.rest();
                reader = Reader::new(&[]);
                rest
            } else {
                let len = leb128(&mut reader)?;
                reader.take(len).ok_or(Av1Error::Truncated)?
            };
            let is_begun = at > 1 || !read.is_continuation;
            if is_begun {
                read.add(at, element);
            }
        }
        if at < count {
            return Err(Av1Error::Truncated);
        }
        Ok(read)
    }

    /// Whether a key frame begins in it that anybody can enter.
    #[must_use]
    pub fn is_keyframe(&self) -> bool {
        !self.is_continuation && (self.starts_sequence || self.has_sequence_header)
    }

    fn add(&mut self, at: usize, element: &[u8]) {
        let mut reader = Reader::new(element);
        let Some(header) = reader.u8() else {
            return;
        };
        let kind = header >> 3 & 0x0f;
        let (has_extension, has_size) = (header & 0x04 != 0, header & 0x02 != 0);
        if at == 1 {
            self.starts_frame = matches!(
                kind,
                obu::SEQUENCE_HEADER | obu::FRAME_HEADER | obu::METADATA | obu::FRAME
            );
        }
        if kind != obu::SEQUENCE_HEADER {
            return;
        }
        self.has_sequence_header = true;
        let body_follows =
            (!has_extension || reader.u8().is_some()) && (!has_size || leb128(&mut reader).is_ok());
        if body_follows {
            self.size = sequence::size(reader.rest());
        }
    }
}

/// AV1, section 4.10.5: seven bits a byte, the lowest first; at most 32 bits, in at most eight bytes.
fn leb128(reader: &mut Reader<'_>) -> Result<usize, Av1Error> {
    let mut value = 0_u64;
    for at in 0..8 {
        let byte = reader.u8().ok_or(Av1Error::Truncated)?;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| Av1Error::Length)?;
            return usize::try_from(value).map_err(|_| Av1Error::Length);
        }
    }
    Err(Av1Error::Length)
}
