//! Stopping: everybody is told when to come back, nothing that was confirmed is lost, and two servers
//! never share a folder.

#[path = "support/root.rs"]
mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::cid;
use support::client::{CODECS, Client, Codec, connect, int};
use support::http::{request, upgrade_status};
use support::raw::Raw;
use support::scene::subscribe;
use support::server::Spec;

async fn room(client: &mut Client) -> String {
    let room = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "drained",
        "visibility": "VISIBILITY_PUBLIC"});
    let room = client.ok(json!({"roomCreate": room})).await;
    room["room"].as_str().expect("an id").to_owned()
}

fn send(room: &str, cid: &str) -> Value {
    json!({"send": {"room": room, "cid": cid, "text": format!("under {cid}")}})
}

#[tokio::test]
async fn a_server_told_to_stop_says_goodbye_to_everybody_and_ends_well() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Spec::new(data.path()).start();
    let mut clients = Vec::new();
    for no in 0..10 {
        let command = connect(&server.token(&format!("user-{no}")));
        clients.push(Client::connect_with(&server, CODECS[no % 2], command).await);
    }
    let began = Instant::now();
    server.terminate();
    for client in &mut clients {
        let bye = client.closed_with(4000).await.bye.expect("a bye");
        let (least, most) = (int(&bye["retryMinMs"]), int(&bye["retryMaxMs"]));
        assert!(0 < least && least < most && most <= 30_000, "{bye}");
        assert_eq!(bye["reason"], json!("drain"));
    }
    assert!(server.ended().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?} for nothing",
        began.elapsed()
    );
    assert!(server.stop_and_read_log().contains("stopped"));
}

#[tokio::test]
async fn what_was_confirmed_before_the_end_is_there_after_it_and_retries_give_it_again() {
    let data = tempfile::tempdir().unwrap();
    let spec = || Spec::new(data.path()).with("KAIWA_LIMITS__COMMAND_BURST", 10_000);
    let mut server = spec().start();
    let mut client = Client::connect(&server, "alice").await;
    let room = room(&mut client).await;
    let cids: Vec<String> = (0..600).map(|_| cid()).collect();
    let mut ids = BTreeMap::new();
    for (no, cid) in cids.iter().enumerate() {
        ids.insert(client.begin(send(&room, cid)).await, cid.clone());
        if no == 300 {
            server.terminate();
        }
    }
    let closed = client.closed_with(4000).await;
    assert!(server.ended().await.success());
    let mut committed = BTreeMap::new();
    for message in &closed.before {
        let reply = &message["reply"];
        let Some(cid) = reply["id"]
            .as_u64()
            .and_then(|id| ids.get(&u32::try_from(id).unwrap()))
        else {
            continue;
        };
        if reply["committed"].is_object() {
            committed.insert(cid.clone(), int(&reply["committed"]["seq"]));
        } else {
            assert_eq!(int(&reply["error"]["code"]), 105, "{reply}");
            assert_eq!(reply["error"]["temporary"], json!(true));
        }
    }
    assert!(!committed.is_empty(), "nothing was confirmed");

    let server = spec().start();
    let mut client = Client::connect(&server, "alice").await;
    let before = log(&mut client, &room).await;
    for (cid, seq) in &committed {
        assert_eq!(before.get(cid), Some(seq), "confirmed and lost");
    }
    for cid in &cids {
        let again = client.ok(send(&room, cid)).await;
        let was_there = before.get(cid).copied();
        assert_eq!(again["dup"] == json!(true), was_there.is_some(), "{again}");
        assert!(
            was_there.is_none_or(|seq| seq == int(&again["seq"])),
            "{again}"
        );
    }
    assert_eq!(
        log(&mut client, &room).await.len(),
        cids.len(),
        "each exactly once"
    );
}

/// The messages of a room's log: cid to seq. The log has no holes.
async fn log(client: &mut Client, room: &str) -> BTreeMap<String, u64> {
    let (mut messages, mut after) = (BTreeMap::new(), 0);
    loop {
        let read = json!({"room": room, "epoch": 1, "after": after.to_string()});
        let page = client.ok(json!({"events": read})).await;
        for event in page["events"].as_array().into_iter().flatten() {
            assert_eq!(int(&event["seq"]), after + 1, "a hole");
            after += 1;
            if event["message"].is_object() {
                let cid = event["cid"].as_str().expect("a cid").to_owned();
                assert!(messages.insert(cid, after).is_none(), "twice in the log");
            }
        }
        if page["more"] != json!(true) {
            return messages;
        }
    }
}

#[tokio::test]
async fn while_it_drains_the_server_is_not_ready_takes_nobody_new_and_writes_nothing() {
    let data = tempfile::tempdir().unwrap();
    // Sessions are sent away in groups of 256, over half of the time: the second group waits.
    let mut server = Spec::new(data.path()).with("KAIWA_DRAIN_S", 6).start();
    assert_eq!(
        request(server.address, "GET /readyz", &[], "").await.status,
        200
    );
    let mut early = Vec::new();
    for no in 0..256 {
        early.push(Client::connect(&server, &format!("user-{no}")).await);
    }
    let mut late = Client::connect(&server, "late").await;
    let room = room(&mut late).await;
    late.ok(subscribe(&room)).await;
    server.terminate();
    early[0].closed_with(4000).await;

    assert_eq!(
        request(server.address, "GET /readyz", &[], "").await.status,
        503
    );
    assert_eq!(
        request(server.address, "GET /healthz", &[], "")
            .await
            .status,
        200
    );
    assert_eq!(upgrade_status(server.address, &[]).await, 503);
    let error = late.refused(send(&room, &cid())).await;
    assert_eq!(
        (int(&error["code"]), &error["temporary"]),
        (105, &json!(true))
    );
    late.ok(json!({"history": {"room": room}})).await;

    drop(early);
    late.closed_with(4000).await;
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn a_connection_that_does_not_let_go_is_left_at_the_deadline() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Spec::new(data.path()).with("KAIWA_DRAIN_S", 1).start();
    let mut raw = Raw::connect(&server, "stays").await;
    let _half_a_request = support::raw::dial(&server).await;
    let began = Instant::now();
    server.terminate();
    // The goodbye is read and never answered.
    while raw.next().await != support::raw::Heard::Close(Some(4000)) {}
    assert!(server.ended().await.success());
    let waited = began.elapsed();
    assert!((1..4).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Spec::new(data.path()).with("KAIWA_DRAIN_S", 20).start();
    let mut raw = Raw::connect(&server, "stays").await;
    let began = Instant::now();
    server.terminate();
    while raw.next().await != support::raw::Heard::Close(Some(4000)) {}
    server.terminate();
    assert!(server.ended().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_folder_that_is_in_use_is_refused_and_the_one_that_uses_it_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let server = Spec::new(data.path()).start();
    let mut client =
        Client::connect_with(&server, Codec::Json, connect(&server.token("alice"))).await;
    let room = room(&mut client).await;
    let output = Spec::new(data.path()).run();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&data.path().display().to_string()), "{text}");
    assert!(
        text.contains("using") && !text.contains("panicked"),
        "{text}"
    );
    client.ok(send(&room, &cid())).await;
    // And it is free as soon as the process is gone, however it went.
    drop(server);
    let server = Spec::new(data.path()).start();
    let mut client = Client::connect(&server, "alice").await;
    assert_eq!(log(&mut client, &room).await.len(), 1);
}

#[tokio::test]
async fn an_address_in_use_is_refused_by_name() {
    let taken = tempfile::tempdir().unwrap();
    let server = Spec::new(taken.path()).start();
    let data = tempfile::tempdir().unwrap();
    let address = server.address.to_string();
    let output = Spec::new(data.path()).arg("--listen").arg(&address).run();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&address), "{text}");
}
