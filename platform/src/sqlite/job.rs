//! A unit of writing: a closure that runs inside the group's transaction.

use super::error::WriteError;
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a job says of its own statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// They become part of the commit.
    Yes,
    /// They are undone; the value is delivered all the same (a conflict, a duplicate).
    No,
}

/// A job's value, and whether its statements stay.
pub type Verdict<T> = (Keep, T);

/// A queued job, its type erased.
pub(super) trait Job: Send {
    /// Runs the closure; says whether its savepoint is released or rolled back.
    fn run(&mut self, connection: &Connection) -> Keep;
    /// The group was committed: hands over what `run` gave.
    fn deliver(self: Box<Self>);
    /// The group's transaction failed: hands over what that means, unless the job had failed before.
    fn fail(self: Box<Self>, error: WriteError);
}

/// A closure, then its result, and where it goes.
pub(super) struct TypedJob<F, T> {
    closure: Option<F>,
    result: Option<Result<T, WriteError>>,
    reply: oneshot::Sender<Result<T, WriteError>>,
}

impl<F, T> TypedJob<F, T> {
    pub(super) fn new(closure: F, reply: oneshot::Sender<Result<T, WriteError>>) -> Self {
        Self {
            closure: Some(closure),
            result: None,
            reply,
        }
    }
}

impl<F, T> Job for TypedJob<F, T>
where
    F: FnOnce(&Connection) -> rusqlite::Result<Verdict<T>> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection) -> Keep {
        let closure = self.closure.take().expect("a job runs once");
        // A panicking job leaves nothing half done: its savepoint is rolled back.
        let (keep, result) = match catch_unwind(AssertUnwindSafe(|| closure(connection))) {
            Ok(Ok((keep, value))) => (keep, Ok(value)),
            Ok(Err(error)) => (Keep::No, Err(WriteError::Failed(Arc::new(error)))),
            Err(_) => (Keep::No, Err(WriteError::Panicked)),
        };
        self.result = Some(result);
        keep
    }

    fn deliver(self: Box<Self>) {
        let result = self.result.expect("a delivered job has run");
        // Whoever asked may have gone away; what is committed stays.
        let _ = self.reply.send(result);
    }

    fn fail(self: Box<Self>, error: WriteError) {
        // A job that failed on its own keeps its own reason.
        let error = match self.result {
            Some(Err(own)) => own,
            Some(Ok(_)) | None => error,
        };
        let _ = self.reply.send(Err(error));
    }
}
