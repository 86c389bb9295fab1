//! The rules: who is told of what, and what becomes of a push. Nothing here does I/O, knows the time or
//! takes chances; time and random numbers are arguments.

pub mod settings;

pub mod policy;
pub mod quiet;

pub mod decision;
pub mod digest;
pub mod router;

pub mod breaker;
pub mod lease;
pub mod notices;
pub mod retry;
pub mod tokens;
