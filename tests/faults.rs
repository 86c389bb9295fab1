//! Twelve seeded faults against a real server over real sockets: each is named rightly, and by the answer to the
//! client's own report wherever there is one; a call in which nothing is wrong is told nothing.
//!
//! Blocked and lossy networks are made with nftables, on the ports of the test's own server alone: needs root.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "support/root.rs"]
mod support;

#[allow(dead_code, reason = "a part is used")]
#[path = "../sfu/tests/call/client.rs"]
mod client;
#[allow(dead_code, reason = "a part is used")]
#[path = "../sfu/tests/call/wait.rs"]
mod wait;

#[path = "faults/joins.rs"]
mod joins;
#[path = "faults/media.rs"]
mod media;
#[path = "faults/person.rs"]
mod person;
#[path = "faults/requests.rs"]
mod requests;
#[path = "faults/tokens.rs"]
mod tokens;
#[path = "faults/wall.rs"]
mod wall;
