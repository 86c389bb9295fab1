//! The notifier at work: a router, a consumer for each channel, and what wakes what waits.
//!
//! ```text
//!  events ─► router ─┬─► push-webpush ─► consumer ─► sender ─► devices
//!             ▲  │   ├─► push-apns ────► …
//!      sweeper┘  ▼   └─► slack ────────► …
//!       (what waited)   decisions, ledger: the store
//! ```
//!
//! Beside `events` and each `push-…` is one with `-urgent` behind its name: rings and their ends, which would be
//! over before a backlog is through.

mod alerts;
mod channel;
mod consumer;
mod content;
mod deletes;
mod gate;
mod keeper;
mod people;
mod rolls;
mod router;
mod shares;
mod sweeper;

pub use crate::core::breaker::BreakerState;
pub use consumer::{ConsumerOptions, Drained};
pub use gate::BreakerView;
pub use people::{NotifierError, device_id};

use crate::core::digest::DigestRule;
use crate::core::settings::ServerRules;
use crate::model::{Channel, Class};
use crate::ports::{ReadState, Store};
use crate::senders::PushSender;
use alerts::Alerts;
use channel::ChannelHandler;
use consumer::{Consumer, Handler};
use futures_util::future::join_all;
use gate::Gate;
use kaiwa_common::limits::NOTIFY_IN_HAND_PERSON;
use kaiwa_platform::clock::Clock;
use kaiwa_platform::queue::DeadLetters;
use rolls::Rolls;
use router::{Router, Ways};
use shares::Shares;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What a notifier is made of.
pub struct Parts {
    /// Its tables.
    pub store: Arc<dyn Store>,
    /// Chat.
    pub read_state: Arc<dyn ReadState>,
    /// The queue of events, and its dead letters.
    pub events: Lanes,
    /// The channels that have a sender here.
    pub channels: Vec<ChannelParts>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Any number: where chance begins.
    pub seed: u64,
    /// Settings.
    pub options: NotifierOptions,
}

/// A channel.
pub struct ChannelParts {
    /// Which.
    pub channel: Channel,
    /// Its queue, and its dead letters.
    pub queue: Lanes,
    /// What sends.
    pub sender: Arc<dyn PushSender>,
}

/// A queue, and one beside it, each with its dead letters and places of its own.
#[derive(Clone)]
pub struct Lanes {
    /// For all that may wait.
    pub ordinary: DeadLetters,
    /// For rings and their ends; where there is none they go with the others.
    pub urgent: Option<DeadLetters>,
}

impl From<DeadLetters> for Lanes {
    fn from(ordinary: DeadLetters) -> Self {
        Self {
            ordinary,
            urgent: None,
        }
    }
}

impl Lanes {
    /// Both with how they are consumed, the ordinary one first.
    fn each(&self, of: ConsumerOptions) -> impl Iterator<Item = (&DeadLetters, ConsumerOptions)> {
        let urgent = self.urgent.iter();
        let urgent = urgent.map(move |letters| (letters, of.urgent()));
        std::iter::once((&self.ordinary, of)).chain(urgent)
    }
}

/// Settings of a notifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifierOptions {
    /// Classes that nobody is told of.
    pub off: Vec<Class>,
    /// No content leaves the server.
    pub is_wake_only: bool,
    /// When a room counts as busy.
    pub digest: DigestRule,
    /// How each queue is consumed.
    pub consumer: ConsumerOptions,
    /// How long one push may take; then it counts as transient. One that was under way in a crash is tried again after
    /// twice as long.
    pub send: Duration,
}

impl Default for NotifierOptions {
    fn default() -> Self {
        Self {
            off: Vec::new(),
            is_wake_only: false,
            digest: DigestRule::default(),
            consumer: ConsumerOptions::default(),
            send: Duration::from_secs(30),
        }
    }
}

/// A notifier at work. Dropped without a drain it is as after a crash: what it had in hand comes again.
pub struct Notifier {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    letters: Vec<DeadLetters>,
    /// By their queues' names; a channel's two queues share one.
    gates: BTreeMap<String, Arc<Gate>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    consumers: Vec<Consumer>,
    sweeper: JoinHandle<Option<()>>,
    stop: CancellationToken,
    _kill: DropGuard,
}

impl Notifier {
    /// Starts it, within a tokio runtime.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        let rolls = Arc::new(Rolls::new(parts.seed));
        let way_of = |part: &ChannelParts| (part.channel, Ways::to(&part.queue));
        let queues: BTreeMap<_, _> = parts.channels.iter().map(way_of).collect();
        let slack = queues
            .get(&Channel::Slack)
            .map(|ways| Arc::clone(&ways.ordinary));
        let alerts = Arc::new(Alerts::new(slack, Arc::clone(&parts.clock)));
        let router = Arc::new(Router {
            store: Arc::clone(&parts.store),
            read_state: Arc::clone(&parts.read_state),
            rules: ServerRules {
                off: parts.options.off.clone(),
                is_wake_only: parts.options.is_wake_only,
                channels: queues.keys().copied().collect(),
            },
            queues,
            digest: parts.options.digest,
            clock: Arc::clone(&parts.clock),
            alerts: Arc::clone(&alerts),
        });
        let stop = CancellationToken::new();
        let killed = CancellationToken::new();
        let sweep = sweeper::run(Arc::clone(&router), stop.clone());
        let sweeper = tokio::spawn(killed.clone().run_until_cancelled_owned(sweep));
        let (mut letters, mut consumers) = (Vec::new(), Vec::new());
        let mut consume = |lanes: &Lanes, handler: &Arc<dyn Handler>| {
            for (queue, options) in lanes.each(parts.options.consumer) {
                letters.push(queue.clone());
                let (queue, handler) = (queue.clone(), Arc::clone(handler));
                let consumer = Consumer::start(queue, handler, options, &parts.clock, &rolls);
                consumers.push(consumer);
            }
        };
        let mut gates = BTreeMap::new();
        let router: Arc<dyn Handler> = router;
        consume(&parts.events, &router);
        for part in parts.channels {
            let (clock, rolls_too) = (Arc::clone(&parts.clock), Arc::clone(&rolls));
            let gate = Arc::new(Gate::new(part.channel, clock, rolls_too));
            for (lane, _) in part.queue.each(parts.options.consumer) {
                gates.insert(lane.queue().name().to_owned(), Arc::clone(&gate));
            }
            let handler: Arc<dyn Handler> = Arc::new(ChannelHandler {
                shares: Shares::new(NOTIFY_IN_HAND_PERSON),
                channel: part.channel,
                sender: part.sender,
                store: Arc::clone(&parts.store),
                read_state: Arc::clone(&parts.read_state),
                gate,
                send: parts.options.send,
                clock: Arc::clone(&parts.clock),
                rolls: Arc::clone(&rolls),
                alerts: Arc::clone(&alerts),
            });
            consume(&part.queue, &handler);
        }
        Self {
            store: parts.store,
            clock: parts.clock,
            letters,
            gates,
            running: Mutex::new(Some(Running {
                consumers,
                sweeper,
                stop,
                _kill: killed.drop_guard(),
            })),
        }
    }

    /// Takes nothing new, awaits the polls that are out, lets what is in hand be done within the grace,
    /// and gives the rest back. A second call has nothing to do.
    pub async fn drain(&self, grace: Duration) -> Drained {
        let running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.take()
        };
        let Some(running) = running else {
            return Drained::default();
        };
        running.stop.cancel();
        running.consumers.iter().for_each(Consumer::stop);
        let drains = running.consumers.into_iter().map(|c| c.drain(grace));
        let drained = join_all(drains).await;
        if let Err(error) = running.sweeper.await {
            tracing::error!(%error, "the sweeper ended early");
        }
        Drained {
            given_back: drained.iter().map(|d| d.given_back).sum(),
        }
    }

    /// The providers of the channel with this queue to which nothing is sent now, or one push only: in this process.
    /// None of a queue that is no channel's.
    #[must_use]
    pub fn breakers_of(&self, queue: &str) -> Vec<BreakerView> {
        let gate = self.gates.get(queue);
        gate.map(|gate| gate.views()).unwrap_or_default()
    }

    /// The dead letters of each queue, those of events first, an urgent one behind its ordinary one. Their names are those of the queues.
    #[must_use]
    pub fn dead_letters(&self) -> &[DeadLetters] {
        &self.letters
    }

    /// The dead letters of the queue with this name.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`]: the notifier consumes no such queue.
    pub fn dead_letters_of(&self, queue: &str) -> Result<&DeadLetters, NotifierError> {
        let found = self.letters.iter().find(|l| l.queue().name() == queue);
        found.ok_or(NotifierError::NotFound)
    }
}
