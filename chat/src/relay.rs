//! The relay's shell: performs what its core says, one thing at a time, and sleeps until a commit or a deadline.
//!
//! [`announcer`] is its neighbour for what is told at once.

pub mod announcer;

use crate::core::relay::{Answered, Asked, Effect, Failed, Intent, RelayCore, RelayStats, Sent};
use crate::ports::{Among, Attendance, LogPos, OptIns, Outbox, StoreError};
use crate::service::Clock;
use crate::wire::notify;
use kaiwa_common::id::UserId;
use kaiwa_platform::queue::{SendError, Topic};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Between two tries to read the cursor at start.
const RETRY: Duration = Duration::from_secs(1);

/// The longest sleep: a wall clock that is set shows within it.
const SLEEP: Duration = Duration::from_secs(60);

/// What the relay needs of the rest.
#[derive(Clone)]
pub struct RelayParts {
    /// The log over all rooms.
    pub outbox: Arc<dyn Outbox>,
    /// Is told after each commit: [`Chat::committed`](crate::service::Chat::committed).
    pub committed: Arc<Notify>,
    /// Who is here.
    pub attendance: Arc<dyn Attendance>,
    /// Who wants to hear of all.
    pub opt_ins: Arc<dyn OptIns>,
    /// Where it is published.
    pub topic: Arc<dyn Topic>,
    /// The clock.
    pub clock: Clock,
}

/// Where the relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayStatus {
    /// What it has done.
    pub stats: RelayStats,
    /// Events of the log that it has not told yet, those within their grace included.
    pub behind: u64,
}

/// A running relay; it ends when this is dropped.
pub struct Relay {
    status: Arc<Mutex<RelayStatus>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts it. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(parts: RelayParts) -> Self {
        let status: Arc<Mutex<RelayStatus>> = Arc::default();
        let (stop, stopped) = oneshot::channel();
        let shell = Shell {
            parts,
            status: Arc::clone(&status),
        };
        let task = tokio::spawn(shell.run(stopped));
        Self { status, stop, task }
    }

    /// Where it is.
    #[must_use]
    pub fn status(&self) -> RelayStatus {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what is under way, remembers the cursor, and returns.
    pub async fn stop(self) {
        drop(self.stop);
        // One that panicked has said so.
        let _ = self.task.await;
    }
}

/// Nobody wants to hear of all: for a server without settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoOptIns;

impl OptIns for NoOptIns {
    fn opted_in(
        &self,
        _: &kaiwa_common::id::RoomId,
        _: Option<UserId>,
        _: usize,
    ) -> crate::ports::Answer<Vec<UserId>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

struct Shell {
    parts: RelayParts,
    status: Arc<Mutex<RelayStatus>>,
}

impl Shell {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let mut core = tokio::select! {
            cursor = self.begin() => RelayCore::new(cursor),
            _ = &mut stopped => return,
        };
        loop {
            while let Some(effect) = core.poll_effect((self.parts.clock)()) {
                self.perform(&mut core, effect).await;
                if !matches!(stopped.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
                    return self.end(&core).await;
                }
            }
            self.measure(&core).await;
            let now = (self.parts.clock)();
            let sleep = core.poll_timeout().map_or(SLEEP, |due| due.since(now));
            tokio::select! {
                () = self.parts.committed.notified() => core.handle_commit(),
                () = tokio::time::sleep(sleep.min(SLEEP)) => {}
                _ = &mut stopped => return self.end(&core).await,
            }
        }
    }

    /// Where to go on. A cursor beyond the log's end is of a log that was restored from an older copy.
    async fn begin(&self) -> LogPos {
        loop {
            match self.place().await {
                Ok(place) => return place,
                Err(error) => tracing::warn!(%error, "the relay's cursor can't be read yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn place(&self) -> Result<LogPos, StoreError> {
        let end = self.parts.outbox.end().await?;
        let cursor = self.parts.outbox.cursor().await?;
        Ok(cursor.map_or(end, |cursor| cursor.min(end)))
    }

    async fn end(&self, core: &RelayCore) {
        if let Err(error) = self.parts.outbox.save_cursor(core.low()).await {
            tracing::debug!(%error, "the cursor was not saved: some is published again");
        }
    }

    async fn perform(&self, core: &mut RelayCore, effect: Effect) {
        let now = || (self.parts.clock)();
        match effect {
            Effect::Read { after, limit } => {
                let page = self.parts.outbox.read_outbox(after, limit).await;
                core.handle_read(page.map_err(failed), now());
            }
            Effect::Ask(asked) => {
                let answers = self.answer(asked).await;
                core.handle_answers(answers.map_err(failed), now());
            }
            Effect::Publish(intents) => {
                let results = self.publish(&intents).await;
                core.handle_published(results, now());
            }
            Effect::Save(at) => {
                let saved = self.parts.outbox.save_cursor(at).await;
                core.handle_saved(saved.map_err(failed), now());
                self.measure(core).await;
            }
        }
    }

    async fn answer(&self, mut asked: Vec<Asked>) -> Result<Vec<Answered>, StoreError> {
        let mut nexts = Vec::with_capacity(asked.len());
        for ask in &mut asked {
            nexts.push(self.complete(ask).await?);
        }
        let questions = asked.iter().map(|ask| ask.question.clone()).collect();
        let found = self.parts.outbox.candidates(questions).await?;
        let mut answers = Vec::with_capacity(asked.len());
        for ((ask, users), next) in asked.iter().zip(found).zip(nexts) {
            let is_full = users.len() >= ask.question.limit;
            let last = users.last().cloned().filter(|_| is_full);
            let next = match &ask.question.among {
                Among::MembersAfter(_) => last,
                Among::These(_) => next,
            };
            let room = &ask.question.room;
            let attention = if users.is_empty() {
                Vec::new()
            } else {
                let attendance = &self.parts.attendance;
                attendance
                    .attention(room, ask.posted.position, users.clone())
                    .await?
            };
            let people = users.into_iter().zip(attention).collect();
            answers.push(Answered { people, next });
        }
        Ok(answers)
    }

    /// Fills in who opted in; gives the last of them when there may be more. Who is named was told already.
    async fn complete(&self, ask: &mut Asked) -> Result<Option<UserId>, StoreError> {
        let Some(after) = ask.opted_in_after.take() else {
            return Ok(None);
        };
        let Asked {
            question, posted, ..
        } = ask;
        let opt_ins = &self.parts.opt_ins;
        let users = opt_ins
            .opted_in(&question.room, after, question.limit)
            .await?;
        let is_full = users.len() >= question.limit;
        let next = users.last().cloned().filter(|_| is_full);
        let named: BTreeSet<&UserId> = posted
            .mentions
            .users
            .iter()
            .chain(&posted.answers)
            .collect();
        let others = users.into_iter().filter(|user| !named.contains(user));
        question.among = Among::These(others.collect());
        Ok(next)
    }

    async fn publish(&self, intents: &[Intent]) -> Result<Vec<Sent>, Failed> {
        let batch = intents.iter().map(notify::intent).collect();
        match self.parts.topic.publish(batch).await {
            Ok(results) => Ok(results.into_iter().map(sent).collect()),
            Err(error) => {
                tracing::warn!(%error, "notifications are not published; trying again");
                Err(Failed)
            }
        }
    }

    async fn measure(&self, core: &RelayCore) {
        let end = self.parts.outbox.end().await;
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.stats = core.stats();
        if let Ok(end) = end {
            status.behind = end.0.saturating_sub(core.cursor().0);
        }
    }
}

fn sent(result: Result<(), SendError>) -> Sent {
    match result {
        Ok(()) => Sent::Yes,
        Err(SendError::Failed(_)) => Sent::Again,
        Err(SendError::Invalid(rule)) => {
            tracing::error!(rule, "the topic refuses a notification");
            Sent::Never
        }
    }
}

fn failed(error: StoreError) -> Failed {
    tracing::warn!(%error, "the relay waits for the store");
    Failed
}
