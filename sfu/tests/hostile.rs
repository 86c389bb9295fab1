//! Hostile datagrams and commands against a real engine over real sockets: each is refused and counted,
//! and a call beside goes on without the loss or change of a packet.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one of many"
)]

#[allow(dead_code, reason = "each test uses a part")]
#[path = "call/client.rs"]
mod client;
#[path = "corpus/mutate.rs"]
mod mutate;
#[allow(dead_code, reason = "each test uses a part")]
#[path = "call/wait.rs"]
mod wait;

#[path = "hostile/counts.rs"]
mod counts;
#[path = "hostile/scene.rs"]
mod scene;

#[path = "hostile/checks.rs"]
mod checks;
#[path = "hostile/commands.rs"]
mod commands;
#[path = "hostile/feedback.rs"]
mod feedback;
#[path = "hostile/handshakes.rs"]
mod handshakes;
#[path = "hostile/media.rs"]
mod media;
