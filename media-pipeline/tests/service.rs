//! The service over its ports: what people ask for, what comes from outside, and a seeded simulation with faults.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a helper of a test may fail as a test does; stories are long"
)]

#[path = "service/calls.rs"]
mod calls;
#[path = "service/chat.rs"]
mod chat;
#[path = "service/checksums.rs"]
mod checksums;
#[path = "service/events.rs"]
mod events;
#[path = "service/hostile.rs"]
mod hostile;
#[path = "service/objects.rs"]
mod objects;
#[path = "service/once.rs"]
mod once;
#[path = "service/sharing.rs"]
mod sharing;
#[path = "service/simulation.rs"]
mod simulation;
#[path = "service/store.rs"]
mod store;
#[path = "service/told.rs"]
mod told;
#[path = "service/transcoder.rs"]
mod transcoder;
#[path = "service/watching.rs"]
mod watching;
#[path = "service/world.rs"]
mod world;
