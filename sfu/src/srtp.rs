//! SRTP and SRTCP: what media is protected with between a peer and us (RFC 3711, 7714, 5764).
//!
//! ```text
//!  DTLS exporter ──► Keys ──► client: MasterKey ──► Opener   (we are the DTLS server)
//!                         └─► server: MasterKey ──► Sealer
//! ```
//!
//! A [`Sealer`] protects what we send, an [`Opener`] checks and decrypts what a peer sends. Both work
//! in place and, once a source is known, without allocation. The session keys of RTP and RTCP are
//! derived once; there is no re-keying and no MKI, as in every browser.

pub mod fuzzing;

mod cm;
mod gcm;
mod kdf;
mod opener;
mod protection;
mod replay;
mod sealer;

#[cfg(test)]
mod tests;

pub use opener::{MAX_RETIRED_SOURCES, MAX_SOURCES, OpenError, Opener};
pub use replay::RTP_WINDOW;
pub use sealer::{SealError, Sealer};

use std::hint::black_box;

/// How packets are encrypted and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// AES-128 in Galois/Counter mode, a tag of 16 bytes (RFC 7714). A packet costs a fifth
    /// of the other's (`examples/srtp_cost.rs`), so it is the one whenever a peer offers it.
    AeadAes128Gcm,
    /// AES-128 in counter mode with HMAC-SHA1, a tag of 10 bytes (RFC 3711). Every WebRTC peer has it
    /// (RFC 8827, section 6.5), and some have nothing else.
    Aes128CmHmacSha1_80,
}

impl Profile {
    /// Its number in DTLS's `use_srtp` (RFC 5764, section 4.1.2; RFC 7714, section 14.2).
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::AeadAes128Gcm => 0x0007,
            Self::Aes128CmHmacSha1_80 => 0x0001,
        }
    }

    /// All, the most wanted first.
    pub const PREFERRED: [Self; 2] = [Self::AeadAes128Gcm, Self::Aes128CmHmacSha1_80];

    /// The one that we take from a client's list, whatever its order: GCM when it is there; `None`
    /// when there is nothing in common.
    #[must_use]
    pub fn choose(offered: &[u16]) -> Option<Self> {
        Self::PREFERRED
            .into_iter()
            .find(|profile| offered.contains(&profile.number()))
    }

    /// The bytes that sealing adds to an RTP packet.
    #[must_use]
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::AeadAes128Gcm => gcm::TAG_BYTES,
            Self::Aes128CmHmacSha1_80 => cm::TAG_BYTES,
        }
    }

    /// The bytes that sealing adds to an RTCP packet: the tag and the index.
    #[must_use]
    pub const fn rtcp_overhead(self) -> usize {
        self.rtp_overhead() + protection::INDEX_BYTES
    }

    /// The length of the DTLS exporter's output: two master keys and two salts.
    #[must_use]
    pub const fn exporter_bytes(self) -> usize {
        2 * (kdf::KEY_BYTES + self.salt_bytes())
    }

    const fn salt_bytes(self) -> usize {
        match self {
            Self::AeadAes128Gcm => gcm::SALT_BYTES,
            Self::Aes128CmHmacSha1_80 => cm::SALT_BYTES,
        }
    }
}

/// One direction's master key and salt. Has no `Debug`, and is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    profile: Profile,
    key: [u8; kdf::KEY_BYTES],
    /// GCM's 12 bytes are followed by zeros, as its derivation wants them (RFC 7714, section 11).
    salt: [u8; kdf::MAX_SALT_BYTES],
}

impl MasterKey {
    /// From a key of 16 bytes and a salt of 12 (GCM) or 14 (AES-CM); `None` for other lengths.
    #[must_use]
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Option<Self> {
        if salt.len() != profile.salt_bytes() {
            return None;
        }
        let mut padded = [0; kdf::MAX_SALT_BYTES];
        padded[..salt.len()].copy_from_slice(salt);
        Some(Self {
            profile,
            key: key.try_into().ok()?,
            salt: padded,
        })
    }

    /// The profile that it is for.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.key.fill(0);
        self.salt.fill(0);
        // Without a reader the compiler would leave the writes out.
        black_box((&self.key, &self.salt));
    }
}

/// The two master keys of a DTLS association.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// What the DTLS client seals with: a server opens with it.
    pub client: MasterKey,
    /// What the DTLS server seals with.
    pub server: MasterKey,
}

impl Keys {
    /// Splits the output of the exporter `EXTRACTOR-dtls_srtp` (RFC 5764, section 4.2): the client's
    /// key, the server's key, the client's salt, the server's salt. `None` unless it has
    /// [`Profile::exporter_bytes`].
    #[must_use]
    pub fn from_exporter(profile: Profile, exported: &[u8]) -> Option<Self> {
        if exported.len() != profile.exporter_bytes() {
            return None;
        }
        let (keys, salts) = exported.split_at(2 * kdf::KEY_BYTES);
        let (client_key, server_key) = keys.split_at(kdf::KEY_BYTES);
        let (client_salt, server_salt) = salts.split_at(profile.salt_bytes());
        Some(Self {
            client: MasterKey::new(profile, client_key, client_salt)?,
            server: MasterKey::new(profile, server_key, server_salt)?,
        })
    }
}
