//! The job, what it made, and errands.

use super::named;
use crate::model::{Backend, Chore, Job, Outputs, Phase, Progress, Rendition, Sprite};
use kaiwa_common::time::UnixMs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const BACKENDS: [Backend; 2] = [Backend::Ffmpeg, Backend::MediaConvert];

const PHASES: [Phase; 3] = [Phase::Probing, Phase::Transcoding, Phase::Storing];

/// A backend's number, which is never changed.
pub(in crate::adapters) fn backend_number(backend: Backend) -> u8 {
    match backend {
        Backend::Ffmpeg => 0,
        Backend::MediaConvert => 1,
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredJob {
    backend: u8,
    id: String,
    submitted: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredProgress {
    phase: u8,
    percent: u8,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredOutputs {
    playlist: Option<String>,
    renditions: Vec<StoredRendition>,
    poster: Option<String>,
    sprite: Option<(String, String, u32)>,
    files: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredRendition {
    name: String,
    width: u32,
    height: u32,
    fps: f64,
    peak: u64,
    average: u64,
    codecs: String,
    playlist: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredChore {
    AbortUpload(String),
    StopJob(StoredJob),
    Sweep(u32),
    Erase,
    Show(u64),
    TellReady,
    TellFailed(u32),
}

impl From<&Job> for StoredJob {
    fn from(job: &Job) -> Self {
        Self {
            backend: backend_number(job.backend),
            id: job.id.clone(),
            submitted: job.submitted.0,
        }
    }
}

impl TryFrom<StoredJob> for Job {
    type Error = String;

    fn try_from(stored: StoredJob) -> Result<Self, String> {
        Ok(Self {
            backend: named(&BACKENDS, stored.backend)?,
            id: stored.id,
            submitted: UnixMs(stored.submitted),
        })
    }
}

impl From<Progress> for StoredProgress {
    fn from(progress: Progress) -> Self {
        let phase = match progress.phase {
            Phase::Probing => 0,
            Phase::Transcoding => 1,
            Phase::Storing => 2,
        };
        Self {
            phase,
            percent: progress.percent,
        }
    }
}

impl TryFrom<StoredProgress> for Progress {
    type Error = String;

    fn try_from(stored: StoredProgress) -> Result<Self, String> {
        Ok(Self {
            phase: named(&PHASES, stored.phase)?,
            percent: stored.percent,
        })
    }
}

impl From<&Outputs> for StoredOutputs {
    fn from(outputs: &Outputs) -> Self {
        let renditions = outputs.renditions.iter().map(|one| StoredRendition {
            name: one.name.clone(),
            width: one.width,
            height: one.height,
            fps: one.fps,
            peak: one.peak,
            average: one.average,
            codecs: one.codecs.clone(),
            playlist: one.playlist.clone(),
        });
        let sprite = outputs.sprite.as_ref();
        Self {
            playlist: outputs.playlist.clone(),
            renditions: renditions.collect(),
            poster: outputs.poster.clone(),
            sprite: sprite.map(|one| (one.image.clone(), one.vtt.clone(), one.interval_ms)),
            files: outputs.files.clone(),
        }
    }
}

impl From<StoredOutputs> for Outputs {
    fn from(stored: StoredOutputs) -> Self {
        let renditions = stored.renditions.into_iter().map(|one| Rendition {
            name: one.name,
            width: one.width,
            height: one.height,
            fps: one.fps,
            peak: one.peak,
            average: one.average,
            codecs: one.codecs,
            playlist: one.playlist,
        });
        Self {
            playlist: stored.playlist,
            renditions: renditions.collect(),
            poster: stored.poster,
            sprite: stored.sprite.map(|(image, vtt, interval_ms)| Sprite {
                image,
                vtt,
                interval_ms,
            }),
            files: stored.files,
        }
    }
}

impl From<&Chore> for StoredChore {
    fn from(chore: &Chore) -> Self {
        match chore {
            Chore::AbortUpload(id) => Self::AbortUpload(id.clone()),
            Chore::StopJob(job) => Self::StopJob(job.into()),
            Chore::Sweep(attempt) => Self::Sweep(*attempt),
            Chore::Erase => Self::Erase,
            Chore::Show(version) => Self::Show(*version),
            Chore::TellReady => Self::TellReady,
            Chore::TellFailed(attempt) => Self::TellFailed(*attempt),
        }
    }
}

impl TryFrom<StoredChore> for Chore {
    type Error = String;

    fn try_from(stored: StoredChore) -> Result<Self, String> {
        Ok(match stored {
            StoredChore::AbortUpload(id) => Self::AbortUpload(id),
            StoredChore::StopJob(job) => Self::StopJob(job.try_into()?),
            StoredChore::Sweep(attempt) => Self::Sweep(attempt),
            StoredChore::Erase => Self::Erase,
            StoredChore::Show(version) => Self::Show(version),
            StoredChore::TellReady => Self::TellReady,
            StoredChore::TellFailed(attempt) => Self::TellFailed(attempt),
        })
    }
}
