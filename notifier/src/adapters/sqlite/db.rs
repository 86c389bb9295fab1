//! How statements get to the database.

use crate::ports::{Answer, StoreError};
use kaiwa_platform::sqlite::{Keep, ReadError, Sqlite, WriteError};
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};

/// The shared database behind its writer thread, or a connection of one's own, on the caller's thread:
/// so a simulation runs the same statements, in an order that its seed alone decides.
#[derive(Clone)]
pub(super) enum Db {
    Shared(Sqlite),
    Own(Arc<Mutex<Connection>>),
}

impl Db {
    pub(super) fn write<T, F>(&self, bytes: usize, write: F) -> Answer<'static, T>
    where
        T: Send + Unpin + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        match self {
            Self::Shared(sqlite) => {
                let job = sqlite.writer.submit(bytes, move |connection| {
                    write(connection).map(|value| (Keep::Yes, value))
                });
                Box::pin(async move { job.await.map_err(|error| unwritten(&error)) })
            }
            Self::Own(connection) => Self::own(connection, write),
        }
    }

    pub(super) fn read<T, F>(&self, read: F) -> Answer<'static, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        match self {
            Self::Shared(sqlite) => {
                let readers = sqlite.readers.clone();
                Box::pin(async move { readers.run(read).await.map_err(|error| unread(&error)) })
            }
            Self::Own(connection) => Self::own(connection, read),
        }
    }

    fn own<T, F>(connection: &Arc<Mutex<Connection>>, run: F) -> Answer<'static, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let connection = Arc::clone(connection);
        Box::pin(async move {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.unchecked_transaction().map_err(|e| broken(&e))?;
            let value = run(&transaction).map_err(|e| broken(&e))?;
            transaction.commit().map_err(|e| broken(&e))?;
            Ok(value)
        })
    }
}

fn unwritten(error: &WriteError) -> StoreError {
    match error {
        WriteError::Overloaded | WriteError::Closed => StoreError::Unavailable(error.to_string()),
        WriteError::Failed(source) | WriteError::Unknown(source) => broken(source),
        WriteError::Panicked => StoreError::Broken(error.to_string()),
    }
}

fn unread(error: &ReadError) -> StoreError {
    match error {
        ReadError::Overloaded | ReadError::Closed => StoreError::Unavailable(error.to_string()),
        ReadError::Failed(source) => broken(source),
    }
}

/// A full disk and a lock pass; a value that cannot be read does not.
fn broken(error: &rusqlite::Error) -> StoreError {
    if matches!(error, rusqlite::Error::SqliteFailure(_, _)) {
        StoreError::Unavailable(error.to_string())
    } else {
        StoreError::Broken(error.to_string())
    }
}
