//! WHIP and WHEP against a real server: each requirement of both documents (docs/whip.md), media there and back, every
//! way in which a session ends, and clients that mean no good.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "support/root.rs"]
mod support;

#[allow(dead_code, reason = "a part is used")]
#[path = "../sfu/tests/call/client.rs"]
mod client;
#[allow(dead_code, reason = "a part is used")]
#[path = "../sfu/tests/call/wait.rs"]
mod wait;

#[path = "whip/document.rs"]
mod document;
#[path = "whip/ends.rs"]
mod ends;
#[path = "whip/hostile.rs"]
mod hostile;
#[path = "whip/http.rs"]
mod http;
#[path = "whip/ice.rs"]
mod ice;
#[path = "whip/media.rs"]
mod media;
#[path = "whip/offers.rs"]
mod offers;
#[path = "whip/others.rs"]
mod others;
#[path = "whip/world.rs"]
mod world;
