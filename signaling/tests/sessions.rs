//! Sessions end to end without sockets or waiting: the real chat service over its memory store, the
//! in-memory transport, and time that is paused.

#[path = "support/client.rs"]
mod client;

use client::{Client, cid, number, server, token, two_in_a_room};
use kaiwa_common::close::CloseCode;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{CONNECT, Limits, PING_INTERVAL};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_signaling::transport::Format;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_message_reaches_the_other_and_the_sender() {
    let server = server(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    let seq = alice.post(&room, "hello").await;
    let event = bob.push("event").await;
    assert_eq!(number(&event["seq"]), seq);
    assert_eq!(event["message"]["text"], json!("hello"));
    assert_eq!(event["sender"], json!("alice"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_resumed_without_a_loss_or_a_double() {
    let server = server(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    let first = alice.post(&room, "1").await;
    assert_eq!(number(&bob.push("event").await["seq"]), first);
    let session = {
        let all = server.sessions.of(&UserId::parse("bob").expect("an id"));
        all[0].id.to_string()
    };
    let count = bob.count;
    bob.peer.cut();
    for text in ["2", "3"] {
        alice.post(&room, text).await;
    }
    let resume = json!({"resume": {"session": session, "count": count.to_string()}});
    let (mut bob, connected) = Client::connect(&server, "bob", resume).await;
    assert_eq!(connected["resumed"], json!(true), "{connected}");
    for text in ["2", "3"] {
        assert_eq!(bob.push("event").await["message"]["text"], json!(text));
    }
    let (_, refused) = Client::connect(
        &server,
        "alice",
        json!({"resume": {"session": session, "count": "0"}}),
    )
    .await;
    assert_eq!(refused["resumeRefused"], json!("other_identity"));
}

#[tokio::test(start_paused = true)]
async fn after_its_time_a_session_is_gone_and_the_room_log_serves() {
    let server = server(Limits::default());
    let (mut alice, mut bob, room, info) = two_in_a_room(&server).await;
    let first = alice.post(&room, "1").await;
    assert_eq!(number(&bob.push("event").await["seq"]), first);
    let session = server.sessions.of(&UserId::parse("bob").expect("an id"))[0]
        .id
        .to_string();
    bob.peer.cut();
    tokio::time::sleep(Duration::from_secs(121)).await;
    assert!(
        server
            .sessions
            .of(&UserId::parse("bob").expect("an id"))
            .is_empty()
    );
    let (mut alice, _) = Client::connect(&server, "alice", json!({})).await;
    alice.post(&room, "2").await;
    let again = json!({
        "resume": {"session": session, "count": "9"},
        "rooms": [{"room": room, "epoch": info["epoch"], "seq": first.to_string()}],
    });
    let (_, connected) = Client::connect(&server, "bob", again).await;
    assert_eq!(connected["resumeRefused"], json!("unknown"));
    let events = &connected["rooms"][0]["events"]["events"];
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{connected}");
    assert_eq!(events[0]["message"]["text"], json!("2"));
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_gets_the_event_that_says_so_and_nothing_after_it() {
    let server = server(Limits::default());
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    alice
        .ask("roomRemove", json!({"room": room, "user": "bob"}))
        .await;
    alice.post(&room, "he is gone").await;
    let event = bob.push("event").await;
    assert_eq!(event["member"]["membership"], json!("MEMBERSHIP_LEFT"));
    let state = bob.push("state").await;
    assert_eq!(state["room"]["membership"], json!("MEMBERSHIP_LEFT"));
    // A read after it shows that nothing else was on its way.
    let reply = bob.ask("history", json!({"room": room})).await;
    assert_eq!(reply["error"]["reason"], json!("not_a_member"));
    assert!(bob.inbox.is_empty(), "{:?}", bob.inbox);
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_sees_nothing_of_what_was_committed_with_their_removal() {
    for others in [0, 20] {
        let server = server(Limits::default());
        let (alice, mut bob, room, _) = two_in_a_room(&server).await;
        let mut crowd = Vec::new();
        for no in 0..others {
            let (mut other, _) = Client::connect(&server, &format!("u{no}"), json!({})).await;
            other.ask("roomJoin", json!({"room": room})).await;
            let follow = json!({"after": {"room": room}});
            other.ask("subscribe", follow).await;
            crowd.push(other);
        }
        // Both are there before the room is driven, so one commit takes them.
        let remove = json!({"id": 900, "roomRemove": {"room": room, "user": "bob"}});
        let send = json!({"id": 901, "send": {"room": room, "cid": cid(), "text": "he is gone"}});
        alice.peer.send(Format::Text, format!("{remove}\n{send}"));
        let last = loop {
            let event = bob.push("event").await;
            if event["member"]["membership"] == json!("MEMBERSHIP_LEFT") {
                break event;
            }
        };
        assert_eq!(last["member"]["user"]["id"], json!("bob"));
        let state = bob.next().await;
        assert_eq!(
            state["push"]["state"]["room"]["membership"],
            json!("MEMBERSHIP_LEFT"),
            "{state}"
        );
        let reply = bob.ask("history", json!({"room": room})).await;
        assert_eq!(reply["error"]["reason"], json!("not_a_member"));
        assert!(bob.inbox.is_empty(), "{:?}", bob.inbox);
        for other in &mut crowd {
            while other.push("event").await["message"]["text"] != json!("he is gone") {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_names_the_head_of_a_room_whose_events_were_lost_on_the_way() {
    let server = server(Limits::default());
    let (_alice, mut bob, room, info) = two_in_a_room(&server).await;
    let id = RoomId::parse(&room).expect("an id");
    let epoch = Epoch(u32::try_from(number(&info["epoch"])).expect("32 bits"));
    server.hub.heard_head(
        &id,
        Position {
            epoch,
            seq: Seq(77),
        },
    );
    let ping = bob.push("ping").await;
    assert_eq!(ping["heads"][0]["seq"], json!("77"));
    bob.send(&json!({"pong": {"count": bob.count.to_string()}}));
    let next = bob.push("ping").await;
    assert!(next["heads"].is_null(), "it is told once: {next}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_says_who_it_is_ends() {
    let server = server(Limits::default());
    let mut client = Client::attach(&server, 1 << 20);
    let begun = Instant::now();
    let bye = client.push("bye").await;
    assert_eq!(bye["code"], json!(CloseCode::ConnectTimeout.number()));
    assert_eq!(client.next().await["closed"], json!(4005));
    assert!(begun.elapsed() >= CONNECT);
}

#[tokio::test(start_paused = true)]
async fn who_answers_no_ping_is_cut_off_and_who_does_is_not() {
    let server = server(Limits::default());
    let (mut quiet, _) = Client::connect(&server, "quiet", json!({})).await;
    let (mut lively, _) = Client::connect(&server, "lively", json!({})).await;
    let lively = tokio::spawn(async move {
        for _ in 0..4 {
            lively.push("ping").await;
            lively.send(&json!({"pong": {}}));
        }
    });
    assert_eq!(quiet.push("bye").await["reason"], json!("no_pong"));
    lively.await.expect("it stays");
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_a_live_connection_unless_it_is_refreshed_in_time() {
    let server = server(Limits::default());
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::attach(&server, 1 << 20);
        let short = token(&server, "alice", Duration::from_secs(20));
        client
            .ask("connect", json!({"token": short, "device": "d"}))
            .await;
        clients.push(client);
    }
    let (mut kept, mut ended) = (clients.remove(1), clients.remove(0));
    let foreign = token(&server, "bob", Duration::from_secs(60));
    let refused = kept.ask("refresh", json!({"token": foreign})).await;
    assert_eq!(refused["error"]["code"], json!(202));
    let fresh = token(&server, "alice", Duration::from_secs(600));
    let refreshed = kept.ask("refresh", json!({"token": fresh})).await;
    assert!(!refreshed["refreshed"].is_null(), "{refreshed}");
    let begun = Instant::now();
    assert_eq!(ended.push("bye").await["code"], json!(4100));
    assert!(
        begun.elapsed() <= Duration::from_secs(21),
        "at its time, not at the next ping"
    );
    kept.push("ping").await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_gets_a_gap_when_it_reads_again_and_others_notice_nothing() {
    let limits = Limits {
        outbox_soft_bytes: 20_000,
        ..Limits::default()
    };
    let server = server(Limits {
        commands_per_s: 100_000,
        command_burst: 100_000,
        ..limits
    });
    let (mut alice, mut bob, room, info) = two_in_a_room(&server).await;
    let mut slow = Client::attach(&server, 2_000);
    let slow_token = token(&server, "slow", Duration::from_secs(36_000));
    slow.ask("connect", json!({"token": slow_token, "device": "d"}))
        .await;
    slow.ask("roomJoin", json!({"room": room})).await;
    let subscribed = slow
        .ask("subscribe", json!({"after": {"room": room}}))
        .await;
    let mut last = number(&subscribed["subscribed"]["head"]);
    for n in 0..300 {
        alice.post(&room, &format!("{n} {}", "x".repeat(400))).await;
        while bob.push("event").await["message"].is_null() {}
    }
    let gap = loop {
        let message = slow.next().await;
        if !message["push"]["gap"].is_null() {
            break message["push"]["gap"].clone();
        }
        let seq = number(&message["push"]["event"]["seq"]);
        assert_eq!(seq, last + 1, "in order until the gap: {message}");
        last = seq;
    };
    assert!(last < 290, "something was left out");
    let head = number(&gap["head"]);
    while last < head {
        let read = json!({"room": room, "epoch": info["epoch"], "after": last.to_string()});
        let page = slow.ask("events", read).await["events"].clone();
        for event in page["events"].as_array().expect("events") {
            last += 1;
            assert_eq!(number(&event["seq"]), last);
        }
    }
    assert_eq!(last, head);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_for_half_a_minute_is_cut_off_as_slow() {
    let server = server(Limits {
        commands_per_s: 100_000,
        command_burst: 100_000,
        ..Limits::default()
    });
    let (mut alice, mut bob, room, _) = two_in_a_room(&server).await;
    let mut stuck = Client::attach(&server, 500);
    let stuck_token = token(&server, "stuck", Duration::from_secs(36_000));
    stuck
        .ask("connect", json!({"token": stuck_token, "device": "d"}))
        .await;
    stuck.ask("roomJoin", json!({"room": room})).await;
    stuck
        .ask("subscribe", json!({"after": {"room": room}}))
        .await;
    for n in 0..100 {
        alice
            .post(&room, &format!("{n} {}", "x".repeat(1_000)))
            .await;
    }
    let stuck_user = UserId::parse("stuck").expect("an id");
    assert_eq!(server.sessions.of(&stuck_user).len(), 1);
    // It still talks, so that only its reading is at fault.
    for _ in 0..4 {
        tokio::time::sleep(PING_INTERVAL / 2).await;
        stuck.send(&json!({"pong": {}}));
        for other in [&mut alice, &mut bob] {
            other.send(&json!({"pong": {}}));
        }
    }
    assert!(
        server.sessions.of(&stuck_user).is_empty(),
        "not kept for a resume either"
    );
    assert_eq!(server.sessions.len(), 2, "the others stay");
}

#[tokio::test(start_paused = true)]
async fn a_take_over_sends_the_older_connection_away() {
    let server = server(Limits::default());
    let (mut old, connected) = Client::connect(&server, "alice", json!({})).await;
    let resume = json!({"resume": {"session": connected["session"], "count": "0"}});
    let (_new, connected) = Client::connect(&server, "alice", resume).await;
    assert_eq!(connected["resumed"], json!(true));
    assert_eq!(old.push("bye").await["reason"], json!("replaced"));
    assert_eq!(old.next().await["closed"], json!(4305));
    assert_eq!(server.sessions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_person_has_so_many_sessions_and_the_oldest_makes_room() {
    let server = server(Limits {
        sessions_per_user: 2,
        ..Limits::default()
    });
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::connect(&server, "alice", json!({})).await.0);
    }
    assert_eq!(clients[0].push("bye").await["reason"], json!("replaced"));
    assert_eq!(server.sessions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_drain_tells_everybody_when_to_come_back() {
    let server = server(Limits::default());
    let (mut alice, _) = Client::connect(&server, "alice", json!({})).await;
    server.begin_drain();
    server.drain(Duration::from_secs(5)).await;
    let bye = alice.push("bye").await;
    assert_eq!(
        (bye["code"].clone(), bye["reason"].clone()),
        (json!(4000), json!("drain"))
    );
    assert!(number(&bye["retryMaxMs"]) >= 2_000);
    let mut late = Client::attach(&server, 1 << 20);
    let fresh = token(&server, "bob", Duration::from_secs(60));
    let refused = late
        .ask("connect", json!({"token": fresh, "device": "d"}))
        .await;
    assert_eq!(refused["error"]["reason"], json!("draining"));
}
