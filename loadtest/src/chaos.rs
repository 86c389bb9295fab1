//! What kill -9 does: people write under load while the server is killed, drained and cut off, and
//! afterwards every promise of the protocol is checked against what each of them saw.
//!
//! [`run`] makes the storm and gives a [`journal::Record`] of everything; [`checker`] judges it
//! offline.

pub mod checker;
pub mod fold;
pub mod journal;
pub mod person;
pub mod run;
