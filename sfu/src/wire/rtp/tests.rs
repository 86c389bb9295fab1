use super::*;
use crate::unit::{Mid, Rid};
use proptest::prelude::*;

const IDS: ExtensionIds = ExtensionIds {
    mid: Some(4),
    rid: Some(10),
    repaired_rid: Some(11),
    audio_level: Some(1),
    abs_send_time: Some(2),
    transport_cc: Some(3),
    dependency_descriptor: Some(13),
};

fn fields() -> Fields {
    Fields {
        payload_type: PayloadType(96),
        marker: true,
        seq: SeqNo(0x1234),
        time: RtpTime(0x5678_9abc),
    }
}

fn carried() -> Carried {
    Carried {
        mid: Mid::parse(b"12"),
        rid: Rid::parse(b"q"),
        rrid: None,
        transport_seq: true,
        abs_send_time: true,
        audio_level: true,
    }
}

fn values() -> Values {
    Values {
        transport_seq: 0xfffe,
        abs_send_time: 0xab_cdef,
        audio_level: Some(AudioLevel {
            level: 30,
            voice: true,
        }),
    }
}

/// A header with an extension of this profile and these elements, and a payload of three bytes.
fn packet_with(profile: u16, elements: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    packet.extend_from_slice(&profile.to_be_bytes());
    let words = u16::try_from(elements.len() / 4).unwrap();
    packet.extend_from_slice(&words.to_be_bytes());
    packet.extend_from_slice(elements);
    packet.extend_from_slice(&[7, 8, 9]);
    packet
}

fn elements_of(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let header = Header::parse(packet).unwrap();
    header
        .extensions(packet)
        .map(|(id, bytes)| (id, bytes.to_vec()))
        .collect()
}

#[test]
fn every_field_of_the_header_is_read() {
    let packet = [
        0xa2, 0xe0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1, 0, 0,
        0, 2, 0xaa, 0xbb, 0, 2,
    ];
    let header = Header::parse(&packet).unwrap();
    assert!(header.marker && header.has_padding);
    assert_eq!(header.payload_type, PayloadType(96));
    assert_eq!(header.seq, SeqNo(0x1234));
    assert_eq!(header.time, RtpTime(0x5678_9abc));
    assert_eq!(header.ssrc, Ssrc(0xdead_beef));
    assert_eq!((header.csrc_count, header.header_len), (2, 20));
    assert_eq!(header.extension, None);
    assert_eq!(header.payload(&packet), Ok(&[0xaa, 0xbb][..]));
}

#[test]
fn a_packet_that_ends_within_its_header_is_truncated() {
    let packet = packet_with(0xbede, &[0x10, 1, 0, 0]);
    for len in 0..20 {
        assert_eq!(Header::parse(&packet[..len]), Err(RtpError::Truncated));
    }
    assert!(Header::parse(&packet[..20]).is_ok());
    let csrcs = [0x8f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(Header::parse(&csrcs), Err(RtpError::Truncated));
    let mut version = packet;
    version[0] = 0x50;
    assert_eq!(Header::parse(&version), Err(RtpError::Version));
}

#[test]
fn padding_that_cannot_be_is_an_error_and_a_packet_of_padding_is_empty() {
    let packet = |body: &[u8]| [&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], body].concat();
    let payload = |body: &[u8]| {
        let packet = packet(body);
        let header = Header::parse(&packet).unwrap();
        header.payload(&packet).map(<[u8]>::to_vec)
    };
    assert_eq!(payload(&[]), Err(RtpError::Padding));
    assert_eq!(payload(&[1, 0]), Err(RtpError::Padding));
    assert_eq!(payload(&[1, 3]), Err(RtpError::Padding));
    assert_eq!(payload(&[0, 0, 3]), Ok(vec![]));
    assert_eq!(payload(&[5, 0, 2]), Ok(vec![5]));
}

#[test]
fn both_forms_of_elements_are_read_with_padding_between_them() {
    let one = packet_with(0xbede, &[0x10, 5, 0, 0x31, 6, 7, 0, 0]);
    assert_eq!(elements_of(&one), [(1, vec![5]), (3, vec![6, 7])]);
    let two = packet_with(0x1003, &[1, 0, 0, 16, 2, 6, 7, 0]);
    assert_eq!(elements_of(&two), [(1, vec![]), (16, vec![6, 7])]);
}

#[test]
fn elements_end_at_the_reserved_id_and_where_one_runs_over() {
    let reserved = packet_with(0xbede, &[0x10, 5, 0xf0, 1, 0x20, 6, 0, 0]);
    assert_eq!(elements_of(&reserved), [(1, vec![5])]);
    let over = packet_with(0xbede, &[0x10, 5, 0x23, 1]);
    assert_eq!(elements_of(&over), [(1, vec![5])]);
    let no_length = packet_with(0x1000, &[3, 1, 9, 4]);
    assert_eq!(elements_of(&no_length), [(3, vec![9])]);
    let other = packet_with(0xabcd, &[0x10, 5, 0, 0]);
    assert_eq!(elements_of(&other), []);
}

#[test]
fn an_element_of_the_wrong_length_is_missing() {
    let packet = packet_with(
        0xbede,
        &[0x12, 1, 2, 3, 0x21, 4, 5, 0x30, 6, 0x41, b'a', b' '],
    );
    let header = Header::parse(&packet).unwrap();
    let read = Extensions::read(&IDS, &header, &packet);
    assert_eq!(read, Extensions::default());
}

#[test]
fn what_is_written_is_read_again() {
    let writer = HeaderWriter::new(Ssrc(9), &IDS, &carried());
    let mut out = [0xff; 100];
    let len = writer.write(&mut out, &fields(), &values()).unwrap();
    assert_eq!(len, writer.header_len());
    assert!(out[len..].iter().all(|&byte| byte == 0xff));

    let header = Header::parse(&out).unwrap();
    assert_eq!(header.header_len, len);
    assert_eq!((header.ssrc, header.seq), (Ssrc(9), SeqNo(0x1234)));
    assert!(header.marker && !header.has_padding);
    assert_eq!(header.extension.unwrap().profile, 0xbede);
    let read = Extensions::read(&IDS, &header, &out);
    assert_eq!(read.mid, carried().mid);
    assert_eq!(read.rid, carried().rid);
    assert_eq!(read.rrid, None);
    assert_eq!(read.audio_level, values().audio_level);
    assert_eq!(read.abs_send_time, Some(0xab_cdef));
    assert_eq!(read.transport_seq, Some(0xfffe));
}

#[test]
fn what_was_not_negotiated_is_left_out() {
    let writer = HeaderWriter::new(Ssrc(9), &ExtensionIds::default(), &carried());
    assert_eq!(writer.header_len(), FIXED_HEADER_BYTES);
    assert_eq!(writer.offsets(), Offsets::default());
    let mut out = [0; 11];
    assert_eq!(writer.write(&mut out, &fields(), &values()), None);
}

#[test]
fn ids_that_one_byte_cannot_say_make_the_two_byte_form() {
    let ids = ExtensionIds {
        transport_cc: Some(15),
        mid: Some(255),
        ..IDS
    };
    let longest = Carried {
        mid: Mid::parse(&[b'm'; 16]),
        rid: Rid::parse(&[b'r'; 16]),
        rrid: Rid::parse(&[b's'; 16]),
        ..carried()
    };
    let writer = HeaderWriter::new(Ssrc(9), &ids, &longest);
    assert!(writer.header_len() <= MAX_HEADER_BYTES);
    let mut out = [0; MAX_HEADER_BYTES];
    writer.write(&mut out, &fields(), &values()).unwrap();
    let header = Header::parse(&out).unwrap();
    assert_eq!(header.extension.unwrap().profile, 0x1000);
    let read = Extensions::read(&ids, &header, &out);
    assert_eq!(
        (read.mid, read.rid, read.rrid),
        (longest.mid, longest.rid, longest.rrid)
    );
    assert_eq!(read.transport_seq, Some(0xfffe));
}

#[test]
fn a_written_header_can_be_changed_in_place() {
    let writer = HeaderWriter::new(Ssrc(9), &IDS, &carried());
    let mut out = [0; MAX_HEADER_BYTES];
    writer.write(&mut out, &fields(), &values()).unwrap();
    put_seq(&mut out, SeqNo(7));
    put_transport_seq(&mut out, writer.offsets().transport_seq.unwrap(), 8);
    put_abs_send_time(
        &mut out,
        writer.offsets().abs_send_time.unwrap(),
        0xff00_0009,
    );

    let mut expected = [0; MAX_HEADER_BYTES];
    let fields = Fields {
        seq: SeqNo(7),
        ..fields()
    };
    let values = Values {
        transport_seq: 8,
        abs_send_time: 9,
        ..values()
    };
    writer.write(&mut expected, &fields, &values).unwrap();
    assert_eq!(out, expected);
}

#[test]
fn a_descriptor_goes_behind_the_others_in_the_form_that_it_needs() {
    let wide = ExtensionIds {
        transport_cc: Some(20),
        ..IDS
    };
    for (ids, len, profile) in [(IDS, 3, 0xbede), (IDS, 17, 0x1000), (wide, 3, 0x1000)] {
        let writer = HeaderWriter::new(Ssrc(9), &ids, &carried());
        let descriptor = vec![0x5a; len];
        let mut out = [0xff; 200];
        let written = writer.write_described(&mut out, &fields(), &values(), &descriptor);
        let written = written.unwrap();
        assert!(written <= writer.header_len() + len + MAX_DESCRIPTOR_GROWTH);
        let header = Header::parse(&out[..written]).unwrap();
        assert_eq!(header.header_len, written);
        assert_eq!(header.extension.unwrap().profile, profile);
        assert_eq!(header.element(&out, Some(13)), descriptor);
        let mut plain = [0; MAX_HEADER_BYTES];
        writer.write(&mut plain, &fields(), &values()).unwrap();
        let without = Header::parse(&plain).unwrap();
        assert_eq!(
            Extensions::read(&ids, &header, &out),
            Extensions::read(&ids, &without, &plain)
        );
        assert_eq!(
            writer.write_described(&mut out[..20], &fields(), &values(), &descriptor),
            None
        );
    }
}

#[test]
fn a_descriptor_can_be_the_only_element_or_was_not_negotiated() {
    let mut out = [0xff; 64];
    let only = HeaderWriter::new(Ssrc(9), &IDS, &Carried::default());
    let len = only.write_described(&mut out, &fields(), &values(), &[1, 2, 3]);
    let header = Header::parse(&out[..len.unwrap()]).unwrap();
    assert_eq!(header.element(&out, Some(13)), [1, 2, 3]);
    let long = only.write_described(&mut out, &fields(), &values(), &[4; 20]);
    let header = Header::parse(&out[..long.unwrap()]).unwrap();
    assert_eq!(header.element(&out, Some(13)), [4; 20]);
    let none = HeaderWriter::new(Ssrc(9), &ExtensionIds::default(), &Carried::default());
    assert!(!none.takes_descriptor());
    let len = none.write_described(&mut out, &fields(), &values(), &[1, 2, 3]);
    assert_eq!(len, Some(FIXED_HEADER_BYTES));
}

fn ids() -> impl Strategy<Value = ExtensionIds> {
    proptest::array::uniform6(proptest::option::of(1..=30_u8)).prop_filter_map(
        "ids are unique",
        |[
            mid,
            rid,
            repaired_rid,
            audio_level,
            abs_send_time,
            transport_cc,
        ]| {
            let all = [
                mid,
                rid,
                repaired_rid,
                audio_level,
                abs_send_time,
                transport_cc,
            ];
            let mut given: Vec<u8> = all.into_iter().flatten().collect();
            let count = given.len();
            given.sort_unstable();
            given.dedup();
            (given.len() == count).then_some(ExtensionIds {
                mid,
                rid,
                repaired_rid,
                audio_level,
                abs_send_time,
                transport_cc,
                dependency_descriptor: None,
            })
        },
    )
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        crate::wire::fuzzing::rtp(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = 0x90;
        }
        if let Some(profile) = bytes.get_mut(12..16) {
            profile.copy_from_slice(&[0xbe, 0xde, 0, 8]);
        }
        crate::wire::fuzzing::rtp(&bytes);
    }

    #[test]
    fn any_set_of_extensions_survives_the_round_trip(
        ids in ids(),
        mid in proptest::option::of("[!-~]{1,16}"),
        rid in proptest::option::of("[!-~]{1,16}"),
        transport_seq: u16,
        abs_send_time in 0..1_u32 << 24,
        level in 0..=127_u8,
        voice: bool,
        ssrc: u32,
        seq: u16,
    ) {
        let mid = mid.and_then(|text| Mid::parse(text.as_bytes()));
        let rid = rid.and_then(|text| Rid::parse(text.as_bytes()));
        let carried = Carried {
            mid,
            rid,
            rrid: rid,
            transport_seq: true,
            abs_send_time: true,
            audio_level: true,
        };
        let audio_level = Some(AudioLevel { level, voice });
        let writer = HeaderWriter::new(Ssrc(ssrc), &ids, &carried);
        let mut out = [0; MAX_HEADER_BYTES];
        let fields = Fields { seq: SeqNo(seq), ..fields() };
        let values = Values { transport_seq, abs_send_time, audio_level };
        let len = writer.write(&mut out, &fields, &values).unwrap();
        let header = Header::parse(&out[..len]).unwrap();
        prop_assert_eq!(header.header_len, len);
        prop_assert_eq!((header.ssrc, header.seq), (Ssrc(ssrc), SeqNo(seq)));
        let read = Extensions::read(&ids, &header, &out[..len]);
        prop_assert_eq!(read, Extensions {
            mid: mid.filter(|_| ids.mid.is_some()),
            rid: rid.filter(|_| ids.rid.is_some()),
            rrid: rid.filter(|_| ids.repaired_rid.is_some()),
            audio_level: audio_level.filter(|_| ids.audio_level.is_some()),
            transport_seq: ids.transport_cc.map(|_| transport_seq),
            abs_send_time: ids.abs_send_time.map(|_| abs_send_time),
        });
    }
}
