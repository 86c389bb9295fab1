//! Sessions that are not one's own, counts that can't be, and two connections for one session.

use crate::support::client::{Client, Codec, int};
use crate::support::raw::Raw;
use crate::support::scene::Scene;
use serde_json::{Value, json};

fn resume(scene: &Scene, user: &str, session: &Value, count: impl ToString) -> Value {
    let resume = json!({"session": session, "count": count.to_string()});
    let token = scene.server.token(&scene.user(user));
    json!({"connect": {"token": token, "device": "test", "resume": resume}})
}

async fn try_resume(scene: &Scene, user: &str, session: &Value, count: u64) -> Client {
    let command = resume(scene, user, session, count);
    Client::connect_with(&scene.server, Codec::Json, command).await
}

#[tokio::test]
async fn anothers_session_is_not_given_away_and_is_not_disturbed() {
    let mut scene = Scene::new().await;
    let mut owner = scene.member("owner").await;
    let session = owner.connected["session"].clone();
    let thief = try_resume(&scene, "thief", &session, owner.count).await;
    assert_eq!(thief.connected["resumeRefused"], json!("other_identity"));
    assert!(thief.connected["resumed"].is_null());
    assert_ne!(thief.connected["session"], session);
    assert_eq!(thief.connected["user"]["id"], json!(scene.user("thief")));
    // The owner's connection goes on, and its session can be resumed as before.
    owner.ok(scene.send("mine")).await;
    scene.expect("mine");
    let count = owner.count;
    drop(owner);
    let again = try_resume(&scene, "owner", &session, count).await;
    assert_eq!(
        again.connected["resumed"],
        json!(true),
        "{}",
        again.connected
    );
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_session_that_never_was_is_not_resumed() {
    let mut scene = Scene::new().await;
    for session in [
        "x",
        "s_00000000000000000000000000000000",
        "../..",
        "\u{0}",
        &"s".repeat(5000),
    ] {
        let client = try_resume(&scene, "dreamer", &json!(session), 0).await;
        assert_eq!(
            client.connected["resumeRefused"],
            json!("unknown"),
            "{session:.20}"
        );
        assert_eq!(int(&client.connected["count"]), 0);
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_count_from_the_future_begins_anew_and_loses_nothing() {
    let mut scene = Scene::new().await;
    let known = json!({"room": scene.room, "epoch": 1, "seq": "1"});
    for count in [1_000, u64::MAX] {
        let client = scene.member("ahead").await;
        let session = client.connected["session"].clone();
        let mut command = resume(
            &scene,
            "ahead",
            &session,
            client.count + count.min(u64::MAX - 1_000),
        );
        command["connect"]["rooms"] = json!([known]);
        drop(client);
        let client = Client::connect_with(&scene.server, Codec::Json, command).await;
        assert_eq!(client.connected["resumeRefused"], json!("too_far_behind"));
        // What was missed comes from the room's log.
        let events = client.connected["rooms"][0]["events"]["events"]
            .as_array()
            .expect("events");
        assert_eq!(int(&events[0]["seq"]), 2);
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_count_within_a_frame_is_nobodys_and_the_one_before_the_frame_gives_all_of_it_again() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("half").await;
    // Sent in one frame, committed together, pushed in one frame: mostly, so it is tried again.
    while client.in_last_frame < 2 {
        let sends: Vec<Value> = (0..10)
            .map(|no| scene.send(&format!("message {no}")))
            .collect();
        scene.witness.say(&sends).await;
        for no in 0..10 {
            scene.expect(&format!("message {no}"));
        }
        while client.push("event").await["message"]["text"] != json!("message 9") {}
    }
    let (session, count) = (client.connected["session"].clone(), client.count);
    let before = count - client.in_last_frame;
    drop(client);
    let mut again = try_resume(&scene, "half", &session, before).await;
    assert_eq!(
        again.connected["resumed"],
        json!(true),
        "{}",
        again.connected
    );
    while again.push("event").await["message"]["text"] != json!("message 9") {}
    assert_eq!(again.count, count, "as many as were missed");
    drop(again);
    let again = try_resume(&scene, "half", &session, count - 1).await;
    assert_eq!(again.connected["resumeRefused"], json!("too_far_behind"));
    scene.is_unharmed().await;
}

#[tokio::test]
async fn what_was_pushed_while_the_connection_was_lost_within_a_frame_comes_exactly_once() {
    let mut scene = Scene::new().await;
    let first = scene.member("tunnel").await;
    let (session, count) = (first.connected["session"].clone(), first.count);
    drop(first);
    // Takes the session over, and is lost within a frame of its own.
    let mut raw = Raw::open(&scene.server, Codec::Json).await;
    let mut command = resume(&scene, "tunnel", &session, count);
    command["id"] = json!(1);
    raw.frame(crate::support::raw::TEXT, command.to_string().as_bytes())
        .await;
    let connected = raw.message().await;
    assert_eq!(
        connected["reply"]["connected"]["resumed"],
        json!(true),
        "{connected}"
    );
    raw.bytes(&[0x81, 0xFE, 0x10]).await;
    drop(raw);
    for text in ["one", "two", "three"] {
        scene.witness.ok(scene.send(text)).await;
        scene.expect(text);
    }
    let mut again = try_resume(&scene, "tunnel", &session, count).await;
    assert_eq!(
        again.connected["resumed"],
        json!(true),
        "{}",
        again.connected
    );
    assert_eq!(int(&again.connected["count"]), count);
    for text in ["one", "two", "three"] {
        assert_eq!(again.push("event").await["message"]["text"], json!(text));
    }
    scene.is_unharmed().await;
    let next = again.push("event").await;
    assert!(
        next["message"]["text"]
            .as_str()
            .unwrap()
            .starts_with("the witness"),
        "{next}"
    );
}

#[tokio::test]
async fn a_take_over_ends_the_older_connection_and_nothing_else() {
    let mut scene = Scene::new().await;
    let mut older = scene.member("moves").await;
    let session = older.connected["session"].clone();
    let mut newer = try_resume(&scene, "moves", &session, older.count).await;
    assert_eq!(
        newer.connected["resumed"],
        json!(true),
        "{}",
        newer.connected
    );
    let closed = older.closed_with(4305).await;
    assert_eq!(int(&closed.bye.unwrap()["retryMaxMs"]), 0);
    newer.ok(scene.send("from here now")).await;
    scene.expect("from here now");
    scene.is_unharmed().await;
    // Its subscriptions came with it.
    assert_eq!(
        newer.push("event").await["message"]["text"],
        json!("from here now")
    );
}

#[tokio::test]
async fn the_other_codec_does_not_resume_a_session() {
    let mut scene = Scene::new().await;
    let client = scene.member("speaks").await;
    let command = resume(&scene, "speaks", &client.connected["session"], client.count);
    let other = Client::connect_with(&scene.server, Codec::Proto, command).await;
    assert_eq!(other.connected["resumeRefused"], json!("too_far_behind"));
    scene.is_unharmed().await;
}
