//! Checksums of parts. SHA-256 ties a signed URL to its bytes; CRC-32C finds what went wrong on the way, at a twentieth of
//! the cost.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use ring::digest;

/// Which sum. All parts of an upload have the same, as S3 wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChecksumKind {
    /// SHA-256: 32 bytes.
    Sha256,
    /// CRC-32C (Castagnoli; RFC 3720, section 12.1): 4 bytes.
    Crc32c,
}

/// The sum of a part's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// SHA-256.
    Sha256([u8; 32]),
    /// CRC-32C, big-endian, as S3 writes it.
    Crc32c([u8; 4]),
}

impl ChecksumKind {
    /// What an upload has whose first parts come without one: the cheaper one.
    pub const UNASKED: Self = Self::Crc32c;

    /// The header in which S3, and the embedded store, take it: in base64.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Crc32c => "x-amz-checksum-crc32c",
        }
    }

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Crc32c => "CRC-32C",
        }
    }

    /// A sum of this kind, if these are as many bytes as it has.
    #[must_use]
    pub fn of_bytes(self, bytes: &[u8]) -> Option<Checksum> {
        match self {
            Self::Sha256 => bytes.try_into().ok().map(Checksum::Sha256),
            Self::Crc32c => bytes.try_into().ok().map(Checksum::Crc32c),
        }
    }

    /// A sum of this kind, as headers have it.
    #[must_use]
    pub fn of_base64(self, text: impl AsRef<[u8]>) -> Option<Checksum> {
        self.of_bytes(&STANDARD.decode(text).ok()?)
    }

    /// The sum of these bytes.
    #[must_use]
    pub fn sum(self, bytes: &[u8]) -> Checksum {
        let mut running = Running::new(self);
        running.update(bytes);
        running.finish()
    }
}

impl Checksum {
    /// Which it is.
    #[must_use]
    pub const fn kind(&self) -> ChecksumKind {
        match self {
            Self::Sha256(_) => ChecksumKind::Sha256,
            Self::Crc32c(_) => ChecksumKind::Crc32c,
        }
    }

    /// Its 32 or 4 bytes, which say by their number which it is.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(sum) => sum,
            Self::Crc32c(sum) => sum,
        }
    }

    /// As headers have it.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(self.bytes())
    }

    /// The SHA-256, if it is one.
    #[must_use]
    pub const fn sha256(&self) -> Option<[u8; 32]> {
        match self {
            Self::Sha256(sum) => Some(*sum),
            Self::Crc32c(_) => None,
        }
    }
}

/// A sum that is being taken.
#[derive(Clone)]
pub(crate) enum Running {
    Sha256(digest::Context),
    Crc32c(crc_fast::Digest),
}

impl Running {
    pub(crate) fn new(kind: ChecksumKind) -> Self {
        match kind {
            ChecksumKind::Sha256 => Self::Sha256(digest::Context::new(&digest::SHA256)),
            ChecksumKind::Crc32c => Self::Crc32c(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
        }
    }

    /// Whether a mebibyte takes some tens of microseconds (CRC-32C), less than another thread is woken in, or half a
    /// millisecond.
    pub(crate) const fn is_quick(&self) -> bool {
        match self {
            Self::Sha256(_) => false,
            Self::Crc32c(_) => true,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(context) => context.update(bytes),
            Self::Crc32c(digest) => digest.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Checksum {
        match self {
            Self::Sha256(context) => {
                let mut sum = [0; 32];
                sum.copy_from_slice(context.finish().as_ref());
                Checksum::Sha256(sum)
            }
            Self::Crc32c(digest) => {
                // It is given in the lower half of 64 bits.
                let [.., a, b, c, d] = digest.finalize().to_be_bytes();
                Checksum::Crc32c([a, b, c, d])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4 (its bytes are least significant first), and the catalogue's check value.
    #[test]
    fn a_crc32c_is_the_one_of_the_rfc() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        for (bytes, sum) in [
            (&[0; 32][..], [0x8a, 0x91, 0x36, 0xaa]),
            (&[0xff; 32], [0x62, 0xa8, 0xab, 0x43]),
            (&rising, [0x46, 0xdd, 0x79, 0x4e]),
            (&falling, [0x11, 0x3f, 0xdb, 0x5c]),
            (b"123456789", [0xe3, 0x06, 0x92, 0x83]),
            (b"", [0; 4]),
        ] {
            assert_eq!(ChecksumKind::Crc32c.sum(bytes), Checksum::Crc32c(sum));
        }
    }

    #[test]
    fn pieces_have_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..5_000_u32).flat_map(u32::to_le_bytes).collect();
        for kind in [ChecksumKind::Sha256, ChecksumKind::Crc32c] {
            for cut in [0, 1, 63, 4_096, 19_999, 20_000] {
                let (head, tail) = bytes.split_at(cut);
                let mut running = Running::new(kind);
                running.update(head);
                running.update(tail);
                assert_eq!(running.finish(), kind.sum(&bytes), "{kind:?} {cut}");
            }
        }
    }

    #[test]
    fn a_sum_is_known_by_its_bytes_and_no_other_number_of_them() {
        for kind in [ChecksumKind::Sha256, ChecksumKind::Crc32c] {
            let sum = kind.sum(b"bytes");
            assert_eq!(kind.of_base64(sum.base64()), Some(sum));
            assert_eq!(sum.kind(), kind);
            assert_eq!(kind.of_bytes(&sum.bytes()[1..]), None);
            assert_eq!(kind.of_base64("!"), None);
        }
        assert_eq!(ChecksumKind::Crc32c.of_bytes(&[0; 32]), None);
    }
}
