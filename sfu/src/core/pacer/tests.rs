//! What the pacer lets through and when.

use super::*;
use proptest::prelude::*;

fn after(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

fn pacer(start: Instant) -> Pacer<u32> {
    // It drains at 1.5 Mbit/s: a packet of 1,500 bytes in eight milliseconds.
    Pacer::new(start, Bitrate::kbps(1_000))
}

/// Everything that leaves now.
fn drain(pacer: &mut Pacer<u32>, now: Instant) -> Vec<Output<u32>> {
    std::iter::from_fn(|| pacer.poll(now)).collect()
}

fn plan(kbps: u64, bytes: u32) -> ProbePlan {
    ProbePlan {
        cluster: ProbeCluster::from_index(1).expect("not zero"),
        rate: Bitrate::kbps(kbps),
        bytes,
        packets: 5,
    }
}

#[test]
fn a_small_burst_leaves_at_once_and_the_rest_in_order() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    let verdicts: Vec<_> = (0..8)
        .map(|number| pacer.enqueue(start, Class::Video, 1_500, number))
        .collect();
    assert_eq!(verdicts[..3], [Enqueued::Now; 3]);
    assert_eq!(verdicts[3..], [Enqueued::Queued; 5]);
    let mut left = Vec::new();
    while let Some(due) = pacer.poll_timeout() {
        for output in drain(&mut pacer, due) {
            if let Output::Send { item, .. } = output {
                left.push((item, (due - start).as_millis()));
            }
        }
    }
    // Three packets take 24 ms; then the next run leaves together.
    assert_eq!(left, vec![(3, 24), (4, 24), (5, 24), (6, 48), (7, 48)]);
}

#[test]
fn far_below_the_estimate_nothing_ever_waits() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start, Bitrate::kbps(10_000));
    for frame in 0..250 {
        let now = after(start, frame * 40);
        for _ in 0..10 {
            assert_eq!(pacer.enqueue(now, Class::Video, 1_100, 0), Enqueued::Now);
        }
        assert_eq!(pacer.poll_timeout(), None);
    }
}

#[test]
fn sound_never_waits_but_is_counted() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    for _ in 0..100 {
        assert_eq!(pacer.enqueue(start, Class::Audio, 1_500, 0), Enqueued::Now);
    }
    assert_eq!(pacer.enqueue(start, Class::Video, 100, 1), Enqueued::Queued);
    assert_eq!(pacer.poll_timeout(), Some(after(start, 800)));
}

#[test]
fn what_was_asked_for_again_leaves_before_pictures() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    for number in 0..4 {
        pacer.enqueue(start, Class::Video, 1_500, number);
    }
    pacer.enqueue(start, Class::Padding, 1_500, 98);
    pacer.enqueue(start, Class::Retransmission, 1_500, 99);
    let left: Vec<_> = drain(&mut pacer, after(start, 24))
        .into_iter()
        .map(|output| match output {
            Output::Send { item, .. } | Output::Drop { item, .. } => item,
            Output::Pad { .. } => 0,
        })
        .collect();
    assert_eq!(left, vec![99, 3, 98]);
}

#[test]
fn pictures_of_a_second_ago_are_dropped() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start, Bitrate::kbps(10));
    for number in 0..20 {
        pacer.enqueue(start, Class::Video, 1_000, number);
    }
    let due = pacer.poll_timeout().expect("something waits");
    assert!(due <= start + VIDEO_WAIT);
    let outputs = drain(&mut pacer, start + VIDEO_WAIT);
    assert!(!outputs.is_empty());
    assert!(outputs.iter().all(|output| matches!(
        output,
        Output::Drop {
            class: Class::Video,
            ..
        }
    )));
    assert_eq!(pacer.poll_timeout(), None);
}

#[test]
fn a_full_queue_refuses_and_a_stream_can_be_discarded() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start, Bitrate::kbps(1));
    let verdicts: Vec<_> = (0..600)
        .map(|number| pacer.enqueue(start, Class::Video, 1_000, number))
        .collect();
    assert_eq!(pacer.len(), QUEUE_PACKETS);
    assert_eq!(verdicts.last(), Some(&Enqueued::Dropped));
    let gone = pacer.discard(|item| item % 2 == 0);
    assert_eq!(gone, QUEUE_PACKETS / 2);
    assert_eq!(pacer.len(), QUEUE_PACKETS / 2);
}

#[test]
fn a_lower_target_makes_what_was_sent_take_longer_to_drain() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    for number in 0..5 {
        pacer.enqueue(start, Class::Video, 1_500, number);
    }
    assert_eq!(pacer.poll_timeout(), Some(after(start, 24)));
    pacer.set_target(start, Bitrate::kbps(500));
    assert_eq!(pacer.poll_timeout(), Some(after(start, 48)));
}

#[test]
fn a_probe_leaves_at_its_rate_with_media_counted() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.start_probe(start, plan(4_000, 7_500));
    assert_eq!(pacer.enqueue(start, Class::Video, 1_000, 7), Enqueued::Now);
    assert!(pacer.cluster().is_some());
    let mut bytes = 1_000;
    let mut last = start;
    while let Some(due) = pacer.poll_timeout() {
        for output in drain(&mut pacer, due) {
            let Output::Pad { bytes: more } = output else {
                panic!("only padding is left");
            };
            bytes += u32::from(more);
            last = due;
        }
    }
    assert!((7_500..8_800).contains(&bytes), "{bytes}");
    // 7,500 bytes at 4 Mbit/s are 15 ms.
    let took = (last - start).as_millis();
    assert!((10..=15).contains(&took), "{took}");
    assert!(pacer.cluster().is_none());
}

#[test]
fn a_probe_that_is_asked_for_late_catches_up() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.start_probe(start, plan(900, 9_000));
    let (mut bytes, mut last) = (0, start);
    // A thread that sleeps too long: 9,000 bytes at 900 kbit/s are 80 ms.
    for ms in [0, 37, 70, 77, 120] {
        let now = after(start, ms);
        for output in drain(&mut pacer, now) {
            let Output::Pad { bytes: more } = output else {
                panic!("only padding is left");
            };
            bytes += u32::from(more);
            last = now;
        }
    }
    assert!(bytes >= 9_000, "{bytes}");
    assert_eq!(last, after(start, 77));
    assert!(pacer.cluster().is_none());
}

#[test]
fn a_probe_without_anything_to_send_is_given_up() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    pacer.start_probe(start, plan(4_000, 7_500));
    pacer.cancel_probe(start);
    assert_eq!(pacer.poll_timeout(), None);
    pacer.start_probe(start, plan(4_000, 7_500));
    assert_eq!(pacer.poll(after(start, 300)), None);
    assert!(pacer.cluster().is_none());
}

proptest! {
    #[test]
    fn every_packet_leaves_once_and_in_the_order_of_its_class(
        steps in proptest::collection::vec((0_u64..30, 0_usize..4, 1_u16..1_500), 1..200),
    ) {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, Bitrate::kbps(800));
        let classes = [Class::Audio, Class::Retransmission, Class::Video, Class::Padding];
        let mut now = start;
        let mut seen = [const { Vec::new() }; 4];
        let mut given = [0_u32; 4];
        let place = |class| classes.iter().position(|one| *one == class).expect("a class");
        let mut take = |output: Output<u32>| match output {
            Output::Send { class, item } | Output::Drop { class, item } => {
                seen[place(class)].push(item);
            }
            Output::Pad { .. } => panic!("no probe"),
        };
        for (wait_ms, class, bytes) in steps {
            now += Duration::from_millis(wait_ms);
            while let Some(output) = pacer.poll(now) {
                take(output);
            }
            let number = given[class];
            given[class] += 1;
            let class = classes[class];
            match pacer.enqueue(now, class, bytes, number) {
                Enqueued::Now => take(Output::Send { class, item: number }),
                Enqueued::Queued => {}
                Enqueued::Dropped => panic!("there is room"),
            }
        }
        while let Some(due) = pacer.poll_timeout() {
            while let Some(output) = pacer.poll(due) {
                take(output);
            }
        }
        for (numbers, count) in seen.iter().zip(given) {
            prop_assert_eq!(numbers, &(0..count).collect::<Vec<_>>());
        }
    }
}

#[test]
fn room_for_what_waited_once_is_given_back_and_what_is_needed_each_time_is_kept() {
    let start = Instant::now();
    let mut pacer = pacer(start);
    let fill = |pacer: &mut Pacer<u32>, packets: u32| {
        for number in 0..packets {
            pacer.enqueue(start, Class::Video, 1_500, number);
        }
        let room = pacer.capacity();
        pacer.discard(|_| true);
        room
    };
    assert!(fill(&mut pacer, 500) >= 490);
    pacer.trim();
    assert!(pacer.capacity() >= 490, "it was just needed");
    for _ in 0..10 {
        let room = fill(&mut pacer, 40);
        pacer.trim();
        assert!(pacer.capacity() <= 160, "{}", pacer.capacity());
        assert!(pacer.capacity() >= 37 && room >= 37);
    }
    pacer.trim();
    assert!(pacer.capacity() <= 16, "{}", pacer.capacity());
}
