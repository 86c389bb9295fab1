//! Transport-wide feedback as the estimator takes it
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).

/// Results that one feedback may have. An honest one has some dozens; the format allows 65,535.
pub const RESULTS_MAX: usize = 4_096;

/// Packets of one feedback, and their time in µs, from which their rate can be told.
const BURST_PACKETS: u32 = 5;
const BURST_US: i64 = 20_000;

/// The units of a feedback (draft, section 3.1).
const REFERENCE_US: i64 = 64_000;
const TICK_US: i64 = 250;

/// The head of a feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback {
    /// The number of its first packet.
    pub base: u16,
    /// Its reference time, 24 bits, signed, in units of 64 ms.
    pub reference_time: i32,
}

/// What a feedback says of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketResult {
    /// Its number minus the feedback's base.
    pub offset: u16,
    /// How long after the packet before it in the feedback that arrived, or after the reference time, it
    /// arrived, in units of 250 µs; `None` when it did not.
    pub delta: Option<i16>,
}

/// Why a feedback was not used. Each leaves the estimate as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// It is about packets that were never sent: a broken or a hostile receiver.
    #[error("feedback about packets that were never sent")]
    NeverSent,
    /// More results than [`RESULTS_MAX`].
    #[error("feedback about too many packets")]
    TooMany,
    /// Its times can't be true. After three in a row they are believed.
    #[error("feedback with impossible times")]
    BadTimes,
    /// It says nothing that is not known, or only of packets of long ago: late, or a duplicate.
    #[error("feedback without news")]
    NoNews,
}

/// Packets that arrive at less than this part of the rate at which they left were held up by the path.
const HELD_UP: f64 = 0.9;

/// How fast a feedback's packets came in.
#[derive(Debug, Default)]
pub(super) struct Burst {
    first_us: Option<i64>,
    first_sent_us: u64,
    last_sent_us: u64,
    last_us: i64,
    /// Those of all but the first.
    bytes: u32,
    packets: u32,
}

impl Burst {
    pub(super) fn add(&mut self, sent_us: u64, arrival_us: i64, bytes: u16) {
        self.last_sent_us = self.last_sent_us.max(sent_us);
        if self.first_us.is_none() {
            self.first_us = Some(arrival_us);
            self.last_us = arrival_us;
            self.first_sent_us = sent_us;
            return;
        }
        self.last_us = self.last_us.max(arrival_us);
        self.bytes += u32::from(bytes);
        self.packets += 1;
    }

    /// What the path carries, in bit/s; `None` when they are too few, came too close to each other, or came
    /// as they left, which tells what was sent and not what could be.
    pub(super) fn rate_bps(&self) -> Option<f64> {
        let lasted_us = self.last_us - self.first_us?;
        let left_us = self.last_sent_us.saturating_sub(self.first_sent_us) as f64;
        let is_held_up = left_us < HELD_UP * lasted_us as f64;
        let is_enough = self.packets >= BURST_PACKETS && lasted_us >= BURST_US && is_held_up;
        is_enough.then(|| f64::from(self.bytes) * 8e6 / lasted_us as f64)
    }
}

/// A feedback's results with absolute numbers and arrival times in µs.
#[derive(Debug, Clone)]
pub(super) struct Timed<R> {
    base: u16,
    arrival_us: i64,
    results: R,
}

impl<R> Timed<R> {
    pub(super) fn new(base: u16, reference: i64, results: R) -> Self {
        Self {
            base,
            arrival_us: reference * REFERENCE_US,
            results,
        }
    }
}

impl<R: Iterator<Item = PacketResult>> Iterator for Timed<R> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.results.next()?;
        let arrival_us = result.delta.map(|delta| {
            self.arrival_us += i64::from(delta) * TICK_US;
            self.arrival_us
        });
        Some((self.base.wrapping_add(result.offset), arrival_us))
    }
}
