//! A picture as its subscriber gets it: how many frames, whether it is frozen, and since when it is as it is.

use crate::control::LimitedBy;
use std::time::{Duration, Instant};

/// A pause between two frames beyond which a picture is frozen: people take a shorter one for a slow picture.
pub(crate) const FREEZE: Duration = Duration::from_millis(500);

/// What publishers of a picture send when nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Frames at all times: a camera.
    Steady,
    /// Next to none: a screen.
    AsItChanges,
}

/// What is noted of one picture of one subscriber.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The picture is wanted: when its last frame was sent, or since when it is.
    last: Option<Instant>,
    pace: Pace,
    is_frozen: bool,
    /// Of the present second.
    frames: u32,
    freezes: u8,
    /// Frames of the last second.
    fps: u8,
    /// What the subscriber was told last: the layer, and why not more.
    told: (Option<u8>, Option<LimitedBy>),
    since: Instant,
}

/// What a second brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// How often it froze.
    pub(crate) freezes: u8,
}

impl Watch {
    /// Nothing is wanted.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            last: None,
            pace: Pace::Steady,
            is_frozen: false,
            frames: 0,
            freezes: 0,
            fps: 0,
            told: (None, None),
            since: now,
        }
    }

    /// Another publication is carried, or none.
    pub(crate) fn handle_source(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Whether the picture is wanted, at this pace. What was wanted before goes on.
    pub(crate) fn handle_wanted(&mut self, now: Instant, is_wanted: bool, pace: Pace) {
        self.pace = pace;
        if is_wanted {
            self.last.get_or_insert(now);
        } else {
            self.last = None;
            self.is_frozen = false;
        }
    }

    /// Until now nothing could be sent.
    pub(crate) fn handle_connected(&mut self, now: Instant) {
        self.last = self.last.map(|_| now);
    }

    /// A frame begins to leave.
    pub(crate) fn handle_frame(&mut self, now: Instant) {
        self.frames += 1;
        let Some(last) = self.last.replace(now) else {
            return;
        };
        let is_counted = std::mem::take(&mut self.is_frozen);
        // Of a screen a pause alone says nothing.
        if !is_counted && self.pace == Pace::Steady && now > last + FREEZE {
            self.freezes = self.freezes.saturating_add(1);
        }
    }

    /// What the subscriber is told.
    pub(crate) fn handle_told(
        &mut self,
        now: Instant,
        layer: Option<u8>,
        limited_by: Option<LimitedBy>,
    ) {
        if self.told != (layer, limited_by) {
            self.told = (layer, limited_by);
            self.since = now;
        }
    }

    /// A second ends. `came` is when something of the picture came last from its publisher.
    pub(crate) fn end_second(&mut self, now: Instant, came: Option<Instant>) -> Seen {
        self.fps = u8::try_from(std::mem::take(&mut self.frames)).unwrap_or(u8::MAX);
        let pauses = self.last.is_some_and(|last| {
            let should_come =
                self.pace == Pace::Steady || came.is_some_and(|at| at > last + FREEZE);
            now > last + FREEZE && should_come
        });
        if pauses && !self.is_frozen {
            self.is_frozen = true;
            self.freezes = self.freezes.saturating_add(1);
        }
        Seen {
            freezes: std::mem::take(&mut self.freezes),
        }
    }

    /// Frames that were sent in the last second.
    pub(crate) fn fps(&self) -> u8 {
        self.fps
    }

    /// Whether it was frozen when the last second ended, and is still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// What the subscriber was told last, and when.
    pub(crate) fn told(&self) -> (Option<u8>, Option<LimitedBy>, Instant) {
        (self.told.0, self.told.1, self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_pause_is_one_freeze_however_long_it_lasts() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        watch.handle_wanted(start, true, Pace::Steady);
        for ms in (0..1_000).step_by(40) {
            watch.handle_frame(at(start, ms));
        }
        assert_eq!(watch.end_second(at(start, 1_000), None).freezes, 0);
        assert_eq!(watch.fps(), 25);
        assert_eq!(watch.end_second(at(start, 2_000), None).freezes, 1);
        assert!(watch.is_frozen());
        assert_eq!(watch.end_second(at(start, 3_000), None).freezes, 0);
        watch.handle_frame(at(start, 3_100));
        assert!(!watch.is_frozen());
        assert_eq!(watch.end_second(at(start, 3_500), None).freezes, 0);
    }

    #[test]
    fn a_pause_between_two_looks_is_seen() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        watch.handle_wanted(start, true, Pace::Steady);
        for ms in [100, 601, 900] {
            watch.handle_frame(at(start, ms));
        }
        assert_eq!(watch.end_second(at(start, 1_000), None).freezes, 1);
    }

    #[test]
    fn what_is_not_wanted_is_never_frozen() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        assert_eq!(watch.end_second(at(start, 5_000), None).freezes, 0);
        watch.handle_wanted(at(start, 5_000), true, Pace::Steady);
        assert_eq!(watch.end_second(at(start, 5_400), None).freezes, 0);
        assert_eq!(watch.end_second(at(start, 6_400), None).freezes, 1);
        watch.handle_wanted(at(start, 6_500), false, Pace::Steady);
        assert!(!watch.is_frozen());
        assert_eq!(watch.end_second(at(start, 9_000), None).freezes, 0);
    }

    #[test]
    fn a_screen_that_rests_is_not_frozen_and_one_that_is_not_forwarded_is() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        watch.handle_wanted(start, true, Pace::AsItChanges);
        watch.handle_frame(at(start, 100));
        let came = Some(at(start, 100));
        assert_eq!(watch.end_second(at(start, 3_000), came).freezes, 0);
        watch.handle_frame(at(start, 3_100));
        let came = Some(at(start, 3_900));
        assert_eq!(watch.end_second(at(start, 4_000), came).freezes, 1);
    }
}
