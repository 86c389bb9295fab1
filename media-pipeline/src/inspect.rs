//! Looks at what arrived before any work is spent on it: first bytes, then `ffprobe` in a cage, then policy, then all of it.

pub mod policy;
pub mod probe;
pub mod sniff;

pub(crate) mod boxes;
mod inspector;
mod source;
mod walk;

pub use inspector::{FfprobeInspector, check_declared};
pub(crate) use source::{Fetched, input, words};

use crate::model::ClipError;

/// A refusal. `reason` is API.
pub(crate) fn refuse(reason: &str, message: impl Into<String>) -> ClipError {
    ClipError {
        reason: reason.to_owned(),
        message: message.into(),
        retryable: false,
        provider_code: None,
    }
}
