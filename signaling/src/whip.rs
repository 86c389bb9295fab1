//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): encoders and players that come into a room's call by one
//! offer over HTTP, and are in it like everybody.
//!
//! [`core`] has the rules, without I/O: which sessions there are, what a request to one means, and what a player is
//! shown of a call with many pictures. [`service`] performs it with [`crate::call`]. HTTP is
//! [`crate::edge::whip`]'s, and descriptions are [`kaiwa_sfu::exchange`]'s. `docs/whip.md` has each requirement.

pub mod core;

pub mod service;
