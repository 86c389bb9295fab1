//! Calls over real sockets: the engine's own threads, and clients that check every packet.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "each test uses a part")]
#[path = "call/client.rs"]
mod client;
#[allow(dead_code, reason = "each test uses a part")]
#[path = "call/stand.rs"]
mod stand;
#[path = "call/wait.rs"]
mod wait;

use client::{Client, Line, OPUS, RTX, VP8, mid, picture};
use kaiwa_sfu::config::Config;
use kaiwa_sfu::control::*;
use kaiwa_sfu::srtp::Profile;
use kaiwa_sfu::unit::{Bitrate, SeqNo, Ssrc};
use kaiwa_sfu::wire::rtcp::{Packet, Packets, Pli, write_nack, write_pli, write_receiver_report};
use stand::{ALL, Stand};
use std::time::{Duration, Instant};
use wait::{block_on, pump};

fn asks_for_keyframe(client: &Client) -> bool {
    client
        .reports
        .iter()
        .any(|report| Packets::new(report).any(|packet| matches!(packet, Ok(Packet::Pli(_)))))
}

#[test]
fn a_picture_reaches_who_wants_it_rewritten_and_whole() {
    for shards in [1, 2] {
        let stand = Stand::with(Config {
            shards,
            assumed: Bitrate::kbps(50_000),
            ..Config::default()
        });
        let mut alice = Client::new(1, vec![Line::send(Source::Camera, 1_000)]);
        let mut bob = Client::new(2, vec![Line::receive("audio"), Line::receive("video")]).blind();
        stand.enter(&mut alice);
        stand.enter(&mut bob);
        assert_eq!(alice.profile, Some(Profile::AeadAes128Gcm));
        stand.prefer(&bob, stand.publication(Source::Camera), 640, 360);
        let mut no = 0_u16;
        let mut last = Instant::now();
        pump(&mut [&mut alice, &mut bob], |clients| {
            // 60 kbit/s: a path of which nothing is known is not trusted with much.
            if no > 0 && last.elapsed() < Duration::from_millis(40) {
                return clients[1].payloads().len() >= 30;
            }
            last = Instant::now();
            let sent = clients[0].sealed(
                0,
                None,
                Ssrc(1_000),
                65_530 + u64::from(no),
                u32::from(no) * 3_000,
                &picture(no, no.is_multiple_of(10), 300),
            );
            clients[0].send(&sent);
            no += 1;
            clients[1].payloads().len() >= 30
        });
        let media: Vec<_> = bob.received.iter().filter(|r| r.pt == VP8).collect();
        assert!(
            media
                .iter()
                .all(|r| r.mid == Some(mid(1)) && r.payload.len() == 300)
        );
        let ssrc = media[0].ssrc;
        assert!(ssrc != Ssrc(1_000) && media.iter().all(|r| r.ssrc == ssrc));
        for pair in media.windows(2) {
            assert_eq!(pair[1].seq, SeqNo(pair[0].seq.0.wrapping_add(1)));
            assert_eq!(pair[1].time.0.wrapping_sub(pair[0].time.0), 3_000);
        }
        assert_eq!(media[0].payload[6] & 1, 0, "it begins with a key frame");
        assert!(stand.events.has(|e| matches!(
            e,
            Event::Connectivity {
                connectivity: Connectivity::Connected,
                ..
            }
        )));
    }
}

#[test]
fn a_voice_reaches_everybody_else_and_says_who_speaks() {
    let stand = Stand::new(1);
    let mut alice = Client::new(
        1,
        vec![Line::send(Source::Microphone, 1), Line::receive("audio")],
    );
    let mut bob = Client::new(2, vec![Line::receive("audio")]).only(Profile::Aes128CmHmacSha1_80);
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    assert_eq!(bob.profile, Some(Profile::Aes128CmHmacSha1_80));
    let mut no = 0_u32;
    pump(&mut [&mut alice, &mut bob], |clients| {
        let sent = clients[0].sealed(0, None, Ssrc(1), u64::from(no), no * 960, &[7; 80]);
        clients[0].send(&sent);
        no += 1;
        let speaks = stand
            .events
            .has(|e| matches!(e, Event::Speakers { speakers, .. } if !speakers.is_empty()));
        clients[1].payloads().len() >= 20 && speaks
    });
    assert!(
        bob.received
            .iter()
            .all(|r| r.pt == OPUS && r.payload == [7; 80])
    );
    assert!(alice.payloads().is_empty());
}

#[test]
fn what_a_subscriber_misses_is_sent_again_over_rtx() {
    let stand = Stand::new(1);
    let mut alice = Client::new(1, vec![Line::send(Source::Camera, 1_000)]);
    let mut bob = Client::new(2, vec![Line::receive("video")]);
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    stand.prefer(&bob, stand.publication(Source::Camera), 640, 360);
    let mut no = 0_u16;
    pump(&mut [&mut alice, &mut bob], |clients| {
        let sent = clients[0].sealed(
            0,
            None,
            Ssrc(1_000),
            u64::from(no),
            u32::from(no) * 3_000,
            &picture(no, no == 0 || no.is_multiple_of(10), 300),
        );
        clients[0].send(&sent);
        no += 1;
        clients[1].payloads().len() >= 5
    });
    let missed = bob
        .received
        .iter()
        .rfind(|r| r.pt == VP8 && !r.payload.is_empty())
        .unwrap()
        .clone();
    let mut nack = Vec::new();
    write_receiver_report(&mut nack, Ssrc(5), &[]);
    write_nack(&mut nack, Ssrc(5), missed.ssrc, &[missed.seq]);
    bob.send_rtcp(nack);
    let is_repair = |r: &client::Received| {
        r.pt == RTX && r.payload.len() > 2 && r.payload[..2] == missed.seq.0.to_be_bytes()
    };
    pump(&mut [&mut bob], |clients| {
        clients[0].received.iter().any(is_repair)
    });
    let repair = bob.received.iter().find(|r| is_repair(r)).unwrap();
    assert_eq!(repair.payload[2..], missed.payload);
    assert_ne!(repair.ssrc, missed.ssrc);
}

#[test]
fn a_publishers_loss_is_asked_for_and_a_key_frame_when_somebody_comes() {
    let stand = Stand::new(1);
    let mut alice = Client::new(1, vec![Line::send(Source::Camera, 1_000)]);
    stand.enter(&mut alice);
    for no in [0_u16, 1, 2, 5, 6, 7] {
        let sent = alice.sealed(
            0,
            None,
            Ssrc(1_000),
            u64::from(no),
            u32::from(no) * 3_000,
            &picture(no, no == 0, 300),
        );
        alice.send(&sent);
    }
    pump(&mut [&mut alice], |clients| {
        clients[0].reports.iter().any(|report| {
            Packets::new(report).any(|packet| match packet {
                Ok(Packet::Nack(nack)) => nack.numbers().eq([SeqNo(3), SeqNo(4)]),
                _ => false,
            })
        })
    });
    let tells_arrival = |report: &Vec<u8>| {
        Packets::new(report).any(|p| matches!(p, Ok(Packet::TransportFeedback(_))))
    };
    pump(&mut [&mut alice], |clients| {
        clients[0].reports.iter().any(tells_arrival)
    });
    alice.reports.clear();
    let mut bob = Client::new(2, vec![Line::receive("video")]);
    stand.enter(&mut bob);
    stand.prefer(&bob, stand.publication(Source::Camera), 640, 360);
    let mut no = 8_u16;
    pump(&mut [&mut alice, &mut bob], |clients| {
        let sent = clients[0].sealed(
            0,
            None,
            Ssrc(1_000),
            u64::from(no),
            u32::from(no) * 3_000,
            &picture(no, false, 300),
        );
        clients[0].send(&sent);
        no += 1;
        asks_for_keyframe(clients[0])
    });
    assert!(bob.payloads().is_empty(), "nothing before a key frame");
}

#[test]
fn a_muted_track_is_not_forwarded_until_it_is_unmuted() {
    let stand = Stand::new(1);
    let mut alice = Client::new(1, vec![Line::send(Source::Microphone, 1)]);
    let mut bob = Client::new(2, vec![Line::receive("audio")]);
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    let publication = stand.publication(Source::Microphone);
    let mute = |is_muted| Mute {
        participant: alice_id(),
        publication,
        is_muted,
    };
    block_on(stand.engine.mute(mute(true))).expect("theirs");
    for no in 0..50_u32 {
        let sent = alice.sealed(0, None, Ssrc(1), u64::from(no), no * 960, &[7; 80]);
        alice.send(&sent);
    }
    // All were taken once feedback about the last one is there.
    pump(&mut [&mut alice, &mut bob], |clients| {
        clients[0].reports.iter().any(|report| {
            Packets::new(report).any(|p| match p {
                Ok(Packet::TransportFeedback(f)) => f.base.wrapping_add(f.count) >= 50,
                _ => false,
            })
        })
    });
    assert!(bob.payloads().is_empty());
    block_on(stand.engine.mute(mute(false))).expect("theirs");
    let mut no = 50_u32;
    pump(&mut [&mut alice, &mut bob], |clients| {
        let sent = clients[0].sealed(0, None, Ssrc(1), u64::from(no), no * 960, &[7; 80]);
        clients[0].send(&sent);
        no += 1;
        !clients[1].payloads().is_empty()
    });
}

fn alice_id() -> ParticipantId {
    ParticipantId(1)
}

#[test]
fn a_small_picture_gets_the_low_layer_and_a_large_one_the_high_one() {
    let stand = Stand::with(Config {
        shards: 1,
        assumed: Bitrate::kbps(50_000),
        ..Config::default()
    });
    let mut alice = Client::new(1, vec![Line::simulcast(Source::Camera, &["q", "h", "f"])]);
    let mut bob = Client::new(2, vec![Line::receive("video")]).blind();
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    let publication = stand.publication(Source::Camera);
    let layers = [
        ("q", 300_usize, (160_u16, 90_u16)),
        ("h", 600, (320, 180)),
        ("f", 900, (640, 360)),
    ];
    let send = |client: &Client, no: u16| {
        for (at, (rid, bytes, (width, height))) in (0_u32..).zip(layers) {
            let mut payload = picture(no, no.is_multiple_of(5), bytes);
            if no.is_multiple_of(5) {
                payload[12..14].copy_from_slice(&width.to_le_bytes());
                payload[14..16].copy_from_slice(&height.to_le_bytes());
            }
            let sent = client.sealed(
                0,
                Some(rid),
                Ssrc(100 + at),
                u64::from(no),
                u32::from(no) * 3_000,
                &payload,
            );
            client.send(&sent);
        }
    };
    let mut no = 0_u16;
    for (width, height, bytes) in [(160, 90, 300), (640, 360, 900), (320, 180, 600)] {
        stand.prefer(&bob, publication, width, height);
        pump(&mut [&mut alice, &mut bob], |clients| {
            send(clients[0], no);
            no = no.wrapping_add(1);
            let payloads = clients[1].payloads();
            payloads.len() > 20 && payloads.iter().rev().take(10).all(|p| p.len() == bytes)
        });
    }
    let media: Vec<_> = bob.received.iter().filter(|r| r.pt == VP8).collect();
    for pair in media.windows(2) {
        assert_eq!(
            pair[1].seq,
            SeqNo(pair[0].seq.0.wrapping_add(1)),
            "numbers go on across layers"
        );
        assert!(
            pair[1].time.0.wrapping_sub(pair[0].time.0) < 1 << 31,
            "time goes on"
        );
    }
}

#[test]
fn what_is_not_authentic_changes_nothing() {
    let stand = Stand::new(1);
    let mut alice = Client::new(1, vec![Line::send(Source::Microphone, 1)]);
    let mut bob = Client::new(2, vec![Line::receive("audio")]);
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    let good = alice.sealed(0, None, Ssrc(1), 0, 0, &[1; 80]);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        alice.send(&bad);
    }
    for len in 0..good.len() {
        alice.send(&good[..len]);
    }
    alice.send(&vec![0x80; 2_000]);
    alice.send(&[]);
    alice.send(&good);
    alice.send(&good);
    let last = alice.sealed(0, None, Ssrc(1), 1, 960, &[2; 80]);
    alice.send(&last);
    pump(&mut [&mut alice, &mut bob], |clients| {
        clients[1].payloads().len() >= 2
    });
    assert_eq!(bob.payloads(), [[1; 80], [2; 80]], "each once");
}

#[test]
fn a_certificate_that_is_not_the_offers_is_refused() {
    let stand = Stand::new(1);
    let mut mallory = Client::new(1, vec![Line::send(Source::Microphone, 1)]).lying();
    stand.join(&mallory, ALL);
    mallory.negotiate(&stand.engine);
    pump(&mut [&mut mallory], |_| {
        stand.events.has(|e| {
            matches!(
                e,
                Event::Gone {
                    reason: GoneReason::HandshakeFailed,
                    ..
                }
            )
        })
    });
    assert!(!mallory.is_connected());
}

#[test]
fn without_the_right_nothing_is_published() {
    let stand = Stand::new(1);
    let mut listener = Client::new(
        1,
        vec![Line::send(Source::Microphone, 1), Line::receive("audio")],
    );
    stand.join(
        &listener,
        Rights {
            subscribe: true,
            ..Rights::default()
        },
    );
    listener.negotiate(&stand.engine);
    let answer = listener.answer.as_ref().unwrap();
    assert_eq!(answer.tracks, [(mid(0), Err(SfuError::Forbidden))]);
    assert!(!stand.events.has(|e| matches!(e, Event::Published { .. })));
}

#[test]
fn an_address_change_goes_on_without_a_break() {
    let stand = Stand::new(2);
    let mut alice = Client::new(1, vec![Line::send(Source::Microphone, 1)]);
    let mut bob = Client::new(2, vec![Line::receive("audio")]);
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    let mut no = 0_u32;
    for _ in 0..4 {
        let before = bob.payloads().len();
        pump(&mut [&mut alice, &mut bob], |clients| {
            let sent = clients[0].sealed(0, None, Ssrc(1), u64::from(no), no * 960, &[7; 80]);
            clients[0].send(&sent);
            no += 1;
            clients[1].payloads().len() > before + 5
        });
        alice.move_away();
        alice.check(true);
        bob.move_away();
        bob.check(true);
    }
}

#[test]
fn who_leaves_is_gone_and_their_tracks_with_them() {
    let stand = Stand::new(2);
    let mut alice = Client::new(1, vec![Line::send(Source::Microphone, 1)]);
    let mut bob = Client::new(2, vec![Line::receive("audio")]);
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    block_on(stand.engine.leave(alice.participant)).expect("left");
    block_on(stand.engine.leave(alice.participant)).expect("no error twice");
    pump(&mut [&mut bob], |_| {
        stand.events.has(|e| matches!(e, Event::Unpublished { .. }))
            && stand.events.has(|e| {
                matches!(
                    e,
                    Event::Gone {
                        reason: GoneReason::Left,
                        ..
                    }
                )
            })
    });
    let offer = Offer {
        participant: alice.participant,
        sdp: alice.sdp(),
        tracks: vec![],
    };
    assert_eq!(
        block_on(stand.engine.offer(offer)).unwrap_err(),
        SfuError::NoSuchParticipant
    );
}

#[test]
fn a_pli_of_a_subscriber_reaches_the_publisher() {
    let stand = Stand::new(1);
    let mut alice = Client::new(1, vec![Line::send(Source::Camera, 1_000)]);
    let mut bob = Client::new(2, vec![Line::receive("video")]);
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    stand.prefer(&bob, stand.publication(Source::Camera), 640, 360);
    let mut no = 0_u16;
    pump(&mut [&mut alice, &mut bob], |clients| {
        let sent = clients[0].sealed(
            0,
            None,
            Ssrc(1_000),
            u64::from(no),
            u32::from(no) * 3_000,
            &picture(no, no.is_multiple_of(10), 300),
        );
        clients[0].send(&sent);
        no += 1;
        clients[1].payloads().len() >= 5
    });
    alice.reports.clear();
    let ssrc = bob.received[0].ssrc;
    pump(&mut [&mut alice, &mut bob], |clients| {
        let mut pli = Vec::new();
        write_receiver_report(&mut pli, Ssrc(5), &[]);
        write_pli(
            &mut pli,
            Pli {
                sender: Ssrc(5),
                media: ssrc,
            },
        );
        clients[1].send_rtcp(pli);
        asks_for_keyframe(clients[0])
    });
}
