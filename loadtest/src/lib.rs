//! Load, chaos and conformance against a running Kaiwa server, over the wire only: nothing of the
//! server is linked in, so a misreading of the protocol on one side shows.
//!
//! From the bottom up: codecs and a client; a server as a child process; then measurements, the
//! checker of what kill -9 does, and the replaying of transcripts.

pub mod codec;
pub mod rng;

pub mod client;

pub mod proc;
pub mod server;

pub mod chaos;

pub mod transcript;
pub mod vectors;
