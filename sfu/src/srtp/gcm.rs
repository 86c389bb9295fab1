//! AEAD_AES_128_GCM (RFC 7714).

use super::MasterKey;
use super::OpenError;
use super::kdf::{Label, Stream, derive};
use super::protection::{INDEX_BYTES, RTCP_CLEAR_BYTES, RtcpIndex};
use crate::unit::{ExtSeqNo, Ssrc};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The length of the tag (RFC 7714, section 12).
pub(super) const TAG_BYTES: usize = 16;
/// The length of the salt: as long as the nonce.
pub(super) const SALT_BYTES: usize = NONCE_LEN;

/// One direction's keys of RTP or RTCP.
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; SALT_BYTES],
}

impl Gcm {
    pub(super) fn new(master: &MasterKey, stream: Stream) -> Self {
        Self::from_session(
            &derive(master, stream, Label::Encryption),
            derive(master, stream, Label::Salt),
        )
    }

    /// From a session key and salt.
    pub(super) fn from_session(key: &[u8; 16], salt: [u8; SALT_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, key).expect("AES-128 takes a key of 16 bytes");
        Self {
            key: LessSafeKey::new(key),
            salt,
        }
    }

    /// Encrypts `body` and gives its tag. The header is authenticated with it.
    pub(super) fn seal_rtp(
        &self,
        header: &[u8],
        body: &mut [u8],
        index: ExtSeqNo,
        ssrc: Ssrc,
    ) -> [u8; TAG_BYTES] {
        self.seal(self.rtp_nonce(index, ssrc), header, body)
    }

    /// Checks and decrypts `sealed`, which ends with the tag. When it fails, `sealed` is spoilt.
    pub(super) fn open_rtp(
        &self,
        header: &[u8],
        sealed: &mut [u8],
        index: ExtSeqNo,
        ssrc: Ssrc,
    ) -> Result<(), OpenError> {
        self.open(self.rtp_nonce(index, ssrc), header, sealed)
    }

    /// Seals the plain packet at the start of `packet`, which has exactly the room for tag and index.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: RtcpIndex) {
        let (sealed, word) = packet.split_at_mut(packet.len() - INDEX_BYTES);
        let (clear, sealed) = sealed.split_at_mut(RTCP_CLEAR_BYTES);
        let (body, tag) = sealed.split_at_mut(sealed.len() - TAG_BYTES);
        word.copy_from_slice(&index.encrypted_word());
        let aad = rtcp_aad(clear, word);
        tag.copy_from_slice(&self.seal(self.rtcp_nonce(index, ssrc), &aad, body));
    }

    /// Checks and decrypts a packet that the caller has found long enough.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: Ssrc,
        index: RtcpIndex,
    ) -> Result<(), OpenError> {
        let (sealed, word) = packet.split_at_mut(packet.len() - INDEX_BYTES);
        let (clear, sealed) = sealed.split_at_mut(RTCP_CLEAR_BYTES);
        let aad = rtcp_aad(clear, word);
        self.open(self.rtcp_nonce(index, ssrc), &aad, sealed)
    }

    fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], body: &mut [u8]) -> [u8; TAG_BYTES] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), body)
            .expect("a datagram is shorter than GCM's limit");
        tag.as_ref().try_into().expect("GCM's tag has 16 bytes")
    }

    fn open(&self, nonce: [u8; NONCE_LEN], aad: &[u8], sealed: &mut [u8]) -> Result<(), OpenError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        match self.key.open_in_place(nonce, Aad::from(aad), sealed) {
            Ok(_) => Ok(()),
            Err(_) => Err(OpenError::NotAuthentic),
        }
    }

    /// Two zeros, the SSRC, the rollover counter and the sequence number, masked with the salt
    /// (RFC 7714, section 8.1).
    fn rtp_nonce(&self, index: ExtSeqNo, ssrc: Ssrc) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
        nonce[6..].copy_from_slice(&index.0.to_be_bytes()[2..]);
        self.mask(nonce)
    }

    /// Two zeros, the SSRC, two zeros and the index, masked with the salt (RFC 7714, section 9.1).
    fn rtcp_nonce(&self, index: RtcpIndex, ssrc: Ssrc) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
        nonce[8..].copy_from_slice(&index.get().to_be_bytes());
        self.mask(nonce)
    }

    fn mask(&self, mut nonce: [u8; NONCE_LEN]) -> [u8; NONCE_LEN] {
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        nonce
    }
}

/// What RTCP authenticates without encrypting: its first eight bytes and the index (RFC 7714,
/// section 9.2).
fn rtcp_aad(clear: &[u8], word: &[u8]) -> [u8; RTCP_CLEAR_BYTES + INDEX_BYTES] {
    let mut aad = [0; RTCP_CLEAR_BYTES + INDEX_BYTES];
    aad[..RTCP_CLEAR_BYTES].copy_from_slice(clear);
    aad[RTCP_CLEAR_BYTES..].copy_from_slice(word);
    aad
}
