//! A public room and a witness in it: whatever somebody else does, the witness goes on, and the room's
//! log has exactly what was committed.

use super::cid;
use super::client::{Client, int};
use super::server::{SharedServer, shared};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

static SCENES: AtomicU32 = AtomicU32::new(0);

/// A room with a witness.
pub(crate) struct Scene {
    pub(crate) server: Arc<SharedServer>,
    /// The room's id.
    pub(crate) room: String,
    /// Its owner, who follows it.
    pub(crate) witness: Client,
    no: u32,
    /// Texts of the messages that the log has.
    posted: Vec<String>,
}

impl Scene {
    /// On the server that tests share.
    pub(crate) async fn new() -> Self {
        Self::on(shared()).await
    }

    /// On this server.
    pub(crate) async fn on(server: Arc<SharedServer>) -> Self {
        Self::of_visibility(server, "VISIBILITY_PUBLIC").await
    }

    /// On the shared server, with a room that nobody else sees.
    pub(crate) async fn private() -> Self {
        Self::of_visibility(shared(), "VISIBILITY_PRIVATE").await
    }

    async fn of_visibility(server: Arc<SharedServer>, visibility: &str) -> Self {
        let no = SCENES.fetch_add(1, Ordering::Relaxed);
        let mut witness = Client::connect(&server, &format!("witness-{no}")).await;
        let title = format!("scene {no}");
        let room = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": title,
            "visibility": visibility});
        let room = witness.ok(json!({"roomCreate": room})).await;
        let room = room["room"].as_str().expect("an id").to_owned();
        witness.ok(subscribe(&room)).await;
        Self {
            server,
            room,
            witness,
            no,
            posted: Vec::new(),
        }
    }

    /// The id of somebody of this scene.
    pub(crate) fn user(&self, name: &str) -> String {
        format!("{name}-{}", self.no)
    }

    /// Somebody who is connected and nothing more.
    pub(crate) async fn stranger(&self, name: &str) -> Client {
        Client::connect(&self.server, &self.user(name)).await
    }

    /// Somebody who is in the room and follows it.
    pub(crate) async fn member(&self, name: &str) -> Client {
        let mut client = self.stranger(name).await;
        client.ok(json!({"roomJoin": {"room": self.room}})).await;
        client.ok(subscribe(&self.room)).await;
        client
    }

    /// A message to the room.
    pub(crate) fn send(&self, text: &str) -> Value {
        json!({"send": {"room": self.room, "cid": cid(), "text": text}})
    }

    /// Notes that somebody's message was committed.
    pub(crate) fn expect(&mut self, text: &str) {
        self.posted.push(text.to_owned());
    }

    /// The witness posts, and gets it pushed; the log is dense, and has exactly the expected texts.
    pub(crate) async fn is_unharmed(&mut self) {
        let text = format!("the witness goes on after {}", self.posted.len());
        let committed = self.witness.ok(self.send(&text)).await;
        self.posted.push(text);
        loop {
            let event = self.witness.push("event").await;
            if event["seq"] == committed["seq"] {
                break;
            }
        }
        let log = self.log().await;
        let seqs: Vec<u64> = log.iter().map(|event| int(&event["seq"])).collect();
        let dense: Vec<u64> = (1..=int(&committed["seq"])).collect();
        assert_eq!(seqs, dense, "the log has holes or more than was committed");
        let texts: Vec<&str> = log
            .iter()
            .filter_map(|e| e["message"]["text"].as_str())
            .collect();
        assert_eq!(texts, self.posted);
    }

    /// The room's log, from its beginning.
    pub(crate) async fn log(&mut self) -> Vec<Value> {
        let mut log: Vec<Value> = Vec::new();
        loop {
            let after = log.last().map_or(0, |event| int(&event["seq"]));
            let read = json!({"room": self.room, "epoch": 1, "after": after.to_string()});
            let page = self.witness.ok(json!({"events": read})).await;
            assert!(page["reset"].is_null(), "{page}");
            log.extend(page["events"].as_array().cloned().unwrap_or_default());
            if page["more"] != json!(true) {
                return log;
            }
        }
    }
}

/// Follows a room from its head.
pub(crate) fn subscribe(room: &str) -> Value {
    json!({"subscribe": {"after": {"room": room}}})
}
