//! From registering to playing in the room; who may play, and who may not.

use crate::person::{Person, first_of, get};
use crate::support::cid;
use crate::support::client::{Client, int};
use crate::support::scene::{Scene, subscribe};
use crate::support::server::{SharedServer, own};
use kaiwa_common::id::{ClipId, RoomId, UserId};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::playback::{Claims, PlaybackKey, PlaybackKeys, room_epoch};
use serde_json::{Value, json};

/// What the room was shown of a clip until it came to an end: states, and percents within them.
async fn shown(witness: &mut Client) -> (u64, Vec<String>, Vec<u64>) {
    let (mut message, mut states, mut percents) = (0, Vec::new(), Vec::new());
    loop {
        let push = witness.next().await["push"].take();
        if push["ping"].is_object() {
            witness.pong().await;
        }
        let event = &push["event"];
        let (posted, changed) = (&event["message"]["clip"], &event["clipChanged"]["clip"]);
        let progress = &push["clipProgress"];
        if progress.is_object() {
            assert_eq!(int(&progress["seq"]), message);
            percents.push(int(&progress["percent"]));
            continue;
        }
        if posted.is_object() {
            message = int(&event["seq"]);
            assert_eq!(event["message"]["text"], "A quarter minute");
        }
        let clip = if posted.is_object() { posted } else { changed };
        let Some(state) = clip["state"].as_str() else {
            continue;
        };
        states.push(state.to_owned());
        if matches!(state, "CLIP_STATE_READY" | "CLIP_STATE_FAILED") {
            return (message, states, percents);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_uploaded_shown_in_its_room_played_by_members_alone_and_deleted() {
    let mut scene = Scene::on(own(|spec| spec)).await;
    let server = std::sync::Arc::clone(&scene.server);
    let owner = Person::new(&server, &scene.user("witness"));
    let limit = &scene.witness.connected["limits"]["clipBytes"];
    assert!(int(limit) > 0, "{limit}");

    let mut member = scene.member("bob").await;
    let clip = owner.bring(&scene.room).await;
    let seen = scene.witness.during(shown(&mut member)).await;
    let (message, states, percents) = seen;
    let expected = ["UPLOADING", "PROCESSING", "READY"].map(|s| format!("CLIP_STATE_{s}"));
    assert_eq!(states, expected);
    assert!(percents.is_sorted(), "{percents:?}");
    owner.until_ready(&clip).await;

    // A member plays: the playlist, a rendition's, and a segment.
    let bob = Person::new(&server, &scene.user("bob"));
    let master = bob.play(&clip).await;
    let media = first_of(&server, &master).await;
    let segment = first_of(&server, &media).await;
    assert_eq!(bob.get(&segment).await, 200);
    refused(&server, &clip, (&master, &segment)).await;
    // An outsider has no right, and makes none of somebody else's.
    let mallory = Person::new(&server, "mallory");
    let line = format!("POST /api/v1/clips/{clip}/playback");
    assert_eq!(mallory.ask(&line, None).await.status, 403);
    expired(&scene, &server, &clip, (&master, &segment)).await;

    // Who is removed plays no more, with what they had too; who is still there gets a new right.
    let remove = json!({"roomRemove": {"room": scene.room, "user": scene.user("bob")}});
    scene.witness.ok(remove).await;
    assert_eq!(
        (bob.get(&master).await, bob.get(&segment).await),
        (403, 403)
    );
    assert_eq!(bob.ask(&line, None).await.status, 403);
    let again = owner.play(&clip).await;
    assert_eq!(owner.get(&again).await, 200);

    owner
        .ok(&format!("DELETE /api/v1/clips/{clip}"), Some(json!({})))
        .await;
    assert_eq!(owner.get(&again).await, 403);
    loop {
        let event = scene.witness.push("event").await;
        if int(&event["deleted"]["target"]) == message {
            break;
        }
    }
    let log = scene.log().await;
    let texts = Value::Array(log).to_string();
    assert!(
        !texts.contains("A quarter minute"),
        "its views are erased: {texts}"
    );
}

/// Every change of a right path is 403, for playlist and segment.
async fn refused(server: &SharedServer, clip: &str, (master, segment): (&str, &str)) {
    let token = master.split('/').nth(2).expect("a token");
    let other = ClipId(uuid::Uuid::now_v7()).to_string();
    for path in [master, segment] {
        for changed in [
            path.replace(clip, &other),
            path.replace(token, &format!("{}A", &token[..token.len() - 1])),
            path.replace("/v/", "/v/x"),
            format!("{path}x"),
            path.replace(&format!("{clip}/"), &format!("{clip}/../source")),
            path.replace(&format!("{clip}/"), &format!("{clip}/%2e%2e/")),
        ] {
            if changed != path {
                assert_eq!(get(server, &changed).await.status, 403, "{changed}");
            }
        }
    }
    let source = format!("/v/{token}/{clip}/source");
    assert_eq!(
        get(server, &source).await.status,
        403,
        "what was uploaded is not played"
    );
}

/// A token of the server's own key whose time is over.
async fn expired(
    scene: &Scene,
    server: &SharedServer,
    clip: &str,
    (master, segment): (&str, &str),
) {
    let secret = std::fs::read(server.data().join("clip-playback-key")).expect("the key");
    let id = ring::digest::digest(&ring::digest::SHA256, &secret).as_ref()[0];
    let key = PlaybackKey::new(id, &Secret::new(secret)).expect("a key");
    let keys = PlaybackKeys::new(key, None).expect("one key");
    let room = RoomId::parse(&scene.room).expect("a room");
    let token = |expires: i64| {
        keys.issue(&Claims {
            clip: ClipId(clip.parse().expect("a UUID")),
            person: keys.pseudonym(&UserId::parse("bob").expect("an id")),
            expires: UnixMs(expires),
            epoch: room_epoch(&room, 0),
        })
    };
    let given = master.split('/').nth(2).expect("a token");
    let now = UnixMs::now().0;
    for path in [master, segment] {
        let good = path.replace(given, &token(now + 60_000));
        assert_eq!(
            get(server, &good).await.status,
            200,
            "made as the server makes them"
        );
        let over = path.replace(given, &token(now - 1));
        assert_eq!(get(server, &over).await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_film_is_refused_in_the_room_and_its_message_stays() {
    let mut scene = Scene::on(own(|spec| spec)).await;
    let server = std::sync::Arc::clone(&scene.server);
    let owner = Person::new(&server, &scene.user("witness"));
    let text = "#EXTM3U\n#EXTINF:6,\nfile:///etc/passwd\n";
    let clip = owner.bring_bytes(&scene.room, text.as_bytes()).await;
    scene.witness.ok(subscribe(&scene.room)).await;
    let (_, states, _) = shown(&mut scene.witness).await;
    assert_eq!(states.last().map(String::as_str), Some("CLIP_STATE_FAILED"));
    let refused = owner.ok(&format!("GET /api/v1/clips/{clip}"), None).await;
    assert_eq!(refused["state"], "CLIP_STATE_REJECTED");
    assert_eq!(refused["error"]["reason"], "PLAYLIST");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_shared_message_ends_the_share_and_deleting_the_one_at_home_the_clip() {
    let mut scene = Scene::on(own(|spec| spec)).await;
    let server = std::sync::Arc::clone(&scene.server);
    let owner = Person::new(&server, &scene.user("witness"));
    let bob = Person::new(&server, &scene.user("bob"));
    let mut member = scene.member("bob").await;
    let clip = owner.bring(&scene.room).await;
    let (home, ..) = scene.witness.during(shown(&mut member)).await;
    owner.until_ready(&clip).await;

    // Another room, with the owner in it, and carol, who is in no other.
    let mut carol = scene.stranger("carol").await;
    let room = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "Another",
        "visibility": "VISIBILITY_PUBLIC"});
    let room = carol.ok(json!({"roomCreate": room})).await;
    let other = room["room"].as_str().expect("a room").to_owned();
    scene.witness.ok(json!({"roomJoin": {"room": other}})).await;
    let share = async || {
        let share = json!({"requestId": cid(), "roomId": other});
        let line = format!("POST /api/v1/clips/{clip}/share");
        owner.ok(&line, Some(share)).await["messageSeq"].take()
    };
    let shared = share().await;
    let viewer = Person::new(&server, &scene.user("carol"));
    let played = viewer.play(&clip).await;
    assert_eq!(viewer.get(&played).await, 200);

    // Its moderator deletes the copy: the room has no right any more, the home has.
    let copy = json!({"room": other, "cid": cid(), "target": shared});
    carol.ok(json!({"delete": copy})).await;
    viewer.until_refused(&played).await;
    let ask = format!("GET /api/v1/clips/{clip}");
    assert_eq!(viewer.ask(&ask, None).await.status, 403);
    let played = bob.play(&clip).await;
    assert_eq!(bob.get(&played).await, 200);

    // Shared there again it is another message, and can be played.
    assert!(int(&share().await) > int(&shared));
    let again = viewer.play(&clip).await;
    assert_eq!(viewer.get(&again).await, 200);

    // The room's owner deletes the message at home: the clip goes with it.
    let own = json!({"room": scene.room, "cid": cid(), "target": home.to_string()});
    scene.witness.ok(json!({"delete": own})).await;
    bob.until_refused(&played).await;
    let now = owner.ok(&ask, None).await;
    assert_eq!(now["state"], "CLIP_STATE_DELETED");
}
