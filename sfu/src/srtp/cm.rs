//! AES_CM_128_HMAC_SHA1_80 (RFC 3711).

use super::MasterKey;
use super::OpenError;
use super::kdf::{Label, Stream, derive};
use super::protection::{INDEX_BYTES, RTCP_CLEAR_BYTES, RtcpIndex};
use crate::unit::{ExtSeqNo, Ssrc};
use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use sha1::{Digest, Sha1};
use std::hint::black_box;

/// The length of the tag: 80 bits of HMAC-SHA1 (RFC 3711, section 5.2).
pub(super) const TAG_BYTES: usize = 10;
/// The length of the salt: 112 bits (RFC 3711, section 5.1).
pub(super) const SALT_BYTES: usize = 14;
/// SHA-1 works on blocks of this many bytes.
const SHA1_BLOCK_BYTES: usize = 64;

/// One direction's keys of RTP or RTCP.
pub(super) struct AesCm {
    aes: Aes128Enc,
    salt: [u8; SALT_BYTES],
    mac: Mac,
}

impl AesCm {
    pub(super) fn new(master: &MasterKey, stream: Stream) -> Self {
        Self::from_session(
            derive(master, stream, Label::Encryption),
            derive(master, stream, Label::Salt),
            &derive(master, stream, Label::Authentication),
        )
    }

    /// From session keys and salt.
    pub(super) fn from_session(key: [u8; 16], salt: [u8; SALT_BYTES], auth_key: &[u8; 20]) -> Self {
        Self {
            aes: Aes128Enc::new(&key.into()),
            salt,
            mac: Mac::new(auth_key),
        }
    }

    /// Encrypts what follows the header, and gives the tag of it all.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        index: ExtSeqNo,
        ssrc: Ssrc,
    ) -> [u8; TAG_BYTES] {
        let (_, body) = packet.split_at_mut(header_len);
        self.apply_keystream(body, ssrc, index.0);
        self.mac.tag(packet, &index.rollovers().to_be_bytes())
    }

    /// Checks the tag, then decrypts what stands between the header and it. When the tag is wrong,
    /// the packet is as it was.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        index: ExtSeqNo,
        ssrc: Ssrc,
    ) -> Result<(), OpenError> {
        let (signed, tag) = packet.split_at_mut(packet.len() - TAG_BYTES);
        let expected = self.mac.tag(signed, &index.rollovers().to_be_bytes());
        check_tag(&expected, tag)?;
        self.apply_keystream(&mut signed[header_len..], ssrc, index.0);
        Ok(())
    }

    /// Seals the plain packet at the start of `packet`, which has exactly the room for index and tag.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: RtcpIndex) {
        let (signed, tag) = packet.split_at_mut(packet.len() - TAG_BYTES);
        let (plain, word) = signed.split_at_mut(signed.len() - INDEX_BYTES);
        word.copy_from_slice(&index.encrypted_word());
        self.apply_keystream(&mut plain[RTCP_CLEAR_BYTES..], ssrc, u64::from(index.get()));
        tag.copy_from_slice(&self.mac.tag(signed, &[]));
    }

    /// Checks and decrypts a packet that the caller has found long enough.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: Ssrc,
        index: RtcpIndex,
    ) -> Result<(), OpenError> {
        let (signed, tag) = packet.split_at_mut(packet.len() - TAG_BYTES);
        check_tag(&self.mac.tag(signed, &[]), tag)?;
        let (sealed, _) = signed.split_at_mut(signed.len() - INDEX_BYTES);
        self.apply_keystream(
            &mut sealed[RTCP_CLEAR_BYTES..],
            ssrc,
            u64::from(index.get()),
        );
        Ok(())
    }

    /// The counter starts at the salt, the SSRC and the index, each in its place, and its last 16
    /// bits count blocks (RFC 3711, section 4.1.1).
    pub(super) fn apply_keystream(&self, body: &mut [u8], ssrc: Ssrc, index: u64) {
        let mut counter = [0; 16];
        counter[..SALT_BYTES].copy_from_slice(&self.salt);
        for (byte, ssrc) in counter[4..8].iter_mut().zip(ssrc.0.to_be_bytes()) {
            *byte ^= ssrc;
        }
        for (byte, index) in counter[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *byte ^= index;
        }
        let core = CtrCore::<_, Ctr128BE>::inner_iv_init(&self.aes, &counter.into());
        StreamCipherCoreWrapper::from_core(core).apply_keystream(body);
    }
}

/// HMAC-SHA1 (RFC 2104), its key's two blocks hashed once for all packets. Not ring's: that one has no
/// use of the processor's SHA instructions, and takes four times as long.
struct Mac {
    inner: Sha1,
    outer: Sha1,
}

impl Mac {
    fn new(key: &[u8; 20]) -> Self {
        let keyed = |pad: u8| {
            let mut block = [pad; SHA1_BLOCK_BYTES];
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            Sha1::new_with_prefix(block)
        };
        Self {
            inner: keyed(0x36),
            outer: keyed(0x5c),
        }
    }

    fn tag(&self, message: &[u8], suffix: &[u8]) -> [u8; TAG_BYTES] {
        let mut inner = self.inner.clone();
        inner.update(message);
        inner.update(suffix);
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&outer.finalize()[..TAG_BYTES]);
        tag
    }
}

/// Compares without telling by its time where the first difference is.
fn check_tag(expected: &[u8; TAG_BYTES], given: &[u8]) -> Result<(), OpenError> {
    let mut difference = 0;
    for (expected, given) in expected.iter().zip(given) {
        difference |= black_box(expected ^ given);
    }
    if given.len() == TAG_BYTES && difference == 0 {
        Ok(())
    } else {
        Err(OpenError::NotAuthentic)
    }
}
