//! Checksums of parts, taken by the sender.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use serde::{Deserialize, Serialize};

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// CRC-32C.
    Crc32c,
    /// SHA-256.
    Sha256,
}

impl Kind {
    /// Both, in the order in which they are told.
    pub const ALL: [Self; 2] = [Self::Crc32c, Self::Sha256];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32c => "CRC-32C",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Its field of a part, in JSON.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Crc32c => "crc32c",
            Self::Sha256 => "sha256",
        }
    }

    /// Of so many bytes of the pattern (not empty), again and again: in base64.
    #[must_use]
    pub fn of(self, pattern: &[u8], mut bytes: u64) -> String {
        let mut sum = Running::new(self);
        while bytes > 0 {
            let most = usize::try_from(bytes).unwrap_or(usize::MAX);
            let piece = pattern.get(..most).unwrap_or(pattern);
            sum.update(piece);
            bytes -= piece.len() as u64;
        }
        STANDARD.encode(sum.finish())
    }
}

/// A sum that is being taken.
pub enum Running {
    /// CRC-32C.
    Crc32c(crc_fast::Digest),
    /// SHA-256.
    Sha256(digest::Context),
}

impl Running {
    /// Of nothing yet.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Crc32c => {
                let algorithm = crc_fast::CrcAlgorithm::Crc32Iscsi;
                Self::Crc32c(crc_fast::Digest::new(algorithm))
            }
            Kind::Sha256 => Self::Sha256(digest::Context::new(&digest::SHA256)),
        }
    }

    /// And of these.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32c(digest) => digest.update(bytes),
            Self::Sha256(context) => context.update(bytes),
        }
    }

    /// Its 4 (big-endian) or 32 bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        match self {
            // Of 64 bits the lower half.
            Self::Crc32c(digest) => digest.finalize().to_be_bytes()[4..].to_vec(),
            Self::Sha256(context) => context.finish().as_ref().to_vec(),
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_of_as_many_bytes_as_were_asked_for() {
        // CRC-32C's check value; `printf 123456789 | openssl dgst -sha256 -binary | base64`.
        let pattern = b"123456789";
        assert_eq!(Kind::Crc32c.of(pattern, 9), "4waSgw==");
        assert_eq!(
            Kind::Sha256.of(pattern, 9),
            "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="
        );
        let twice = Kind::Crc32c.of(b"1234567891234", 13);
        assert_eq!(Kind::Crc32c.of(b"123456789", 13), twice);
    }
}
