//! Machinery that every role shares: one SQLite database with one writer that commits in groups, its readers,
//! the lock on the data folder, queues that deliver at least once, and the client for calls into the internet.

pub mod clock;
pub mod dir_lock;
pub mod outbound;
pub mod queue;
pub mod sqlite;
