//! Whether a layer still comes, and what becomes of its memory.

use super::ReceiveStream;
use crate::control::Source;
use std::time::{Duration, Instant};

/// A layer of a camera without packets for so long is dead: fifteen frames of a slow one are missing.
/// Subscribers are then better off with another layer.
const CAMERA_DEAD_AFTER: Duration = Duration::from_secs(1);

/// A screen that does not change may be sent once a second only.
const SCREEN_DEAD_AFTER: Duration = Duration::from_millis(2_500);

/// Sound may pause for 400 ms (Opus DTX), and longer when a sender leaves silence out entirely.
const AUDIO_DEAD_AFTER: Duration = Duration::from_secs(5);

/// A layer of which nothing came for so long gives its memory back, up to 1 MB. One that comes back sooner,
/// as after a dip of its publisher's path, need not take it anew.
const RELEASED_AFTER: Duration = Duration::from_secs(10);

impl ReceiveStream {
    /// Media came of late. Padding does not count.
    #[must_use]
    pub fn is_alive(&self, now: Instant) -> bool {
        let dead_after = match self.config.source {
            Source::Camera => CAMERA_DEAD_AFTER,
            Source::Screen => SCREEN_DEAD_AFTER,
            Source::Microphone | Source::ScreenAudio => AUDIO_DEAD_AFTER,
        };
        self.media_at
            .is_some_and(|at| now.saturating_duration_since(at) < dead_after)
    }

    /// Gives the memory of a layer back that has ended or rests: nothing came for [`RELEASED_AFTER`]. What
    /// comes next is kept anew, and what is missing until then is not asked for. To be called now and then.
    pub fn release_if_idle(&mut self, now: Instant) {
        let is_idle = self
            .kept_at
            .is_some_and(|at| now.saturating_duration_since(at) >= RELEASED_AFTER);
        if !is_idle {
            return;
        }
        self.kept_at = None;
        self.ring.clear();
        if let Some(nack) = &mut self.nack {
            nack.clear();
        }
    }
}
