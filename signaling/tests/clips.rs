//! Clips over the client protocol: what the server posts and shows reaches those who follow the room, and no client
//! can do it in its place.

#[path = "support/client.rs"]
mod client;

use client::{Client, cid, number, server, two_in_a_room};
use kaiwa_chat::model::{ClipKind, ClipShown, ClipView, User};
use kaiwa_common::id::{ClipId, RoomId, UserId};
use kaiwa_common::limits::Limits;
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;
use serde_json::json;

fn clip() -> ClipId {
    ClipId::parse("01998d5e-9000-7000-8000-000000000001").expect("a clip id")
}

fn view(version: u64, state: ClipShown) -> ClipView {
    ClipView {
        clip: clip(),
        version,
        kind: ClipKind::Video,
        state,
        title: Redacted("Holidays".to_owned()),
        duration_ms: 61_000,
        width: 1280,
        height: 720,
    }
}

fn alice() -> User {
    User {
        id: UserId::parse("alice").expect("a user id"),
        name: Redacted::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_clip_is_posted_shown_and_its_progress_is_a_signal() {
    let server = server(Limits {
        clip_bytes: 5_000,
        ..Limits::default()
    });
    let (_alice, mut bob, room, _) = two_in_a_room(&server).await;
    let id = RoomId::parse(&room).expect("a room id");
    let uploading = view(1, ClipShown::Uploading);
    let posted = server.chat.post_clip(&id, &alice(), uploading).await;
    let target = posted.expect("posted").position.seq;
    let event = bob.push("event").await;
    assert_eq!(event["message"]["text"], json!("Holidays"));
    let shown = json!({
        "id": clip().to_string(), "version": "1", "kind": "CLIP_KIND_VIDEO",
        "state": "CLIP_STATE_UPLOADING", "title": "Holidays", "durationMs": "61000",
        "width": 1280, "height": 720,
    });
    assert_eq!(event["message"]["clip"], shown);

    let count = bob.count;
    server.chat.clip_progress(&id, target, clip(), 1, 42);
    let progress = bob.push("clipProgress").await;
    let told = json!({
        "room": room, "seq": target.0.to_string(), "clip": clip().to_string(), "percent": 42,
        "version": "1",
    });
    assert_eq!(progress, told);
    assert_eq!(bob.count, count, "a signal is not counted");

    let ready = view(2, ClipShown::Ready);
    server
        .chat
        .show_clip(&id, target, ready)
        .await
        .expect("shown");
    let event = bob.push("event").await;
    assert_eq!(number(&event["clipChanged"]["target"]), target.0);
    assert_eq!(
        event["clipChanged"]["clip"]["state"],
        json!("CLIP_STATE_READY")
    );
    assert_eq!(event["sender"], json!("alice"));
    let page = bob.ask("history", json!({"room": room})).await;
    let message = &page["history"]["messages"][0];
    assert_eq!(message["clip"]["state"], json!("CLIP_STATE_READY"));
    assert!(message["editedSeq"].is_null(), "{message}");

    let (_, connected) = Client::connect(&server, "carol", json!({})).await;
    assert_eq!(connected["limits"]["clipBytes"], json!("5000"));
}

#[tokio::test(start_paused = true)]
async fn many_followers_get_progress_and_who_does_not_follow_gets_none() {
    let server = server(Limits::default());
    let (_alice, _bob, room, _) = two_in_a_room(&server).await;
    let id = RoomId::parse(&room).expect("a room id");
    let mut crowd = Vec::new();
    for no in 0..20 {
        let (mut other, _) = Client::connect(&server, &format!("u{no}"), json!({})).await;
        other.ask("roomJoin", json!({"room": room})).await;
        other
            .ask("subscribe", json!({"after": {"room": room}}))
            .await;
        crowd.push(other);
    }
    let mut outsider = crowd.pop().expect("one");
    outsider.ask("unsubscribe", json!({"room": room})).await;
    server.chat.clip_progress(&id, Seq(9), clip(), 1, 7);
    for other in &mut crowd {
        assert_eq!(other.push("clipProgress").await["percent"], json!(7));
    }
    outsider.ask("roomGet", json!({"room": room})).await;
    assert!(outsider.inbox.is_empty(), "{:?}", outsider.inbox);
}

#[tokio::test(start_paused = true)]
async fn no_client_posts_shows_or_edits_a_clip() {
    let server = server(Limits::default());
    let (mut alice_client, mut bob, room, _) = two_in_a_room(&server).await;
    let (id, uploader) = (RoomId::parse(&room).expect("a room id"), alice());
    let posted = server
        .chat
        .post_clip(&id, &uploader, view(1, ClipShown::Uploading));
    let target = posted.await.expect("posted").position.seq.0.to_string();
    bob.push("event").await;
    // What is no field of a command is ignored, and what is no command does nothing.
    let forged = json!({"id": clip().to_string(), "version": "9", "state": "CLIP_STATE_READY"});
    let send = json!({"room": room, "cid": cid(), "text": "look", "clip": forged});
    alice_client.ask("send", send).await;
    let event = bob.push("event").await;
    assert_eq!(event["message"]["text"], json!("look"));
    assert!(event["message"]["clip"].is_null(), "{event}");
    let changed = json!({"room": room, "target": target, "clip": forged});
    for command in [
        "clipChanged",
        "clip",
        "postClip",
        "showClip",
        "clipProgress",
    ] {
        alice_client.send(&json!({"id": 0, command: changed}));
    }
    let edit = json!({"room": room, "cid": cid(), "target": target, "text": "mine now"});
    let refused = alice_client.ask("edit", edit).await;
    assert_eq!(
        refused["error"]["reason"],
        json!("invalid_argument"),
        "{refused}"
    );
    assert_eq!(refused["error"]["details"]["field"], json!("target"));
    // The key of a clip that is not posted yet: then the server's post is refused, and only that.
    let other = ClipId::parse("01998d5e-9000-7000-8000-000000000002").expect("a clip id");
    let taken = json!({"room": room, "cid": other.to_string(), "text": "first"});
    let taken = alice_client.ask("send", taken).await;
    assert!(
        !taken["committed"].is_null() || !taken["error"].is_null(),
        "{taken}"
    );
    let page = bob.ask("history", json!({"room": room})).await;
    let first = &page["history"]["messages"][0];
    assert_eq!(
        first["clip"]["state"],
        json!("CLIP_STATE_UPLOADING"),
        "{first}"
    );
    let delete = json!({"room": room, "cid": cid(), "target": target});
    let deleted = alice_client.ask("delete", delete).await;
    assert!(!deleted["committed"].is_null(), "{deleted}");
}
