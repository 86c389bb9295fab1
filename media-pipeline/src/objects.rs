//! Where a clip's bytes are kept, and how they get there.
//!
//! ```text
//!  service ──sign──► token ──► client ──PUT part / POST form──► http::router ──► FolderObjects ──► files + SQLite
//!     └───────────────sign──► presigned URL, form, STS credentials ──► client ──► S3 itself
//! ```

pub mod adapters;
pub mod http;
mod key;
pub mod sign;

pub use adapters::folder::{FolderObjects, FolderOptions};
#[cfg(feature = "aws")]
pub use adapters::s3::{S3Objects, S3Options};
pub use key::{check_key, check_prefix};

use std::fmt::Write;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 32 bytes of 64 hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}
