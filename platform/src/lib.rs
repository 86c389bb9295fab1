//! Machinery that every role shares, behind no port of its own: one SQLite database with one writer
//! that commits in groups, its readers, and the lock on the data folder; queues; and the client for calls into the internet.

pub mod dir_lock;
pub mod outbound;
pub mod queue;
pub mod sqlite;
