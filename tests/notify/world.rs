//! Doubles of the push services, a server that may call nothing else, and people with devices at them.

use crate::support::client::Client;
use crate::support::http::request;
use crate::support::secret;
use crate::support::server::{Server, Spec};
use crate::support::token::claims;
use kaiwa_provider_doubles::{Delivery, Double, Kind, Options, Subscription};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for something that has to happen.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// The services, and the folder of the server beside them.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) push: Double,
    /// Another Web Push service, so that one can be away.
    pub(crate) other: Double,
    pub(crate) apns: Double,
    pub(crate) fcm: Double,
}

impl World {
    pub(crate) async fn new() -> Self {
        let start = async |kind| Double::start(Options::new(kind)).await.unwrap();
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            push: start(Kind::Webpush).await,
            other: start(Kind::Webpush).await,
            apns: start(Kind::Apns).await,
            fcm: start(Kind::Fcm).await,
        };
        let authorities: String = world.doubles().iter().map(|d| d.ca_pem()).collect();
        std::fs::write(world.file("ca.pem"), authorities).unwrap();
        let key = world.apns.credentials()["key_pem"].clone();
        secret(&world.file("apns.p8"), key.as_str().unwrap());
        secret(&world.file("fcm.json"), world.fcm.credentials().to_string());
        world
    }

    fn doubles(&self) -> [&Double; 4] {
        [&self.push, &self.other, &self.apns, &self.fcm]
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The server's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.file("data")
    }

    /// A server whose services are the doubles.
    pub(crate) fn spec(&self) -> Spec {
        let allowed = self.doubles().map(|double| double.address().to_string());
        let apple = self.apns.credentials();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Spec::new(&self.data())
            .with("KAIWA_LIMITS__COMMAND_BURST", 1_000_000)
            .with("KAIWA_CALLS__LISTEN", "[\"127.0.0.1:0\"]")
            .with("KAIWA_CALLS__LOOPBACK", true)
            // What a killed server had in hand comes again after it, or twice as long.
            .with("KAIWA_PUSH__SEND_S", 5)
            .with("KAIWA_PUSH__SUBJECT", "mailto:ops@example.org")
            .with("KAIWA_PUSH__ALLOWED_PRIVATE", json!(allowed))
            .with("KAIWA_PUSH__EXTRA_CA", self.file("ca.pem").display())
            .with("KAIWA_PUSH__APNS__TEAM_ID", text(&apple["team_id"]))
            .with("KAIWA_PUSH__APNS__KEY_ID", text(&apple["key_id"]))
            .with("KAIWA_PUSH__APNS__TOPIC", text(&apple["topic"]))
            .with("KAIWA_PUSH__APNS__KEY_FILE", self.file("apns.p8").display())
            .with("KAIWA_PUSH__APNS__ENDPOINT", self.apns.url())
            .with(
                "KAIWA_PUSH__FCM__SERVICE_ACCOUNT_FILE",
                self.file("fcm.json").display(),
            )
            .with("KAIWA_PUSH__FCM__ENDPOINT", self.fcm.url())
    }

    pub(crate) fn start(&self) -> Server {
        self.spec().start()
    }
}

/// Registers a device under a new id, which this gives.
pub(crate) async fn register(client: &mut Client, address: Value) -> String {
    let id = uuid::Uuid::new_v4().to_string();
    client.ok(registration(&id, address)).await;
    id
}

/// The command that registers.
pub(crate) fn registration(id: &str, mut address: Value) -> Value {
    address["deviceId"] = json!(id);
    json!({ "deviceRegister": address })
}

/// A subscription as a browser's page gives it.
pub(crate) fn web_push(subscription: &Subscription) -> Value {
    json!({"webPush": {"endpoint": subscription.endpoint, "p256dh": subscription.p256dh,
        "auth": subscription.auth}})
}

/// A new browser at this service, of this person: by which its deliveries are known.
pub(crate) async fn browser(client: &mut Client, at: &Double) -> String {
    let subscription = at.subscribe().unwrap();
    register(client, web_push(&subscription)).await;
    subscription.device
}

/// The room of the two.
pub(crate) async fn direct(client: &mut Client, with: &str) -> String {
    let create = json!({"kind": "ROOM_KIND_DIRECT", "members": [with]});
    let room = client.ok(json!({"roomCreate": create})).await;
    room["room"].as_str().unwrap().to_owned()
}

/// The next message that a service accepts.
pub(crate) async fn next(accepted: &mut Receiver<Delivery>) -> Delivery {
    in_time("a push", accepted.recv()).await.unwrap()
}

/// What a device gets, as JSON.
pub(crate) fn payload(delivery: &Delivery) -> Value {
    serde_json::from_str(&delivery.payload)
        .unwrap_or_else(|error| panic!("{error}: {:?}", delivery.payload))
}

/// The operators' list of queues.
pub(crate) async fn queues(server: &Server) -> Vec<Value> {
    let mut admin = claims("olga", 600);
    admin["role"] = json!("admin");
    let admin = format!("Bearer {}", server.key().sign(&admin));
    let headers = [("Authorization", admin.as_str())];
    let line = "GET /api/v1/notifications/queues";
    let answer = request(server.address, line, &headers, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["queues"].as_array().unwrap().clone()
}

/// Waits until nothing is in any queue, and says how many died: events' first.
pub(crate) async fn emptied(server: &Server) -> Vec<u64> {
    let rest = |queue: &Value| {
        let count = |name: &str| queue[name].as_u64().unwrap();
        count("visible") + count("in_flight") + count("delayed")
    };
    let emptied = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            let queues = queues(server).await;
            if queues.iter().map(rest).sum::<u64>() == 0 {
                return queues
                    .iter()
                    .map(|queue| queue["dead"].as_u64().unwrap())
                    .collect();
            }
        }
    };
    in_time("empty queues", emptied).await
}
