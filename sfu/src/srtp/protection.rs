//! One direction's session keys of RTP or RTCP, whichever profile they are of, and where the parts
//! of a packet are.

use super::cm::{self, AesCm};
use super::gcm::{self, Gcm};
use super::kdf::Stream;
use super::{MasterKey, OpenError, Profile};
use crate::unit::{ExtSeqNo, Ssrc};

/// RTCP's index and its E flag (RFC 3711, section 3.4).
pub(super) const INDEX_BYTES: usize = 4;
/// What RTCP leaves in the clear: the first header and the sender's SSRC.
pub(super) const RTCP_CLEAR_BYTES: usize = 8;
/// An RTP header without sources and extensions (RFC 3550, section 5.1).
const MIN_RTP_HEADER_BYTES: usize = 12;

/// The number of an RTCP packet, 31 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RtcpIndex(u32);

impl RtcpIndex {
    /// The flag that says that a packet is encrypted.
    const ENCRYPTED: u32 = 1 << 31;

    /// `None` from 2³¹ on.
    pub(super) fn new(index: u32) -> Option<Self> {
        (index < Self::ENCRYPTED).then_some(Self(index))
    }

    /// From a packet; `None` when it says that it is not encrypted.
    fn from_word(word: u32) -> Option<Self> {
        (word >= Self::ENCRYPTED).then_some(Self(word & !Self::ENCRYPTED))
    }

    pub(super) fn get(self) -> u32 {
        self.0
    }

    pub(super) fn encrypted_word(self) -> [u8; INDEX_BYTES] {
        (self.0 | Self::ENCRYPTED).to_be_bytes()
    }
}

/// Session keys. The key schedules stand inside, not behind a pointer: one cache miss less a packet.
pub(super) enum Protection {
    Gcm(Gcm),
    AesCm(AesCm),
}

impl Protection {
    pub(super) fn new(master: &MasterKey, stream: Stream) -> Self {
        match master.profile() {
            Profile::AeadAes128Gcm => Self::Gcm(Gcm::new(master, stream)),
            Profile::Aes128CmHmacSha1_80 => Self::AesCm(AesCm::new(master, stream)),
        }
    }

    pub(super) fn profile(&self) -> Profile {
        match self {
            Self::Gcm(_) => Profile::AeadAes128Gcm,
            Self::AesCm(_) => Profile::Aes128CmHmacSha1_80,
        }
    }

    /// Seals the first `plain_len` bytes and puts the tag behind them.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        (header_len, plain_len): (usize, usize),
        index: ExtSeqNo,
        ssrc: Ssrc,
    ) -> usize {
        let sealed_len = plain_len + self.profile().rtp_overhead();
        let (plain, tag) = packet[..sealed_len].split_at_mut(plain_len);
        match self {
            Self::Gcm(gcm) => {
                let (header, body) = plain.split_at_mut(header_len);
                tag.copy_from_slice(&gcm.seal_rtp(header, body, index, ssrc));
            }
            Self::AesCm(cm) => {
                tag.copy_from_slice(&cm.seal_rtp(plain, header_len, index, ssrc));
            }
        }
        sealed_len
    }

    /// Opens a packet and gives its length without the tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        index: ExtSeqNo,
        ssrc: Ssrc,
    ) -> Result<usize, OpenError> {
        let plain_len = packet
            .len()
            .checked_sub(self.profile().rtp_overhead())
            .filter(|len| (MIN_RTP_HEADER_BYTES..=*len).contains(&header_len))
            .ok_or(OpenError::TooShort)?;
        match self {
            Self::Gcm(gcm) => {
                let (header, sealed) = packet.split_at_mut(header_len);
                gcm.open_rtp(header, sealed, index, ssrc)?;
            }
            Self::AesCm(cm) => cm.open_rtp(packet, header_len, index, ssrc)?,
        }
        Ok(plain_len)
    }

    /// Seals a plain packet in its buffer, which grows by [`Profile::rtcp_overhead`]. Its length has
    /// been checked to be [`RTCP_CLEAR_BYTES`] at least.
    pub(super) fn seal_rtcp(&self, packet: &mut Vec<u8>, ssrc: Ssrc, index: RtcpIndex) {
        packet.resize(packet.len() + self.profile().rtcp_overhead(), 0);
        match self {
            Self::Gcm(gcm) => gcm.seal_rtcp(packet, ssrc, index),
            Self::AesCm(cm) => cm.seal_rtcp(packet, ssrc, index),
        }
    }

    /// Whose RTCP packet it is, and its number, before it is known to be authentic.
    pub(super) fn rtcp_source(&self, packet: &[u8]) -> Result<(Ssrc, RtcpIndex), OpenError> {
        if packet.len() < RTCP_CLEAR_BYTES + self.profile().rtcp_overhead() {
            return Err(OpenError::TooShort);
        }
        let behind_index = match self {
            Self::Gcm(_) => 0,
            Self::AesCm(_) => cm::TAG_BYTES,
        };
        let end = packet.len() - behind_index;
        let word = packet
            .get(end - INDEX_BYTES..end)
            .and_then(|word| word.try_into().ok())
            .ok_or(OpenError::TooShort)?;
        let index = RtcpIndex::from_word(u32::from_be_bytes(word));
        let ssrc = rtcp_ssrc(packet).ok_or(OpenError::TooShort)?;
        Ok((ssrc, index.ok_or(OpenError::NotAuthentic)?))
    }

    /// Opens a packet that [`Self::rtcp_source`] has looked at, and gives its length without index
    /// and tag.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: Ssrc,
        index: RtcpIndex,
    ) -> Result<usize, OpenError> {
        match self {
            Self::Gcm(gcm) => gcm.open_rtcp(packet, ssrc, index)?,
            Self::AesCm(cm) => cm.open_rtcp(packet, ssrc, index)?,
        }
        Ok(packet.len() - self.profile().rtcp_overhead())
    }
}

/// The SSRC of the first packet of a compound; `None` when it is too short to have one.
pub(super) fn rtcp_ssrc(packet: &[u8]) -> Option<Ssrc> {
    let ssrc = packet.get(4..RTCP_CLEAR_BYTES)?;
    Some(Ssrc(u32::from_be_bytes(ssrc.try_into().ok()?)))
}

const _: () = assert!(gcm::SALT_BYTES <= super::kdf::MAX_SALT_BYTES);
