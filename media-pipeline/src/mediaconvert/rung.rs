//! One rendition of the ladder, as MediaConvert's job needs it.

/// One rendition. Whoever makes the ladder (`crate::ladder`) converts to this.
#[derive(Debug, Clone, PartialEq)]
pub struct Rung {
    /// Such as `720p`: A-Z a-z 0-9, unique in the ladder.
    pub name: String,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Frames a second; the source's own are left alone.
    pub fps: f64,
    /// Pictures alone, in bits a second: the most at any time.
    pub max_bitrate: u32,
    /// QVBR's level, 1 to 10.
    pub quality: u8,
}
