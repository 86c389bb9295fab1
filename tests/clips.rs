//! Clips on one machine, with a real server, real FFmpeg and real sockets: from registering to playing in the room,
//! through kills and drains, and for nobody who may not.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "support/root.rs"]
mod support;

#[path = "clips/doors.rs"]
mod doors;
#[path = "clips/floods.rs"]
mod floods;
#[path = "clips/flow.rs"]
mod flow;
#[path = "clips/gone.rs"]
mod gone;
#[path = "clips/hook.rs"]
mod hook;
#[path = "clips/kills.rs"]
mod kills;
#[path = "clips/off.rs"]
mod off;
#[path = "clips/pages.rs"]
mod pages;
#[path = "clips/person.rs"]
mod person;
#[path = "clips/ports.rs"]
mod ports;
#[path = "clips/rpc.rs"]
mod rpc;
#[path = "clips/secrets.rs"]
mod secrets;
#[path = "clips/services.rs"]
mod services;
#[path = "clips/told.rs"]
mod told;
