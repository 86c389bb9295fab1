//! What publishers send, and when: sound every 20 ms, pictures in bursts or as a recorded trace has them.
//! Nothing is encoded; payloads have the sizes and headers of what would be.

pub mod audio;
pub mod trace;
pub mod video;

pub use audio::{Audio, AudioPlan, Loudness};
pub use trace::Trace;
pub use video::{Frame, LayerPlan, Video, VideoPlan};

use std::time::{Duration, Instant};

/// When the next frame is due. One that is late by more than an interval is not caught up with: the
/// generator had no time, and a burst of late frames would be another load.
#[derive(Debug, Clone, Copy)]
pub struct Beat {
    next: Instant,
    interval: Duration,
    late: u64,
}

impl Beat {
    /// From `first` on, every `interval`.
    #[must_use]
    pub const fn new(first: Instant, interval: Duration) -> Self {
        Self {
            next: first,
            interval,
            late: 0,
        }
    }

    /// When the next is due.
    #[must_use]
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// Takes one that is due; gives the time that it was due at.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next;
        if now < due {
            return None;
        }
        self.next = due + self.interval;
        if now > self.next {
            self.late += 1;
            self.next = now + self.interval;
        }
        Some(due)
    }

    /// Frames that were left out for being late.
    #[must_use]
    pub const fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_keeps_its_time_and_does_not_catch_up() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        let mut beat = Beat::new(start, Duration::from_millis(40));
        assert_eq!(beat.take(ms(5)), Some(ms(0)));
        assert_eq!(beat.take(ms(39)), None);
        assert_eq!(beat.take(ms(41)), Some(ms(40)));
        assert_eq!(beat.take(ms(500)), Some(ms(80)));
        assert_eq!(beat.take(ms(501)), None);
        assert_eq!(beat.late(), 1);
    }
}
