//! The rules: who may do what, and the state machine of one room. Nothing here does I/O, knows the
//! time or takes chances; time is an argument, and what has to be done comes out as [`Effect`]s.
//!
//! ```text
//!             handle_command                     poll_effect
//!  commands ────────────────► queue ─► plan ───► Append, Fetch, Load ──► store
//!                               ▲        │                                │
//!                               └────────┴──── handle_appended / _facts / _loaded
//!                                        └─────► Reply, Publish
//! ```

pub mod access;
pub mod page;
pub mod projection;

pub mod relay;
pub mod validate;

mod batch;
mod cache;
mod command;
mod decide;
mod room;
mod state;

pub use command::{Command, Effect, RoomLimits, Ticket};
pub use room::RoomCore;
