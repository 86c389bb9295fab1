//! Rooms, their logs and memberships.
//!
//! In reading order: what there is ([`model`]), the rules ([`core`]), what they need of the world
//! ([`ports`], [`bus`]), the shells that run them ([`service`]; [`relay`], which tells people who are away), and what stands behind the ports
//! ([`adapters`]). [`wire`] converts to and from the client protocol, for whoever stands at an edge.

pub mod error;
pub mod model;

pub mod core;

pub mod bus;
pub mod ports;

pub mod relay;
pub mod service;

pub mod adapters;
pub mod wire;
