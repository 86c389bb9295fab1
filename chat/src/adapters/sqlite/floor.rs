//! What SQLite alone does with the same batches: the same statements in the same savepoints and
//! transactions with the same PRAGMAs, on one thread, without channels, tasks or cores.
//!
//! A benchmark's measure for the pipeline above it; see `examples/sqlite_floor.rs`.

use super::append::PreparedAppend;
use super::schema;
use crate::ports::{Append, Appended};
use kaiwa_platform::sqlite::{Keep, OpenError, SqliteOptions, bare_writer};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a run took.
#[derive(Debug, Clone)]
pub struct Floor {
    /// Transactions.
    pub commits: usize,
    /// Events written.
    pub events: usize,
    /// From the first statement to the last commit's end.
    pub took: Duration,
    /// How long each transaction's `COMMIT` took.
    pub commit_times: Vec<Duration>,
}

/// Writes these groups of appends, each group in one transaction, to a new database.
///
/// The events are encoded beforehand: in the pipeline, too, that happens off the writer's thread.
///
/// # Errors
/// When the database cannot be opened or written.
///
/// # Panics
/// When an append is refused: the groups must be consistent.
pub fn run(path: &Path, groups: &[Vec<Append>]) -> Result<Floor, OpenError> {
    let options = SqliteOptions::new(path.to_owned());
    let connection = bare_writer(&options, schema::MIGRATIONS)?;
    let prepared: Vec<Vec<PreparedAppend>> = groups
        .iter()
        .map(|group| group.iter().map(PreparedAppend::new).collect())
        .collect();
    let execute = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    let mut commit_times = Vec::with_capacity(groups.len());
    let started = Instant::now();
    for group in &prepared {
        execute("BEGIN IMMEDIATE")?;
        for append in group {
            execute("SAVEPOINT job")?;
            let verdict = append.run(&connection)?;
            assert_eq!(
                verdict,
                (Keep::Yes, Appended::Committed),
                "the groups are consistent"
            );
            execute("RELEASE job")?;
        }
        let committing = Instant::now();
        execute("COMMIT")?;
        commit_times.push(committing.elapsed());
    }
    let took = started.elapsed();
    let events = groups
        .iter()
        .flatten()
        .map(|append| append.events.len())
        .sum();
    Ok(Floor {
        commits: groups.len(),
        events,
        took,
        commit_times,
    })
}
