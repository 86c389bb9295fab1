//! Commands of notifications over a connection: what is one's own is shown and changed, what is somebody
//! else's is not.

#[path = "support/client.rs"]
mod client;
#[path = "support/push.rs"]
mod push;

use client::{Client, cid, server, server_with_push};
use kaiwa_common::limits::{Limits, PUSH_CHANGE_BURST};
use push::{MemoryPush, ROOMS};
use serde_json::{Value, json};
use std::time::Duration;

const DEVICE: &str = "0b7e3c1a-52f4-4b0e-9d0f-3f1f0f6a7c11";

/// One of each command, in the form that succeeds.
fn commands(room: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("pushGet", json!({})),
        ("deviceRegister", fcm("token-1")),
        (
            "deviceSet",
            json!({"deviceId": DEVICE, "settings": {"isMuted": true}}),
        ),
        ("deviceList", json!({})),
        ("deviceRemove", json!({"deviceId": DEVICE})),
        ("notifyGet", json!({})),
        (
            "notifySet",
            json!({"level": "NOTIFY_LEVEL_MENTIONS", "letsCalls": true}),
        ),
        (
            "notifySetRoom",
            json!({"room": room, "level": "NOTIFY_LEVEL_NONE"}),
        ),
        ("notifyExplain", json!({"limit": 3})),
    ]
}

fn fcm(token: &str) -> Value {
    json!({"deviceId": DEVICE, "name": "phone", "fcm": {"token": token}})
}

fn web_push(endpoint: &str) -> Value {
    let key = format!("B{}", "A".repeat(86));
    json!({"deviceId": DEVICE, "webPush": {"endpoint": endpoint, "p256dh": key,
        "auth": "AAECAwQFBgcICQoLDA0ODw"}})
}

async fn a_room(client: &mut Client) -> String {
    let create = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "t",
        "visibility": "VISIBILITY_PRIVATE"});
    let room = client.ask("roomCreate", create).await["room"].clone();
    room["room"].as_str().expect("an id").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_server_without_notifications_says_so_to_each_command() {
    let server = server(Limits::default());
    let (mut alice, _) = Client::connect(&server, "alice", json!({})).await;
    for (command, body) in commands("r_1") {
        let error = alice.ask(command, body).await["error"].clone();
        assert_eq!(error["code"], 600, "{command}: {error}");
        assert_eq!(error["reason"], "push_off");
    }
    let wrong = alice.ask("deviceRemove", json!({"deviceId": "x"})).await;
    assert_eq!(
        wrong["error"]["code"], 400,
        "what is wrong is so everywhere"
    );
}

#[tokio::test(start_paused = true)]
async fn each_command_has_its_reply() {
    let server = server_with_push(Limits::default(), MemoryPush::new());
    let (mut alice, _) = Client::connect(&server, "alice", json!({})).await;
    let room = a_room(&mut alice).await;
    let replies = [
        "push",
        "device",
        "device",
        "devices",
        "done",
        "notifySettings",
        "notifySettings",
        "notifySettings",
        "notifyDecisions",
    ];
    let mut seen = Vec::new();
    for ((command, body), reply) in commands(&room).into_iter().zip(replies) {
        let answer = alice.ask(command, body).await;
        assert!(answer[reply].is_object(), "{command}: {answer}");
        seen.push(answer[reply].clone());
    }
    assert_eq!(seen[0]["hasFcm"], true);
    assert_eq!(seen[0]["vapidKey"].as_str().map(str::len), Some(88));
    assert_eq!(seen[2]["channel"], "PUSH_CHANNEL_FCM");
    assert_eq!(seen[2]["settings"], json!({"isMuted": true}));
    let device = &seen[3]["devices"][0];
    assert!(
        device["fcm"].is_null() && device["name"] == "phone",
        "{device}"
    );
    let rooms = json!([{"room": room, "level": "NOTIFY_LEVEL_NONE"}]);
    assert_eq!(seen[7]["rooms"], rooms);
    assert_eq!(seen[7]["level"], "NOTIFY_LEVEL_MENTIONS");
    assert_eq!(seen[8]["decisions"][0]["attempts"][0]["code"], "201");
}

#[tokio::test(start_paused = true)]
async fn nobody_sees_changes_or_removes_the_device_of_somebody_else() {
    let server = server_with_push(Limits::default(), MemoryPush::new());
    let (mut alice, _) = Client::connect(&server, "alice", json!({})).await;
    let (mut mallory, _) = Client::connect(&server, "mallory", json!({})).await;
    alice.ask("deviceRegister", fcm("token-1")).await;
    let set = json!({"deviceId": DEVICE, "settings": {"isMuted": true}});
    let refused = mallory.ask("deviceSet", set).await;
    assert_eq!(refused["error"]["code"], 601, "{refused}");
    let remove = json!({"deviceId": DEVICE});
    assert!(mallory.ask("deviceRemove", remove).await["done"].is_object());
    assert_eq!(
        mallory.ask("deviceList", json!({})).await["devices"],
        json!({})
    );
    // The same id with another token is another device.
    mallory.ask("deviceRegister", fcm("token-2")).await;
    let own = alice.ask("deviceList", json!({})).await["devices"].clone();
    let own = own["devices"].as_array().expect("one").clone();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["settings"], json!({}));
    // The same token is the same installation, where somebody else has signed in.
    mallory.ask("deviceRegister", fcm("token-1")).await;
    assert_eq!(
        alice.ask("deviceList", json!({})).await["devices"],
        json!({})
    );
}

#[tokio::test(start_paused = true)]
async fn addresses_channels_and_zones_that_do_not_serve_are_refused_with_a_word() {
    let push = MemoryPush::new();
    let server = server_with_push(Limits::default(), push.clone());
    let (mut alice, _) = Client::connect(&server, "alice", json!({})).await;
    for endpoint in [
        "https://127.0.0.1/x",
        "https://10.0.0.1/x",
        "http://push.example/x",
    ] {
        let refused = alice.ask("deviceRegister", web_push(endpoint)).await["error"].clone();
        assert_eq!(refused["code"], 602, "{endpoint}: {refused}");
        assert!(refused["details"]["why"].is_string(), "{refused}");
    }
    let fine = alice
        .ask("deviceRegister", web_push("https://push.example/x"))
        .await;
    assert!(fine["device"].is_object(), "{fine}");
    let sns = json!({"deviceId": DEVICE,
        "sns": {"endpointArn": "arn:aws:sns:eu-west-1:1:endpoint/GCM/app/0a"}});
    let off = alice.ask("deviceRegister", sns).await["error"].clone();
    assert_eq!(
        (&off["code"], &off["details"]["channel"]),
        (&json!(600), &json!("sns"))
    );
    let zone = json!({"deviceId": DEVICE, "settings":
        {"quiet": {"fromMin": 1, "untilMin": 2, "zone": "Mars/Olympus"}}});
    let unknown = alice.ask("deviceSet", zone).await["error"].clone();
    assert_eq!(
        (&unknown["code"], &unknown["details"]["field"]),
        (&json!(400), &json!("zone"))
    );
    push.fail();
    let down = alice.ask("deviceList", json!({})).await["error"].clone();
    assert_eq!(
        (&down["code"], &down["temporary"]),
        (&json!(108), &json!(true))
    );
}

#[tokio::test(start_paused = true)]
async fn settings_are_for_rooms_that_one_may_read_and_can_be_taken_back_when_one_has_left() {
    let server = server_with_push(Limits::default(), MemoryPush::new());
    let (mut alice, _) = Client::connect(&server, "alice", json!({})).await;
    let (mut bob, _) = Client::connect(&server, "bob", json!({})).await;
    let room = a_room(&mut alice).await;
    let mute = |room: &str| json!({"room": room, "mutedUntilMs": "1800000000000"});
    let refused = bob.ask("notifySetRoom", mute(&room)).await;
    assert_eq!(refused["error"]["code"], 401, "{refused}");
    let cleared = bob.ask("notifySetRoom", json!({"room": room})).await;
    assert!(cleared["notifySettings"].is_object(), "{cleared}");
    for _ in 0..ROOMS {
        let room = a_room(&mut alice).await;
        alice.ask("notifySetRoom", mute(&room)).await;
    }
    let full = alice.ask("notifySetRoom", mute(&room)).await["error"].clone();
    assert_eq!(
        (&full["code"], &full["details"]["limit"]),
        (&json!(302), &json!("2"))
    );
}

#[tokio::test(start_paused = true)]
async fn changes_beyond_their_rate_are_refused_and_reading_goes_on() {
    let server = server_with_push(Limits::default(), MemoryPush::new());
    let (mut alice, _) = Client::connect(&server, "alice", json!({})).await;
    let (mut second, _) = Client::connect(&server, "alice", json!({})).await;
    for no in 0..PUSH_CHANGE_BURST {
        let client = if no % 2 == 0 { &mut alice } else { &mut second };
        let reply = client.ask("deviceRegister", fcm(&format!("t{no}"))).await;
        assert!(reply["device"].is_object(), "{reply}");
    }
    let refused = alice.ask("deviceRegister", fcm("t")).await["error"].clone();
    assert_eq!(
        refused["code"], 301,
        "all devices of a person share the rate: {refused}"
    );
    let why = alice.ask("notifyExplain", json!({})).await["error"].clone();
    assert_eq!(why["code"], 301, "looks through a week: {why}");
    assert!(alice.ask("deviceList", json!({})).await["devices"].is_object());
    tokio::time::advance(Duration::from_secs(1)).await;
    let later = alice.ask("deviceRegister", fcm("t")).await;
    assert!(later["device"].is_object(), "{later}");
}
