//! What a check may use: queues, and time that passes.

use kaiwa_platform::queue::{DeadLetters, Delivery, Outgoing, Queue, Receipt};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A back end under test.
pub(crate) trait World: Send + Sync + 'static {
    /// A fresh queue that gives up at the `max_receives`-th receive, and its dead-letter queue.
    fn queue(&self, max_receives: u32) -> Boxed<'_, Pair>;

    /// Lets that much time pass for the service: moves its clock, or waits where it has only the real one.
    fn pass(&self, time: Duration) -> Boxed<'_, ()>;

    /// Ends once a receive waits: known with a clock of ours; elsewhere a moment later, which weakens what a check
    /// shows but never fails it.
    fn until_one_waits(&self) -> Boxed<'_, ()>;

    /// Two who ask at the same time may be given the same message, as SQS's contract has it (at least once).
    fn may_double(&self) -> bool {
        false
    }

    /// Seconds that a lease or delay lasts at which a check still has to do something in time.
    fn long(&self) -> Duration;
}

/// A queue and its dead letters.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) dead: Arc<dyn Queue>,
}

impl Pair {
    pub(crate) fn letters(&self) -> DeadLetters {
        DeadLetters::new(Arc::clone(&self.queue), Arc::clone(&self.dead))
    }

    /// Sends one, which must be taken.
    pub(crate) async fn send(&self, body: &str) {
        let sent = self.queue.send(vec![text(body)]).await.expect("an answer");
        assert_eq!(sent, [Ok(())]);
    }

    /// Receives one, which must be there now or soon.
    pub(crate) async fn receive(&self, visibility: Duration) -> Delivery {
        let mut found = self
            .queue
            .receive(1, POLL, visibility)
            .await
            .expect("an answer");
        assert_eq!(found.len(), 1, "one message was to be received");
        found.remove(0)
    }

    /// Sees that there is nothing to be received now.
    pub(crate) async fn is_empty_now(&self, why: &str) {
        let found = self
            .queue
            .receive(10, Duration::ZERO, MINUTE)
            .await
            .expect("an answer");
        assert_eq!(found, [], "{why}");
    }

    pub(crate) async fn give_back(&self, receipt: &Receipt) {
        let batch = vec![(receipt.clone(), Duration::ZERO)];
        let result = self.queue.set_visibility(batch).await.expect("an answer");
        assert_eq!(result, [Ok(())]);
    }

    pub(crate) async fn delete(&self, receipt: &Receipt) {
        let result = self
            .queue
            .delete(vec![receipt.clone()])
            .await
            .expect("an answer");
        assert_eq!(result, [Ok(())]);
    }

    /// Receives until there are `count`, and no longer than until a poll gives none.
    pub(crate) async fn receive_all(&self, count: usize) -> Vec<Delivery> {
        receive_all(&*self.queue, count).await
    }
}

pub(crate) async fn receive_all(queue: &dyn Queue, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        let found = queue.receive(10, POLL, MINUTE).await.expect("an answer");
        assert!(!found.is_empty(), "{} of {count} were received", all.len());
        all.extend(found);
    }
    all
}

pub(crate) fn text(body: &str) -> Outgoing {
    Outgoing {
        body: body.to_owned(),
        ..Outgoing::default()
    }
}

/// The sorted bodies.
pub(crate) fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    let mut bodies: Vec<_> = deliveries.iter().map(|d| d.body.as_str()).collect();
    bodies.sort_unstable();
    bodies
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// How long a receive waits for what must be there.
pub(crate) const POLL: Duration = Duration::from_secs(20);

pub(crate) const SECOND: Duration = Duration::from_secs(1);
