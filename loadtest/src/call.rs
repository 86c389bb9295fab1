//! Calls: light but real participants, and what a server needs for them.
//!
//! From the bottom up: what payloads carry and how it is counted; packets, SRTP, ICE, DTLS and SDP; what
//! publishers send; a participant without I/O, and the threads that run many of them.

pub mod count;
pub mod frames;
pub mod nack;
pub mod stamp;
pub mod twcc;

pub mod coding;
pub mod dtls;
pub mod ice;
pub mod red;
pub mod rtp;
pub mod sdp;
pub mod srtp;
pub mod vp8;

pub mod source;

pub mod engine;
pub mod outlet;
pub mod peer;

pub mod floor;
pub mod host;
pub mod stage;
pub mod witness;

pub mod bench;
pub mod measure;
pub mod results;
