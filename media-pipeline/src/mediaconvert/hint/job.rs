//! A job's event.

use super::{Hint, Unreadable, object, text, time};
use crate::mediaconvert::codes;
use crate::model::{Backend, ClipId, Outputs, Phase, Progress};
use crate::ports::{JobEvent, Report};
use kaiwa_common::time::UnixMs;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Outputs that nobody has looked at: an event says that a job is done, and
/// [`Transcoder::report`](crate::ports::Transcoder::report) what it has written. They have no files.
#[must_use]
pub fn unseen() -> Outputs {
    Outputs {
        playlist: None,
        renditions: Vec::new(),
        poster: None,
        sprite: None,
        files: BTreeMap::new(),
    }
}

pub(super) fn event(top: &Map<String, Value>) -> Result<Hint, Unreadable> {
    let id = text(top, "id", 128)?;
    let detail = object(top, "detail")?;
    let job = text(detail, "jobId", 64)?;
    if !job.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(Unreadable::Invalid("jobId"));
    }
    let report = match text(detail, "status", 64)? {
        "PROGRESSING" | "INPUT_INFORMATION" => Report::Working(Progress {
            phase: Phase::Probing,
            percent: 0,
        }),
        "STATUS_UPDATE" => Report::Working(progress(detail)?),
        "COMPLETE" => Report::Done(unseen()),
        "ERROR" => Report::Failed(codes::clip_error(code(detail)?)),
        "CANCELED" => Report::Cancelled,
        "NEW_WARNING" => return Ok(Hint::Nothing("job_warning")),
        "QUEUE_HOP" => return Ok(Hint::Nothing("job_queue_hop")),
        _ => return Err(Unreadable::UnknownStatus),
    };
    let own = detail.get("userMetadata").and_then(Value::as_object);
    let own = |name: &str| own.and_then(|own| own.get(name)).and_then(Value::as_str);
    Ok(Hint::Job(Box::new(JobEvent {
        id: id.to_owned(),
        // Others in the account write into theirs what they like.
        clip: own("clip").and_then(clip),
        attempt: own("attempt").and_then(|text| text.parse().ok()),
        backend: Backend::MediaConvert,
        job: job.to_owned(),
        at: happened(top, detail)?,
        report,
    })))
}

/// A UUID as we write it, and no other spelling.
fn clip(text: &str) -> Option<ClipId> {
    let id = ClipId(Uuid::try_parse(text).ok()?);
    (id.to_string() == text).then_some(id)
}

fn happened(top: &Map<String, Value>, detail: &Map<String, Value>) -> Result<UnixMs, Unreadable> {
    match detail.get("timestamp") {
        None => time(top, "time"),
        Some(value) => match value.as_i64() {
            // Up to the year 9999.
            Some(ms @ 0..=253_402_300_799_999) => Ok(UnixMs(ms)),
            _ => Err(Unreadable::Invalid("timestamp")),
        },
    }
}

fn progress(detail: &Map<String, Value>) -> Result<Progress, Unreadable> {
    let Some(progress) = detail.get("jobProgress") else {
        // Older or other settings of the queue send none.
        return Ok(Progress {
            phase: Phase::Transcoding,
            percent: 0,
        });
    };
    let progress = progress
        .as_object()
        .ok_or(Unreadable::Invalid("jobProgress"))?;
    let percent = match progress.get("jobPercentComplete") {
        None => 0,
        Some(value) => {
            let percent = value
                .as_u64()
                .and_then(|percent| u8::try_from(percent).ok());
            percent
                .filter(|percent| *percent <= 100)
                .ok_or(Unreadable::Invalid("jobPercentComplete"))?
        }
    };
    let phase = match progress.get("currentPhase").and_then(Value::as_str) {
        Some("PROBING") => Phase::Probing,
        Some("TRANSCODING") | None => Phase::Transcoding,
        Some("UPLOADING") => Phase::Storing,
        Some(_) => return Err(Unreadable::Invalid("currentPhase")),
    };
    Ok(Progress { phase, percent })
}

fn code(detail: &Map<String, Value>) -> Result<i64, Unreadable> {
    let code = detail
        .get("errorCode")
        .ok_or(Unreadable::Missing("errorCode"))?;
    code.as_i64().ok_or(Unreadable::Invalid("errorCode"))
}
