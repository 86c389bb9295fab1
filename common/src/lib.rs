//! What every part of Kaiwa shares: ids, positions, error and close codes, tokens, limits.
//!
//! No I/O, no tasks, no wire types. Time and randomness are arguments, except in the constructors
//! named `generate`.

pub mod address;
pub mod id;
pub mod position;
pub mod redact;
pub mod time;

pub mod close;
pub mod error;
pub mod limits;
pub mod token;
