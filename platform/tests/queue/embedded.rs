//! Queues in SQLite, on a clock that stands until a check moves it.

use super::world::{Boxed, Pair, World};
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::ManualClock;
use kaiwa_platform::queue::dead_letters::name_of;
use kaiwa_platform::queue::sqlite::{SqliteQueue, SqliteQueueOptions, SqliteQueues};
use kaiwa_platform::sqlite::{Sqlite, SqliteOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Opens the database in this folder.
pub(crate) fn database(dir: &Path) -> Sqlite {
    Sqlite::open(SqliteOptions::new(dir.join("queue.db")), &[]).expect("a database")
}

pub(crate) struct Embedded {
    pub(crate) db: Sqlite,
    pub(crate) queues: SqliteQueues,
    pub(crate) clock: ManualClock,
    made: AtomicU32,
    _dir: TempDir,
}

impl Embedded {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::at(UnixMs(1_800_000_000_000));
        let db = database(dir.path());
        let queues = SqliteQueues::open(db.clone(), Arc::new(clock.clone()));
        Self {
            db,
            queues: queues.await.expect("tables"),
            clock,
            made: AtomicU32::new(0),
            _dir: dir,
        }
    }

    pub(crate) async fn open(&self, name: &str, options: SqliteQueueOptions) -> SqliteQueue {
        self.queues.queue(name, options).await.expect("a queue")
    }
}

impl World for Embedded {
    fn queue(&self, max_receives: u32) -> Boxed<'_, Pair> {
        Box::pin(async move {
            let name = format!("q{}", self.made.fetch_add(1, Ordering::Relaxed));
            let options = SqliteQueueOptions {
                max_receives: Some(max_receives),
                ..SqliteQueueOptions::default()
            };
            Pair {
                queue: Arc::new(self.open(&name, options).await),
                dead: Arc::new(self.open(&name_of(&name), SqliteQueueOptions::dead()).await),
            }
        })
    }

    fn pass(&self, time: Duration) -> Boxed<'_, ()> {
        self.clock.advance(time);
        Box::pin(async {})
    }

    fn until_one_waits(&self) -> Boxed<'_, ()> {
        Box::pin(self.clock.asleep(1))
    }

    fn long(&self) -> Duration {
        Duration::from_secs(10)
    }
}
