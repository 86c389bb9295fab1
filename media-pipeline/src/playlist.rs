//! HLS playlists (RFC 8216): written from what was measured, read back and checked. No I/O.

mod parse;
mod write;

pub use parse::{MasterPlaylist, PlaylistError, Variant, parse_master, parse_media};
pub use write::{MasterRendition, peak_bps, write_master, write_media};

/// One segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Relative, a plain file name.
    pub uri: String,
    /// Seconds.
    pub seconds: f64,
}

/// A media playlist of something that is over (`VOD`, CMAF).
#[derive(Debug, Clone, PartialEq)]
pub struct MediaPlaylist {
    /// The initialisation segment (`EXT-X-MAP`); relative.
    pub init: String,
    /// In order.
    pub segments: Vec<Segment>,
    /// Each segment begins with a key frame.
    pub independent: bool,
}

impl MediaPlaylist {
    /// Seconds of all segments.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.segments.iter().map(|segment| segment.seconds).sum()
    }
}

/// Whether a stream of `seconds` has all of a source of `of` seconds: nothing is missing at the end, within a second, or a
/// fiftieth of it.
pub(crate) fn is_whole(seconds: f64, of: f64) -> bool {
    (seconds - of).abs() <= (of * 0.02).max(1.0)
}

/// Names that a playlist of ours may use: letters, digits, `.`, `_`, `-`, and `/` between folders.
pub(crate) fn is_plain(uri: &str) -> bool {
    !uri.is_empty()
        && uri.len() <= 200
        && uri.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        })
}
