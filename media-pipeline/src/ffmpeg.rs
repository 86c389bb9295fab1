//! The transcoder on this machine: one FFmpeg at a time, one process for a whole ladder.

pub mod plan;

mod measure;
pub(crate) mod publish;
mod record;
mod shape;
pub(crate) mod still;
mod transcoder;
mod work;

pub use transcoder::FfmpegTranscoder;
