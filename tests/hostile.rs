//! Hostile clients against a real server: each gets its typed error or close code, and nobody else
//! notices.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not expected fails the test"
)]

#[path = "support/root.rs"]
mod support;

#[path = "hostile/calls.rs"]
mod calls;
#[path = "hostile/deadlines.rs"]
mod deadlines;
#[path = "hostile/frames.rs"]
mod frames;
#[path = "hostile/messages.rs"]
mod messages;
#[path = "hostile/paused.rs"]
mod paused;
#[path = "hostile/push.rs"]
mod push;
#[path = "hostile/rates.rs"]
mod rates;
#[path = "hostile/resume.rs"]
mod resume;
#[path = "hostile/rooms.rs"]
mod rooms;
#[path = "hostile/slow.rs"]
mod slow;
#[path = "hostile/tokens.rs"]
mod tokens;
