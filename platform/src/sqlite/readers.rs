//! The readers: a few threads with a connection each. A read sees one snapshot.

use super::error::{OpenError, ReadError};
use super::open::{SqliteOptions, reader_connection};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// A handle to the readers; cheap to clone. With the last one the threads end.
#[derive(Clone)]
pub struct SqliteReaders {
    queue: SyncSender<Read>,
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

impl SqliteReaders {
    pub(super) fn start(options: &Arc<SqliteOptions>) -> Result<Self, OpenError> {
        let (queue, receiver) = sync_channel::<Read>(options.read_queue);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..options.readers.max(1) {
            let connection = reader_connection(options)?;
            let receiver = Arc::clone(&receiver);
            std::thread::Builder::new()
                .name(format!("sqlite-reader-{number}"))
                .spawn(move || serve(&connection, &receiver))
                .map_err(OpenError::Thread)?;
        }
        Ok(Self { queue })
    }

    /// Runs the closure within one read transaction: all of its statements see the same commit, the
    /// newest one when the first of them begins.
    ///
    /// # Errors
    /// [`ReadError`]; `Overloaded` at once when too many wait.
    pub async fn run<T, F>(&self, closure: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.run_bare(move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            let value = closure(&snapshot)?;
            snapshot.commit()?;
            Ok(value)
        })
        .await
    }

    /// Runs the closure without a transaction around it.
    pub(super) async fn run_bare<T, F>(&self, closure: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            if !reply.is_closed() {
                let _ = reply.send(closure(connection));
            }
        });
        self.queue.try_send(read).map_err(|error| match error {
            TrySendError::Full(_) => ReadError::Overloaded,
            TrySendError::Disconnected(_) => ReadError::Closed,
        })?;
        match result.await {
            Ok(result) => result.map_err(ReadError::Failed),
            Err(_) => Err(ReadError::Closed),
        }
    }
}

impl std::fmt::Debug for SqliteReaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteReaders")
    }
}

fn serve(connection: &Connection, receiver: &Mutex<Receiver<Read>>) {
    loop {
        // Waiting happens under the lock: the others wait for the lock instead, which is the same.
        let next = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(read) = next else { return };
        if catch_unwind(AssertUnwindSafe(|| read(connection))).is_err() {
            tracing::error!("a read panicked");
        }
    }
}
