//! A selective forwarding unit: people's media in, the layers that each subscriber can take out.
//!
//! Read it in this order: [`control`] is the contract with the rest of the house, [`wire`] what the
//! bytes mean, [`core`] the rules of media without I/O, [`srtp`] and [`dtls`] its protection, [`net`] the
//! sockets. [`engine`] puts them together: a `shard` is a thread, a `peer` a participant on it, a `track`
//! what one publishes.

pub mod unit;

pub mod control;

pub mod wire;

pub mod dtls;
pub mod srtp;

pub mod core;

pub mod net;

pub mod config;
pub mod engine;
pub mod metrics;

mod peer;
mod shard;
mod sockets;
mod table;
mod timers;
mod track;
