//! Redundant audio (RFC 2198): the newest block of sound and some that went before it.

#[cfg(test)]
mod tests;

use super::reader::Reader;
use crate::unit::PayloadType;

/// Blocks in one payload, the primary included. Browsers send up to three; a payload of more is
/// refused.
pub const MAX_BLOCKS: usize = 10;

/// Redundant blocks that we write: each saves a packet more when some are lost in a row, and two
/// cover what is common.
pub const MAX_REDUNDANT: usize = 2;

/// Timestamp offsets have 14 bits: below it.
pub const MAX_OFFSET: u16 = 1 << 14;

/// Lengths of redundant blocks have 10 bits: below it.
pub const MAX_BLOCK_BYTES: usize = 1 << 10;

/// Bytes of a redundant block's header.
pub(crate) const HEADER_BYTES: usize = 4;

/// Why a payload is none of RED, or can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedError {
    /// It ends within its headers or its blocks: the packet is to be dropped.
    #[error("the payload ends within its blocks")]
    Truncated,
    /// More than [`MAX_BLOCKS`] to read, or more than [`MAX_REDUNDANT`] to write.
    #[error("too many blocks")]
    TooManyBlocks,
    /// The offset of a redundant block is [`MAX_OFFSET`] or more: it is too old to be written.
    #[error("a timestamp offset of {0}")]
    Offset(u16),
    /// A redundant block has [`MAX_BLOCK_BYTES`] or more: it is too long to be written.
    #[error("a redundant block of {0} bytes")]
    BlockLength(usize),
    /// The buffer is too short.
    #[error("no room for the payload")]
    NoRoom,
}

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Which codec.
    pub payload_type: PayloadType,
    /// How long before the packet's timestamp it was taken, in ticks, 14 bits. 0 for the primary.
    pub offset: u16,
    /// What the codec made.
    pub bytes: &'a [u8],
}

/// The blocks of a payload, the newest last.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    headers: &'a [[u8; HEADER_BYTES]],
    /// `None` once it was given out.
    primary: Option<PayloadType>,
    bytes: Reader<'a>,
}

impl<'a> Blocks<'a> {
    /// Reads a payload. All of it is checked here, so that every block of it can be given out.
    ///
    /// # Errors
    /// [`RedError::Truncated`] and [`RedError::TooManyBlocks`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, RedError> {
        let mut reader = Reader::new(payload);
        let mut redundant = 0;
        let mut redundant_bytes = 0;
        while reader.rest().first().is_some_and(|first| first & 0x80 != 0) {
            let header = reader.array().ok_or(RedError::Truncated)?;
            redundant += 1;
            redundant_bytes += block_len(header);
            if redundant == MAX_BLOCKS {
                return Err(RedError::TooManyBlocks);
            }
        }
        let primary = PayloadType(reader.u8().ok_or(RedError::Truncated)?);
        if reader.len() < redundant_bytes {
            return Err(RedError::Truncated);
        }
        let (headers, _) = payload
            .get(..redundant * HEADER_BYTES)
            .unwrap_or_default()
            .as_chunks();
        Ok(Self {
            headers,
            primary: Some(primary),
            bytes: reader,
        })
    }

    /// The newest block alone.
    #[must_use]
    pub fn primary(&self) -> Option<Block<'a>> {
        self.clone().last()
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((&header, rest)) = self.headers.split_first() {
            self.headers = rest;
            let [first, high, low, _] = header;
            return Some(Block {
                payload_type: PayloadType(first & 0x7f),
                offset: u16::from_be_bytes([high, low]) >> 2,
                bytes: self.bytes.take(block_len(header))?,
            });
        }
        let payload_type = self.primary.take()?;
        Some(Block {
            payload_type,
            offset: 0,
            bytes: self.bytes.rest(),
        })
    }
}

/// The lower ten bits.
fn block_len([_, _, high, low]: [u8; HEADER_BYTES]) -> usize {
    usize::from(u16::from_be_bytes([high & 0x03, low]))
}

/// Writes a payload to the front of `out` and returns its length: up to [`MAX_REDUNDANT`] blocks, the
/// oldest first, and the primary, whose offset is not looked at.
///
/// # Errors
/// Each of [`RedError`] but [`RedError::Truncated`]; `out` is then as it was.
pub fn write(
    out: &mut [u8],
    primary: &Block<'_>,
    redundant: &[Block<'_>],
) -> Result<usize, RedError> {
    if redundant.len() > MAX_REDUNDANT {
        return Err(RedError::TooManyBlocks);
    }
    let mut len = 1 + primary.bytes.len();
    for block in redundant {
        check(block)?;
        len += HEADER_BYTES + block.bytes.len();
    }
    let mut rest = out.get_mut(..len).ok_or(RedError::NoRoom)?;
    for block in redundant {
        rest = put(rest, &header(block)).ok_or(RedError::NoRoom)?;
    }
    rest = put(rest, &[primary.payload_type.0 & 0x7f]).ok_or(RedError::NoRoom)?;
    for block in redundant.iter().chain([primary]) {
        rest = put(rest, block.bytes).ok_or(RedError::NoRoom)?;
    }
    Ok(len)
}

fn check(block: &Block<'_>) -> Result<(), RedError> {
    if block.offset >= MAX_OFFSET {
        return Err(RedError::Offset(block.offset));
    }
    if block.bytes.len() >= MAX_BLOCK_BYTES {
        return Err(RedError::BlockLength(block.bytes.len()));
    }
    Ok(())
}

/// Of a block that was checked.
fn header(block: &Block<'_>) -> [u8; HEADER_BYTES] {
    let len = u16::try_from(block.bytes.len()).unwrap_or(0);
    let [high, low] = (block.offset << 2).to_be_bytes();
    let [len_high, len_low] = len.to_be_bytes();
    [0x80 | block.payload_type.0, high, low | len_high, len_low]
}

/// Fills the front and gives back what is behind it.
fn put<'a>(out: &'a mut [u8], bytes: &[u8]) -> Option<&'a mut [u8]> {
    let (front, rest) = out.split_at_mut_checked(bytes.len())?;
    front.copy_from_slice(bytes);
    Some(rest)
}
