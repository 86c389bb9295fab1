//! How a session ends but by DELETE.

use crate::client::Line;
use crate::support::PATIENCE;
use crate::support::server::own;
use crate::world::{Peer, World, encoder, in_call, player, until_seen, with_media};
use kaiwa_sfu::control::Source;
use serde_json::json;
use std::time::Instant;

/// Is gone for its owner as well.
async fn gone(world: &World, peer: &Peer) {
    assert_eq!(peer.get(world).await.status, 404);
}

#[tokio::test]
async fn a_moderator_removes_an_encoder_which_cannot_come_back_for_a_while() {
    let mut world = World::new().await;
    let encoder_peer = world.encoder("encoder").await;
    let room = world.scene.room.clone();
    world
        .scene
        .witness
        .ok(json!({"callJoin": {"room": room}}))
        .await;
    let roster = world.roster().await;
    let participant = &roster
        .iter()
        .find(|(user, _)| *user == world.scene.user("encoder"))
        .unwrap()
        .1;
    let remove = json!({"callRemove": {"room": room, "participant": participant}});
    world.scene.witness.ok(remove).await;
    world.until_in_call(1).await;
    gone(&world, &encoder_peer).await;
    let again = world
        .post(&world.path("whip"), &encoder_peer.token, &encoder().sdp())
        .await;
    assert_eq!(again.status, 429, "{}", again.body);
    assert!(again.header("Retry-After").is_some());
}

#[tokio::test]
async fn whoever_is_no_longer_in_the_room_publishes_and_watches_no_more() {
    let mut world = World::new().await;
    let encoder = world.encoder("encoder").await;
    let player = world.player("player", "").await;
    for name in ["encoder", "player"] {
        let remove = json!({"room": world.scene.room, "user": world.scene.user(name)});
        world.scene.witness.ok(json!({"roomRemove": remove})).await;
    }
    world.until_in_call(0).await;
    gone(&world, &encoder).await;
    gone(&world, &player).await;
}

#[tokio::test]
async fn whoever_loses_the_right_to_publish_is_out() {
    let mut world = World::new().await;
    let encoder = world.encoder("encoder").await;
    let user = world.scene.user("encoder");
    let guest = json!({"room": world.scene.room, "user": user, "role": "ROLE_GUEST"});
    world.scene.witness.ok(json!({"roomSetRole": guest})).await;
    world.until_in_call(0).await;
    gone(&world, &encoder).await;
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_a_later_one_lets_it_go_on() {
    let mut world = World::new().await;
    world.member("short").await;
    world.member("renewed").await;
    let short = |world: &World, name: &str| world.server().key().token(&world.scene.user(name), 4);
    let path = world.path("whip");
    let (one, two) = (short(&world, "short"), short(&world, "renewed"));
    let first = Peer::begin(&world, &path, &one, encoder()).await;
    let second = Peer::begin(&world, &path, &two, encoder()).await;
    let renewed = world.token("renewed");
    let ufrag = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n";
    let answer = world
        .patch(&second.location, &renewed, Some("*"), ufrag)
        .await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    world.until_in_call(1).await;
    let line = format!("GET {}", first.location);
    assert_eq!(world.ask(&line, &one, &[], "").await.status, 401, "expired");
    assert_eq!(
        world
            .ask(&line, &world.token("short"), &[], "")
            .await
            .status,
        404
    );
    let line = format!("GET {}", second.location);
    assert_eq!(world.ask(&line, &renewed, &[], "").await.status, 200);
}

#[tokio::test]
async fn a_client_that_closes_dtls_or_never_opens_it_rightly_is_out() {
    let mut world = World::new().await;
    let mut encoder_peer = world.encoder("encoder").await;
    encoder_peer.media.hang_up();
    world.until_in_call(0).await;
    gone(&world, &encoder_peer).await;

    let token = world.member("liar").await;
    let sound = || vec![Line::send(Source::Microphone, 7)];
    let lying = crate::client::Client::new(9_999, sound()).lying();
    // Whichever side opens it.
    let waiting = crate::client::Client::new(9_998, sound()).lying().passive();
    for lying in [lying, waiting] {
        let mut liar = Peer::offer(&world, &world.path("whip"), &token, lying).await;
        for _ in 0..50 {
            liar.media.pump();
        }
        world.until_in_call(0).await;
        gone(&world, &liar).await;
    }
}

#[tokio::test]
async fn a_person_in_the_call_by_a_connection_is_not_disturbed_by_their_encoder() {
    let mut world = World::new().await;
    let _alice = in_call(&world, "alice").await;
    let token = world.token("alice");
    let mut encoder = Peer::begin(&world, &world.path("whip"), &token, encoder()).await;
    let mut player = Peer::begin(&world, &world.path("whep"), &token, player()).await;
    assert_eq!(world.roster().await.len(), 3, "a participant for each part");
    until_seen(&mut encoder, &mut player);
    encoder.delete(&world).await;
    assert_eq!(world.roster().await.len(), 2);
}

#[tokio::test]
async fn a_server_that_stops_takes_no_sessions_and_ends_those_it_has() {
    let server = own(with_media);
    let world = World::on(std::sync::Arc::clone(&server)).await;
    let encoder = world.encoder("encoder").await;
    server.terminate();
    let until = Instant::now() + PATIENCE;
    let mut datagram = [0; 1500];
    loop {
        assert!(Instant::now() < until, "its DTLS connection is not closed");
        encoder.media.link().wait();
        // An alert (RFC 9147, section 4): everything else is RTCP.
        if encoder.media.link().receive(&mut datagram).is_some() && datagram[0] == 21 {
            return;
        }
    }
}
