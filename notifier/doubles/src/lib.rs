//! Local servers that behave as the push providers do: for tests, and for measurements without the internet.
//!
//! Each checks what the real one checks (headers, tokens, sizes, encryption) and answers as it does, over
//! TLS with an authority of its own and HTTP/2 where the real one has it. A script makes them fail as the
//! real ones do. They count what reached each device, and how often twice. They share no code with the
//! server, so that a mistake in one is not made in the other.

mod apns;
mod control;
mod fcm;
mod jwt;
mod record;
mod script;
mod server;
mod slack;
mod webpush;

pub use control::Control;
pub use record::{Delivery, DeviceReport, Report};
pub use script::{Action, Step};
pub use webpush::{Subscription, open as open_web_push};

use record::Record;
use script::Scripts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, watch};

/// Which provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A Web Push service.
    Webpush,
    /// Apple's.
    Apns,
    /// Google's, with its token endpoint.
    Fcm,
    /// Slack's incoming webhooks.
    Slack,
}

/// How a double is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which provider.
    pub kind: Kind,
    /// On 127.0.0.1; 0 for any.
    pub port: u16,
    /// Web Push: open every so many-th message, to see whether it can be; 0 for none. A measurement that
    /// shares its cores with the double opens few.
    pub open_every: u32,
    /// APNs: the environment that it plays.
    pub is_sandbox: bool,
}

impl Options {
    /// A double of that kind on any port that opens every message.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            port: 0,
            open_every: 1,
            is_sandbox: false,
        }
    }
}

/// A running double. Dropped, it stops.
pub struct Double {
    state: Arc<State>,
    stop: tokio_util::sync::CancellationToken,
}

pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) address: SocketAddr,
    pub(crate) ca_pem: String,
    scripts: Mutex<Scripts>,
    record: Mutex<Record>,
    pub(crate) webpush: webpush::Service,
    pub(crate) apns: apns::Service,
    pub(crate) fcm: fcm::Service,
    /// Each change asks the connections that are open to say GOAWAY.
    goaway: watch::Sender<u64>,
    /// What was accepted: the seam for a front that hands messages on, such as a browser's push connection.
    accepted: broadcast::Sender<Delivery>,
}

impl State {
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn scripts(&self) -> MutexGuard<'_, Scripts> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn accept(&self, delivery: Delivery) {
        // Nobody may be listening.
        let _ = self.accepted.send(delivery.clone());
        self.record().accept(delivery);
    }

    /// `https://127.0.0.1:…`.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Double {
    /// Starts one.
    ///
    /// # Errors
    /// The port can't be had, or a key can't be made.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let stop = tokio_util::sync::CancellationToken::new();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", options.port)).await?;
        let (tls, ca_pem) = server::tls(options.kind)?;
        let state = Arc::new(State {
            options,
            address: listener.local_addr()?,
            ca_pem,
            scripts: Mutex::default(),
            record: Mutex::default(),
            webpush: webpush::Service::default(),
            apns: apns::Service::new()?,
            fcm: fcm::Service::new()?,
            goaway: watch::Sender::new(0),
            accepted: broadcast::Sender::new(1_024),
        });
        tokio::spawn(server::serve(
            listener,
            tls,
            Arc::clone(&state),
            stop.clone(),
        ));
        Ok(Self { state, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// `https://127.0.0.1:…`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        self.state.url()
    }

    /// The authority that signed its certificate, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.state.ca_pem
    }

    /// What a sender needs to be let in: APNs `{key_id, team_id, topic, key_pem}`; FCM a service account's
    /// file; Slack `{url}`.
    #[must_use]
    pub fn credentials(&self) -> Value {
        match self.state.options.kind {
            Kind::Webpush => json!({}),
            Kind::Apns => self.state.apns.credentials(),
            Kind::Fcm => self.state.fcm.credentials(&self.url()),
            Kind::Slack => json!({ "url": format!("{}{}", self.url(), slack::PATH) }),
        }
    }

    /// A new Web Push subscription, whose private key the double has.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn subscribe(&self) -> anyhow::Result<Subscription> {
        self.state.webpush.subscribe(&self.url())
    }

    /// A Web Push subscription of somebody else's, such as a browser that decrypts by itself; gives its
    /// endpoint.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn subscribe_foreign(&self) -> anyhow::Result<String> {
        self.state.webpush.subscribe_foreign(&self.url())
    }

    /// What is accepted from now on.
    #[must_use]
    pub fn accepted(&self) -> broadcast::Receiver<Delivery> {
        self.state.accepted.subscribe()
    }

    /// Appends to the script.
    pub fn script(&self, step: Step) {
        self.state.scripts().push(step);
    }

    /// Forgets the script.
    pub fn clear_script(&self) {
        *self.state.scripts() = Scripts::default();
    }

    /// Every connection that is open says GOAWAY (HTTP/2) or ends after its answer (HTTP/1.1).
    pub fn go_away(&self) {
        self.state.goaway.send_modify(|count| *count += 1);
    }

    /// What has come.
    #[must_use]
    pub fn report(&self) -> Report {
        self.state.record().report()
    }

    /// The latest messages that were accepted, the oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.state.record().deliveries()
    }

    /// Forgets what has come.
    pub fn reset(&self) {
        *self.state.record() = Record::default();
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
