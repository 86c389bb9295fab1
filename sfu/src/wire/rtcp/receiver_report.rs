//! RR (RFC 3550, section 6.4.2).

use super::report_block::{self, ReportBlock, ReportBlocks};
use super::{append, packet_type, put_ssrc, ssrc};
use crate::unit::Ssrc;
use crate::wire::reader::Reader;

/// A receiver's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// Whose.
    pub ssrc: Ssrc,
    /// What it receives.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, mut body: Reader<'a>) -> Option<Self> {
        Some(Self {
            ssrc: ssrc(&mut body)?,
            blocks: ReportBlocks::parse(count, &mut body)?,
        })
    }
}

/// Appends a receiver report with the first [`super::MAX_REPORT_BLOCKS`] of the blocks. One without
/// blocks begins a compound packet of somebody who has nothing to report.
pub fn write_receiver_report(out: &mut Vec<u8>, ssrc: Ssrc, blocks: &[ReportBlock]) {
    let (blocks, count) = report_block::fitting(blocks);
    append(out, packet_type::RECEIVER_REPORT, count, |out| {
        put_ssrc(out, ssrc);
        report_block::write(out, blocks);
    });
}
