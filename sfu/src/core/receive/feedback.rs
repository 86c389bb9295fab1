//! What the publisher is told and asked for.

use super::{NackGenerator, ReceiveStream, ReceptionStats};
use crate::unit::{SeqNo, Ssrc};
use crate::wire::rtcp::ReportBlock;
use std::time::{Duration, Instant};

impl ReceiveStream {
    /// Adds to `out` what the publisher is to be asked for now.
    pub fn poll_nacks(&mut self, now: Instant, rtt: Duration, out: &mut Vec<SeqNo>) {
        if let Some(nack) = &mut self.nack {
            nack.poll(now, rtt, out);
        }
    }

    /// When [`Self::poll_nacks`] has something to do next.
    #[must_use]
    pub fn next_due(&self, rtt: Duration) -> Option<Instant> {
        self.nack.as_ref().and_then(|nack| nack.next_due(rtt))
    }

    /// Whether so much was lost that only a key frame helps; asked once.
    pub fn take_wants_keyframe(&mut self) -> bool {
        self.nack
            .as_mut()
            .is_some_and(NackGenerator::take_wants_keyframe)
    }

    /// The report block about this stream, which is `ssrc`; `None` before its first packet. The
    /// fraction lost is counted from one call to the next.
    pub fn reception_report(&mut self, now: Instant, ssrc: Ssrc) -> Option<ReportBlock> {
        let mut values = self.stats.as_mut()?.report(ssrc);
        if let Some((line, at)) = self.line {
            values.last_sr = line.ntp.middle();
            values.delay_since_last_sr = short_span(now.saturating_duration_since(at));
        }
        Some(values)
    }

    /// Packets that were expected between the last two reports, and those of them that did not come at first.
    #[must_use]
    pub fn interval(&self) -> (u64, u64) {
        self.stats.as_ref().map_or((0, 0), ReceptionStats::interval)
    }

    /// Jitter of arrivals as a span.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        let ticks = self.stats.as_ref().map_or(0, ReceptionStats::jitter);
        Duration::from_secs(u64::from(ticks)) / self.config.clock.0.max(1)
    }
}

/// In units of 2^-16 s; the greatest value beyond 18 hours.
fn short_span(span: Duration) -> u32 {
    let units = (span.as_micros() << 16) / 1_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}
