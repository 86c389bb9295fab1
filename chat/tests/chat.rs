//! Chat from outside: one suite for all stores, the service over them, and a simulation of owners
//! that crash.

#[path = "chat/conformance.rs"]
mod conformance;
#[path = "chat/service.rs"]
mod service;
#[path = "chat/support.rs"]
mod support;
