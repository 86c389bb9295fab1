//! Commands of notifications with every kind of wrong argument: each gets its code, whether the server sends
//! notifications or not, and nobody else notices.

use crate::support::client::{CODECS, Client, connect};
use crate::support::scene::Scene;
use serde_json::{Value, json};

const DEVICE: &str = "0b7e3c1a-52f4-4b0e-9d0f-3f1f0f6a7c11";

fn web_push(endpoint: &str, key_chars: usize, auth_chars: usize) -> Value {
    let key = format!("B{}", "A".repeat(key_chars - 1));
    json!({"deviceRegister": {"deviceId": DEVICE, "webPush": {"endpoint": endpoint,
        "p256dh": key, "auth": "A".repeat(auth_chars)}}})
}

fn fcm(device: &str, name: &str, token: &str) -> Value {
    json!({"deviceRegister": {"deviceId": device, "name": name, "fcm": {"token": token}}})
}

fn quiet(from: u32, until: u32, zone: &str) -> Value {
    json!({"deviceSet": {"deviceId": DEVICE, "settings": {"quiet": {"fromMin": from,
        "untilMin": until, "zone": zone}}}})
}

/// Commands and the code that each gets.
fn wrong() -> Vec<(Value, u64)> {
    let (fine, long) = ("https://push.example/x", "x".repeat(5_000));
    vec![
        (web_push(fine, 86, 22), 400),
        (web_push(fine, 88, 22), 400),
        (web_push(fine, 87, 20), 400),
        (web_push(fine, 87, 44), 400),
        (web_push(&format!("{fine}{long}"), 87, 22), 103),
        (web_push("http://push.example/x", 87, 22), 602),
        (web_push("ftp://push.example/x", 87, 22), 602),
        (web_push("https://", 87, 22), 400),
        (web_push("https://u:p@push.example/x", 87, 22), 400),
        (web_push("https://push.example/x\r\nHost: y", 87, 22), 400),
        (fcm("phone", "", "t"), 400),
        (fcm("00000000-0000-0000-0000-000000000000", "", "t"), 400),
        (fcm(DEVICE, &"n".repeat(101), "t"), 400),
        (fcm(DEVICE, "a\u{1b}[2J", "t"), 400),
        (fcm(DEVICE, "", ""), 400),
        (fcm(DEVICE, "", "a b"), 400),
        (fcm(DEVICE, "", &long), 103),
        (json!({"deviceRegister": {"deviceId": DEVICE}}), 400),
        (
            json!({"deviceRegister": {"deviceId": DEVICE, "apns": {"token": "zz", "topic": "a"}}}),
            400,
        ),
        (
            json!({"deviceRegister": {"deviceId": DEVICE, "sns": {"endpointArn": "arn:aws:s3:::b"}}}),
            400,
        ),
        (json!({"deviceSet": {"deviceId": DEVICE}}), 400),
        (quiet(1_440, 0, "UTC"), 400),
        (quiet(0, 4_000_000_000, "UTC"), 400),
        (quiet(5, 5, "UTC"), 400),
        (quiet(0, 1, ""), 400),
        (quiet(0, 1, "../../etc/localtime"), 400),
        (json!({"deviceRemove": {"deviceId": ""}}), 400),
        (json!({"notifySet": {}}), 400),
        (json!({"notifySetRoom": {"room": "../x"}}), 400),
        (
            json!({"notifySetRoom": {"room": "r_1", "mutedUntilMs": "-1"}}),
            400,
        ),
        (json!({"notifyExplain": {"room": "no room"}}), 400),
    ]
}

#[tokio::test]
async fn what_is_wrong_gets_its_code_in_both_codecs() {
    let mut scene = Scene::new().await;
    for codec in CODECS {
        let token = scene.server.token(&scene.user("mallory"));
        let command = connect(&token);
        let mut mallory = Client::connect_with(&scene.server, codec, command).await;
        for (command, code) in wrong() {
            assert_eq!(mallory.code(command.clone()).await, code, "{command}");
        }
        // Of the wrong type: malformed, and the connection goes on.
        let mut unknown = Client::open(&scene.server, codec).await;
        assert_eq!(unknown.code(json!({"pushGet": {}})).await, 106);
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_device_of_somebody_else_is_not_there() {
    let mut scene = Scene::new().await;
    let mut alice = scene.stranger("alice").await;
    let mut mallory = scene.stranger("mallory").await;
    alice
        .call(web_push("https://push.example/mine", 87, 22))
        .await;
    let set = json!({"deviceSet": {"deviceId": DEVICE, "settings": {"isMuted": true}}});
    let code = mallory.code(set).await;
    assert!(matches!(code, 600 | 601), "{code}");
    scene.is_unharmed().await;
}
