//! One publisher is asked for a key frame by many (RFC 4585, section 6.3.1), and answers each request
//! with some dozen packets: requests for a layer are made one.
//!
//! ```text
//!          request                 poll: a PLI is sent              key frame
//!  Idle ───────────► Wanted{tries: 0} ───────────► Wanted{tries} ─────────────► Idle
//!                                   ▲                │   │ tries used up          ▲
//!                                   └── spacing over ┘   └────────────────────────┘
//! ```

use crate::unit::RtpTime;
use std::time::{Duration, Instant};

/// PLIs that are sent for a key frame that does not come. With the spacing doubling up to
/// [`MAX_SPACING`], a publisher that can't answer is left alone after some twenty seconds.
pub const MAX_TRIES: u8 = 10;

/// The longest pause between two PLIs of one want.
pub const MAX_SPACING: Duration = Duration::from_secs(3);

/// How often a layer may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spacing(pub Duration);

impl Spacing {
    /// For cameras: a key frame of a small layer costs little, and a newcomer waits for it.
    pub const CAMERA: Self = Self(Duration::from_millis(300));
    /// For the largest layer of a camera.
    pub const LARGE: Self = Self(Duration::from_millis(500));
    /// For screens, whose key frames are the largest of all.
    pub const SCREEN: Self = Self(Duration::from_millis(1_000));
}

/// The requests for one layer of one publication.
#[derive(Debug)]
pub struct KeyframeThrottle {
    spacing: Duration,
    state: State,
    /// The last PLI, whatever it was for.
    asked_at: Option<Instant>,
    sent: u64,
    /// Of those, how many before the last key frame.
    answered: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    Wanted { since: Instant, tries: u8 },
}

impl KeyframeThrottle {
    /// Nobody wants a key frame.
    #[must_use]
    pub fn new(spacing: Spacing) -> Self {
        Self {
            spacing: spacing.0,
            state: State::Idle,
            asked_at: None,
            sent: 0,
            answered: 0,
        }
    }

    /// Somebody needs a key frame: a subscriber's PLI or FIR, a switch of layers, or a loss too large.
    pub fn handle_request(&mut self, now: Instant) {
        if matches!(self.state, State::Idle) {
            self.state = State::Wanted {
                since: now,
                tries: 0,
            };
        }
    }

    /// A key frame began to arrive. Whoever asked is served.
    pub fn handle_keyframe(&mut self) {
        self.state = State::Idle;
        self.answered = self.sent;
    }

    /// Whether a PLI is to be sent now.
    pub fn poll(&mut self, now: Instant) -> bool {
        let Some(due) = self.next_due() else {
            return false;
        };
        if due > now {
            return false;
        }
        if let State::Wanted { since, tries } = self.state {
            self.state = match tries + 1 {
                MAX_TRIES => State::Idle,
                tries => State::Wanted { since, tries },
            };
        }
        self.asked_at = Some(now);
        self.sent += 1;
        true
    }

    /// When [`Self::poll`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let State::Wanted { since, tries } = self.state else {
            return None;
        };
        let doublings = u32::from(tries.saturating_sub(1)).min(8);
        let pause = self.spacing * 2u32.pow(doublings);
        let pause = pause.min(MAX_SPACING.max(self.spacing));
        Some(
            self.asked_at
                .map_or(since, |asked| (asked + pause).max(since)),
        )
    }

    /// PLIs sent since the last key frame.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.sent - self.answered
    }

    /// PLIs sent, ever.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

/// How long after a round trip a subscriber may still be putting a key frame together, and how long what is lost of it
/// takes to be asked for: browsers that wait for one ask again each 200 ms.
const GRACE: Duration = Duration::from_millis(200);

/// The key frame that a subscriber was sent last. Who waits for one asks again and again while it is on its way. Behind a
/// bottleneck, where it takes long, each answer would make the next one later still.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyframeUnderWay(Option<(RtpTime, Instant)>);

impl KeyframeUnderWay {
    /// One with this timestamp begins to be sent.
    pub fn handle_begun(&mut self, now: Instant, time: RtpTime) {
        self.0 = Some((time, now));
    }

    /// A packet leaves: of the key frame, if it has its timestamp.
    pub fn handle_sent(&mut self, now: Instant, time: RtpTime) {
        if let Some((of, left)) = &mut self.0
            && *of == time
        {
            *left = now;
        }
    }

    /// Whether a request for a key frame that comes now was made before this one could be there. Not so once
    /// `rtt` and a little more have passed since its last packet left.
    #[must_use]
    pub fn is_under_way(&self, now: Instant, rtt: Duration) -> bool {
        self.0.is_some_and(|(_, left)| now < left + rtt + GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn many_requests_are_one_pli() {
        let start = Instant::now();
        let mut throttle = KeyframeThrottle::new(Spacing::CAMERA);
        for ms in 0..100 {
            throttle.handle_request(at(start, ms));
            assert_eq!(throttle.poll(at(start, ms)), ms == 0);
        }
        throttle.handle_keyframe();
        assert_eq!(throttle.next_due(), None);
    }

    #[test]
    fn a_key_frame_is_under_way_until_a_round_trip_after_its_last_packet() {
        let start = Instant::now();
        let (rtt, time) = (Duration::from_millis(300), RtpTime(9_000));
        let mut keyframe = KeyframeUnderWay::default();
        assert!(!keyframe.is_under_way(start, rtt));
        keyframe.handle_begun(start, time);
        keyframe.handle_sent(at(start, 700), time);
        keyframe.handle_sent(at(start, 1_000), RtpTime(12_000));
        assert!(keyframe.is_under_way(at(start, 1_199), rtt));
        assert!(!keyframe.is_under_way(at(start, 1_200), rtt));
    }

    #[test]
    fn a_request_right_after_a_key_frame_waits_for_the_spacing() {
        let start = Instant::now();
        let mut throttle = KeyframeThrottle::new(Spacing::CAMERA);
        throttle.handle_request(start);
        assert!(throttle.poll(start));
        throttle.handle_keyframe();
        throttle.handle_request(at(start, 50));
        assert!(!throttle.poll(at(start, 299)));
        assert_eq!(throttle.next_due(), Some(at(start, 300)));
        assert!(throttle.poll(at(start, 300)));
    }

    #[test]
    fn a_lost_pli_is_repeated_ever_more_slowly_and_not_for_ever() {
        let start = Instant::now();
        let mut throttle = KeyframeThrottle::new(Spacing::CAMERA);
        throttle.handle_request(start);
        let sent: Vec<u64> = (0..60_000)
            .filter(|&ms| throttle.poll(at(start, ms)))
            .collect();
        assert_eq!(sent[..5], [0, 300, 900, 2_100, 4_500]);
        assert_eq!(sent.len(), usize::from(MAX_TRIES));
        assert_eq!(throttle.sent(), u64::from(MAX_TRIES));
        throttle.handle_request(at(start, 60_000));
        assert!(throttle.poll(at(start, 60_000)));
        assert_eq!(throttle.unanswered(), u64::from(MAX_TRIES) + 1);
        throttle.handle_keyframe();
        assert_eq!(throttle.unanswered(), 0);
    }
}
