//! A slot's timestamps, going on across layers and sources.

use super::SourceKey;
use crate::core::report::Shift;
use crate::core::ring::Meta;
use crate::unit::{ClockRate, NtpTime, RtpTime};
use std::time::{Duration, Instant};

/// How far what sender reports say may be from what arrival says: delays of networks and encoders are
/// below this, and a publisher whose reports are wrong can't move a slot's time by more.
const MAX_DISAGREEMENT: Duration = Duration::from_secs(1);

/// The longest pause that timestamps follow. A longer one is cut: after half of 2^32 ticks, some six
/// hours of video, going forward would look like going back.
const MAX_PAUSE: Duration = Duration::from_secs(3_600);

/// Frames may be so far apart for the distance to be taken as a frame's length.
const MAX_FRAME: Duration = Duration::from_millis(200);

/// The mapping of timestamps, and what it went on from.
#[derive(Debug)]
pub(super) struct Timeline {
    clock: ClockRate,
    first: RtpTime,
    source: Option<SourceKey>,
    /// Added to the source's timestamps.
    shift: u32,
    last: Option<Last>,
    /// Ticks from one frame to the next, as last seen.
    frame: u32,
}

/// The newest frame that was sent.
#[derive(Debug, Clone, Copy)]
struct Last {
    source: Option<SourceKey>,
    time: RtpTime,
    received_at: Instant,
    captured: Option<NtpTime>,
}

impl Timeline {
    pub(super) fn new(clock: ClockRate, first: RtpTime) -> Self {
        Self {
            clock,
            first,
            source: None,
            shift: 0,
            last: None,
            frame: clock.0 / 30,
        }
    }

    /// Goes on with another layer or source, of which this is the first packet: at least a frame after
    /// what was sent last.
    pub(super) fn enter(&mut self, source: Option<SourceKey>, meta: &Meta) {
        let start = match self.last {
            None => self.first,
            Some(last) => {
                let elapsed = self.elapsed(source, last, meta);
                last.time.plus(elapsed.max(self.frame))
            }
        };
        self.source = source;
        self.shift = start.0.wrapping_sub(meta.time.0);
    }

    pub(super) fn rewritten(&self, time: RtpTime) -> RtpTime {
        time.plus(self.shift)
    }

    /// A packet, the newest, was sent with this timestamp.
    pub(super) fn handle_sent(&mut self, meta: &Meta, time: RtpTime) {
        if let Some(last) = self.last {
            let Ok(step) = u32::try_from(time.since(last.time)) else {
                return;
            };
            if step == 0 {
                return;
            }
            if step <= self.clock.ticks(MAX_FRAME) {
                self.frame = step;
            }
        }
        self.last = Some(Last {
            source: self.source,
            time,
            received_at: meta.received_at,
            captured: meta.captured,
        });
    }

    /// The timestamp of the newest frame that was sent, or of the first that will be.
    pub(super) fn newest(&self) -> RtpTime {
        self.last.map_or(self.first, |last| last.time)
    }

    /// Our timestamp at `now`, which is `ntp` on our clock.
    pub(super) fn time_at(
        &self,
        now: Instant,
        ntp: NtpTime,
        shift: Option<Shift>,
    ) -> Option<RtpTime> {
        let last = self.last?;
        let by_arrival = now.saturating_duration_since(last.received_at);
        let arrived = i64::from(self.clock.ticks(by_arrival.min(MAX_PAUSE)));
        let by_report = match (last.captured, shift) {
            (Some(captured), Some(shift)) if last.source == self.source => {
                Some(self.signed_ticks(ntp.since(shift.ours(captured))))
            }
            (Some(_) | None, Some(_) | None) => None,
        };
        let ticks = by_report.filter(|&ticks| self.agrees(ticks, arrived));
        Some(last.time.plus(wrapped(ticks.unwrap_or(arrived))))
    }

    /// Ticks from the last frame to this packet's.
    fn elapsed(&self, source: Option<SourceKey>, last: Last, meta: &Meta) -> u32 {
        let arrival = meta.received_at.saturating_duration_since(last.received_at);
        let by_arrival = i64::from(self.clock.ticks(arrival.min(MAX_PAUSE)));
        let by_report = match (meta.captured, last.captured) {
            (Some(now), Some(then)) if last.source == source => {
                Some(self.signed_ticks(now.since(then)))
            }
            (Some(_) | None, Some(_) | None) => None,
        };
        let ticks = by_report.filter(|&ticks| self.agrees(ticks, by_arrival));
        u32::try_from(ticks.unwrap_or(by_arrival)).unwrap_or(0)
    }

    fn agrees(&self, by_report: i64, by_arrival: i64) -> bool {
        by_report.abs_diff(by_arrival) <= u64::from(self.clock.ticks(MAX_DISAGREEMENT))
    }

    /// Ticks of a span in units of 2^-32 s, rounded.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a span of 2^31 s has less than 2^63 ticks"
    )]
    fn signed_ticks(&self, span: i64) -> i64 {
        ((i128::from(span) * i128::from(self.clock.0) + (1 << 31)) >> 32) as i64
    }
}

/// Timestamps are modulo 2^32.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the lower 32 bits are the result modulo 2^32"
)]
fn wrapped(ticks: i64) -> u32 {
    ticks as u32
}
