//! Certificates' fingerprints (RFC 8122, section 5).

use std::fmt;

/// A hash function that is taken. Weaker ones that the RFC names are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Its length in bytes.
    #[must_use]
    pub fn len_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// As in an attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|hash| hash.as_str().eq_ignore_ascii_case(name))
    }
}

/// The hash of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: Hash,
    digest: [u8; 64],
}

impl Fingerprint {
    /// `None` when the digest's length is not the hash's.
    #[must_use]
    pub fn new(hash: Hash, digest: &[u8]) -> Option<Self> {
        let mut bytes = [0; 64];
        bytes
            .get_mut(..hash.len_bytes())
            .filter(|room| room.len() == digest.len())?
            .copy_from_slice(digest);
        Some(Self {
            hash,
            digest: bytes,
        })
    }

    /// By which function.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The digest, [`Hash::len_bytes`] long.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest[..self.hash.len_bytes()]
    }

    /// Reads an attribute's value; `Some(None)` for a hash that is not taken, `None` for a wrong form.
    pub(super) fn parse(value: &str) -> Option<Option<Self>> {
        let (name, hex) = value.split_once(' ')?;
        let Some(hash) = Hash::parse(name) else {
            return Some(None);
        };
        let mut digest = [0; 64];
        let mut len = 0;
        for pair in hex.trim_end().split(':') {
            if pair.len() != 2 || !pair.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            *digest.get_mut(len)? = u8::from_str_radix(pair, 16).ok()?;
            len += 1;
        }
        (len == hash.len_bytes()).then_some(Some(Self { hash, digest }))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.as_str())?;
        for (at, byte) in self.digest().iter().enumerate() {
            write!(f, "{}{byte:02X}", if at == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
