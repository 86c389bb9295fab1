use super::*;
use crate::control::Source;
use crate::core::receive::ReceiveConfig;
use crate::unit::ClockRate;
use std::time::Duration;

const THEIRS: PayloadType = PayloadType(111);
const OURS: PayloadType = PayloadType(109);

fn stream() -> ReceiveStream {
    ReceiveStream::new(ReceiveConfig {
        source: Source::Microphone,
        clock: ClockRate::OPUS,
        is_repairable: false,
    })
}

fn arrival(seq: u16, format: Format) -> Arrival {
    Arrival {
        pt: crate::unit::PayloadType(96),
        seq: SeqNo(seq),
        time: RtpTime(u32::from(seq) * 960),
        marker: false,
        format,
        starts_frame: false,
        keyframe: None,
        coding: crate::core::ring::Coding::Plain,
        level: None,
        wire_bytes: 100,
    }
}

/// What the encoder made of packet `seq`.
fn opus(seq: u16) -> Vec<u8> {
    let [high, low] = seq.to_be_bytes();
    [0x78, high, low].repeat(1 + usize::from(seq % 5))
}

/// As a browser with two redundant blocks sends it.
fn red_of(seq: u16) -> Vec<u8> {
    let bytes = [opus(seq - 2), opus(seq - 1), opus(seq)];
    let block = |offset, bytes| Block {
        payload_type: THEIRS,
        offset,
        bytes,
    };
    let redundant = [block(1_920, &bytes[0]), block(960, &bytes[1])];
    let mut out = [0; 1_500];
    let len = red::write(&mut out, &block(0, &bytes[2]), &redundant).unwrap();
    out[..len].to_vec()
}

fn take(stream: &mut ReceiveStream, seq: u16) -> Vec<u64> {
    let now = Instant::now();
    let (arrival, payload) = (arrival(seq, Format::Red), red_of(seq));
    stream.handle_packet(now, &arrival, &payload).unwrap();
    let recovered = recover(stream, now, &arrival, &payload).unwrap();
    recovered.into_iter().flatten().map(|seq| seq.0).collect()
}

fn written(stream: &ReceiveStream, seq: u64, redundant: usize, oldest: u64) -> Vec<(u16, Vec<u8>)> {
    let plan = RedPlan {
        opus: OURS,
        redundant,
        oldest: ExtSeqNo(oldest),
    };
    let mut out = [0; 1_500];
    let len = write(stream, ExtSeqNo(seq), &plan, &mut out).unwrap();
    let blocks = Blocks::parse(&out[..len]).unwrap();
    blocks
        .inspect(|block| assert_eq!(block.payload_type, OURS))
        .map(|block| (block.offset, block.bytes.to_vec()))
        .collect()
}

const CYCLE: u64 = 0x1_0000;

#[test]
fn what_was_lost_comes_back_from_a_later_packet() {
    let mut stream = stream();
    assert_eq!(take(&mut stream, 10), [CYCLE + 8, CYCLE + 9]);
    assert_eq!(take(&mut stream, 11), [] as [u64; 0]);
    assert_eq!(take(&mut stream, 14), [CYCLE + 12, CYCLE + 13]);
    for seq in 8..=14u16 {
        let number = ExtSeqNo(CYCLE + u64::from(seq));
        let (meta, payload) = stream.get(number).unwrap();
        assert_eq!(primary(meta, payload).unwrap(), opus(seq));
        assert_eq!(meta.time, RtpTime(u32::from(seq) * 960));
    }
}

#[test]
fn a_subscriber_of_red_gets_what_went_before_whatever_the_publisher_sends() {
    let mut stream = stream();
    let now = Instant::now();
    for seq in 20..23 {
        let arrival = arrival(seq, Format::Primary);
        stream.handle_packet(now, &arrival, &opus(seq)).unwrap();
    }
    let both = [(1_920, opus(20)), (960, opus(21)), (0, opus(22))];
    assert_eq!(written(&stream, CYCLE + 22, 2, 0), both);
    assert_eq!(written(&stream, CYCLE + 22, 1, 0), both[1..]);
    assert_eq!(written(&stream, CYCLE + 22, 0, 0), both[2..]);
    // What was before the slot carried this voice is not heard.
    assert_eq!(written(&stream, CYCLE + 22, 2, CYCLE + 21), both[1..]);
    take(&mut stream, 23);
    let mixed = [(1_920, opus(21)), (960, opus(22)), (0, opus(23))];
    assert_eq!(written(&stream, CYCLE + 23, 2, 0), mixed);
}

#[test]
fn redundancy_ends_at_a_gap_and_at_a_pause() {
    let mut stream = stream();
    let now = Instant::now();
    let mut put = |seq: u16, time: u32| {
        let arrival = Arrival {
            time: RtpTime(time),
            ..arrival(seq, Format::Primary)
        };
        stream.handle_packet(now, &arrival, &opus(seq)).unwrap();
    };
    put(1, 0);
    put(3, 1_920);
    put(4, 1_920 + 0x4000);
    put(5, 1_920 + 0x4000 + 960);
    assert_eq!(written(&stream, CYCLE + 3, 2, 0), [(0, opus(3))]);
    assert_eq!(written(&stream, CYCLE + 4, 2, 0), [(0, opus(4))]);
    let after = [(960, opus(4)), (0, opus(5))];
    assert_eq!(written(&stream, CYCLE + 5, 2, 0), after);
}

#[test]
fn a_payload_that_grows_too_large_goes_without_the_oldest() {
    let mut stream = stream();
    let now = Instant::now();
    for seq in 1..4 {
        let arrival = arrival(seq, Format::Primary);
        stream.handle_packet(now, &arrival, &[0; 500]).unwrap();
    }
    assert_eq!(written(&stream, CYCLE + 3, 2, 0).len(), 2);
    let long = arrival(4, Format::Primary);
    stream.handle_packet(now, &long, &[0; 1_300]).unwrap();
    assert_eq!(written(&stream, CYCLE + 4, 2, 0).len(), 1);
}

#[test]
fn what_is_no_red_is_an_error_and_recovers_nothing() {
    let mut stream = stream();
    let now = Instant::now();
    let arrival = arrival(9, Format::Red);
    stream.handle_packet(now, &arrival, &[0x80]).unwrap();
    let refused = recover(&mut stream, now, &arrival, &[0x80]);
    assert_eq!(refused, Err(RedError::Truncated));
    let plan = RedPlan {
        opus: OURS,
        redundant: 1,
        oldest: ExtSeqNo(0),
    };
    let kept = write(&stream, ExtSeqNo(CYCLE + 9), &plan, &mut [0; 99]);
    assert_eq!(kept, Err(RedundancyError::Red(RedError::Truncated)));
    let missing = write(&stream, ExtSeqNo(CYCLE + 8), &plan, &mut [0; 99]);
    assert_eq!(missing, Err(RedundancyError::NotKept));
}

#[test]
fn blocks_out_of_order_are_not_believed() {
    let mut stream = stream();
    let now = Instant::now();
    let block = |offset| Block {
        payload_type: THEIRS,
        offset,
        bytes: b"x",
    };
    let mut out = [0; 100];
    let redundant = [block(960), block(1_920)];
    let len = red::write(&mut out, &block(0), &redundant).unwrap();
    let arrival = arrival(9, Format::Red);
    stream
        .handle_packet(now + Duration::ZERO, &arrival, &out[..len])
        .unwrap();
    let recovered = recover(&mut stream, now, &arrival, &out[..len]).unwrap();
    let recovered: Vec<u64> = recovered.into_iter().flatten().map(|seq| seq.0).collect();
    assert_eq!(recovered, [CYCLE + 7]);
}
