//! SR (RFC 3550, section 6.4.1).

use super::report_block::{self, ReportBlock, ReportBlocks};
use super::{append, packet_type, put_ssrc, ssrc};
use crate::unit::{NtpTime, RtpTime, Ssrc};
use crate::wire::reader::Reader;

/// What a stream has sent, and which moments of its two clocks are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// When the report was sent.
    pub ntp: NtpTime,
    /// The same moment on the stream's clock.
    pub time: RtpTime,
    /// Packets sent; wraps.
    pub packets: u32,
    /// Bytes of payload sent, without headers and padding; wraps.
    pub octets: u32,
}

/// A sender's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// The stream.
    pub ssrc: Ssrc,
    /// What it sent.
    pub info: SenderInfo,
    /// What its sender receives.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, mut body: Reader<'a>) -> Option<Self> {
        Some(Self {
            ssrc: ssrc(&mut body)?,
            info: SenderInfo {
                ntp: NtpTime(body.u64()?),
                time: RtpTime(body.u32()?),
                packets: body.u32()?,
                octets: body.u32()?,
            },
            blocks: ReportBlocks::parse(count, &mut body)?,
        })
    }
}

/// Appends a sender report with the first [`super::MAX_REPORT_BLOCKS`] of the blocks.
pub fn write_sender_report(
    out: &mut Vec<u8>,
    ssrc: Ssrc,
    info: &SenderInfo,
    blocks: &[ReportBlock],
) {
    let (blocks, count) = report_block::fitting(blocks);
    append(out, packet_type::SENDER_REPORT, count, |out| {
        put_ssrc(out, ssrc);
        out.extend_from_slice(&info.ntp.0.to_be_bytes());
        for word in [info.time.0, info.packets, info.octets] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        report_block::write(out, blocks);
    });
}
