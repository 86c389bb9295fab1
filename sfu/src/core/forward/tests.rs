use super::*;
use crate::core::ring::{Choices, Format, Layered, Vp8};
use crate::unit::PayloadType;
use crate::wire::vp8::PictureId;
use proptest::prelude::*;
use std::time::Duration;

const FIRST: ForwarderConfig = ForwarderConfig {
    kind: MediaKind::Video,
    clock: ClockRate::VIDEO,
    seq: 1_000,
    time: 0xffff_ff00,
    picture_id: 0x7ffe,
    tl0: 0xff,
};

/// A picture of one packet.
#[derive(Clone, Copy)]
struct Picture {
    id: u16,
    temporal: u8,
    tl0: u8,
    ms: u64,
}

struct Bench {
    start: Instant,
    forwarder: Forwarder,
}

impl Bench {
    fn new() -> Self {
        let mut forwarder = Forwarder::new(FIRST);
        forwarder.set_source(Some(SourceKey(1)));
        forwarder.set_target(Some(target(0, 2)));
        Self {
            start: Instant::now(),
            forwarder,
        }
    }

    fn meta(&self, picture: Picture) -> Meta {
        Meta {
            pt: PayloadType(96),
            time: RtpTime(u32::try_from(picture.ms * 90).unwrap()),
            received_at: self.start + Duration::from_millis(picture.ms),
            captured: None,
            payload_len: 100,
            descriptor_len: 0,
            format: Format::Primary,
            marker: true,
            starts_frame: true,
            is_keyframe: false,
            coding: Coding::Vp8(Vp8 {
                picture_id: Some(PictureId::Long(picture.id)),
                tl0: Some(picture.tl0),
                temporal: picture.temporal,
                is_sync: false,
            }),
            level: None,
        }
    }

    fn keyframe(&mut self, layer: u8, seq: u64, picture: Picture) -> Decision {
        let meta = Meta {
            is_keyframe: true,
            ..self.meta(picture)
        };
        self.forwarder.decide(layer, ExtSeqNo(seq), &meta)
    }

    fn show(&mut self, layer: u8, seq: u64, picture: Picture) -> Decision {
        let meta = self.meta(picture);
        self.forwarder.decide(layer, ExtSeqNo(seq), &meta)
    }

    fn padding(&mut self, layer: u8, seq: u64, ms: u64) -> Decision {
        let meta = Meta {
            payload_len: 0,
            descriptor_len: 0,
            coding: Coding::Plain,
            marker: false,
            starts_frame: false,
            ..self.meta(picture(0, 0, 0, ms))
        };
        self.forwarder.decide(layer, ExtSeqNo(seq), &meta)
    }
}

/// Any coding there is.
fn coding(flags: u8, [temporal, tl0]: [u8; 2], id: PictureId) -> Coding {
    let (picture_id, tl0) = (Some(id), Some(tl0));
    match (flags & 16 != 0, flags & 1 != 0) {
        (false, false) => Coding::Plain,
        (true, _) => Coding::Vp8(Vp8 {
            picture_id,
            tl0,
            temporal: temporal & 3,
            is_sync: temporal & 4 != 0,
        }),
        (false, true) => {
            let some = |bit: u8| {
                Choice::all().filter(move |choice| temporal >> (choice.spatial + bit) & 1 == 1)
            };
            Coding::Layered(Layered {
                spatial: temporal % 3,
                temporal: temporal & 3,
                part_of: some(0).collect::<Choices>(),
                enters: some(4).collect::<Choices>(),
                is_nested: flags & 4 != 0,
                ends_frame: flags & 8 != 0,
                picture_id,
                tl0,
                frame: (flags & 32 != 0).then_some(u16::from(temporal) << 8),
            })
        }
    }
}

fn target(layer: u8, temporal: u8) -> Target {
    Target {
        layer,
        spatial: 0,
        temporal,
    }
}

fn picture(id: u16, temporal: u8, tl0: u8, ms: u64) -> Picture {
    Picture {
        id,
        temporal,
        tl0,
        ms,
    }
}

#[track_caller]
fn forwarded(decision: Decision) -> Rewrite {
    match decision {
        Decision::Forward(rewrite) => rewrite,
        Decision::Fill(_) | Decision::Drop(_) => panic!("{decision:?}"),
    }
}

#[track_caller]
fn numbers(decision: Decision) -> (u64, u16, u8) {
    let rewrite = forwarded(decision);
    (
        rewrite.seq.0,
        rewrite.picture_id.unwrap(),
        rewrite.tl0.unwrap(),
    )
}

#[test]
fn nothing_goes_out_before_a_key_frame_of_the_target() {
    let mut bench = Bench::new();
    assert_eq!(bench.forwarder.wanted_keyframe(), Some(0));
    let before = bench.show(0, 10, picture(1, 0, 1, 0));
    assert_eq!(before, Decision::Drop(Dropped::OtherLayer));
    let other = bench.keyframe(1, 10, picture(1, 0, 1, 0));
    assert_eq!(other, Decision::Drop(Dropped::OtherLayer));
    let first = forwarded(bench.keyframe(0, 11, picture(2, 0, 2, 33)));
    assert_eq!(first.seq, ExtSeqNo(1_000));
    assert_eq!(first.time, RtpTime(0xffff_ff00));
    assert_eq!((first.picture_id, first.tl0), (Some(0x7ffe), Some(0xff)));
    assert_eq!(bench.forwarder.wanted_keyframe(), None);
}

#[test]
fn a_temporal_layer_that_is_left_out_leaves_no_trace() {
    let mut bench = Bench::new();
    bench.forwarder.set_target(Some(target(0, 1)));
    let first = bench.keyframe(0, 10, picture(100, 0, 7, 0));
    assert_eq!(numbers(first), (1_000, 0x7ffe, 0xff));
    let dropped = bench.show(0, 11, picture(101, 2, 7, 33));
    assert_eq!(dropped, Decision::Drop(Dropped::NotChosen));
    let second = bench.show(0, 12, picture(102, 1, 7, 66));
    assert_eq!(numbers(second), (1_001, 0x7fff, 0xff));
    bench.show(0, 13, picture(103, 2, 7, 100));
    let third = bench.show(0, 14, picture(104, 0, 8, 133));
    assert_eq!(numbers(third), (1_002, 0, 0));
}

#[test]
fn what_the_path_lost_stays_open_and_is_sent_when_it_comes() {
    let mut bench = Bench::new();
    bench.keyframe(0, 10, picture(100, 0, 7, 0));
    let third = bench.show(0, 12, picture(102, 0, 9, 66));
    assert_eq!(numbers(third), (1_002, 0, 1));
    let late = bench.show(0, 11, picture(101, 0, 8, 33));
    assert_eq!(numbers(late), (1_001, 0x7fff, 0));
}

#[test]
fn what_comes_late_and_is_not_wanted_is_filled_in() {
    let mut bench = Bench::new();
    bench.forwarder.set_target(Some(target(0, 1)));
    bench.keyframe(0, 10, picture(100, 0, 7, 0));
    // Nobody knows yet what 11 is.
    let after = bench.show(0, 12, picture(102, 0, 8, 66));
    assert_eq!(numbers(after).0, 1_002);
    let late = bench.show(0, 11, picture(101, 2, 7, 33));
    let Decision::Fill(fill) = late else {
        panic!("{late:?}");
    };
    assert_eq!((fill.seq, fill.picture_id), (ExtSeqNo(1_001), None));
}

#[test]
fn a_gap_between_pictures_of_the_lowest_layer_is_known_to_be_unwanted() {
    let mut bench = Bench::new();
    bench.forwarder.set_target(Some(target(0, 0)));
    bench.keyframe(0, 10, picture(100, 0, 7, 0));
    let next = bench.show(0, 16, picture(104, 0, 8, 133));
    assert_eq!(numbers(next), (1_001, 0x7fff, 0));
    let late = bench.show(0, 12, picture(102, 1, 7, 66));
    assert_eq!(late, Decision::Drop(Dropped::TooLate));
    // Here a picture of the lowest layer itself is missing.
    let after = bench.show(0, 20, picture(108, 0, 10, 266));
    assert_eq!(numbers(after).0, 1_005);
}

#[test]
fn padding_closes_its_number_and_fills_one_that_is_open() {
    let mut bench = Bench::new();
    bench.keyframe(0, 10, picture(100, 0, 7, 0));
    let padding = bench.padding(0, 11, 10);
    assert_eq!(padding, Decision::Drop(Dropped::Padding));
    assert_eq!(numbers(bench.show(0, 12, picture(101, 0, 8, 33))).0, 1_001);
    assert_eq!(numbers(bench.show(0, 14, picture(103, 0, 10, 99))).0, 1_003);
    let late = bench.padding(0, 13, 100);
    assert!(matches!(late, Decision::Fill(fill) if fill.seq == ExtSeqNo(1_002)));
}

#[test]
fn a_switch_goes_on_where_the_other_layer_ended() {
    let mut bench = Bench::new();
    bench.keyframe(0, 10, picture(100, 0, 7, 0));
    let last = forwarded(bench.show(0, 11, picture(101, 0, 8, 40)));
    bench.forwarder.set_target(Some(target(1, 2)));
    assert_eq!(bench.forwarder.wanted_keyframe(), Some(1));
    assert_eq!(bench.forwarder.current_layer(), Some(0));
    let first = forwarded(bench.keyframe(1, 9_000, picture(5_000, 0, 200, 80)));
    assert_eq!(first.seq, last.seq.next());
    assert_eq!((first.picture_id, first.tl0), (Some(0), Some(1)));
    assert_eq!(first.time.since(last.time), 40 * 90);
    let old = bench.show(0, 12, picture(102, 0, 9, 80));
    assert_eq!(old, Decision::Drop(Dropped::OtherLayer));
}

#[test]
fn sender_reports_align_layers_where_both_have_them() {
    let mut bench = Bench::new();
    let captured = |ms: u64| Some(NtpTime(0).plus(Duration::from_millis(ms)));
    let keyframe = |bench: &Bench, ms, time, at| Meta {
        pt: PayloadType(96),
        time: RtpTime(time),
        captured: captured(ms),
        is_keyframe: true,
        ..bench.meta(picture(1, 0, 1, at))
    };
    let meta = keyframe(&bench, 1_000, 5, 0);
    let before = forwarded(bench.forwarder.decide(0, ExtSeqNo(1), &meta));
    bench.forwarder.set_target(Some(target(1, 2)));
    // It took 50 ms longer to come than the one before.
    let meta = keyframe(&bench, 1_100, 0x8000_0000, 150);
    let after = forwarded(bench.forwarder.decide(1, ExtSeqNo(1), &meta));
    assert_eq!(after.time.since(before.time), 100 * 90);
    // A report that can't be right is not followed.
    bench.forwarder.set_target(Some(target(0, 2)));
    let meta = keyframe(&bench, 90_000, 77, 250);
    let wrong = forwarded(bench.forwarder.decide(0, ExtSeqNo(2), &meta));
    assert_eq!(wrong.time.since(after.time), 100 * 90);
    // Nor does time go back.
    bench.forwarder.set_target(Some(target(1, 2)));
    let meta = keyframe(&bench, 89_990, 0x8000_2000, 250);
    let same = forwarded(bench.forwarder.decide(1, ExtSeqNo(3), &meta));
    assert_eq!(same.time.since(wrong.time), 100 * 90);
}

#[test]
fn another_source_in_the_slot_is_the_same_stream() {
    let mut bench = Bench::new();
    let last = forwarded(bench.keyframe(0, 10, picture(100, 0, 7, 0)));
    bench.forwarder.set_source(Some(SourceKey(2)));
    assert_eq!(bench.forwarder.current_layer(), None);
    assert_eq!(bench.forwarder.wanted_keyframe(), Some(0));
    let early = bench.show(0, 11, picture(101, 0, 8, 33));
    assert_eq!(early, Decision::Drop(Dropped::OtherLayer));
    let first = forwarded(bench.keyframe(0, 5, picture(3, 0, 3, 1_000)));
    assert_eq!(first.seq, last.seq.next());
    assert_eq!(first.time.since(last.time), 90_000);
}

#[test]
fn a_pause_stops_at_once_and_goes_on_with_a_key_frame() {
    let mut bench = Bench::new();
    bench.keyframe(0, 10, picture(100, 0, 7, 0));
    bench.forwarder.pause();
    assert_eq!(bench.forwarder.wanted_keyframe(), None);
    let paused = bench.keyframe(0, 11, picture(101, 0, 8, 33));
    assert_eq!(paused, Decision::Drop(Dropped::Paused));
    bench.forwarder.resume();
    assert_eq!(bench.forwarder.wanted_keyframe(), Some(0));
    let waiting = bench.show(0, 12, picture(102, 0, 9, 66));
    assert_eq!(waiting, Decision::Drop(Dropped::OtherLayer));
    assert_eq!(
        numbers(bench.keyframe(0, 13, picture(103, 0, 10, 99))).0,
        1_001
    );
    bench.forwarder.set_target(None);
    let untargeted = bench.keyframe(0, 14, picture(104, 0, 11, 133));
    assert_eq!(untargeted, Decision::Drop(Dropped::Paused));
}

#[test]
fn what_overtook_the_beginning_of_a_key_frame_is_shown_again() {
    let mut bench = Bench::new();
    let rest = |bench: &Bench, marker| Meta {
        starts_frame: false,
        marker,
        ..bench.meta(picture(100, 0, 7, 0))
    };
    for (seq, marker) in [(11, false), (12, true)] {
        let meta = rest(&bench, marker);
        let early = bench.forwarder.decide(0, ExtSeqNo(seq), &meta);
        assert_eq!(early, Decision::Drop(Dropped::OtherLayer));
    }
    let first = bench.keyframe(0, 10, picture(100, 0, 7, 0));
    assert_eq!(numbers(first).0, 1_000);
    for (seq, marker) in [(11, false), (12, true)] {
        assert_eq!(bench.forwarder.poll_replay(), Some((0, ExtSeqNo(seq))));
        let meta = rest(&bench, marker);
        let again = bench.forwarder.decide(0, ExtSeqNo(seq), &meta);
        assert_eq!(numbers(again).0, 1_000 + seq - 10);
    }
    assert_eq!(bench.forwarder.poll_replay(), None);
}

#[test]
fn a_source_whose_numbers_jump_needs_a_key_frame() {
    let mut bench = Bench::new();
    bench.keyframe(0, 10, picture(100, 0, 7, 0));
    let jumped = bench.show(0, 10 + MAX_JUMP + 1, picture(101, 0, 8, 33));
    assert_eq!(jumped, Decision::Drop(Dropped::OtherLayer));
    assert_eq!(bench.forwarder.wanted_keyframe(), Some(0));
    let next = bench.keyframe(0, 20_000, picture(102, 0, 9, 66));
    assert_eq!(numbers(next).0, 1_001);
}

fn audio() -> Forwarder {
    let mut forwarder = Forwarder::new(ForwarderConfig {
        kind: MediaKind::Audio,
        clock: ClockRate::OPUS,
        ..FIRST
    });
    forwarder.set_source(Some(SourceKey(1)));
    forwarder
}

#[test]
fn sound_needs_no_key_frame_and_goes_on_after_a_change_of_sources() {
    let bench = Bench::new();
    let mut forwarder = audio();
    let packet = |time, ms| Meta {
        pt: PayloadType(96),
        time: RtpTime(time),
        coding: Coding::Plain,
        starts_frame: false,
        ..bench.meta(picture(0, 0, 0, ms))
    };
    let first = forwarded(forwarder.decide(0, ExtSeqNo(7), &packet(0, 0)));
    let second = forwarded(forwarder.decide(0, ExtSeqNo(8), &packet(960, 20)));
    assert_eq!(second.time.since(first.time), 960);
    assert_eq!(forwarder.oldest(), Some(ExtSeqNo(7)));
    forwarder.set_source(Some(SourceKey(2)));
    let third = forwarded(forwarder.decide(0, ExtSeqNo(99), &packet(5_555, 45)));
    assert_eq!(third.seq, second.seq.next());
    assert_eq!(third.time.since(second.time), 25 * 48);
    assert_eq!(forwarder.oldest(), Some(ExtSeqNo(99)));
    assert_eq!(forwarder.wanted_keyframe(), None);
    // Sound that jumps is another run.
    let far = forwarded(forwarder.decide(0, ExtSeqNo(9_000), &packet(9_999, 65)));
    assert_eq!(far.seq, third.seq.next());
}

#[test]
fn a_sender_report_states_our_time_of_the_last_packet() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.forwarder.sender_report(bench.start, NtpTime(0), None),
        None
    );
    let first = forwarded(bench.keyframe(0, 10, picture(100, 0, 7, 0)));
    bench.forwarder.handle_sent(first.seq, 100);
    let now = bench.start + Duration::from_millis(500);
    let ntp = NtpTime(1 << 40);
    let report = bench.forwarder.sender_report(now, ntp, None).unwrap();
    assert_eq!(report.time.since(first.time), 45_000);
    assert_eq!((report.packets, report.octets), (1, 100));
    // By the publisher's clock: captured 80 ms before it came.
    let meta = Meta {
        captured: Some(NtpTime(5 << 32)),
        ..bench.meta(picture(101, 0, 8, 33))
    };
    let second = forwarded(bench.forwarder.decide(0, ExtSeqNo(11), &meta));
    let shift = Shift(1_000 << 32);
    let ntp = NtpTime(1_005 << 32).plus(Duration::from_millis(580));
    let now = bench.start + Duration::from_millis(533);
    let report = bench
        .forwarder
        .sender_report(now, ntp, Some(shift))
        .unwrap();
    assert_eq!(report.time.since(second.time), 580 * 90);
}

#[test]
fn short_picture_ids_go_on_modulo_their_width() {
    let mut bench = Bench::new();
    let short = |bench: &Bench, id, ms| {
        let mut meta = bench.meta(picture(0, 0, 0, ms));
        meta.coding = Coding::Vp8(Vp8 {
            picture_id: Some(PictureId::Short(id)),
            ..Vp8::default()
        });
        meta
    };
    let first = Meta {
        is_keyframe: true,
        ..short(&bench, 0x7f, 0)
    };
    let first = forwarded(bench.forwarder.decide(0, ExtSeqNo(1), &first));
    let second = short(&bench, 0, 33);
    let second = forwarded(bench.forwarder.decide(0, ExtSeqNo(2), &second));
    assert_eq!(first.picture_id, Some(0x7ffe));
    assert_eq!((second.picture_id, second.tl0), (Some(0x7fff), None));
}

proptest! {
    /// Whatever a publisher sends and a subscriber wishes: nothing breaks, and numbers, times and
    /// picture ids stay what they are.
    #[test]
    fn no_input_breaks_a_slot(
        steps in prop::collection::vec((any::<[u64; 2]>(), any::<[u8; 8]>(), any::<u32>()), 1..200),
        is_audio in any::<bool>(),
    ) {
        let start = Instant::now();
        let mut forwarder = if is_audio { audio() } else { Forwarder::new(FIRST) };
        forwarder.set_source(Some(SourceKey(1)));
        for ([seq, captured], [what, layer, temporal, flags, id, tl0, len, ms], time) in steps {
            match what % 16 {
                0 => forwarder.set_source((what > 127).then_some(SourceKey(u32::from(layer)))),
                1 => forwarder.pause(),
                2 => forwarder.set_target(None),
                3..6 => {
                    forwarder.resume();
                    forwarder.set_target(Some(target(layer % 4, temporal)));
                }
                _ => {}
            }
            // Mostly near each other.
            let near = if flags & 0x40 == 0 { seq % 64 } else { seq % (1 << 48) };
            let long = PictureId::Long(u16::from(id) << 7 & 0x7fff);
            let meta = Meta {
                pt: PayloadType(96),
                time: RtpTime(time),
                received_at: start + Duration::from_millis(u64::from(ms) * u64::from(len)),
                captured: (flags & 1 != 0).then_some(NtpTime(captured)),
                payload_len: u16::from(len),
                descriptor_len: 0,
                format: Format::Primary,
                marker: flags & 2 != 0,
                starts_frame: flags & 4 != 0,
                is_keyframe: flags & 8 != 0,
                coding: coding(flags, [temporal, tl0], if flags & 32 == 0 { long } else { PictureId::Short(id & 0x7f) }),
                level: None,
            };
            let decision = forwarder.decide(layer % 5, ExtSeqNo(near), &meta);
            if let Decision::Forward(rewrite) | Decision::Fill(rewrite) = decision {
                prop_assert!(rewrite.seq >= ExtSeqNo(u64::from(FIRST.seq)));
                prop_assert!(rewrite.picture_id.is_none_or(|id| id < 0x8000));
            }
            for _ in 0..8 {
                forwarder.poll_replay();
            }
            let ntp = NtpTime(captured ^ seq);
            let _ = forwarder.sender_report(start, ntp, Some(Shift(seq.cast_signed())));
        }
    }
}

#[test]
fn a_slot_is_small() {
    assert!(size_of::<Forwarder>() <= 512, "{}", size_of::<Forwarder>());
}

#[test]
fn numbers_of_what_did_not_leave_are_given_again() {
    let mut bench = Bench::new();
    let first = forwarded(bench.keyframe(0, 10, picture(1, 0, 1, 0)));
    bench.forwarder.handle_sent(first.seq, 100);
    for (seq, id) in [(11, 2), (12, 3), (13, 4)] {
        forwarded(bench.show(0, seq, picture(id, 0, 1, u64::from(id) * 33)));
    }
    bench.forwarder.set_target(None);
    assert_eq!(bench.forwarder.take_back(), first.seq.next());
    bench.forwarder.set_target(Some(target(0, 2)));
    let again = forwarded(bench.keyframe(0, 14, picture(5, 0, 2, 200)));
    assert_eq!(again.seq, first.seq.next());
}

#[test]
fn numbers_that_have_left_never_are() {
    let mut bench = Bench::new();
    let first = forwarded(bench.keyframe(0, 10, picture(1, 0, 1, 0)));
    let second = forwarded(bench.show(0, 11, picture(2, 0, 2, 33)));
    bench.forwarder.handle_sent(second.seq, 100);
    assert_eq!(bench.forwarder.take_padding(), None, "between its packets");
    bench.forwarder.set_target(None);
    let (padding, _) = bench.forwarder.take_padding().unwrap();
    assert_eq!(padding, second.seq.next());
    assert_eq!(bench.forwarder.take_back(), padding.next());
    bench.forwarder.handle_sent(first.seq, 100);
    assert_eq!(bench.forwarder.take_back(), padding.next(), "it was late");
    bench.forwarder.set_target(Some(target(0, 2)));
    let again = forwarded(bench.keyframe(0, 14, picture(5, 0, 2, 200)));
    assert_eq!(again.seq, padding.next());
}
