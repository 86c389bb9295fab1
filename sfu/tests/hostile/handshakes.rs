//! DTLS that is nobody's, broken, or somebody else's. (Fragments without end, changed flights and a
//! handshake that is never finished: `dtls/tests` and `shard/tests`, where time is an argument.)

use super::client::{Client, Line};
use super::scene::{ALL, Scene, outsider};
use kaiwa_sfu::control::{GoneReason, Source};
use kaiwa_sfu::dtls::{Dtls as _, Identity, RtcDtls};
use kaiwa_sfu::srtp::Profile;
use std::time::Instant;

fn hello() -> Vec<u8> {
    let identity = Identity::generate().unwrap();
    let profiles = [Profile::AeadAes128Gcm];
    let mut client = RtcDtls::client(&identity, vec![], &profiles, Instant::now()).unwrap();
    client.poll_transmit().expect("a ClientHello")
}

/// Bytes that begin as records do, and do not go on so.
fn garbage() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for first in 20..64 {
        all.push(vec![first; 2]);
        all.push(vec![first; 13]);
        all.push([&[first, 0xfe, 0xfd][..], &[0; 8], &[0xff, 0xff], &[9; 100]].concat());
        all.push([&[first, 0xfe, 0xfd][..], &[0; 8], &[0, 40], &[9; 40]].concat());
    }
    all
}

fn line() -> Vec<Line> {
    vec![Line::send(Source::Microphone, 31)]
}

#[test]
fn a_flood_of_client_hellos_from_unknown_addresses_makes_no_peers() {
    let mut scene = Scene::new(1);
    let hello = hello();
    let server = scene.bob.server();
    let sockets: Vec<_> = (0..100).map(|_| outsider()).collect();
    scene.refuses(5_000, |scene| {
        for no in 0..5_000 {
            sockets[no % 100].send_to(&hello, server).unwrap();
            if no % 500 == 0 {
                scene.goes_on(1);
            }
        }
    });
    assert_eq!(scene.counts.level("participants"), 2.0);
    assert!(
        sockets[7].recv_from(&mut [0; 10]).is_err(),
        "nobody is answered"
    );
    scene.goes_on(10);
}

#[test]
fn garbage_is_counted_and_neither_stops_a_handshake_nor_a_call() {
    let mut scene = Scene::new(1);
    let garbage = garbage();
    // After the handshake, over the witness's own path. A handshake's record may be of a flight that is
    // sent again.
    let count = u64::try_from(garbage.len()).unwrap() - 1;
    scene.refuses(count, |scene| {
        for datagram in &garbage {
            scene.bob.send(datagram);
        }
    });
    // Before it and in between.
    let mut late = scene.stranger(line());
    let room = scene.room.clone();
    scene.join(late.participant, &room, ALL).expect("joined");
    late.negotiate(&scene.engine);
    let mut rounds = 0;
    scene.until_with(&mut late, |_, late| {
        if rounds < garbage.len() {
            late.send(&garbage[rounds]);
            rounds += 1;
        }
        late.is_connected()
    });
    scene.goes_on(10);
}

#[test]
fn a_certificate_that_is_not_the_offers_ends_that_peer_alone() {
    let mut scene = Scene::new(1);
    let mut liar = scene.stranger(line()).lying();
    let room = scene.room.clone();
    scene.join(liar.participant, &room, ALL).expect("joined");
    liar.negotiate(&scene.engine);
    let id = liar.participant;
    scene.until_with(&mut liar, |scene, _| scene.events.gone(id).is_some());
    assert_eq!(scene.events.gone(id), Some(GoneReason::HandshakeFailed));
    assert!(!liar.is_connected());
    assert_eq!(scene.engine.placed(), (1, 2));
    scene.goes_on(10);
}

#[test]
fn who_ends_however_they_end_leaves_nothing_behind() {
    let mut scene = Scene::new(2);
    let mut gone = Vec::new();
    for round in 0..20 {
        let client = scene.stranger(line());
        let mut client = if round % 4 == 0 {
            client.lying()
        } else {
            client
        };
        let room = scene.room.clone();
        scene.join(client.participant, &room, ALL).expect("joined");
        client.negotiate(&scene.engine);
        let id = client.participant;
        scene.until_with(&mut client, |scene, client| {
            client.is_connected() || scene.events.gone(id).is_some()
        });
        match round % 4 {
            0 => {}
            1 => client.hang_up(),
            // Twice, as when a hangup and a lost session meet.
            2 => {
                client.hang_up();
                leave(&scene, &client);
            }
            _ => leave(&scene, &client),
        }
        gone.push(id);
    }
    scene.until(|scene| gone.iter().all(|id| scene.events.gone(*id).is_some()));
    assert_eq!(scene.engine.placed(), (1, 2));
    scene.goes_on(10);
    leave(&scene, &scene.alice);
    leave(&scene, &scene.bob);
    scene.until(|scene| scene.engine.placed() == (0, 0));
    let is_empty = |scene: &mut Scene| {
        scene.counts.level("participants") == 0.0 && scene.counts.level("rooms") == 0.0
    };
    scene.until(is_empty);
}

fn leave(scene: &Scene, client: &Client) {
    use kaiwa_sfu::control::SfuControl as _;
    super::wait::block_on(scene.engine.leave(client.participant)).expect("left");
}
