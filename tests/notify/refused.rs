//! Addresses that may not be registered: refused with their error, and nothing is called.

use super::world::{World, browser, direct, next, payload, register, registration, web_push};
use crate::support::cid;
use crate::support::client::Client;
use kaiwa_provider_doubles::Subscription;
use serde_json::{Value, json};

const TOO_LARGE: u64 = 103;
const INVALID: u64 = 400;
const REFUSED: u64 = 602;

/// Where nobody may make the server call, with the error.
fn endpoints(port: u16) -> Vec<(String, u64)> {
    let refused = |url: &str| (url.to_owned(), REFUSED);
    let mut endpoints = vec![
        // Not https, also at a service that is allowed.
        (format!("http://127.0.0.1:{port}/push/x"), REFUSED),
        refused("http://push.example/x"),
        refused("https://push.example:22/x"),
        // By a name that leads to this machine.
        refused("https://localhost/x"),
        refused("https://LOCALHOST:8443/x"),
        refused("https://localhost:443/x"),
        (
            format!("https://push.example/{}", "x".repeat(2_048)),
            TOO_LARGE,
        ),
        ("https://u:p@push.example/x".to_owned(), INVALID),
        ("https://push.example/x#y".to_owned(), INVALID),
        ("https:///x".to_owned(), INVALID),
    ];
    for host in [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
    ] {
        endpoints.push(refused(&format!("https://{host}/x")));
    }
    // Other ways to write 127.0.0.1, that resolvers understand.
    for host in ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"] {
        endpoints.push(refused(&format!("https://{host}/x")));
    }
    endpoints
}

/// Keys that are none, with the error.
fn keys(good: &Subscription) -> Vec<(String, String, u64)> {
    let point = |first: char| format!("{first}{}", "A".repeat(86));
    vec![
        // 65 bytes, but no point of the curve; a compressed one's first byte; too short.
        (point('B'), good.auth.clone(), REFUSED),
        (point('A'), good.auth.clone(), INVALID),
        ("BAAA".to_owned(), good.auth.clone(), INVALID),
        (String::new(), good.auth.clone(), INVALID),
        (good.p256dh.clone(), "AAAA".to_owned(), INVALID),
        (good.p256dh.clone(), String::new(), INVALID),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_addresses_and_wrong_keys_are_refused_and_nothing_is_called() {
    let world = World::new().await;
    let server = world.start();
    let good = world.push.subscribe().unwrap();
    let id = uuid::Uuid::new_v4().to_string();
    let mut wrong: Vec<(Value, u64)> = Vec::new();
    for (endpoint, code) in endpoints(world.push.address().port()) {
        let forged = Subscription {
            endpoint,
            ..good.clone()
        };
        wrong.push((web_push(&forged), code));
    }
    for (p256dh, auth, code) in keys(&good) {
        let forged = Subscription {
            p256dh,
            auth,
            ..good.clone()
        };
        wrong.push((web_push(&forged), code));
    }
    let apns = |token: &str, topic: &str| json!({"apns": {"token": token, "topic": topic}});
    wrong.push((apns(&"a".repeat(64), "org.example.other"), REFUSED));
    wrong.push((apns(&"a".repeat(63), "org.example.app"), INVALID));
    wrong.push((json!({"fcm": {"token": "short"}}), REFUSED));
    wrong.push((json!({"fcm": {"token": "f".repeat(1_025)}}), TOO_LARGE));
    let mut others = Vec::new();
    // A person's changes are one a second after thirty.
    for (no, wrong) in wrong.chunks(20).enumerate() {
        let mut mallory = Client::connect(&server, &format!("mallory-{no}")).await;
        for (address, code) in wrong {
            let command = registration(&id, address.clone());
            let error = mallory.refused(command.clone()).await;
            if error["code"] != json!(code) {
                others.push(format!("{command}: not {code} but {error}"));
            }
        }
        let devices = mallory.ok(json!({"deviceList": {}})).await;
        assert_eq!(devices["devices"].as_array().map_or(0, Vec::len), 0);
    }
    assert!(others.is_empty(), "{others:#?}");
    for service in [&world.push, &world.other, &world.apns, &world.fcm] {
        assert_eq!(service.report().connections, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_message_is_cut_to_what_a_service_takes() {
    let world = World::new().await;
    let server = world.start();
    let mut accepted = world.push.accepted();
    let mut phones = world.apns.accepted();
    let mut bob = Client::connect(&server, "bob").await;
    browser(&mut bob, &world.push).await;
    let apns = json!({"apns": {"token": "a".repeat(64), "topic": "org.example.app"}});
    register(&mut bob, apns).await;
    let mut writer = Client::connect(&server, "writer").await;
    let room = direct(&mut writer, "bob").await;
    let text = "\u{1F600}\"\\ ".repeat(2_000);
    let send = json!({"send": {"room": room, "cid": cid(), "text": text}});
    writer.ok(send).await;
    let push = next(&mut accepted).await;
    assert!(push.payload.len() <= 2_815, "{}", push.payload.len());
    let told = payload(&push);
    let shown = told["body"].as_str().unwrap().trim_end_matches('…');
    assert!(shown.len() > 100 && text.starts_with(shown), "{shown}");
    assert!(next(&mut phones).await.bytes <= 4_096);
    assert!(world.push.report().refused.is_empty());
}
