//! The gRPC port: where it is, its health, and what an operator is told when it is taken.

use crate::rpc::Rpc;
use crate::support::raw::dial_at;
use crate::support::server::{Spec, own};
use crate::support::soon;
use crate::support::tls::{connector, read, speaking};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Waits until `grpc.health.v1.Health/Check` says of the whole server that it serves: 1 in field 1. It begins with not
/// serving, until the store has answered.
async fn serving(rpc: &mut Rpc) {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
    let serving = async {
        loop {
            ticks.tick().await;
            let mut answer = rpc
                .send("grpc.health.v1.Health/Check", &[], &[])
                .await
                .unwrap();
            if answer.next_bytes().await.unwrap().as_deref() == Some(&[8, 1]) {
                return;
            }
        }
    };
    soon("health", serving).await;
}

#[tokio::test]
async fn grpc_says_that_it_serves() {
    let data = tempfile::tempdir().unwrap();
    let server = Spec::new(data.path()).start();
    serving(&mut Rpc::connect(&server).await).await;
}

#[tokio::test]
async fn grpc_has_the_edges_certificate_and_says_nothing_to_who_speaks_no_tls() {
    let server = own(|spec| spec.arg("--tls-self-signed"));
    let trusted = read(&server.data().join("self-signed-certificate.pem"));
    let dial = async |protocols: &[&str]| {
        let connector = speaking(connector(&trusted, rustls::ALL_VERSIONS), protocols);
        let name = ServerName::try_from("localhost").unwrap();
        soon(
            "a TLS handshake",
            connector.connect(name, dial_at(server.grpc()).await),
        )
        .await
    };
    let stream = dial(&["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut before = Rpc::over(stream).await.unwrap();
    serving(&mut before).await;
    assert!(
        dial(&["http/1.1"]).await.is_err(),
        "another protocol is none of it"
    );

    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
        b"POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0xFF; 4096],
    ] {
        let mut stream = dial_at(server.grpc()).await;
        stream.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut said)).await;
        // At most an alert of TLS (RFC 8446, section 6): 7 bytes of type 21.
        assert!(
            said.is_empty() || (said.len() == 7 && said[0] == 21),
            "{said:?}"
        );
    }
    serving(&mut before).await;
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
