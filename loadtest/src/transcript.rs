//! Replays conversations from `proto/transcripts/` against a real server, over a real connection.
//!
//! `proto/transcripts/README.md` says how a transcript is written. [`script`] is its form, [`pattern`]
//! compares what came with what was expected, [`replay`] does the talking.

pub mod pattern;
pub mod replay;
pub mod script;
