//! A reader that stops reading while its room is busy.

use crate::support::client::int;
use crate::support::raw::{Heard, Raw, TEXT};
use crate::support::scene::Scene;
use crate::support::server::own;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is posted while the sleeper sleeps: several times what its kernel and ours hold for it.
const MESSAGES: usize = 450;
const TEXT_BYTES: usize = 16_000;

/// Messages posted at once: less than a session's queue takes before it makes a gap of them.
const WINDOW: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_reading_gets_gaps_and_catches_up_and_costs_nobody_anything() {
    let server = own(|spec| {
        let spec = spec.with("KAIWA_LIMITS__COMMANDS_PER_S", 100_000);
        spec.with("KAIWA_LIMITS__COMMAND_BURST", 100_000)
    });
    let mut scene = Scene::on(server).await;
    let mut reader = scene.member("reader").await;
    drop(scene.member("sleeper").await);
    let mut sleeper = Raw::connect(&scene.server, &scene.user("sleeper")).await;
    let follow = json!({"id": 2, "subscribe": {"after": {"room": scene.room}}});
    sleeper.frame(TEXT, follow.to_string().as_bytes()).await;
    let subscribed = sleeper.message().await;
    let head = int(&subscribed["reply"]["subscribed"]["head"]);

    let before = scene.server.rss_anon();
    let text = "x".repeat(TEXT_BYTES);
    let (mut last, mut latest) = (0, Duration::ZERO);
    for window in 0..MESSAGES / WINDOW {
        let mut begun = Vec::new();
        for no in 0..WINDOW {
            let text = format!("{window} {no} {text}");
            begun.push(scene.witness.begin(scene.send(&text)).await);
            scene.expect(&text);
        }
        for id in begun {
            last = int(&scene.witness.reply(id).await["committed"]["seq"]);
        }
        // Who reads gets each message while the other one sleeps, and not much later.
        let committed = Instant::now();
        while int(&reader.push("event").await["seq"]) < last {}
        latest = latest.max(committed.elapsed());
    }
    let grown = scene.server.rss_anon().saturating_sub(before);
    assert!(
        latest < Duration::from_secs(2),
        "a reader waited for {latest:?}"
    );
    // The store's page cache takes what was written, up to its own bound, and memory comes in steps of 2 MB; a queue would
    // take what was written once more.
    let written = (MESSAGES * TEXT_BYTES) as u64;
    assert!(grown < written * 2, "{grown} bytes more for {written}");

    let (seen, gaps) = catch_up(&mut sleeper, &scene.room, head, last).await;
    assert!(gaps > 0, "it read everything although it slept");
    let texts = seen
        .values()
        .filter(|event| event["message"].is_object())
        .count();
    assert_eq!(texts, MESSAGES);
    scene.is_unharmed().await;
}

/// Awake again: reads events in order, and by page what a gap says is missing.
async fn catch_up(
    sleeper: &mut Raw,
    room: &str,
    mut position: u64,
    last: u64,
) -> (BTreeMap<u64, Value>, u32) {
    let (mut seen, mut gaps) = (BTreeMap::new(), 0);
    while position < last {
        let asked = Instant::now();
        let message = match sleeper.next().await {
            Heard::Message(message) => message,
            other => panic!("{other:?} at {position}"),
        };
        // What waits goes out as soon as there is room, not with the next timer.
        let waited = asked.elapsed();
        assert!(
            waited < Duration::from_secs(2),
            "{waited:?} at {position}, of {last}"
        );
        let page = &message["reply"]["events"];
        let mut events = page["events"].as_array().cloned().unwrap_or_default();
        let mut read_after = None;
        if message["push"]["event"].is_object() {
            events.push(message["push"]["event"].clone());
        } else if message["push"]["gap"].is_object() {
            gaps += 1;
            assert!(int(&message["push"]["gap"]["head"]) > position, "{message}");
            read_after = Some(position);
        } else if page["more"] == json!(true) {
            read_after = events.last().map(|event| int(&event["seq"]));
        }
        if let Some(after) = read_after {
            let read = json!({"room": room, "epoch": 1, "after": after.to_string()});
            let read = json!({"id": 3, "events": read});
            sleeper.frame(TEXT, read.to_string().as_bytes()).await;
        }
        for event in events {
            seen.insert(int(&event["seq"]), event);
            while seen.contains_key(&(position + 1)) {
                position += 1;
            }
        }
    }
    (seen, gaps)
}

#[tokio::test]
async fn who_asks_for_pages_and_reads_none_is_not_read_any_more() {
    let server = own(|spec| {
        let spec = spec.with("KAIWA_LIMITS__COMMANDS_PER_S", 100_000);
        spec.with("KAIWA_LIMITS__COMMAND_BURST", 100_000)
    });
    let mut scene = Scene::on(server).await;
    let text = "y".repeat(16_000);
    for _ in 0..60 {
        scene.witness.ok(scene.send(&text)).await;
        scene.expect(&text);
    }
    drop(scene.member("greedy").await);
    let mut greedy = Raw::connect(&scene.server, &scene.user("greedy")).await;
    let before = scene.server.rss_anon();
    // 40,000 pages of 250 KB each, were they all made.
    let pages = (0..40_000).map(|no| {
        let read = json!({"room": scene.room, "epoch": 1});
        json!({"id": no + 10, "events": read}).to_string()
    });
    let pages: Vec<String> = pages.collect();
    for frame in pages.chunks(200) {
        let frame = frame.join("\n");
        let write = greedy.frame(TEXT, frame.as_bytes());
        // The server stops reading, and then the kernel stops taking.
        if tokio::time::timeout(std::time::Duration::from_millis(300), write)
            .await
            .is_err()
        {
            break;
        }
    }
    let grown = scene.server.rss_anon().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more");
    scene.is_unharmed().await;
}
