//! What must not be read in the logs: secrets, and people's words.

use crate::support::cid;
use crate::support::client::{Client, Codec, connect};
use crate::support::http::request;
use crate::support::raw::Raw;
use crate::support::server::Spec;
use serde_json::json;

#[tokio::test]
async fn neither_tokens_nor_words_are_logged_at_any_level() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Spec::new(data.path())
        .with("KAIWA_LOG__FILTER", "trace")
        .start();
    let token = server.token("alice");
    let bad = server.token("alice") + "tampered-with";
    let (text, title) = ("a-very-private-word", "a-very-private-title");
    let mut client = Client::connect_with(&server, Codec::Json, connect(&token)).await;
    let room = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": title});
    let room = client.ok(json!({"roomCreate": room})).await["room"].clone();
    let send = |text: &str| json!({"send": {"room": room, "cid": cid(), "text": text}});
    let posted = client.ok(send(text)).await;
    let edit = json!({"room": room, "cid": cid(), "target": posted["seq"], "text": text});
    client.ok(json!({"edit": edit})).await;
    client.refused(send(&format!("\u{0}{text}"))).await;
    client
        .refused(json!({"send": {"room": text, "cid": text, "text": [text]}}))
        .await;
    client.refused(json!({"refresh": {"token": bad}})).await;
    client
        .send(tokio_tungstenite::tungstenite::Message::text(format!(
            "{{\"send\":{text}"
        )))
        .await;
    client.closed_with(4302).await;
    Client::open(&server, Codec::Json)
        .await
        .refused(connect(&bad))
        .await;
    // A frame that breaks the rules, with words in it.
    let mut raw = Raw::connect(&server, "alice").await;
    raw.bytes(&[&[0x81, 19], text.as_bytes()].concat()).await;
    assert_eq!(raw.closed().await.0, Some(1002));
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let refreshed = request(server.address, "POST /api/v1/refresh", &headers, "")
        .await
        .json();
    let json_type = [("Content-Type", "application/json")];
    let body = "{\"name\":\"a-very-private-name\"}";
    let signed_in = request(server.address, "POST /api/v1/sign-in", &json_type, body)
        .await
        .json();

    server.terminate();
    assert!(server.ended().await.success());
    let log = server.stop_and_read_log();
    assert!(log.contains("DEBUG"), "the log is not at that level: {log}");
    let tokens = [
        token.as_str(),
        &bad,
        text_of(&refreshed),
        text_of(&signed_in),
    ];
    // A part of a token is as bad as all of it.
    for secret in tokens.iter().flat_map(|token| token.split('.').skip(1)) {
        assert!(!log.contains(secret), "a token is in the log");
    }
    for words in [text, title, "a-very-private-name"] {
        let line = log.lines().find(|line| line.contains(words));
        assert!(line.is_none(), "logged: {line:?}");
    }
}

fn text_of(answer: &serde_json::Value) -> &str {
    answer["token"].as_str().expect("a token")
}
