//! BYE (RFC 3550, section 6.6).

use super::{append, packet_type, put_ssrc, ssrcs};
use crate::unit::Ssrc;
use crate::wire::reader::Reader;

/// The count of the header has five bits.
const MAX_SSRCS: usize = 31;

/// Streams that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bye<'a> {
    ssrcs: &'a [u8],
}

impl<'a> Bye<'a> {
    /// A reason that may follow is passed over.
    pub(super) fn parse(count: u8, mut body: Reader<'a>) -> Option<Self> {
        Some(Self {
            ssrcs: body.take(4 * usize::from(count))?,
        })
    }

    /// Which streams, at most 31.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        ssrcs(self.ssrcs)
    }
}

/// Appends a BYE for the first 31 of these streams.
pub fn write_bye(out: &mut Vec<u8>, ssrcs: &[Ssrc]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(MAX_SSRCS)];
    let count = u8::try_from(ssrcs.len()).expect("five bits");
    append(out, packet_type::BYE, count, |out| {
        for &ssrc in ssrcs {
            put_ssrc(out, ssrc);
        }
    });
}
