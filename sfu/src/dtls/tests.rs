mod hostile;
mod link;

use super::rtc::fingerprint_of;
use super::*;
use crate::wire::sdp::{Fingerprint, Hash};
use link::{Link, Side, World};
use std::time::Duration;

fn identity() -> Identity {
    Identity::generate().unwrap()
}

const BOTH: [Profile; 2] = [Profile::Aes128CmHmacSha1_80, Profile::AeadAes128Gcm];

#[test]
fn both_sides_get_the_same_keys_with_either_profile() {
    for profile in BOTH {
        let mut world = World::offering(&[profile]);
        world.run(&mut Link::good());
        let (at_server, server) = world.server.connected.as_ref().unwrap();
        let (at_client, client) = world.client.connected.as_ref().unwrap();
        assert_eq!((*at_server, *at_client), (profile, profile));
        assert!(server == client && server.client != server.server);
    }
}

#[test]
fn gcm_is_taken_although_the_client_prefers_the_other() {
    let mut world = World::offering(&BOTH);
    world.run(&mut Link::good());
    let agreed = world.server.connected.as_ref().map(|(profile, _)| *profile);
    assert_eq!(agreed, Some(Profile::AeadAes128Gcm));
    assert!(world.agrees());
}

#[test]
fn a_handshake_survives_loss_reordering_and_repetition() {
    for seed in 0..100 {
        let mut world = World::offering(&BOTH);
        world.run(&mut Link::bad(seed, 15));
        let failures = (&world.server.failure, &world.client.failure);
        assert!(world.agrees(), "seed {seed}: {failures:?}");
    }
}

#[test]
fn a_lost_flight_is_sent_again_although_the_client_repeats_its_hello() {
    // The endpoint under us gives up its own timer at the repeated hello.
    let mut world = World::offering(&BOTH);
    let mut link = Link::good();
    link.lose(Side::Server, 1..4);
    world.run(&mut link);
    assert!(world.agrees());
}

#[test]
fn a_last_flight_that_is_lost_is_sent_again_when_the_client_repeats_its_own() {
    let mut world = World::offering(&BOTH);
    let mut link = Link::good();
    // One HelloVerifyRequest, then the flight with the certificate.
    world.run_until(&mut link, |world| world.server.connected.is_some());
    assert!(world.client.connected.is_none());
    link.lose_in_flight();
    world.run(&mut link);
    assert!(world.agrees());
}

#[test]
fn a_flight_is_sent_again_after_times_that_double() {
    let mut world = World::offering(&BOTH);
    let mut link = Link::good();
    link.lose(Side::Server, 1..100);
    link.lose(Side::Client, 2..100);
    let begin = world.now;
    world.run(&mut link);
    let sent: Vec<u128> = link
        .sent(Side::Server)
        .iter()
        .skip(1)
        .map(|at| (*at - begin).as_millis())
        .collect();
    let mut gaps: Vec<u128> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.retain(|gap| *gap > 0);
    let slowest = [5_000; 4];
    assert_eq!(gaps[..5], [300, 600, 1_200, 2_400, 4_800]);
    assert_eq!(gaps[5..], slowest);
    assert_eq!(world.server.failure, Some(DtlsFailure::TimedOut));
    assert_eq!(world.client.failure, Some(DtlsFailure::TimedOut));
}

#[test]
fn a_peer_that_never_begins_is_given_up() {
    let now = Instant::now();
    let mut server = RtcDtls::server(&identity(), Vec::new(), now);
    assert_eq!(server.poll_timeout(), Some(now + HANDSHAKE_TIMEOUT));
    server.handle_timeout(now + HANDSHAKE_TIMEOUT - Duration::from_millis(1));
    assert!(server.poll_event().is_none());
    server.handle_timeout(now + HANDSHAKE_TIMEOUT);
    let event = server.poll_event();
    assert!(matches!(
        event,
        Some(DtlsEvent::Failed(DtlsFailure::TimedOut))
    ));
    assert_eq!(server.poll_timeout(), None);
    let after = server.handle_datagram(now, &[22; 30]);
    assert_eq!(after, Err(DtlsError::Over));
}

#[test]
fn a_client_whose_certificate_is_not_the_offers_gets_no_keys() {
    let (server, client, other) = (identity(), identity(), identity());
    let mut world = World::between(
        (&server, vec![other.fingerprint()]),
        (&client, vec![server.fingerprint()]),
        &BOTH,
    );
    world.run(&mut Link::good());
    assert_eq!(world.server.failure, Some(DtlsFailure::FingerprintMismatch));
    assert!(world.server.connected.is_none() && world.client.connected.is_none());
    // bad_certificate
    assert_eq!(world.client.failure, Some(DtlsFailure::Refused(42)));
}

#[test]
fn no_fingerprint_at_all_accepts_nobody() {
    let (server, client) = (identity(), identity());
    let mut world = World::between(
        (&server, vec![]),
        (&client, vec![server.fingerprint()]),
        &BOTH,
    );
    world.run(&mut Link::good());
    assert_eq!(world.server.failure, Some(DtlsFailure::FingerprintMismatch));
}

#[test]
fn any_fingerprint_of_the_offer_and_any_of_its_hashes_will_do() {
    for hash in [Hash::Sha384, Hash::Sha512] {
        let (server, client, other) = (identity(), identity(), identity());
        let accepted = vec![other.fingerprint(), client.fingerprint_by(hash)];
        let mut world = World::between(
            (&server, accepted),
            (&client, vec![server.fingerprint()]),
            &BOTH,
        );
        world.run(&mut Link::good());
        assert!(world.agrees());
    }
}

#[test]
fn a_server_that_is_not_the_answers_gets_no_keys() {
    let (server, client, other) = (identity(), identity(), identity());
    let mut world = World::between(
        (&server, vec![client.fingerprint()]),
        (&client, vec![other.fingerprint()]),
        &BOTH,
    );
    world.run(&mut Link::good());
    assert_eq!(world.client.failure, Some(DtlsFailure::FingerprintMismatch));
    assert!(world.server.connected.is_none() && world.client.connected.is_none());
}

#[test]
fn a_client_without_a_certificate_gets_no_keys() {
    let (server, client) = (identity(), identity());
    let mut world = World::between(
        (&server, vec![client.fingerprint()]),
        (&client.without_certificate(), vec![server.fingerprint()]),
        &BOTH,
    );
    world.run(&mut Link::good());
    assert_eq!(world.server.failure, Some(DtlsFailure::NoCertificate));
    assert!(world.server.connected.is_none() && world.client.connected.is_none());
}

#[test]
fn a_client_without_srtp_is_refused_at_once() {
    let mut world = World::offering(&[]);
    world.run(&mut Link::good());
    assert_eq!(world.server.failure, Some(DtlsFailure::NoProfile));
    // handshake_failure
    assert_eq!(world.client.failure, Some(DtlsFailure::Refused(40)));
}

#[test]
fn a_connected_association_holds_little_until_it_is_needed_again() {
    let mut world = World::offering(&BOTH);
    world.run(&mut Link::good());
    for peer in [&world.server, &world.client] {
        let footprint = peer.dtls.footprint();
        assert!(footprint.is_some_and(|bytes| bytes <= 512), "{footprint:?}");
    }
    // An alert of somebody else, who can't know that it will not be understood.
    let forged = [
        &[21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 26][..],
        &[7; 26],
    ]
    .concat();
    world.deliver(Side::Client, &forged);
    assert_eq!(world.server.dtls.footprint(), None);
    world.close(Side::Client);
    world.run(&mut Link::good());
    assert!(world.server.closed);
}

#[test]
fn a_goodbye_is_heard_on_the_other_side() {
    for side in [Side::Server, Side::Client] {
        let mut world = World::offering(&BOTH);
        world.run(&mut Link::good());
        world.close(side);
        world.run(&mut Link::good());
        let other = match side {
            Side::Server => &world.client,
            Side::Client => &world.server,
        };
        assert!(other.closed && other.failure.is_none());
        assert_eq!(other.dtls.poll_timeout(), None);
    }
}

#[test]
fn a_hello_in_pieces_and_out_of_order_is_put_together() {
    let mut world = World::offering(&BOTH);
    let hello = world.client.dtls.poll_transmit().unwrap();
    let (fragment, body) = (&hello[13..25], &hello[25..]);
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for (number, piece) in (0u8..).zip(body.chunks(body.len() / 3)) {
        // Record numbers that the client does not come to.
        let start = u8::try_from(body.len() / 3).unwrap() * number;
        let len = u8::try_from(piece.len()).unwrap();
        let mut record = hello[..10].to_vec();
        record.extend([40 + number, 0, len + 12]);
        record.extend(&fragment[..6]);
        record.extend([0, 0, start, 0, 0, len]);
        record.extend(piece);
        pieces.push(record);
    }
    assert!(pieces.len() >= 3);
    for piece in pieces.iter().rev() {
        assert!(world.server.dtls.poll_transmit().is_none());
        world.server.dtls.handle_datagram(world.now, piece).unwrap();
    }
    world.run(&mut Link::good());
    assert!(world.agrees());
}

#[test]
fn a_fingerprint_is_the_hash_of_the_certificate() {
    let abc = fingerprint_of(Hash::Sha256, b"abc").to_string();
    assert!(abc.starts_with("sha-256 BA:78:16:BF:8F:01:CF:EA:"));
}

impl Identity {
    fn fingerprint_by(&self, hash: Hash) -> Fingerprint {
        fingerprint_of(hash, &self.certificate_der())
    }
}
