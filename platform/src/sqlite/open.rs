//! Opening: the PRAGMAs with their reasons, and the schema's versions.

use super::error::OpenError;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::path::PathBuf;

/// When SQLite waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// `fsync` of the WAL before each COMMIT returns: an acknowledged write survives a power loss.
    Full,
    /// `fsync` around checkpoints only: nothing breaks, but acknowledged writes get lost. For the test
    /// that proves that the power-loss test sees it.
    #[doc(hidden)]
    Normal,
    /// Never. For the same test.
    #[doc(hidden)]
    Off,
}

/// How to open a database.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The database's file. `-wal` and `-shm` stand beside it.
    pub path: PathBuf,
    /// The VFS to use; SQLite's default when `None`. Tests put a disk of their own here.
    pub vfs: Option<String>,
    /// When to wait for the disk.
    pub synchronous: Synchronous,
    /// Threads that read. Each holds a connection with 4 MiB of cache.
    pub readers: usize,
    /// Pages in the WAL after which a commit also checkpoints.
    pub checkpoint_pages: u32,
    /// Jobs that may wait for the writer; another one is refused. 4,096 are some 50 ms of work.
    pub write_queue: usize,
    /// Reads that may wait; another one is refused.
    pub read_queue: usize,
    /// Jobs in one transaction. With more, the first waits too long for the last one's statements.
    pub group_jobs: usize,
    /// Payload bytes in one transaction, as their submitters state them: bounds the WAL's growth
    /// between two checkpoints and the time that a commit takes.
    pub group_bytes: usize,
}

impl SqliteOptions {
    /// The defaults for a server.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            vfs: None,
            synchronous: Synchronous::Full,
            readers: 4,
            checkpoint_pages: CHECKPOINT_PAGES,
            write_queue: 4_096,
            read_queue: 4_096,
            group_jobs: 1_024,
            group_bytes: 4 * 1024 * 1024,
        }
    }
}

/// One step of the schema: the SQL that takes version `n` to `n + 1`, in its place in the list.
pub type Migration = &'static str;

/// One component's tables in a database that several share.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Its name; never changed. Its tables' names begin with it.
    pub component: &'static str,
    /// Its steps, from its own version 0 on. Only ever appended to.
    pub migrations: &'static [Migration],
}

/// The writer's page cache: holds the right edges of the b-trees that messages are appended to, for
/// some 8,000 pages. Doubling it costs memory and nothing else.
const WRITER_CACHE_KIB: i64 = 32 * 1024;

/// Each reader's page cache. Four readers make 16 MiB; the operating system's cache stands behind.
const READER_CACHE_KIB: i64 = 4 * 1024;

/// Pages in the WAL (16 MiB) after which a commit also checkpoints. SQLite's 1,000 copies the same hot
/// pages into the database four times as often; ten times as many make recovery and reads slower.
const CHECKPOINT_PAGES: u32 = 4_000;

/// The WAL file is cut back to this after a checkpoint, so that one large burst does not keep its space.
const WAL_LIMIT_BYTES: i64 = 64 * 1024 * 1024;

/// Statements kept prepared for each connection; more than all roles have.
const PREPARED: usize = 128;

/// The connection that writes.
pub(super) fn writer_connection(options: &SqliteOptions) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(options, flags)?;
    // The page is the file system's block: a larger one would be torn more easily and makes each
    // commit of few small rows write more. Only a new file takes it.
    connection.pragma_update(None, "page_size", 4096)?;
    // Readers go on while the writer writes, and a commit is one sequential append and one fsync.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
        Synchronous::Off => "OFF",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // A deleted message's text must not be left in free space: ON overwrites freed cells and also
    // pages that go to the free list, which FAST leaves as they are (a long text's overflow pages).
    // It costs only where something is deleted, which is rare here.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", options.checkpoint_pages)?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    Ok(connection)
}

/// A connection that reads.
pub(super) fn reader_connection(options: &SqliteOptions) -> rusqlite::Result<Connection> {
    // Opened for writing, since a reader may have to create or recover the WAL's index; `query_only`
    // is what keeps it from writing.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(options, flags)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    Ok(connection)
}

fn open(options: &SqliteOptions, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(&options.path, flags, vfs.as_str())?,
        None => Connection::open_with_flags(&options.path, flags)?,
    };
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // One process and one writer: waiting happens only for moments, around a checkpoint.
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // With mmap an I/O error is a SIGBUS that ends the process, where read() gives an error.
    connection.pragma_update(None, "mmap_size", 0)?;
    // Savepoints keep what they may have to undo in memory instead of a temporary file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // No schema stored in the file may call functions with side effects.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Brings the schema to the newest version; `user_version` says which one the file has.
pub(super) fn migrate(connection: &Connection, migrations: &[Migration]) -> Result<(), OpenError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(migrations.len()).expect("a handful of migrations");
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (index, migration) in migrations.iter().enumerate().skip(done) {
        // The version moves with its statements, so a crash leaves the one or the other state.
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {migration}; PRAGMA user_version = {}; COMMIT;",
            index + 1
        ))?;
    }
    Ok(())
}

/// Brings one component's tables to its newest version, inside the caller's transaction. The versions stand in a
/// table, since `user_version` is one number, and the component that opens the database has it.
pub(super) fn migrate_component(connection: &Connection, schema: Schema) -> Result<(), OpenError> {
    connection.execute_batch(VERSIONS)?;
    let found: Option<i64> = connection
        .query_row(
            "SELECT version FROM schema_versions WHERE component = ?1",
            [schema.component],
            |row| row.get(0),
        )
        .optional()?;
    let found = found.unwrap_or(0);
    let known = i64::try_from(schema.migrations.len()).expect("a handful of migrations");
    if found > known {
        let component = schema.component;
        return Err(OpenError::NewerComponent {
            component,
            found,
            known,
        });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for migration in &schema.migrations[done..] {
        connection.execute_batch(migration)?;
    }
    connection.execute(
        "INSERT INTO schema_versions (component, version) VALUES (?1, ?2)
         ON CONFLICT (component) DO UPDATE SET version = excluded.version",
        (schema.component, known),
    )?;
    Ok(())
}

const VERSIONS: &str = "
CREATE TABLE IF NOT EXISTS schema_versions (
    component TEXT PRIMARY KEY,
    version   INTEGER NOT NULL
) STRICT, WITHOUT ROWID";
