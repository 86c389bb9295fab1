//! Words from outside about jobs and objects: read, taken from a queue, taken by HTTP.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "mediaconvert/consumer.rs"]
mod consumer;
#[path = "mediaconvert/heard.rs"]
mod heard;
#[path = "mediaconvert/hints.rs"]
mod hints;
#[path = "mediaconvert/webhook.rs"]
mod webhook;
