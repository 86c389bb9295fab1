//! A microphone: 50 packets a second, and how loud they are.

use super::Beat;
use std::time::{Duration, Instant};

/// A frame of Opus.
pub const FRAME: Duration = Duration::from_millis(20);

/// Ticks of the RTP clock in a frame.
pub const FRAME_TICKS: u32 = 960;

/// How loud somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// Always as loud, in −dBov.
    Steady(u8),
    /// People of this many speak in turns, each for so long; who doesn't is as good as silent.
    Turns {
        /// Whose microphone it is, from 0.
        who: u32,
        /// Of how many.
        of: u32,
        /// How many speak at a time.
        at_once: u32,
        /// How long a turn takes.
        turn: Duration,
    },
}

/// Speech.
const SPEAKS: u8 = 30;

/// A quiet room.
const SILENT: u8 = 110;

/// A microphone to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioPlan {
    /// Bytes of a frame; at least a stamp's and one.
    pub bytes: usize,
    /// How loud.
    pub loudness: Loudness,
    /// The two frames before go with each one (RFC 2198), where the server takes it.
    pub has_red: bool,
}

impl Default for AudioPlan {
    /// 32 kbit/s of steady speech.
    fn default() -> Self {
        Self {
            bytes: 80,
            loudness: Loudness::Steady(SPEAKS),
            has_red: true,
        }
    }
}

/// A microphone.
#[derive(Debug)]
pub struct Audio {
    /// What it is.
    pub plan: AudioPlan,
    /// When frames are due.
    pub beat: Beat,
    start: Instant,
    frames: u32,
}

impl Audio {
    /// Begins at `start`.
    #[must_use]
    pub const fn new(plan: AudioPlan, start: Instant) -> Self {
        Self {
            plan,
            beat: Beat::new(start, FRAME),
            start,
            frames: 0,
        }
    }

    /// The first frame is due then.
    pub fn begin(&mut self, first: Instant) {
        (self.beat, self.start) = (Beat::new(first, FRAME), first);
    }

    /// Counts a frame; gives its number, from 0, and how loud it is.
    pub fn take(&mut self, now: Instant) -> Option<(u32, u8)> {
        let at = self.beat.take(now)?;
        let frame = self.frames;
        self.frames = self.frames.wrapping_add(1);
        Some((frame, self.level(at)))
    }

    fn level(&self, at: Instant) -> u8 {
        match self.plan.loudness {
            Loudness::Steady(level) => level,
            Loudness::Turns {
                who,
                of,
                at_once,
                turn,
            } => {
                let since = at.saturating_duration_since(self.start).as_millis();
                let turns = since / turn.as_millis().max(1);
                let first = u32::try_from(turns % u128::from(of.max(1))).unwrap_or(0);
                // The louder of those who speak at once is the one whose turn it is.
                match (who + of - first) % of.max(1) {
                    0 => SPEAKS,
                    n if n < at_once => SPEAKS + 10,
                    _ => SILENT,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_take_turns() {
        let start = Instant::now();
        let loud = |second: u64| -> Vec<u32> {
            let speaks = |who: &u32| {
                let loudness = Loudness::Turns {
                    who: *who,
                    of: 5,
                    at_once: 2,
                    turn: Duration::from_secs(1),
                };
                let plan = AudioPlan {
                    loudness,
                    ..AudioPlan::default()
                };
                Audio::new(plan, start).level(start + Duration::from_secs(second)) < SILENT
            };
            (0..5).filter(speaks).collect()
        };
        assert_eq!(loud(0), [0, 1]);
        assert_eq!(loud(4), [0, 4]);
        assert_eq!(loud(7), [2, 3]);
    }
}
