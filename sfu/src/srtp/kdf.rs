//! Session keys from master keys (RFC 3711, section 4.3; RFC 7714, section 11).

use super::MasterKey;
use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

/// The length of an AES-128 key.
pub(super) const KEY_BYTES: usize = 16;
/// The longest master salt, in bytes: 112 bits.
pub(super) const MAX_SALT_BYTES: usize = 14;

/// What a session key is for. The numbers are the labels of RTP (RFC 3711, section 4.3.1).
#[derive(Debug, Clone, Copy)]
pub(super) enum Label {
    Encryption = 0,
    Authentication = 1,
    Salt = 2,
}

/// Whose session keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Rtp,
    Rtcp,
}

/// `N` bytes of session key. The pseudo-random function is AES in counter mode over zeros; without a
/// key derivation rate the packet index has no part in it.
pub(super) fn derive<const N: usize>(master: &MasterKey, stream: Stream, label: Label) -> [u8; N] {
    let aes = Aes128Enc::new(&master.key.into());
    let mut counter = [0; 16];
    counter[..MAX_SALT_BYTES].copy_from_slice(&master.salt);
    // SRTCP's labels follow SRTP's (RFC 3711, section 4.3.2).
    counter[7] ^= match stream {
        Stream::Rtp => label as u8,
        Stream::Rtcp => label as u8 + 3,
    };
    let mut out = [0; N];
    for (number, chunk) in (0u16..).zip(out.chunks_mut(16)) {
        counter[MAX_SALT_BYTES..].copy_from_slice(&number.to_be_bytes());
        let mut block = counter.into();
        aes.encrypt_block(&mut block);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    out
}
