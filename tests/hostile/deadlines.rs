//! Peers that begin something and don't end it. Deadlines of ten seconds are waited for, all at once;
//! those of half a minute run on paused time, over the WebSocket code and a stream in memory.

use crate::support::client::{Client, Codec};
use crate::support::http::parse;
use crate::support::raw::{Heard, Raw, TEXT_BEGINS, dial, header, masked};
use crate::support::scene::Scene;
use crate::support::server::{own, shared};
use crate::support::soon;
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::bus::Bus;
use kaiwa_chat::service::{Chat, ChatOptions};
use kaiwa_common::limits::{CONNECT, FRAME, HTTP_HEADER, Limits, PING_INTERVAL, PONG_GRACE};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::TokenKey;
use kaiwa_signaling::hub::Hub;
use kaiwa_signaling::metrics::Metrics;
use kaiwa_signaling::session::registry::Sessions;
use kaiwa_signaling::session::{Context, driver};
use kaiwa_signaling::transport::Format;
use kaiwa_signaling::transport::websocket::{WebSocket, WebSocketConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Reads until the server hangs up; gives what it said and after how long.
async fn until_hung_up(mut stream: TcpStream) -> (Vec<u8>, Duration) {
    let (began, mut said) = (Instant::now(), Vec::new());
    let _ = soon("the server to hang up", stream.read_to_end(&mut said)).await;
    (said, began.elapsed())
}

fn is_about(waited: Duration, deadline: Duration) -> bool {
    waited >= deadline - Duration::from_millis(500) && waited < deadline + Duration::from_secs(3)
}

#[tokio::test]
async fn what_is_begun_and_not_ended_is_cut_off_after_ten_seconds_and_serves_nobody_worse() {
    let mut scene = Scene::new().await;
    let server = shared();
    let in_tls = own(|spec| spec.arg("--tls-self-signed"));
    let head = async {
        let mut stream = dial(&server).await;
        stream
            .write_all(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            .await
            .unwrap();
        let (said, waited) = until_hung_up(stream).await;
        assert!(is_about(waited, HTTP_HEADER), "an HTTP head: {waited:?}");
        assert!(said.is_empty() || parse(&said).status == 408);
    };
    let silence = async {
        let (said, waited) = until_hung_up(dial(&server).await).await;
        assert!(is_about(waited, HTTP_HEADER), "not a byte: {waited:?}");
        assert!(said.is_empty() || parse(&said).status == 408);
    };
    let body = async {
        let mut stream = dial(&server).await;
        let head = "POST /api/v1/sign-in HTTP/1.1\r\nHost: localhost\r\n\
            Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        let (_, waited) = until_hung_up(stream).await;
        assert!(waited < Duration::from_secs(15), "an HTTP body: {waited:?}");
    };
    let next_request = async {
        let mut stream = dial(&server).await;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let (said, waited) = until_hung_up(stream).await;
        assert_eq!(parse(&said).status, 200);
        assert!(
            is_about(waited, HTTP_HEADER),
            "a second request: {waited:?}"
        );
    };
    let tls = async {
        let mut stream = dial(&in_tls).await;
        // The beginning of a ClientHello's record.
        stream
            .write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
            .await
            .unwrap();
        let (_, waited) = until_hung_up(stream).await;
        assert!(
            is_about(waited, Duration::from_secs(10)),
            "a TLS handshake: {waited:?}"
        );
    };
    let connect = async {
        let began = Instant::now();
        let mut client = Client::open(&server, Codec::Json).await;
        client.closed_with(4005).await;
        assert!(
            is_about(began.elapsed(), CONNECT),
            "no Connect: {:?}",
            began.elapsed()
        );
    };
    let trickle = async {
        // Alive by WebSocket's own pings, and a frame that does not end: still nobody.
        let began = Instant::now();
        let mut raw = Raw::open(&server, Codec::Json).await;
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        let end = loop {
            tokio::select! {
                heard = raw.next() => match heard {
                    Heard::Pong(_) | Heard::Message(_) => {}
                    end => break end,
                },
                _ = ticks.tick() => {}
            }
            if began.elapsed() < CONNECT {
                raw.frame(0x89, b"").await;
            }
        };
        assert_eq!(end, Heard::Close(Some(4005)));
        assert!(
            is_about(began.elapsed(), CONNECT),
            "pings only: {:?}",
            began.elapsed()
        );
    };
    tokio::join!(head, silence, body, next_request, tls, connect, trickle);
    scene.is_unharmed().await;
}

/// A server without sockets, its clock paused.
fn context() -> Arc<Context> {
    let limits = Limits::default();
    let metrics = Metrics::new();
    let sessions = Arc::new(Sessions::new(limits.clone()));
    let hub = Arc::new(Hub::new(Arc::clone(&sessions), metrics.clone()));
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
        sessions,
        tokens: TokenKey::hs256(&secret, "kaiwa", None).expect("32 bytes"),
        limits,
        node: "test".to_owned(),
        now: UnixMs::now,
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
    tokio::spawn(driver::serve(
        socket,
        kaiwa_signaling::codec::Codec::Json,
        context(),
    ));
    let token = crate::support::token::Key::foreign().token("slow", 3600);
    let mut connect = crate::support::client::connect(&token);
    connect["id"] = 1.into();
    let connect = connect.to_string();
    peer.write_all(&masked(0x81, connect.as_bytes()))
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

#[tokio::test(start_paused = true)]
async fn a_frame_that_trickles_is_cut_off_after_its_time() {
    // Four spaces, masked.
    let piece = &masked(0x81, b"    ")[6..];
    let (code, waited) = trickle(&header(0x81, 60_000), piece, Duration::from_millis(900)).await;
    assert_eq!(code, 4005);
    assert!(is_about(waited, FRAME), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn fragments_that_trickle_are_cut_off_as_one_frame_is_and_pings_between_change_nothing() {
    let piece = [masked(0x00, b" "), masked(0x89, b"ping")].concat();
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
    let (code, waited) = trickle(&[], &masked(0x8A, b""), Duration::from_secs(3)).await;
    assert_eq!(code, 4003);
    assert!(is_about(waited, PING_INTERVAL + PONG_GRACE), "{waited:?}");
}
