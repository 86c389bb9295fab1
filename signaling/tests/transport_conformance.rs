//! One suite that every transport passes: what `Connection` promises to the layers above.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use kaiwa_signaling::transport::memory::{self, MemoryConfig, MemoryPeer, Seen};
use kaiwa_signaling::transport::websocket::{WebSocket, WebSocketConfig};
use kaiwa_signaling::transport::{Connection, Format, Frame, RecvError};
use std::future::poll_fn;
use std::task::Poll;
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const FRAME_BYTES: usize = 2_000;
const WINDOW_BYTES: usize = 4_096;

/// The peer's end of any transport.
enum Peer {
    Memory(MemoryPeer),
    WebSocket(Box<WebSocketStream<DuplexStream>>),
}

impl Peer {
    async fn send(&mut self, format: Format, payload: &[u8]) {
        match self {
            Self::Memory(peer) => peer.send(format, payload.to_vec()),
            Self::WebSocket(peer) => {
                let message = match format {
                    Format::Text => {
                        Message::text(String::from_utf8(payload.to_vec()).expect("UTF-8"))
                    }
                    Format::Binary => Message::binary(payload.to_vec()),
                };
                peer.send(message).await.expect("the other end reads");
            }
        }
    }

    async fn next(&mut self) -> Seen {
        match self {
            Self::Memory(peer) => peer.next().await,
            Self::WebSocket(peer) => match peer.next().await {
                Some(Ok(Message::Text(text))) => {
                    Seen::Frame(Bytes::copy_from_slice(text.as_bytes()))
                }
                Some(Ok(Message::Binary(bytes))) => Seen::Frame(bytes),
                Some(Ok(Message::Close(Some(close)))) => {
                    Seen::Closed(close.code.into(), close.reason.to_string())
                }
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => Seen::Lost,
            },
        }
    }

    async fn close(&mut self) {
        match self {
            Self::Memory(peer) => peer.close(),
            Self::WebSocket(peer) => peer.close().await.expect("the other end reads"),
        }
    }

    fn cut(self) {
        match self {
            Self::Memory(peer) => peer.cut(),
            Self::WebSocket(peer) => drop(peer),
        }
    }
}

/// Runs a check on every transport.
async fn on_each<F: Future<Output = ()>>(check: impl Fn(Box<dyn Connection>, Peer) -> F) {
    let config = MemoryConfig {
        format: Format::Text,
        frame_bytes: FRAME_BYTES,
        window_bytes: WINDOW_BYTES,
    };
    let (connection, peer) = memory::pair(config);
    check(Box::new(connection), Peer::Memory(peer)).await;

    let (ours, theirs) = tokio::io::duplex(WINDOW_BYTES);
    let config = WebSocketConfig {
        format: Some(Format::Text),
        frame_bytes: FRAME_BYTES,
    };
    let peer = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
    check(
        Box::new(WebSocket::new(ours, config, &[])),
        Peer::WebSocket(Box::new(peer)),
    )
    .await;
}

async fn recv(connection: &mut Box<dyn Connection>) -> Result<Option<Bytes>, RecvError> {
    poll_fn(|cx| connection.poll_recv(cx)).await
}

async fn flush(connection: &mut Box<dyn Connection>) -> std::io::Result<()> {
    poll_fn(|cx| connection.poll_flush(cx)).await
}

fn frame(payload: &str) -> Frame {
    Frame::new(Format::Text, payload.as_bytes())
}

#[tokio::test]
async fn frames_arrive_whole_in_order_and_once_in_both_directions() {
    on_each(|mut connection, mut peer| async move {
        for number in 0..100 {
            let text = format!("{number}:{}", "会話".repeat(number));
            peer.send(Format::Text, text.as_bytes()).await;
            let got = recv(&mut connection)
                .await
                .expect("a frame")
                .expect("not the end");
            assert_eq!(got, text.as_bytes());
            connection.send(&frame(&text));
            flush(&mut connection).await.expect("the peer reads");
            assert_eq!(peer.next().await, Seen::Frame(got));
        }
        assert!(!connection.is_mid_frame());
    })
    .await;
}

#[tokio::test]
async fn what_is_queued_waits_for_a_slow_reader_and_is_accounted_for() {
    on_each(|mut connection, mut peer| async move {
        let payload = "x".repeat(1_000);
        for _ in 0..10 {
            connection.send(&frame(&payload));
        }
        let queued = connection.queued_bytes();
        assert!(queued >= 10_000, "{queued}");
        let stuck = poll_fn(|cx| Poll::Ready(connection.poll_flush(cx).is_pending())).await;
        assert!(stuck, "the window is smaller than what is queued");
        assert!(connection.queued_bytes() < queued);
        let mut written = connection.written_bytes();
        for _ in 0..10 {
            assert_eq!(peer.next().await, Seen::Frame(Bytes::from(payload.clone())));
            let _ = poll_fn(|cx| Poll::Ready(connection.poll_flush(cx))).await;
            assert!(
                connection.written_bytes() >= written,
                "progress never shrinks"
            );
            written = connection.written_bytes();
        }
        assert_eq!(connection.queued_bytes(), 0);
    })
    .await;
}

#[tokio::test]
async fn our_close_comes_after_what_is_queued_with_its_code_and_reason() {
    on_each(|mut connection, mut peer| async move {
        connection.send(&frame("last words"));
        connection.close(4000, "drain");
        let server = tokio::spawn(async move {
            poll_fn(|cx| connection.poll_closed(cx)).await;
        });
        assert_eq!(
            peer.next().await,
            Seen::Frame(Bytes::from_static(b"last words"))
        );
        assert_eq!(peer.next().await, Seen::Closed(4000, "drain".to_owned()));
        if let Peer::Memory(peer) = &peer {
            peer.close();
        } else {
            // The library answers our close by itself when it is polled.
            peer.next().await;
        }
        server.await.expect("it ends");
    })
    .await;
}

#[tokio::test]
async fn the_peers_orderly_end_is_told_once_after_its_frames() {
    on_each(|mut connection, mut peer| async move {
        peer.send(Format::Text, b"bye").await;
        peer.close().await;
        assert_eq!(
            recv(&mut connection)
                .await
                .expect("a frame")
                .expect("not yet"),
            "bye"
        );
        assert!(
            recv(&mut connection)
                .await
                .expect("an orderly end")
                .is_none()
        );
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_is_an_error_to_reader_and_writer() {
    on_each(|mut connection, peer| async move {
        peer.cut();
        assert!(matches!(
            recv(&mut connection).await,
            Err(RecvError::Lost(_))
        ));
        connection.send(&frame("anybody?"));
        assert!(flush(&mut connection).await.is_err());
        poll_fn(|cx| connection.poll_closed(cx)).await;
    })
    .await;
}

#[tokio::test]
async fn a_frame_at_the_bound_passes_and_a_larger_one_is_refused() {
    on_each(|mut connection, mut peer| async move {
        peer.send(Format::Text, &[b'x'; FRAME_BYTES]).await;
        let frame = recv(&mut connection)
            .await
            .expect("a frame")
            .expect("not the end");
        assert_eq!(frame.len(), FRAME_BYTES);
        peer.send(Format::Text, &[b'x'; FRAME_BYTES + 1]).await;
        let error = recv(&mut connection).await.expect_err("too large");
        assert!(
            matches!(error, RecvError::TooLarge { limit: FRAME_BYTES }),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_frame_of_the_other_format_is_refused() {
    on_each(|mut connection, mut peer| async move {
        peer.send(Format::Binary, b"{}").await;
        let error = recv(&mut connection).await.expect_err("the wrong format");
        assert!(matches!(error, RecvError::WrongFormat), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn after_a_refused_frame_the_close_arrives_and_the_end_is_reached_without_an_answer() {
    on_each(|mut connection, mut peer| async move {
        peer.send(Format::Binary, &[7; 50]).await;
        recv(&mut connection).await.expect_err("the wrong format");
        connection.close(4302, "protocol_error");
        let server = tokio::spawn(async move {
            poll_fn(|cx| connection.poll_closed(cx)).await;
        });
        assert_eq!(
            peer.next().await,
            Seen::Closed(4302, "protocol_error".to_owned())
        );
        peer.cut();
        server.await.expect("it ends");
    })
    .await;
}
