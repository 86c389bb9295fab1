//! AWS Elemental MediaConvert: the transcoder, and the words from outside by which its jobs and the objects they read
//! are followed.
//!
//! ```text
//!  EventBridge, S3 ──► SQS ──► Consumer ──► hint ──┐
//!  EventBridge's API destination, others ──► webhook ──► hint ──┴──► Hints (the service)
//!  the service ──► MediaConvert (Transcoder) ──CreateJob, GetJob──► AWS;  outputs ──► Objects
//! ```
//!
//! Hints may be late, doubled or lost; the truth is what [`Transcoder::report`](crate::ports::Transcoder::report) says.

pub mod codes;
pub mod consumer;
pub mod finish;
pub mod hint;
pub mod outputs;
pub mod playlist;
pub mod rung;
pub mod webhook;

#[cfg(feature = "aws")]
pub mod client;
#[cfg(feature = "aws")]
pub mod job;
#[cfg(feature = "aws")]
pub mod transcoder;

pub use consumer::{Consumer, HintError, Hints};
pub use hint::{Hint, ObjectCreated, Unreadable, read};
pub use rung::Rung;
pub use webhook::{Webhook, WebhookOptions};

#[cfg(feature = "aws")]
pub use transcoder::{MediaConvert, MediaConvertOptions};
