//! Deadlines of a connection: silence, stalled writes, frames that don't end.

use kaiwa_common::close::CloseCode;
use kaiwa_common::limits::{FRAME, PING_INTERVAL, PONG_GRACE, WRITE_STALL};
use std::time::Instant;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that the operating system took since the beginning.
    pub written_bytes: u64,
    /// Bytes that wait.
    pub queued_bytes: usize,
    /// A frame has begun and not ended.
    pub is_mid_frame: bool,
}

/// Watches one connection.
#[derive(Debug)]
pub struct Watch {
    heard: Instant,
    written_bytes: u64,
    /// Since when bytes wait and none was taken.
    stalled: Option<Instant>,
    /// Since when a frame is unfinished.
    mid_frame: Option<Instant>,
}

impl Watch {
    /// A connection that begins now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            written_bytes: 0,
            stalled: None,
            mid_frame: None,
        }
    }

    /// A whole message came.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.mid_frame = None;
    }

    /// Takes note of how far the connection is.
    pub fn observe(&mut self, progress: Progress, now: Instant) {
        let moved = progress.written_bytes != self.written_bytes;
        self.written_bytes = progress.written_bytes;
        self.stalled = match (progress.queued_bytes > 0, moved, self.stalled) {
            (false, ..) => None,
            (true, false, Some(since)) => Some(since),
            (true, true, _) | (true, false, None) => Some(now),
        };
        self.mid_frame = match (progress.is_mid_frame, self.mid_frame) {
            (false, _) => None,
            (true, Some(since)) => Some(since),
            (true, None) => Some(now),
        };
    }

    /// When [`Self::verdict`] may change.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let silence = self.heard + PING_INTERVAL + PONG_GRACE;
        let stall = self.stalled.map(|since| since + WRITE_STALL);
        let frame = self.mid_frame.map(|since| since + FRAME);
        [stall, frame]
            .into_iter()
            .flatten()
            .fold(silence, Instant::min)
    }

    /// Why the connection has to end, if it has to.
    #[must_use]
    pub fn verdict(&self, now: Instant) -> Option<CloseCode> {
        let past = |since: Option<Instant>, limit| since.is_some_and(|since| since + limit <= now);
        if past(self.stalled, WRITE_STALL) {
            Some(CloseCode::SlowConsumer)
        } else if past(self.mid_frame, FRAME) {
            Some(CloseCode::ConnectTimeout)
        } else if past(Some(self.heard), PING_INTERVAL + PONG_GRACE) {
            Some(CloseCode::NoPong)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const IDLE: Progress = Progress {
        written_bytes: 0,
        queued_bytes: 0,
        is_mid_frame: false,
    };
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_ends_a_connection_after_a_ping_and_its_grace() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        assert_eq!(watch.verdict(start + 34 * SECOND), None);
        assert_eq!(watch.verdict(start + 35 * SECOND), Some(CloseCode::NoPong));
        assert_eq!(watch.deadline(), start + 35 * SECOND);
        watch.heard(start + 10 * SECOND);
        assert_eq!(watch.verdict(start + 44 * SECOND), None);
    }

    #[test]
    fn a_reader_that_takes_nothing_is_slow_and_one_that_takes_a_little_is_not() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let waiting = |written_bytes| Progress {
            written_bytes,
            queued_bytes: 9,
            ..IDLE
        };
        watch.observe(waiting(0), start);
        watch.observe(waiting(1), start + 20 * SECOND);
        assert_eq!(watch.verdict(start + 31 * SECOND), None);
        watch.observe(waiting(1), start + 40 * SECOND);
        watch.heard(start + 45 * SECOND);
        assert_eq!(
            watch.verdict(start + 50 * SECOND),
            Some(CloseCode::SlowConsumer)
        );
        watch.observe(IDLE, start + 50 * SECOND);
        assert_eq!(watch.verdict(start + 50 * SECOND), None);
    }

    #[test]
    fn trickling_bytes_do_not_keep_an_unfinished_frame_alive() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let mid = Progress {
            is_mid_frame: true,
            ..IDLE
        };
        for second in 0..30 {
            watch.observe(mid, start + second * SECOND);
        }
        assert_eq!(watch.verdict(start + 29 * SECOND), None);
        assert_eq!(
            watch.verdict(start + 30 * SECOND),
            Some(CloseCode::ConnectTimeout)
        );
    }
}
