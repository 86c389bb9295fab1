//! Protects what we send.

use super::kdf::Stream;
use super::protection::{Protection, RtcpIndex, rtcp_ssrc};
use super::{MasterKey, Profile};
use crate::cache;
use crate::unit::{ExtSeqNo, Ssrc};
use thiserror::Error;

/// Why an RTCP packet was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// Without eight bytes it is not RTCP. The packet is as it was.
    #[error("shorter than an RTCP header")]
    TooShort,
    /// 2³¹ packets were sealed with this key (RFC 3711, section 9.2): the peer has to go.
    #[error("the key's RTCP packets are used up")]
    Exhausted,
}

/// One direction's keys for sending.
pub struct Sealer {
    rtp: Protection,
    rtcp: Protection,
    /// The next RTCP packet's number. One counter for all our SSRCs: a receiver wants its numbers to
    /// grow, not to be without gaps (RFC 3711, section 3.2.1).
    rtcp_index: u32,
}

impl Sealer {
    /// Derives the session keys.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self {
            rtp: Protection::new(master, Stream::Rtp),
            rtcp: Protection::new(master, Stream::Rtcp),
            // The same as libsrtp's first.
            rtcp_index: 1,
        }
    }

    /// The profile of its keys.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.rtp.profile()
    }

    /// Seals the RTP packet in the first `plain_len` bytes of `packet` (header and payload) in place,
    /// and gives its new length, [`Profile::rtp_overhead`] more. `header_len` counts CSRCs and
    /// header extensions; `index` and `ssrc` are those in the header.
    ///
    /// **No two different packets may ever be sealed with the same `index` and `ssrc`**: in counter
    /// mode their difference shows, and in GCM the authentication key with it. A header extension
    /// that differs makes a different packet; so a repair is either sent on an RTX SSRC, or again
    /// bit for bit. An `index` stays below 2⁴⁸ (8,900 years at 1,000 packets/s).
    ///
    /// # Panics
    /// When `packet` has no room for the tag, or `header_len` is more than `plain_len`.
    #[must_use]
    pub fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        plain_len: usize,
        index: ExtSeqNo,
        ssrc: Ssrc,
    ) -> usize {
        self.rtp
            .seal_rtp(packet, (header_len, plain_len), index, ssrc)
    }

    /// RTP will be sealed soon.
    pub(crate) fn expect_rtp(&self) {
        cache::expect(&self.rtp);
    }

    /// Seals a plain RTCP packet (compound or of reduced size) in its buffer, which grows by
    /// [`Profile::rtcp_overhead`]: no allocation when it has the capacity.
    ///
    /// # Errors
    /// [`SealError`]; the packet is as it was.
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SealError> {
        let ssrc = rtcp_ssrc(packet).ok_or(SealError::TooShort)?;
        let index = RtcpIndex::new(self.rtcp_index).ok_or(SealError::Exhausted)?;
        self.rtcp_index += 1;
        self.rtcp.seal_rtcp(packet, ssrc, index);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn set_rtcp_index(&mut self, index: u32) {
        self.rtcp_index = index;
    }
}
