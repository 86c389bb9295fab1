//! A server within the process, and clients of it that speak JSON: the real chat service over its memory
//! store, the in-memory transport, and time that is paused.

#![allow(dead_code, reason = "each suite uses a part")]

use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::bus::Bus;
use kaiwa_chat::service::{Chat, ChatOptions};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::Limits;
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{CallGrant, Identity, ServerRole, TokenKey};
use kaiwa_signaling::call::service::Calls;
use kaiwa_signaling::codec::Codec;
use kaiwa_signaling::hub::Hub;
use kaiwa_signaling::metrics::Metrics;
use kaiwa_signaling::session::registry::Sessions;
use kaiwa_signaling::session::{Context, driver};
use kaiwa_signaling::transport::Format;
use kaiwa_signaling::transport::memory::{MemoryConfig, MemoryPeer, Seen, pair};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// What there is before the calls.
pub(crate) struct Parts {
    /// Who follows what.
    pub(crate) hub: Arc<Hub>,
    /// Who is here.
    pub(crate) sessions: Arc<Sessions>,
    /// The chat service.
    pub(crate) chat: Chat,
    /// Bounds.
    pub(crate) limits: Limits,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

/// The wall clock follows tokio's, which the tests stop and move.
pub(crate) fn wall() -> UnixMs {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    UnixMs(1_790_000_000_000).plus(Instant::now().saturating_duration_since(start))
}

/// A server without calls.
pub(crate) fn server(limits: Limits) -> Arc<Context> {
    server_with(limits, |_| None)
}

/// A server with these calls.
pub(crate) fn server_with(
    limits: Limits,
    calls: impl FnOnce(&Parts) -> Option<Calls>,
) -> Arc<Context> {
    let metrics = Metrics::new();
    let sessions = Arc::new(Sessions::new(limits.clone()));
    let hub = Hub::start(Arc::clone(&sessions), metrics.clone(), 2);
    let options = ChatOptions {
        limits: limits.clone(),
        shards: 2,
        clock: Arc::new(wall),
    };
    let store = Arc::new(MemoryStore::default());
    let chat = Chat::start(store, Arc::clone(&hub) as Arc<dyn Bus>, options);
    let secret = Secret::new(vec![7; 32]);
    let parts = Parts {
        hub,
        sessions,
        chat,
        limits,
        metrics,
    };
    let calls = calls(&parts);
    let Parts {
        hub,
        sessions,
        chat,
        limits,
        metrics,
    } = parts;
    Arc::new(Context {
        chat,
        hub,
        calls,
        sessions,
        tokens: TokenKey::hs256(&secret, "kaiwa", None).expect("long enough"),
        limits,
        node: "test".to_owned(),
        now: wall,
        announce: None,
        metrics,
        draining: AtomicBool::new(false),
        drain_spread_ms: AtomicU32::new(0),
    })
}

pub(crate) fn token(server: &Context, user: &str, ttl: Duration) -> String {
    let user = UserId::parse(user).expect("a user id");
    let identity = Identity::new(user, "", ServerRole::Creator, wall(), ttl);
    server.tokens.issue(&identity, wall())
}

/// Pushes that both sides count.
const RELIABLE: [&str; 9] = [
    "event",
    "marked",
    "state",
    "gap",
    "callRoster",
    "callSlots",
    "callRinging",
    "callEnded",
    "callRightsChanged",
];

/// A token of this role and with this claim, for an hour.
pub(crate) fn token_of(server: &Context, user: &str, role: ServerRole, call: CallGrant) -> String {
    let user = UserId::parse(user).expect("a user id");
    let identity = Identity::new(user, "", role, wall(), Duration::from_secs(3_600));
    server.tokens.issue(&identity.with_call(call), wall())
}

/// A client that speaks JSON.
pub(crate) struct Client {
    pub(crate) peer: MemoryPeer,
    pub(crate) inbox: VecDeque<Value>,
    next_id: u32,
    pub(crate) count: u64,
}

impl Client {
    pub(crate) fn attach(server: &Arc<Context>, window_bytes: usize) -> Self {
        let config = MemoryConfig {
            format: Format::Text,
            frame_bytes: server.limits.frame_bytes as usize,
            window_bytes,
        };
        let (connection, peer) = pair(config);
        tokio::spawn(driver::serve(connection, Codec::Json, Arc::clone(server)));
        Self {
            peer,
            inbox: VecDeque::new(),
            next_id: 1,
            count: 0,
        }
    }

    pub(crate) async fn connect(server: &Arc<Context>, user: &str, more: Value) -> (Self, Value) {
        let mut client = Self::attach(server, 1 << 20);
        let mut connect =
            json!({"token": token(server, user, Duration::from_secs(36_000)), "device": "d"});
        for (key, value) in more.as_object().expect("an object") {
            connect[key] = value.clone();
        }
        let connected = client.ask("connect", connect).await["connected"].clone();
        client.count = number(&connected["count"]);
        (client, connected)
    }

    pub(crate) fn send(&self, message: &Value) {
        self.peer.send(Format::Text, message.to_string());
    }

    /// The next message; pongs pings by itself.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let Some(message) = self.inbox.pop_front() else {
                match self.peer.next().await {
                    Seen::Frame(frame) => {
                        let text = std::str::from_utf8(&frame).expect("UTF-8");
                        let parsed = text.lines().map(|l| serde_json::from_str(l).expect("JSON"));
                        self.inbox.extend(parsed);
                    }
                    Seen::Closed(code, _) => return json!({"closed": code}),
                    Seen::Lost => return json!({"lost": true}),
                }
                continue;
            };
            let push = &message["push"];
            if RELIABLE.iter().any(|kind| !push[kind].is_null()) {
                self.count += 1;
            }
            return message;
        }
    }

    /// A command's reply; pushes before it are left out.
    pub(crate) async fn ask(&mut self, command: &str, body: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"id": id, command: body}));
        loop {
            let message = self.next().await;
            if message["reply"]["id"] == json!(id) {
                return message["reply"].clone();
            }
            assert!(
                message["closed"].is_null() && message["lost"].is_null(),
                "{message}"
            );
        }
    }

    /// The next push of this kind.
    pub(crate) async fn push(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if !message["push"][kind].is_null() {
                return message["push"][kind].clone();
            }
            assert!(
                message["closed"].is_null() && message["lost"].is_null(),
                "{message}"
            );
        }
    }

    pub(crate) async fn post(&mut self, room: &str, text: &str) -> u64 {
        let send = json!({"room": room, "cid": cid(), "text": text});
        let reply = self.ask("send", send).await;
        number(&reply["committed"]["seq"])
    }
}

pub(crate) fn cid() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let ms = u64::try_from(wall().0).expect("after 1970");
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    uuid::Builder::from_unix_timestamp_millis(ms, &n.to_be_bytes_10())
        .into_uuid()
        .to_string()
}

trait TenBytes {
    fn to_be_bytes_10(&self) -> [u8; 10];
}

impl TenBytes for u64 {
    fn to_be_bytes_10(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.to_be_bytes());
        bytes
    }
}

pub(crate) fn number(value: &Value) -> u64 {
    if let Value::String(text) = value {
        return text.parse().expect("a number");
    }
    // Defaults are left out of JSON.
    if value.is_null() {
        0
    } else {
        value.as_u64().expect("a number")
    }
}

/// Alice and Bob in a group, both following it.
pub(crate) async fn two_in_a_room(server: &Arc<Context>) -> (Client, Client, String, Value) {
    let (mut bob, _) = Client::connect(server, "bob", json!({})).await;
    let (mut alice, _) = Client::connect(server, "alice", json!({})).await;
    let create = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "t", "visibility": "VISIBILITY_PUBLIC"});
    let room = alice.ask("roomCreate", create).await["room"].clone();
    let id = room["room"].as_str().expect("an id").to_owned();
    bob.ask("roomJoin", json!({"room": id})).await;
    for client in [&mut alice, &mut bob] {
        let reply = client
            .ask("subscribe", json!({"after": {"room": id}}))
            .await;
        assert!(!reply["subscribed"].is_null(), "{reply}");
    }
    (alice, bob, id, room)
}
