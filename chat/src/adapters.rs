//! What stands behind the ports. Both pass `tests/conformance.rs`.

pub mod memory;
pub mod sqlite;
