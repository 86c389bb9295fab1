//! How many events a second go from the embedded queue through router, ledger and a sender that always says yes:
//! `cargo run --release -p kaiwa-notifier --example router_rate [events] [folder]`. The last line has the figures once
//! more, as JSON.
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement's output"
)]

use kaiwa_common::id::{self, RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::adapters::sqlite::SqliteStore;
use kaiwa_notifier::event::{Event, Message, Place, RoomKind, What};
use kaiwa_notifier::model::{Address, Channel, EventId, Outcome, Push, Target};
use kaiwa_notifier::ports::{Answer, ReadState, Standee, Standing};
use kaiwa_notifier::senders::PushSender;
use kaiwa_notifier::service::{ChannelParts, Notifier, NotifierOptions, Parts};
use kaiwa_notifier::wire;
use kaiwa_platform::clock::{Clock, SystemClock};
use kaiwa_platform::queue::sqlite::{SqliteQueueOptions, SqliteQueues};
use kaiwa_platform::queue::{BATCH, DeadLetters, Outgoing, Queue};
use kaiwa_platform::sqlite::{Sqlite, SqliteOptions};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

struct Nobody;

impl ReadState for Nobody {
    fn standings<'a>(
        &'a self,
        _place: Option<&'a Place>,
        people: &'a [Standee],
    ) -> Answer<'a, Vec<Standing>> {
        Box::pin(async move { Ok(vec![Standing::default(); people.len()]) })
    }
}

#[derive(Default)]
struct Yes(AtomicU64);

impl PushSender for Yes {
    fn send<'a>(
        &'a self,
        _target: &'a Target,
        _push: &'a Push,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let provider_id = String::new();
        Box::pin(std::future::ready(Outcome::Accepted { provider_id }))
    }
}

const PEOPLE: u128 = 1_000;

fn user(n: u128) -> UserId {
    UserId::parse(&format!("u{}", n % PEOPLE)).expect("a user id")
}

fn message(n: u128, now: UnixMs) -> Outgoing {
    let event = Event {
        id: EventId(Uuid::from_u128(n)),
        time: now,
        expires: now.plus(Duration::from_secs(3_600)),
        traceparent: String::new(),
        recipients: vec![user(n)],
        what: What::Message(Message {
            place: Place {
                // A room each: the digest has nothing to gather.
                room: RoomId::from_uuid(Uuid::from_u128(n)),
                epoch: 1,
                seq: 1,
                message: 1,
            },
            kind: RoomKind::Group,
            room_title: Redacted("Room".to_owned()),
            sender: UserId::parse("alice").expect("a user id"),
            sender_name: Redacted("Alice".to_owned()),
            text: Redacted("Shall we meet at noon, at the usual place?".to_owned()),
            mentions: Vec::new(),
        }),
    };
    Outgoing {
        body: wire::encode_event(&event),
        ..Outgoing::default()
    }
}

async fn letters(queues: &SqliteQueues, name: &str) -> DeadLetters {
    let options = SqliteQueueOptions::default();
    let queue = queues.queue(name, options).await.expect("a queue");
    let dead = kaiwa_platform::queue::dead_letters::name_of(name);
    let dead = queues
        .queue(&dead, SqliteQueueOptions::dead())
        .await
        .expect("a queue");
    DeadLetters::new(Arc::new(queue), Arc::new(dead))
}

#[tokio::main]
#[expect(
    clippy::too_many_lines,
    reason = "a measurement, from its set-up to its figures"
)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let events = arguments.next().and_then(|n| n.parse().ok());
    let events: u128 = events.unwrap_or(20_000);
    let folder = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let options = SqliteOptions::new(folder.path().join("kaiwa.db"));
    let sqlite = Sqlite::open(options, &[]).expect("a database");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let queues = SqliteQueues::open(sqlite.clone(), Arc::clone(&clock))
        .await
        .expect("queues");
    let store = SqliteStore::open(sqlite.clone()).await.expect("a store");
    let events_queue = letters(&queues, "events").await;
    let fcm = letters(&queues, "push-fcm").await;
    let sender = Arc::new(Yes::default());
    let parts = |channels: Vec<ChannelParts>| Parts {
        store: Arc::new(store.clone()),
        read_state: Arc::new(Nobody),
        events: events_queue.clone().into(),
        channels,
        clock: Arc::clone(&clock),
        seed: 1,
        options: NotifierOptions::default(),
    };
    let registrar = Notifier::start(parts(Vec::new()));
    for n in 0..PEOPLE {
        let phone = id::DeviceId::parse("phone").expect("a device id");
        let token = Redacted(format!("t{n}"));
        let user = user(n);
        let registered = registrar.register(&user, &phone, Address::Fcm { token }, "phone");
        registered.await.expect("registered");
    }
    drop(registrar);
    let numbers: Vec<u128> = (0..events).collect();
    for batch in numbers.chunks(BATCH) {
        let batch = batch.iter().map(|n| message(*n, clock.now())).collect();
        events_queue.queue().send(batch).await.expect("sent");
    }
    let began = Instant::now();
    let notifier = Notifier::start(parts(vec![ChannelParts {
        channel: Channel::Fcm,
        queue: fcm.clone().into(),
        sender: sender.clone(),
    }]));
    let wait = |queue: Arc<dyn Queue>| async move {
        loop {
            let depth = queue.depth().await.expect("a depth");
            if depth.visible + depth.in_flight + depth.delayed == 0 {
                return began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let routed = wait(Arc::clone(events_queue.queue())).await;
    let delivered = wait(Arc::clone(fcm.queue())).await;
    let rate = |elapsed: Duration| events as f64 / elapsed.as_secs_f64();
    let stats = sqlite.writer.stats().snapshot();
    println!(
        "events {events}, pushes {}",
        sender.0.load(Ordering::Relaxed)
    );
    println!("routed in {routed:?}: {:.0}/s", rate(routed));
    println!("delivered in {delivered:?}: {:.0}/s", rate(delivered));
    println!("commits {}, jobs {}", stats.commits, stats.jobs);
    let figures = serde_json::json!({
        "events": f64::from(u32::try_from(events).expect("a number of events")),
        "pushes": sender.0.load(Ordering::Relaxed),
        "routed_per_s": rate(routed),
        "delivered_per_s": rate(delivered),
        "commits": stats.commits,
    });
    println!("{figures}");
    // Nothing is polled any more; its last poll need not be awaited.
    drop(notifier);
}
