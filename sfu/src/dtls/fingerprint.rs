//! Certificates' fingerprints (RFC 8122, section 5).

use ring::digest::{SHA256, SHA384, SHA512, digest};
use std::fmt;

/// A hash function that a peer may name its certificate with. Weaker ones are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256, what browsers use.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// As in `a=fingerprint`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// The length of its digest.
    #[must_use]
    pub fn len_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The hash of a certificate in DER. Written as in `a=fingerprint`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: Hash,
    digest: [u8; 64],
}

impl Fingerprint {
    /// `None` unless the digest has [`Hash::len_bytes`].
    #[must_use]
    pub fn new(hash: Hash, digest: &[u8]) -> Option<Self> {
        if digest.len() != hash.len_bytes() {
            return None;
        }
        let mut padded = [0; 64];
        padded[..digest.len()].copy_from_slice(digest);
        Some(Self {
            hash,
            digest: padded,
        })
    }

    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(hash: Hash, certificate: &[u8]) -> Self {
        let algorithm = match hash {
            Hash::Sha256 => &SHA256,
            Hash::Sha384 => &SHA384,
            Hash::Sha512 => &SHA512,
        };
        let digest = digest(algorithm, certificate);
        Self::new(hash, digest.as_ref()).expect("a digest of this hash has its length")
    }

    /// Whether it is the certificate's.
    #[must_use]
    pub fn matches(&self, certificate: &[u8]) -> bool {
        *self == Self::of(self.hash, certificate)
    }

    /// By which function.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest[..self.hash.len_bytes()]
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.as_str())?;
        for (at, byte) in self.digest().iter().enumerate() {
            let before = if at == 0 { ' ' } else { ':' };
            write!(f, "{before}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_written_as_in_sdp() {
        let abc = Fingerprint::of(Hash::Sha256, b"abc").to_string();
        assert!(abc.starts_with("sha-256 BA:78:16:BF:8F:01:CF:EA:"));
        assert_eq!(abc.len(), 8 + 32 * 3 - 1);
    }

    #[test]
    fn each_hash_matches_its_certificate_only() {
        for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            let fingerprint = Fingerprint::of(hash, b"a certificate");
            assert!(fingerprint.matches(b"a certificate"));
            assert!(!fingerprint.matches(b"another"));
            let again = Fingerprint::new(hash, fingerprint.digest());
            assert_eq!(again, Some(fingerprint));
            assert_eq!(Fingerprint::new(hash, &fingerprint.digest()[1..]), None);
        }
    }
}
