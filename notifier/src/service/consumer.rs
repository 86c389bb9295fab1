//! Consumes one queue: permits, polls, leases, and what becomes of each message.
//!
//! ```text
//!  permit ─► receive ─► hold the lease ─► handle ─► stop the lease, await its call ─► delete | set visibility |
//!     ▲                                                                               bury | park
//!     └──────────────────────────────────────────────────────────────────────────────┘
//! ```

use crate::core::retry::{self, Failure};
use crate::metrics;
use crate::service::deletes::Deletes;
use crate::service::keeper::{Held, Keeper};
use crate::service::rolls::Rolls;
use futures_util::FutureExt as _;
use kaiwa_common::limits::{NOTIFY_IN_HAND, NOTIFY_RECEIVES};
use kaiwa_platform::clock::Clock;
use kaiwa_platform::queue::dead_letters::Note;
use kaiwa_platform::queue::{
    BATCH, DELAY, DeadLetters, Delivery, LONG_POLL, Outgoing, Queue, Receipt,
};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// How long a handler whose message is somebody else's by now goes on: a push and its record. What a provider has taken
/// and nobody has recorded would be sent again; that nobody sends the same meanwhile is the ledger's care.
const LOST: Duration = Duration::from_secs(45);

/// What does the work with a queue's messages.
pub(super) trait Handler: Send + Sync + 'static {
    /// Its name, on dead letters.
    fn name(&self) -> &'static str;

    /// Ends when messages are wanted.
    fn wants(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Handles one. It may be dropped at any point; the message comes again then.
    fn handle<'a>(
        &'a self,
        delivery: &'a Delivery,
    ) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;
}

/// How a queue is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// Polls at once.
    pub pollers: usize,
    /// Messages handled at once; nothing is received that would wait for another.
    pub in_hand: usize,
    /// How long a poll waits. A drain waits for it.
    pub wait: Duration,
    /// How long a message is hidden, and again with each extension. A crashed consumer's work
    /// comes back after this.
    pub visibility: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            pollers: 2,
            in_hand: NOTIFY_IN_HAND,
            wait: LONG_POLL,
            visibility: Duration::from_secs(30),
        }
    }
}

impl ConsumerOptions {
    /// For a queue of rings: it is nearly always empty, so that one poller is enough.
    pub(super) fn urgent(self) -> Self {
        Self { pollers: 1, ..self }
    }
}

/// How a consumer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Messages whose handlers were not done within the grace: they were given back.
    pub given_back: usize,
}

pub(super) struct Consumer {
    shared: Arc<Shared>,
    pollers: Vec<JoinHandle<Option<()>>>,
    deletes: Deletes,
    /// Dropped, it ends every task where it is.
    _kill: DropGuard,
}

struct Shared {
    letters: DeadLetters,
    handler: Arc<dyn Handler>,
    options: ConsumerOptions,
    rolls: Arc<Rolls>,
    keeper: Arc<Keeper>,
    permits: Arc<Semaphore>,
    tracker: TaskTracker,
    /// No more polls.
    stop: CancellationToken,
    /// No more handling.
    abandon: CancellationToken,
    /// Nothing any more.
    killed: CancellationToken,
    given_back: AtomicUsize,
}

impl Consumer {
    pub(super) fn start(
        letters: DeadLetters,
        handler: Arc<dyn Handler>,
        options: ConsumerOptions,
        clock: &Arc<dyn Clock>,
        rolls: &Arc<Rolls>,
    ) -> Self {
        let queue = Arc::clone(letters.queue());
        let keeper = Keeper::new(
            Arc::clone(&queue),
            Arc::clone(clock),
            Arc::clone(rolls),
            options.visibility,
        );
        let killed = CancellationToken::new();
        let deletes = Deletes::start(queue, &killed);
        let shared = Arc::new(Shared {
            letters,
            handler,
            options,
            rolls: Arc::clone(rolls),
            keeper: Arc::clone(&keeper),
            permits: Arc::new(Semaphore::new(options.in_hand.max(1))),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            abandon: CancellationToken::new(),
            killed: killed.clone(),
            given_back: AtomicUsize::new(0),
        });
        let pollers = (0..options.pollers.max(1)).map(|_| {
            let (shared, deletes) = (Arc::clone(&shared), deletes.sender());
            let killed = killed.clone();
            tokio::spawn(killed.run_until_cancelled_owned(shared.poll(deletes)))
        });
        let pollers = pollers.collect();
        tokio::spawn(killed.clone().run_until_cancelled_owned(keeper.run()));
        Self {
            pollers,
            shared,
            deletes,
            _kill: killed.drop_guard(),
        }
    }

    /// No new polls.
    pub(super) fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Awaits the polls that are out, then the handlers for the grace; gives the rest back, and
    /// deletes what is done with.
    pub(super) async fn drain(self, grace: Duration) -> Drained {
        self.stop();
        for poller in self.pollers {
            if let Err(error) = poller.await {
                tracing::error!(%error, "a poller ended early");
            }
        }
        self.shared.tracker.close();
        let done = tokio::time::timeout(grace, self.shared.tracker.wait()).await;
        if done.is_err() {
            self.shared.abandon.cancel();
            self.shared.tracker.wait().await;
        }
        self.deletes.flush().await;
        Drained {
            given_back: self.shared.given_back.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn queue(&self) -> &dyn Queue {
        self.letters.queue().as_ref()
    }

    async fn poll(self: Arc<Self>, deletes: mpsc::Sender<Receipt>) {
        let mut failed = 0;
        while let Some(permits) = self.permits().await {
            let (wait, visibility) = (self.options.wait, self.options.visibility);
            // Never dropped before it answers: what it takes would be hidden from everybody.
            let received = self.queue().receive(permits.len(), wait, visibility).await;
            match received {
                Ok(deliveries) => {
                    failed = 0;
                    for (delivery, permit) in deliveries.into_iter().zip(permits) {
                        metrics::received(self.queue().name(), delivery.receives);
                        let lease = self.keeper.hold(delivery.receipt.clone());
                        let (shared, deletes) = (Arc::clone(&self), deletes.clone());
                        let run = async move { shared.run(delivery, lease, permit, deletes).await };
                        let killed = self.killed.clone();
                        self.tracker.spawn(killed.run_until_cancelled_owned(run));
                    }
                }
                Err(error) => {
                    failed += 1;
                    metrics::unanswered("queue");
                    tracing::warn!(queue = self.queue().name(), %error, "not received");
                    let pause = retry::backoff(failed.min(3), self.rolls.roll());
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stop.cancelled() => {}
                    }
                }
            }
        }
    }

    /// One permit, and what else is free, once messages are wanted; `None` when it is to stop.
    async fn permits(&self) -> Option<Vec<OwnedSemaphorePermit>> {
        let first = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            self.handler.wants().await;
            permit.ok()
        };
        let first = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            first = first => first,
        };
        let mut permits = vec![first?];
        while permits.len() < BATCH {
            match Arc::clone(&self.permits).try_acquire_owned() {
                Ok(permit) => permits.push(permit),
                Err(_) => break,
            }
        }
        Some(permits)
    }

    async fn run(
        &self,
        delivery: Delivery,
        lease: Held,
        _permit: OwnedSemaphorePermit,
        deletes: mpsc::Sender<Receipt>,
    ) {
        let handled = AssertUnwindSafe(self.handler.handle(&delivery)).catch_unwind();
        tokio::pin!(handled);
        let result = tokio::select! {
            biased;
            () = lease.lost.cancelled() => {
                tokio::select! {
                    _ = tokio::time::timeout(LOST, handled) => {}
                    () = self.abandon.cancelled() => {}
                }
                None
            }
            result = &mut handled => Some(result.unwrap_or_else(|_| {
                tracing::error!(queue = self.queue().name(), id = delivery.id, "a handler panicked");
                Err(Failure::Backoff { code: "panicked".to_owned() })
            })),
            () = self.abandon.cancelled() => None,
        };
        let was_lost = lease.lost.is_cancelled();
        let is_ours = lease.stop().await;
        if was_lost || !is_ours {
            tracing::debug!(queue = self.queue().name(), id = delivery.id, "lease lost");
            return;
        }
        let Some(result) = result else {
            self.given_back.fetch_add(1, Ordering::Relaxed);
            return self.hide(&delivery, Duration::ZERO, "given_back").await;
        };
        self.finish(&delivery, result, &deletes).await;
    }

    async fn finish(
        &self,
        delivery: &Delivery,
        result: Result<(), Failure>,
        deletes: &mpsc::Sender<Receipt>,
    ) {
        let queue = self.queue().name();
        let is_last = delivery.receives >= NOTIFY_RECEIVES;
        let done = match result {
            Ok(()) => "done",
            Err(Failure::Drop { reason }) => {
                tracing::debug!(queue, id = delivery.id, reason, "dropped");
                "dropped"
            }
            Err(Failure::Park { delay }) => {
                if !self.park(delivery, delay).await {
                    let again = retry::backoff(delivery.receives, self.rolls.roll());
                    return self.hide(delivery, again, "retried").await;
                }
                "parked"
            }
            Err(Failure::Poison { reason }) => return self.bury(delivery, &reason, "poison").await,
            Err(Failure::Retry { code, .. } | Failure::Backoff { code }) if is_last => {
                tracing::warn!(queue, id = delivery.id, code, "given up");
                return self.bury(delivery, "exhausted", "exhausted").await;
            }
            Err(Failure::Retry { after, code }) => {
                tracing::debug!(queue, id = delivery.id, code, "comes again");
                return self.hide(delivery, after, "retried").await;
            }
            Err(Failure::Backoff { code }) => {
                tracing::debug!(queue, id = delivery.id, code, "comes again");
                let again = retry::backoff(delivery.receives, self.rolls.roll());
                return self.hide(delivery, again, "retried").await;
            }
        };
        metrics::done(queue, done);
        // Its task lives longer than any handler.
        let _ = deletes.send(delivery.receipt.clone()).await;
    }

    async fn hide(&self, delivery: &Delivery, time: Duration, result: &'static str) {
        metrics::done(self.queue().name(), result);
        let batch = vec![(delivery.receipt.clone(), time)];
        if let Err(error) = self.queue().set_visibility(batch).await {
            // It comes when its lease runs out.
            metrics::unanswered("queue");
            tracing::debug!(queue = self.queue().name(), %error, "back-off not set");
        }
    }

    async fn bury(&self, delivery: &Delivery, reason: &str, result: &'static str) {
        let note = Note::new(reason, self.handler.name());
        match self.letters.bury(delivery, &note).await {
            Ok(()) => metrics::done(self.queue().name(), result),
            Err(error) => {
                tracing::warn!(queue = self.queue().name(), %error, "not put to the dead letters");
                let again = retry::backoff(delivery.receives, self.rolls.roll());
                self.hide(delivery, again, "retried").await;
            }
        }
    }

    /// Sends the same message anew, to be seen later. False when that did not work.
    async fn park(&self, delivery: &Delivery, delay: Duration) -> bool {
        let again = Outgoing {
            body: delivery.body.clone(),
            attributes: delivery.attributes.clone(),
            delay: Duration::from_secs(delay.as_secs() + 1).min(DELAY),
        };
        let sent = self.queue().send(vec![again]).await;
        matches!(sent, Ok(results) if results.iter().all(Result::is_ok))
    }
}
