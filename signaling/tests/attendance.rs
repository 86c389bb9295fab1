//! Who is taken to be here, end to end without sockets: what is acknowledged, who looks, whose connection broke;
//! and marks between a person's sessions.

#[path = "support/client.rs"]
mod client;

use client::{Client, number, server, two_in_a_room, wall};
use kaiwa_chat::ports::{Attendance as _, Attention};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{Limits, NOTIFY_RETURN, PING_INTERVAL, PONG_GRACE};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_signaling::session::Context;
use kaiwa_signaling::session::attendance::Present;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

async fn attention(server: &Context, room: &str, epoch: &Value, seq: u64) -> Attention {
    let present = Present::new(Arc::clone(&server.sessions), wall);
    let room = RoomId::parse(room).expect("an id");
    let at = Position {
        epoch: Epoch(u32::try_from(number(epoch)).expect("an epoch")),
        seq: Seq(seq),
    };
    let bob = UserId::parse("bob").expect("an id");
    let answers = present.attention(&room, at, vec![bob]).await;
    answers.expect("it does not fail")[0]
}

async fn ack(client: &mut Client, room: &str, is_visible: bool) {
    let count = client.count.to_string();
    client.send(&json!({"ack": {"count": count, "isVisible": is_visible}}));
    // A reply to what came after it shows that it was taken.
    client.ask("roomGet", json!({"room": room})).await;
}

#[tokio::test(start_paused = true)]
async fn who_acknowledged_and_looks_is_looking_and_who_does_not_look_has_received_it() {
    let server = server(Limits::default());
    let (mut alice, mut bob, room, info) = two_in_a_room(&server).await;
    ack(&mut bob, &room, true).await;
    let first = alice.post(&room, "1").await;
    assert_eq!(number(&bob.push("event").await["seq"]), first);
    let is = async |seq| attention(&server, &room, &info["epoch"], seq).await;
    assert_eq!(is(first).await, Attention::Away, "not acknowledged yet");
    ack(&mut bob, &room, true).await;
    assert_eq!(is(first).await, Attention::Looking);
    let second = alice.post(&room, "2").await;
    assert_eq!(is(second).await, Attention::Away);
    bob.push("event").await;
    ack(&mut bob, &room, false).await;
    assert_eq!(is(second).await, Attention::Received);
    let other_epoch = attention(&server, &room, &json!(9), first).await;
    assert_eq!(other_epoch, Attention::Away);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_acknowledged_is_trusted_until_it_misses_a_ping() {
    let server = server(Limits::default());
    let (mut alice, mut bob, room, info) = two_in_a_room(&server).await;
    let first = alice.post(&room, "1").await;
    let is = async |seq| attention(&server, &room, &info["epoch"], seq).await;
    bob.push("event").await;
    assert_eq!(is(first).await, Attention::Looking);
    // It is pinged, says something else, and answers too late.
    tokio::time::sleep(PING_INTERVAL).await;
    bob.push("ping").await;
    bob.ask("roomGet", json!({"room": room})).await;
    assert_eq!(is(first).await, Attention::Looking);
    tokio::time::sleep(PONG_GRACE + Duration::from_millis(1)).await;
    bob.ask("roomGet", json!({"room": room})).await;
    assert_eq!(is(first).await, Attention::Away);
    bob.send(&json!({"pong": {"count": bob.count.to_string()}}));
    bob.ask("roomGet", json!({"room": room})).await;
    assert_eq!(is(first).await, Attention::Looking);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_waited_for_and_a_closed_one_is_not() {
    for (is_visible, is_cut, expected_returning) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
    ] {
        let server = server(Limits::default());
        let (mut alice, mut bob, room, info) = two_in_a_room(&server).await;
        ack(&mut bob, &room, is_visible).await;
        let session = server.sessions.of(&UserId::parse("bob").expect("an id"))[0]
            .id
            .to_string();
        let count = bob.count;
        if is_cut {
            bob.peer.cut();
        } else {
            bob.peer.close();
        }
        // Until the server has seen it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let seq = alice.post(&room, "1").await;
        let is = async || attention(&server, &room, &info["epoch"], seq).await;
        let found = is().await;
        let returning = matches!(found, Attention::Returning(_));
        assert_eq!(returning, expected_returning, "{found:?}");
        if let Attention::Returning(until) = found {
            let left = until.since(wall());
            assert!(left < NOTIFY_RETURN && left > NOTIFY_RETURN - Duration::from_secs(2));
            let resume = json!({"resume": {"session": session, "count": count.to_string()}});
            let (mut bob, connected) = Client::connect(&server, "bob", resume).await;
            assert_eq!(connected["resumed"], json!(true));
            bob.push("event").await;
            assert_eq!(is().await, Attention::Away, "connected, not acknowledged");
            ack(&mut bob, &room, true).await;
            assert_eq!(is().await, Attention::Looking);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_after_a_minute() {
    let server = server(Limits::default());
    let (alice, mut bob, room, info) = two_in_a_room(&server).await;
    ack(&mut bob, &room, true).await;
    bob.peer.cut();
    tokio::time::sleep(NOTIFY_RETURN).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut alice_again, _) = Client::connect(&server, "alice", json!({})).await;
    let seq = alice_again.post(&room, "1").await;
    let found = attention(&server, &room, &info["epoch"], seq).await;
    assert_eq!(found, Attention::Away);
    alice.peer.cut();
}

#[tokio::test(start_paused = true)]
async fn what_a_resume_counts_is_acknowledged() {
    let server = server(Limits::default());
    let (mut alice, mut bob, room, info) = two_in_a_room(&server).await;
    ack(&mut bob, &room, true).await;
    let seq = alice.post(&room, "1").await;
    bob.push("event").await;
    let session = server.sessions.of(&UserId::parse("bob").expect("an id"))[0]
        .id
        .to_string();
    let count = bob.count.to_string();
    bob.peer.cut();
    let resume = json!({"resume": {"session": session, "count": count}});
    let (_bob, connected) = Client::connect(&server, "bob", resume).await;
    assert_eq!(connected["resumed"], json!(true));
    let found = attention(&server, &room, &info["epoch"], seq).await;
    assert_eq!(found, Attention::Looking);
}

#[tokio::test(start_paused = true)]
async fn a_mark_is_told_to_other_sessions_that_know_it_and_counted_by_both_sides() {
    let server = server(Limits::default());
    let (mut alice, mut bob, room, info) = two_in_a_room(&server).await;
    let (mut tablet, _) = Client::connect(&server, "bob", json!({})).await;
    let (old, _) = Client::connect(&server, "bob", json!({})).await;
    ack(&mut tablet, &room, true).await;
    let seq = alice.post(&room, "1").await;
    let mark = json!({"room": room, "epoch": info["epoch"], "seq": seq.to_string()});
    let reply = bob.ask("mark", mark.clone()).await;
    assert_eq!(number(&reply["marked"]["readSeq"]), seq, "{reply}");
    let marked = tablet.push("marked").await;
    assert_eq!(marked, reply["marked"]);
    // Again: nothing moved, so nothing is told. The ping states the count.
    bob.ask("mark", mark).await;
    tokio::time::sleep(PING_INTERVAL).await;
    let ping = tablet.push("ping").await;
    assert_eq!(number(&ping["count"]), tablet.count);
    let mut old = old;
    let ping = old.push("ping").await;
    assert_eq!(number(&ping["count"]), 0, "it was not told");
}
