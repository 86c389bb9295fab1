//! RTP that is not authentic, and authentic RTP that makes no sense.

use super::client::{Client, Line, OPUS, RTX, VP8, picture};
use super::scene::{SCREEN, Scene, VOICE, mid, outsider, packet, rid};
use kaiwa_sfu::control::Source;
use kaiwa_sfu::unit::Ssrc;
use std::fs;
use std::path::Path;

/// Opus with redundancy, in [`with_red`].
const RED: u8 = 63;

/// A publisher of sound (0), a picture (1) and a screen in two layers (2).
fn lines() -> Vec<Line> {
    vec![
        Line::send(Source::Microphone, 31),
        Line::send(Source::Camera, 3_100),
        Line::simulcast(Source::Screen, &["q", "h"]),
    ]
}

/// Offers RED for sound, as Chromium does.
fn with_red(sdp: String) -> String {
    sdp.replace("SAVPF 111\r\n", "SAVPF 111 63\r\n").replace(
        "a=rtpmap:111",
        "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111",
    )
}

/// In the call, seen and heard by the witness's subscriber.
fn publisher(scene: &mut Scene) -> Client {
    let client = scene.stranger(lines()).rewriting(with_red);
    let client = scene.enter(client);
    let id = client.participant.0;
    let wishes = [
        scene.published(1, Source::Screen),
        scene.published(id, Source::Camera),
    ];
    scene.prefer(scene.bob.participant, &wishes).expect("taken");
    client
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect()
}

/// What somebody sends who is authentic.
struct Talker<'a> {
    client: &'a Client,
}

impl Talker<'_> {
    fn send(&self, (pt, seq, ssrc): (u8, u64, u32), names: &[(Option<u8>, &str)], payload: &[u8]) {
        let wire = u16::try_from(seq & 0xffff).unwrap();
        let (plain, header_len) = packet((pt, wire, ssrc), names, payload);
        self.client.send(&self.client.seal(&plain, header_len, seq));
    }
}

#[test]
fn what_comes_again_or_was_changed_or_comes_from_elsewhere_is_refused() {
    let mut scene = Scene::new(1);
    let good = scene.alice.sealed(0, None, Ssrc(VOICE), 5_000, 0, &[1; 80]);
    let mut report = Vec::new();
    kaiwa_sfu::wire::rtcp::write_receiver_report(&mut report, Ssrc(5), &[]);
    let report = scene.alice.sealed_rtcp(report);
    let expected = good.len() + report.len() + 3 + 2 + 3;
    let truncated = scene.counts.total("truncated_datagrams");
    let socket = outsider();
    scene.refuses(u64::try_from(expected).unwrap(), |scene| {
        let alice = &scene.alice;
        for packet in [&good, &report] {
            for at in 0..packet.len() {
                let mut changed = packet.clone();
                // The first two bytes tell the protocol: theirs stays.
                changed[at] ^= if at == 0 { 0x20 } else { 1 };
                alice.send(&changed);
            }
        }
        for _ in 0..3 {
            socket.send_to(&good, alice.server()).unwrap();
        }
        for len in [12, good.len() - 1] {
            alice.send(&good[..len]);
        }
        alice.send(&vec![0x80; 2_000]);
        alice.send(&[0x80]);
        alice.send(&[0xff; 100]);
        // Nothing, and more than is ever read.
        alice.send(&[]);
        alice.send(&vec![0x80; 60_000]);
    });
    assert_eq!(scene.counts.total("truncated_datagrams"), truncated + 1);
    // Once each is right; then it is a replay. The witness's own numbers are far behind by now.
    scene.refuses(20, |scene| {
        scene.alice.send(&report);
        for _ in 0..20 {
            scene.alice.send(&report);
        }
    });
}

#[test]
fn packets_that_name_nothing_or_something_else_are_refused() {
    let mut scene = Scene::new(1);
    let mallory = publisher(&mut scene);
    let talker = Talker { client: &mallory };
    let (opus, vp8) = (OPUS.0, VP8.0);
    let frame = picture(1, true, 100);
    scene.refuses(10, |_| {
        talker.send((vp8, 1, 9_000), &[], &frame);
        talker.send((vp8, 1, 9_001), &[mid("zz")], &frame);
        talker.send((vp8, 1, 9_002), &[mid("2"), rid("x")], &frame);
        talker.send((vp8, 1, 9_003), &[mid("2")], &frame);
        talker.send((77, 1, 9_004), &[mid("1")], &frame);
        talker.send((0, 1, 9_005), &[mid("1")], &frame);
        talker.send((opus, 1, 9_006), &[mid("1")], &frame);
        talker.send((vp8, 1, 9_007), &[mid("0")], &frame);
        // A source that is known and is suddenly something else.
        talker.send((opus, 1, 3_100), &[mid("0")], &[1; 80]);
        talker.send((vp8, 1, 31), &[mid("1")], &frame);
    });
    // The witness's own sources, by somebody else: in another's keys they are other sources.
    talker.send((opus, 60_000, VOICE), &[mid("0")], &[1; 80]);
    talker.send((vp8, 60_000, SCREEN), &[mid("1")], &frame);
    scene.goes_on(20);
}

#[test]
fn sources_without_end_are_refused_and_those_that_were_known_go_on() {
    let mut scene = Scene::new(1);
    let mallory = publisher(&mut scene);
    let talker = Talker { client: &mallory };
    for round in 0..8 {
        for no in 0..100 {
            let ssrc = 50_000 + round * 100 + no;
            talker.send((VP8.0, 1, ssrc), &[mid("1")], &picture(1, true, 100));
        }
        scene.goes_on(2);
    }
    scene.goes_on(20);
}

#[test]
fn paddings_and_lengths_beyond_the_packet_are_refused() {
    let mut scene = Scene::new(1);
    let mallory = publisher(&mut scene);
    scene.refuses(3 + 4, |_| {
        // Padding of more than there is, of nothing, and of 255 in 40 bytes (RFC 3550, section 5.1).
        for (seq, last) in [(1_u16, 41), (2, 0), (3, 255)] {
            let (mut plain, header_len) = packet((VP8.0, seq, 3_100), &[mid("1")], &[7; 40]);
            plain[0] |= 0x20;
            *plain.last_mut().unwrap() = last;
            mallory.send(&mallory.seal(&plain, header_len, seq.into()));
        }
        // Headers that do not end: fifteen CSRCs, an extension of 256 KiB, other versions.
        let (plain, _) = packet((VP8.0, 9, 3_100), &[mid("1")], &[7; 40]);
        let mut csrcs = plain.clone();
        csrcs[0] |= 0x0f;
        let mut extension = plain.clone();
        extension[14..16].copy_from_slice(&[0xff, 0xff]);
        let mut version = plain.clone();
        version[0] = 0xd0;
        for datagram in [&csrcs, &extension, &version, &plain[..11].to_vec()] {
            mallory.send(datagram);
        }
    });
    scene.goes_on(10);
}

#[test]
fn payloads_of_every_shape_harm_nobody() {
    let mut scene = Scene::new(1);
    let mallory = publisher(&mut scene);
    let talker = Talker { client: &mallory };
    let mut seq = 100_u64;
    let mut next = || {
        seq += 1;
        seq
    };
    let whole = picture(1, true, 100);
    let vp8 = (0..whole.len()).map(|len| whole[..len].to_vec());
    for payload in vp8.chain(corpus("vp8")).chain([vec![0xff; 1_300]]) {
        talker.send((VP8.0, next(), 3_100), &[mid("1")], &payload);
        talker.send((VP8.0, next(), 3_200), &[mid("2"), rid("h")], &payload);
    }
    scene.goes_on(3);
    // RED: a hundred headers of blocks that are not there, ten blocks in one packet, all of the corpus.
    let bombs = [
        vec![0xef; 400],
        vec![0x80 | 111; 1_200],
        [0xef, 0, 0, 0].repeat(300),
    ];
    for payload in bombs.into_iter().chain(corpus("red")) {
        talker.send((RED, next(), 31), &[mid("0")], &payload);
    }
    scene.goes_on(3);
    // Retransmissions of what was never sent, of the future, of nothing.
    let originals = [0_u16, 1, 99, 101, 32_000, 65_535].map(|osn| osn.to_be_bytes().to_vec());
    let broken = [vec![], vec![1], vec![0, 1, 0xff], vec![0xff; 1_200]];
    for payload in originals.into_iter().chain(broken).chain(corpus("vp8")) {
        talker.send((RTX.0, next(), 3_101), &[mid("1")], &payload);
    }
    // Sound as a repair, and the other way round.
    talker.send((RTX.0, next(), 32), &[mid("0")], &[0; 40]);
    talker.send((VP8.0, next(), 3_101), &[mid("1")], &whole);
    scene.goes_on(20);
}

#[test]
fn numbers_that_jump_about_are_not_asked_for_without_end() {
    let mut scene = Scene::new(1);
    let mut mallory = publisher(&mut scene);
    for round in 0..200_u64 {
        // Always as far ahead as a packet may be that is not taken for an old one.
        let talker = Talker { client: &mallory };
        let at = 200 + round * 30_000;
        talker.send((VP8.0, at, 3_100), &[mid("1")], &picture(1, true, 100));
        talker.send((OPUS.0, at, 31), &[mid("0")], &[9; 80]);
        if round % 20 == 0 {
            scene.goes_on(1);
            mallory.pump();
        }
    }
    scene.goes_on(20);
    mallory.pump();
    let nacks: usize = mallory.reports.iter().map(|report| missed(report)).sum();
    // A stream remembers a bounded number of what is missing, and lets a jump of half the numbers be.
    assert!(nacks < 20_000, "{nacks} numbers were asked for");
}

#[test]
fn an_ssrc_too_many_is_asked_for_nothing() {
    let mut scene = Scene::new(1);
    let mut mallory = publisher(&mut scene);
    let talker = Talker { client: &mallory };
    talker.send((VP8.0, 1, 3_100), &[mid("1")], &picture(1, true, 100));
    for ssrc in 50_000..50_100 {
        talker.send((OPUS.0, 1, ssrc), &[mid("0")], &[9; 80]);
    }
    talker.send((VP8.0, 1, 60_000), &[mid("1")], &picture(1, true, 100));
    for at in [2, 7] {
        talker.send((VP8.0, at, 3_100), &[], &picture(1, false, 100));
    }
    scene.goes_on(20);
    mallory.pump();
    let asked: Vec<Ssrc> = mallory
        .reports
        .iter()
        .flat_map(|report| asked(report))
        .collect();
    assert!(asked.contains(&Ssrc(3_100)), "{asked:?}");
    assert!(!asked.contains(&Ssrc(60_000)), "{asked:?}");
}

/// Of which sources a report asks for packets.
fn asked(report: &[u8]) -> Vec<Ssrc> {
    use kaiwa_sfu::wire::rtcp::{Packet, Packets};
    let packets = Packets::new(report).flatten();
    packets
        .filter_map(|packet| match packet {
            Packet::Nack(nack) => Some(nack.media),
            _ => None,
        })
        .collect()
}

fn missed(report: &[u8]) -> usize {
    use kaiwa_sfu::wire::rtcp::{Packet, Packets};
    let packets = Packets::new(report).flatten();
    packets
        .map(|packet| match packet {
            Packet::Nack(nack) => nack.numbers().count(),
            _ => 0,
        })
        .sum()
}
