//! A clip as text, for stores that keep what they do not search in one value. JSON: unknown members are ignored, and
//! missing ones have their defaults, so that an older and a newer program can share a store.

pub(super) mod job;
mod value;

use crate::model::{Captions, Chores, Clip, ClipError, ClipKind, ClipState, Declared, Language};
use job::{StoredChore, StoredJob, StoredOutputs, StoredProgress};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;
use value::{StoredSource, StoredUpload};

#[derive(Serialize, Deserialize)]
struct StoredClip {
    id: [u8; 16],
    room: String,
    uploader: String,
    title: String,
    kind: u8,
    state: u8,
    version: u64,
    attempt: u32,
    name: String,
    size: u64,
    sha256: Option<[u8; 32]>,
    content_type: String,
    upload: Option<StoredUpload>,
    source: Option<StoredSource>,
    job: Option<StoredJob>,
    progress: Option<StoredProgress>,
    outputs: Option<StoredOutputs>,
    captions: BTreeMap<String, (String, String)>,
    error: Option<StoredError>,
    message: Option<u64>,
    labels: BTreeMap<String, String>,
    created: i64,
    updated: i64,
    due: Option<i64>,
    share: bool,
    rooms: BTreeMap<String, u64>,
    todo: Vec<StoredChore>,
    todo_due: Option<i64>,
    todo_fails: u32,
    work_due: Option<i64>,
    work_fails: u32,
    retries: u32,
    heard: Option<i64>,
    #[serde(default)]
    left: BTreeMap<String, u64>,
    #[serde(default)]
    since: Option<i64>,
    #[serde(default)]
    seen: Option<String>,
    #[serde(default)]
    dropped: bool,
    #[serde(default)]
    media_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredError {
    reason: String,
    message: String,
    retryable: bool,
    provider_code: Option<i64>,
}

/// A clip as text.
pub(super) fn write(clip: &Clip) -> String {
    let stored = StoredClip::from(clip);
    serde_json::to_string(&stored)
        .expect("keys are texts, and nothing in it can fail to be written")
}

/// A clip from its text; else what is wrong with it.
pub(super) fn read(text: &str) -> Result<Clip, String> {
    let stored: StoredClip = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Clip::try_from(stored)
}

/// Counts and tells of a row that is left out since it cannot be read: a newer program wrote it, or a bit has turned.
pub(super) fn left_out(what: &dyn std::fmt::Display) {
    metrics::counter!("kaiwa_clips_unreadable_total").increment(1);
    tracing::warn!(%what, "a clip's row cannot be read");
}

/// A state's number, which is never changed.
pub(super) fn state_number(state: ClipState) -> u8 {
    match state {
        ClipState::Created => 0,
        ClipState::Uploading => 1,
        ClipState::Uploaded => 2,
        ClipState::Validating => 3,
        ClipState::Submitted => 4,
        ClipState::Processing => 5,
        ClipState::Verifying => 6,
        ClipState::Ready => 7,
        ClipState::Expired => 8,
        ClipState::Rejected => 9,
        ClipState::Failed => 10,
        ClipState::Cancelled => 11,
        ClipState::Deleted => 12,
    }
}

const STATES: [ClipState; 13] = [
    ClipState::Created,
    ClipState::Uploading,
    ClipState::Uploaded,
    ClipState::Validating,
    ClipState::Submitted,
    ClipState::Processing,
    ClipState::Verifying,
    ClipState::Ready,
    ClipState::Expired,
    ClipState::Rejected,
    ClipState::Failed,
    ClipState::Cancelled,
    ClipState::Deleted,
];

/// The state of a number, if this program knows it.
pub(super) fn state_of(number: u8) -> Option<ClipState> {
    STATES.get(usize::from(number)).copied()
}

const KINDS: [ClipKind; 3] = [ClipKind::Video, ClipKind::Audio, ClipKind::Image];

fn kind_number(kind: ClipKind) -> u8 {
    match kind {
        ClipKind::Video => 0,
        ClipKind::Audio => 1,
        ClipKind::Image => 2,
    }
}

/// What a number stands for, if this program knows it.
fn named<T: Copy>(names: &[T], number: u8) -> Result<T, String> {
    let found = names.get(usize::from(number)).copied();
    found.ok_or_else(|| format!("number {number} is not known"))
}

impl From<&Clip> for StoredClip {
    fn from(clip: &Clip) -> Self {
        let chores = &clip.chores;
        let text = |(room, no): (&RoomId, &u64)| (room.to_string(), *no);
        let captions = clip.captions.iter();
        Self {
            id: *clip.id.0.as_bytes(),
            room: clip.room.to_string(),
            uploader: clip.uploader.to_string(),
            title: clip.title.clone(),
            kind: kind_number(clip.kind),
            state: state_number(clip.state),
            version: clip.version,
            attempt: clip.attempt,
            name: clip.declared.name.0.clone(),
            size: clip.declared.size,
            sha256: clip.declared.sha256,
            content_type: clip.declared.content_type.clone(),
            upload: clip.upload.as_ref().map(StoredUpload::from),
            source: clip.source.as_ref().map(StoredSource::from),
            job: clip.job.as_ref().map(StoredJob::from),
            progress: clip.progress.map(StoredProgress::from),
            outputs: clip.outputs.as_ref().map(StoredOutputs::from),
            captions: captions
                .map(|(language, one)| {
                    let pair = (one.file.clone(), one.label.clone());
                    (language.0.clone(), pair)
                })
                .collect(),
            error: clip.error.as_ref().map(StoredError::from),
            message: clip.message,
            labels: clip.labels.clone(),
            created: clip.created.0,
            updated: clip.updated.0,
            due: clip.due.map(|at| at.0),
            share: chores.share,
            rooms: chores.rooms.iter().map(text).collect(),
            left: chores.left.iter().map(text).collect(),
            todo: chores.todo.iter().map(StoredChore::from).collect(),
            todo_due: chores.todo_due.map(|at| at.0),
            todo_fails: chores.todo_fails,
            work_due: chores.work_due.map(|at| at.0),
            work_fails: chores.work_fails,
            retries: chores.retries,
            heard: chores.heard.map(|at| at.0),
            since: chores.since.map(|at| at.0),
            seen: chores.seen.clone(),
            dropped: chores.dropped,
            media_ms: u64::try_from(chores.media.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl TryFrom<StoredClip> for Clip {
    type Error = String;

    fn try_from(s: StoredClip) -> Result<Self, String> {
        let room = |text: &str| RoomId::parse(text).map_err(|error| error.to_string());
        let numbered = |(text, no): (&String, &u64)| Ok((room(text)?, *no));
        let captions = s.captions.into_iter();
        Ok(Self {
            id: crate::model::ClipId(Uuid::from_bytes(s.id)),
            room: room(&s.room)?,
            uploader: UserId::parse(&s.uploader).map_err(|error| error.to_string())?,
            title: s.title,
            kind: named(&KINDS, s.kind)?,
            state: named(&STATES, s.state)?,
            version: s.version,
            attempt: s.attempt,
            declared: Declared {
                name: Redacted(s.name),
                size: s.size,
                sha256: s.sha256,
                content_type: s.content_type,
            },
            upload: s.upload.map(TryInto::try_into).transpose()?,
            source: s.source.map(Into::into),
            job: s.job.map(TryInto::try_into).transpose()?,
            progress: s.progress.map(TryInto::try_into).transpose()?,
            outputs: s.outputs.map(Into::into),
            captions: captions
                .map(|(language, (file, label))| (Language(language), Captions { file, label }))
                .collect(),
            error: s.error.map(Into::into),
            message: s.message,
            labels: s.labels,
            created: UnixMs(s.created),
            updated: UnixMs(s.updated),
            due: s.due.map(UnixMs),
            chores: Chores {
                share: s.share,
                rooms: s
                    .rooms
                    .iter()
                    .map(numbered)
                    .collect::<Result<_, String>>()?,
                left: s.left.iter().map(numbered).collect::<Result<_, String>>()?,
                todo: s
                    .todo
                    .into_iter()
                    .map(TryInto::try_into)
                    .collect::<Result<_, String>>()?,
                todo_due: s.todo_due.map(UnixMs),
                todo_fails: s.todo_fails,
                work_due: s.work_due.map(UnixMs),
                work_fails: s.work_fails,
                retries: s.retries,
                heard: s.heard.map(UnixMs),
                since: s.since.map(UnixMs),
                seen: s.seen,
                dropped: s.dropped,
                media: Duration::from_millis(s.media_ms),
            },
        })
    }
}

impl From<&ClipError> for StoredError {
    fn from(error: &ClipError) -> Self {
        Self {
            reason: error.reason.clone(),
            message: error.message.clone(),
            retryable: error.retryable,
            provider_code: error.provider_code,
        }
    }
}

impl From<StoredError> for ClipError {
    fn from(error: StoredError) -> Self {
        Self {
            reason: error.reason,
            message: error.message,
            retryable: error.retryable,
            provider_code: error.provider_code,
        }
    }
}
