//! Who is told of a clip: that it is ready, by one push, who is away; that it can never be played, its uploader by a push
//! and operators in Slack.

use crate::person::{Person, brief};
use crate::support::client::Client;
use crate::support::scene::subscribe;
use crate::support::server::{Server, Spec};
use crate::support::{cid, secret};
use kaiwa_provider_doubles::{Delivery, Double, Kind, Options};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;

/// A Web Push service and Slack, and the folder of the server beside them.
struct Doubles {
    folder: tempfile::TempDir,
    push: Double,
    slack: Double,
}

impl Doubles {
    async fn new() -> Self {
        let start = async |kind| Double::start(Options::new(kind)).await.unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            push: start(Kind::Webpush).await,
            slack: start(Kind::Slack).await,
        }
    }

    fn spec(&self) -> Spec {
        let file = |name: &str| self.folder.path().join(name);
        let authorities = [self.push.ca_pem(), self.slack.ca_pem()].concat();
        std::fs::write(file("ca.pem"), authorities).unwrap();
        let url = self.slack.credentials()["url"].clone();
        secret(&file("slack"), url.as_str().unwrap());
        let allowed = [&self.push, &self.slack].map(|double| double.address().to_string());
        Spec::new(&file("data"))
            .with("KAIWA_PUSH__SUBJECT", "mailto:ops@example.org")
            .with("KAIWA_PUSH__ALLOWED_PRIVATE", json!(allowed))
            .with("KAIWA_PUSH__EXTRA_CA", file("ca.pem").display())
            .with("KAIWA_PUSH__SLACK__WEBHOOK_FILE", file("slack").display())
    }
}

/// Somebody with a browser at the Web Push service.
async fn with_browser(server: &Server, doubles: &Doubles, name: &str) -> Client {
    let mut client = Client::connect(server, name).await;
    let browser = doubles.push.subscribe().unwrap();
    let address =
        json!({"endpoint": browser.endpoint, "p256dh": browser.p256dh, "auth": browser.auth});
    let id = uuid::Uuid::new_v4().to_string();
    let register = json!({"deviceRegister": {"deviceId": id, "webPush": address}});
    client.ok(register).await;
    client
}

/// Alice has a browser and a public room, and goes.
async fn alice(server: &Server, doubles: &Doubles) -> String {
    let mut alice = with_browser(server, doubles, "alice").await;
    let room = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "films",
        "visibility": "VISIBILITY_PUBLIC"});
    let room = alice.ok(json!({"roomCreate": room})).await;
    room["room"].as_str().unwrap().to_owned()
}

/// The next message that a service accepts, as JSON.
async fn next(what: &str, accepted: &mut Receiver<Delivery>) -> Value {
    let delivery = tokio::time::timeout(Duration::from_secs(120), accepted.recv()).await;
    let delivery = delivery.unwrap_or_else(|_| panic!("waited in vain for {what}"));
    serde_json::from_str(&delivery.unwrap().payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_refused_and_in_no_room_is_told_to_its_uploader_alone() {
    let doubles = Doubles::new().await;
    let server = doubles.spec().start();
    let mut pushed = doubles.push.accepted();
    let room = alice(&server, &doubles).await;
    let clip = Person::new(&server, "alice")
        .bring_text_unshared(&room, "#EXTM3U\nfile:///etc/passwd\n")
        .await;
    let push = next("a push", &mut pushed).await;
    let body = push["body"].as_str().unwrap_or_default();
    assert!(body.starts_with("Your clip failed: "), "{push}");
    assert_eq!(
        (&push["clip"], &push["user"]),
        (&json!(clip), &json!("alice"))
    );
    assert!(
        doubles.slack.deliveries().is_empty(),
        "no operator can mend it"
    );
}

/// FFmpeg that looks at files as ever, and makes no stream of any.
fn broken(folder: &Path) -> String {
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|folder| folder.join("ffmpeg"));
    let real = real
        .into_iter()
        .find(|file| file.is_file())
        .expect("FFmpeg");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *\" hls \"*) exit 1;; esac\nexec {} \"$@\"\n",
        real.display()
    );
    let program = folder.join("ffmpeg");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{path}", folder.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcode_that_fails_is_told_to_its_uploader_and_to_operators() {
    let doubles = Doubles::new().await;
    let programs = tempfile::tempdir().unwrap();
    let server = doubles.spec().with("PATH", broken(programs.path())).start();
    let (mut pushed, mut slack) = (doubles.push.accepted(), doubles.slack.accepted());
    let room = alice(&server, &doubles).await;
    let clip = Person::new(&server, "alice").bring(&room).await;
    let push = next("a push", &mut pushed).await;
    let body = push["body"].as_str().unwrap_or_default();
    assert!(
        body.starts_with("Your clip failed: FFmpeg gave up"),
        "{push}"
    );
    let notice = next("a notice", &mut slack).await.to_string();
    for expected in [
        "A clip could not be transcoded",
        "TRANSCODE_FAILED",
        &clip,
        &room,
    ] {
        assert!(notice.contains(expected), "{expected}: {notice}");
    }
    assert!(!notice.contains("A quarter minute"), "no titles: {notice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_that_is_ready_is_told_once_to_who_is_away_and_not_to_who_looks() {
    let doubles = Doubles::new().await;
    let server = doubles.spec().start();
    let mut pushed = doubles.push.accepted();
    let room = alice(&server, &doubles).await;
    // Bob looks, and carol has gone. Who never followed the room is not waited for to return.
    let mut bob = with_browser(&server, &doubles, "bob").await;
    let mut carol = with_browser(&server, &doubles, "carol").await;
    for client in [&mut bob, &mut carol] {
        client.ok(json!({"roomJoin": {"room": room}})).await;
    }
    drop(carol);
    bob.ok(subscribe(&room)).await;
    let person = Person::new(&server, "alice");
    let clip = person.bring_bytes(&room, brief()).await;
    loop {
        let event = bob.push("event").await;
        if event["clipChanged"]["clip"]["state"] == "CLIP_STATE_READY" {
            bob.say(&[json!({"ack": {"count": bob.count.to_string(), "isVisible": true}})])
                .await;
            break;
        }
    }
    // A message afterwards is told to all three: what was to come of the clip has come before it.
    let mut dave = Client::connect(&server, "dave").await;
    for name in ["alice", "bob", "carol"] {
        let room = json!({"roomCreate": {"kind": "ROOM_KIND_DIRECT", "members": [name]}});
        let room = dave.ok(room).await;
        let text = json!({"room": room["room"], "cid": cid(), "text": "is it ready?"});
        dave.ok(json!({"send": text})).await;
    }
    let mut told = Vec::new();
    while told
        .iter()
        .filter(|push: &&Value| push["class"] == "message")
        .count()
        < 3
    {
        told.push(next("a message's push", &mut pushed).await);
    }
    told.retain(|push| push["class"] != "message");
    let mut of_clips: Vec<&str> = told
        .iter()
        .map(|push| push["user"].as_str().unwrap())
        .collect();
    of_clips.sort_unstable();
    assert_eq!(of_clips, ["alice", "carol"], "{told:?}");
    for push in &told {
        assert_eq!(
            (&push["class"], &push["clip"]),
            (&json!("clip"), &json!(clip)),
            "{push}"
        );
    }
}
