//! Words from outside, read: a job that moved, an object that came.
//!
//! Shapes come from EventBridge ("MediaConvert Job State Change", "Object Created") and from S3 ("Event message
//! structure"). What they have besides what is read here is left alone: AWS adds fields, and S3 raises
//! `eventVersion`, which is therefore never looked at.

mod job;
mod object;

use crate::ports::JobEvent;
use kaiwa_common::limits::CLIP_HINT_BYTES;
use kaiwa_common::time::UnixMs;
use serde_json::{Map, Value};

pub use job::unseen;
pub use object::ObjectCreated;

/// A word from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Hint {
    /// A transcoder's job has moved. [`Report::Done`](crate::ports::Report::Done) has [`unseen`] outputs.
    Job(Box<JobEvent>),
    /// Objects are complete.
    Objects(Vec<ObjectCreated>),
    /// Known, and of no interest: a test event, a warning, a deleted object.
    Nothing(&'static str),
}

/// Why it is not read. [`reason`](Self::reason) is written on the dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Over [`CLIP_HINT_BYTES`].
    #[error("too large")]
    TooLarge,
    /// No JSON, or none that is an object.
    #[error("no JSON object")]
    NotJson,
    /// An object of a shape that is none of ours.
    #[error("an unknown shape")]
    UnknownShape,
    /// A status that is not known.
    #[error("an unknown status")]
    UnknownStatus,
    /// It is not there, or not of its type.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// It is there, and not what it may be.
    #[error("{0} is wrong")]
    Invalid(&'static str),
}

impl Unreadable {
    /// One word, from a closed list: `hint_…`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "hint_too_large",
            Self::NotJson => "hint_not_json",
            Self::UnknownShape => "hint_unknown_shape",
            Self::UnknownStatus => "hint_unknown_status",
            Self::Missing(_) => "hint_field_missing",
            Self::Invalid(_) => "hint_field_invalid",
        }
    }
}

/// Reads a message's body.
///
/// # Errors
/// [`Unreadable`], for which reading it again does not help.
pub fn read(body: &str) -> Result<Hint, Unreadable> {
    if body.len() > CLIP_HINT_BYTES {
        return Err(Unreadable::TooLarge);
    }
    let value: Value = serde_json::from_str(body).map_err(|_| Unreadable::NotJson)?;
    let Value::Object(top) = value else {
        return Err(Unreadable::NotJson);
    };
    if let Some(records) = top.get("Records") {
        return object::records(records);
    }
    if top.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Hint::Nothing("s3_test_event"));
    }
    let source = top.get("source").and_then(Value::as_str);
    let kind = top.get("detail-type").and_then(Value::as_str);
    match (source, kind) {
        (Some("aws.mediaconvert"), Some("MediaConvert Job State Change")) => job::event(&top),
        (Some("aws.s3"), Some("Object Created")) => object::bridged(&top),
        (Some("aws.s3"), Some(_)) => Ok(Hint::Nothing("s3_other_event")),
        _ => Err(Unreadable::UnknownShape),
    }
}

fn object<'a>(
    map: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a Map<String, Value>, Unreadable> {
    let found = map.get(name).and_then(Value::as_object);
    found.ok_or(Unreadable::Missing(name))
}

/// A text of 1 to `max` bytes without control characters.
fn text<'a>(
    map: &'a Map<String, Value>,
    name: &'static str,
    max: usize,
) -> Result<&'a str, Unreadable> {
    let found = map.get(name).and_then(Value::as_str);
    let found = found.ok_or(Unreadable::Missing(name))?;
    if found.is_empty() || found.len() > max || found.chars().any(char::is_control) {
        return Err(Unreadable::Invalid(name));
    }
    Ok(found)
}

/// A time of RFC 3339, not before 1970.
fn time(map: &Map<String, Value>, name: &'static str) -> Result<UnixMs, Unreadable> {
    let parsed = text(map, name, 40)?.parse::<jiff::Timestamp>();
    let ms = parsed
        .map_err(|_| Unreadable::Invalid(name))?
        .as_millisecond();
    if ms < 0 {
        return Err(Unreadable::Invalid(name));
    }
    Ok(UnixMs(ms))
}
