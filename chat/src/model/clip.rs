//! Clips, as rooms show them.

use kaiwa_common::id::{ClipId, RoomId};
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;

/// A clip as a room shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipView {
    /// Which clip.
    pub clip: ClipId,
    /// Grows with each change: of two views the greater is newer.
    pub version: u64,
    /// What it is.
    pub kind: ClipKind,
    /// How far it is.
    pub state: ClipShown,
    /// As its uploader named it; may be empty. U+0000 does not stay in it.
    pub title: Redacted<String>,
    /// How long it plays, in milliseconds; 0 as long as that is not known, and for an image.
    pub duration_ms: u64,
    /// In pixels, as it is shown; 0 as long as that is not known, and for sound.
    pub width: u32,
    /// In pixels, as [`width`](Self::width).
    pub height: u32,
}

impl ClipView {
    /// What its message says to a client that knows no clips: its title, or what it is.
    #[must_use]
    pub fn text(&self) -> String {
        let title = self.title.0.trim();
        let text = match self.kind {
            _ if !title.is_empty() => title,
            ClipKind::Video => "Video",
            ClipKind::Audio => "Audio",
            ClipKind::Image => "Image",
        };
        text.to_owned()
    }
}

/// What a clip is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClipKind {
    /// Pictures that move, with or without sound.
    Video,
    /// Sound.
    Audio,
    /// One picture.
    Image,
}

/// How far a clip is, as rooms show it. One that was cancelled or never came is not shown: its message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClipShown {
    /// Its file is on the way.
    Uploading,
    /// It is checked and made playable.
    Processing,
    /// It can be played.
    Ready,
    /// It never can.
    Failed,
}

/// How far a clip is within its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClipProgress {
    /// In which room.
    pub room: RoomId,
    /// The clip's message.
    pub target: Seq,
    /// Which clip.
    pub clip: ClipId,
    /// The view's version that it belongs to.
    pub version: u64,
    /// 0 to 100.
    pub percent: u8,
}
