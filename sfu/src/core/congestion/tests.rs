//! The estimator as a whole, and what it makes of feedback that can't be trusted.

use super::*;
use proptest::prelude::*;

/// An estimator that sends a packet of 1,000 bytes every 5 ms and gets feedback for every tenth.
struct Peer {
    start: Instant,
    now: Instant,
    estimator: Estimator,
    next: u16,
    reported: u16,
}

impl Peer {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            estimator: Estimator::new(start, Config::default()),
            next: 0,
            reported: 0,
        }
    }

    /// All of its state, without what is too old to count.
    fn seen(&mut self) -> String {
        let now_us = self.estimator.us(self.now);
        self.estimator.history.expire(now_us);
        format!("{:?}", self.estimator)
    }

    fn send(&mut self, packets: u16) {
        for _ in 0..packets {
            self.now += Duration::from_millis(5);
            let wire = self.estimator.on_sent(self.now, 1_000, None);
            assert_eq!(wire, self.next);
            self.next = self.next.wrapping_add(1);
        }
    }

    fn ms(&self) -> i64 {
        let since = self.now - self.start;
        i64::try_from(since.as_millis()).expect("a short test")
    }

    /// Feedback about all that was sent since the last, 20 ms after it left.
    fn honest(&mut self) -> (Feedback, Vec<PacketResult>) {
        let count = self.next.wrapping_sub(self.reported);
        let first_ms = self.ms() + 20 - (i64::from(count) - 1) * 5;
        let reference_time = first_ms / 64;
        let results = (0..count)
            .map(|offset| PacketResult {
                offset,
                delta: Some(if offset == 0 {
                    ticks(first_ms % 64)
                } else {
                    20
                }),
            })
            .collect();
        let head = Feedback {
            base: self.reported,
            reference_time: i32::try_from(reference_time).expect("a short test"),
        };
        self.reported = self.next;
        (head, results)
    }

    fn feed(&mut self, head: Feedback, results: &[PacketResult]) -> Result<(), FeedbackError> {
        self.estimator
            .handle_feedback(self.now, head, results.iter().copied())
    }

    fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.send(10);
            let (head, results) = self.honest();
            self.feed(head, &results).expect("honest");
        }
    }
}

fn ticks(ms: i64) -> i16 {
    i16::try_from(ms * 4).expect("a small delta")
}

#[test]
fn on_a_free_path_it_grows_to_what_is_proven() {
    let mut peer = Peer::new();
    peer.run(600);
    // 1.6 Mbit/s are sent and arrive.
    let acknowledged = peer.estimator.acknowledged().0;
    assert!(
        (1_500_000..1_700_000).contains(&acknowledged),
        "{acknowledged}"
    );
    let estimate = peer.estimator.estimate().0;
    assert!((2_000_000..2_600_000).contains(&estimate), "{estimate}");
}

#[test]
fn numbers_wrap_many_times_without_a_trace() {
    let mut peer = Peer::new();
    peer.run(20_000);
    assert!(peer.estimator.estimate() >= Bitrate::kbps(2_000));
}

#[test]
fn a_duplicate_and_an_old_feedback_are_no_news() {
    let mut peer = Peer::new();
    peer.send(10);
    let (head, results) = peer.honest();
    assert_eq!(peer.feed(head, &results), Ok(()));
    assert_eq!(peer.feed(head, &results), Err(FeedbackError::NoNews));
    peer.now += Duration::from_secs(5);
    assert_eq!(peer.feed(head, &results), Err(FeedbackError::NoNews));
    assert_eq!(peer.feed(head, &[]), Err(FeedbackError::NoNews));
}

#[test]
fn feedback_about_packets_that_were_never_sent_changes_nothing() {
    let mut peer = Peer::new();
    peer.run(40);
    peer.send(10);
    let before = peer.seen();
    let (mut head, results) = peer.honest();
    head.base = head.base.wrapping_add(1);
    assert_eq!(peer.feed(head, &results), Err(FeedbackError::NeverSent));
    assert_eq!(peer.seen(), before);
}

#[test]
fn a_feedback_of_too_many_results_changes_nothing() {
    let mut peer = Peer::new();
    peer.run(40);
    peer.send(10);
    let before = peer.seen();
    let (head, results) = peer.honest();
    let many: Vec<_> = results
        .iter()
        .cycle()
        .take(RESULTS_MAX + 1)
        .copied()
        .collect();
    assert_eq!(peer.feed(head, &many), Err(FeedbackError::TooMany));
    assert_eq!(peer.seen(), before);
}

#[test]
fn impossible_times_are_not_believed_until_they_persist() {
    let mut peer = Peer::new();
    peer.run(40);
    let estimate = peer.estimator.estimate();
    let mut verdicts = Vec::new();
    for _ in 0..4 {
        peer.send(10);
        let (mut head, results) = peer.honest();
        // The receiver's clock is an hour ahead all of a sudden.
        head.reference_time += 3_600_000 / 64;
        verdicts.push(peer.feed(head, &results));
    }
    let bad = Err(FeedbackError::BadTimes);
    assert_eq!(verdicts, vec![bad, bad, Ok(()), Ok(())]);
    assert!(peer.estimator.estimate() >= estimate);
}

#[test]
fn the_reference_time_wraps_without_a_trace() {
    let mut peer = Peer::new();
    peer.run(40);
    let mut wrapped = Peer::new();
    for _ in 0..40 {
        wrapped.send(10);
        let (mut head, results) = wrapped.honest();
        // 24 bits, signed: it wraps after 16 units.
        head.reference_time = ((head.reference_time + (1 << 23) - 16) << 8) >> 8;
        wrapped.feed(head, &results).expect("honest");
    }
    assert_eq!(wrapped.estimator.estimate(), peer.estimator.estimate());
}

#[test]
fn a_clock_that_goes_back_or_jumps_does_no_harm() {
    let mut peer = Peer::new();
    peer.run(40);
    let ahead = peer.now + Duration::from_secs(86_400 * 365);
    peer.estimator.handle_timeout(ahead);
    peer.estimator.on_sent(peer.start, 1_000, None);
    peer.next = peer.next.wrapping_add(1);
    peer.estimator.handle_timeout(peer.start);
    peer.reported = peer.next;
    peer.run(40);
    assert!(peer.estimator.estimate() >= Config::default().min);
}

#[test]
fn without_feedback_the_estimate_decays_to_the_least() {
    let mut peer = Peer::new();
    peer.run(100);
    let before = peer.estimator.estimate();
    peer.send(1);
    let due = peer.estimator.poll_timeout().expect("feedback is missed");
    assert_eq!(due, peer.now + Duration::from_secs(1));
    peer.estimator.handle_timeout(due);
    let event = peer.estimator.poll_event().expect("it fell");
    assert_eq!(event.cause, Cause::Silence);
    assert!(event.estimate < before);
    for _ in 0..100 {
        let due = peer.estimator.poll_timeout().expect("still");
        peer.estimator.handle_timeout(due);
    }
    assert_eq!(peer.estimator.estimate(), Config::default().min);
}

#[test]
fn at_the_least_estimate_small_probes_ask_whether_the_path_is_back() {
    let mut peer = Peer::new();
    peer.run(20);
    peer.estimator.set_desired(peer.now, Bitrate::kbps(5_000));
    while peer.estimator.poll_probe().is_some() {}
    peer.send(1);
    let mut probes = 0;
    let end = peer.now + Duration::from_secs(60);
    while peer.now < end {
        peer.now = peer
            .estimator
            .poll_timeout()
            .expect("it is missed")
            .max(peer.now);
        peer.estimator.handle_timeout(peer.now);
        while let Some(plan) = peer.estimator.poll_probe() {
            assert_eq!(peer.estimator.estimate(), Config::default().min);
            assert!(plan.bytes < 4_000, "{plan:?}");
            probes += 1;
        }
    }
    assert!((5..20).contains(&probes), "{probes}");
}

#[test]
fn who_sends_nothing_misses_no_feedback() {
    let mut peer = Peer::new();
    peer.run(100);
    assert_eq!(peer.estimator.poll_timeout(), None);
}

#[test]
fn probes_come_when_more_is_wanted_and_lift_the_estimate() {
    let mut peer = Peer::new();
    peer.run(20);
    assert_eq!(peer.estimator.poll_probe(), None);
    peer.estimator.set_desired(peer.now, Bitrate::kbps(5_000));
    let plan = peer.estimator.poll_probe().expect("more is wanted");
    assert_eq!(plan.rate, Bitrate::kbps(900));
    let high = peer.estimator.poll_probe().expect("and more");
    // 1,125 bytes a ms are 9 Mbit/s; all of them arrive as they left.
    for _ in 0..u32::from(high.packets).max(high.bytes / 1_125 + 1) {
        peer.now += Duration::from_millis(1);
        peer.estimator.on_sent(peer.now, 1_125, Some(high.cluster));
        peer.next = peer.next.wrapping_add(1);
    }
    let count = peer.next.wrapping_sub(peer.reported);
    let (head, mut results) = peer.honest();
    let end_ms = peer.ms();
    let first = end_ms + 20 - i64::from(count - 1) - i64::from(head.reference_time) * 64;
    for result in &mut results {
        result.delta = Some(if result.offset == 0 { ticks(first) } else { 4 });
    }
    peer.feed(head, &results).expect("honest");
    let event = peer.estimator.poll_event().expect("it rose");
    assert_eq!(event.cause, Cause::Probe);
    // A quarter more than was planned, and no more.
    assert_eq!(event.estimate, Bitrate::kbps(2_250));
}

proptest! {
    #[test]
    fn no_feedback_whatever_breaks_it(
        rounds in proptest::collection::vec(
            (any::<u16>(), any::<i32>(), any::<bool>(),
             proptest::collection::vec((any::<u16>(), any::<Option<i16>>()), 0..60)),
            1..40),
    ) {
        let mut peer = Peer::new();
        peer.run(5);
        for (base, reference_time, is_near, results) in rounds {
            peer.send(3);
            let base = if is_near { peer.next.wrapping_sub(base % 64) } else { base };
            let results: Vec<_> = results
                .into_iter()
                .map(|(offset, delta)| PacketResult {
                    offset: if is_near { offset % 64 } else { offset },
                    delta,
                })
                .collect();
            let _ = peer.feed(Feedback { base, reference_time }, &results);
            peer.estimator.handle_timeout(peer.now);
            let config = Config::default();
            let estimate = peer.estimator.estimate();
            prop_assert!((config.min..=config.max).contains(&estimate));
            prop_assert!(peer.estimator.poll_timeout().is_none_or(|due| due > peer.now));
        }
    }
}
