//! A receiving m-line: one source, and what a receiver keeps of it.

use crate::call::count::{Counter, Totals, Way};
use crate::call::frames::Decoder;
use crate::call::nack::Missing;
use crate::call::sdp::{Extensions, Kind, Media, PayloadTypes};
use crate::call::stamp::Stream;
use rtc_rtcp::reception_report::ReceptionReport;
use std::time::Instant;

/// See the module.
#[derive(Debug)]
pub struct Slot {
    /// Its m-line.
    pub mid: String,
    /// Sound or pictures.
    pub kind: Kind,
    /// Its source.
    pub ssrc: u32,
    /// The source of its retransmissions.
    pub rtx: Option<u32>,
    /// The greatest number of media.
    pub highest: Option<u64>,
    /// The greatest number of retransmissions.
    pub rtx_highest: Option<u64>,
    /// What is missing.
    pub missing: Missing,
    /// What would be shown.
    pub decoder: Decoder,
    /// What it carries at present.
    pub stream: Option<Stream>,
    /// Which run of it.
    pub run: u32,
    /// Its payload types.
    pub types: PayloadTypes,
    /// Its extensions.
    pub ids: Extensions,
    numbers: Counter,
    base: u64,
    reported: (u64, u64),
    jitter: Jitter,
    /// The middle of the last sender report's time, and when it came.
    sender_report: Option<(u32, Instant)>,
}

/// RFC 3550, appendix A.8; scaled by 16.
#[derive(Debug, Clone, Copy, Default)]
struct Jitter {
    last: Option<(Instant, u32)>,
    scaled: u64,
}

impl Slot {
    /// Of an m-line, with this source.
    #[must_use]
    pub fn new(media: &Media, ssrc: u32, rtx: Option<u32>) -> Self {
        Self {
            mid: media.mid.clone(),
            kind: media.kind,
            ssrc,
            rtx,
            highest: None,
            rtx_highest: None,
            missing: Missing::default(),
            decoder: Decoder::default(),
            stream: None,
            run: 0,
            types: media.payload_types,
            ids: media.extensions,
            numbers: Counter::default(),
            base: 0,
            reported: (0, 0),
            jitter: Jitter::default(),
            sender_report: None,
        }
    }

    /// A packet of media with this number came.
    pub fn note(&mut self, now: Instant, index: u64, timestamp: u32) {
        if self.highest.is_none() {
            self.base = index;
        }
        self.highest = Some(self.highest.map_or(index, |highest| highest.max(index)));
        self.missing.handle(now, index);
        let rate = match self.kind {
            Kind::Audio => 48_000,
            Kind::Video => 90_000,
        };
        self.jitter.handle(now, timestamp, rate);
    }

    /// Counts a number, come as media or repaired.
    pub fn count(&mut self, index: u64, way: Way) {
        // From a middle on, so that what comes before the first has a number.
        let number = (index + 65_536).saturating_sub(self.base);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.numbers.handle(number, index, 0, way);
    }

    /// The count by the server's numbers.
    #[must_use]
    pub fn sequence(&self) -> Totals {
        self.numbers.totals()
    }

    /// A sender report of this source came.
    pub fn handle_sender_report(&mut self, now: Instant, ntp: u64) {
        let [_, _, a, b, c, d, _, _] = ntp.to_be_bytes();
        self.sender_report = Some((u32::from_be_bytes([a, b, c, d]), now));
    }

    /// What a receiver report says of it; `None` before anything came.
    pub fn report(&mut self, now: Instant) -> Option<ReceptionReport> {
        let highest = self.highest?;
        let totals = self.numbers.totals();
        let (expected, unique) = (totals.span, totals.unique);
        let lost = expected.saturating_sub(unique);
        let interval = expected.saturating_sub(self.reported.0);
        let lost_now = interval.saturating_sub(unique.saturating_sub(self.reported.1));
        self.reported = (expected, unique);
        let fraction = (lost_now * 256).checked_div(interval).unwrap_or(0).min(255);
        let (last, delay) = self.sender_report.map_or((0, 0), |(last, at)| {
            let since = now.saturating_duration_since(at).as_micros();
            (
                last,
                u32::try_from(since * 65_536 / 1_000_000).unwrap_or(u32::MAX),
            )
        });
        Some(ReceptionReport {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            total_lost: u32::try_from(lost).unwrap_or(u32::MAX).min(0x7f_ffff),
            last_sequence_number: u32::try_from(highest & 0xffff_ffff).unwrap_or(0),
            jitter: u32::try_from(self.jitter.scaled >> 4).unwrap_or(u32::MAX),
            last_sender_report: last,
            delay,
        })
    }
}

impl Jitter {
    fn handle(&mut self, now: Instant, timestamp: u32, rate: u128) {
        if let Some((then, before)) = self.last.replace((now, timestamp)) {
            let ticks = now.saturating_duration_since(then).as_micros() * rate / 1_000_000;
            let ticks = i64::try_from(ticks).unwrap_or(i64::MAX);
            let ahead = i64::from(timestamp.wrapping_sub(before).cast_signed());
            let difference = ticks.saturating_sub(ahead).unsigned_abs().min(1 << 30);
            self.scaled = self.scaled + difference - ((self.scaled + 8) >> 4).min(self.scaled);
        }
    }
}
