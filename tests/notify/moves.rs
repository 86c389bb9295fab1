//! One browser, one person after the other: who had it before is not heard on it any more.

use super::world::{World, direct, emptied, next, payload, registration, web_push};
use crate::support::cid;
use crate::support::client::Client;
use serde_json::{Value, json};

fn send(room: &str, text: &str) -> Value {
    json!({"send": {"room": room, "cid": cid(), "text": text}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_the_former_owner_of_a_browser_never_reaches_it() {
    let world = World::new().await;
    let server = world.start();
    let mut accepted = world.push.accepted();
    let shared = world.push.subscribe().unwrap();
    let own = world.push.subscribe().unwrap();
    let id = uuid::Uuid::new_v4().to_string();

    let mut alice = Client::connect(&server, "alice").await;
    alice.ok(registration(&id, web_push(&shared))).await;
    let mut writer = Client::connect(&server, "writer").await;
    drop(Client::connect(&server, "bob").await);
    let to_alice = direct(&mut writer, "alice").await;
    let to_bob = direct(&mut writer, "bob").await;
    writer.ok(send(&to_alice, "first")).await;
    let first = next(&mut accepted).await;
    assert_eq!(payload(&first)["user"], json!("alice"));
    assert_eq!(first.device, shared.device);

    // Written while it is still hers, and not yet told when it becomes his.
    writer.ok(send(&to_alice, "on the way")).await;
    let mut bob = Client::connect(&server, "bob").await;
    bob.ok(registration(&id, web_push(&shared))).await;
    // Once that is answered, nothing of hers comes any more; before it, something may have.
    let to_alice_on_it = || {
        let all = world.push.deliveries();
        let on_it = all.iter().filter(|d| d.device == shared.device);
        on_it
            .filter(|d| payload(d)["user"] == json!("alice"))
            .count()
    };
    let before = to_alice_on_it();
    // She signs in elsewhere too: there it all comes.
    let hers = uuid::Uuid::new_v4().to_string();
    alice.ok(registration(&hers, web_push(&own))).await;
    writer.ok(send(&to_alice, "second")).await;
    writer.ok(send(&to_bob, "for bob")).await;

    let mut left = vec!["second", "for bob"];
    while !left.is_empty() {
        let delivery = next(&mut accepted).await;
        let told = payload(&delivery);
        let (user, device) = match told["user"].as_str() {
            Some("alice") => ("alice", &own.device),
            _ => ("bob", &shared.device),
        };
        assert_eq!((&told["user"], &delivery.device), (&json!(user), device));
        left.retain(|text| !told["body"].as_str().unwrap().contains(text));
    }
    let devices = alice.ok(json!({"deviceList": {}})).await;
    let devices = devices["devices"].as_array().unwrap().clone();
    assert_eq!(devices.len(), 1, "{devices:?}");
    assert_eq!(devices[0]["deviceId"], json!(hers));
    assert_eq!(emptied(&server).await.iter().sum::<u64>(), 0);
    assert_eq!(to_alice_on_it(), before, "after it was his");
}
