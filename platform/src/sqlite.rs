//! One SQLite database: one writer thread that commits in groups, and a pool of readers.
//!
//! ```text
//!  tasks ──jobs──► bounded queue ──► writer thread: BEGIN, each job in a SAVEPOINT, COMMIT (fsync)
//!    ▲                                    │
//!    └────────── results, after COMMIT ───┘        reads ──► reader threads, one snapshot each
//! ```
//!
//! Nothing here knows a table; the caller's jobs do. Several components may share the database: the first
//! gives its migrations to [`Sqlite::open`], each other one its [`Schema`] to [`Sqlite::migrate`].

mod error;
mod job;
mod open;
mod readers;
mod stats;
mod writer;

pub use error::{OpenError, ReadError, WriteError};
pub use job::{Keep, Verdict};
pub use open::{Migration, Schema, SqliteOptions, Synchronous};
pub use readers::SqliteReaders;
pub use stats::{StatsSnapshot, WriterStats};
pub use writer::{SqliteWriter, Submitted};

use std::path::Path;
use std::sync::Arc;

/// A connection as the writer's, its schema up to date, without a thread: for measuring against.
///
/// # Errors
/// As [`Sqlite::open`].
#[doc(hidden)]
pub fn bare_writer(
    options: &SqliteOptions,
    migrations: &[Migration],
) -> Result<rusqlite::Connection, OpenError> {
    let connection = open::writer_connection(options)?;
    open::migrate(&connection, migrations)?;
    Ok(connection)
}

/// An open database: its writer and its readers. Cheap to clone; the last clone's drop ends the
/// threads, once what was queued is committed.
#[derive(Clone, Debug)]
pub struct Sqlite {
    /// The one writer.
    pub writer: SqliteWriter,
    /// The readers.
    pub readers: SqliteReaders,
}

impl Sqlite {
    /// Opens or creates the database, brings its schema up to date, and starts the threads.
    ///
    /// # Errors
    /// [`OpenError`]: it cannot be opened, it was written by a newer version, or a migration failed.
    pub fn open(options: SqliteOptions, migrations: &[Migration]) -> Result<Self, OpenError> {
        let options = Arc::new(options);
        let connection = open::writer_connection(&options)?;
        open::migrate(&connection, migrations)?;
        let writer = SqliteWriter::start(Arc::clone(&options), connection)?;
        let readers = SqliteReaders::start(&options)?;
        Ok(Self { writer, readers })
    }

    /// Brings a further component's tables up to date, in one commit. Whoever has tables in a database that
    /// another component has opened calls this once before it uses them; doing it again does nothing.
    ///
    /// # Errors
    /// [`OpenError`]: a newer version wrote them, a migration failed, or the writer takes no more.
    pub async fn migrate(&self, schema: Schema) -> Result<(), OpenError> {
        let job = self.writer.submit(0, move |connection| {
            // A migration that fails leaves nothing behind: its savepoint is rolled back.
            Ok(match open::migrate_component(connection, schema) {
                Ok(()) => (Keep::Yes, Ok(())),
                Err(error) => (Keep::No, Err(error)),
            })
        });
        job.await.map_err(OpenError::Write)?
    }

    /// Writes a consistent copy of the database to a file that does not exist yet, while writers and
    /// readers go on (`VACUUM INTO`: one read transaction; the copy is compact and has no WAL).
    ///
    /// # Errors
    /// [`ReadError`] when the file exists or cannot be written.
    pub async fn backup(&self, to: &Path) -> Result<(), ReadError> {
        let to = to.to_string_lossy().into_owned();
        self.readers
            .run_bare(move |connection| {
                // The copy must be able to hold what is being copied, so the reader's `query_only`
                // is lifted for this one statement, which writes no page of the database itself.
                connection.pragma_update(None, "query_only", false)?;
                let copied = connection.execute("VACUUM INTO ?1", [&to]);
                connection.pragma_update(None, "query_only", true)?;
                copied.map(|_| ())
            })
            .await
    }
}
