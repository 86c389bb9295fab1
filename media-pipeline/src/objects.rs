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

/// Bytes of hexadecimal digits, two each.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let places = (0..text.len()).step_by(2);
    places
        .map(|place| u8::from_str_radix(text.get(place..place + 2)?, 16).ok())
        .collect()
}
