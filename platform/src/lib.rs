//! Machinery that every role shares, behind no port of its own: one SQLite database with one writer
//! that commits in groups, its readers, and the lock on the data folder.

pub mod dir_lock;
pub mod queue;
pub mod sqlite;
