//! Notifications to people who are away: the relay, the queues, the notifier and its senders, put together.

mod admin;
mod port;
mod queues;
mod senders;
mod standing;

use crate::config::{Config, QueueBackend};
use crate::data::DataDir;
use anyhow::Context as _;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::ports::{Announce, Attendance};
use kaiwa_chat::relay::announcer::{Announcer, AnnouncerStats};
use kaiwa_chat::relay::{Relay, RelayParts};
use kaiwa_chat::service::Chat;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::adapters::sqlite::SqliteStore as NotifyStore;
use kaiwa_notifier::service::{ConsumerOptions, Notifier, NotifierOptions, Parts};
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::queue::{LONG_POLL, Topic};
use kaiwa_signaling::push::Push;
use kaiwa_signaling::push::admin::NotifyAdmin;
use kaiwa_signaling::session::attendance::Present;
use kaiwa_signaling::session::registry::Sessions;
use port::PushPort;
use queues::Queues;
pub(crate) use queues::{Created, create as create_queues};
use senders::Senders;
use standing::Standings;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a poll of an embedded queue waits. It costs nothing to begin another, and a stop waits for it.
const EMBEDDED_WAIT: Duration = Duration::from_millis(500);

/// What is there before chat is.
pub(crate) struct Prepared {
    store: NotifyStore,
    queues: Queues,
    senders: Senders,
    announcer: Arc<Announcer>,
    is_wake_only: bool,
    /// How long one push may take, and a message is hidden that is in hand.
    send: Duration,
    /// How long a poll waits, and so a drain at most for it.
    wait: Duration,
}

/// Notifications at work.
pub(crate) struct Notify {
    notifier: Arc<Notifier>,
    relay: Mutex<Option<Relay>>,
    announced: Arc<AnnouncerStats>,
    push: Arc<dyn Push>,
    admin: Arc<dyn NotifyAdmin>,
}

/// Opens tables and queues and makes the senders; `None` when notifications are switched off.
///
/// # Errors
/// A setting, a key file or the database.
pub(crate) async fn prepare(
    config: &Config,
    data: &DataDir,
    chat: &SqliteStore,
) -> anyhow::Result<Option<Prepared>> {
    if !config.push.enabled {
        return Ok(None);
    }
    kaiwa_notifier::metrics::describe();
    let store = NotifyStore::open(chat.database()).await;
    let store = store.context("the tables of notifications")?;
    let senders = senders::make(config, data).await?;
    let queues = queues::open(config, chat.database(), &senders.channels()).await?;
    let announcer = Announcer::start(
        Arc::new(chat.clone()),
        Arc::clone(&queues.topic),
        Arc::new(UnixMs::now),
    );
    Ok(Some(Prepared {
        store,
        queues,
        senders,
        announcer,
        is_wake_only: config.push.wake_only,
        send: Duration::from_secs(config.push.send_s.into()),
        wait: match config.queue.backend {
            QueueBackend::Embedded => EMBEDDED_WAIT,
            QueueBackend::Aws => LONG_POLL,
        },
    }))
}

impl Prepared {
    /// Where people are told at once.
    pub(crate) fn announce(&self) -> Arc<dyn Announce> {
        Arc::clone(&self.announcer) as Arc<dyn Announce>
    }

    /// Where events are published.
    pub(crate) fn topic(&self) -> Arc<dyn Topic> {
        Arc::clone(&self.queues.topic)
    }

    /// Starts the relay and the notifier.
    pub(crate) fn start(
        self,
        store: &SqliteStore,
        chat: &Chat,
        sessions: &Arc<Sessions>,
    ) -> Notify {
        let attendance: Arc<dyn Attendance> =
            Arc::new(Present::new(Arc::clone(sessions), UnixMs::now));
        let standings = Standings::new(store.clone(), Arc::clone(&attendance));
        let info = self.senders.info();
        let rules = self.senders.rules();
        let Queues {
            topic,
            events,
            channels,
        } = self.queues;
        let notifier = Arc::new(Notifier::start(Parts {
            store: Arc::new(self.store.clone()),
            read_state: Arc::new(standings),
            events,
            channels: self.senders.into_parts(channels),
            clock: Arc::new(SystemClock),
            seed: seed(),
            options: NotifierOptions {
                is_wake_only: self.is_wake_only,
                send: self.send,
                consumer: ConsumerOptions {
                    wait: self.wait,
                    visibility: self.send,
                    ..ConsumerOptions::default()
                },
                ..NotifierOptions::default()
            },
        }));
        let announced = Arc::clone(self.announcer.stats());
        let relay = Relay::start(RelayParts {
            outbox: Arc::new(store.clone()),
            committed: chat.committed(),
            attendance,
            opt_ins: Arc::new(standing::Opted::new(self.store)),
            topic,
            clock: Arc::new(UnixMs::now),
        });
        Notify {
            push: Arc::new(PushPort::new(Arc::clone(&notifier), info, rules)),
            admin: Arc::new(admin::Admin::new(Arc::clone(&notifier))),
            notifier,
            relay: Mutex::new(Some(relay)),
            announced,
        }
    }
}

impl Notify {
    /// For the client protocol.
    pub(crate) fn push(&self) -> Arc<dyn Push> {
        Arc::clone(&self.push)
    }

    /// For operators.
    pub(crate) fn admin(&self) -> Arc<dyn NotifyAdmin> {
        Arc::clone(&self.admin)
    }

    /// Puts how far the relay is into the metrics.
    pub(crate) fn export(&self) {
        let relay = self.relay.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(status) = relay.as_ref().map(Relay::status) else {
            return;
        };
        crate::telemetry::export_relay(&status, &self.announced);
    }

    /// Ends in order: the relay remembers where it is, and what the notifier has in hand is done within the grace.
    pub(crate) async fn drain(&self, grace: Duration) {
        let relay = {
            let mut relay = self.relay.lock().unwrap_or_else(PoisonError::into_inner);
            relay.take()
        };
        if let Some(relay) = relay {
            relay.stop().await;
        }
        let drained = self.notifier.drain(grace).await;
        if drained.given_back > 0 {
            tracing::warn!(
                given_back = drained.given_back,
                "notifications were not done in time: they come again at the next start"
            );
        }
    }
}

/// Where the spreading of retries begins; nothing secret.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}
