//! What operators ask of the notifier.

use super::Decision;
use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::pin::Pin;
use uuid::Uuid;

/// An answer to come. Dropping it leaves open what is done.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, AdminError>> + Send + 'a>>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// There is no queue of that name, or it has no dead letters.
    #[error("there is no such queue")]
    QueueUnknown,
    /// Try again: the queue or the store does not answer. It may have been done.
    #[error("{0}")]
    Unavailable(String),
}

/// Queues, dead letters and decisions, for operators.
pub trait NotifyAdmin: Send + Sync + 'static {
    /// Every queue, in the order in which a notification passes them.
    fn queues(&self) -> Answer<'_, Vec<QueueState>>;

    /// At most `limit` dead letters of this queue, or of all of them, with this reason if it is given.
    fn dead(
        &self,
        queue: Option<String>,
        reason: Option<String>,
        limit: usize,
    ) -> Answer<'_, DeadPage>;

    /// One dead letter of this queue, or of any.
    fn dead_letter(&self, queue: Option<String>, id: String) -> Answer<'_, Option<DeadLetter>>;

    /// Sends at most `limit` back to their queue as they were.
    fn redrive(&self, queue: String, pick: Pick, limit: usize) -> Answer<'_, Done>;

    /// Deletes at most `limit` for ever.
    fn discard(&self, queue: String, pick: Pick, limit: usize) -> Answer<'_, Done>;

    /// Decisions about an event, a person, or both, the newest first, at most `limit`.
    fn decisions(
        &self,
        event: Option<Uuid>,
        user: Option<UserId>,
        limit: usize,
    ) -> Answer<'_, Vec<Decided>>;
}

/// How a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// Its name, such as `push-webpush`.
    pub name: String,
    /// Could be received now.
    pub visible: u64,
    /// Received, and not done with.
    pub in_flight: u64,
    /// Not to be seen yet.
    pub delayed: u64,
    /// When the oldest that is there was sent, where that is known.
    pub oldest: Option<UnixMs>,
    /// In its dead letters.
    pub dead: u64,
    /// Of the providers that it leads to, those that are not well, by name (a host for Web Push).
    pub breakers: Vec<Breaker>,
}

/// A provider that is spared for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// Whose.
    pub provider: String,
    /// Whether it is tried.
    pub state: BreakerState,
    /// When it is tried next.
    pub until: Option<UnixMs>,
    /// What it said last, or ours.
    pub why: String,
}

/// Whether a provider is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It is well.
    Closed,
    /// One push at a time tries whether it is well again.
    HalfOpen,
    /// It is not tried.
    Open,
    /// It does not know us: somebody has to mend our credentials.
    Unauthorized,
}

impl BreakerState {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// Some dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadPage {
    /// In no order that can be relied on.
    pub letters: Vec<DeadLetter>,
    /// There may be more.
    pub has_more: bool,
}

/// A message that could not be processed. What people wrote stays in it: only ids come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its name.
    pub id: String,
    /// In whose dead letters it lies.
    pub queue: String,
    /// Why, as a word, such as `exhausted`, `schema`, `max_receives`.
    pub reason: String,
    /// Who said so.
    pub component: String,
    /// When it was sent first.
    pub first_seen: UnixMs,
    /// The trace it belongs to.
    pub trace: Option<String>,
    /// Of what it tells; unknown where its body can't be read.
    pub event: Option<Uuid>,
    /// Whom.
    pub user: Option<UserId>,
    /// Its size.
    pub body_bytes: usize,
    /// What else is known, by name: the class, the room, when it expires.
    pub facts: BTreeMap<String, String>,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// All.
    All,
    /// Those of these ids.
    Ids(Vec<String>),
    /// Those with this reason.
    Reason(String),
}

/// What became of those that were picked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// Redriven or dropped.
    pub done: usize,
    /// Those for which it was not done, and why.
    pub failed: Vec<(String, String)>,
    /// There may be more.
    pub has_more: bool,
    /// It ended early, for this reason; what was done is done.
    pub stopped: Option<String>,
}

/// A decision, and what each rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// About whom.
    pub user: UserId,
    /// What.
    pub decision: Decision,
    /// Rules and what they found, in the order in which they were asked.
    pub steps: Vec<Step>,
}

/// A rule and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Such as `room_mute`.
    pub rule: Cow<'static, str>,
    /// Such as `passes`, `overridden`, `stops`; with the device it was asked of, if it was asked of one.
    pub ruling: Cow<'static, str>,
}
