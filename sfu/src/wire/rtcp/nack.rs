//! Generic NACK (RFC 4585, section 6.2.1).

use super::{append, format, packet_type, put_ssrc, ssrc};
use crate::unit::{SeqNo, Ssrc};
use crate::wire::reader::Reader;

/// Pairs that one packet is written with: 1,000 bytes, so that what else is in the compound has room
/// under 1,200. Numbers beyond go into the next packet.
pub const MAX_NACK_PAIRS: usize = 250;

/// Numbers that a pair names behind its first one.
const BITS: u16 = 16;

/// Packets of a stream that somebody misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who misses them.
    pub sender: Ssrc,
    /// Of which stream.
    pub media: Ssrc,
    pairs: &'a [[u8; 4]],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(mut body: Reader<'a>) -> Option<Self> {
        let sender = ssrc(&mut body)?;
        let media = ssrc(&mut body)?;
        let (pairs, []) = body.rest().as_chunks() else {
            return None;
        };
        Some(Self {
            sender,
            media,
            pairs,
        })
    }

    /// The numbers, as they stand there: up to 17 for every four bytes, with repetitions if the
    /// sender repeats itself.
    pub fn numbers(&self) -> impl Iterator<Item = SeqNo> + use<'a> {
        self.pairs.iter().flat_map(|&[p0, p1, b0, b1]| {
            let first = u16::from_be_bytes([p0, p1]);
            let bits = u32::from(u16::from_be_bytes([b0, b1])) << 1 | 1;
            (0..=BITS)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| SeqNo(first.wrapping_add(bit)))
        })
    }
}

/// Appends a NACK for these numbers, which ascend (a wrap included), and returns how many of them it
/// names: fewer than all when [`MAX_NACK_PAIRS`] are full. None, and nothing is appended, for none.
pub fn write_nack(out: &mut Vec<u8>, sender: Ssrc, media: Ssrc, numbers: &[SeqNo]) -> usize {
    if numbers.is_empty() {
        return 0;
    }
    let mut named = 0;
    append(out, packet_type::TRANSPORT_FEEDBACK, format::NACK, |out| {
        put_ssrc(out, sender);
        put_ssrc(out, media);
        for _ in 0..MAX_NACK_PAIRS {
            let Some((pair, count)) = next_pair(&numbers[named..]) else {
                break;
            };
            out.extend_from_slice(&pair);
            named += count;
        }
    });
    named
}

/// The first number with those that fit behind it, and how many these are.
fn next_pair(numbers: &[SeqNo]) -> Option<([u8; 4], usize)> {
    let (first, others) = numbers.split_first()?;
    let mut bits: u16 = 0;
    let mut count = 1;
    for number in others {
        let distance = number.0.wrapping_sub(first.0);
        if distance > BITS {
            break;
        }
        if let Some(bit) = distance.checked_sub(1) {
            bits |= 1 << bit;
        }
        count += 1;
    }
    let [p0, p1] = first.0.to_be_bytes();
    let [b0, b1] = bits.to_be_bytes();
    Some(([p0, p1, b0, b1], count))
}
