//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03, section 2.2).

use super::{ssrc, ssrcs};
use crate::unit::{Bitrate, Ssrc};
use crate::wire::reader::Reader;

/// What tells REMB from other feedback of applications.
const NAME: [u8; 4] = *b"REMB";

/// A receiver's estimate of what the path to it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remb<'a> {
    /// Whose.
    pub sender: Ssrc,
    /// All streams together; an estimate beyond 64 bits is the largest.
    pub bitrate: Bitrate,
    ssrcs: &'a [u8],
}

/// Whether a body of application feedback begins as one of REMB.
pub(super) fn is_remb(mut body: Reader<'_>) -> bool {
    body.take(8).is_some() && body.array() == Some(NAME)
}

impl<'a> Remb<'a> {
    pub(super) fn parse(mut body: Reader<'a>) -> Option<Self> {
        let sender = ssrc(&mut body)?;
        let _media_and_name = body.u64()?;
        let count = body.u8()?;
        let scaled = body.u24()?;
        let exponent = scaled >> 18;
        let mantissa = u128::from(scaled & 0x3_ffff);
        // 18 bits and an exponent of at most 63 are 81 bits.
        let bitrate = u64::try_from(mantissa << exponent).unwrap_or(u64::MAX);
        Some(Self {
            sender,
            bitrate: Bitrate(bitrate),
            ssrcs: body.take(4 * usize::from(count))?,
        })
    }

    /// Which streams.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        ssrcs(self.ssrcs)
    }
}
