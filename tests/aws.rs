//! The whole over AWS's APIs: queues made by the command line, and a push that goes by SNS and SQS to a device, with
//! the real binary and the real SDKs, against MiniStack with signatures and policies checked.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "../platform/tests/queue/emulator.rs"]
#[expect(dead_code, reason = "the queues' own tests use the rest")]
mod emulator;
#[path = "support/root.rs"]
mod support;

use emulator::{Emulator, Kind};
use kaiwa_platform::queue::aws::SnsTopic;
use kaiwa_platform::queue::{Outgoing, Topic as _};
use kaiwa_provider_doubles::{Double, Kind as Provider, Options};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use support::cid;
use support::client::Client;
use support::server::{BINARY, Server, Spec};
use support::soon;

const DEVICE: &str = "0b7e3c1a-52f4-4b0e-9d0f-3f1f0f6a7c11";

/// How Amazon is reached: what an operator sets, and what their machine's environment has.
fn settings(emulator: &Emulator) -> Vec<(&'static str, String)> {
    let pairs = [
        ("KAIWA_QUEUE__BACKEND", "aws"),
        ("KAIWA_QUEUE__REGION", "us-east-1"),
        ("KAIWA_QUEUE__ENDPOINT", emulator.endpoint()),
        ("KAIWA_QUEUE__PREFIX", "e2e-"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    pairs.map(|(name, value)| (name, value.to_owned())).into()
}

/// Runs the command line with these settings.
fn kaiwa(data: &Path, settings: &[(&str, String)], args: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KAIWA_")) {
        command.env_remove(name);
    }
    command.args(args).arg("--data").arg(data);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command.output().unwrap()
}

/// A server with these settings.
fn spec(data: &Path, settings: &[(&str, String)]) -> Spec {
    let all = settings.iter();
    all.fold(Spec::new(data), |spec, (name, value)| {
        spec.with(name, value)
    })
}

/// What it printed.
fn printed(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `kaiwa notifications`, which asks that server; its answer.
fn ask(server: &Server, data: &Path, args: &[&str]) -> Value {
    let url = format!("http://{}", server.address);
    let all = [
        &["notifications", "--server", &url, "--json"] as &[&str],
        args,
    ];
    let answer = printed(&kaiwa(data, &[], &all.concat()));
    serde_json::from_str(&answer).unwrap()
}

/// Until the dead letters of a queue are so many; them.
async fn dead(server: &Server, data: &Path, queue: &str, count: usize) -> Vec<Value> {
    let looked = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            let page = ask(server, data, &["dead", "list", "--queue", queue]);
            let letters = page["letters"].as_array().unwrap().clone();
            if letters.len() == count {
                return letters;
            }
        }
    };
    soon("the dead letters", looked).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_goes_by_sns_and_sqs_and_poison_lies_among_the_dead_letters() {
    let emulator = Emulator::start(Kind::MiniStack).await;
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(&emulator);
    let topic = created(data.path(), &settings);
    settings.push(("KAIWA_QUEUE__TOPIC", topic.clone()));
    printed(&kaiwa(data.path(), &settings, &["queues", "create"]));

    let double = Double::start(Options::new(Provider::Webpush))
        .await
        .unwrap();
    let ca = data.path().join("ca.pem");
    std::fs::write(&ca, double.ca_pem()).unwrap();
    settings.push(("KAIWA_PUSH__EXTRA_CA", ca.to_str().unwrap().to_owned()));
    settings.push(("KAIWA_PUSH__ALLOWED_PRIVATE", "[\"127.0.0.1\"]".to_owned()));
    let server = spec(data.path(), &settings).start();

    is_pushed(&server, &double).await;
    let topic = SnsTopic::at(&emulator.config().await, &topic);
    poison_is_buried(&server, data.path(), &topic).await;
    assert_eq!(double.report().delivered, 1);
}

/// Without queues a server does not start, and says what makes them; then they are made. The topic.
fn created(data: &Path, settings: &[(&str, String)]) -> String {
    let early = spec(data, settings).run();
    let complaint = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(!early.status.success(), "it runs without queues");
    assert!(complaint.contains("kaiwa queues create"), "{complaint}");
    let made = printed(&kaiwa(data, settings, &["queues", "create"]));
    let made: toml::Table = toml::from_str(&made).unwrap();
    made["queue"]["topic"].as_str().unwrap().to_owned()
}

/// Bob is away when Alice writes.
async fn is_pushed(server: &Server, double: &Double) {
    let mut bob = Client::connect(server, "bob").await;
    let phone = double.subscribe().unwrap();
    let address = json!({"endpoint": phone.endpoint, "p256dh": phone.p256dh, "auth": phone.auth});
    bob.ok(json!({"deviceRegister": {"deviceId": DEVICE, "webPush": address}}))
        .await;
    let mut alice = Client::connect(server, "alice").await;
    let room = json!({"cid": cid(), "kind": "ROOM_KIND_DIRECT", "members": ["bob"]});
    let room = alice.ok(json!({"roomCreate": room})).await["room"].clone();
    drop(bob);

    let mut accepted = double.accepted();
    let text = "by way of SNS and SQS";
    alice
        .ok(json!({"send": {"room": room, "cid": cid(), "text": text}}))
        .await;
    let pushed = soon("the push", accepted.recv()).await.unwrap();
    let payload: Value = serde_json::from_str(&pushed.payload).unwrap();
    assert_eq!(pushed.device, phone.device);
    assert_eq!((&payload["room"], &payload["user"]), (&room, &json!("bob")));
    assert_eq!(payload["body"], text);
}

/// Poison comes by the topic, as everything does, and is listed, redriven and dropped by the command line.
async fn poison_is_buried(server: &Server, data: &Path, topic: &SnsTopic) {
    let poison = Outgoing {
        body: "not an event".to_owned(),
        attributes: BTreeMap::new(),
        delay: Duration::ZERO,
    };
    let published = topic.publish(vec![poison.clone()]).await.unwrap();
    assert_eq!(published, [Ok(())]);
    let letters = dead(server, data, "e2e-events", 1).await;
    assert_eq!(letters[0]["queue"], "e2e-events");
    let redriven = ask(server, data, &["dead", "redrive", "e2e-events", "--all"]);
    assert_eq!(redriven["done"], 1, "{redriven}");
    // It is poison still.
    let again = dead(server, data, "e2e-events", 1).await;
    assert_eq!(again[0]["reason"], letters[0]["reason"]);
    assert_ne!(again[0]["id"], letters[0]["id"], "it went by its queue");
    let dropped = ask(server, data, &["dead", "drop", "e2e-events", "--all"]);
    assert_eq!(dropped["done"], 1, "{dropped}");
    dead(server, data, "e2e-events", 0).await;
    // What rings comes by the queue beside it as well.
    let ring = Outgoing {
        attributes: BTreeMap::from([("class".to_owned(), "call".to_owned())]),
        ..poison
    };
    let published = topic.publish(vec![ring]).await.unwrap();
    assert_eq!(published, [Ok(())]);
    dead(server, data, "e2e-events-urgent", 1).await;
}
