//! The writer: one thread, one connection, commits in groups.
//!
//! A group is what is waiting when the commit before it ends, so batches grow with the load and there
//! is no timer: alone, a job waits for nobody; under load, a commit in progress collects the next.

use super::error::{OpenError, WriteError};
use super::job::{Job, Keep, TypedJob, Verdict};
use super::open::{SqliteOptions, writer_connection};
use super::stats::WriterStats;
use rusqlite::Connection;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::oneshot;

/// A handle to the writer; cheap to clone. The last one's drop commits what is queued, truncates the
/// WAL and waits for the thread.
#[derive(Clone)]
pub struct SqliteWriter {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Mutex<Option<SyncSender<Queued>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stats: Arc<WriterStats>,
}

enum Queued {
    Job { job: Box<dyn Job>, bytes: usize },
    Checkpoint(oneshot::Sender<Result<(), WriteError>>),
}

/// A job's result, once its transaction is on disk.
///
/// Dropping it does not take the job back.
#[derive(Debug)]
pub struct Submitted<T> {
    state: Waiting<T>,
}

#[derive(Debug)]
enum Waiting<T> {
    Refused(Option<WriteError>),
    Queued(oneshot::Receiver<Result<T, WriteError>>),
}

impl<T: Unpin> Future for Submitted<T> {
    type Output = Result<T, WriteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            Waiting::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(WriteError::Closed))),
            Waiting::Queued(reply) => {
                let result = ready!(Pin::new(reply).poll(cx));
                Poll::Ready(result.unwrap_or(Err(WriteError::Closed)))
            }
        }
    }
}

impl SqliteWriter {
    pub(super) fn start(
        options: Arc<SqliteOptions>,
        connection: Connection,
    ) -> Result<Self, OpenError> {
        let (sender, receiver) = sync_channel(options.write_queue);
        let stats = Arc::new(WriterStats::default());
        let mut thread = WriterThread {
            options,
            connection: Some(connection),
            queue: receiver,
            stats: Arc::clone(&stats),
        };
        let handle = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || thread.run())
            .map_err(OpenError::Thread)?;
        let inner = Inner {
            queue: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(handle)),
            stats,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Queues a job at once, in the caller's order. `bytes` is about what it adds to the database.
    ///
    /// The closure runs inside a transaction that it shares with others, in a savepoint of its own:
    /// when it fails, panics or says [`Keep::No`], nothing of it stays and nobody else is touched.
    pub fn submit<T, F>(&self, bytes: usize, closure: F) -> Submitted<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<Verdict<T>> + Send + 'static,
    {
        let (reply, receiver) = oneshot::channel();
        let job = Box::new(TypedJob::new(closure, reply));
        self.queue(Queued::Job { job, bytes }, receiver)
    }

    /// Copies the whole WAL into the database and empties it, after everything queued before. What was
    /// erased is then in neither file.
    pub fn checkpoint(&self) -> Submitted<()> {
        let (reply, receiver) = oneshot::channel();
        self.queue(Queued::Checkpoint(reply), receiver)
    }

    /// The writer's counters.
    #[must_use]
    pub fn stats(&self) -> &WriterStats {
        &self.inner.stats
    }

    /// Takes no more jobs, commits those queued, truncates the WAL, and waits for the thread.
    pub fn close(&self) {
        self.inner.close();
    }

    fn queue<T>(
        &self,
        queued: Queued,
        receiver: oneshot::Receiver<Result<T, WriteError>>,
    ) -> Submitted<T> {
        let sender = self
            .inner
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let sent = match sender.as_ref() {
            None => Err(WriteError::Closed),
            Some(sender) => sender.try_send(queued).map_err(|error| match error {
                TrySendError::Full(_) => WriteError::Overloaded,
                TrySendError::Disconnected(_) => WriteError::Closed,
            }),
        };
        drop(sender);
        match sent {
            Ok(()) => Submitted {
                state: Waiting::Queued(receiver),
            },
            Err(error) => {
                if matches!(error, WriteError::Overloaded) {
                    self.inner.stats.count_refused();
                }
                Submitted {
                    state: Waiting::Refused(Some(error)),
                }
            }
        }
    }
}

impl std::fmt::Debug for SqliteWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteWriter")
            .field("stats", &self.inner.stats)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn close(&self) {
        drop(
            self.queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the database's writer thread panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// What lives on the thread.
struct WriterThread {
    options: Arc<SqliteOptions>,
    /// `None` after an error that made it unusable; opened again for the next group.
    connection: Option<Connection>,
    queue: Receiver<Queued>,
    stats: Arc<WriterStats>,
}

impl WriterThread {
    fn run(&mut self) {
        while let Ok(first) = self.queue.recv() {
            let mut next = Some(first);
            while let Some(queued) = next.take() {
                match queued {
                    Queued::Job { job, bytes } => next = self.run_group(job, bytes),
                    Queued::Checkpoint(reply) => {
                        let _ = reply.send(self.checkpoint());
                    }
                }
            }
        }
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the WAL was not emptied at close; the next start will read it");
        }
    }

    /// Collects a group, commits it, delivers. Gives back a queued order that is not a job.
    fn run_group(&mut self, first: Box<dyn Job>, first_bytes: usize) -> Option<Queued> {
        let started = Instant::now();
        let connection = match self.take_connection() {
            Ok(connection) => connection,
            Err(error) => {
                fail(vec![first], error);
                return None;
            }
        };
        let mut group = Group::begin(&connection);
        let mut jobs = Vec::new();
        let mut bytes = first_bytes;
        let mut next = Some(first);
        let mut other = None;
        while let Some(mut job) = next.take() {
            group.run(&mut *job);
            jobs.push(job);
            if group.state.is_err()
                || jobs.len() >= self.options.group_jobs
                || bytes >= self.options.group_bytes
            {
                break;
            }
            // Jobs that arrive while the group's statements run still join it.
            match self.queue.try_recv() {
                Ok(Queued::Job { job, bytes: more }) => {
                    bytes += more;
                    next = Some(job);
                }
                Ok(checkpoint @ Queued::Checkpoint(_)) => other = Some(checkpoint),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
        }
        self.stats.count_group(jobs.len() as u64, group.undone);
        let committing = Instant::now();
        let outcome = group.commit();
        self.stats
            .count_commit(outcome.is_ok(), committing.elapsed(), started.elapsed());
        match outcome {
            Ok(()) => {
                self.connection = Some(connection);
                jobs.into_iter().for_each(Job::deliver);
            }
            // The connection is dropped: one that failed to commit is not trusted with the next group.
            Err(error) => fail(jobs, error),
        }
        other
    }

    fn take_connection(&mut self) -> rusqlite::Result<Connection> {
        self.connection
            .take()
            .map_or_else(|| writer_connection(&self.options), Ok)
    }

    fn checkpoint(&mut self) -> Result<(), WriteError> {
        let failed = |error| WriteError::Failed(Arc::new(error));
        let connection = self.take_connection().map_err(failed)?;
        // (busy, pages in the WAL, pages copied)
        let busy = connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            })
            .map_err(failed)?;
        self.connection = Some(connection);
        // Busy: a reader held on to an old snapshot for longer than the busy timeout.
        if busy == 0 {
            Ok(())
        } else {
            Err(WriteError::Overloaded)
        }
    }
}

/// Their transaction failed. Whether it is on disk nobody can tell from here: SQLite takes back what it
/// can, but after a failed `COMMIT` the disk may have all of it.
fn fail(jobs: Vec<Box<dyn Job>>, error: rusqlite::Error) {
    tracing::warn!(%error, jobs = jobs.len(), "a transaction failed; its jobs' outcome is not known");
    let error = Arc::new(error);
    for job in jobs {
        job.fail(WriteError::Unknown(Arc::clone(&error)));
    }
}

/// One transaction in the making.
struct Group<'a> {
    connection: &'a Connection,
    /// An error once the transaction is lost; then no further job is run.
    state: rusqlite::Result<()>,
    /// Jobs whose statements were rolled back alone.
    undone: u64,
}

impl<'a> Group<'a> {
    fn begin(connection: &'a Connection) -> Self {
        Self {
            connection,
            state: execute(connection, "BEGIN IMMEDIATE"),
            undone: 0,
        }
    }

    /// Runs a job in its savepoint.
    fn run(&mut self, job: &mut dyn Job) {
        if self.state.is_err() {
            return;
        }
        match self.in_savepoint(job) {
            Ok(Keep::Yes) => {}
            Ok(Keep::No) => self.undone += 1,
            Err(error) => self.state = Err(error),
        }
    }

    fn in_savepoint(&self, job: &mut dyn Job) -> rusqlite::Result<Keep> {
        execute(self.connection, "SAVEPOINT job")?;
        let keep = job.run(self.connection);
        if self.connection.is_autocommit() {
            // After some errors (disk full, I/O) SQLite has rolled the whole transaction back.
            let lost = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT);
            let why = "SQLite rolled the transaction back".to_owned();
            return Err(rusqlite::Error::SqliteFailure(lost, Some(why)));
        }
        if keep == Keep::No {
            execute(self.connection, "ROLLBACK TO job")?;
        }
        execute(self.connection, "RELEASE job")?;
        Ok(keep)
    }

    fn commit(self) -> rusqlite::Result<()> {
        self.state?;
        execute(self.connection, "COMMIT")
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}
