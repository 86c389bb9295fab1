//! The notifier without its neighbours: rules, store, services, and a seeded simulation of all of it.

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
