//! A client of the protocol, written from `docs/protocol.md` alone and sharing nothing with the server
//! but the schema.
//!
//! [`core`] has the rules (counting, positions, repairing gaps, retrying, when to come back) without
//! I/O; [`link`] is one WebSocket; [`shell`] runs both as a task and gives out a [`Client`].

pub mod core;
pub mod link;
pub mod policy;
pub mod rooms;
pub mod shell;

pub use self::core::{Notice, Outcome};
pub use self::policy::{Comeback, Policy};
pub use self::shell::{Client, ClientError, Options};
