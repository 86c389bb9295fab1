//! Queues in the one SQLite database.
//!
//! Each call is one job of the writer, so it shares its commit with whatever is written at that time. A receive
//! that waits asks the database nothing: it knows when the next message can be received, and is told when that
//! changes, by whoever changes it on the writer's thread.

mod schema;
#[doc(hidden)]
pub mod statements;

use super::{
    Answer, DEAD_RETENTION, Delivery, Depth, LONG_POLL, MESSAGE_BYTES, Outgoing, QUEUED_BYTES,
    Queue, QueueError, RETENTION, Receipt, ReceiptError, SendError, Topic, VISIBILITY, check,
    dead_letters,
};
use crate::clock::Clock;
use crate::sqlite::{Keep, OpenError, Sqlite, WriteError};
use kaiwa_common::time::UnixMs;
use rusqlite::Connection;
use statements::Rules;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// All queues of a database. One for each database and process: it is what wakes receives that wait. Cheap to clone.
#[derive(Clone)]
pub struct SqliteQueues {
    db: Sqlite,
    clock: Arc<dyn Clock>,
    open: Arc<Mutex<BTreeMap<String, Arc<State>>>>,
}

/// How a queue treats what nobody deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteQueueOptions {
    /// Received as often as this, a message goes to the dead letters instead of being received again. `None` keeps
    /// it: a dead-letter queue.
    pub max_receives: Option<u32>,
    /// How long a message is kept; then it is gone.
    pub retention: Duration,
}

impl Default for SqliteQueueOptions {
    fn default() -> Self {
        Self {
            max_receives: Some(dead_letters::RECEIVES),
            retention: RETENTION,
        }
    }
}

impl SqliteQueueOptions {
    /// A dead-letter queue's.
    #[must_use]
    pub fn dead() -> Self {
        Self {
            max_receives: None,
            retention: DEAD_RETENTION,
        }
    }
}

/// A queue in the database. Cheap to clone; clones are the same queue.
#[derive(Clone)]
pub struct SqliteQueue {
    db: Sqlite,
    clock: Arc<dyn Clock>,
    state: Arc<State>,
    dead: Option<Arc<State>>,
}

/// What all clones share.
struct State {
    rules: Rules,
    /// When the next message can be received: at the latest then, a look finds something or learns better. Written
    /// on the writer's thread, in the order of the jobs. [`LOOK`] when nothing is known.
    due: watch::Sender<UnixMs>,
}

const LOOK: UnixMs = UnixMs(i64::MIN);
const NEVER: UnixMs = UnixMs(i64::MAX);

impl SqliteQueues {
    /// Brings the queues' tables up to date.
    ///
    /// # Errors
    /// As [`Sqlite::migrate`].
    pub async fn open(db: Sqlite, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        db.migrate(schema::SCHEMA).await?;
        Ok(Self {
            db,
            clock,
            open: Arc::default(),
        })
    }

    /// The queue of this name, made if it is new, and with `max_receives` its dead-letter queue
    /// ([`dead_letters::name_of`]). Whoever opens it first sets its options.
    ///
    /// # Errors
    /// `Refused` for a name that is none; `Unavailable` when the database does not answer.
    pub async fn queue(
        &self,
        name: &str,
        options: SqliteQueueOptions,
    ) -> Result<SqliteQueue, QueueError> {
        let dead = match options.max_receives {
            Some(most) => {
                let name = dead_letters::name_of(name);
                let state = self.state(&name, SqliteQueueOptions::dead(), None).await?;
                Some((state, most))
            }
            None => None,
        };
        let state = self.state(name, options, dead.clone()).await?;
        Ok(SqliteQueue {
            db: self.db.clone(),
            clock: Arc::clone(&self.clock),
            state,
            dead: dead.map(|(state, _)| state),
        })
    }

    async fn state(
        &self,
        name: &str,
        options: SqliteQueueOptions,
        dead: Option<(Arc<State>, u32)>,
    ) -> Result<Arc<State>, QueueError> {
        check::name(name)?;
        let named = name.to_owned();
        let number = self.db.writer.submit(64, move |connection| {
            statements::number(connection, &named).map(|number| (Keep::Yes, number))
        });
        let number = number.await.map_err(|error| unavailable(&error))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let state = open.entry(name.to_owned()).or_insert_with(|| {
            let rules = Rules {
                number,
                name: name.to_owned(),
                dead: dead.map(|(dead, most)| (dead.rules.number, most.max(1))),
                retention: options.retention,
            };
            let due = watch::Sender::new(LOOK);
            Arc::new(State { rules, due })
        });
        Ok(Arc::clone(state))
    }
}

impl State {
    /// A message can be received from then on.
    fn lower(&self, due: UnixMs) {
        self.due.send_if_modified(|next| {
            let is_sooner = due < *next;
            *next = (*next).min(due);
            is_sooner
        });
    }

    /// Nothing can be received before then.
    fn set(&self, due: UnixMs) {
        self.due
            .send_if_modified(|next| std::mem::replace(next, due) != due);
    }
}

impl SqliteQueue {
    /// Sends within the caller's own transaction: the messages are there if that is committed. To be called in a
    /// job of the same database's writer, which is also what wakes those who wait. Invalid messages are left out.
    ///
    /// # Errors
    /// SQLite's; nothing was sent then.
    pub fn enqueue(
        &self,
        connection: &Connection,
        batch: Vec<Outgoing>,
    ) -> rusqlite::Result<Vec<Result<(), SendError>>> {
        self.enqueue_up_to(connection, batch, QUEUED_BYTES)
    }

    fn enqueue_up_to(
        &self,
        connection: &Connection,
        batch: Vec<Outgoing>,
        limit: usize,
    ) -> rusqlite::Result<Vec<Result<(), SendError>>> {
        let results: Vec<_> = batch
            .iter()
            .map(|message| check::message(message, limit))
            .collect();
        let good: Vec<Outgoing> = batch
            .into_iter()
            .zip(&results)
            .filter_map(|(message, result)| result.is_ok().then_some(message))
            .collect();
        let now = self.clock.now();
        if let Some(soonest) = good.iter().map(|message| message.delay).min() {
            statements::send(connection, &self.state.rules, now, &good)?;
            self.state.lower(now.plus(soonest));
        }
        Ok(results)
    }

    async fn send_up_to(
        &self,
        batch: Vec<Outgoing>,
        limit: usize,
    ) -> Result<Vec<Result<(), SendError>>, QueueError> {
        check::batch(batch.len())?;
        let queue = self.clone();
        let bytes = batch.iter().map(check::bytes).sum();
        self.write(bytes, move |connection| {
            queue.enqueue_up_to(connection, batch, limit)
        })
        .await
    }

    /// One look for what can be received now.
    async fn take(&self, max: usize, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let (queue, now) = (self.clone(), self.clock.now());
        let taken = self.write(ROW_BYTES * max, move |connection| {
            let taken = statements::take(connection, &queue.state.rules, now, max, visibility)?;
            queue.state.set(taken.next_due.unwrap_or(NEVER));
            if let Some(dead) = queue.dead.as_ref().filter(|_| taken.dead > 0) {
                dead.lower(now);
                let (name, count) = (&queue.state.rules.name, taken.dead);
                tracing::warn!(queue = %name, count, "received too often: to the dead letters");
            }
            Ok(taken)
        });
        match taken.await {
            Ok(taken) => Ok(taken.deliveries),
            Err(error) => {
                // What the job found out was not committed, or may not have been.
                self.state.set(LOOK);
                Err(error)
            }
        }
    }

    async fn wait(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let mut due = self.state.due.subscribe();
        let until = self.clock.now().plus(wait);
        loop {
            if *due.borrow_and_update() <= self.clock.now() {
                let taken = self.take(max, visibility).await?;
                if !taken.is_empty() {
                    return Ok(taken);
                }
            }
            if self.clock.now() >= until {
                return Ok(Vec::new());
            }
            let next = until.min(*due.borrow_and_update());
            tokio::select! {
                () = self.clock.sleep_until(next) => {}
                // The sender lives as long as the queue.
                _ = due.changed() => {}
            }
        }
    }

    async fn write<T, F>(&self, bytes: usize, job: F) -> Result<T, QueueError>
    where
        T: Send + Unpin + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let job = self
            .db
            .writer
            .submit(bytes, |connection| Ok((Keep::Yes, job(connection)?)));
        job.await.map_err(|error| unavailable(&error))
    }

    async fn read<T, F>(&self, read: F) -> Result<T, QueueError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Rules) -> rusqlite::Result<T> + Send + 'static,
    {
        let state = Arc::clone(&self.state);
        self.db
            .readers
            .run(move |connection| read(connection, &state.rules))
            .await
            .map_err(|error| QueueError::Unavailable(chain(&error)))
    }

    /// What the statements are given: for measuring beside them.
    #[doc(hidden)]
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.state.rules.clone()
    }
}

/// What a receive of one message adds to the WAL, for the group's bound: a page or so of the table and the index.
const ROW_BYTES: usize = 512;

impl Queue for SqliteQueue {
    fn name(&self) -> &str {
        &self.state.rules.name
    }

    fn send(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>> {
        Box::pin(self.send_up_to(batch, QUEUED_BYTES))
    }

    fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Answer<'_, Vec<Delivery>> {
        let max = max.clamp(1, super::BATCH);
        Box::pin(self.wait(max, wait.min(LONG_POLL), visibility.min(VISIBILITY)))
    }

    fn set_visibility(
        &self,
        batch: Vec<(Receipt, Duration)>,
    ) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        Box::pin(async move {
            check::batch(batch.len())?;
            let queue = self.clone();
            self.write(ROW_BYTES * batch.len(), move |connection| {
                let now = queue.clock.now();
                let batch: Vec<_> = batch
                    .into_iter()
                    .map(|(receipt, visibility)| (receipt, visibility.min(VISIBILITY)))
                    .collect();
                let rules = &queue.state.rules;
                let results = statements::set_visibility(connection, rules, now, &batch)?;
                if let Some(soonest) = batch.iter().map(|(_, visibility)| *visibility).min() {
                    queue.state.lower(now.plus(soonest));
                }
                Ok(results)
            })
            .await
        })
    }

    fn delete(&self, batch: Vec<Receipt>) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        Box::pin(async move {
            check::batch(batch.len())?;
            let state = Arc::clone(&self.state);
            self.write(ROW_BYTES * batch.len(), move |connection| {
                statements::delete(connection, &state.rules, &batch)
            })
            .await
        })
    }

    fn depth(&self) -> Answer<'_, Depth> {
        let now = self.clock.now();
        Box::pin(self.read(move |connection, rules| statements::depth(connection, rules, now)))
    }

    fn browse(&self, after: Option<&str>, max: usize) -> Option<Answer<'_, Vec<Delivery>>> {
        // An id that is none begins at the start.
        let after = after.and_then(|id| id.parse().ok()).unwrap_or(0);
        Some(Box::pin(self.read(move |connection, rules| {
            statements::browse(connection, rules, after, max)
        })))
    }
}

impl Topic for SqliteQueue {
    fn publish(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>> {
        let at_once = |message| Outgoing {
            delay: Duration::ZERO,
            ..message
        };
        let batch = batch.into_iter().map(at_once).collect();
        Box::pin(self.send_up_to(batch, MESSAGE_BYTES))
    }
}

/// Nothing that an operator could mend in the queue itself: a full disk, a full writer, the end of the process.
fn unavailable(error: &WriteError) -> QueueError {
    QueueError::Unavailable(chain(error))
}

/// An error with its sources, since this is where their chain ends.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
