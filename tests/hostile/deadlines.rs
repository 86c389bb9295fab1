//! Peers that begin something and don't end it, where ten seconds are the deadline: waited for, all at
//! once.

use crate::support::client::{Client, Codec};
use crate::support::http::parse;
use crate::support::raw::{Heard, PING, Raw, dial};
use crate::support::scene::Scene;
use crate::support::server::{Server, own, shared};
use crate::support::soon;
use kaiwa_common::limits::{CONNECT, HTTP_HEADER, TLS_HANDSHAKE};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

#[tokio::test]
async fn what_is_begun_and_not_ended_is_cut_off_after_ten_seconds_and_serves_nobody_worse() {
    let mut scene = Scene::new().await;
    let server = shared();
    let in_tls = own(|spec| spec.arg("--tls-self-signed"));
    tokio::join!(
        half_a_head(&server),
        not_a_byte(&server),
        half_a_body(&server),
        no_second_request(&server),
        half_a_tls_handshake(&in_tls),
        no_connect(&server),
        pings_and_no_connect(&server),
    );
    scene.is_unharmed().await;
}

async fn half_a_head(server: &Server) {
    let head = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let (said, waited) = until_hung_up(server, head).await;
    assert!(is_about(waited, HTTP_HEADER), "an HTTP head: {waited:?}");
    assert!(said.is_empty() || parse(&said).status == 408);
}

async fn not_a_byte(server: &Server) {
    let (said, waited) = until_hung_up(server, b"").await;
    assert!(is_about(waited, HTTP_HEADER), "not a byte: {waited:?}");
    assert!(said.is_empty() || parse(&said).status == 408);
}

async fn half_a_body(server: &Server) {
    let head = "POST /api/v1/sign-in HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let (_, waited) = until_hung_up(server, head.as_bytes()).await;
    assert!(waited < Duration::from_secs(15), "an HTTP body: {waited:?}");
}

async fn no_second_request(server: &Server) {
    let first = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (said, waited) = until_hung_up(server, first).await;
    assert_eq!(parse(&said).status, 200);
    assert!(
        is_about(waited, HTTP_HEADER),
        "a second request: {waited:?}"
    );
}

async fn half_a_tls_handshake(server: &Server) {
    // The beginning of a ClientHello's record.
    let (_, waited) = until_hung_up(server, &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    assert!(
        is_about(waited, TLS_HANDSHAKE),
        "a TLS handshake: {waited:?}"
    );
}

async fn no_connect(server: &Server) {
    let began = Instant::now();
    let mut client = Client::open(server, Codec::Json).await;
    client.closed_with(4005).await;
    assert!(
        is_about(began.elapsed(), CONNECT),
        "no Connect: {:?}",
        began.elapsed()
    );
}

/// Alive by WebSocket's own pings, and nobody all the same.
async fn pings_and_no_connect(server: &Server) {
    let began = Instant::now();
    let mut raw = Raw::open(server, Codec::Json).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let end = loop {
        tokio::select! {
            heard = raw.next() => match heard {
                Heard::Pong(_) | Heard::Message(_) => continue,
                end => break end,
            },
            _ = ticks.tick() => {}
        }
        if began.elapsed() < CONNECT {
            raw.frame(PING, b"").await;
        }
    };
    assert_eq!(end, Heard::Close(Some(4005)));
    assert!(
        is_about(began.elapsed(), CONNECT),
        "pings only: {:?}",
        began.elapsed()
    );
}

/// Says this and reads until the server hangs up; gives what it said and after how long.
async fn until_hung_up(server: &Server, say: &[u8]) -> (Vec<u8>, Duration) {
    let mut stream: TcpStream = dial(server).await;
    stream.write_all(say).await.unwrap();
    let (began, mut said) = (Instant::now(), Vec::new());
    let _ = soon("the server to hang up", stream.read_to_end(&mut said)).await;
    (said, began.elapsed())
}

/// At the deadline, on a machine that does other things as well.
pub(crate) fn is_about(waited: Duration, deadline: Duration) -> bool {
    waited >= deadline - Duration::from_millis(500) && waited < deadline + Duration::from_secs(3)
}
