//! The seeds of the corpus: small inputs of every shape that a parser tells apart.

use kaiwa_sfu::srtp::{Keys, Profile, Sealer};
use kaiwa_sfu::unit::{ExtSeqNo, Mid, NtpTime, PayloadType, Rid, RtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::fuzzing::{EXTENSION_IDS, PASSWORD};
use kaiwa_sfu::wire::rtp::{AudioLevel, Carried, ExtensionIds, Fields, HeaderWriter, Values};
use kaiwa_sfu::wire::stun::{
    BindingRequest, IntegrityKey, Refusal, Role, TransactionId, UnknownAttributes,
};
use kaiwa_sfu::wire::{framing, red, rtcp, rtx, stun};

type Seed = (&'static str, &'static str, Vec<u8>);

pub(crate) fn all() -> Vec<Seed> {
    let mut all = Vec::new();
    let mut add = |target, seeds: Vec<(&'static str, Vec<u8>)>| {
        all.extend(seeds.into_iter().map(|(name, bytes)| (target, name, bytes)));
    };
    add("stun", stun_seeds());
    add("rtp", rtp_seeds());
    add("rtcp", rtcp_seeds());
    add("client_hello", client_hello_seeds());
    add("framing", framing_seeds());
    add("red", red_seeds());
    add("vp8", vp8_seeds());
    add("sdp", sdp_seeds());
    add("sdp_offer", sdp_seeds());
    add("exchange", exchange_seeds());
    add("sdp_fragment", fragment_seeds());
    add("srtp_open", srtp_seeds());
    all
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn stun_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let key = IntegrityKey::new(PASSWORD);
    let transaction = TransactionId(*b"transaction!");
    let check = BindingRequest {
        transaction,
        username: "ours:theirs",
        priority: 1_845_501_695,
        role: Role::Controlling(7),
        use_candidate: true,
    };
    let request = |check: &BindingRequest<'_>| written(|out| stun::write_request(out, check, &key));
    let error = |refusal| written(|out| stun::write_error(out, transaction, refusal, Some(&key)));
    let success = |address: &str| {
        let address = address.parse().unwrap();
        written(|out| stun::write_success(out, transaction, address, &key))
    };
    let nominates = request(&check);
    let checks = request(&BindingRequest {
        use_candidate: false,
        role: Role::Controlled(9),
        ..check
    });
    let mut indication = nominates[..20].to_vec();
    indication[..4].copy_from_slice(&[0, 0x11, 0, 0]);
    let mut unknown = indication.clone();
    unknown[..4].copy_from_slice(&[0, 1, 0, 8]);
    unknown.extend_from_slice(&[0, 2, 0, 3, 1, 2, 3, 0]);
    let mut wrong_integrity = nominates.clone();
    wrong_integrity[30] ^= 1;
    let longest = "u".repeat(256) + ":" + &"v".repeat(256);
    vec![
        ("request_nominates", nominates.clone()),
        ("request_controlled", checks),
        (
            "request_longest_username",
            request(&BindingRequest {
                username: &longest,
                ..check
            }),
        ),
        ("request_cut", nominates[..50].to_vec()),
        ("request_wrong_fingerprint", wrong_integrity),
        ("request_unknown_attribute", unknown),
        ("indication", indication),
        ("success_v4", success("192.0.2.1:32853")),
        ("success_v6", success("[2001:db8::1]:443")),
        ("error_400", error(Refusal::BadRequest)),
        ("error_401", error(Refusal::Unauthenticated)),
        (
            "error_420",
            error(Refusal::UnknownAttributes(UnknownAttributes::default())),
        ),
        ("error_487", error(Refusal::RoleConflict)),
    ]
}

fn rtp_packet(ids: &ExtensionIds, carried: &Carried, payload: &[u8]) -> Vec<u8> {
    let fields = Fields {
        payload_type: PayloadType(96),
        marker: true,
        seq: SeqNo(65_535),
        time: RtpTime(90_000),
    };
    let values = Values {
        transport_seq: 7,
        abs_send_time: 0x12_3456,
        audio_level: Some(AudioLevel {
            level: 30,
            voice: true,
        }),
    };
    let writer = HeaderWriter::new(Ssrc(0xabcd), ids, carried);
    let mut out = vec![0; writer.header_len()];
    writer.write(&mut out, &fields, &values).unwrap();
    out.extend_from_slice(payload);
    out
}

fn rtp_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let none = Carried::default();
    let audio = Carried {
        mid: Mid::parse(b"0"),
        transport_seq: true,
        audio_level: true,
        ..none
    };
    let video = Carried {
        mid: Mid::parse(b"1"),
        rid: Rid::parse(b"q"),
        transport_seq: true,
        abs_send_time: true,
        ..none
    };
    let repair = Carried {
        rid: None,
        rrid: Rid::parse(b"q"),
        ..video
    };
    let wide = ExtensionIds {
        mid: Some(16),
        ..EXTENSION_IDS
    };
    let plain = rtp_packet(&EXTENSION_IDS, &none, b"payload");
    let with_first = |first: u8, rest: &[u8]| {
        let mut packet = plain.clone();
        packet[0] = first;
        packet.splice(12.., rest.iter().copied());
        packet
    };
    let mut osn = [0; 9];
    rtx::write(&mut osn, SeqNo(5), b"payload").unwrap();
    vec![
        ("plain", plain.clone()),
        ("audio", rtp_packet(&EXTENSION_IDS, &audio, &[0xfc; 20])),
        (
            "video",
            rtp_packet(&EXTENSION_IDS, &video, &[0x90, 0x80, 0x01, 0x10]),
        ),
        ("rtx", rtp_packet(&EXTENSION_IDS, &repair, &osn)),
        ("two_byte_form", rtp_packet(&wide, &video, &[1; 5])),
        ("csrcs", with_first(0x82, &[0, 0, 0, 1, 0, 0, 0, 2, 9])),
        (
            "csrcs_and_extension",
            with_first(0x91, &[0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 5, 0, 0, 9]),
        ),
        ("padding_only", with_first(0xa0, &[0, 0, 0, 4])),
        ("padding_too_long", with_first(0xa0, &[9, 9, 9, 5])),
        ("padding_zero", with_first(0xa0, &[9, 0])),
        (
            "element_runs_over",
            with_first(0x90, &[0xbe, 0xde, 0, 1, 0x1f, 1, 2, 3]),
        ),
        (
            "extension_runs_over",
            with_first(0x90, &[0xbe, 0xde, 0xff, 0xff, 1]),
        ),
        (
            "reserved_id",
            with_first(0x90, &[0xbe, 0xde, 0, 1, 0xf0, 1, 0x10, 2]),
        ),
        ("no_csrcs", with_first(0x8f, &[0, 0, 0])),
        ("version_1", with_first(0x40, &[1])),
        ("cut", plain[..11].to_vec()),
    ]
}

/// Feedback about 40 packets across the wrap, one in seven lost, the others so many µs apart.
fn feedback(step_us: u64) -> Vec<u8> {
    let arrivals: Vec<_> = (0..40_u16)
        .map(|at| rtcp::Arrival {
            transport_seq: at.wrapping_sub(9),
            at_us: (at % 7 != 3).then_some(1_000_000 + u64::from(at) * step_us),
        })
        .collect();
    written(|out| {
        rtcp::write_transport_feedback(out, Ssrc(1), Ssrc(0xabcd), 5, &arrivals);
    })
}

fn rtcp_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let (us, media) = (Ssrc(1), Ssrc(0xabcd));
    let block = rtcp::ReportBlock {
        ssrc: media,
        fraction_lost: 12,
        cumulative_lost: -1,
        highest_seq: 70_000,
        jitter: 90,
        last_sr: 1,
        delay_since_last_sr: 2,
    };
    let info = rtcp::SenderInfo {
        ntp: NtpTime(1 << 60),
        time: RtpTime(5),
        packets: 3,
        octets: 300,
    };
    let pli = rtcp::Pli { sender: us, media };
    let entry = rtcp::FirEntry {
        media,
        command_seq: 1,
    };
    let numbers = [65_535, 0, 3, 16, 40].map(SeqNo);
    let nack = written(|out| {
        rtcp::write_nack(out, us, media, &numbers);
    });
    let compound = written(|out| {
        rtcp::write_sender_report(out, media, &info, &[block]);
        rtcp::write_cname(out, media, "kaiwa");
        rtcp::write_nack(out, us, media, &numbers);
        rtcp::write_pli(out, pli);
    });
    let mut remb = written(|out| rtcp::write_pli(out, pli));
    remb[0] = 0x8f;
    remb[3] = 5;
    remb.extend_from_slice(b"REMB\x01\x03\xff\xff\x00\x00\xab\xcd");
    let lost = [
        0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0x20, 0, 0, 0, 0, 0, 0x1f, 0xff, 0, 1,
    ];
    vec![
        ("compound", compound.clone()),
        ("compound_cut", compound[..70].to_vec()),
        (
            "sender_report",
            written(|out| rtcp::write_sender_report(out, media, &info, &[])),
        ),
        (
            "receiver_report",
            written(|out| rtcp::write_receiver_report(out, us, &[block; 3])),
        ),
        ("nack", nack),
        ("pli", written(|out| rtcp::write_pli(out, pli))),
        ("fir", written(|out| rtcp::write_fir(out, us, entry))),
        ("remb", remb),
        ("feedback_small", feedback(1_000)),
        ("feedback_large", feedback(90_000)),
        ("feedback_all_lost", lost.to_vec()),
        ("bye", written(|out| rtcp::write_bye(out, &[us, media]))),
        ("sdes", written(|out| rtcp::write_cname(out, us, "name"))),
        ("other", vec![0x80, 207, 0, 1, 0, 0, 0, 1]),
        ("padded", vec![0xa1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]),
        ("length_beyond", vec![0x81, 203, 0, 9, 0, 0, 0, 1]),
    ]
}

/// A ClientHello's body with these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend_from_slice(&[0x55; 32]);
    body.extend_from_slice(&[0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend_from_slice(&u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend_from_slice(extensions);
    body
}

/// A datagram with a part of a ClientHello, behind its length.
fn datagram(message_seq: u8, body: &[u8], part: std::ops::Range<usize>) -> Vec<u8> {
    let u24 = |len: usize| u32::try_from(len).unwrap().to_be_bytes()[1..].to_vec();
    let fragment = [
        vec![1],
        u24(body.len()),
        vec![0, message_seq],
        u24(part.start),
        u24(part.len()),
        body[part].to_vec(),
    ]
    .concat();
    let len = u16::try_from(fragment.len()).unwrap().to_be_bytes();
    let record = [
        &[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 1][..],
        &len,
        &fragment,
    ]
    .concat();
    prefixed(&record)
}

fn prefixed(datagram: &[u8]) -> Vec<u8> {
    let len = u16::try_from(datagram.len()).unwrap().to_be_bytes();
    [&len[..], datagram].concat()
}

fn client_hello_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let offer: &[u8] = &[0, 14, 0, 9, 0, 6, 0, 7, 0, 8, 0, 1, 0];
    let small = hello(offer);
    let share = [&[0, 0x33, 4, 0xc0][..], &[0xaa; 0x4c0], offer].concat();
    let large = hello(&share);
    let end = large.len();
    let whole = datagram(0, &small, 0..small.len());
    let bare = hello(&[])[..42].to_vec();
    let long_offer = [&[0, 14, 0, 43, 0, 40][..], &[0, 7].repeat(20), &[0]].concat();
    let odd = hello(&[0, 14, 0, 5, 0, 2, 0, 7, 9]);
    let alert = prefixed(&[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40]);
    let all = |body: &[u8]| datagram(0, body, 0..body.len());
    vec![
        ("whole", whole.clone()),
        (
            "two_datagrams",
            [datagram(0, &large, 0..600), datagram(0, &large, 600..end)].concat(),
        ),
        (
            "out_of_order",
            [datagram(0, &large, 600..end), datagram(0, &large, 0..600)].concat(),
        ),
        (
            "overlap",
            [datagram(0, &large, 0..900), datagram(0, &large, 300..end)].concat(),
        ),
        (
            "twice",
            [datagram(0, &large, 0..600), datagram(0, &large, 0..600)].concat(),
        ),
        (
            "anew",
            [datagram(0, &small, 0..30), datagram(1, &large, 0..end)].concat(),
        ),
        ("no_extensions", all(&bare)),
        ("no_srtp", all(&hello(&[0, 23, 0, 0]))),
        ("long_offer", all(&hello(&long_offer))),
        ("mki_runs_over", all(&odd)),
        ("alert_before", [alert, whole.clone()].concat()),
        ("cut", whole[..30].to_vec()),
        (
            "one_byte_each",
            (0..9)
                .flat_map(|at| datagram(0, &small, at * 2..at * 2 + 1))
                .collect(),
        ),
        ("empty_part", [datagram(0, &small, 5..5), whole].concat()),
    ]
}

/// How it is cut, then frames behind their lengths.
fn framing_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let framed = |cut: u8, frames: &[&[u8]]| {
        let mut out = vec![cut];
        for frame in frames {
            out.extend(framing::length_of(frame.len()));
            out.extend_from_slice(frame);
        }
        out
    };
    let with_end = |mut bytes: Vec<u8>, end: &[u8]| {
        bytes.extend_from_slice(end);
        bytes
    };
    let stun = stun_seeds().swap_remove(0).1;
    let longest = [5; framing::FRAME_BYTES_MAX];
    vec![
        ("nothing", vec![]),
        ("cut_alone", vec![9]),
        ("half_length", vec![1, 0]),
        ("empty_frame", framed(1, &[&[]])),
        ("empty_frames", framed(3, &[&[], &[], &[1], &[]])),
        ("check", framed(255, &[&stun])),
        ("check_by_bytes", framed(1, &[&stun])),
        (
            "check_and_media",
            framed(7, &[&stun, &[0x80; 60], &[0x80; 12]]),
        ),
        ("longest", framed(200, &[&longest, &[1]])),
        ("longest_by_two", framed(2, &[&longest])),
        ("too_long", with_end(framed(5, &[&[1]]), &[0x08, 0x01, 1])),
        (
            "much_too_long",
            with_end(framed(1, &[&stun]), &[0xff, 0xff]),
        ),
        ("cut_off", with_end(framed(4, &[&stun]), &[0, 40, 1, 2, 3])),
        ("http", b"\x10GET / HTTP/1.1\r\n\r\n".to_vec()),
    ]
}

fn red_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let block = |offset, bytes| red::Block {
        payload_type: PayloadType(111),
        offset,
        bytes,
    };
    let payload = |redundant: &[red::Block<'_>]| {
        let mut out = vec![0; 4_096];
        let len = red::write(&mut out, &block(0, &[3; 30]), redundant).unwrap();
        out.truncate(len);
        out
    };
    let two = payload(&[block(1_920, &[1; 10]), block(960, &[2; 20])]);
    let mut long_block = two.clone();
    long_block[2] |= 3;
    vec![
        ("primary", payload(&[])),
        ("one_redundant", payload(&[block(960, &[2; 20])])),
        ("two_redundant", two.clone()),
        ("empty_redundant", payload(&[block(1, &[])])),
        (
            "largest_offset",
            payload(&[block(red::MAX_OFFSET - 1, &[1])]),
        ),
        (
            "largest_block",
            payload(&[block(960, &[1; red::MAX_BLOCK_BYTES - 1])]),
        ),
        ("primary_empty", vec![0x6f]),
        ("cut_in_header", two[..6].to_vec()),
        ("cut_in_blocks", two[..25].to_vec()),
        ("length_beyond", long_block),
        ("headers_without_end", vec![0xef, 0, 0, 0, 0xef, 0, 0, 0]),
        (
            "nine_redundant",
            [[0xef, 0, 4, 0].repeat(9), vec![0x6f, 1]].concat(),
        ),
        (
            "too_many",
            [[0xef, 0, 4, 0].repeat(12), vec![0x6f, 1]].concat(),
        ),
        ("empty", vec![]),
    ]
}

fn vp8_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let key_frame = [0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
    let payload = |descriptor: &[u8], frame: &[u8]| [descriptor, frame].concat();
    vec![
        ("key_frame", payload(&[0x10], &key_frame)),
        (
            "key_frame_long_id",
            payload(&[0x90, 0xe0, 0x81, 0x02, 0x77, 0x20], &key_frame),
        ),
        ("key_frame_cut", payload(&[0x10], &key_frame[..5])),
        ("key_frame_no_start_code", payload(&[0x10], &[0; 10])),
        ("delta_frame", payload(&[0x90, 0x80, 0x05], &[0x51, 1, 2])),
        ("continuation", payload(&[0x80, 0x80, 0x05], &[1, 2, 3])),
        (
            "temporal_1",
            payload(&[0xb0, 0xe0, 0xff, 0xff, 0xff, 0x60], &[1]),
        ),
        ("key_index", payload(&[0x90, 0x10, 0x1f], &[1])),
        (
            "all_fields",
            payload(&[0xb7, 0xf0, 0x80, 0x00, 0x00, 0xff], &[1]),
        ),
        ("no_extension", payload(&[0x00], &[1])),
        ("second_partition", payload(&[0x11], &key_frame)),
        ("cut_in_picture_id", vec![0x90, 0x80, 0x80]),
        ("cut_in_layers", vec![0x90, 0xf0, 0x01, 0x02]),
        ("descriptor_alone", vec![0x90, 0x80, 0x01]),
        ("empty", vec![]),
    ]
}

/// What browsers offer, of each shape one, small enough for a corpus; and what nobody should.
fn sdp_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let browsers = [
        "chromium_data_1_first",
        "chromium_paused_1_first",
        "chromium_vp8_1_first",
        "chromium_camera_1_publish",
        "chromium_naive_1_first",
        "firefox_data_1_first",
        "firefox_data_2_again",
        "firefox_paused_1_first",
        "firefox_vp8_1_first",
        "firefox_camera_2_off",
        "firefox_call_1_publish",
        "firefox_naive_1_first",
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdp");
    let read = |name: &str| std::fs::read(folder.join(format!("{name}.sdp"))).unwrap();
    let mut seeds: Vec<_> = browsers.iter().map(|name| (*name, read(name))).collect();
    let small = String::from_utf8(read("firefox_data_1_first")).unwrap();
    let changed = |from: &str, to: &str| small.replace(from, to).into_bytes();
    seeds.extend([
        ("empty", vec![]),
        ("version_alone", b"v=0\r\n".to_vec()),
        ("no_media", small.split("m=").next().unwrap().into()),
        ("no_bundle", changed("a=group:BUNDLE", "a=group:LS")),
        ("line_feeds", changed("\r\n", "\n")),
        ("twice", small.repeat(2).into_bytes()),
        ("port_0", changed(" 9 ", " 0 ")),
        ("not_text", vec![0xff; 40]),
    ]);
    seeds
}

/// Offers of encoders and players, and such as are too much or go the wrong way.
fn exchange_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdp");
    let read = |name: &str| std::fs::read(folder.join(format!("{name}.sdp"))).unwrap();
    let head = "v=0\r\no=FFmpeg 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n";
    let line = |kind: &str, mid: u8, direction: &str| {
        let (pt, codec) = match kind {
            "audio" => (111, "opus/48000/2"),
            _ => (106, "H264/90000"),
        };
        format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {pt}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n\
             a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\na=setup:active\r\na=mid:{mid}\r\na={direction}\r\n\
             a=msid:FFmpeg {kind}\r\na=rtcp-mux\r\na=rtpmap:{pt} {codec}\r\na=ssrc:{mid}7 cname:FFmpeg\r\n"
        )
    };
    let both = |direction: &str| {
        head.to_owned() + &line("audio", 0, direction) + &line("video", 1, direction)
    };
    vec![
        ("encoder", both("sendonly").into()),
        ("player", both("recvonly").into()),
        ("both_ways", both("sendrecv").into()),
        ("neither_way", both("inactive").into()),
        (
            "sound",
            (head.to_owned() + &line("audio", 0, "sendonly")).into(),
        ),
        (
            "two_pictures",
            (head.to_owned() + &line("video", 0, "sendonly") + &line("video", 1, "sendonly"))
                .into(),
        ),
        (
            "two_streams",
            both("sendonly")
                .replacen("msid:FFmpeg", "msid:other", 1)
                .into(),
        ),
        ("no_mid", both("sendonly").replace("a=mid:1\r\n", "").into()),
        (
            "no_credentials",
            both("sendonly").replace("a=ice-ufrag:EsAw\r\n", "").into(),
        ),
        ("no_media", head.into()),
        ("empty", Vec::new()),
        ("chromium_data", read("chromium_data_1_first")),
        ("firefox_camera", read("firefox_camera_2_off")),
    ]
}

/// What trickles and restarts.
fn fragment_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let ice = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";
    let line = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n";
    let udp = "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n";
    let tcp = "a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n";
    let name = "a=candidate:1 1 udp 1 0b1e-4d2c.local 5000 typ host\r\n";
    let group = "a=group:BUNDLE 0 1\r\n";
    let end = "a=end-of-candidates\r\n";
    let text = |parts: &[&str]| parts.concat().into_bytes();
    vec![
        ("trickle", text(&[group, line, ice, udp, tcp, end])),
        (
            "restart",
            text(&["a=ice-options:trickle ice2\r\n", group, line, ice, udp]),
        ),
        (
            "answer",
            text(&["a=ice-lite\r\n", group, line, ice, udp, end]),
        ),
        ("for_all", text(&[ice, line, udp])),
        ("ice_alone", text(&[ice])),
        ("candidates_alone", text(&[line, name, end])),
        ("half", text(&[line, "a=ice-ufrag:EsAw\r\n"])),
        (
            "two_lines",
            text(&[
                line,
                ice,
                udp,
                "m=video 0 RTP/AVP 0\r\na=mid:1\r\n",
                ice,
                tcp,
            ]),
        ),
        (
            "others",
            text(&[
                line,
                ice,
                "m=video 0 RTP/AVP 0\r\na=mid:1\r\n",
                &ice.replace("EsAw", "other"),
            ]),
        ),
        ("no_mid", text(&["m=audio 9 RTP/AVP 0\r\n", ice, udp])),
        ("same_mid", text(&[line, ice, line])),
        (
            "line_feeds",
            text(&[group, line, ice, udp])
                .into_iter()
                .filter(|b| *b != b'\r')
                .collect(),
        ),
        ("many", text(&[line, &udp.repeat(70)])),
        ("malformed", text(&[line, "a=candidate:1 1 udp\r\n"])),
        ("empty", Vec::new()),
    ]
}

/// Packets as a peer with other keys sends them, and such as have no room for what they should have.
fn srtp_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let keys = |profile: Profile| {
        let exported = vec![9; profile.exporter_bytes()];
        Keys::from_exporter(profile, &exported).unwrap()
    };
    let media = |profile: Profile, index: u64, payload: usize| {
        let index = ExtSeqNo(index);
        let mut packet = vec![0x80, 96];
        packet.extend(index.wire().0.to_be_bytes());
        packet.extend([0, 0, 0, 0, 1, 2, 3, 4]);
        packet.resize(12 + payload + profile.rtp_overhead(), 7);
        let sealer = Sealer::new(&keys(profile).client);
        let _ = sealer.seal_rtp(&mut packet, 12, 12 + payload, index, Ssrc(0x0102_0304));
        packet
    };
    let report = |profile: Profile| {
        let mut packet = vec![0x80, 201, 0, 1, 1, 2, 3, 4];
        let mut sealer = Sealer::new(&keys(profile).client);
        sealer.seal_rtcp(&mut packet).unwrap();
        packet
    };
    let sent = |packets: &[Vec<u8>]| {
        let framed = packets.iter().flat_map(|packet| {
            let len = u16::try_from(packet.len()).unwrap();
            [&len.to_be_bytes()[..], packet].concat()
        });
        framed.collect::<Vec<u8>>()
    };
    let (gcm, cm) = (Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80);
    let cut = |packet: Vec<u8>, len: usize| packet[..len].to_vec();
    let mut with_extension = media(gcm, 7, 40);
    with_extension[0] |= 0x10;
    let mut with_csrcs = media(cm, 7, 80);
    with_csrcs[0] |= 0x0f;
    let mut plain_report = report(gcm);
    let flag = plain_report.len() - 4;
    plain_report[flag] &= 0x7f;
    vec![
        ("gcm_media", sent(&[media(gcm, 65_530, 40)])),
        ("gcm_report", sent(&[report(gcm)])),
        ("cm_media", sent(&[media(cm, 65_530, 40)])),
        ("cm_report", sent(&[report(cm)])),
        (
            "both",
            sent(&[media(gcm, 1, 9), report(gcm), media(cm, 2, 9), report(cm)]),
        ),
        (
            "far_ahead",
            sent(&[media(gcm, 32_000, 4), media(cm, 65_531, 4)]),
        ),
        (
            "no_payload",
            sent(&[media(gcm, 65_531, 0), media(cm, 65_531, 0)]),
        ),
        ("header_alone", sent(&[cut(media(gcm, 1, 9), 12)])),
        (
            "tag_cut",
            sent(&[cut(media(gcm, 1, 0), 27), cut(media(cm, 1, 0), 21)]),
        ),
        (
            "report_cut",
            sent(&[cut(report(gcm), 8), cut(report(cm), 12)]),
        ),
        ("report_not_encrypted", sent(&[plain_report])),
        ("extension_beyond", sent(&[with_extension])),
        ("csrcs", sent(&[with_csrcs])),
        ("many", sent(&vec![media(gcm, 65_531, 1); 40])),
        ("empty_packets", vec![0; 40]),
        ("empty", vec![]),
    ]
}
