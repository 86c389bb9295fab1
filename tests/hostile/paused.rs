//! Peers that trickle, where half a minute is the deadline: on paused time, over the WebSocket code and a
//! stream in memory.

use super::deadlines::is_about;
use crate::support::cid;
use crate::support::client::connect;
use crate::support::raw::{CONTINUATION, PING, PONG, TEXT, TEXT_BEGINS, header, masked};
use crate::support::token::Key;
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::bus::Bus;
use kaiwa_chat::service::{Chat, ChatOptions};
use kaiwa_common::limits::{FRAME, Limits, PING_INTERVAL, PONG_GRACE};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::TokenKey;
use kaiwa_signaling::codec::Codec;
use kaiwa_signaling::hub::Hub;
use kaiwa_signaling::metrics::Metrics;
use kaiwa_signaling::session::registry::Sessions;
use kaiwa_signaling::session::{Context, driver};
use kaiwa_signaling::transport::Format;
use kaiwa_signaling::transport::websocket::{WebSocket, WebSocketConfig};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_frame_that_trickles_is_cut_off_after_its_time() {
    // Four spaces, masked.
    let piece = &masked(TEXT, b"    ")[6..];
    let (code, waited) = trickle(&header(TEXT, 60_000), piece, Duration::from_millis(900)).await;
    assert_eq!(code, 4005);
    assert!(is_about(waited, FRAME), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn fragments_that_trickle_are_cut_off_as_one_frame_is_and_pings_between_change_nothing() {
    let piece = [masked(CONTINUATION, b" "), masked(PING, b"ping")].concat();
    let (code, waited) = trickle(
        &masked(TEXT_BEGINS, b"{"),
        &piece,
        Duration::from_millis(900),
    )
    .await;
    assert_eq!(code, 4005);
    assert!(is_about(waited, FRAME), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn who_answers_with_websockets_pongs_only_has_not_been_heard() {
    let (code, waited) = trickle(&[], &masked(PONG, b""), Duration::from_secs(3)).await;
    assert_eq!(code, 4003);
    assert!(is_about(waited, PING_INTERVAL + PONG_GRACE), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn who_slowly_reads_what_they_asked_for_is_neither_silent_nor_within_a_frame() {
    const PAGES: u64 = 5;
    let mut peer = connected().await;
    let create =
        json!({"id": 2, "roomCreate": {"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "t"}});
    say(&mut peer, &create).await;
    let created = hear(&mut peer, 64 * 1024, 2).await;
    let room = created.split("\"room\":\"").nth(1).unwrap();
    let room = room.split('"').next().unwrap();
    let text = "x".repeat(16_000);
    for id in 3..19 {
        let send = json!({"id": id, "send": {"room": room, "cid": cid(), "text": text}});
        say(&mut peer, &send).await;
        hear(&mut peer, 64 * 1024, id).await;
    }
    for id in 100..100 + PAGES {
        say(&mut peer, &json!({"id": id, "history": {"room": room}})).await;
    }
    // A quarter of a megabyte takes 43 s. As long as pages wait the server reads no commands.
    for id in 100..100 + PAGES {
        hear(&mut peer, 6 * 1024, id).await;
    }
}

async fn say(peer: &mut DuplexStream, message: &Value) {
    let frame = masked(TEXT, message.to_string().as_bytes());
    peer.write_all(&frame).await.unwrap();
}

/// Reads so many bytes a second until the reply to this command has begun, and says every few seconds
/// that it is there.
async fn hear(peer: &mut DuplexStream, bytes_per_s: usize, id: u64) -> String {
    let begins = format!("{{\"reply\":{{\"id\":{id},");
    let mut said = String::new();
    let mut piece = vec![0; bytes_per_s];
    for second in 0.. {
        let taken = peer.read(&mut piece).await.unwrap();
        said.push_str(&String::from_utf8_lossy(&piece[..taken]));
        assert!(taken > 0 && !said.contains("\"bye\""), "{id}: {said:.200}");
        if said.contains(&begins) {
            break;
        }
        if second % 8 == 0 {
            say(peer, &json!({"pong": {}})).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    said
}

/// A server without sockets, its clock paused.
fn context() -> Arc<Context> {
    let limits = Limits::default();
    let metrics = Metrics::new();
    let sessions = Arc::new(Sessions::new(limits.clone()));
    let hub = Hub::start(Arc::clone(&sessions), metrics.clone(), 2);
    let chat = Chat::start(
        Arc::new(MemoryStore::new()),
        Arc::clone(&hub) as Arc<dyn Bus>,
        ChatOptions {
            limits: limits.clone(),
            ..ChatOptions::default()
        },
    );
    let secret = Secret::new(vec![7; 32]);
    Arc::new(Context {
        chat,
        hub,
        calls: None,
        sessions,
        tokens: TokenKey::hs256(&secret, "kaiwa", None).expect("32 bytes"),
        limits,
        node: "test".to_owned(),
        now: UnixMs::now,
        announce: None,
        metrics,
        draining: AtomicBool::new(false),
        drain_spread_ms: AtomicU32::new(0),
    })
}

/// The peer's end of a connection that is already upgraded, and connected as somebody.
async fn connected() -> DuplexStream {
    let (ours, mut peer) = tokio::io::duplex(64 * 1024);
    let config = WebSocketConfig {
        format: Some(Format::Text),
        frame_bytes: 64 * 1024,
    };
    let socket = WebSocket::new(ours, config, &[]);
    tokio::spawn(driver::serve(socket, Codec::Json, context()));
    let token = Key::foreign().token("slow", 3600);
    let mut connect = connect(&token);
    connect["id"] = 1.into();
    let connect = connect.to_string();
    peer.write_all(&masked(TEXT, connect.as_bytes()))
        .await
        .unwrap();
    let mut reply = vec![0; 4];
    peer.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply[..2], [0x81, 126]);
    let mut rest = vec![0; usize::from(u16::from_be_bytes([reply[2], reply[3]]))];
    peer.read_exact(&mut rest).await.unwrap();
    assert!(String::from_utf8(rest).unwrap().contains("\"connected\""));
    peer
}

/// Sends `piece` again and again until the server closes: its close code, and after how long.
async fn trickle(first: &[u8], piece: &[u8], every: Duration) -> (u16, Duration) {
    let mut peer = connected().await;
    let began = Instant::now();
    peer.write_all(first).await.unwrap();
    let mut said = Vec::new();
    let mut ticks = tokio::time::interval(every);
    loop {
        tokio::select! {
            read = peer.read_buf(&mut said) => {
                read.unwrap();
                let close = said.windows(2).position(|w| w[0] == 0x88);
                if let Some(code) = close.and_then(|at| said.get(at + 2..at + 4)) {
                    return (u16::from_be_bytes([code[0], code[1]]), began.elapsed());
                }
            }
            _ = ticks.tick() => peer.write_all(piece).await.unwrap(),
        }
    }
}
