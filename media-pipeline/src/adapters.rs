//! Where clips are kept.

#[cfg(feature = "aws")]
pub mod dynamo;
pub mod memory;
pub mod sqlite;

mod asked;
mod stored;
