//! The rate at which packets arrive: what the path has been seen to carry
//! (libwebrtc's `BitrateEstimator`).

/// Arrivals are counted over this time, and over the longer one for the first value. A frame of 40 ms is
/// in it several times; longer windows would back off from rates that are no longer true.
const WINDOW_US: i64 = 150_000;
const FIRST_WINDOW_US: i64 = 500_000;

/// How doubtful a sample is for each part that it deviates, and one of few bytes (see `FEW_BYTES`).
const DOUBT: f64 = 10.0;
const DOUBT_OF_FEW: f64 = 20.0;
const FEW_BYTES: u64 = 2_000;

/// Variance that the estimate gains with each sample, so that it never settles for good.
const DRIFT: f64 = 5.0;

/// Variance that is added when the rate is expected to jump.
const JUMP: f64 = 200.0;

/// A Bayesian mean of windowed samples, in kbit/s.
#[derive(Debug)]
pub(super) struct Acknowledged {
    sum_bytes: u64,
    window_us: i64,
    last_us: Option<i64>,
    kbps: Option<f64>,
    variance: f64,
}

impl Acknowledged {
    pub(super) fn new() -> Self {
        Self {
            sum_bytes: 0,
            window_us: 0,
            last_us: None,
            kbps: None,
            variance: 50.0,
        }
    }

    /// In bit/s; `None` before half a second of packets has arrived.
    pub(super) fn rate_bps(&self) -> Option<f64> {
        self.kbps.map(|kbps| kbps * 1_000.0)
    }

    /// The source is about to send much more or less, which the next samples shall tell at once.
    pub(super) fn expect_jump(&mut self) {
        self.variance += JUMP;
    }

    /// Takes a packet that arrived.
    pub(super) fn handle(&mut self, arrival_us: i64, bytes: u16) {
        let bytes = u64::from(bytes);
        let window_us = if self.kbps.is_some() {
            WINDOW_US
        } else {
            FIRST_WINDOW_US
        };
        // What was overtaken counts where it arrives.
        let since_us = self.last_us.map_or(0, |last| (arrival_us - last).max(0));
        self.last_us = Some(self.last_us.map_or(arrival_us, |last| last.max(arrival_us)));
        self.window_us += since_us;
        if since_us > window_us {
            // A pause is no rate of the path: begin again after it.
            self.sum_bytes = 0;
            self.window_us %= window_us;
        }
        if self.window_us >= window_us {
            let sample = self.sum_bytes as f64 * 8_000.0 / self.window_us as f64;
            self.learn(sample);
            self.window_us = 0;
            self.sum_bytes = 0;
        }
        self.sum_bytes += bytes;
    }

    fn learn(&mut self, sample: f64) {
        let Some(kbps) = self.kbps else {
            self.kbps = Some(sample);
            return;
        };
        let doubt = if self.sum_bytes < FEW_BYTES {
            DOUBT_OF_FEW
        } else {
            DOUBT
        };
        let deviation = doubt * (kbps - sample).abs() / kbps.max(1.0);
        let of_sample = deviation * deviation;
        let of_estimate = self.variance + DRIFT;
        let together = of_sample + of_estimate;
        self.kbps = Some((of_sample * kbps + of_estimate * sample) / together);
        self.variance = of_sample * of_estimate / together;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(estimator: &mut Acknowledged, at_us: &mut i64, rate_bps: f64, seconds: f64) {
        let gap_us = (1_000.0 * 8.0 / rate_bps * 1e6).round();
        let packets = (seconds * 1e6 / gap_us).round();
        let mut sent = 0.0;
        while sent < packets {
            #[expect(clippy::cast_possible_truncation, reason = "a few thousand")]
            let gap = gap_us as i64;
            *at_us += gap;
            estimator.handle(*at_us, 1_000);
            sent += 1.0;
        }
    }

    #[test]
    fn it_follows_the_rate_of_arrivals() {
        let mut estimator = Acknowledged::new();
        let mut at_us = 0;
        assert_eq!(estimator.rate_bps(), None);
        feed(&mut estimator, &mut at_us, 1_000_000.0, 3.0);
        let high = estimator.rate_bps().expect("an estimate");
        assert!((900_000.0..1_100_000.0).contains(&high), "{high}");
        feed(&mut estimator, &mut at_us, 300_000.0, 4.0);
        let low = estimator.rate_bps().expect("an estimate");
        assert!((250_000.0..400_000.0).contains(&low), "{low}");
    }

    #[test]
    fn arrivals_out_of_order_and_pauses_do_no_harm() {
        let mut estimator = Acknowledged::new();
        let mut at_us = 0;
        feed(&mut estimator, &mut at_us, 800_000.0, 2.0);
        estimator.handle(at_us - 100_000, 1_000);
        at_us += 60_000_000;
        feed(&mut estimator, &mut at_us, 800_000.0, 2.0);
        let rate = estimator.rate_bps().expect("an estimate");
        assert!((700_000.0..900_000.0).contains(&rate), "{rate}");
    }
}
