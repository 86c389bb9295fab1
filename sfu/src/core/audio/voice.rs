//! One voice: its level, and when it spoke.

use crate::wire::rtp::AudioLevel;
use std::time::{Duration, Instant};

/// How fast the level follows a rise: two packets of 20 ms bring it most of the way.
const ATTACK: Duration = Duration::from_millis(20);

/// How fast it follows a fall: it outlasts the pauses between words.
const DECAY: Duration = Duration::from_millis(300);

/// Without packets for so long a voice is silent: three of the longest usual packets.
const SILENT_AFTER: Duration = Duration::from_millis(200);

/// What a publisher without levels counts for while it sends: clear speech.
const ASSUMED: AudioLevel = AudioLevel {
    level: 30,
    voice: true,
};

/// An Opus payload of at most so many bytes has no sound (RFC 6716, section 2.1.9: DTX).
const DTX_BYTES: u16 = 3;

/// A level that counts as speech without the publisher's word for it: some never set the bit.
const LOUD: u8 = 40;

/// A level below which nothing is speech, whatever the publisher says: −70 dBov is a quiet room.
const QUIET: u8 = 70;

/// The past is kept in steps of so much time, one bit each.
const STEP: Duration = Duration::from_millis(100);
/// Steps of the window that tells who speaks now.
const NOW: u32 = 3;
/// Steps of the window that tells a word from a cough.
const SECOND: u32 = 10;
/// Steps of the window that tells a speech from a word.
const LONG: u32 = 30;

/// A challenger must have spoken in so many steps of [`NOW`].
const MIN_NOW: u32 = 2;
/// In so many more of [`SECOND`] than the holder.
const LEAD: u32 = 3;
/// In so many more, against a holder in the middle of a speech.
const LEAD_OVER_SPEECH: u32 = 5;
/// Steps of [`LONG`] that make a speech.
const SPEECH: u32 = 20;

/// Level and past of a voice.
#[derive(Debug)]
pub(super) struct Voice {
    /// 127 − level, in 256ths.
    loudness: u32,
    packet_at: Option<Instant>,
    spoke_at: Option<Instant>,
    /// The last 32 steps, the latest in the lowest bit: whether it spoke.
    spoke: u32,
    /// When the latest step began.
    step_at: Option<Instant>,
}

impl Voice {
    pub(super) fn new() -> Self {
        Self {
            loudness: 0,
            packet_at: None,
            spoke_at: None,
            spoke: 0,
            step_at: None,
        }
    }

    /// Says whether the packet is speech.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        level: Option<AudioLevel>,
        payload_len: u16,
    ) -> bool {
        let silence = AudioLevel {
            level: 127,
            voice: false,
        };
        let level = match level {
            Some(level) => level,
            None if payload_len <= DTX_BYTES => silence,
            None => ASSUMED,
        };
        self.follow(now, u32::from(127 - level.level.min(127)) << 8);
        self.packet_at = Some(now);
        let is_speech = level.level <= LOUD || (level.voice && level.level < QUIET);
        self.advance(now);
        if is_speech {
            self.spoke |= 1;
            self.spoke_at = Some(now);
        }
        is_speech
    }

    /// 127 − level, smoothed.
    pub(super) fn loudness(&self, now: Instant) -> u8 {
        let Some(at) = self.packet_at else {
            return 0;
        };
        let silence = now.saturating_duration_since(at);
        if silence >= SILENT_AFTER {
            return 0;
        }
        u8::try_from(self.loudness >> 8).unwrap_or(127)
    }

    pub(super) fn spoke_within(&self, now: Instant, span: Duration) -> bool {
        self.spoke_at
            .is_some_and(|at| now.saturating_duration_since(at) < span)
    }

    /// Steps with speech of the last 0.3 s.
    pub(super) fn now(&self, now: Instant) -> u32 {
        self.steps(now, NOW)
    }

    /// Steps with speech of the last second.
    pub(super) fn second(&self, now: Instant) -> u32 {
        self.steps(now, SECOND)
    }

    pub(super) fn takes_floor_from(&self, holder: Option<&Self>, now: Instant) -> bool {
        if self.now(now) < MIN_NOW {
            return false;
        }
        let Some(holder) = holder else {
            return true;
        };
        let held = holder.second(now);
        if held == 0 {
            return true;
        }
        let lead = if holder.steps(now, LONG) >= SPEECH {
            LEAD_OVER_SPEECH
        } else {
            LEAD
        };
        self.second(now) >= held + lead
    }

    fn steps(&self, now: Instant, window: u32) -> u32 {
        let passed = self.passed(now);
        let spoke = self.spoke.checked_shl(passed).unwrap_or(0);
        (spoke & ((1 << window) - 1)).count_ones()
    }

    /// Whole steps since the latest.
    fn passed(&self, now: Instant) -> u32 {
        let since = self
            .step_at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        u32::try_from(since.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX)
    }

    fn advance(&mut self, now: Instant) {
        let passed = self.passed(now);
        self.spoke = self.spoke.checked_shl(passed).unwrap_or(0);
        self.step_at = match self.step_at {
            Some(at) if passed < 32 => Some(at + STEP * passed),
            Some(_) | None => Some(now),
        };
    }

    /// An exponential filter whose constant is that of a rise or of a fall.
    fn follow(&mut self, now: Instant, loudness: u32) {
        let Some(at) = self.packet_at else {
            self.loudness = loudness;
            return;
        };
        let constant = if loudness > self.loudness {
            ATTACK
        } else {
            DECAY
        };
        let elapsed = now
            .saturating_duration_since(at)
            .min(Duration::from_secs(1));
        let (elapsed, constant) = (elapsed.as_millis(), constant.as_millis());
        let difference = u128::from(loudness.abs_diff(self.loudness));
        let step = difference * elapsed / (elapsed + constant);
        let step = u32::try_from(step).unwrap_or(0);
        if loudness > self.loudness {
            self.loudness += step;
        } else {
            self.loudness -= step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn speech(level: u8) -> Option<AudioLevel> {
        Some(AudioLevel { level, voice: true })
    }

    #[test]
    fn a_level_rises_at_once_and_falls_slowly() {
        let start = Instant::now();
        let mut voice = Voice::new();
        voice.handle_packet(start, speech(127), 80);
        for ms in [20, 40, 60] {
            voice.handle_packet(at(start, ms), speech(27), 80);
        }
        assert!(voice.loudness(at(start, 60)) > 80);
        voice.handle_packet(at(start, 80), speech(127), 80);
        assert!(voice.loudness(at(start, 80)) > 75);
        for ms in (100..2_000).step_by(20) {
            voice.handle_packet(at(start, ms), speech(127), 80);
        }
        assert!(voice.loudness(at(start, 2_000)) < 5);
    }

    #[test]
    fn a_publisher_that_stops_sending_is_silent() {
        let start = Instant::now();
        let mut voice = Voice::new();
        voice.handle_packet(start, speech(20), 80);
        assert_eq!(voice.loudness(at(start, 100)), 107);
        assert_eq!(voice.loudness(at(start, 200)), 0);
        assert_eq!(voice.now(at(start, 100)), 1);
        assert_eq!(voice.now(at(start, 300)), 0);
        assert_eq!(voice.second(at(start, 5_000)), 0);
    }

    #[test]
    fn without_levels_packets_are_speech_unless_they_are_empty() {
        let start = Instant::now();
        let mut voice = Voice::new();
        assert!(voice.handle_packet(start, None, 80));
        assert!(!voice.handle_packet(at(start, 20), None, 3));
    }

    #[test]
    fn speech_needs_the_publishers_word_or_to_be_loud() {
        let start = Instant::now();
        let mut voice = Voice::new();
        let noise = |level| {
            Some(AudioLevel {
                level,
                voice: false,
            })
        };
        assert!(voice.handle_packet(start, noise(40), 80));
        assert!(!voice.handle_packet(start, noise(41), 80));
        assert!(voice.handle_packet(start, speech(60), 80));
        assert!(!voice.handle_packet(start, speech(80), 80));
    }
}
