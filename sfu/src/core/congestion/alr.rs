//! Whether the source sends much less than it might: the application-limited region
//! (libwebrtc's `AlrDetector`).

/// Below this part of the estimate a source counts as limited by itself.
const USED: f64 = 0.65;

/// Over this time, so that the pause after a key frame is none.
const WINDOW_US: u64 = 500_000;

/// The part of the window's budget that must be left to enter the region, and to stay in it.
const ENTER: f64 = 0.8;
const STAY: f64 = 0.5;

/// A budget of bytes that fills with the estimate and empties with what is sent.
#[derive(Debug)]
pub(super) struct Alr {
    left_bytes: f64,
    updated_us: Option<u64>,
    is_limited: bool,
}

impl Alr {
    pub(super) fn new() -> Self {
        Self {
            left_bytes: 0.0,
            updated_us: None,
            is_limited: false,
        }
    }

    /// Takes so many bytes of media that were sent, or time alone. Returns whether the source is
    /// limited by itself.
    pub(super) fn handle(&mut self, now_us: u64, bytes: u16, estimate_bps: f64) -> bool {
        let target = estimate_bps * USED / 8e6;
        let window_bytes = target * WINDOW_US as f64;
        let since_us = self
            .updated_us
            .map_or(0, |last| now_us.saturating_sub(last))
            .min(2 * WINDOW_US);
        self.updated_us = Some(now_us);
        self.left_bytes = (self.left_bytes + target * since_us as f64).min(window_bytes);
        self.left_bytes = (self.left_bytes - f64::from(bytes)).max(-window_bytes);
        let left = self.left_bytes / window_bytes.max(1.0);
        self.is_limited = left > if self.is_limited { STAY } else { ENTER };
        self.is_limited
    }

    /// As of the last input.
    pub(super) fn is_limited(&self) -> bool {
        self.is_limited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends frames of 40 ms at a rate for a second against an estimate of 1 Mbit/s.
    fn send(alr: &mut Alr, now_us: &mut u64, rate_bps: f64) -> bool {
        for _ in 0..25 {
            *now_us += 40_000;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 5,000"
            )]
            let bytes = (rate_bps * 0.04 / 8.0) as u16;
            alr.handle(*now_us, bytes, 1e6);
        }
        alr.is_limited()
    }

    #[test]
    fn a_source_far_below_the_estimate_is_limited_by_itself() {
        let mut alr = Alr::new();
        let mut now_us = 0;
        assert!(!send(&mut alr, &mut now_us, 900_000.0));
        for _ in 0..3 {
            send(&mut alr, &mut now_us, 300_000.0);
        }
        assert!(alr.is_limited());
        assert!(!send(&mut alr, &mut now_us, 1_000_000.0));
    }
}
