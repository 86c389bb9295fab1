//! One task for each queue that extends the leases on what is in hand.

use crate::core::lease::{LeaseId, Leases};
use crate::metrics;
use crate::service::rolls::Rolls;
use kaiwa_platform::clock::Clock;
use kaiwa_platform::queue::{Queue, Receipt, ReceiptError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(super) struct Keeper {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    rolls: Arc<Rolls>,
    state: Mutex<State>,
    /// Held while a call is on its way: whoever ends a lease waits for that, so that the call
    /// cannot undo what is done with the message next.
    calling: tokio::sync::Mutex<()>,
    changed: Notify,
}

struct State {
    leases: Leases,
    lost: BTreeMap<LeaseId, CancellationToken>,
}

/// A lease in use.
pub(super) struct Held {
    keeper: Arc<Keeper>,
    id: LeaseId,
    /// Cancelled when somebody else may have the message.
    pub(super) lost: CancellationToken,
}

impl Keeper {
    pub(super) fn new(
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        rolls: Arc<Rolls>,
        visibility: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            queue,
            clock,
            rolls,
            state: Mutex::new(State {
                leases: Leases::new(visibility),
                lost: BTreeMap::new(),
            }),
            calling: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
        })
    }

    pub(super) fn hold(self: &Arc<Self>, receipt: Receipt) -> Held {
        let lost = CancellationToken::new();
        let mut state = self.state();
        let id = state
            .leases
            .hold(receipt, self.clock.now(), self.rolls.roll());
        state.lost.insert(id, lost.clone());
        drop(state);
        self.changed.notify_one();
        Held {
            keeper: Arc::clone(self),
            id,
            lost,
        }
    }

    /// Extends what is due, for as long as it is polled.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let next = self.state().leases.next_due();
            match next {
                None => self.changed.notified().await,
                Some(due) if due <= self.clock.now() => self.extend().await,
                Some(due) => {
                    tokio::select! {
                        () = self.clock.sleep_until(due) => {}
                        () = self.changed.notified() => {}
                    }
                }
            }
        }
    }

    async fn extend(&self) {
        let _calling = self.calling.lock().await;
        let (due, visibility) = {
            let state = self.state();
            (
                state.leases.due(self.clock.now()),
                state.leases.visibility(),
            )
        };
        if due.is_empty() {
            return;
        }
        // From before the call on: the queue may count from then.
        let asked = self.clock.now();
        let batch = due.iter().map(|(_, receipt)| (receipt.clone(), visibility));
        let results = self.queue.set_visibility(batch.collect()).await;
        let mut state = self.state();
        match results {
            Ok(results) => {
                for ((id, _), result) in due.iter().zip(results) {
                    self.apply(&mut state, *id, result, asked);
                }
            }
            Err(error) => {
                metrics::unanswered("queue");
                tracing::debug!(queue = self.queue.name(), %error, "leases not extended");
                for (id, _) in &due {
                    let failed = ReceiptError::Failed(String::new());
                    self.apply(&mut state, *id, Err(failed), asked);
                }
            }
        }
    }

    fn apply(
        &self,
        state: &mut State,
        id: LeaseId,
        result: Result<(), ReceiptError>,
        asked: kaiwa_common::time::UnixMs,
    ) {
        let is_held = match result {
            Ok(()) => {
                metrics::extended(self.queue.name(), 1);
                state.leases.extended(id, asked, self.rolls.roll())
            }
            Err(ReceiptError::Failed(_)) => state.leases.failed(id, self.clock.now()),
            Err(ReceiptError::Stale) => {
                state.leases.stop(id);
                false
            }
        };
        if !is_held && let Some(lost) = state.lost.remove(&id) {
            metrics::lost(self.queue.name());
            lost.cancel();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Ends the lease, once no call about it is on its way. False when it was lost.
    pub(super) async fn stop(self) -> bool {
        let _calling = self.keeper.calling.lock().await;
        let mut state = self.keeper.state();
        state.lost.remove(&self.id);
        state.leases.stop(self.id)
    }
}
