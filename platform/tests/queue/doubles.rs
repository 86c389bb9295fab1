//! Queues in front of a queue: one that takes not everything, and one that cannot be looked at.

use super::embedded::Embedded;
use super::world::{Boxed, Pair, SECOND, World};
use kaiwa_platform::queue::dead_letters::name_of;
use kaiwa_platform::queue::{
    Answer, Delivery, Depth, Outgoing, Queue, QueueError, Receipt, ReceiptError, SendError,
};
use std::sync::Arc;
use std::time::Duration;

/// A queue that does not take messages with this body; none at all, if that is empty.
pub(super) struct Picky(pub(super) Arc<dyn Queue>, pub(super) &'static str);

impl Queue for Picky {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn send(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            if self.1.is_empty() {
                return Err(QueueError::Unavailable("down".to_owned()));
            }
            let refused = |m: &Outgoing| m.body == self.1;
            let places: Vec<_> = batch.iter().map(refused).collect();
            let good = batch.into_iter().filter(|m| !refused(m)).collect();
            let mut sent = self.0.send(good).await?.into_iter();
            let no = || Err(SendError::Failed("not this one".to_owned()));
            let result = |is_refused| {
                if is_refused {
                    no()
                } else {
                    sent.next().unwrap()
                }
            };
            Ok(places.into_iter().map(result).collect())
        })
    }

    fn receive(&self, max: usize, wait: Duration, lease: Duration) -> Answer<'_, Vec<Delivery>> {
        self.0.receive(max, wait, lease)
    }

    fn set_visibility(
        &self,
        batch: Vec<(Receipt, Duration)>,
    ) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        self.0.set_visibility(batch)
    }

    fn delete(&self, batch: Vec<Receipt>) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        self.0.delete(batch)
    }

    fn depth(&self) -> Answer<'_, Depth> {
        self.0.depth()
    }
}

/// The same, behind queues that cannot be looked at.
pub(super) struct Blind(pub(super) Embedded);

impl World for Blind {
    fn queue(&self, max_receives: u32) -> Boxed<'_, Pair> {
        Box::pin(async move {
            let Pair { queue, dead } = self.0.queue(max_receives).await;
            assert_eq!(dead.name(), name_of(queue.name()));
            Pair {
                queue: Arc::new(BlindQueue(queue)),
                dead: Arc::new(BlindQueue(dead)),
            }
        })
    }

    fn pass(&self, time: Duration) -> Boxed<'_, ()> {
        self.0.pass(time)
    }

    fn until_one_waits(&self) -> Boxed<'_, ()> {
        self.0.until_one_waits()
    }

    fn long(&self) -> Duration {
        self.0.long()
    }
}

struct BlindQueue(Arc<dyn Queue>);

impl Queue for BlindQueue {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn send(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>> {
        self.0.send(batch)
    }

    fn receive(&self, max: usize, wait: Duration, lease: Duration) -> Answer<'_, Vec<Delivery>> {
        // A pass over dead letters waits a second at its end, which nobody here moves the clock by.
        let wait = if wait <= SECOND { Duration::ZERO } else { wait };
        self.0.receive(max, wait, lease)
    }

    fn set_visibility(
        &self,
        batch: Vec<(Receipt, Duration)>,
    ) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        self.0.set_visibility(batch)
    }

    fn delete(&self, batch: Vec<Receipt>) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        self.0.delete(batch)
    }

    fn depth(&self) -> Answer<'_, Depth> {
        self.0.depth()
    }
}
