//! PATCH: trickling, restarts, and which ICE session is meant.

use crate::world::{FRAGMENT, Peer, SDP, World, encoder, fragment, until_seen};

/// What the small client's own are at first.
fn own(peer: &Peer) -> (String, String) {
    let sdp = peer.media.sdp();
    let of = |name: &str| {
        let line = sdp.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    };
    (of("a=ice-ufrag:"), of("a=ice-pwd:"))
}

fn value(fragment: &str, name: &str) -> String {
    let line = fragment.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {fragment}"))
        .to_owned()
}

#[tokio::test]
async fn candidates_are_trickled_with_204_and_no_entity_tag() {
    let world = World::new().await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    let (ufrag, password) = own(&encoder);
    let trickle = fragment(&ufrag, &password);
    let end = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n";
    for (tag, fragment) in [
        (encoder.etag.as_str(), trickle.as_str()),
        ("*", &trickle),
        (&format!("\"other\", {}", encoder.etag), &trickle),
        (&encoder.etag, end),
    ] {
        let answer = world
            .patch(&encoder.location, &encoder.token, Some(tag), fragment)
            .await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{tag}");
        assert_eq!(answer.header("ETag"), None);
    }
    until_seen(&mut encoder, &mut player);
}

#[tokio::test]
async fn a_patch_without_the_present_tag_is_refused() {
    let world = World::new().await;
    let encoder = world.encoder("encoder").await;
    let (ufrag, password) = own(&encoder);
    let trickle = fragment(&ufrag, &password);
    let other = world.player("player", "").await;
    let weak = format!("W/{}", encoder.etag);
    for (tag, status) in [
        (None, 428),
        (Some("\"other\""), 412),
        (Some(other.etag.as_str()), 412),
        (Some(weak.as_str()), 412),
        (Some("garbage"), 400),
    ] {
        let answer = world
            .patch(&encoder.location, &encoder.token, tag, &trickle)
            .await;
        assert_eq!(answer.status, status, "{tag:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_patch_of_another_type_or_form_is_refused() {
    let world = World::new().await;
    let encoder = world.encoder("encoder").await;
    let line = format!("PATCH {}", encoder.location);
    for wrong in [SDP, "text/plain", "application/json"] {
        let headers = [("Content-Type", wrong), ("If-Match", "*")];
        let answer = world.ask(&line, &encoder.token, &headers, "v=0").await;
        assert_eq!(answer.status, 415, "{wrong}");
        assert_eq!(answer.header("Accept-Patch"), Some(FRAGMENT));
    }
    for malformed in [
        "",
        "hello",
        "a=ice-ufrag:abcd\r\n",
        "m=audio 9 RTP/AVP 0\r\na=candidate:1 1 udp\r\n",
        "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:x\r\n",
    ] {
        let answer = world
            .patch(&encoder.location, &encoder.token, Some("*"), malformed)
            .await;
        assert_eq!(answer.status, 400, "{malformed:?}: {}", answer.body);
    }
    let long = "a=x:y\r\n".repeat(2_000);
    let answer = world
        .patch(&encoder.location, &encoder.token, Some("*"), &long)
        .await;
    assert_eq!(answer.status, 413);
    assert_eq!(encoder.get(&world).await.status, 200, "it goes on");
}

#[tokio::test]
async fn an_ice_restart_gives_a_new_tag_and_new_credentials_and_media_goes_on() {
    let world = World::new().await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    until_seen(&mut encoder, &mut player);
    let before = encoder.media.remote().0.to_owned();
    let answer = world
        .patch(
            &encoder.location,
            &encoder.token,
            Some("*"),
            &fragment("anew", &"q".repeat(24)),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("Content-Type"), Some(FRAGMENT));
    let etag = answer.header("ETag").unwrap().to_owned();
    assert_ne!(etag, encoder.etag);
    let text = &answer.body;
    assert!(text.contains("a=ice-lite\r\n"), "as in the answer: {text}");
    assert!(text.contains("a=group:BUNDLE 0 1\r\n"), "{text}");
    assert!(
        text.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"),
        "{text}"
    );
    assert!(
        text.contains("a=candidate:") && text.contains("a=end-of-candidates"),
        "{text}"
    );
    let remote = (value(text, "a=ice-ufrag:"), value(text, "a=ice-pwd:"));
    assert_ne!(remote.0, before);

    // What was for the ICE session before is not for this one.
    let old = world
        .patch(
            &encoder.location,
            &encoder.token,
            Some(&encoder.etag),
            &fragment("anew", &"q".repeat(24)),
        )
        .await;
    assert_eq!(old.status, 412);
    let trickle = world
        .patch(
            &encoder.location,
            &encoder.token,
            Some(&etag),
            &fragment("anew", &"q".repeat(24)),
        )
        .await;
    assert_eq!(trickle.status, 204);
    // From another address, as after a change of networks.
    encoder.media.move_away();
    encoder.media.restart("anew", remote);
    until_seen(&mut encoder, &mut player);
}

#[tokio::test]
async fn a_restart_that_cannot_be_made_leaves_the_session_as_it_was() {
    let world = World::new().await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    let (_, password) = own(&encoder);
    // Half of the credentials are new (RFC 8839, section 4.4.3.1.1).
    let half = fragment("half", &password);
    let answer = world
        .patch(&encoder.location, &encoder.token, Some("*"), &half)
        .await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    let (ufrag, password) = own(&encoder);
    let trickle = fragment(&ufrag, &password);
    let answer = world
        .patch(
            &encoder.location,
            &encoder.token,
            Some(&encoder.etag),
            &trickle,
        )
        .await;
    assert_eq!(answer.status, 204, "the tag is what it was");
    until_seen(&mut encoder, &mut player);
}

#[tokio::test]
async fn a_players_ice_restarts_as_well() {
    let world = World::new().await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    until_seen(&mut encoder, &mut player);
    let new = fragment("anew", &"q".repeat(24));
    let answer = world
        .patch(&player.location, &player.token, Some("*"), &new)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let remote = (
        value(&answer.body, "a=ice-ufrag:"),
        value(&answer.body, "a=ice-pwd:"),
    );
    player.media.move_away();
    player.media.restart("anew", remote);
    until_seen(&mut encoder, &mut player);
}

#[tokio::test]
async fn an_offer_without_candidates_is_answered_with_all_of_the_servers() {
    let world = World::new().await;
    let token = world.member("encoder").await;
    let sdp = encoder().sdp();
    assert!(
        !sdp.contains("a=candidate"),
        "the small client trickles none either"
    );
    let answer = world.post(&world.path("whip"), &token, &sdp).await;
    assert_eq!(answer.status, 201);
    assert!(answer.body.contains("a=candidate:"), "{}", answer.body);
    assert!(
        answer.body.contains("a=end-of-candidates"),
        "{}",
        answer.body
    );
}
