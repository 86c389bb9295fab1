//! The state machine alone: single rules, and every order, loss and repetition of what can happen to a clip.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a helper of a test may fail as a test does; tables are long"
)]

#[path = "core/make.rs"]
mod make;
#[path = "core/orders.rs"]
mod orders;
#[path = "core/rules.rs"]
mod rules;
#[path = "core/world.rs"]
mod world;
