//! What can go wrong, by what a caller can do.

use std::sync::Arc;

/// Why a database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer version of the program wrote it: use that one, or restore a backup.
    #[error("the database has schema version {found}, this program knows {known}")]
    NewerSchema {
        /// What the file says.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A newer version of the program wrote this component's tables: use that one, or restore a backup.
    #[error("the tables of {component} have version {found}, this program knows {known}")]
    NewerComponent {
        /// Whose tables.
        component: &'static str,
        /// What the file says.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The writer did not do it.
    #[error("the tables cannot be made")]
    Write(#[source] WriteError),
    /// SQLite refused.
    #[error("the database cannot be opened")]
    Sqlite(#[from] rusqlite::Error),
    /// A thread could not be started.
    #[error("no thread could be started for the database")]
    Thread(#[source] std::io::Error),
}

/// Why a write has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The queue is full; nothing happened.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The writer has ended; nothing happened.
    #[error("the database is closed")]
    Closed,
    /// This job's statements failed and were rolled back; nothing of it happened, others were not
    /// touched.
    #[error("the write failed")]
    Failed(#[source] Arc<rusqlite::Error>),
    /// This job panicked and was rolled back; nothing of it happened.
    #[error("the write panicked")]
    Panicked,
    /// The transaction that this job was in failed, and whether it is on disk is not known: after a
    /// failed `COMMIT` (say, of its `fsync`) the disk may have all of it or nothing. Read before assuming
    /// anything.
    #[error("the transaction failed, and may have been committed")]
    Unknown(#[source] Arc<rusqlite::Error>),
}

/// Why a read has no result.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The queue is full.
    #[error("too many reads are waiting")]
    Overloaded,
    /// The readers have ended.
    #[error("the database is closed")]
    Closed,
    /// The statements failed.
    #[error("the read failed")]
    Failed(#[source] rusqlite::Error),
}
