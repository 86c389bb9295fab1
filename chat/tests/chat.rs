//! Chat from outside: one suite for all stores, the service over them, and a simulation of owners
//! that crash.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it looks for"
)]

#[path = "chat/clips.rs"]
mod clips;
#[path = "chat/conformance.rs"]
mod conformance;
#[path = "chat/erasure.rs"]
mod erasure;
#[path = "chat/relay.rs"]
mod relay;
#[path = "chat/relay_service.rs"]
mod relay_service;
#[path = "chat/room.rs"]
mod room;
#[path = "chat/service.rs"]
mod service;
#[path = "chat/simulation.rs"]
mod simulation;
#[path = "chat/support.rs"]
mod support;
#[path = "chat/unread.rs"]
mod unread;
