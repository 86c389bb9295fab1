//! Where things are stored.

pub mod sqlite;
