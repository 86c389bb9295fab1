//! A selective forwarding unit: people's media in, the layers that each subscriber can take out.
//!
//! Read it in this order: [`control`] is the contract with the rest of the house, [`inspect`] the part of it that
//! says how calls are, [`wire`] what the bytes mean, [`exchange`] what WHIP and WHEP ask of descriptions, [`core`] the rules of media without
//! I/O, [`srtp`] and [`dtls`] its protection, [`net`] the sockets. [`shard`] puts the rules together, a
//! `peer` being a participant and a `track` what one publishes; `thread` gives it sockets and a clock,
//! and [`engine`] has one for each core.

pub mod unit;

pub mod control;
pub mod inspect;

pub mod wire;

pub mod exchange;

pub mod dtls;
pub mod srtp;

pub mod core;

pub mod net;

pub mod shard;

pub mod config;
pub mod engine;
pub mod metrics;

mod cache;
mod entropy;
mod packet;
mod peer;
mod sockets;
mod streams;
mod table;
mod thread;
mod timers;
mod track;
