//! A notifier with everything around it.

use super::SimClock;
use super::make::{NOON, event_id, installation, user};
use super::provider::Provider;
use super::queue::{Faults, MemoryQueue};
use kaiwa_notifier::adapters::sqlite::{SCHEMA, SqliteStore};
use kaiwa_notifier::core::router::Seen;
use kaiwa_notifier::event::{Event, Place};
use kaiwa_notifier::model::{Address, Badge, Channel, DeviceId};
use kaiwa_notifier::ports::{Answer, Decisions as _, Explained, ReadState, Standee, Standing};
use kaiwa_notifier::service::{
    ChannelParts, ConsumerOptions, Lanes, Notifier, NotifierOptions, Parts,
};
use kaiwa_notifier::wire;
use kaiwa_platform::clock::Clock;
use kaiwa_platform::queue::{DeadLetters, Outgoing, Queue};
use kaiwa_platform::sqlite::{SqliteOptions, Synchronous, bare_writer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const CHANNELS: [Channel; 4] = [
    Channel::WebPush,
    Channel::Apns,
    Channel::Fcm,
    Channel::Slack,
];

/// Chat, as far as it is asked.
#[derive(Default)]
pub(crate) struct Chat {
    /// What people have read, per room.
    pub(crate) read: Mutex<BTreeMap<(String, String), u64>>,
}

impl ReadState for Chat {
    fn standings<'a>(
        &'a self,
        place: Option<&'a Place>,
        people: &'a [Standee],
    ) -> Answer<'a, Vec<Standing>> {
        Box::pin(async move {
            let read = self.read.lock().unwrap();
            let standing = |person: &Standee| {
                let key = |place: &Place| (person.user.to_string(), place.room.to_string());
                let is_read =
                    |place: &Place| read.get(&key(place)).is_some_and(|s| *s >= place.seq);
                Standing {
                    seen: if place.is_some_and(is_read) {
                        Seen::Read
                    } else {
                        Seen::No
                    },
                    badge: Some(Badge {
                        count: 3,
                        version: 1,
                    }),
                }
            };
            Ok(people.iter().map(standing).collect())
        })
    }
}

pub(crate) struct World {
    pub(crate) clock: SimClock,
    pub(crate) store: SqliteStore,
    pub(crate) chat: Arc<Chat>,
    pub(crate) events: Arc<MemoryQueue>,
    /// Of events and of each channel; a test may do without.
    pub(crate) urgent: Vec<Arc<MemoryQueue>>,
    pub(crate) queues: BTreeMap<Channel, Arc<MemoryQueue>>,
    pub(crate) dead: BTreeMap<String, Arc<MemoryQueue>>,
    pub(crate) providers: BTreeMap<Channel, Arc<Provider>>,
    pub(crate) options: NotifierOptions,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let clock = SimClock::at(NOON);
        let options = SqliteOptions {
            synchronous: Synchronous::Off,
            ..SqliteOptions::new(":memory:".into())
        };
        let connection = bare_writer(&options, SCHEMA.migrations).expect("a database");
        let queue = |name: &str, n: u64| MemoryQueue::new(name, clock, seed ^ n, faults);
        let none = |name: &str| MemoryQueue::new(name, clock, 0, Faults::default());
        let mut dead = BTreeMap::from([("events".to_owned(), none("events-dead"))]);
        let mut queues = BTreeMap::new();
        let mut urgent = vec![queue("events-urgent", 11)];
        for (channel, n) in CHANNELS.into_iter().zip(2..) {
            queues.insert(channel, queue(channel.name(), n));
            dead.insert(channel.name().to_owned(), none("dead"));
            urgent.push(queue(&format!("{}-urgent", channel.name()), 10 + n));
        }
        for queue in &urgent {
            dead.insert(queue.name().to_owned(), none("dead"));
        }
        Self {
            clock,
            store: SqliteStore::inline(connection),
            chat: Arc::default(),
            events: queue("events", 1),
            urgent,
            queues,
            dead,
            providers: CHANNELS
                .into_iter()
                .map(|c| (c, Provider::well(clock)))
                .collect(),
            options: NotifierOptions {
                consumer: ConsumerOptions {
                    wait: Duration::from_secs(5),
                    ..ConsumerOptions::default()
                },
                ..NotifierOptions::default()
            },
        }
    }

    pub(crate) fn start(&self, seed: u64) -> Notifier {
        let letters = |queue: &Arc<MemoryQueue>| {
            let dead: Arc<dyn Queue> = self.dead[queue.name()].clone();
            DeadLetters::new(queue.clone(), dead)
        };
        let lanes = |queue: &Arc<MemoryQueue>| {
            let name = format!("{}-urgent", queue.name());
            let urgent = self.urgent.iter().find(|queue| queue.name() == name);
            Lanes {
                ordinary: letters(queue),
                urgent: urgent.map(letters),
            }
        };
        Notifier::start(Parts {
            store: Arc::new(self.store.clone()),
            read_state: self.chat.clone(),
            events: lanes(&self.events),
            channels: CHANNELS
                .into_iter()
                .map(|channel| ChannelParts {
                    channel,
                    queue: lanes(&self.queues[&channel]),
                    sender: self.providers[&channel].clone(),
                })
                .collect(),
            clock: Arc::new(self.clock),
            seed,
            options: self.options.clone(),
        })
    }

    pub(crate) fn now(&self) -> kaiwa_common::time::UnixMs {
        self.clock.now()
    }

    pub(crate) async fn register(
        &self,
        notifier: &Notifier,
        name: &str,
        phone: &str,
        address: Address,
    ) -> DeviceId {
        let (user, phone) = (user(name), installation(phone));
        let registered = notifier.register(&user, &phone, address, "their phone");
        registered.await.expect("registered").id
    }

    pub(crate) async fn publish(&self, event: &Event) {
        let message = Outgoing {
            body: wire::encode_event(event),
            ..Outgoing::default()
        };
        // As the topic does.
        let urgent = self.urgent.first().filter(|_| event.is_urgent());
        let queue = urgent.unwrap_or(&self.events);
        // As the relay does: until it is there.
        loop {
            let sent = queue.send(vec![message.clone()]).await;
            if matches!(sent, Ok(results) if results.iter().all(Result::is_ok)) {
                return;
            }
        }
    }

    pub(crate) async fn explain(&self, number: u128, name: &str) -> Option<Explained> {
        let explained = self.store.explain(event_id(number), &user(name));
        explained.await.expect("an answer")
    }

    pub(crate) fn provider(&self, channel: Channel) -> &Provider {
        &self.providers[&channel]
    }

    pub(crate) fn is_idle(&self) -> bool {
        let channels = self.queues.values().chain(&self.urgent);
        self.events.len() == 0 && channels.into_iter().all(|queue| queue.len() == 0)
    }

    /// Waits until nothing is queued, in virtual time.
    pub(crate) async fn settle(&self, longest: Duration) {
        let end = self.now().plus(longest);
        while !self.is_idle() && self.now() < end {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
