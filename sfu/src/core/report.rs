//! What reports say (RFC 3550, section 6.4): what follows from those of others for ours.

mod quality;

pub use quality::{QualityMeter, Sample, score};

use crate::unit::{ClockRate, NtpTime, RtpTime};
use std::time::Duration;

/// A point of the line that a sender report draws: this timestamp is this moment on the publisher's
/// clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderLine {
    /// The moment.
    pub ntp: NtpTime,
    /// The timestamp.
    pub time: RtpTime,
}

impl SenderLine {
    /// When a timestamp was, on the publisher's clock.
    #[must_use]
    pub fn captured(self, time: RtpTime, clock: ClockRate) -> NtpTime {
        let ticks = i64::from(time.since(self.time)) << 32;
        let span = ticks / i64::from(clock.0.max(1));
        NtpTime(self.ntp.0.wrapping_add_signed(span))
    }
}

/// The round trip that a report block tells its receiver: from our report to their answer, without the
/// time that they kept it (RFC 3550, section 6.4.1). `None` without a report, and when it would be
/// negative or longer than [`MAX_RTT`]: then it was not about a report of ours.
#[must_use]
pub fn round_trip(now: NtpTime, last_sr: u32, delay_since_sr: u32) -> Option<Duration> {
    if last_sr == 0 {
        return None;
    }
    let units = now
        .middle()
        .wrapping_sub(last_sr)
        .wrapping_sub(delay_since_sr);
    let rtt = Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16);
    (rtt <= MAX_RTT).then_some(rtt)
}

/// Round trips above this are not believed.
pub const MAX_RTT: Duration = Duration::from_secs(10);

/// The round trip before it was measured, as in libwebrtc.
pub const DEFAULT_RTT: Duration = Duration::from_millis(100);

/// A round trip, smoothed as in RFC 6298, section 2: a new value counts an eighth.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundTrip {
    smoothed: Option<Duration>,
}

impl RoundTrip {
    /// Takes a measurement.
    pub fn handle_measured(&mut self, rtt: Duration) {
        let rtt = rtt.min(MAX_RTT);
        self.smoothed = Some(match self.smoothed {
            None => rtt,
            Some(smoothed) => (smoothed * 7 + rtt) / 8,
        });
    }

    /// The present value; [`DEFAULT_RTT`] before there is one.
    #[must_use]
    pub fn get(&self) -> Duration {
        self.smoothed.unwrap_or(DEFAULT_RTT)
    }

    /// The present value, if it was measured.
    #[must_use]
    pub fn measured(&self) -> Option<Duration> {
        self.smoothed
    }
}

/// What puts a publisher's clock on ours, in units of 2^-32 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift(pub i64);

impl Shift {
    /// A moment of the publisher's clock on ours.
    #[must_use]
    pub fn ours(self, theirs: NtpTime) -> NtpTime {
        NtpTime(theirs.0.wrapping_add_signed(self.0))
    }
}

/// One publisher's clock against ours, from the sender reports of all of its streams. One for all of
/// them: the same shift for sound and picture is what keeps lips in step.
///
/// The report that was the shortest time under way tells the most. The value follows longer ones only as
/// fast as clocks drift apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublisherClock {
    shift: Option<(Shift, NtpTime)>,
}

/// A 4,096th of the time gone by, 244 ppm: more than any two clocks that keep time drift apart.
const DRIFT_BITS: u32 = 12;

/// A difference beyond this is no delay but a clock that was set, in units of 2^-32 s: two seconds.
const STEP: u64 = 2 << 32;

impl PublisherClock {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A sender report said `theirs`, and came when our clock said `now`.
    pub fn handle_sender_report(&mut self, now: NtpTime, theirs: NtpTime) {
        let sample = now.since(theirs);
        let shift = match self.shift {
            Some((Shift(shift), at)) if shift.abs_diff(sample) <= STEP => {
                let elapsed = now.since(at).max(0);
                sample.min(shift.saturating_add(elapsed >> DRIFT_BITS))
            }
            Some(_) | None => sample,
        };
        self.shift = Some((Shift(shift), now));
    }

    /// What to add to its times; `None` before its first report.
    #[must_use]
    pub fn shift(&self) -> Option<Shift> {
        self.shift.map(|(shift, _)| shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> NtpTime {
        NtpTime(seconds << 32)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The example of RFC 3550, section 6.4.1, figure 2.
    #[test]
    fn the_round_trip_is_the_one_of_the_rfc() {
        let now = NtpTime(0xb710_8000 << 16);
        let rtt = round_trip(now, 0xb705_2000, 0x0005_4000).expect("a round trip");
        assert_eq!(rtt, ms(6_125));
    }

    #[test]
    fn a_round_trip_that_can_not_be_is_none() {
        assert_eq!(round_trip(seconds(100), 0, 0), None);
        let sent = seconds(100).middle();
        assert_eq!(round_trip(seconds(100), sent, 1), None);
        assert_eq!(round_trip(seconds(111), sent, 0), None);
        assert_eq!(round_trip(seconds(110), sent, 0), Some(MAX_RTT));
    }

    #[test]
    fn a_round_trip_is_smoothed() {
        let mut rtt = RoundTrip::default();
        assert_eq!(rtt.get(), DEFAULT_RTT);
        rtt.handle_measured(ms(80));
        rtt.handle_measured(ms(160));
        assert_eq!(rtt.get(), ms(90));
    }

    #[test]
    fn timestamps_before_and_after_a_report_lie_on_its_line() {
        let line = SenderLine {
            ntp: seconds(50),
            time: RtpTime(90_000),
        };
        let clock = ClockRate::VIDEO;
        assert_eq!(line.captured(RtpTime(180_000), clock), seconds(51));
        let before = RtpTime(90_000).plus(0u32.wrapping_sub(180_000));
        assert_eq!(line.captured(before, clock), seconds(48));
        let far = RtpTime(90_000 + (1 << 31));
        assert_ne!(line.captured(far, clock), line.ntp);
    }

    #[test]
    fn the_report_with_the_least_delay_sets_the_clock() {
        let mut clock = PublisherClock::new();
        let theirs = |s: u64| seconds(s);
        let ours = |s: u64, delay: Duration| seconds(1_000 + s).plus(delay);
        clock.handle_sender_report(ours(1, ms(80)), theirs(1));
        clock.handle_sender_report(ours(2, ms(20)), theirs(2));
        clock.handle_sender_report(ours(3, ms(300)), theirs(3));
        let shift = clock.shift().expect("a shift");
        let error = shift.ours(theirs(3)).since(ours(3, ms(20)));
        assert!((0..i64::from(u32::MAX) / 1_000).contains(&error), "{error}");
        // Their clock was set back by a minute.
        clock.handle_sender_report(ours(64, ms(50)), theirs(4));
        let shift = clock.shift().expect("a shift");
        assert_eq!(shift.ours(theirs(4)), ours(64, ms(50)));
    }
}
