use super::*;
use crate::unit::{Bitrate, NtpTime, RtpTime, SeqNo};
use proptest::prelude::*;
use rtc_rtcp::goodbye::Goodbye;
use rtc_rtcp::packet::Packet as Theirs;
use rtc_rtcp::payload_feedbacks::full_intra_request::{FirEntry as TheirEntry, FullIntraRequest};
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc_rtcp::receiver_report::ReceiverReport as TheirReceiverReport;
use rtc_rtcp::sender_report::SenderReport as TheirSenderReport;
use rtc_rtcp::source_description::SourceDescription;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::{SymbolTypeTcc, TransportLayerCc};
use rtc_rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};

const US: Ssrc = Ssrc(0x0102_0304);
const MEDIA: Ssrc = Ssrc(0xfffe_fdfc);

fn read(bytes: &[u8]) -> Vec<Result<Packet<'_>, RtcpError>> {
    Packets::new(bytes).collect()
}

fn one(bytes: &[u8]) -> Packet<'_> {
    let mut packets = read(bytes);
    assert_eq!(packets.len(), 1);
    packets.remove(0).unwrap()
}

/// What another stack reads from our bytes, as its own type.
fn theirs<T: Theirs + Clone + 'static>(bytes: &[u8]) -> T {
    let packets = rtc_rtcp::packet::unmarshal(&mut &bytes[..]).unwrap();
    assert_eq!(packets.len(), 1);
    packets[0].as_any().downcast_ref::<T>().unwrap().clone()
}

fn bytes_of(packet: impl Theirs + 'static) -> Vec<u8> {
    rtc_rtcp::packet::marshal(&[Box::new(packet)])
        .unwrap()
        .to_vec()
}

fn block(ssrc: u32, cumulative_lost: i32) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: 64,
        cumulative_lost,
        highest_seq: 0x0001_0002,
        jitter: 77,
        last_sr: 0xaabb_ccdd,
        delay_since_last_sr: 65_536,
    }
}

fn info() -> SenderInfo {
    SenderInfo {
        ntp: NtpTime(0x1122_3344_5566_7788),
        time: RtpTime(90_000),
        packets: 10,
        octets: 11_000,
    }
}

fn arrival(transport_seq: u16, at_us: Option<u64>) -> Arrival {
    Arrival {
        transport_seq,
        at_us,
    }
}

fn feedback<'a>(packet: &Packet<'a>) -> TransportFeedback<'a> {
    let Packet::TransportFeedback(feedback) = packet else {
        panic!("no transport feedback")
    };
    *feedback
}

fn ended(bytes: &[u8]) -> Vec<Ssrc> {
    let Packet::Bye(bye) = one(bytes) else {
        panic!("no BYE")
    };
    bye.ssrcs().collect()
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    let Packet::Nack(nack) = one(bytes) else {
        panic!("no NACK")
    };
    nack.numbers().map(|number| number.0).collect()
}

#[test]
fn a_sender_report_is_what_another_stack_reads() {
    let blocks = [block(1, 5), block(2, -3)];
    let mut out = Vec::new();
    write_sender_report(&mut out, US, &info(), &blocks);
    let Packet::SenderReport(ours) = one(&out) else {
        panic!("no sender report")
    };
    assert_eq!((ours.ssrc, ours.info), (US, info()));
    assert_eq!(ours.blocks.collect::<Vec<_>>(), blocks);

    let other: TheirSenderReport = theirs(&out);
    assert_eq!(other.ssrc, US.0);
    assert_eq!(other.ntp_time, info().ntp.0);
    assert_eq!(
        (other.rtp_time, other.packet_count, other.octet_count),
        (90_000, 10, 11_000)
    );
    assert_eq!(other.reports.len(), 2);
    assert_eq!(other.reports[0].ssrc, 1);
    assert_eq!(other.reports[0].total_lost, 5);
    assert_eq!(other.reports[0].last_sequence_number, 0x0001_0002);
    assert_eq!(other.reports[0].delay, 65_536);
    assert_eq!(bytes_of(other)[..28], out[..28]);
}

#[test]
fn a_receiver_report_is_what_another_stack_reads() {
    let mut out = Vec::new();
    write_receiver_report(&mut out, US, &[block(9, 0x7f_ffff)]);
    let other: TheirReceiverReport = theirs(&out);
    assert_eq!((other.ssrc, other.reports[0].total_lost), (US.0, 0x7f_ffff));
    assert_eq!(bytes_of(other), out);
    let Packet::ReceiverReport(ours) = one(&out) else {
        panic!("no receiver report")
    };
    assert_eq!(ours.blocks.collect::<Vec<_>>(), [block(9, 0x7f_ffff)]);
}

#[test]
fn a_report_has_at_most_31_blocks_and_lost_packets_within_24_bits() {
    let blocks = [block(1, i32::MIN); 40];
    let mut out = Vec::new();
    write_receiver_report(&mut out, US, &blocks);
    let Packet::ReceiverReport(ours) = one(&out) else {
        panic!("no receiver report")
    };
    assert_eq!(ours.blocks.clone().count(), MAX_REPORT_BLOCKS);
    assert!(
        ours.blocks
            .into_iter()
            .all(|block| block.cumulative_lost == -0x80_0000)
    );
}

#[test]
fn a_cname_is_what_another_stack_reads_at_every_length() {
    for len in [0, 1, 2, 3, 4, 254, 255, 300] {
        let cname = "c".repeat(len);
        let mut out = Vec::new();
        write_cname(&mut out, US, &cname);
        let other: SourceDescription = theirs(&out);
        assert_eq!(other.chunks[0].source, US.0);
        assert_eq!(
            other.chunks[0].items[0].text,
            &cname.as_bytes()[..len.min(255)]
        );
        let expected = Packet::Other {
            packet_type: 202,
            count: 1,
        };
        assert_eq!(one(&out), expected);
    }
}

#[test]
fn a_nack_packs_numbers_into_pairs_across_the_wrap() {
    let wanted = [65_530, 65_534, 65_535, 0, 10, 11, 12, 40];
    let list: Vec<_> = wanted.into_iter().map(SeqNo).collect();
    let mut out = Vec::new();
    assert_eq!(write_nack(&mut out, US, MEDIA, &list), list.len());
    assert_eq!(out.len(), 12 + 3 * 4);
    assert_eq!(numbers(&out), wanted);

    let other: TransportLayerNack = theirs(&out);
    assert_eq!((other.sender_ssrc, other.media_ssrc), (US.0, MEDIA.0));
    let named: Vec<u16> = other.nacks.iter().flat_map(NackPair::packet_list).collect();
    assert_eq!(named, wanted);
    assert_eq!(bytes_of(other), out);
}

#[test]
fn a_nack_that_is_full_says_how_far_it_came() {
    let list: Vec<_> = (0..600).map(|at| SeqNo(at * 20)).collect();
    let mut out = Vec::new();
    assert_eq!(write_nack(&mut out, US, MEDIA, &list), MAX_NACK_PAIRS);
    assert_eq!(numbers(&out).len(), MAX_NACK_PAIRS);
    out.clear();
    assert_eq!(write_nack(&mut out, US, MEDIA, &[]), 0);
    assert!(out.is_empty());
}

#[test]
fn requests_for_key_frames_are_what_another_stack_reads() {
    let mut out = Vec::new();
    let pli = Pli {
        sender: US,
        media: MEDIA,
    };
    write_pli(&mut out, pli);
    assert_eq!(one(&out), Packet::Pli(pli));
    let other: PictureLossIndication = theirs(&out);
    assert_eq!((other.sender_ssrc, other.media_ssrc), (US.0, MEDIA.0));

    out.clear();
    let entry = FirEntry {
        media: MEDIA,
        command_seq: 200,
    };
    write_fir(&mut out, US, entry);
    let other: FullIntraRequest = theirs(&out);
    let their_entry = TheirEntry {
        ssrc: MEDIA.0,
        sequence_number: 200,
    };
    assert_eq!(other.fir, [their_entry]);
    let Packet::Fir(ours) = one(&out) else {
        panic!("no FIR")
    };
    assert_eq!(
        (ours.sender, ours.entries().collect::<Vec<_>>()),
        (US, vec![entry])
    );
}

#[test]
fn a_bye_is_what_another_stack_reads() {
    let mut out = Vec::new();
    write_bye(&mut out, &[US, MEDIA]);
    let other: Goodbye = theirs(&out);
    assert_eq!(other.sources, [US.0, MEDIA.0]);
    let bytes = bytes_of(Goodbye {
        sources: vec![US.0],
        reason: "gone".into(),
    });
    assert_eq!(ended(&bytes), [US]);
    out.clear();
    write_bye(&mut out, &[US; 40]);
    assert_eq!(ended(&out), [US; 31]);
    assert_eq!(out.len(), 4 + 31 * 4);
}

#[test]
fn remb_of_another_stack_is_read() {
    let bytes = bytes_of(ReceiverEstimatedMaximumBitrate {
        sender_ssrc: US.0,
        bitrate: 8_927_168.0,
        ssrcs: vec![MEDIA.0, 7],
    });
    let Packet::Remb(remb) = one(&bytes) else {
        panic!("no REMB")
    };
    assert_eq!((remb.sender, remb.bitrate), (US, Bitrate(8_927_168)));
    assert_eq!(remb.ssrcs().collect::<Vec<_>>(), [MEDIA, Ssrc(7)]);

    let mut largest = bytes.clone();
    largest[17..20].fill(0xff);
    let Packet::Remb(remb) = one(&largest) else {
        panic!("no REMB")
    };
    assert_eq!(remb.bitrate, Bitrate(u64::MAX));

    let mut other = bytes;
    other[12..16].copy_from_slice(b"GOOG");
    let expected = Packet::Other {
        packet_type: 206,
        count: 15,
    };
    assert_eq!(one(&other), expected);
}

#[test]
fn one_malformed_packet_does_not_spoil_the_others() {
    let mut out = Vec::new();
    write_receiver_report(&mut out, US, &[block(1, 1)]);
    out[0] |= 2;
    write_pli(
        &mut out,
        Pli {
            sender: US,
            media: MEDIA,
        },
    );
    let packets = read(&out);
    assert_eq!(packets[0], Err(RtcpError::Malformed(201)));
    assert!(matches!(packets[1], Ok(Packet::Pli(_))));
    assert_eq!(packets.len(), 2);
}

#[test]
fn a_length_beyond_the_end_ends_everything() {
    let mut out = Vec::new();
    write_pli(
        &mut out,
        Pli {
            sender: US,
            media: MEDIA,
        },
    );
    write_bye(&mut out, &[US]);
    out.pop();
    let packets = read(&out);
    assert_eq!(packets.len(), 2);
    assert_eq!(packets[1], Err(RtcpError::Framing));
    for wrong in [
        &[0x80][..],
        &[0x80, 200, 0],
        &[0x40, 203, 0, 0],
        &[0x81, 203, 0, 1, 0, 0, 0],
    ] {
        assert_eq!(read(wrong), [Err(RtcpError::Framing)]);
    }
}

#[test]
fn padding_is_taken_off_and_must_fit() {
    let mut out = Vec::new();
    write_bye(&mut out, &[US]);
    out[0] |= 0x20;
    out[3] = 2;
    out.extend_from_slice(&[0, 0, 0, 4]);
    assert_eq!(ended(&out), [US]);
    for wrong in [0, 9] {
        out[11] = wrong;
        assert_eq!(read(&out), [Err(RtcpError::Malformed(203))]);
    }
    assert_eq!(read(&[0xa0, 203, 0, 0]), [Err(RtcpError::Malformed(203))]);
}

#[test]
fn feedback_with_every_kind_of_chunk_is_read() {
    // A run of 3 small, a vector of 14 with 7 small, a vector of 7 with a large one, a run of lost ones.
    let bytes = [
        0x8f, 205, 0, 12, 1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc, 0xff, 0xfe, 0, 34, 0xff, 0xff, 0xfe,
        9, 0x20, 3, 0xaa, 0xaa, 0xe0, 0x10, 0x00, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xff, 0x38,
        11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let packet = one(&bytes);
    let read = feedback(&packet);
    assert_eq!((read.sender, read.media, read.base), (US, MEDIA, 0xfffe));
    assert_eq!(
        (read.count, read.reference_time, read.feedback_count),
        (34, -2, 9)
    );
    let statuses: Vec<_> = read.statuses().collect();
    assert_eq!(statuses.len(), 34);
    let received: Vec<_> = statuses
        .iter()
        .filter_map(|&(at, delta)| Some((at, delta?)))
        .collect();
    let expected = [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (5, 5),
        (7, 6),
        (9, 7),
        (11, 8),
        (13, 9),
        (15, 10),
        (17, -200),
        (21, 11),
    ];
    assert_eq!(received, expected);
}

#[test]
fn feedback_that_claims_more_than_it_has_is_malformed() {
    let packet = |count: u16, rest: &[u8]| {
        let words = u8::try_from(4 + rest.len() / 4).unwrap();
        let mut bytes = vec![0x8f, 205, 0, words, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0];
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0]);
        bytes.extend_from_slice(rest);
        bytes
    };
    let malformed = [Err(RtcpError::Malformed(205))];
    let table: [(u16, &[u8]); 6] = [
        (1, &[]),
        (5, &[0x20, 4, 0, 0]),
        (3, &[0x20, 3, 1, 2]),
        (2, &[0x40, 2, 1, 2]),
        (1, &[0x60, 1, 1, 2]),
        (MAX_STATUSES + 1, &[0x1f, 0xff, 0x1f, 0xff]),
    ];
    for (count, rest) in table {
        assert_eq!(read(&packet(count, rest)), malformed, "{count} {rest:?}");
    }
    let fits = packet(MAX_STATUSES, &[0x1f, 0xff, 0x1f, 0xff]);
    assert_eq!(
        feedback(&one(&fits)).statuses().count(),
        usize::from(MAX_STATUSES)
    );
    assert_eq!(feedback(&one(&packet(0, &[]))).statuses().count(), 0);
}

#[test]
fn feedback_is_what_another_stack_reads() {
    let arrivals = [
        arrival(65_534, None),
        arrival(65_535, Some(10_000_000)),
        arrival(0, Some(10_001_000)),
        arrival(3, Some(10_100_000)),
        arrival(4, Some(10_099_000)),
    ];
    let mut out = Vec::new();
    let told = write_transport_feedback(&mut out, US, MEDIA, 7, &arrivals);
    assert_eq!(told, arrivals.len());
    let other: TransportLayerCc = theirs(&out);
    assert_eq!((other.sender_ssrc, other.media_ssrc), (US.0, MEDIA.0));
    assert_eq!(
        (other.base_sequence_number, other.packet_status_count),
        (65_534, 7)
    );
    assert_eq!((other.reference_time, other.fb_pkt_count), (156, 7));
    let deltas: Vec<_> = other
        .recv_deltas
        .iter()
        .map(|delta| (delta.type_tcc_packet, delta.delta))
        .collect();
    let small = SymbolTypeTcc::PacketReceivedSmallDelta;
    let large = SymbolTypeTcc::PacketReceivedLargeDelta;
    let expected = [
        (small, 16_000),
        (small, 1_000),
        (large, 99_000),
        (large, -1_000),
    ];
    assert_eq!(deltas, expected);

    let packet = one(&out);
    let ours: Vec<_> = feedback(&packet).statuses().collect();
    let expected = [
        (0, None),
        (1, Some(64)),
        (2, Some(4)),
        (3, None),
        (4, None),
        (5, Some(396)),
        (6, Some(-4)),
    ];
    assert_eq!(ours, expected);
}

#[test]
fn feedback_about_nothing_is_not_written() {
    let mut out = Vec::new();
    assert_eq!(write_transport_feedback(&mut out, US, MEDIA, 0, &[]), 0);
    let lost = [arrival(1, None), arrival(2, None)];
    assert_eq!(write_transport_feedback(&mut out, US, MEDIA, 0, &lost), 2);
    assert!(out.is_empty());
}

#[test]
fn feedback_stops_before_a_delta_that_it_cannot_say() {
    let arrivals = [
        arrival(1, Some(0)),
        arrival(2, Some(8_191_750)),
        arrival(3, Some(20_000_000)),
    ];
    let mut out = Vec::new();
    assert_eq!(
        write_transport_feedback(&mut out, US, MEDIA, 0, &arrivals),
        2
    );
    assert_eq!(
        write_transport_feedback(&mut out, US, MEDIA, 1, &arrivals[2..]),
        1
    );
    let packets = read(&out);
    let last = feedback(packets[1].as_ref().unwrap());
    assert_eq!((last.base, last.reference_time), (3, 312));
}

/// Packets of a transport: steps of the number, arrival steps in µs, and whether each arrived.
fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let step = prop_oneof![20 => Just(1_u16), 3 => 1..20_u16, 1 => 1..9_000_u16];
    let time = prop_oneof![20 => 0..5_000_i64, 4 => -3_000..70_000_i64, 1 => 0..9_000_000_i64];
    let packet = (step, time, proptest::bool::weighted(0.8));
    (any::<u16>(), proptest::collection::vec(packet, 0..900)).prop_map(|(first, packets)| {
        let mut seq = first;
        let mut at_us = 1_000_000_u64;
        packets
            .into_iter()
            .map(|(step, time, is_there)| {
                seq = seq.wrapping_add(step);
                at_us = at_us.saturating_add_signed(time);
                arrival(seq, is_there.then_some(at_us))
            })
            .collect()
    })
}

/// What feedback says: for each number the tick at which it arrived.
fn ticks(feedback: &TransportFeedback<'_>) -> Vec<(u16, Option<i64>)> {
    let mut tick = i64::from(feedback.reference_time) * 256;
    feedback
        .statuses()
        .map(|(at, delta)| {
            let seq = feedback.base.wrapping_add(at);
            let at_tick = delta.map(|delta| {
                tick += i64::from(delta);
                tick
            });
            (seq, at_tick)
        })
        .collect()
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..100),
        packet_type in 200..208_u8,
    ) {
        crate::wire::fuzzing::rtcp(&bytes);
        let words = u16::try_from(bytes.len() / 4).unwrap().saturating_sub(1);
        if let Some([first, kind, length @ ..]) = bytes.first_chunk_mut::<4>() {
            *first = 0x80 | *first & 0x1f;
            *kind = packet_type;
            *length = words.to_be_bytes();
        }
        crate::wire::fuzzing::rtcp(&bytes);
    }

    #[test]
    fn any_ascending_numbers_survive_the_round_trip(
        first: u16,
        steps in proptest::collection::vec(prop_oneof![1..3_u16, 1..40_u16], 1..300),
    ) {
        let mut seq = first;
        let list: Vec<_> = steps.iter().map(|step| {
            seq = seq.wrapping_add(*step);
            SeqNo(seq)
        }).collect();
        let mut out = Vec::new();
        let mut named = 0;
        let mut read_back = Vec::new();
        while named < list.len() {
            out.clear();
            named += write_nack(&mut out, US, MEDIA, &list[named..]);
            read_back.extend(numbers(&out));
        }
        prop_assert_eq!(read_back, list.iter().map(|number| number.0).collect::<Vec<_>>());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_arrivals_survive_the_round_trip_in_feedback_of_bounded_size(arrivals in arrivals()) {
        let mut rest = &arrivals[..];
        let mut out = Vec::new();
        while !rest.is_empty() {
            out.clear();
            let told = write_transport_feedback(&mut out, US, MEDIA, 1, rest);
            prop_assert!(told > 0);
            prop_assert!(out.len() <= MAX_FEEDBACK_BYTES);
            let (these, others) = rest.split_at(told);
            rest = others;
            if out.is_empty() {
                prop_assert!(these.iter().all(|arrival| arrival.at_us.is_none()));
                continue;
            }
            let mut expected = Vec::new();
            for arrival in these {
                let next = expected.last().map_or(arrival.transport_seq, |&(seq, _): &(u16, _)| {
                    seq.wrapping_add(1)
                });
                let gap = arrival.transport_seq.wrapping_sub(next);
                expected.extend((0..gap).map(|at| (next.wrapping_add(at), None)));
                let tick = arrival.at_us.map(|at_us| i64::try_from(at_us / 250).unwrap());
                expected.push((arrival.transport_seq, tick));
            }
            let packet = one(&out);
            prop_assert_eq!(ticks(&feedback(&packet)), expected);
        }
    }
}
