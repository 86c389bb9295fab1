//! Media on the port of HTTP: told from it by its first byte, in TLS too, and neither is harmed by the other.

use super::person::{Over, Pair};
use super::{server, with_media};
use crate::support::raw::dial;
use crate::support::scene::Scene;
use crate::support::server::{Server, own};
use crate::support::soon;
use kaiwa_sfu::wire::framing::length_of;
use kaiwa_sfu::wire::stun::{BindingRequest, IntegrityKey, Role, TransactionId, write_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A check for nobody, framed.
fn stray_check() -> Vec<u8> {
    let request = BindingRequest {
        transaction: TransactionId([7; 12]),
        username: "AAAAAAAA:them",
        priority: 1,
        role: Role::Controlling(7),
        use_candidate: true,
    };
    let mut message = Vec::new();
    write_request(&mut message, &request, &IntegrityKey::new("nobody's"));
    [&length_of(message.len())[..], &message].concat()
}

/// What is said until the server hangs up.
async fn answer(server: &Server, say: &[u8]) -> Vec<u8> {
    let mut stream = dial(server).await;
    stream.write_all(say).await.unwrap();
    let mut said = Vec::new();
    let _ = soon("the server to hang up", stream.read_to_end(&mut said)).await;
    said
}

#[tokio::test]
async fn a_call_by_tcp_on_the_port_of_http_goes_on_beside_what_is_neither() {
    let mut scene = Scene::on(server()).await;
    let mut pair = Pair::begin_over(&scene, Over::Tcp).await;
    let at = pair.alice.media.server_tcp();
    assert_eq!(at, Some(scene.server.address), "it is the port of HTTP");
    pair.goes_on(20).await;
    let head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for (say, is_http) in [
        (&stray_check()[..], false),
        (&[0; 64], false),
        (&[7, 0xff, 1, 2, 3], false),
        (head, true),
    ] {
        let said = answer(&scene.server, say).await;
        assert_eq!(said.starts_with(b"HTTP/1.1 200"), is_http, "{say:?}");
        assert!(is_http || said.is_empty(), "{said:?}");
        pair.goes_on(5).await;
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn in_tls_too_media_is_told_by_its_first_byte() {
    let server = own(|spec| with_media(spec).arg("--tls-self-signed"));
    let media = answer(&server, &stray_check()).await;
    assert_eq!(media, b"", "who takes media says nothing to a stranger");
    // TLS says what it does not like.
    let hello = [0x16, 0x03, 0x01, 0x00, 0x04, 0xff, 0, 0, 0];
    assert_eq!(answer(&server, &hello).await.first(), Some(&0x15));
    assert_eq!(
        answer(&server, b"GET / HTTP/1.1").await.first(),
        Some(&0x15)
    );
}
