//! Queues that deliver at least once: the contract of Amazon SQS's standard queues, behind one trait.
//!
//! A received message stays invisible to others until its deadline; whoever has not deleted it by then loses it to
//! the next one, with a receive count one higher. Order is not kept. Every adapter passes `tests/queue`.
//!
//! ```text
//!  Topic ──publish──► Queue ──receive──► a consumer ──delete──► gone
//!                       ▲                    │ poison, or received too often
//!                       └────redrive──── DeadLetters ◄
//! ```

#[cfg(feature = "aws")]
pub mod aws;
mod check;
pub mod dead_letters;
pub mod sqlite;

pub use dead_letters::DeadLetters;
pub use kaiwa_common::limits::{
    DEAD_LETTER_RETENTION as DEAD_RETENTION, QUEUE_RETENTION as RETENTION,
};

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

/// A queue's answer to come. Unless it says otherwise, dropping it leaves open whether it is done.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, QueueError>> + Send + 'a>>;

/// Messages in one call, sent, received, extended or deleted: SQS's bound.
pub const BATCH: usize = 10;

/// A body and its attributes, in bytes: SNS's bound, the smaller of the two services'.
pub const MESSAGE_BYTES: usize = 256 * 1024;

/// A body and its attributes in a queue that is sent to directly, in bytes: what came through a topic must fit with
/// the attributes that dead letters get. SQS takes four times as much.
pub const QUEUED_BYTES: usize = MESSAGE_BYTES + 8 * 1024;

/// Attributes of a message: what SNS delivers raw, and what SQS takes.
pub const ATTRIBUTES: usize = 10;

/// The longest delay before a message is first seen: SQS's bound.
pub const DELAY: Duration = Duration::from_secs(15 * 60);

/// The longest wait of one receive: SQS's bound.
pub const LONG_POLL: Duration = Duration::from_secs(20);

/// The longest invisibility, from receiving on: SQS's bound.
pub const VISIBILITY: Duration = Duration::from_secs(12 * 3600);

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// Text, at least one character: XML's characters only (SQS, `SendMessage`).
    pub body: String,
    /// At most [`ATTRIBUTES`]. Names of A-Z a-z 0-9 `_` `-` `.`, values as the body.
    pub attributes: BTreeMap<String, String>,
    /// Not seen before; whole seconds (SQS rounds up), at most [`DELAY`].
    pub delay: Duration,
}

/// A message as it is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The queue's name for it, the same at each delivery.
    pub id: String,
    /// The name of this delivery.
    pub receipt: Receipt,
    /// What was sent.
    pub body: String,
    /// With it.
    pub attributes: BTreeMap<String, String>,
    /// How often it was received, with this time; at least 1. Approximate on SQS.
    pub receives: u32,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_ms: i64,
}

/// Names one delivery of one message. Only the newest is good; what an older one does is the service's affair.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt(pub String);

/// How much there is. Approximate on SQS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Could be received now.
    pub visible: u64,
    /// Received and not deleted.
    pub in_flight: u64,
    /// Not to be seen yet.
    pub delayed: u64,
    /// The oldest that is there was sent then, in milliseconds since the Unix epoch; not known on SQS.
    pub oldest_ms: Option<i64>,
}

/// Why a call was not done, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Try again: no connection, time-out, throttling, a full disk. It may have been done.
    #[error("the queue does not answer: {0}")]
    Unavailable(String),
    /// Nobody but an operator can help: no such queue, no right to it, wrong credentials.
    #[error("the queue refuses: {0}")]
    Refused(String),
}

/// Why one message of a batch was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too large, not text, or with wrong attributes: sending it again does not help.
    #[error("the message is refused: {0}")]
    Invalid(String),
    /// Send it again.
    #[error("not sent: {0}")]
    Failed(String),
}

/// Why one receipt of a batch did not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not the newest of its message, or the message is gone.
    #[error("the receipt is not valid any more")]
    Stale,
    /// Try again.
    #[error("not done: {0}")]
    Failed(String),
}

/// One queue. Whoever has a share of it may call from any task.
pub trait Queue: Send + Sync + 'static {
    /// Its name, for logs and metrics.
    fn name(&self) -> &str;

    /// Sends at most [`BATCH`] of [`QUEUED_BYTES`]; durable when it answers. In the order given, one result each.
    fn send(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>>;

    /// Receives at most `max` (and [`BATCH`]), waiting up to `wait` for the first; they are invisible to others for
    /// `visibility`. It must not be dropped before it answers: what it has taken would be invisible until then.
    fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Answer<'_, Vec<Delivery>>;

    /// Sets for how long from now each is invisible; zero gives it back at once. At most [`BATCH`]. A lease that
    /// has run out cannot be extended any more.
    fn set_visibility(
        &self,
        batch: Vec<(Receipt, Duration)>,
    ) -> Answer<'_, Vec<Result<(), ReceiptError>>>;

    /// Deletes; at most [`BATCH`]. What is gone already counts as deleted.
    fn delete(&self, batch: Vec<Receipt>) -> Answer<'_, Vec<Result<(), ReceiptError>>>;

    /// How much there is.
    fn depth(&self) -> Answer<'_, Depth>;

    /// Looks at what is there, oldest first, from after this id on, without receiving it: the receipts serve
    /// nothing. `None` where the service cannot do that (SQS).
    fn browse(&self, after: Option<&str>, max: usize) -> Option<Answer<'_, Vec<Delivery>>> {
        let _ = (after, max);
        None
    }
}

/// Where events are published, for whoever has subscribed a queue: SNS, or a queue itself.
pub trait Topic: Send + Sync + 'static {
    /// Publishes at most [`BATCH`] of [`MESSAGE_BYTES`], without delay; durable when it answers. In the order given, one result each.
    fn publish(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>>;
}
