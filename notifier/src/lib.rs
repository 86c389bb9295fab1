//! Who is told of what, on which device.
//!
//! An event comes from the queue to the router, which decides for each recipient and gives one job per
//! channel to that channel's queue. A channel's consumer looks up the person's devices and hands a push to a
//! sender for each, once.

pub mod event;
pub mod model;

pub mod core;

pub mod ports;
pub mod senders;
pub mod wire;

pub mod adapters;
pub mod metrics;
pub mod service;
