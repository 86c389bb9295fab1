//! TLS: a certificate of one's own making, certificates that change, and peers that speak none.

use crate::support::client::{Client, Codec, connect};
use crate::support::server::{Server, own};
use crate::support::tls::{connector, read};
use crate::support::{raw, soon};
use kaiwa_signaling::edge::tls::{Certificates, Files};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

async fn dial_tls(
    server: &Server,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    let connector = connector(trusted, rustls::ALL_VERSIONS);
    soon(
        "a TLS handshake",
        connector.connect(name, raw::dial(server).await),
    )
    .await
}

/// A certificate and its key in this folder, replaced as a renewal does: whole, by renaming.
fn issue(folder: &Path) -> Files {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = Files {
        certificate: folder.join("c.pem"),
        key: folder.join("k.pem"),
    };
    for (path, text) in [
        (&files.key, made.signing_key.serialize_pem()),
        (&files.certificate, made.cert.pem()),
    ] {
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }
    files
}

#[tokio::test]
async fn a_certificate_made_at_the_first_start_serves_websockets_and_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let spec = || crate::support::server::Spec::new(data.path()).arg("--tls-self-signed");
    let server = spec().start();
    let trusted = read(&data.path().join("self-signed-certificate.pem"));
    let stream = dial_tls(&server, &trusted).await.unwrap();
    assert_eq!(
        stream.get_ref().1.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
    let url = format!("wss://localhost:{}/ws", server.port());
    let mut client = Client::over(stream, &url, Codec::Json).await;
    client.greet(connect(&server.token("alice"))).await;
    client.ok(json!({"roomList": {}})).await;
    drop((client, server));

    let server = spec().start();
    assert!(
        dial_tls(&server, &trusted).await.is_ok(),
        "the next start has the same one"
    );
    let name = ServerName::try_from("localhost").unwrap();
    let older = connector(&trusted, &[&version::TLS12]);
    assert!(
        older.connect(name, raw::dial(&server).await).await.is_ok(),
        "TLS 1.2 is spoken as well"
    );
}

#[tokio::test]
async fn who_speaks_no_tls_gets_no_answer_and_disturbs_nobody() {
    let server = own(|spec| spec.arg("--tls-self-signed"));
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        &[0xFF; 4096],
        &[0x16, 3, 1, 0xFF, 0xFF],
    ] {
        let mut stream = raw::dial(&server).await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut said)).await;
        assert!(!said.starts_with(b"HTTP"), "{said:?}");
    }
    let trusted = read(&server.data().join("self-signed-certificate.pem"));
    dial_tls(&server, &trusted).await.unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart_and_open_connections_stay() {
    let folder = tempfile::tempdir().unwrap();
    let files = issue(folder.path());
    let server = own(|spec| {
        let spec = spec
            .arg("--tls-certificate")
            .arg(files.certificate.to_str().unwrap());
        spec.arg("--tls-key").arg(files.key.to_str().unwrap())
    });
    let first = read(&files.certificate);
    let stream = dial_tls(&server, &first).await.unwrap();
    let url = format!("wss://localhost:{}/ws", server.port());
    let mut before = Client::over(stream, &url, Codec::Json).await;
    before.greet(connect(&server.token("alice"))).await;

    issue(folder.path());
    let second = read(&files.certificate);
    let renewed = async {
        let mut tries = tokio::time::interval(Duration::from_millis(200));
        loop {
            tries.tick().await;
            if dial_tls(&server, &second).await.is_ok() {
                return;
            }
        }
    };
    soon("the renewed certificate", renewed).await;
    assert!(
        dial_tls(&server, &first).await.is_err(),
        "the one before is no longer served"
    );
    before.ok(json!({"roomList": {}})).await;
}

#[test]
fn a_renewal_that_can_not_be_used_leaves_the_certificate_before_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let files = issue(folder.path());
    let certificates = Certificates::load(files.clone()).unwrap();
    assert!(!certificates.reload().unwrap(), "nothing changed");
    let touch = |path: &Path, text: &str, second: u64| {
        std::fs::write(path, text).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(second))
            .unwrap();
    };
    let good = std::fs::read_to_string(&files.certificate).unwrap();
    touch(&files.certificate, "half a certifi", 1);
    assert!(certificates.reload().is_err());
    let other = tempfile::tempdir().unwrap();
    let anothers = std::fs::read_to_string(issue(other.path()).certificate).unwrap();
    touch(&files.certificate, &anothers, 2);
    assert!(
        certificates.reload().is_err(),
        "the key is another certificate's"
    );
    touch(&files.certificate, &good, 3);
    assert!(certificates.reload().unwrap(), "it recovers by itself");
}

#[test]
fn certificates_that_can_not_be_read_are_named_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let spec = crate::support::server::Spec::new(data.path());
    let output = spec
        .arg("--tls-certificate")
        .arg("/nowhere/c.pem")
        .arg("--tls-key")
        .arg("/k")
        .run();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("/nowhere/c.pem") && !text.contains("panicked"),
        "{text}"
    );
}
