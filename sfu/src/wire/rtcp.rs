//! RTCP: what is in a compound packet (RFC 3550, section 6.1) or a reduced-size one (RFC 5506), and
//! writers that append one packet each to a buffer of the caller.

mod bye;
mod fir;
mod nack;
mod pli;
mod receiver_report;
mod remb;
mod report_block;
mod sdes;
mod sender_report;
mod transport_feedback;

#[cfg(test)]
mod tests;

pub use bye::{Bye, write_bye};
pub use fir::{Fir, FirEntry, write_fir};
pub use nack::{MAX_NACK_PAIRS, Nack, write_nack};
pub use pli::{Pli, write_pli};
pub use receiver_report::{ReceiverReport, write_receiver_report};
pub use remb::Remb;
pub use report_block::{MAX_REPORT_BLOCKS, ReportBlock, ReportBlocks};
pub use sdes::write_cname;
pub use sender_report::{SenderInfo, SenderReport, write_sender_report};
pub use transport_feedback::{
    Arrival, MAX_FEEDBACK_BYTES, MAX_STATUSES, Statuses, TransportFeedback,
    write_transport_feedback,
};

use super::reader::Reader;
use crate::unit::Ssrc;

/// Packet types (RFC 3550, section 12.1; RFC 4585, section 6.1).
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// The five bits that tell feedback messages of a packet type apart.
mod format {
    /// RFC 4585, section 6.2.1, of transport feedback.
    pub(super) const NACK: u8 = 1;
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1, of transport feedback.
    pub(super) const TRANSPORT_CC: u8 = 15;
    /// RFC 4585, section 6.3.1, of payload feedback.
    pub(super) const PLI: u8 = 1;
    /// RFC 5104, section 4.3.1, of payload feedback.
    pub(super) const FIR: u8 = 4;
    /// RFC 4585, section 6.4, of payload feedback: REMB among others.
    pub(super) const APPLICATION: u8 = 15;
}

/// Why bytes are no RTCP, or one of its packets is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// A header is cut off, has another version than 2, or a length beyond the end. Nothing that
    /// follows can be found.
    #[error("not a compound RTCP packet")]
    Framing,
    /// The packet of this type isn't what its type says. Those after it can still be read.
    #[error("malformed RTCP packet of type {0}")]
    Malformed(u8),
}

/// One packet of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR: what a sender sent, and what it receives.
    SenderReport(SenderReport<'a>),
    /// RR: what a receiver receives.
    ReceiverReport(ReceiverReport<'a>),
    /// Packets that are missing.
    Nack(Nack<'a>),
    /// The picture can't be decoded any more: a key frame is wanted.
    Pli(Pli),
    /// A key frame is wanted.
    Fir(Fir<'a>),
    /// The receiver's estimate of the path.
    Remb(Remb<'a>),
    /// When the packets of a transport arrived.
    TransportFeedback(TransportFeedback<'a>),
    /// Streams that ended.
    Bye(Bye<'a>),
    /// What we have no use for: SDES, APP, XR, and feedback of other formats.
    Other {
        /// The packet type.
        packet_type: u8,
        /// Count or format, 0 to 31.
        count: u8,
    },
}

/// The packets of a compound in their order. After [`RtcpError::Framing`] there are none.
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    reader: Reader<'a>,
}

impl<'a> Packets<'a> {
    /// Of a datagram that is in the clear.
    #[must_use]
    pub fn new(compound: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(compound),
        }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let Some(raw) = Raw::take(&mut self.reader) else {
            self.reader = Reader::new(&[]);
            return Some(Err(RtcpError::Framing));
        };
        let malformed = RtcpError::Malformed(raw.packet_type);
        Some(parse(&raw).ok_or(malformed))
    }
}

/// A packet with its header taken off (RFC 3550, section 6.4.1).
struct Raw<'a> {
    packet_type: u8,
    count: u8,
    has_padding: bool,
    body: &'a [u8],
}

impl<'a> Raw<'a> {
    fn take(reader: &mut Reader<'a>) -> Option<Self> {
        let first = reader.u8()?;
        let packet_type = reader.u8()?;
        let words = reader.u16()?;
        let body = reader.take(4 * usize::from(words))?;
        (first >> 6 == 2).then_some(Self {
            packet_type,
            count: first & 0x1f,
            has_padding: first & 0x20 != 0,
            body,
        })
    }

    /// The body without its padding. RFC 3550 wants padding in multiples of four; what libwebrtc
    /// puts behind transport feedback is shorter.
    fn unpadded(&self) -> Option<Reader<'a>> {
        if !self.has_padding {
            return Some(Reader::new(self.body));
        }
        let padding = usize::from(*self.body.last()?);
        let len = self.body.len().checked_sub(padding)?;
        (padding > 0).then(|| Reader::new(&self.body[..len]))
    }
}

/// `None` when the packet is malformed.
fn parse<'a>(raw: &Raw<'a>) -> Option<Packet<'a>> {
    let body = raw.unpadded()?;
    let packet = match (raw.packet_type, raw.count) {
        (packet_type::SENDER_REPORT, count) => {
            Packet::SenderReport(SenderReport::parse(count, body)?)
        }
        (packet_type::RECEIVER_REPORT, count) => {
            Packet::ReceiverReport(ReceiverReport::parse(count, body)?)
        }
        (packet_type::BYE, count) => Packet::Bye(Bye::parse(count, body)?),
        (packet_type::TRANSPORT_FEEDBACK, format::NACK) => Packet::Nack(Nack::parse(body)?),
        (packet_type::TRANSPORT_FEEDBACK, format::TRANSPORT_CC) => {
            Packet::TransportFeedback(TransportFeedback::parse(body)?)
        }
        (packet_type::PAYLOAD_FEEDBACK, format::PLI) => Packet::Pli(Pli::parse(body)?),
        (packet_type::PAYLOAD_FEEDBACK, format::FIR) => Packet::Fir(Fir::parse(body)?),
        (packet_type::PAYLOAD_FEEDBACK, format::APPLICATION) if remb::is_remb(body) => {
            Packet::Remb(Remb::parse(body)?)
        }
        (packet_type, count) => Packet::Other { packet_type, count },
    };
    Some(packet)
}

/// An SSRC, in place.
fn ssrc(reader: &mut Reader<'_>) -> Option<Ssrc> {
    reader.u32().map(Ssrc)
}

/// SSRCs in a row; bytes that make no whole one are passed over.
fn ssrcs(bytes: &[u8]) -> impl Iterator<Item = Ssrc> {
    let (whole, _) = bytes.as_chunks();
    whole.iter().map(|&bytes| Ssrc(u32::from_be_bytes(bytes)))
}

/// Appends one packet: its header, what `body` appends, and the length of both.
fn append(out: &mut Vec<u8>, packet_type: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | (count & 0x1f), packet_type, 0, 0]);
    body(out);
    finish(out, start);
}

/// Fills the packet that begins at `start` up to whole words, and counts them in its header. Padding
/// is zeros and, last, their number.
fn finish(out: &mut Vec<u8>, start: usize) {
    let padding: &[u8] = match (out.len() - start) % 4 {
        1 => &[0, 0, 3],
        2 => &[0, 2],
        3 => &[1],
        _ => &[],
    };
    out.extend_from_slice(padding);
    let words = (out.len() - start) / 4 - 1;
    let words = u16::try_from(words).expect("what is written here is short");
    if let Some([first, _, length @ ..]) = out.get_mut(start..start + 4) {
        *first |= if padding.is_empty() { 0 } else { 0x20 };
        length.copy_from_slice(&words.to_be_bytes());
    }
}

fn put_ssrc(out: &mut Vec<u8>, ssrc: Ssrc) {
    out.extend_from_slice(&ssrc.0.to_be_bytes());
}
