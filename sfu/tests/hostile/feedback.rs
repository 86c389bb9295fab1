//! Authentic RTCP that asks for too much, tells nonsense, or speaks of somebody else's sources.

use super::client::{Client, Line, RTX};
use super::mutate::Mutator;
use super::scene::{SCREEN, Scene, VOICE};
use kaiwa_sfu::control::Source;
use kaiwa_sfu::unit::{NtpTime, RtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::rtcp::*;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Somebody who sees the witness's picture, and the source that they see it from.
fn subscriber(scene: &mut Scene) -> (Client, Ssrc) {
    let client = scene.stranger(vec![Line::receive("audio"), Line::receive("video")]);
    let mut client = scene.enter(client.blind());
    let camera = scene.published(1, Source::Screen);
    scene.prefer(client.participant, &[camera]).expect("taken");
    let mut seen = None;
    while seen.is_none() {
        scene.goes_on(1);
        client.pump();
        let found = client.received.iter().find(|r| r.pt == super::client::VP8);
        seen = found.map(|r| r.ssrc);
    }
    (client, seen.unwrap())
}

fn compound(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write_receiver_report(&mut out, Ssrc(5), &[]);
    write(&mut out);
    out
}

fn repairs(client: &Client) -> usize {
    let repairs = client.received.iter().filter(|r| r.pt == RTX);
    repairs.filter(|r| !r.payload.is_empty()).count()
}

#[test]
fn a_flood_of_nacks_is_answered_with_a_bounded_number_of_repairs() {
    let mut scene = Scene::new(1);
    let (mut mallory, ssrc) = subscriber(&mut scene);
    scene.goes_on(100);
    mallory.pump();
    let sent = mallory.received.len();
    let newest = mallory
        .received
        .iter()
        .rfind(|r| r.ssrc == ssrc)
        .unwrap()
        .seq;
    for round in 0..20_u16 {
        for _ in 0..20 {
            let numbers: Vec<SeqNo> = (0..100)
                .map(|back| SeqNo(newest.0.wrapping_sub(back)))
                .collect();
            let nack = compound(|out| {
                write_nack(out, Ssrc(5), ssrc, &numbers);
                // Numbers that were never sent.
                write_nack(out, Ssrc(5), ssrc, &[SeqNo(newest.0 ^ (0x4000 + round))]);
            });
            mallory.send_rtcp(nack);
        }
        scene.goes_on(1);
        mallory.pump();
    }
    scene.settle();
    mallory.pump();
    // 128 are saved up, and one more comes for each two packets sent (`core::retransmit`).
    let bound = 128 + (sent + 60) / 2;
    let repairs = repairs(&mallory);
    assert!(
        repairs > 0 && repairs <= bound,
        "{repairs} of at most {bound}"
    );
}

#[test]
fn floods_of_plis_and_firs_ask_the_publisher_a_bounded_number_of_times() {
    let mut scene = Scene::new(1);
    let (mut mallory, ssrc) = subscriber(&mut scene);
    scene.settle();
    let (began, before) = (Instant::now(), scene.asked);
    for round in 0..40_u8 {
        for _ in 0..50 {
            let asks = compound(|out| {
                let (sender, media) = (Ssrc(5), ssrc);
                write_pli(out, Pli { sender, media });
                for no in 0..20 {
                    let command_seq = round.wrapping_add(no);
                    write_fir(out, sender, FirEntry { media, command_seq });
                }
            });
            mallory.send_rtcp(asks);
        }
        // The publisher answers each request with a key frame, and so may be asked again.
        scene.goes_on(2);
    }
    scene.settle();
    let asked = scene.asked - before;
    // A screen is asked once a second at most.
    let bound = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    assert!(asked >= 1 && asked <= bound, "{asked} of at most {bound}");
    mallory.pump();
}

#[test]
fn reports_about_somebody_elses_sources_change_nothing() {
    let mut scene = Scene::new(1);
    let (mut mallory, _) = subscriber(&mut scene);
    scene.goes_on(20);
    let theirs = [
        Ssrc(VOICE),
        Ssrc(SCREEN),
        scene.seen_from(),
        scene.heard_from(),
    ];
    let lost = |ssrc| ReportBlock {
        ssrc,
        fraction_lost: 255,
        cumulative_lost: 0x7f_ffff,
        highest_seq: u32::MAX,
        jitter: u32::MAX,
        last_sr: 1,
        delay_since_last_sr: u32::MAX,
    };
    let asked = scene.asked;
    for round in 0..50_u16 {
        for ssrc in theirs {
            let about = compound(|out| {
                let info = SenderInfo {
                    ntp: NtpTime(u64::MAX - u64::from(round)),
                    time: RtpTime(u32::from(round) << 24),
                    packets: u32::MAX,
                    octets: u32::MAX,
                };
                write_sender_report(out, ssrc, &info, &[lost(ssrc)]);
                write_receiver_report(out, ssrc, &[lost(ssrc)]);
                write_bye(out, &theirs);
                let numbers: Vec<SeqNo> = (0..60).map(|no| SeqNo(no * 1_000)).collect();
                write_nack(out, ssrc, ssrc, &numbers);
                let (sender, media) = (ssrc, ssrc);
                write_pli(out, Pli { sender, media });
                let command_seq = round.to_be_bytes()[1];
                write_fir(out, ssrc, FirEntry { media, command_seq });
            });
            mallory.send_rtcp(about);
        }
        scene.goes_on(1);
    }
    scene.settle();
    assert_eq!(scene.asked, asked, "nobody is asked for somebody else");
    assert_eq!(repairs(&mallory), 0);
    scene.goes_on(20);
}

/// A transport-wide feedback by hand (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).
fn feedback(base: u16, count: u16, reference: u32, chunks: &[u16], deltas: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(5_u32.to_be_bytes());
    body.extend(6_u32.to_be_bytes());
    body.extend(base.to_be_bytes());
    body.extend(count.to_be_bytes());
    body.extend(&reference.to_be_bytes()[1..]);
    body.push(0);
    chunks
        .iter()
        .for_each(|chunk| body.extend(chunk.to_be_bytes()));
    body.extend(deltas);
    body.resize(body.len().next_multiple_of(4), 0);
    let words = u16::try_from(body.len() / 4).unwrap();
    let mut packet = vec![0x8f, 205];
    packet.extend(words.to_be_bytes());
    packet.extend(body);
    packet
}

#[test]
fn absurd_feedback_harms_nobody() {
    let mut scene = Scene::new(1);
    let (mut mallory, ssrc) = subscriber(&mut scene);
    for round in 0..30_u16 {
        let (base, reference) = (round.wrapping_mul(2_999), u32::from(round) << 19);
        let all = [
            // 65,535 packets lost; as many received without a delta; more than is told of.
            feedback(base, 65_535, reference, &[0x1fff; 8], &[]),
            feedback(base, 65_535, reference, &[0x3fff; 8], &[0xff; 60]),
            feedback(base, 8_191, 0x7f_ffff, &[0x5fff], &[0x80, 0]),
            feedback(base, 0, 0, &[], &[]),
            feedback(base, 14, 0x80_0000, &[0xd555], &[0x7f, 0xff].repeat(7)),
            feedback(base, 7, reference, &[0xffff], &[0x80, 0x00].repeat(7)),
        ];
        for packet in all {
            mallory.send_rtcp(compound(|out| out.extend(&packet)));
        }
        // REMB of everything and of nothing (draft-alvestrand-rmcat-remb-03, section 2.2).
        for exponent in [0xff, 0x00] {
            let mut remb = vec![0x8f, 206, 0, 5, 0, 0, 0, 5, 0, 0, 0, 0];
            remb.extend(*b"REMB");
            remb.extend([1, exponent, exponent, exponent]);
            remb.extend(ssrc.0.to_be_bytes());
            mallory.send_rtcp(compound(|out| out.extend(&remb)));
        }
        scene.goes_on(1);
    }
    scene.goes_on(20);
}

#[test]
fn thousands_of_broken_compounds_harm_nobody() {
    let mut scene = Scene::new(1);
    let (mut mallory, ssrc) = subscriber(&mut scene);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/rtcp");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    let own = compound(|out| {
        write_nack(out, Ssrc(5), ssrc, &[SeqNo(1)]);
    });
    for (at, seed) in seeds.iter().enumerate() {
        for no in 0..100 {
            let mut mutated = Mutator::new(no).mutate(seed, &own);
            mutated.truncate(1_400);
            // What can be sealed at all: SRTCP's header.
            if mutated.len() >= 8 {
                mutated[0] = 0x80 | mutated[0] & 0x3f;
                mutated[1] = 192 | mutated[1] & 0x1f;
                mallory.send_rtcp(mutated);
            }
        }
        scene.goes_on(1 + u32::try_from(at % 2).unwrap());
    }
    scene.goes_on(20);
}
