//! Commands of calls that are not one's to give, too early or late, too many or too large, beside a call
//! that goes on; and a thousand joins and leaves, after which nothing is left.

#[allow(dead_code, reason = "a part is used")]
#[path = "../../sfu/tests/call/client.rs"]
mod client;
#[allow(dead_code, reason = "a part is used")]
#[path = "../../sfu/tests/call/wait.rs"]
mod wait;

#[path = "calls/leaks.rs"]
mod leaks;
#[path = "calls/person.rs"]
mod person;
#[path = "calls/tcp.rs"]
mod tcp;

use crate::support::client::{Client, Codec, int};
use crate::support::scene::Scene;
use crate::support::server::{SharedServer, Spec, own};
use crate::support::token::claims;
use client::Line;
use kaiwa_sfu::control::Source;
use person::{Pair, Person, offer};
use serde_json::{Value, json};
use std::sync::Arc;

/// Media over the loopback, at a port that is free.
fn with_media(spec: Spec) -> Spec {
    spec.with("KAIWA_CALLS__LISTEN", "[\"127.0.0.1:0\"]")
        .with("KAIWA_CALLS__LOOPBACK", true)
        .with("KAIWA_CALLS__SHARDS", 2)
}

fn server() -> Arc<SharedServer> {
    own(with_media)
}

/// One command of each kind, in this room.
fn commands(room: &str) -> Vec<Value> {
    vec![
        json!({"callOffer": {"room": room, "sdp": "v=0"}}),
        json!({"callCandidate": {"room": room, "candidate": ""}}),
        json!({"callPrefer": {"room": room, "preferences": []}}),
        json!({"callMute": {"room": room, "publication": "t_1", "muted": true}}),
        json!({"callRemove": {"room": room, "participant": "p_1"}}),
        json!({"callRing": {"room": room, "users": ["somebody"]}}),
    ]
}

#[tokio::test]
async fn who_is_not_in_the_call_commands_nothing_of_it() {
    let mut scene = Scene::on(server()).await;
    let mut pair = Pair::begin(&scene).await;
    let (room, nowhere) = (scene.room.clone(), format!("r_{:032x}", 7));

    // Before the connection is one.
    let mut unknown = Client::open(&scene.server, Codec::Json).await;
    for command in commands(&room) {
        assert_eq!(unknown.code(command.clone()).await, 106, "{command}");
    }

    // Not of the room, of a room that isn't there, and of the room but not of its call.
    let mut stranger = scene.stranger("stranger").await;
    assert_eq!(
        stranger.code(json!({"callJoin": {"room": room}})).await,
        402
    );
    assert_eq!(
        stranger.code(json!({"callJoin": {"room": nowhere}})).await,
        401
    );
    let mut member = scene.member("member").await;
    for command in commands(&room) {
        assert_eq!(stranger.code(command.clone()).await, 500, "{command}");
        assert_eq!(member.code(command.clone()).await, 500, "{command}");
    }
    // In it, and then not any more; elsewhere, and not here.
    member.ok(json!({"callJoin": {"room": room}})).await;
    member.ok(json!({"callLeave": {"room": room}})).await;
    for command in commands(&room) {
        assert_eq!(member.code(command.clone()).await, 500, "{command}");
    }
    let other = json!({"roomCreate": {"cid": crate::support::cid(), "kind": "ROOM_KIND_GROUP",
        "title": "another", "visibility": "VISIBILITY_PRIVATE"}});
    let other = member.ok(other).await["room"].as_str().unwrap().to_owned();
    member.ok(json!({"callJoin": {"room": other}})).await;
    for command in commands(&room) {
        assert_eq!(member.code(command.clone()).await, 500, "{command}");
    }
    pair.goes_on(20).await;
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_member_neither_mutes_unmutes_nor_removes_others_and_cannot_name_what_is_elsewhere() {
    let scene = Scene::on(server()).await;
    let mut pair = Pair::begin(&scene).await;
    let room = scene.room.clone();
    let theirs = pair.alice.publications[0].clone();
    let them = pair.alice.participant.clone();
    let mut mallory = Person::join(scene.member("mallory").await, &room, vec![]).await;
    for muted in [true, false] {
        let mute = json!({"callMute": {"room": room, "publication": theirs, "muted": muted}});
        assert_eq!(mallory.session.code(mute).await, 300);
    }
    let remove = json!({"callRemove": {"room": room, "participant": them}});
    assert_eq!(mallory.session.code(remove).await, 300);

    // Ids of another room's call, of nobody, and what are none.
    let mut owner = scene.stranger("elsewhere").await;
    let other = json!({"roomCreate": {"cid": crate::support::cid(), "kind": "ROOM_KIND_GROUP",
        "title": "another", "visibility": "VISIBILITY_PRIVATE"}});
    let other = owner.ok(other).await["room"].as_str().unwrap().to_owned();
    let mut owner = Person::join(owner, &other, vec![]).await;
    for (publication, code) in [(theirs.as_str(), 502), ("t_ffffffff", 502), ("x", 400)] {
        let mute = json!({"callMute": {"room": other, "publication": publication, "muted": true}});
        assert_eq!(owner.session.code(mute).await, code);
    }
    for (participant, code) in [(them.as_str(), 501), ("p_ffffffff", 501), ("", 400)] {
        let remove = json!({"callRemove": {"room": other, "participant": participant}});
        assert_eq!(owner.session.code(remove).await, code);
    }
    let see = json!({"callPrefer": {"room": other, "preferences": [{"publication": theirs,
        "width": 640, "height": 360}]}});
    owner.session.ok(see).await;
    pair.goes_on(20).await;

    // A moderator mutes, and then it is really silent; only its owner unmutes.
    let mut witness = Person::join(scene.witness, &room, vec![]).await;
    let mute = |muted| json!({"callMute": {"room": room, "publication": theirs, "muted": muted}});
    witness.session.ok(mute(true)).await;
    assert_eq!(witness.session.code(mute(false)).await, 300);
    pair.alice.session.ok(mute(false)).await;
    pair.resumes().await;
    pair.goes_on(10).await;
}

#[tokio::test]
async fn who_may_not_publish_has_their_tracks_refused_one_by_one() {
    let scene = Scene::on(server()).await;
    let mut pair = Pair::begin(&scene).await;
    let mut viewer = claims(&scene.user("viewer"), 3600);
    viewer["role"] = json!("viewer");
    let token = scene.server.key().sign(&viewer);
    let command = crate::support::client::connect(&token);
    let mut session = Client::connect_with(&scene.server, Codec::Json, command).await;
    session.ok(json!({"roomJoin": {"room": scene.room}})).await;
    let lines = vec![
        Line::send(Source::Microphone, 31),
        Line::send(Source::Camera, 3_100),
        Line::receive("audio"),
    ];
    let viewer = Person::join(session, &scene.room, lines).await;
    assert_eq!(viewer.refused, [300, 300]);
    assert!(viewer.publications.is_empty());
    pair.goes_on(20).await;
}

#[tokio::test]
async fn descriptions_of_every_shape_are_refused_and_leave_the_call_as_it_was() {
    let scene = Scene::on(server()).await;
    let mut pair = Pair::begin(&scene).await;
    let room = scene.room.clone();
    let lines = vec![Line::send(Source::Microphone, 31), Line::receive("video")];
    let mut mallory = Person::join(scene.member("mallory").await, &room, lines).await;
    let good = mallory.media.sdp();
    let mut codes = Vec::new();
    // Short of the rate of offers, which is another test.
    let bad = [
        "v=0".to_owned(),
        "x".repeat(60_000),
        good.replace("a=group:BUNDLE 0 1\r\n", ""),
        good.replace("a=mid:0", "a=mid:7"),
        good.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:"),
        good.replace("a=rtcp-mux\r\n", ""),
        good.split_once("m=video").unwrap().0.to_owned(),
        sixty_five_lines(&good),
    ];
    for sdp in &bad {
        codes.push(mallory.session.code(offer(&room, sdp, &[])).await);
    }
    assert_eq!(codes, [504; 8]);
    // Another fingerprint would be another peer.
    let other = good.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 FF:FF:");
    let other: String = other
        .lines()
        .map(|line| match line.strip_prefix("a=fingerprint:") {
            Some(rest) => format!("a=fingerprint:{}\r\n", &rest[..rest.len() - 6]),
            None => format!("{line}\r\n"),
        })
        .collect();
    assert_eq!(mallory.session.code(offer(&room, &other, &[])).await, 504);
    let long = "v".repeat(64 * 1024 + 1);
    assert_eq!(mallory.session.code(offer(&room, &long, &[])).await, 103);
    // Tracks that name nothing, too many of them, the same one twice.
    assert_eq!(mallory.session.code(offer(&room, &good, &["9"])).await, 504);
    assert_eq!(
        mallory.session.code(offer(&room, &good, &["0", "0"])).await,
        400
    );
    assert_eq!(
        mallory.session.code(offer(&room, &good, &["0"; 17])).await,
        400
    );
    // Two at once, in one frame: both are answered, and the publication is the one that it was.
    let two = [mallory.session.begin(offer(&room, &good, &["0"])).await];
    let more = mallory.session.begin(offer(&room, &good, &["0"])).await;
    for id in two.into_iter().chain([more]) {
        let reply = mallory.session.reply(id).await;
        let track = &reply["callAnswer"]["tracks"][0];
        assert_eq!(
            track["publication"],
            json!(mallory.publications[0]),
            "{reply}"
        );
    }
    pair.goes_on(20).await;
}

/// An m-line for receiving, sixty-four times more.
fn sixty_five_lines(good: &str) -> String {
    let (head, video) = good.split_once("m=video").unwrap();
    let mut sdp = head.replace("BUNDLE 0 1", &format!("BUNDLE 0 {}", mids(1..66)));
    for no in 1..66 {
        sdp += "m=video";
        sdp += &video.replace("a=mid:1", &format!("a=mid:{no}"));
    }
    // Of each m-line what it needs; the text stays within its bound.
    sdp.truncate(60_000);
    sdp
}

fn mids(range: std::ops::Range<u32>) -> String {
    let mids: Vec<String> = range.map(|no| no.to_string()).collect();
    mids.join(" ")
}

#[tokio::test]
async fn offers_preferences_and_rings_beyond_their_rates_are_refused() {
    let scene = Scene::on(server()).await;
    let mut pair = Pair::begin(&scene).await;
    let room = scene.room.clone();
    let mut victim = scene.member("victim").await;
    let mut mallory = Person::join(scene.member("mallory").await, &room, vec![]).await;
    let count = |codes: &[u64], code| codes.iter().filter(|c| **c == code).count();

    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.push(mallory.session.code(offer(&room, "v=0", &[])).await);
    }
    assert_eq!(codes[..20], [504; 20], "a burst is let through");
    assert!(count(&codes, 301) >= 5, "{codes:?}");

    let prefer = json!({"callPrefer": {"room": room, "preferences": []}});
    let mut refused = 0;
    for _ in 0..80 {
        let reply = mallory.session.call(prefer.clone()).await;
        refused += usize::from(int(&reply["error"]["code"]) == 301);
    }
    assert!(refused >= 5, "{refused}");

    // A storm of rings is one ring: rung already, declined and quiet for a while.
    let ring = json!({"callRing": {"room": room, "users": [scene.user("victim")]}});
    mallory.session.ok(ring.clone()).await;
    let mut codes = Vec::new();
    for _ in 0..10 {
        codes.push(mallory.session.code(ring.clone()).await);
    }
    assert_eq!(codes, [505; 10]);
    victim.push("callRinging").await;
    victim.ok(json!({"callDecline": {"room": room}})).await;
    let again = mallory.session.code(ring).await;
    assert!(matches!(again, 301 | 505), "{again}");
    let nobody = json!({"callRing": {"room": room, "users": [scene.user("nobody")]}});
    assert_eq!(mallory.session.code(nobody).await, 400);
    let crowd: Vec<String> = (0..33)
        .map(|no| scene.user(&format!("crowd{no}")))
        .collect();
    let crowd = json!({"callRing": {"room": room, "users": crowd}});
    assert_eq!(mallory.session.code(crowd).await, 400);
    pair.goes_on(20).await;
}
