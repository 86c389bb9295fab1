//! From bytes on a wire to commands of chat, and from committed events back to bytes.
//!
//! Read in this order: a [`transport`] carries frames; a [`codec`] makes messages of them; a
//! [`session`] is an authenticated peer with an outbox that survives its connection; the [`hub`]
//! knows which sessions follow which room; [`call`] is who talks in a room; [`whip`] is how encoders and
//! players come into a call; [`push`] is who is told while away; the [`edge`] accepts connections and
//! speaks HTTP.

pub mod transport;

pub mod codec;

pub mod session;

pub mod hub;

pub mod call;

pub mod whip;

pub mod push;

pub mod edge;

pub mod metrics;
