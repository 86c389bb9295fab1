//! What is kept of one participant: a ring of seconds and one of changes, in compact integers.

use super::ring::Ring;
use super::{CHANGES_MAX, MediaSummary, Protocol, SentLayer};
use crate::control::LimitedBy;
use std::time::{Duration, Instant};

/// Counted for one participant where it happens, by one addition each; ever growing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Bytes of RTP that came.
    pub(crate) received_bytes: u64,
    /// Bytes of RTP that left.
    pub(crate) sent_bytes: u64,
    /// Packets whose fate the participant has told, and those of them that were lost.
    pub(crate) told: u64,
    pub(crate) lost: u64,
    /// Key frames that they asked for.
    pub(crate) keyframe_requests: u32,
    /// Key frames that they sent.
    pub(crate) keyframes_sent: u32,
    /// Packets that they asked for again.
    pub(crate) nacks: u32,
    /// Packets that were given up.
    pub(crate) dropped: u32,
}

/// What is measured when a second ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moment {
    pub(crate) estimate_kbps: u32,
    pub(crate) allocated_kbps: u32,
    pub(crate) in_loss: Loss,
    /// Used where the participant does not tell of each packet.
    pub(crate) reported_loss: Loss,
    pub(crate) rtt: Option<Duration>,
    pub(crate) jitter: Option<Duration>,
    pub(crate) out_jitter: Option<Duration>,
    pub(crate) freezes: u8,
    /// Pictures that their path is too narrow for.
    pub(crate) limited: u8,
    pub(crate) queued: u16,
}

/// A share of packets, in ten-thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Loss(u16);

impl Loss {
    /// So many of so many.
    pub(crate) fn of(lost: u64, all: u64) -> Self {
        let share = (lost.min(all) * 10_000).checked_div(all).unwrap_or(0);
        Self(u16::try_from(share).unwrap_or(10_000))
    }

    /// In ten-thousandths.
    pub(crate) fn parts(self) -> u16 {
        self.0
    }

    /// 0–1.
    pub(crate) fn share(self) -> f32 {
        f32::from(self.0) / 10_000.0
    }
}

/// A second. Its length in memory is the inspector's cost: 60 of them for each participant.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Second {
    /// When it ended, in ms since the record began: 49 days.
    pub(crate) at_ms: u32,
    pub(crate) in_kbps: u32,
    pub(crate) out_kbps: u32,
    pub(crate) estimate_kbps: u32,
    pub(crate) allocated_kbps: u32,
    pub(crate) in_loss: Loss,
    pub(crate) out_loss: Loss,
    rtt: Tenths,
    jitter: Tenths,
    out_jitter: Tenths,
    pub(crate) nacks: u16,
    pub(crate) queued: u16,
    pub(crate) dropped: u16,
    pub(crate) freezes: u8,
    pub(crate) keyframe_requests: u8,
    pub(crate) keyframes_sent: u8,
}

impl Second {
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt.span()
    }

    pub(crate) fn jitter(&self) -> Option<Duration> {
        self.jitter.span()
    }

    pub(crate) fn out_jitter(&self) -> Option<Duration> {
        self.out_jitter.span()
    }
}

/// A span in tenths of a millisecond, up to 6.5 s; a longer one is that. The greatest value is none.
#[derive(Debug, Clone, Copy)]
struct Tenths(u16);

impl Default for Tenths {
    fn default() -> Self {
        Self(u16::MAX)
    }
}

impl Tenths {
    fn of(span: Option<Duration>) -> Self {
        span.map_or_else(Self::default, |span| {
            let tenths = span.as_micros() / 100;
            Self(u16::try_from(tenths).unwrap_or(u16::MAX).min(u16::MAX - 1))
        })
    }

    fn span(self) -> Option<Duration> {
        (self.0 < u16::MAX).then(|| Duration::from_micros(u64::from(self.0) * 100))
    }
}

/// A change, as it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted {
    /// As of [`Second`].
    pub(crate) at_ms: u32,
    pub(crate) what: Note,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    Layer {
        /// The slot's place.
        slot: u8,
        from: Option<SentLayer>,
        to: Option<SentLayer>,
        why: Option<LimitedBy>,
    },
    Freeze {
        slot: u8,
        why: Option<LimitedBy>,
    },
    Protocol {
        from: Protocol,
        to: Protocol,
    },
    Interrupted,
    Recovered,
}

/// What is kept of one participant.
#[derive(Debug)]
pub(crate) struct Record {
    began: Instant,
    /// Up to here seconds were taken.
    taken_at: Instant,
    taken: Tally,
    summary: MediaSummary,
    seconds: Ring<Second>,
    changes: Ring<Noted>,
}

impl Record {
    /// Room for so many seconds, 1 to [`super::SAMPLES_MAX`].
    pub(crate) fn new(now: Instant, seconds: u8) -> Box<Self> {
        Box::new(Self {
            began: now,
            taken_at: now,
            taken: Tally::default(),
            summary: MediaSummary::default(),
            seconds: Ring::new(usize::from(seconds.min(super::SAMPLES_MAX))),
            changes: Ring::new(usize::from(CHANGES_MAX)),
        })
    }

    /// Media can flow from now on, so long after the offer's answer: rates are counted from here.
    pub(crate) fn handle_connected(&mut self, now: Instant, tally: &Tally, took: Duration) {
        (self.taken_at, self.taken) = (now, *tally);
        self.summary.connected_after.get_or_insert(took);
    }

    /// All of it, so far.
    pub(crate) fn summary(&self) -> MediaSummary {
        self.summary
    }

    /// A second ends.
    pub(crate) fn take_second(&mut self, now: Instant, tally: &Tally, moment: &Moment) -> Second {
        let span = now.saturating_duration_since(self.taken_at);
        let before = std::mem::replace(&mut self.taken, *tally);
        self.taken_at = now;
        let told = tally.told.saturating_sub(before.told);
        let out_loss = if told > 0 {
            Loss::of(tally.lost.saturating_sub(before.lost), told)
        } else {
            moment.reported_loss
        };
        let second = Second {
            at_ms: self.ms(now),
            in_kbps: kbps(tally.received_bytes - before.received_bytes, span),
            out_kbps: kbps(tally.sent_bytes - before.sent_bytes, span),
            estimate_kbps: moment.estimate_kbps,
            allocated_kbps: moment.allocated_kbps,
            in_loss: moment.in_loss,
            out_loss,
            rtt: Tenths::of(moment.rtt),
            jitter: Tenths::of(moment.jitter),
            out_jitter: Tenths::of(moment.out_jitter),
            nacks: short(tally.nacks - before.nacks),
            queued: moment.queued,
            dropped: short(tally.dropped - before.dropped),
            freezes: moment.freezes,
            keyframe_requests: tiny(tally.keyframe_requests - before.keyframe_requests),
            keyframes_sent: tiny(tally.keyframes_sent - before.keyframes_sent),
        };
        self.seconds.push(second);
        self.sum_up(&second, moment);
        second
    }

    fn sum_up(&mut self, second: &Second, moment: &Moment) {
        let summary = &mut self.summary;
        summary.worst_in_loss = summary.worst_in_loss.max(second.in_loss.parts());
        summary.worst_out_loss = summary.worst_out_loss.max(second.out_loss.parts());
        summary.worst_rtt = summary.worst_rtt.max(second.rtt());
        summary.freezes = summary.freezes.saturating_add(moment.freezes.into());
        summary.limited_s = summary.limited_s.saturating_add(moment.limited.into());
    }

    /// Something changed.
    pub(crate) fn note(&mut self, now: Instant, what: Note) {
        let at_ms = self.ms(now);
        self.changes.push(Noted { at_ms, what });
    }

    /// The last so many seconds, the oldest first.
    pub(crate) fn seconds(&self, count: u8) -> impl Iterator<Item = Second> {
        self.seconds.last(usize::from(count))
    }

    /// All changes that are kept, the oldest first.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Noted> {
        self.changes.last(usize::from(CHANGES_MAX))
    }

    /// The moment of one of its times.
    pub(crate) fn moment(&self, at_ms: u32) -> Instant {
        self.began + Duration::from_millis(at_ms.into())
    }

    fn ms(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.began);
        u32::try_from(since.as_millis()).unwrap_or(u32::MAX)
    }
}

fn kbps(bytes: u64, span: Duration) -> u32 {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let kbps = (bytes * 8).checked_div(ms).unwrap_or(0);
    u32::try_from(kbps).unwrap_or(u32::MAX)
}

fn short(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn tiny(count: u32) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::SAMPLES_MAX;
    use super::*;

    #[test]
    fn a_minute_of_somebody_takes_less_than_four_kilobytes() {
        let record = Record::new(Instant::now(), SAMPLES_MAX);
        let rings = record.seconds.footprint() + record.changes.footprint();
        let whole = size_of::<Record>() + rings;
        assert!(whole <= 4_096, "{whole} bytes");
    }

    #[test]
    fn a_second_has_what_was_counted_in_it() {
        let start = Instant::now();
        let mut record = Record::new(start, 60);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut tally = Tally {
            received_bytes: 5_000,
            ..Tally::default()
        };
        record.handle_connected(at(300), &tally, Duration::from_millis(300));
        tally.received_bytes += 125_000;
        tally.sent_bytes += 250_000;
        (tally.told, tally.lost) = (200, 3);
        tally.nacks = 7;
        let moment = Moment {
            rtt: Some(Duration::from_micros(41_250)),
            reported_loss: Loss::of(1, 2),
            ..Moment::default()
        };
        let second = record.take_second(at(1_300), &tally, &moment);
        assert_eq!((second.at_ms, second.in_kbps), (1_300, 1_000));
        assert_eq!((second.out_kbps, second.nacks), (2_000, 7));
        assert!((second.out_loss.share() - 0.015).abs() < 1e-6);
        assert_eq!(second.rtt(), Some(Duration::from_micros(41_200)));
        assert_eq!(second.jitter(), None);
        // Half a second, with nothing told: what was reported counts.
        tally.received_bytes += 125_000;
        let second = record.take_second(at(1_800), &tally, &moment);
        assert_eq!((second.in_kbps, second.out_kbps), (2_000, 0));
        assert!((second.out_loss.share() - 0.5).abs() < 1e-6);
        assert_eq!(second.nacks, 0);
        let summary = record.summary();
        assert_eq!(summary.connected_after, Some(Duration::from_millis(300)));
        assert_eq!((summary.worst_in_loss, summary.worst_out_loss), (0, 5_000));
        assert_eq!(summary.worst_rtt, Some(Duration::from_micros(41_200)));
    }

    #[test]
    fn as_many_seconds_and_changes_are_kept_as_there_is_room_for() {
        let start = Instant::now();
        let mut record = Record::new(start, SAMPLES_MAX);
        for second in 1..=100u64 {
            let now = start + Duration::from_secs(second);
            record.take_second(now, &Tally::default(), &Moment::default());
            record.note(now, Note::Interrupted);
        }
        let kept: Vec<u32> = record.seconds(u8::MAX).map(|second| second.at_ms).collect();
        assert_eq!((kept.len(), kept[0], kept[59]), (60, 41_000, 100_000));
        assert_eq!(record.seconds(5).count(), 5);
        assert_eq!(record.changes().count(), 64);
        assert_eq!(record.moment(41_000), start + Duration::from_secs(41));
    }

    #[test]
    fn what_lies_beyond_a_compact_number_is_its_greatest() {
        assert_eq!(Loss::of(5, 0).share(), 0.0);
        assert_eq!(Loss::of(9, 3).share(), 1.0);
        let hour = Tenths::of(Some(Duration::from_secs(3_600)));
        assert_eq!(hour.span(), Some(Duration::from_micros(6_553_400)));
        assert_eq!(kbps(u64::MAX / 16, Duration::from_millis(1)), u32::MAX);
        assert_eq!((short(70_000), tiny(300)), (u16::MAX, u8::MAX));
    }
}
