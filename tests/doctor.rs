//! `kaiwa doctor` against real servers, good and bad, and against what may stand before one.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "support/root.rs"]
mod support;

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use support::server::{BINARY, SharedServer, Spec, own, shared};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Media over the loopback at free ports.
fn with_media(spec: Spec) -> Spec {
    spec.with("KAIWA_CALLS__LISTEN", "[\"127.0.0.1:0\"]")
        .with("KAIWA_CALLS__LOOPBACK", true)
        .with("KAIWA_CALLS__SHARDS", 2)
}

/// What the doctor says.
struct Said {
    is_well: bool,
    checks: Vec<Value>,
    text: String,
}

impl Said {
    /// The findings of a check: status and text.
    fn of(&self, check: &str) -> Vec<(&str, &str)> {
        let found = self.checks.iter().filter(|one| one["check"] == check);
        found
            .map(|one| {
                (
                    one["status"].as_str().unwrap(),
                    one["text"].as_str().unwrap(),
                )
            })
            .collect()
    }

    /// Those statuses alone.
    fn statuses(&self, check: &str) -> Vec<&str> {
        self.of(check)
            .into_iter()
            .map(|(status, _)| status)
            .collect()
    }
}

async fn doctor(data: &Path, args: &[&str]) -> Said {
    let mut command = Command::new(BINARY);
    command
        .args(["doctor", "--json", "--data"])
        .arg(data)
        .args(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KAIWA_")) {
        command.env_remove(name);
    }
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let json: Value = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(json["ok"] == true, output.status.success(), "{text}");
    Said {
        is_well: output.status.success(),
        checks: json["checks"].as_array().unwrap().clone(),
        text,
    }
}

fn url(server: &SharedServer) -> String {
    format!("http://{}", server.address)
}

#[tokio::test]
async fn a_server_that_is_reached_by_udp_and_tcp_is_well() {
    let server = own(with_media);
    let listen = server.address.to_string();
    for args in [vec!["--listen", &listen], vec!["--url", &url(&server)]] {
        let said = doctor(server.data(), &args).await;
        assert!(said.is_well, "{}", said.text);
        for check in ["HTTP", "clock", "WebSocket", "media UDP", "media TCP"] {
            assert_eq!(said.statuses(check), ["OK"], "{check}: {}", said.text);
        }
    }
    let said = doctor(server.data(), &["--listen", &listen]).await;
    assert_eq!(said.statuses("data folder"), ["OK"], "{}", said.text);
    assert_eq!(
        said.statuses("addresses"),
        ["WARN"],
        "loopback alone: {}",
        said.text
    );
}

#[tokio::test]
async fn an_advertised_address_that_leads_nowhere_is_found() {
    let server = own(|spec| with_media(spec).arg("--advertise").arg("127.0.0.9"));
    let said = doctor(server.data(), &["--url", &url(&server)]).await;
    assert!(!said.is_well);
    assert_eq!(said.statuses("media UDP"), ["FAIL"], "{}", said.text);
    let (_, text) = said.of("media UDP")[0];
    assert!(text.starts_with("127.0.0.9:"), "{text}");
}

#[tokio::test]
async fn where_nobody_answers_is_said_and_before_the_first_start_all_is_well() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let taken = doctor(data.path(), &["--listen", &address]).await;
    assert_eq!(
        taken.statuses("HTTP"),
        ["FAIL"],
        "somebody else has it: {}",
        taken.text
    );
    drop(free);
    let gone = doctor(data.path(), &["--url", &format!("http://{address}")]).await;
    assert!(!gone.is_well);
    assert_eq!(gone.statuses("HTTP"), ["FAIL"], "{}", gone.text);
    let first = doctor(
        data.path(),
        &["--listen", &address, "--media-bind", "127.0.0.1:0"],
    )
    .await;
    assert_eq!(first.statuses("HTTP"), ["OK"], "{}", first.text);
}

#[tokio::test]
async fn a_certificate_that_others_do_not_trust_is_found_and_no_token_is_told_there() {
    let server = own(|spec| with_media(spec).arg("--tls-self-signed"));
    let url = format!("https://localhost:{}", server.port());
    let known = doctor(server.data(), &["--url", &url]).await;
    assert_eq!(
        known.statuses("TLS"),
        ["OK"],
        "it is its own: {}",
        known.text
    );
    assert_eq!(known.statuses("media UDP"), ["OK"], "{}", known.text);
    let elsewhere = tempfile::tempdir().unwrap();
    let strange = doctor(elsewhere.path(), &["--url", &url]).await;
    assert!(!strange.is_well);
    assert_eq!(strange.statuses("TLS"), ["FAIL"], "{}", strange.text);
    assert_eq!(strange.statuses("media"), ["WARN"], "{}", strange.text);
    assert!(strange.of("media UDP").is_empty());
}

/// Stands between, and leads whoever comes later to somebody else.
#[tokio::test]
async fn whoever_shows_another_certificate_to_the_request_with_the_token_is_not_told_it() {
    let [server, other] = [(); 2].map(|()| own(|spec| with_media(spec).arg("--tls-self-signed")));
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let ports = [server.port(), server.port(), other.port()];
    let relay = tokio::spawn(async move {
        // What is public, the upgrade, and the token.
        for port in ports {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut upstream = TcpStream::connect(("localhost", port)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
        }
    });
    let said = doctor(server.data(), &["--url", &url]).await;
    relay.await.unwrap();
    assert_eq!(said.statuses("TLS"), ["OK"], "{}", said.text);
    let [(status, text)] = said.of("token")[..] else {
        panic!("{}", said.text);
    };
    assert_eq!(status, "FAIL");
    assert!(text.contains("certificate"), "{text}");
}

/// Stands before a server, and changes what passes.
async fn before(
    server: std::net::SocketAddr,
    asked: fn(&str) -> String,
    answered: fn(&str) -> String,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut bytes = vec![0; 8_192];
            let len = client.read(&mut bytes).await.unwrap();
            let request = asked(std::str::from_utf8(&bytes[..len]).unwrap());
            let mut upstream = TcpStream::connect(server).await.unwrap();
            upstream.write_all(request.as_bytes()).await.unwrap();
            let len = upstream.read(&mut bytes).await.unwrap();
            let answer = answered(std::str::from_utf8(&bytes[..len]).unwrap());
            // A doctor who has seen enough may have gone.
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

fn as_it_is(text: &str) -> String {
    text.to_owned()
}

#[tokio::test]
async fn a_proxy_that_drops_the_upgrade_is_found() {
    let server = shared();
    let without = |text: &str| {
        let lines = text.split_inclusive("\r\n");
        let kept = lines.filter(|line| !line.starts_with("Upgrade:"));
        kept.collect::<String>()
            .replace("Connection: Upgrade", "Connection: close")
    };
    let url = before(server.address, without, as_it_is).await;
    let said = doctor(server.data(), &["--url", &url]).await;
    assert!(!said.is_well);
    assert_eq!(said.statuses("HTTP"), ["OK"], "{}", said.text);
    assert_eq!(said.statuses("WebSocket"), ["FAIL"], "{}", said.text);
}

#[tokio::test]
async fn a_clock_that_is_off_is_found() {
    let server = shared();
    let aged = |text: &str| {
        let lines = text.split_inclusive("\r\n").map(|line| {
            if line.to_ascii_lowercase().starts_with("date:") {
                "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            } else {
                line
            }
        });
        lines.collect()
    };
    let url = before(server.address, as_it_is, aged).await;
    let said = doctor(server.data(), &["--url", &url]).await;
    assert!(!said.is_well);
    assert_eq!(said.statuses("clock"), ["FAIL"], "{}", said.text);
}
