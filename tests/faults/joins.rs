//! Joins that fail, or go by the second-best way: addresses, ports, bounds, codecs, certificates.

use crate::person::{Person, named, report, server};
use crate::support::scene::Scene;
use crate::support::{PATIENCE, soon};
use crate::wall::Wall;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Where the server has its media: by UDP, by TCP.
fn ports(person: &Person) -> (SocketAddr, SocketAddr) {
    (person.media.server(), person.media.server_tcp().unwrap())
}

fn drop_udp(to: SocketAddr) -> String {
    format!("iif lo udp dport {} drop", to.port())
}

fn drop_tcp(to: SocketAddr) -> String {
    format!("iif lo tcp dport {} drop", to.port())
}

#[tokio::test]
async fn nothing_is_wrong_with_a_call_in_which_nothing_is() {
    let scene = Scene::on(server(|spec| spec)).await;
    let mut alice = Person::join(&scene, "alice").await;
    let mut bob = Person::with(&scene, "bob", |media| media.by_tcp()).await;
    // A client that can use UDP and goes by TCP has said so by its checks.
    alice.offer().await;
    alice.connect();
    assert_eq!(alice.report(&scene.server, "connected").await, Value::Null);
    bob.offer().await;
    bob.connect();
    bob.media.move_away();
    bob.media.check(true);
    bob.media.pump();
    assert_eq!(bob.report(&scene.server, "connected").await, Value::Null);
    // Nor with a room in which one never was.
    let body = json!({"iceState": "failed"});
    let answer = report(&scene.server, "nowhere", &alice.token, &body).await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"cause": null}))
    );
}

#[tokio::test]
async fn an_address_that_is_advertised_and_is_not_this_servers_is_named() {
    let scene = Scene::on(server(|spec| spec.arg("--advertise").arg("127.0.0.9"))).await;
    let mut alice = Person::join(&scene, "alice").await;
    alice.offer().await;
    let cause = alice.report(&scene.server, "failed").await;
    named(&cause, "wrong_address");
    let text = cause["text"].as_str().unwrap();
    assert!(
        text.contains("udp 127.0.0.9:") && text.contains("at 127.0.0.1"),
        "{text}"
    );
    // It stays so when the call is over.
    let leave = json!({"callLeave": {"room": scene.room}});
    alice.session.ok(leave).await;
    named(
        &alice.report(&scene.server, "failed").await,
        "wrong_address",
    );
}

#[tokio::test]
async fn udp_that_is_blocked_is_named_to_whoever_is_in_the_call_by_tcp() {
    let scene = Scene::on(server(|spec| spec)).await;
    let mut alice = Person::with(&scene, "alice", |media| media.by_tcp()).await;
    let mut scout = Person::join(&scene, "scout").await;
    scout.offer().await;
    let (udp, _) = ports(&scout);
    let _wall = Wall::new(&[drop_udp(udp)]);
    alice.offer().await;
    alice.connect();
    let until = Instant::now() + PATIENCE;
    let cause = loop {
        let cause = alice.report(&scene.server, "connected").await;
        // UDP is given a moment: it would have come first.
        if cause != Value::Null {
            break cause;
        }
        assert!(Instant::now() < until, "nothing is named");
        let next = Instant::now() + Duration::from_millis(500);
        while Instant::now() < next {
            alice.media.pump();
        }
    };
    named(&cause, "udp_blocked");
    assert!(
        cause["text"].as_str().unwrap().contains(&udp.to_string()),
        "{cause}"
    );
}

#[tokio::test]
async fn with_tcp_blocked_too_the_network_is_named() {
    let scene = Scene::on(server(|spec| spec)).await;
    let mut scout = Person::join(&scene, "scout").await;
    scout.offer().await;
    let (udp, tcp) = ports(&scout);
    let _wall = Wall::new(&[drop_udp(udp), drop_tcp(tcp)]);
    let mut alice = Person::join(&scene, "alice").await;
    alice.offer().await;
    let tried = TcpStream::connect_timeout(&tcp, Duration::from_millis(300));
    assert!(tried.is_err(), "the wall stands");
    named(
        &alice.report(&scene.server, "failed").await,
        "media_blocked",
    );
}

#[tokio::test]
async fn a_call_that_is_full_is_named() {
    let scene = Scene::on(server(|spec| {
        spec.with("KAIWA_LIMITS__CALL_PARTICIPANTS", 1)
    }))
    .await;
    let _alice = Person::join(&scene, "alice").await;
    let mut bob = scene.member("bob").await;
    bob.refused(json!({"callJoin": {"room": scene.room}})).await;
    let token = scene.server.token(&scene.user("bob"));
    let body = json!({"iceState": "new"});
    let answer = report(&scene.server, &scene.room, &token, &body).await;
    named(&answer.json()["cause"], "room_full");
    // Nobody else is told of it.
    let token = scene.server.token(&scene.user("carol"));
    let answer = report(&scene.server, &scene.room, &token, &body).await;
    assert_eq!(answer.json()["cause"], Value::Null);
}

#[tokio::test]
async fn an_offer_without_a_codec_in_common_is_named() {
    let scene = Scene::on(server(|spec| spec)).await;
    let mut alice = Person::with(&scene, "alice", |media| {
        media.rewriting(|sdp| {
            let sdp = sdp.replace("opus/48000/2", "G7221/32000");
            sdp.replace("VP8/90000", "H263-1998/90000")
        })
    })
    .await;
    let tracks = alice.media.tracks();
    let track = json!({"mid": tracks[1].mid.to_string(), "source": "CALL_SOURCE_CAMERA"});
    let offer = json!({"room": alice.room, "sdp": alice.media.sdp(), "tracks": [track]});
    alice.session.call(json!({"callOffer": offer})).await;
    named(&alice.report(&scene.server, "new").await, "no_common_codec");
}

#[tokio::test]
async fn a_certificate_that_is_not_the_offers_is_named() {
    let scene = Scene::on(server(|spec| spec)).await;
    let mut alice = Person::with(&scene, "alice", |media| media.lying()).await;
    alice.offer().await;
    let Person { session, media, .. } = &mut alice;
    let pumped = async {
        loop {
            media.pump();
            tokio::task::yield_now().await;
        }
    };
    let ended = soon("the end of the call", session.push("callEnded"));
    tokio::select! {
        () = pumped => {}
        _ = ended => {}
    }
    named(
        &alice.report(&scene.server, "connected").await,
        "fingerprint_mismatch",
    );
}
