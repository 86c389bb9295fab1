//! The gRPC port: where it is, its health, and what an operator is told when it is taken.

use crate::support::server::Spec;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// `grpc.health.v1.Health/Check` of the whole server: an empty request, and the answer's bytes.
async fn health(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Vec<u8> {
    let (mut calls, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post("http://kaiwa/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(&[0; 5])));
    let answer = calls.send_request(request.unwrap()).await.unwrap();
    answer
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .to_vec()
}

/// Serving (1) in field 1, in a frame of two bytes.
const SERVING: [u8; 7] = [0, 0, 0, 0, 2, 8, 1];

#[tokio::test]
async fn grpc_says_that_it_serves() {
    let data = tempfile::tempdir().unwrap();
    let server = Spec::new(data.path()).start();
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    // It begins with not serving, until the store has answered.
    crate::support::soon("health", async {
        loop {
            ticks.tick().await;
            if health(TcpStream::connect(server.grpc()).await.unwrap()).await == SERVING {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let data = tempfile::tempdir().unwrap();
    let spec = Spec::new(data.path()).with("KAIWA_CLIPS__GRPC_LISTEN", address);
    let output = spec.run();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains(&address.to_string()), "{complaint}");
    assert!(complaint.contains("clips.grpc_listen"), "{complaint}");
}

#[tokio::test]
async fn grpc_can_be_off() {
    let data = tempfile::tempdir().unwrap();
    let server = Spec::new(data.path())
        .with("KAIWA_CLIPS__GRPC_LISTEN", "off")
        .start();
    assert!(server.announced("clips").ends_with("gRPC off"));
}
