//! The rules: what becomes of a clip. Nothing here does I/O, knows the time or takes chances; time and random
//! numbers are arguments.

pub mod names;
pub mod rules;
pub mod text;

pub mod mark;
pub mod step;
