//! Reception report blocks (RFC 3550, section 6.4.1).

use crate::unit::Ssrc;
use crate::wire::reader::Reader;

/// Bytes of a block.
const BLOCK_BYTES: usize = 24;

/// Blocks in one report: the header counts them in five bits. Streams beyond that need a report more.
pub const MAX_REPORT_BLOCKS: usize = 31;

/// The most and the least that 24 bits with a sign hold.
const CUMULATIVE_LOST: std::ops::RangeInclusive<i32> = -0x80_0000..=0x7f_ffff;

/// How one stream is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// Which stream.
    pub ssrc: Ssrc,
    /// Of the packets since the last report, lost in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, 24 bits with a sign: below zero when more are duplicates.
    pub cumulative_lost: i32,
    /// The highest sequence number, with its rollovers in the upper half.
    pub highest_seq: u32,
    /// How unevenly packets arrive, in ticks of the stream's clock.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time of the last sender report; 0 without one.
    pub last_sr: u32,
    /// Since that report arrived, in 1/65,536 s; 0 without one.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn read(bytes: &[u8; BLOCK_BYTES]) -> Self {
        let word = |at: usize| {
            let [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            u32::from_be_bytes([a, b, c, d])
        };
        Self {
            ssrc: Ssrc(word(0)),
            fraction_lost: bytes[4],
            cumulative_lost: (word(4) << 8).cast_signed() >> 8,
            highest_seq: word(8),
            jitter: word(12),
            last_sr: word(16),
            delay_since_last_sr: word(20),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let lost = self
            .cumulative_lost
            .clamp(*CUMULATIVE_LOST.start(), *CUMULATIVE_LOST.end());
        let [_, lost @ ..] = lost.to_be_bytes();
        super::put_ssrc(out, self.ssrc);
        out.push(self.fraction_lost);
        out.extend_from_slice(&lost);
        for word in [
            self.highest_seq,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
}

/// The blocks of a report, at most [`MAX_REPORT_BLOCKS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportBlocks<'a>(&'a [[u8; BLOCK_BYTES]]);

impl<'a> ReportBlocks<'a> {
    /// So many blocks; what follows them is an extension of a profile and passed over.
    pub(super) fn parse(count: u8, reader: &mut Reader<'a>) -> Option<Self> {
        let (blocks, _) = reader.take(BLOCK_BYTES * usize::from(count))?.as_chunks();
        Some(Self(blocks))
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<Self::Item> {
        let (block, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(ReportBlock::read(block))
    }
}

/// The blocks that fit in one report, and their count.
pub(super) fn fitting(blocks: &[ReportBlock]) -> (&[ReportBlock], u8) {
    let len = blocks.len().min(MAX_REPORT_BLOCKS);
    let count = u8::try_from(len).expect("five bits");
    (&blocks[..len], count)
}

pub(super) fn write(out: &mut Vec<u8>, blocks: &[ReportBlock]) {
    for block in blocks {
        block.write(out);
    }
}
