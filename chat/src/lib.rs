//! Rooms, their logs and memberships.

pub mod model;
pub mod error;
pub mod bus;
pub mod service;
