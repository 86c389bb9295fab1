//! Calls: who is in a room's call, what they publish, whom they ring; media itself is the SFU's.
//!
//! [`core`] has the rules, without I/O. [`service`] performs what it says: it commands the SFU, looks
//! rights up in chat, and pushes to sessions. [`events`] takes what media threads tell. [`failures`] remembers joins that failed, and
//! [`causes`] names why; [`whence`] is how somebody reaches us; `journal` notes who came and went. [`command`] is
//! what a client may ask, once it is checked, and [`wire`] what it is told.

pub mod command;

pub mod core;

pub mod causes;
pub mod failures;
pub mod people;
pub mod whence;

pub mod events;
mod journal;
pub mod service;
pub mod wire;
