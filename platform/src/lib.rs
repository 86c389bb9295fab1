//! Machinery that every role shares: one SQLite database with one writer that commits in groups, its readers,
//! the lock on the data folder, and queues that deliver at least once.

pub mod clock;
pub mod dir_lock;
pub mod queue;
pub mod sqlite;
