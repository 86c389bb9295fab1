//! Looking and transcoding with the real FFmpeg, on sources that it makes.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a helper of a test may fail as a test does; tables are long"
)]

#[path = "ffmpeg/canary.rs"]
mod canary;
#[path = "ffmpeg/hostile.rs"]
mod hostile;
#[path = "ffmpeg/jobs.rs"]
mod jobs;
#[path = "ffmpeg/outputs.rs"]
mod outputs;
#[path = "ffmpeg/shapes.rs"]
mod shapes;
#[path = "ffmpeg/support.rs"]
mod support;
