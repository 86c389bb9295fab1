//! What can't be read dies with a reason, and the command line tells of it, sends it back, and drops it.

use super::world::{World, browser, direct, in_time, next, payload, queues};
use crate::support::cid;
use crate::support::client::Client;
use crate::support::server::{BINARY, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::queue::sqlite::{SqliteQueueOptions, SqliteQueues};
use kaiwa_platform::queue::{Outgoing, Queue as _};
use kaiwa_proto::notify::v1::{Event, Job};
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Puts these bodies into queues of a server that is stopped.
async fn put(world: &World, letters: &[(&str, String)]) {
    let store = SqliteStore::open(&world.data().join("kaiwa.db")).unwrap();
    let queues = SqliteQueues::open(store.database(), Arc::new(SystemClock)).await;
    let queues = queues.unwrap();
    for (name, body) in letters {
        let queue = queues.queue(name, SqliteQueueOptions::default()).await;
        let queue = queue.unwrap();
        let sent = queue.send(vec![Outgoing {
            body: body.clone(),
            attributes: BTreeMap::new(),
            delay: Duration::ZERO,
        }]);
        assert!(sent.await.unwrap().iter().all(Result::is_ok));
    }
    store.close();
}

/// What `kaiwa notifications` prints.
fn notifications(world: &World, server: &Server, args: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KAIWA_")) {
        command.env_remove(name);
    }
    let url = format!("http://{}", server.address);
    command
        .arg("notifications")
        .args(args)
        .args(["--server", &url]);
    command.arg("--data").arg(world.data());
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same as JSON.
fn answer(world: &World, server: &Server, args: &[&str]) -> Value {
    let args = [args, &["--json"]].concat();
    serde_json::from_str(&notifications(world, server, &args)).unwrap()
}

/// Waits until so many have died, and gives them by queue and reason.
async fn died(world: &World, server: &Server, count: u64) -> BTreeMap<(String, String), String> {
    let died = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            let dead = |queue: &Value| queue["dead"].as_u64().unwrap();
            if queues(server).await.iter().map(dead).sum::<u64>() == count {
                return;
            }
        }
    };
    in_time("dead letters", died).await;
    let list = answer(world, server, &["dead", "list"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let letters = list["letters"].as_array().unwrap().iter();
    letters
        .map(|l| ((text(&l["queue"]), text(&l["reason"])), text(&l["id"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one story from the queue to the dead letters"
)]
async fn what_cannot_be_read_dies_with_a_reason_and_the_rest_goes_on() {
    let world = World::new().await;
    let mut server = world.start();
    let mut bob = Client::connect(&server, "bob").await;
    browser(&mut bob, &world.push).await;
    drop(bob);
    server.terminate();
    assert!(server.ended().await.success());
    let newer = Event {
        schema: 2,
        ..Event::default()
    };
    let job = Job {
        schema: 7,
        ..Job::default()
    };
    put(
        &world,
        &[
            ("events", "this is no envelope".to_owned()),
            ("events", STANDARD.encode(newer.encode_to_vec())),
            ("events", STANDARD.encode([0xFF; 40])),
            ("push-webpush", STANDARD.encode(job.encode_to_vec())),
        ],
    )
    .await;

    let server = world.start();
    let letters = died(&world, &server, 4).await;
    let expected = [
        ("events", "envelope"),
        ("events", "payload"),
        ("events", "schema"),
        ("push-webpush", "schema"),
    ];
    let found: Vec<_> = letters.keys().cloned().collect();
    let expected = expected.map(|(queue, reason)| (queue.to_owned(), reason.to_owned()));
    assert_eq!(found, expected);

    // Others are told as ever.
    let mut accepted = world.push.accepted();
    let mut alice = Client::connect(&server, "alice").await;
    let room = direct(&mut alice, "bob").await;
    let send = json!({"send": {"room": room, "cid": cid(), "text": "still there"}});
    alice.ok(send).await;
    let push = next(&mut accepted).await;
    assert_eq!(payload(&push)["room"], json!(room));
    let why = notifications(&world, &server, &["why", "--user", "bob"]);
    assert!(why.contains("bob was told"), "{why}");
    assert!(why.contains(&room), "{why}");

    let table = notifications(&world, &server, &["queues"]);
    assert!(
        table.contains("events") && table.contains("push-webpush"),
        "{table}"
    );
    let of_schema = answer(&world, &server, &["dead", "list", "--reason", "schema"]);
    assert_eq!(of_schema["letters"].as_array().unwrap().len(), 2);
    let envelope = &letters[&expected[0]];
    let shown = notifications(&world, &server, &["dead", "show", envelope]);
    assert!(
        shown.contains("envelope") && shown.contains("not base64"),
        "{shown}"
    );

    // Sent back it dies again; dropped it is gone.
    let redriven = notifications(&world, &server, &["dead", "redrive", "events", envelope]);
    assert_eq!(redriven, "1 redriven\n");
    let again = died(&world, &server, 4).await;
    assert_ne!(&again[&expected[0]], envelope, "another letter");
    let all = ["dead", "redrive", "events", "--all"];
    assert_eq!(notifications(&world, &server, &all), "3 redriven\n");
    died(&world, &server, 4).await;
    let schema = ["dead", "drop", "events", "--reason", "schema"];
    assert_eq!(notifications(&world, &server, &schema), "1 dropped\n");
    let all = ["dead", "drop", "push-webpush", "--all"];
    assert_eq!(notifications(&world, &server, &all), "1 dropped\n");
    assert_eq!(died(&world, &server, 2).await.len(), 2);
}
