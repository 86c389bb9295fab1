//! Calls over TCP (RFC 6544): the engine's own threads, and clients that check every packet.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "each test uses a part")]
#[path = "call/client.rs"]
mod client;
#[allow(dead_code, reason = "each test uses a part")]
#[path = "call/stand.rs"]
mod stand;
#[path = "call/wait.rs"]
mod wait;

#[path = "tcp/hostile.rs"]
mod hostile;

use client::{Client, Line, VP8, picture};
use kaiwa_sfu::config::{Config, TcpConfig, TcpListen};
use kaiwa_sfu::control::*;
use kaiwa_sfu::unit::{Bitrate, SeqNo, Ssrc};
use kaiwa_sfu::wire::framing;
use stand::Stand;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use wait::pump;

/// A stand that listens for TCP beside UDP.
fn stand(shards: usize) -> Stand {
    Stand::with(Config {
        shards,
        assumed: Bitrate::kbps(50_000),
        tcp: TcpConfig {
            listen: TcpListen::Beside,
            shared: None,
        },
        ..Config::default()
    })
}

/// Sends a voice from the first to the second until so many packets more have come.
fn hears(alice: &mut Client, bob: &mut Client, no: &mut u32, more: usize) {
    let before = bob.payloads().len();
    pump(&mut [alice, bob], |clients| {
        let sent = clients[0].sealed(0, None, Ssrc(1), u64::from(*no), *no * 960, &[7; 80]);
        clients[0].send(&sent);
        *no += 1;
        clients[1].payloads().len() >= before + more
    });
}

fn is_connectivity(event: &Event, of: &Client, wanted: Connectivity) -> bool {
    matches!(event, Event::Connectivity { participant, connectivity, .. }
        if *participant == of.participant && *connectivity == wanted)
}

#[test]
fn a_picture_over_tcp_arrives_whole_and_in_order() {
    for shards in [1, 2] {
        let stand = stand(shards);
        let mut alice = Client::new(1, vec![Line::send(Source::Camera, 1_000)]).by_tcp();
        let lines = vec![Line::receive("audio"), Line::receive("video")];
        let mut bob = Client::new(2, lines).blind().by_tcp();
        stand.enter(&mut alice);
        stand.enter(&mut bob);
        stand.prefer(&bob, stand.publication(Source::Camera), 640, 360);
        let mut no = 0_u16;
        let mut last = Instant::now();
        pump(&mut [&mut alice, &mut bob], |clients| {
            if no > 0 && last.elapsed() < Duration::from_millis(5) {
                return clients[1].payloads().len() >= 100;
            }
            last = Instant::now();
            let sent = clients[0].sealed(
                0,
                None,
                Ssrc(1_000),
                u64::from(no),
                u32::from(no) * 3_000,
                &picture(no, no.is_multiple_of(10), 1_000),
            );
            clients[0].send(&sent);
            no += 1;
            clients[1].payloads().len() >= 100
        });
        let media: Vec<_> = bob.received.iter().filter(|r| r.pt == VP8).collect();
        for pair in media.windows(2) {
            assert_eq!(pair[1].seq, SeqNo(pair[0].seq.0.wrapping_add(1)));
        }
        assert_eq!(media[0].payload[6] & 1, 0, "it begins with a key frame");
    }
}

#[test]
fn answers_offer_udp_first_and_tcp_behind_it() {
    let stand = stand(1);
    let mut alice = Client::new(1, vec![Line::send(Source::Microphone, 1)]);
    stand.enter(&mut alice);
    let sdp = &alice.answer.as_ref().unwrap().sdp;
    let candidates = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
    let words: Vec<Vec<&str>> = candidates.map(|line| line.split(' ').collect()).collect();
    let [udp, tcp] = words.as_slice() else {
        panic!("one of each: {words:?}");
    };
    assert_eq!((udp[2], tcp[2]), ("udp", "tcp"));
    assert_eq!(tcp[8..], ["tcptype", "passive"]);
    let priority = |words: &[&str]| words[3].parse::<u32>().unwrap();
    assert!(priority(udp) > priority(tcp));
    assert_ne!(udp[0], tcp[0], "another foundation");
    let tcp = format!("{}:{}", tcp[4], tcp[5]).parse::<SocketAddr>();
    assert_eq!(stand.engine.tcp_addresses(), [tcp.unwrap()]);
}

#[test]
fn a_listener_that_is_shared_hands_connections_over_with_all_that_they_bring() {
    let shared = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = shared.local_addr().unwrap();
    let stand = Stand::with(Config {
        shards: 2,
        tcp: TcpConfig {
            listen: TcpListen::Beside,
            shared: Some(address),
        },
        ..Config::default()
    });
    assert_eq!(stand.engine.tcp_addresses(), [address]);
    let engine = std::sync::Arc::clone(&stand.engine);
    std::thread::spawn(move || {
        for connection in shared.incoming() {
            let connection = connection.unwrap();
            let mut first = [0];
            connection.peek(&mut first).unwrap();
            assert!(framing::may_begin_with(first[0]));
            engine.take_connection(connection);
        }
    });
    let mut alice = Client::new(1, vec![Line::send(Source::Microphone, 1)]).by_tcp();
    let mut bob = Client::new(2, vec![Line::receive("audio")]).by_tcp();
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    hears(&mut alice, &mut bob, &mut 0, 20);
}

#[test]
fn a_path_may_change_from_udp_to_tcp_and_back_in_the_middle_of_a_call() {
    let stand = stand(2);
    let mut alice = Client::new(1, vec![Line::send(Source::Microphone, 1)]);
    let mut bob = Client::new(2, vec![Line::receive("audio")]);
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    let mut no = 0;
    for round in 0..6 {
        hears(&mut alice, &mut bob, &mut no, 5);
        for client in [&mut alice, &mut bob] {
            if round % 2 == 0 {
                client.move_to_tcp();
            } else {
                client.move_away();
            }
            client.check(true);
        }
    }
}

#[test]
fn a_closed_connection_is_no_path_at_once_and_another_one_goes_on_where_it_was() {
    let stand = stand(1);
    let mut alice = Client::new(1, vec![Line::send(Source::Microphone, 1)]);
    let mut bob = Client::new(2, vec![Line::receive("audio")]).by_tcp();
    stand.enter(&mut alice);
    stand.enter(&mut bob);
    let mut no = 0;
    hears(&mut alice, &mut bob, &mut no, 5);
    // UDP, from which nothing was ever heard: the connection is closed with it.
    bob.move_away();
    pump(&mut [&mut alice, &mut bob], |clients| {
        let sent = clients[0].sealed(0, None, Ssrc(1), u64::from(no), no * 960, &[7; 80]);
        clients[0].send(&sent);
        no += 1;
        let bob = &*clients[1];
        let is_interrupted = |event: &Event| is_connectivity(event, bob, Connectivity::Interrupted);
        stand.events.has(is_interrupted)
    });
    bob.received.clear();
    bob.move_to_tcp();
    bob.check(true);
    hears(&mut alice, &mut bob, &mut no, 20);
    let times = bob.received.windows(2);
    assert!(
        times
            .into_iter()
            .all(|pair| pair[1].seq.0.wrapping_sub(pair[0].seq.0) < 1_000),
        "numbers go on"
    );
}

#[test]
fn who_reads_slowly_loses_whole_old_packets_and_holds_up_nobody() {
    let stand = stand(1);
    let mut alice = Client::new(1, vec![Line::send(Source::Camera, 1_000)]);
    let mut slow = Client::new(2, vec![Line::receive("video")])
        .blind()
        .by_tcp();
    let mut carol = Client::new(3, vec![Line::receive("video")]).blind();
    for client in [&mut alice, &mut slow, &mut carol] {
        stand.enter(client);
    }
    let publication = stand.publication(Source::Camera);
    stand.prefer(&slow, publication, 640, 360);
    stand.prefer(&carol, publication, 640, 360);
    // 2 MB. The kernel takes some hundred KB for who reads nothing, and the queue a quarter of one.
    let mut no = 0_u16;
    let mut sent = 0_usize;
    pump(&mut [&mut alice, &mut carol], |clients| {
        for _ in 0..8 {
            let payload = picture(no, no.is_multiple_of(100), 1_100);
            let packet = clients[0].sealed(
                0,
                None,
                Ssrc(1_000),
                u64::from(no),
                u32::from(no) * 90,
                &payload,
            );
            clients[0].send(&packet);
            no = no.wrapping_add(1);
            sent += 1;
        }
        sent >= 2_000 && clients[1].payloads().len() * 2 >= sent
    });
    // What is read now was sent long ago, then there is a gap, and then what is sent now, which is shorter: every frame
    // whole and authentic, or the client would say so.
    pump(&mut [&mut alice, &mut slow], |clients| {
        let packet = clients[0].sealed(
            0,
            None,
            Ssrc(1_000),
            u64::from(no),
            u32::from(no) * 90,
            &picture(no, true, 900),
        );
        clients[0].send(&packet);
        no = no.wrapping_add(1);
        let payloads = clients[1].payloads();
        payloads.last().is_some_and(|last| last.len() == 900)
    });
    let came = slow.payloads().len();
    assert!(came < sent, "{came} of {sent}");
    let gaps = slow.received.windows(2);
    let gaps = gaps.filter(|pair| pair[1].seq.0 != pair[0].seq.0.wrapping_add(1));
    assert!(gaps.count() >= 1, "something was lost");
}
