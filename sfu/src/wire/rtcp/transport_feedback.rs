//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).

mod write;

pub use write::{Arrival, MAX_FEEDBACK_BYTES, write_transport_feedback};

use super::ssrc;
use crate::unit::Ssrc;
use crate::wire::reader::Reader;

/// Packets that one feedback may tell of. A second of 6,800 packets (60 Mbit/s) has fewer, and
/// browsers send feedback at least four times a second. One that claims more is refused: a few bytes
/// of run lengths could otherwise cost the work of 65,535.
pub const MAX_STATUSES: u16 = 8_192;

/// The longest run that a chunk can say, in 13 bits.
const MAX_RUN: u16 = 0x1fff;

/// Bits of a chunk that a vector has.
const VECTOR_BITS: u16 = 14;

/// When the packets of a transport arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// Who received them.
    pub sender: Ssrc,
    /// One of the transport's streams.
    pub media: Ssrc,
    /// The transport-wide number of the first packet.
    pub base: u16,
    /// How many packets it tells of, counted from `base`, at most [`MAX_STATUSES`].
    pub count: u16,
    /// What the first delta counts from, in 64 ms since some moment; 24 bits with a sign, wraps.
    pub reference_time: i32,
    /// One more for each feedback; wraps.
    pub feedback_count: u8,
    chunks: &'a [[u8; 2]],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    /// `None` when chunks or deltas are missing, when a status is the reserved one, or when it claims
    /// more than [`MAX_STATUSES`].
    pub(super) fn parse(mut body: Reader<'a>) -> Option<Self> {
        let sender = ssrc(&mut body)?;
        let media = ssrc(&mut body)?;
        let base = body.u16()?;
        let count = body.u16().filter(|&count| count <= MAX_STATUSES)?;
        let reference_time = (body.u24()? << 8).cast_signed() >> 8;
        let feedback_count = body.u8()?;
        let (chunks, delta_bytes) = measure(count, body)?;
        let (chunks, _) = body.take(2 * chunks)?.as_chunks();
        Some(Self {
            sender,
            media,
            base,
            count,
            reference_time,
            feedback_count,
            chunks,
            deltas: body.take(delta_bytes)?,
        })
    }

    /// For each packet in its order: how far its number is from `base`, and when it arrived after the
    /// received packet before it (the first one: after `reference_time`) in 250 µs. `None` for one
    /// that did not arrive. Exactly `count` of them.
    #[must_use]
    pub fn statuses(&self) -> Statuses<'a> {
        Statuses {
            chunks: self.chunks,
            chunk: Chunk::EMPTY,
            deltas: Reader::new(self.deltas),
            next: 0,
            count: self.count,
        }
    }
}

/// How many chunks tell of so many packets, and how many bytes of deltas they demand.
fn measure(count: u16, mut chunks: Reader<'_>) -> Option<(usize, usize)> {
    let mut left = count;
    let mut read = 0;
    let mut delta_bytes = 0;
    while left > 0 {
        let chunk = Chunk::parse(chunks.array()?);
        let told = chunk.len().min(left);
        delta_bytes += chunk.delta_bytes(told)?;
        left -= told;
        read += 1;
        // A run of no packets says nothing; a feedback full of them would still end with its bytes.
    }
    Some((read, delta_bytes))
}

/// What became of one packet, in two bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Lost,
    /// With a delta of one byte, 0 to 255.
    Small,
    /// With a delta of two bytes and a sign.
    Large,
}

impl Status {
    /// `None` for the reserved one.
    fn of(bits: u16) -> Option<Self> {
        match bits & 3 {
            0 => Some(Self::Lost),
            1 => Some(Self::Small),
            2 => Some(Self::Large),
            _ => None,
        }
    }

    fn bits(self) -> u16 {
        match self {
            Self::Lost => 0,
            Self::Small => 1,
            Self::Large => 2,
        }
    }

    fn delta_bytes(self) -> usize {
        usize::from(self.bits())
    }
}

/// Two bytes that tell of some packets; a copy is used up from its front.
#[derive(Debug, Clone, Copy)]
enum Chunk {
    /// All alike.
    Run { status: u16, len: u16 },
    /// One by one, of so many bits each, the first ones leftmost in 14 bits.
    Vector { bits: u16, width: u16, len: u16 },
}

impl Chunk {
    const EMPTY: Self = Self::Run { status: 0, len: 0 };

    fn parse(bytes: [u8; 2]) -> Self {
        let chunk = u16::from_be_bytes(bytes);
        let bits = chunk & 0x3fff;
        match chunk >> 14 {
            0 | 1 => Self::Run {
                status: chunk >> 13 & 3,
                len: chunk & MAX_RUN,
            },
            2 => Self::Vector {
                bits,
                width: 1,
                len: VECTOR_BITS,
            },
            _ => Self::Vector {
                bits,
                width: 2,
                len: VECTOR_BITS / 2,
            },
        }
    }

    fn len(self) -> u16 {
        match self {
            Self::Run { len, .. } | Self::Vector { len, .. } => len,
        }
    }

    /// What the first `told` packets demand, `None` when a status is the reserved one.
    fn delta_bytes(mut self, told: u16) -> Option<usize> {
        if let Self::Run { status, .. } = self {
            return Some(Status::of(status)?.delta_bytes() * usize::from(told));
        }
        let mut bytes = 0;
        for _ in 0..told {
            bytes += self.take().and_then(Status::of)?.delta_bytes();
        }
        Some(bytes)
    }

    /// The bits of the next packet's status.
    fn take(&mut self) -> Option<u16> {
        match self {
            Self::Run { status, len } => {
                *len = len.checked_sub(1)?;
                Some(*status)
            }
            Self::Vector { bits, width, len } => {
                *len = len.checked_sub(1)?;
                let status = *bits >> (VECTOR_BITS - *width);
                *bits = *bits << *width & 0x3fff;
                Some(status)
            }
        }
    }
}

/// See [`TransportFeedback::statuses`].
#[derive(Debug, Clone)]
pub struct Statuses<'a> {
    chunks: &'a [[u8; 2]],
    chunk: Chunk,
    deltas: Reader<'a>,
    next: u16,
    count: u16,
}

impl Statuses<'_> {
    fn status(&mut self) -> Option<Status> {
        loop {
            if let Some(bits) = self.chunk.take() {
                return Status::of(bits);
            }
            let (&chunk, rest) = self.chunks.split_first()?;
            self.chunks = rest;
            self.chunk = Chunk::parse(chunk);
        }
    }
}

impl Iterator for Statuses<'_> {
    type Item = (u16, Option<i16>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            return None;
        }
        let delta = match self.status()? {
            Status::Lost => None,
            Status::Small => Some(i16::from(self.deltas.u8()?)),
            Status::Large => Some(self.deltas.u16()?.cast_signed()),
        };
        let at = self.next;
        self.next += 1;
        Some((at, delta))
    }
}
