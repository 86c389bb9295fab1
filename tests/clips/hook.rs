//! The external permission hook: another system over HTTPS, which is asked after the room's rules and can only take away.

use crate::person::Person;
use crate::support::client::Client;
use crate::support::http::Answer;
use crate::support::scene::subscribe;
use crate::support::secret;
use crate::support::server::{Server, Spec};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What the server shows it.
pub(crate) const HOOK_SECRET: &str = "what-only-we-two-know";

/// The other system. What it says depends on the person alone, by what they are called.
pub(crate) struct Lms {
    address: SocketAddr,
    certificate: String,
    /// Each question: its request line and its `authorization`.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Lms {
    pub(crate) async fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lms = Self {
            address: listener.local_addr().unwrap(),
            certificate: made.cert.pem(),
            asked: Arc::default(),
        };
        let (asked, tls) = (Arc::clone(&lms.asked), TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, tls.clone(), Arc::clone(&asked)));
            }
        });
        lms
    }

    pub(crate) fn spec(&self, folder: &Path) -> Spec {
        let file = |name: &str| folder.join(name);
        std::fs::write(file("ca.pem"), &self.certificate).unwrap();
        secret(&file("hook"), HOOK_SECRET);
        let url = format!("https://{}/may/{{permission}}", self.address);
        let allowed = json!([self.address.to_string()]);
        Spec::new(&file("data"))
            .with("KAIWA_CLIPS__PERMISSION_HOOK__URL", json!(url))
            .with(
                "KAIWA_CLIPS__PERMISSION_HOOK__SECRET_FILE",
                file("hook").display(),
            )
            .with(
                "KAIWA_CLIPS__PERMISSION_HOOK__EXTRA_CA",
                file("ca.pem").display(),
            )
            .with("KAIWA_CLIPS__PERMISSION_HOOK__ALLOWED_PRIVATE", allowed)
    }

    /// Lines of the questions that have this in them.
    fn asked(&self, what: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let lines = asked.iter().map(|(line, _)| line.clone());
        lines.filter(|line| line.contains(what)).collect()
    }
}

/// One question of a connection.
async fn answer(stream: TcpStream, tls: TlsAcceptor, asked: Arc<Mutex<Vec<(String, String)>>>) {
    let mut stream = tls.accept(stream).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut read).await.unwrap() == 0 {
            return;
        }
    }
    let head = String::from_utf8(read).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let secret = head
        .lines()
        .find_map(|line| line.strip_prefix("authorization: "));
    let secret = secret.unwrap_or_default().to_owned();
    asked.lock().unwrap().push((line.clone(), secret));
    let says = |what: &str| line.contains(&format!("user={what}&"));
    let answer = if says("denied") {
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nyes"
    } else if says("hidden") {
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    } else if says("moved") {
        "HTTP/1.1 302 Found\r\nLocation: /yes\r\nContent-Length: 0\r\n\r\n"
    } else if says("broken") {
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    } else if says("garbled") {
        "200 OK, yes they may\r\n\r\n"
    } else if says("silent") {
        // Until the caller goes.
        let _ = stream.read_buf(&mut Vec::new()).await;
        return;
    } else {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"
    };
    // Whoever asked may be gone.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Everybody's public room, and who is in it by now.
async fn room_of(server: &Server, members: &[&str]) -> String {
    let mut owner = Client::connect(server, "owner").await;
    let room = json!({"cid": crate::support::cid(), "kind": "ROOM_KIND_GROUP", "title": "films",
        "visibility": "VISIBILITY_PUBLIC"});
    let room = owner.ok(json!({"roomCreate": room})).await;
    let room = room["room"].as_str().unwrap().to_owned();
    for member in members {
        let mut client = Client::connect(server, member).await;
        client.ok(json!({"roomJoin": {"room": room}})).await;
        client.ok(subscribe(&room)).await;
    }
    room
}

fn reason(answer: &Answer) -> String {
    answer.json()["error"]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_takes_away_what_the_room_gives_and_without_an_answer_nobody_may() {
    let people = [
        ("allowed", 200, ""),
        ("denied", 403, "PERMISSION_DENIED"),
        ("hidden", 404, "NOT_FOUND"),
        ("moved", 503, "UNAVAILABLE"),
        ("broken", 503, "UNAVAILABLE"),
        ("garbled", 503, "UNAVAILABLE"),
        ("silent", 503, "UNAVAILABLE"),
    ];
    let lms = Lms::new().await;
    let folder = tempfile::tempdir().unwrap();
    let server = lms.spec(folder.path()).start();
    let room = room_of(&server, &people.map(|(name, ..)| name)).await;
    let new = json!({"roomId": room, "share": true,
        "declared": {"name": "film.mp4", "size": "1", "contentType": "video/mp4"}});
    for (name, status, told) in people {
        let person = Person::new(&server, name);
        let line = format!("GET /api/v1/clips?roomId={room}");
        let listed = person.ask(&line, None);
        let made = person.ask("POST /api/v1/clips", Some(new.clone()));
        let (listed, made) = tokio::join!(listed, made);
        let made_is = if status == 200 { 201 } else { status };
        assert_eq!((listed.status, made.status), (status, made_is), "{name}");
        for answer in [&listed, &made] {
            assert_eq!(reason(answer), told, "{name}");
            if status == 503 {
                assert!(answer.body.contains("permission hook"), "{answer:?}");
                assert!(!answer.body.contains("127.0.0.1"), "{answer:?}");
            }
        }
        for permission in ["clips.view", "clips.upload"] {
            let line = format!("GET /may/{permission}?user={name}&room={room} HTTP/1.1");
            assert!(!lms.asked(&line).is_empty(), "{line}");
        }
    }
    assert!(
        lms.asked("/yes").is_empty(),
        "it does not go where it is sent"
    );
    // The room's no is a no already: nobody is asked about outsiders.
    let mallory = Person::new(&server, "mallory");
    let line = format!("GET /api/v1/clips?roomId={room}");
    let listed = mallory.ask(&line, None).await;
    assert_eq!((listed.status, lms.asked("mallory").len()), (403, 0));
    let asked = lms.asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .all(|(_, secret)| secret == &format!("Bearer {HOOK_SECRET}"))
    );
}
