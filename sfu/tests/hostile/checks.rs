//! Connectivity checks that are not the peer's, or not what they should be (RFC 8489, RFC 8445).

use super::client::{Client, Line};
use super::scene::{Scene, outsider};
use kaiwa_sfu::control::{GoneReason, Source};
use kaiwa_sfu::wire::stun::{
    BindingRequest, Class, IntegrityKey, Message, Role, TransactionId, write_request,
};
use ring::hmac;
use std::net::UdpSocket;

/// Requests of the flood.
const FLOOD: u64 = 100_000;

/// Sockets that it comes from.
const PORTS: usize = 500;

/// Requests between two packets of the witness: what the receive buffer of a socket takes.
const BURST: u64 = 500;

fn transaction(no: u64) -> TransactionId {
    let mut id = *b"hostile.....";
    id[4..].copy_from_slice(&no.to_be_bytes());
    TransactionId(id)
}

fn request(no: u64, username: &str, password: &str, role: Role) -> Vec<u8> {
    let request = BindingRequest {
        transaction: transaction(no),
        username,
        priority: 1,
        role,
        use_candidate: true,
    };
    let mut out = Vec::new();
    write_request(&mut out, &request, &IntegrityKey::new(password));
    out
}

fn controlling(no: u64, username: &str, password: &str) -> Vec<u8> {
    request(no, username, password, Role::Controlling(7))
}

/// An authentic request with an attribute that nobody knows and that has to be understood.
fn with_unknown_attribute(no: u64, username: &str, password: &str) -> Vec<u8> {
    let mut message = controlling(no, username, password);
    // Without integrity (24 bytes) and fingerprint (8), which follow anew; without a fingerprint.
    message.truncate(message.len() - 32);
    message.extend([0x00, 0x2f, 0, 4, 1, 2, 3, 4]);
    let len = u16::try_from(message.len() - 20 + 24).unwrap();
    message[2..4].copy_from_slice(&len.to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let tag = hmac::sign(&key, &message);
    message.extend([0x00, 0x08, 0, 20]);
    message.extend(tag.as_ref());
    message
}

/// What is answered to this: an error's code, or 200.
fn answer(socket: &UdpSocket) -> Option<u16> {
    let mut buffer = [0; 1_500];
    let (len, _) = socket.recv_from(&mut buffer).ok()?;
    let message = Message::parse(&buffer[..len]).expect("what we write is read");
    match message.class {
        Class::Success => Some(200),
        Class::Error => message.error_code,
        _ => None,
    }
}

/// The server's user fragment followed by a client's, and the password.
fn credentials(client: &Client) -> (String, String) {
    let (ufrag, password) = client.remote();
    (format!("{ufrag}:them"), password.to_owned())
}

#[test]
fn forged_checks_are_refused_with_their_code_and_teach_no_address() {
    let mut scene = Scene::new(1);
    let (bobs, bobs_password) = credentials(&scene.bob);
    let (_, alices_password) = credentials(&scene.alice);
    let server = scene.bob.server();
    let socket = outsider();
    scene.refuses(8, |_| {
        let mut no = 0;
        let mut says = |message: Vec<u8>| {
            no += 1;
            socket.send_to(&message, server).unwrap();
            answer(&socket)
        };
        // Wrong integrity; somebody else's password; integrity that was cut off.
        assert_eq!(says(controlling(1, &bobs, "wrong")), Some(401));
        assert_eq!(says(controlling(2, &bobs, &alices_password)), Some(401));
        let mut bare = controlling(3, &bobs, &bobs_password);
        bare.truncate(bare.len() - 32);
        let len = u16::try_from(bare.len() - 20).unwrap();
        bare[2..4].copy_from_slice(&len.to_be_bytes());
        assert_eq!(says(bare), Some(401));
        // Authentic, but not to be obeyed.
        let unknown = with_unknown_attribute(4, &bobs, &bobs_password);
        assert_eq!(says(unknown), Some(420));
        let controlled = request(5, &bobs, &bobs_password, Role::Controlled(9));
        assert_eq!(says(controlled), Some(487));
        // For nobody: silence, so that nobody is told who is here.
        assert_eq!(says(controlling(6, "nobody00:them", "x")), None);
        assert_eq!(says(controlling(7, "?:them", "x")), None);
        assert_eq!(says(controlling(8, "them", "x")), None);
    });
    scene.goes_on(20);
}

#[test]
fn a_nomination_that_was_overheard_moves_nothing_when_it_is_sent_again() {
    let mut scene = Scene::new(1);
    let (bobs, password) = credentials(&scene.bob);
    let server = scene.bob.server();
    let overheard = controlling(1, &bobs, &password);
    scene.bob.send(&overheard);
    scene.goes_on(1);
    let socket = outsider();
    for _ in 0..50 {
        socket.send_to(&overheard, server).unwrap();
        scene.goes_on(1);
    }
    assert_eq!(answer(&socket), None);
    scene.goes_on(20);
}

#[test]
fn a_hundred_thousand_requests_from_many_ports_cost_nobody_a_packet() {
    let mut scene = Scene::new(1);
    let (bobs, _) = credentials(&scene.bob);
    let server = scene.bob.server();
    let sockets: Vec<UdpSocket> = (0..PORTS).map(|_| outsider()).collect();
    // One of a hundred names a peer who is there; the others, peers who are not.
    let known = controlling(1, &bobs, "wrong");
    let unknown = controlling(2, "abcd0123:them", "wrong");
    scene.refuses(FLOOD, |scene| {
        for no in 0..FLOOD {
            let message = if no % 100 == 0 { &known } else { &unknown };
            let from = &sockets[usize::try_from(no).unwrap() % PORTS];
            from.send_to(message, server).unwrap();
            if no % BURST == 0 {
                scene.goes_on(1);
            }
        }
    });
    assert_eq!(scene.counts.level("participants"), 2.0);
    scene.goes_on(20);
}

#[test]
fn a_peer_that_checks_from_a_thousand_ports_is_heard_at_the_last_and_others_go_on() {
    let mut scene = Scene::new(1);
    let mut mallory = scene.intruder(vec![Line::send(Source::Microphone, 31)]);
    let (theirs, password) = credentials(&mallory);
    let sockets: Vec<UdpSocket> = (0..1_000).map(|_| outsider()).collect();
    for (no, socket) in (1..).zip(&sockets) {
        let message = controlling(no, &theirs, &password);
        socket.send_to(&message, mallory.server()).unwrap();
        if no % 100 == 0 {
            scene.goes_on(1);
        }
    }
    assert_eq!(answer(&sockets[999]), Some(200));
    scene.goes_on(20);
    mallory.check(true);
    let publication = scene.published(3, Source::Microphone);
    scene.until_with(&mut mallory, |scene, _| {
        scene
            .events
            .publication(kaiwa_sfu::control::ParticipantId(3), Source::Microphone)
            == Some(publication)
    });
    assert_eq!(scene.events.gone(mallory.participant), None::<GoneReason>);
}

#[test]
fn a_check_that_pretends_to_come_from_another_peers_address_does_not_take_it_away() {
    let mut scene = Scene::new(1);
    let mallory = scene.intruder(vec![Line::send(Source::Microphone, 31)]);
    let (theirs, password) = credentials(&mallory);
    for no in 0..20 {
        // As if its source was forged: authentic for somebody else than whose address it is.
        scene.alice.send(&controlling(2 * no, &theirs, &password));
        scene.bob.send(&controlling(2 * no + 1, &theirs, &password));
        scene.goes_on(2);
    }
}

#[test]
fn calls_begin_and_go_on_while_two_shards_are_flooded() {
    let mut scene = Scene::new(2);
    let server = scene.bob.server();
    let sockets: Vec<UdpSocket> = (0..32).map(|_| outsider()).collect();
    // Fragments of both shards, whichever socket they come to: half of them are handed over.
    let floods: Vec<Vec<u8>> = ["abcd0123:them", "bbcd0123:them"]
        .iter()
        .map(|username| controlling(1, username, "wrong"))
        .collect();
    for round in 0..8 {
        for no in 0..400 {
            sockets[no % 32].send_to(&floods[no % 2], server).unwrap();
        }
        let mut client = scene.stranger(vec![Line::receive("audio")]);
        if round % 2 == 0 {
            client = client.blind();
        }
        let client = scene.enter(client);
        assert!(client.is_connected());
        scene.goes_on(5);
    }
}
