//! Load, chaos and conformance against a running Kaiwa server, over the wire only: nothing of the
//! server is linked in, so a misreading of the protocol on one side shows.
//!
//! From the bottom up: codecs and clients; a server as a child process; then the replaying of
//! transcripts, the checker of what kill -9 does, and measurements with their reports.

pub mod codec;
pub mod rng;

pub mod client;
pub mod lean;

pub mod http;
pub mod proc;
pub mod server;

pub mod transcript;
pub mod vectors;

pub mod chaos;

pub mod bare;
pub mod chat;

pub mod call;

pub mod notify;

pub mod clips;

pub mod print;
pub mod report;
