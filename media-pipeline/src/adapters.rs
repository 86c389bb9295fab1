//! Where clips are kept.

pub mod memory;
pub mod sqlite;

mod stored;
