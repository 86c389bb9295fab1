use super::*;
use crate::core::ring::Format;
use crate::unit::Ssrc;
use proptest::prelude::*;
use std::time::Duration;

const RTT: Duration = Duration::from_millis(50);

fn at(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

fn stream() -> ReceiveStream {
    ReceiveStream::new(ReceiveConfig {
        source: Source::Camera,
        clock: ClockRate::VIDEO,
        is_repairable: true,
    })
}

fn packet(seq: u16) -> Arrival {
    Arrival {
        pt: crate::unit::PayloadType(96),
        seq: SeqNo(seq),
        time: RtpTime(u32::from(seq) * 3_000),
        marker: true,
        format: Format::Primary,
        starts_frame: true,
        keyframe: None,
        coding: crate::core::ring::Coding::Plain,
        level: None,
        wire_bytes: 1_100,
    }
}

fn nacks(stream: &mut ReceiveStream, now: Instant) -> Vec<u16> {
    let mut out = Vec::new();
    stream.poll_nacks(now, RTT, &mut out);
    out.into_iter().map(|seq| seq.0).collect()
}

#[test]
fn numbers_are_extended_across_a_wrap_and_before_the_first() {
    let start = Instant::now();
    let mut stream = stream();
    let mut take = |seq| {
        stream
            .handle_packet(start, &packet(seq), b"x")
            .map(|seq| seq.0)
    };
    assert_eq!(take(0xffff), Ok(0x1_ffff));
    assert_eq!(take(0), Ok(0x2_0000));
    assert_eq!(take(0xfffe), Ok(0x1_fffe));
    assert_eq!(take(0), Err(Ignored::Ring(RingError::Duplicate)));
}

#[test]
fn a_gap_is_asked_for_and_a_repair_takes_its_place() {
    let start = Instant::now();
    let mut stream = stream();
    for seq in [10, 13] {
        stream.handle_packet(start, &packet(seq), b"x").unwrap();
    }
    assert_eq!(stream.next_due(RTT), Some(at(start, 10)));
    assert_eq!(nacks(&mut stream, at(start, 10)), [11, 12]);
    let seq = stream.handle_repair(at(start, 60), &packet(11), b"eleven");
    let seq = seq.unwrap();
    assert_eq!(stream.get(seq).unwrap().1, b"eleven");
    assert_eq!(nacks(&mut stream, at(start, 60)), [12]);
    assert_eq!(stream.repaired(), 1);
    // The path lost it all the same.
    assert_eq!(
        stream
            .reception_report(start, Ssrc(1))
            .unwrap()
            .cumulative_lost,
        2
    );
}

#[test]
fn a_repair_that_is_known_or_from_nowhere_is_ignored() {
    let start = Instant::now();
    let mut stream = stream();
    let repair = |stream: &mut ReceiveStream, seq| stream.handle_repair(start, &packet(seq), b"x");
    assert_eq!(repair(&mut stream, 10), Err(Ignored::Stray));
    stream.handle_packet(start, &packet(10), b"x").unwrap();
    let known = Err(Ignored::Ring(RingError::Duplicate));
    assert_eq!(repair(&mut stream, 10), known);
    assert_eq!(repair(&mut stream, 11), Err(Ignored::Stray));
    assert_eq!(repair(&mut stream, 10_000), Err(Ignored::Stray));
}

#[test]
fn a_jump_is_believed_when_a_second_packet_follows_it() {
    let start = Instant::now();
    let mut stream = stream();
    let mut take = |seq| {
        stream
            .handle_packet(start, &packet(seq), b"x")
            .map(|seq| seq.0)
    };
    assert_eq!(take(40_000), Ok(0x1_0000 + 40_000));
    assert_eq!(take(50_000), Err(Ignored::Stray));
    assert_eq!(take(40_001), Ok(0x1_0000 + 40_001));
    assert_eq!(take(50_000), Err(Ignored::Stray));
    assert_eq!(take(50_001), Ok(0x1_0000 + 50_001));
}

#[test]
fn a_stream_that_begins_anew_goes_on_ahead() {
    let start = Instant::now();
    let mut stream = stream();
    let mut take = |seq| {
        stream
            .handle_packet(start, &packet(seq), b"x")
            .map(|seq| seq.0)
    };
    assert_eq!(take(40_000), Ok(0x1_0000 + 40_000));
    assert_eq!(take(30_000), Err(Ignored::Stray));
    assert_eq!(take(30_001), Ok(0x2_0000 + 30_001));
    assert_eq!(take(30_002), Ok(0x2_0000 + 30_002));
}

#[test]
fn a_loss_too_large_for_repair_wants_a_key_frame() {
    let start = Instant::now();
    let mut stream = stream();
    stream.handle_packet(start, &packet(0), b"x").unwrap();
    stream.handle_packet(start, &packet(600), b"x").unwrap();
    assert!(nacks(&mut stream, at(start, 100)).is_empty());
    assert!(stream.take_wants_keyframe());
    assert!(!stream.take_wants_keyframe());
}

#[test]
fn a_key_frame_tells_the_size_and_ends_old_requests() {
    let start = Instant::now();
    let mut stream = stream();
    stream.handle_packet(start, &packet(0), b"x").unwrap();
    let size = Resolution {
        width: 640,
        height: 360,
    };
    let keyframe = Arrival {
        keyframe: Some(size),
        ..packet(5)
    };
    stream.handle_packet(start, &keyframe, b"x").unwrap();
    assert!(nacks(&mut stream, at(start, 100)).is_empty());
    assert_eq!(stream.resolution(), Some(size));
    assert_eq!(stream.keyframe_at(), Some(start));
}

#[test]
fn a_layer_is_dead_without_media_even_when_padding_comes() {
    let start = Instant::now();
    let mut stream = stream();
    assert!(!stream.is_alive(start));
    stream.handle_packet(start, &packet(0), b"x").unwrap();
    stream
        .handle_packet(at(start, 900), &packet(1), b"")
        .unwrap();
    assert!(stream.is_alive(at(start, 999)));
    assert!(!stream.is_alive(at(start, 1_000)));
}

#[test]
fn a_layer_of_which_nothing_comes_gives_its_memory_back_and_takes_nothing_twice() {
    let start = Instant::now();
    let mut stream = stream();
    stream.handle_packet(start, &packet(0), b"x").unwrap();
    stream
        .handle_packet(at(start, 900), &packet(1), b"x")
        .unwrap();
    stream.release_if_idle(at(start, 10_899));
    assert!(stream.footprint() > 0);
    stream.release_if_idle(at(start, 10_900));
    assert_eq!(stream.footprint(), 0);
    // As a probe for bandwidth has it.
    let late = at(start, 11_000);
    let again = stream.handle_repair(late, &packet(1), b"x");
    assert_eq!(again, Err(Ignored::Ring(RingError::TooOld)));
    assert!(!stream.is_alive(late));
    let next = stream.handle_packet(late, &packet(2), b"x").unwrap();
    assert!(stream.get(next).is_some() && stream.is_alive(late));
    assert!(nacks(&mut stream, at(start, 11_100)).is_empty());
}

#[test]
fn reports_refer_to_the_publishers_last_one() {
    let start = Instant::now();
    let mut stream = stream();
    assert_eq!(stream.reception_report(start, Ssrc(1)), None);
    stream.handle_packet(start, &packet(9), b"x").unwrap();
    let report = stream.reception_report(start, Ssrc(1)).unwrap();
    assert_eq!((report.last_sr, report.delay_since_last_sr), (0, 0));
    assert_eq!(report.highest_seq, 9);
    let line = SenderLine {
        ntp: NtpTime(0x0123_4567_89ab_cdef),
        time: RtpTime(0),
    };
    stream.handle_sender_report(start, line);
    let report = stream.reception_report(at(start, 500), Ssrc(1)).unwrap();
    assert_eq!(
        (report.last_sr, report.delay_since_last_sr),
        (0x4567_89ab, 0x8000)
    );
    let seq = stream.handle_packet(start, &packet(10), b"x").unwrap();
    let captured = stream.get(seq).unwrap().0.captured.unwrap();
    assert_eq!(captured.since(line.ntp), (30_000 << 32) / 90_000);
}

#[test]
fn rates_are_of_the_whole_datagrams_and_duplicates_count() {
    let start = Instant::now();
    let mut stream = stream();
    for seq in 0..100u16 {
        let now = at(start, u64::from(seq) * 10);
        stream.handle_packet(now, &packet(seq), b"x").unwrap();
    }
    let now = at(start, 999);
    let rate = stream.bitrate(now, 3).0;
    assert!((870_000..=890_000).contains(&rate), "{rate}");
    assert_eq!(stream.frame_rate(now), 100);
    let _ = stream.handle_packet(now, &packet(5), b"x");
    assert!(stream.bitrate(now, 3).0 > rate);
}

#[test]
fn jitter_is_told_as_a_span() {
    let start = Instant::now();
    let mut stream = stream();
    for seq in 0..200u16 {
        let late = if seq % 2 == 0 { 0 } else { 20 };
        let now = at(start, u64::from(seq) * 100 / 3 + late);
        stream.handle_packet(now, &packet(seq), b"x").unwrap();
    }
    let jitter = stream.jitter().as_millis();
    assert!((15..=22).contains(&jitter), "{jitter}");
}

proptest! {
    /// Whatever numbers come: no panic, each is taken once, and what is missing stays bounded.
    #[test]
    fn no_sequence_of_numbers_breaks_a_stream(
        steps in prop::collection::vec((any::<u16>(), any::<bool>(), 0u8..20), 1..300),
    ) {
        let start = Instant::now();
        let mut stream = stream();
        let (mut taken, mut last, mut ms) = (std::collections::BTreeSet::new(), 0u16, 0);
        let mut out = Vec::new();
        for (number, is_repair, jump) in steps {
            ms += u64::from(jump);
            // Mostly forward by little, sometimes anywhere.
            last = if jump == 0 { number } else { last.wrapping_add(number % 5).wrapping_sub(1) };
            let now = at(start, ms);
            let result = if is_repair {
                stream.handle_repair(now, &packet(last), b"x")
            } else {
                stream.handle_packet(now, &packet(last), b"x")
            };
            if let Ok(seq) = result {
                prop_assert_eq!(seq.wire(), SeqNo(last));
                prop_assert!(taken.insert(seq), "{:?} was taken twice", seq);
                prop_assert!(stream.get(seq).is_some());
            }
            out.clear();
            stream.poll_nacks(now, RTT, &mut out);
            prop_assert!(out.len() <= crate::core::nack::MAX_MISSING);
            let highest = stream.highest();
            let needless = out.iter().find(|seq| {
                highest.is_some_and(|highest| taken.contains(&highest.nearest(**seq)))
            });
            prop_assert_eq!(needless, None);
            let _ = stream.reception_report(now, Ssrc(1));
        }
    }
}
