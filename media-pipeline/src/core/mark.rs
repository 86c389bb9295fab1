//! Which words of a transcoder count.
//!
//! A word maps to (attempt, rank, time). It counts if its attempt and job are the clip's, the clip is not over, and it
//! moves forward: a higher rank, or the same rank and further. Of two words of the same rank that are equally far
//! the time changes nothing: neither is forward.

use crate::model::{Backend, Clip, ClipState, Progress};
use crate::ports::{JobEvent, Report};
use kaiwa_common::time::UnixMs;

/// What a transcoder says of a job: an event, or its answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// Of which attempt, if it says so.
    pub attempt: Option<u32>,
    /// Whose job.
    pub backend: Backend,
    /// Its id.
    pub job: String,
    /// When.
    pub at: UnixMs,
    /// What.
    pub report: Report,
}

impl From<&JobEvent> for Word {
    fn from(event: &JobEvent) -> Self {
        Self {
            attempt: event.attempt,
            backend: event.backend,
            job: event.job.clone(),
            at: event.at,
            report: event.report.clone(),
        }
    }
}

/// What is to be done with a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// It moves the clip.
    Yes,
    /// It is late, a double, or not about this clip's job.
    Stale,
    /// The job is not known yet: hear it again later.
    Park,
    /// It comes after another end: the first one holds, and what this attempt wrote has to go.
    Conflict(u32),
}

/// True when nothing moves a clip any more but people.
#[must_use]
pub fn is_over(state: ClipState) -> bool {
    match state {
        ClipState::Created
        | ClipState::Uploading
        | ClipState::Uploaded
        | ClipState::Validating
        | ClipState::Submitted
        | ClipState::Processing
        | ClipState::Verifying => false,
        ClipState::Ready
        | ClipState::Expired
        | ClipState::Rejected
        | ClipState::Failed
        | ClipState::Cancelled
        | ClipState::Deleted => true,
    }
}

/// Whether a word counts.
#[must_use]
pub fn counts(clip: &Clip, word: &Word) -> Counts {
    let is_ours = clip
        .job
        .as_ref()
        .is_some_and(|job| job.id == word.job && job.backend == word.backend);
    let attempt = word.attempt.or_else(|| is_ours.then_some(clip.attempt));
    let is_done = matches!(word.report, Report::Done(_));
    let Some(attempt) = attempt else {
        return if clip.job.is_none() && clip.state == ClipState::Submitted {
            Counts::Park
        } else {
            Counts::Stale
        };
    };
    if attempt != clip.attempt || is_over(clip.state) {
        return late(clip, attempt, is_done);
    }
    if clip.job.is_none() {
        return if clip.state == ClipState::Submitted {
            Counts::Park
        } else {
            Counts::Stale
        };
    }
    if !is_ours {
        return Counts::Stale;
    }
    if rank(&word.report) > standing(clip) {
        Counts::Yes
    } else {
        Counts::Stale
    }
}

/// A word about an attempt that is given up, or a clip that is over: only what was written matters.
fn late(clip: &Clip, attempt: u32, is_done: bool) -> Counts {
    // An attempt that was never begun has written nothing that this clip knows of.
    if !is_done || attempt > clip.attempt || attempt == 0 {
        return Counts::Stale;
    }
    if attempt == clip.attempt && clip.state == ClipState::Ready {
        return Counts::Stale;
    }
    Counts::Conflict(attempt)
}

/// How far a clip is, in the same measure as a word.
fn standing(clip: &Clip) -> (u8, Option<Progress>) {
    match clip.state {
        ClipState::Processing => (1, clip.progress),
        ClipState::Created
        | ClipState::Uploading
        | ClipState::Uploaded
        | ClipState::Validating
        | ClipState::Submitted => (0, None),
        ClipState::Verifying
        | ClipState::Ready
        | ClipState::Expired
        | ClipState::Rejected
        | ClipState::Failed
        | ClipState::Cancelled
        | ClipState::Deleted => (2, None),
    }
}

fn rank(report: &Report) -> (u8, Option<Progress>) {
    match report {
        Report::Queued => (0, None),
        Report::Working(progress) => (1, Some(*progress)),
        Report::Done(_) | Report::Failed(_) | Report::Cancelled => (2, None),
    }
}
