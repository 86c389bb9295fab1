//! What the bytes mean: parsers and writers without state, clock or I/O.
//!
//! Read it in this order: [`demux`] tells datagrams apart, [`framing`] has them on TCP connections, [`sdp`], [`stun`]
//! and [`client_hello`] are of the connection's beginning, [`rtp`] and [`rtcp`] of its life, [`vp8`], [`vp9`],
//! [`h264`], [`av1`], [`red`] and [`rtx`] of what payloads carry, and [`dependency_descriptor`] of what goes before them.
//!
//! A parser borrows its input, checks it whole before it gives anything out, and can only fail with
//! an error. A writer puts into a buffer of the caller, which is used again and again.

pub(crate) mod bits;
mod reader;

pub mod demux;
pub mod framing;

pub mod client_hello;
pub mod sdp;
pub mod stun;

pub mod rtcp;
pub mod rtp;

pub mod dependency_descriptor;

pub mod av1;
pub mod h264;
pub mod red;
pub mod rtx;
pub mod vp8;
pub mod vp9;

pub mod fuzzing;
