//! Media by WHIP to WHEP, beside people who are in the call by their connections.

use crate::world::{Peer, World, encoder, fragment, in_call, player, until_seen};
use serde_json::json;

#[tokio::test]
async fn an_encoder_is_seen_and_heard_by_a_player_and_both_are_in_the_roster() {
    let mut world = World::new().await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    until_seen(&mut encoder, &mut player);
    let users: Vec<String> = world
        .roster()
        .await
        .into_iter()
        .map(|(user, _)| user)
        .collect();
    assert_eq!(
        users,
        [world.scene.user("encoder"), world.scene.user("player")]
    );
    let room = world.scene.room.clone();
    let roster = world
        .scene
        .witness
        .ok(json!({"callGet": {"room": room}}))
        .await;
    let sources: Vec<&str> = roster["participants"][0]["publications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["CALL_SOURCE_MICROPHONE", "CALL_SOURCE_CAMERA"]);
    assert_eq!(
        roster["participants"][0]["user"]["name"],
        world.scene.user("encoder")
    );
}

#[tokio::test]
async fn the_server_opens_dtls_with_those_who_can_only_wait_for_it() {
    let mut world = World::new().await;
    let token = world.member("encoder").await;
    let media = encoder().passive();
    let mut encoder = Peer::begin(&world, &world.path("whip"), &token, media).await;
    let token = world.member("player").await;
    let media = player().passive();
    let mut player = Peer::begin(&world, &world.path("whep"), &token, media).await;
    until_seen(&mut encoder, &mut player);
    // An ICE restart is no new DTLS connection.
    let new = fragment("anew", &"q".repeat(24));
    let answer = world
        .patch(&encoder.location, &encoder.token, Some("*"), &new)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let value = |name: &str| {
        let line = answer.body.lines().find_map(|line| line.strip_prefix(name));
        line.expect(name).to_owned()
    };
    encoder.media.move_away();
    let remote = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
    encoder.media.restart("anew", remote);
    until_seen(&mut encoder, &mut player);
    // Either side can say goodbye.
    encoder.media.hang_up();
    world.until_in_call(1).await;
    assert_eq!(player.delete(&world).await.status, 200);
    player.until_closed();
}

#[tokio::test]
async fn a_player_that_came_first_is_shown_whoever_comes() {
    let world = World::new().await;
    let mut player = world.player("player", "").await;
    let mut first = world.encoder("first").await;
    until_seen(&mut first, &mut player);
    first.media.hang_up();
    let mut second = world.encoder("second").await;
    until_seen(&mut second, &mut player);
}

#[tokio::test]
async fn a_player_that_names_somebody_gets_them_and_nobody_else() {
    let world = World::new().await;
    let mut other = world.encoder("other").await;
    let user = world.scene.user("wanted");
    let mut player = world.player("player", &format!("?user={user}")).await;
    let mut wanted = world.encoder("wanted").await;
    until_seen(&mut wanted, &mut player);
    player.media.received.clear();
    let (sound, _) = other.send();
    for _ in 0..20 {
        other.media.pump();
        player.media.pump();
    }
    until_seen(&mut wanted, &mut player);
    assert!(player.media.received.iter().all(|one| one.payload != sound));
}

#[tokio::test]
async fn a_screen_by_whip_is_a_screen_to_others() {
    let mut world = World::new().await;
    let token = world.member("encoder").await;
    let path = world.path("whip") + "?source=screen";
    let _encoder = Peer::begin(&world, &path, &token, encoder()).await;
    let room = world.scene.room.clone();
    let roster = world
        .scene
        .witness
        .ok(json!({"callGet": {"room": room}}))
        .await;
    let publications = &roster["participants"][0]["publications"];
    assert_eq!(publications[0]["source"], "CALL_SOURCE_SCREEN_AUDIO");
    assert_eq!(publications[1]["source"], "CALL_SOURCE_SCREEN");
}

#[tokio::test]
async fn a_moderator_mutes_what_came_by_whip() {
    let mut world = World::new().await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    until_seen(&mut encoder, &mut player);
    let room = world.scene.room.clone();
    world
        .scene
        .witness
        .ok(json!({"callJoin": {"room": room}}))
        .await;
    let roster = world
        .scene
        .witness
        .ok(json!({"callGet": {"room": room}}))
        .await;
    for publication in roster["participants"][0]["publications"]
        .as_array()
        .unwrap()
    {
        let mute = json!({"room": room, "publication": publication["publication"], "muted": true});
        world.scene.witness.ok(json!({"callMute": mute})).await;
    }
    player.media.received.clear();
    for _ in 0..20 {
        encoder.send();
        encoder.media.pump();
        player.media.pump();
    }
    assert!(player.media.received.is_empty(), "muted for everybody");
}

#[tokio::test]
async fn a_player_that_wants_somebody_on_the_air_is_told_to_come_again_until_there_is() {
    let mut world = World::new().await;
    let token = world.member("player").await;
    let path = world.path("whep") + "?live=required";
    let media = player();
    let _silent = in_call(&world, "silent").await;
    let refused = world.post(&path, &token, &media.sdp()).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let wait: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!(wait > 0);
    assert_eq!(world.roster().await.len(), 1, "nobody saw it come and go");
    let mut encoder = world.encoder("encoder").await;
    let mut player = Peer::begin(&world, &path, &token, media).await;
    until_seen(&mut encoder, &mut player);
}
