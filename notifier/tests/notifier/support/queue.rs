//! A queue in memory that keeps SQS's promises and no more: late, twice, and with errors where it may.

use super::{Chance, SimClock};
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock as _;
use kaiwa_platform::queue::{
    Answer, BATCH, Delivery, Depth, Outgoing, Queue, QueueError, Receipt, ReceiptError, SendError,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

pub(crate) struct MemoryQueue {
    name: String,
    clock: SimClock,
    state: Mutex<State>,
    arrived: Notify,
}

struct State {
    messages: Vec<Stored>,
    next: u64,
    chance: Chance,
    faults: Faults,
    most_receives: u32,
    receives: u64,
    is_refusing: bool,
}

/// In percent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Delivered to two at once.
    pub(crate) doubled: u64,
    /// Seen late.
    pub(crate) late: u64,
    /// Calls that fail.
    pub(crate) failing: u64,
}

struct Stored {
    id: u64,
    message: Outgoing,
    sent: UnixMs,
    visible: UnixMs,
    receives: u32,
    receipt: Option<Receipt>,
}

impl MemoryQueue {
    pub(crate) fn new(name: &str, clock: SimClock, seed: u64, faults: Faults) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            clock,
            state: Mutex::new(State {
                messages: Vec::new(),
                next: 0,
                chance: Chance::new(seed),
                faults,
                most_receives: 0,
                receives: 0,
                is_refusing: false,
            }),
            arrived: Notify::new(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().unwrap().messages.len()
    }

    pub(crate) fn most_receives(&self) -> u32 {
        self.state.lock().unwrap().most_receives
    }

    pub(crate) fn receives(&self) -> u64 {
        self.state.lock().unwrap().receives
    }

    /// What is there, whatever its visibility.
    pub(crate) fn messages(&self) -> Vec<Outgoing> {
        let state = self.state.lock().unwrap();
        state.messages.iter().map(|m| m.message.clone()).collect()
    }

    /// Receivable now.
    pub(crate) fn visible(&self) -> usize {
        let now = self.clock.now();
        let state = self.state.lock().unwrap();
        state.messages.iter().filter(|m| m.visible <= now).count()
    }

    /// From now on it takes nothing, and never will.
    pub(crate) fn refuse(&self) {
        self.state.lock().unwrap().is_refusing = true;
    }

    /// Somebody else has it: every receipt that is out is stale.
    pub(crate) fn steal_all(&self) {
        for message in &mut self.state.lock().unwrap().messages {
            message.receipt = None;
        }
    }

    fn take(&self, max: usize, visibility: Duration) -> (Vec<Delivery>, Option<UnixMs>) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap();
        let State {
            messages,
            next,
            chance,
            faults,
            most_receives,
            receives,
            ..
        } = &mut *state;
        let mut taken = Vec::new();
        for message in messages.iter_mut().filter(|m| m.visible <= now) {
            if taken.len() == max.min(BATCH) {
                break;
            }
            *next += 1;
            let receipt = Receipt(format!("{}-{next}", message.id));
            message.receipt = Some(receipt.clone());
            message.receives += 1;
            message.visible = if chance.percent(faults.doubled) {
                now
            } else {
                now.plus(visibility)
            };
            *most_receives = message.receives.max(*most_receives);
            *receives += 1;
            taken.push(Delivery {
                id: message.id.to_string(),
                receipt,
                body: message.message.body.clone(),
                attributes: message.message.attributes.clone(),
                receives: message.receives,
                sent_ms: message.sent.0,
            });
        }
        let next = messages.iter().map(|m| m.visible).min();
        (taken, next)
    }

    fn fails(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let failing = state.faults.failing;
        state.chance.percent(failing)
    }
}

impl Queue for MemoryQueue {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>> {
        assert!(batch.len() <= BATCH);
        Box::pin(async move {
            if self.fails() {
                return Err(QueueError::Unavailable("scripted".to_owned()));
            }
            let now = self.clock.now();
            let mut results = Vec::new();
            {
                let mut state = self.state.lock().unwrap();
                for message in batch {
                    if state.is_refusing {
                        results.push(Err(SendError::Invalid("scripted".to_owned())));
                        continue;
                    }
                    if state.faults.failing > 0 && state.chance.percent(2) {
                        results.push(Err(SendError::Failed("scripted".to_owned())));
                        continue;
                    }
                    let mut visible = now.plus(message.delay);
                    let late = state.faults.late;
                    if state.chance.percent(late) {
                        visible = visible.plus(state.chance.upto(Duration::from_secs(20)));
                    }
                    state.next += 1;
                    let id = state.next;
                    state.messages.push(Stored {
                        id,
                        message,
                        sent: now,
                        visible,
                        receives: 0,
                        receipt: None,
                    });
                    results.push(Ok(()));
                }
            }
            self.arrived.notify_waiters();
            Ok(results)
        })
    }

    fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Answer<'_, Vec<Delivery>> {
        Box::pin(async move {
            if self.fails() {
                return Err(QueueError::Unavailable("scripted".to_owned()));
            }
            let end = self.clock.now().plus(wait);
            loop {
                let arrived = self.arrived.notified();
                let (taken, next) = self.take(max, visibility);
                if !taken.is_empty() || self.clock.now() >= end {
                    return Ok(taken);
                }
                let until = next.map_or(end, |next| next.min(end));
                tokio::select! {
                    () = arrived => {}
                    () = self.clock.sleep_until(until) => {}
                }
            }
        })
    }

    fn set_visibility(
        &self,
        batch: Vec<(Receipt, Duration)>,
    ) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        assert!(!batch.is_empty() && batch.len() <= BATCH);
        Box::pin(async move {
            // It takes its time: a tick that is on its way must not undo what follows.
            tokio::time::sleep(Duration::from_millis(5)).await;
            if self.fails() {
                return Err(QueueError::Unavailable("scripted".to_owned()));
            }
            let now = self.clock.now();
            let mut state = self.state.lock().unwrap();
            let results = batch.into_iter().map(|(receipt, time)| {
                let found = state.messages.iter_mut();
                let mut found = found.filter(|m| m.receipt.as_ref() == Some(&receipt));
                let message = found.next().ok_or(ReceiptError::Stale)?;
                message.visible = now.plus(time);
                Ok(())
            });
            let results = results.collect();
            drop(state);
            self.arrived.notify_waiters();
            Ok(results)
        })
    }

    fn delete(&self, batch: Vec<Receipt>) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        assert!(!batch.is_empty() && batch.len() <= BATCH);
        Box::pin(async move {
            if self.fails() {
                return Err(QueueError::Unavailable("scripted".to_owned()));
            }
            let mut state = self.state.lock().unwrap();
            let results = batch.into_iter().map(|receipt| {
                let id = receipt.0.split('-').next().unwrap_or_default().to_owned();
                let at = state.messages.iter().position(|m| m.id.to_string() == id);
                let Some(at) = at else { return Ok(()) };
                if state.messages[at].receipt.as_ref() != Some(&receipt) {
                    return Err(ReceiptError::Stale);
                }
                state.messages.remove(at);
                Ok(())
            });
            Ok(results.collect())
        })
    }

    fn depth(&self) -> Answer<'_, Depth> {
        Box::pin(async { Ok(Depth::default()) })
    }
}
