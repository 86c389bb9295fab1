//! Loss and jitter, as report blocks state them (RFC 3550, appendices A.3 and A.8).

use super::FIRST_CYCLE;
use crate::unit::{ClockRate, ExtSeqNo, RtpTime, Ssrc};
use crate::wire::rtcp::ReportBlock;
use std::time::Instant;

/// Counted since the stream began.
#[derive(Debug)]
pub(super) struct ReceptionStats {
    clock: ClockRate,
    base: ExtSeqNo,
    highest: ExtSeqNo,
    received: u64,
    /// As of the last report.
    expected_then: u64,
    received_then: u64,
    /// Expected between the last two reports, and lost.
    interval: (u64, u64),
    /// In sixteenths of a tick.
    jitter: u32,
    last: Option<Last>,
}

/// The newest packet: when it came and what its timestamp was.
#[derive(Debug, Clone, Copy)]
struct Last {
    at: Instant,
    time: RtpTime,
}

impl ReceptionStats {
    pub(super) fn new(first: ExtSeqNo, clock: ClockRate) -> Self {
        Self {
            clock,
            base: first,
            highest: first,
            received: 0,
            expected_then: 0,
            received_then: 0,
            interval: (0, 0),
            jitter: 0,
            last: None,
        }
    }

    pub(super) fn highest(&self) -> ExtSeqNo {
        self.highest
    }

    /// In ticks.
    pub(super) fn jitter(&self) -> u32 {
        self.jitter >> 4
    }

    pub(super) fn handle_received(&mut self, now: Instant, seq: ExtSeqNo, time: RtpTime) {
        self.received += 1;
        let is_newest = seq > self.highest || self.last.is_none();
        self.highest = self.highest.max(seq);
        if is_newest {
            self.note_transit(now, time);
        }
    }

    /// Packets that were expected between the last two reports, and those of them that did not come at first.
    pub(super) fn interval(&self) -> (u64, u64) {
        self.interval
    }

    pub(super) fn report(&mut self, ssrc: Ssrc) -> ReportBlock {
        let expected = (self.highest.0 + 1).saturating_sub(self.base.0);
        let lost = i64::try_from(expected).unwrap_or(i64::MAX)
            - i64::try_from(self.received).unwrap_or(i64::MAX);
        let expected_now = expected - self.expected_then;
        let received_now = self.received - self.received_then;
        self.expected_then = expected;
        self.received_then = self.received;
        let lost_now = expected_now.saturating_sub(received_now);
        self.interval = (expected_now, lost_now);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0);
        ReportBlock {
            ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: i32::try_from(lost.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or(0),
            highest_seq: cycles(self.highest),
            jitter: self.jitter(),
            last_sr: 0,
            delay_since_last_sr: 0,
        }
    }

    /// Packets of one frame have one timestamp and are spread by pacing: only its first one counts.
    fn note_transit(&mut self, now: Instant, time: RtpTime) {
        let before = self.last.replace(Last { at: now, time });
        let Some(before) = before.filter(|before| before.time != time) else {
            return;
        };
        let arrived = self.clock.ticks(now.saturating_duration_since(before.at));
        let sent = time.since(before.time);
        let change = i64::from(arrived) - i64::from(sent);
        // A timestamp that jumps is no jitter.
        let Some(change) = u32::try_from(change.unsigned_abs())
            .ok()
            .filter(|&change| change < self.clock.0.saturating_mul(5))
        else {
            return;
        };
        let decayed = self.jitter - ((self.jitter + 8) >> 4);
        self.jitter = decayed.saturating_add(change);
    }
}

/// The number with its cycles, of which the first is 0.
#[expect(
    clippy::cast_possible_truncation,
    reason = "reports have the lower 32 bits"
)]
fn cycles(seq: ExtSeqNo) -> u32 {
    seq.0.wrapping_sub(FIRST_CYCLE) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn stats() -> ReceptionStats {
        ReceptionStats::new(ExtSeqNo(FIRST_CYCLE + 0xfff0), ClockRate::VIDEO)
    }

    #[test]
    fn loss_is_counted_from_one_report_to_the_next() {
        let start = Instant::now();
        let mut stats = stats();
        for index in (0..100u64).filter(|index| index % 4 != 3) {
            stats.handle_received(start, ExtSeqNo(FIRST_CYCLE + 0xfff0 + index), RtpTime(0));
        }
        stats.handle_received(start, ExtSeqNo(FIRST_CYCLE + 0xfff0 + 99), RtpTime(0));
        let first = stats.report(Ssrc(1));
        assert_eq!(first.cumulative_lost, 24);
        assert_eq!(first.fraction_lost, 61);
        assert_eq!(first.highest_seq, 0xfff0 + 99);
        let second = stats.report(Ssrc(1));
        assert_eq!((second.fraction_lost, second.cumulative_lost), (0, 24));
    }

    #[test]
    fn what_comes_late_takes_back_its_loss() {
        let start = Instant::now();
        let mut stats = stats();
        let number = |index: u64| ExtSeqNo(FIRST_CYCLE + 0xfff0 + index);
        stats.handle_received(start, number(0), RtpTime(0));
        stats.handle_received(start, number(2), RtpTime(0));
        assert_eq!(stats.report(Ssrc(1)).cumulative_lost, 1);
        stats.handle_received(start, number(1), RtpTime(0));
        let report = stats.report(Ssrc(1));
        assert_eq!((report.cumulative_lost, report.fraction_lost), (0, 0));
    }

    #[test]
    fn jitter_is_a_sixteenth_of_each_change() {
        let start = Instant::now();
        let mut stats = stats();
        let number = |index: u64| ExtSeqNo(FIRST_CYCLE + 0xfff0 + index);
        stats.handle_received(start, number(0), RtpTime(0));
        // 20 ms late.
        let late = start + Duration::from_millis(60);
        stats.handle_received(late, number(1), RtpTime(3_600));
        stats.handle_received(late + Duration::from_millis(3), number(2), RtpTime(3_600));
        assert_eq!(stats.jitter(), 1_800 / 16);
        for index in 3..500 {
            let on_time = late + Duration::from_millis(40 * (index - 2));
            let time = u32::try_from(3_600 * (index - 1)).unwrap();
            stats.handle_received(on_time, number(index), RtpTime(time));
        }
        assert!(stats.jitter() < 90 / 2, "{}", stats.jitter());
    }
}
