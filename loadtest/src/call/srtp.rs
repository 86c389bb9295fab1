//! SRTP for the generator's side: seals and opens in place, without allocation (RFC 3711, RFC 7714).
//!
//! Not `rtc-srtp`, which copies every packet into a buffer of its own: at 50,000 packets a second the
//! load would be a good part of what the server costs. Tests open each with the other.

use aes::Aes128Enc;
use aes::cipher::{
    BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper,
};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// A protection profile (RFC 5764, section 4.1.2; RFC 7714, section 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// AEAD_AES_128_GCM.
    Gcm,
    /// AES_CM_128_HMAC_SHA1_80.
    Sha1,
}

impl Profile {
    /// A name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gcm => "AEAD_AES_128_GCM",
            Self::Sha1 => "AES_CM_128_HMAC_SHA1_80",
        }
    }

    /// Bytes of the master salt.
    #[must_use]
    pub const fn salt_bytes(self) -> usize {
        match self {
            Self::Gcm => 12,
            Self::Sha1 => 14,
        }
    }

    /// Bytes that sealing adds to an RTP packet.
    #[must_use]
    pub const fn overhead(self) -> usize {
        match self {
            Self::Gcm => 16,
            Self::Sha1 => SHA1_TAG,
        }
    }
}

/// The master key and salt of one direction; a short salt ends with zeros.
#[derive(Clone, Copy)]
pub struct Master {
    /// The key.
    pub key: [u8; 16],
    /// The salt.
    pub salt: [u8; 14],
}

/// Both directions' keys out of what the handshake exports: client's key, server's, then the salts
/// (RFC 5764, section 4.2). `None` if it is not as long as the profile says.
#[must_use]
pub fn split(profile: Profile, exported: &[u8]) -> Option<(Master, Master)> {
    let salt_bytes = profile.salt_bytes();
    let (keys, salts) = exported.split_at_checked(32)?;
    if salts.len() != 2 * salt_bytes {
        return None;
    }
    let master = |n: usize| {
        let mut salt = [0; 14];
        salt[..salt_bytes].copy_from_slice(&salts[n * salt_bytes..(n + 1) * salt_bytes]);
        let key = keys[n * 16..(n + 1) * 16].try_into().ok()?;
        Some(Master { key, salt })
    };
    Some((master(0)?, master(1)?))
}

/// The packet is not what the other side sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short to be sealed.
    #[error("too short")]
    Short,
    /// The tag is not that of the packet.
    #[error("the tag is wrong")]
    Tag,
}

/// The tag of the SHA-1 profile.
const SHA1_TAG: usize = 10;

/// RTCP's bytes in the clear: the first packet's header and SSRC.
const RTCP_CLEAR: usize = 8;

/// Says that an RTCP packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// One direction of a transport.
pub struct Direction {
    rtp: Cipher,
    rtcp: Cipher,
    /// Of the last RTCP packet sealed.
    rtcp_index: u32,
}

enum Cipher {
    Gcm {
        key: Box<LessSafeKey>,
        salt: [u8; 12],
    },
    Sha1 {
        aes: Box<Aes128Enc>,
        salt: [u8; 14],
        mac: Box<Mac>,
    },
}

impl std::fmt::Debug for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direction").finish_non_exhaustive()
    }
}

impl Direction {
    /// From master key and salt.
    ///
    /// # Panics
    /// Never: the derived keys have their lengths.
    #[must_use]
    pub fn new(profile: Profile, master: Master) -> Self {
        let cipher = |first_label: u8| match profile {
            Profile::Gcm => {
                let key: [u8; 16] = derive(&master, first_label);
                let key = UnboundKey::new(&AES_128_GCM, &key).expect("16 bytes");
                Cipher::Gcm {
                    key: Box::new(LessSafeKey::new(key)),
                    salt: derive(&master, first_label + 2),
                }
            }
            Profile::Sha1 => {
                let key: [u8; 16] = derive(&master, first_label);
                Cipher::Sha1 {
                    aes: Box::new(Aes128Enc::new(&key.into())),
                    salt: derive(&master, first_label + 2),
                    mac: Box::new(Mac::new(&derive(&master, first_label + 1))),
                }
            }
        };
        Self {
            rtp: cipher(0),
            rtcp: cipher(3),
            rtcp_index: 0,
        }
    }

    /// Seals a packet whose header is `header_len` bytes long; `index` is its sequence number with
    /// rollovers.
    pub fn seal_rtp(&self, packet: &mut Vec<u8>, header_len: usize, index: u64) {
        let ssrc = ssrc_at(packet, 8);
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let (head, body) = packet.split_at_mut(header_len);
                let nonce = rtp_nonce(salt, ssrc, index);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*head), body);
                packet.extend(tag.expect("far below the cipher's bound").as_ref());
            }
            Cipher::Sha1 { aes, salt, mac } => {
                keystream(aes, salt, ssrc, index, &mut packet[header_len..]);
                let tag = mac.tag(packet, &rollovers(index).to_be_bytes());
                packet.extend(tag);
            }
        }
    }

    /// Opens a packet in place; gives its length without the tag.
    ///
    /// # Errors
    /// [`OpenError`]; the packet is void then.
    pub fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        index: u64,
    ) -> Result<usize, OpenError> {
        let ssrc = ssrc_at(packet, 8);
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let (head, body) = packet
                    .split_at_mut_checked(header_len)
                    .ok_or(OpenError::Short)?;
                let nonce = rtp_nonce(salt, ssrc, index);
                let plain = key
                    .open_in_place(nonce, Aad::from(&*head), body)
                    .map_err(|_| OpenError::Tag)?;
                Ok(header_len + plain.len())
            }
            Cipher::Sha1 { aes, salt, mac } => {
                let end = packet.len().checked_sub(SHA1_TAG);
                let end = end
                    .filter(|&end| end >= header_len)
                    .ok_or(OpenError::Short)?;
                let (signed, tag) = packet.split_at_mut(end);
                if mac.tag(signed, &rollovers(index).to_be_bytes()) != *tag {
                    return Err(OpenError::Tag);
                }
                keystream(aes, salt, ssrc, index, &mut signed[header_len..]);
                Ok(end)
            }
        }
    }

    /// Seals a compound packet.
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>) {
        self.rtcp_index = (self.rtcp_index + 1) & !ENCRYPTED;
        let (ssrc, word) = (
            ssrc_at(packet, 4),
            (self.rtcp_index | ENCRYPTED).to_be_bytes(),
        );
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let aad = rtcp_aad(packet, word);
                let nonce = rtcp_nonce(salt, ssrc, self.rtcp_index);
                let body = packet.get_mut(RTCP_CLEAR..).unwrap_or_default();
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), body);
                packet.extend(tag.expect("far below the cipher's bound").as_ref());
                packet.extend(word);
            }
            Cipher::Sha1 { aes, salt, mac } => {
                let body = packet.get_mut(RTCP_CLEAR..).unwrap_or_default();
                keystream(aes, salt, ssrc, u64::from(self.rtcp_index), body);
                packet.extend(word);
                let tag = mac.tag(packet, &[]);
                packet.extend(tag);
            }
        }
    }

    /// Opens a compound packet in place; gives its length without index and tag.
    ///
    /// # Errors
    /// [`OpenError`]; the packet is void then.
    pub fn open_rtcp(&self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let tag_bytes = match &self.rtcp {
            Cipher::Gcm { .. } => 0,
            Cipher::Sha1 { .. } => SHA1_TAG,
        };
        let word_at = packet.len().checked_sub(4 + tag_bytes);
        let word_at = word_at
            .filter(|&at| at >= RTCP_CLEAR)
            .ok_or(OpenError::Short)?;
        let word: [u8; 4] = *packet[word_at..].first_chunk().ok_or(OpenError::Short)?;
        let index = u32::from_be_bytes(word) & !ENCRYPTED;
        let ssrc = ssrc_at(packet, 4);
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let aad = rtcp_aad(packet, word);
                let nonce = rtcp_nonce(salt, ssrc, index);
                let body = &mut packet[RTCP_CLEAR..word_at];
                let plain = key
                    .open_in_place(nonce, Aad::from(aad), body)
                    .map_err(|_| OpenError::Tag)?;
                Ok(RTCP_CLEAR + plain.len())
            }
            Cipher::Sha1 { aes, salt, mac } => {
                let (signed, tag) = packet.split_at_mut(word_at + 4);
                if mac.tag(signed, &[]) != *tag {
                    return Err(OpenError::Tag);
                }
                keystream(
                    aes,
                    salt,
                    ssrc,
                    u64::from(index),
                    &mut signed[RTCP_CLEAR..word_at],
                );
                Ok(word_at)
            }
        }
    }
}

fn ssrc_at(packet: &[u8], at: usize) -> u32 {
    let bytes = packet.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// How often the 16 bits of the wire went round.
fn rollovers(index: u64) -> u32 {
    let [_, _, a, b, c, d, _, _] = index.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// RFC 7714, section 8.1.
fn rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    salted(salt, nonce)
}

/// RFC 7714, section 9.1.
fn rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[8..].copy_from_slice(&index.to_be_bytes());
    salted(salt, nonce)
}

fn salted(salt: &[u8; 12], mut nonce: [u8; 12]) -> Nonce {
    nonce
        .iter_mut()
        .zip(salt)
        .for_each(|(byte, salt)| *byte ^= salt);
    Nonce::assume_unique_for_key(nonce)
}

/// The header and SSRC, and the index with its flag (RFC 7714, section 9.2).
fn rtcp_aad(packet: &[u8], word: [u8; 4]) -> [u8; 12] {
    let mut aad = [0; 12];
    let clear = packet.get(..RTCP_CLEAR).unwrap_or_default();
    aad[..clear.len()].copy_from_slice(clear);
    aad[RTCP_CLEAR..].copy_from_slice(&word);
    aad
}

/// AES in counter mode (RFC 3711, section 4.1.1).
fn keystream(aes: &Aes128Enc, salt: &[u8; 14], ssrc: u32, index: u64, body: &mut [u8]) {
    let mut counter = [0; 16];
    counter[..14].copy_from_slice(salt);
    let ssrc = ssrc.to_be_bytes();
    counter[4..8]
        .iter_mut()
        .zip(ssrc)
        .for_each(|(byte, x)| *byte ^= x);
    let index = index.to_be_bytes();
    counter[8..14]
        .iter_mut()
        .zip(&index[2..])
        .for_each(|(byte, x)| *byte ^= x);
    let core = CtrCore::<_, Ctr128BE>::inner_iv_init(aes, &counter.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(body);
}

/// A session key (RFC 3711, section 4.3.1); labels 0 to 2 are RTP's, 3 to 5 RTCP's.
fn derive<const N: usize>(master: &Master, label: u8) -> [u8; N] {
    let aes = Aes128Enc::new(&master.key.into());
    let mut out = [0; N];
    for (n, chunk) in (0_u16..).zip(out.chunks_mut(16)) {
        let mut block = [0; 16];
        block[..14].copy_from_slice(&master.salt);
        block[7] ^= label;
        block[14..].copy_from_slice(&n.to_be_bytes());
        let mut block = block.into();
        aes.encrypt_block(&mut block);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    out
}

/// HMAC-SHA1 (RFC 2104) with both blocks of the key hashed once.
struct Mac {
    inner: Sha1,
    outer: Sha1,
}

impl Mac {
    fn new(key: &[u8; 20]) -> Self {
        let keyed = |pad: u8| {
            let mut block = [pad; 64];
            block
                .iter_mut()
                .zip(key)
                .for_each(|(byte, key)| *byte ^= key);
            Sha1::new_with_prefix(block)
        };
        Self {
            inner: keyed(0x36),
            outer: keyed(0x5c),
        }
    }

    fn tag(&self, message: &[u8], suffix: &[u8]) -> [u8; SHA1_TAG] {
        let mut inner = self.inner.clone();
        inner.update(message);
        inner.update(suffix);
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        let mut tag = [0; SHA1_TAG];
        tag.copy_from_slice(&outer.finalize()[..SHA1_TAG]);
        tag
    }
}

#[cfg(test)]
mod tests;
