//! The notifier without its neighbours: rules, store, services, and a seeded simulation of all of it.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a helper of a test may fail as a test does; tables are long"
)]

#[path = "notifier/people.rs"]
mod people;
#[path = "notifier/quiet.rs"]
mod quiet;
#[path = "notifier/rules.rs"]
mod rules;
#[path = "notifier/service.rs"]
mod service;
#[path = "notifier/simulation.rs"]
mod simulation;
#[path = "notifier/store.rs"]
mod store;
#[path = "notifier/support.rs"]
mod support;
#[path = "notifier/tokens.rs"]
mod tokens;
