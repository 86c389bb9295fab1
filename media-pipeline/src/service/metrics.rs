//! What is counted, declared in one place. Labels are names from closed lists.

use crate::model::{Clip, ClipState};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use std::collections::BTreeMap;

/// Says what the series mean.
pub fn describe() {
    describe_counter!(
        "kaiwa_clips_states_total",
        "Clips that came into a state, by state"
    );
    describe_gauge!(
        "kaiwa_clips_under_way",
        "Clips that are not over, by state, counted each ten seconds up to some thousand: submitted is the transcoder's queue"
    );
    describe_counter!(
        "kaiwa_clips_job_events_total",
        "Job events by what became of them: taken, stale, parked, conflict, double, unknown"
    );
    describe_counter!(
        "kaiwa_clips_failures_total",
        "Calls to what stands behind clips that did not succeed, by port"
    );
    describe_histogram!(
        "kaiwa_clips_state_seconds",
        Unit::Seconds,
        "How long clips were in a state when they left it, by state: uploading, validating, submitted (the queue), processing"
    );
    describe_counter!(
        "kaiwa_clips_ended_badly_total",
        "Clips that were rejected, failed or expired, by reason"
    );
    describe_counter!(
        "kaiwa_clips_uploaded_bytes_total",
        Unit::Bytes,
        "Bytes of clips whose upload was completed"
    );
    describe_gauge!(
        "kaiwa_clips_stored_bytes",
        Unit::Bytes,
        "Bytes that clips take up, with what is declared and has not come yet, counted each minute"
    );
    describe_counter!(
        "kaiwa_clips_quota_refusals_total",
        "Clips that were refused for a person's quota or the server's storage, by quota"
    );
    describe_counter!(
        "kaiwa_clips_unreadable_total",
        "Rows of clips that could not be read and were left out"
    );
    describe_counter!(
        "kaiwa_clips_swept_total",
        "Objects and uploads of no clip that were deleted"
    );
}

/// The states of clips that are not over.
const GOING: [ClipState; 7] = [
    ClipState::Created,
    ClipState::Uploading,
    ClipState::Uploaded,
    ClipState::Validating,
    ClipState::Submitted,
    ClipState::Processing,
    ClipState::Verifying,
];

/// So many clips are in each state; in those that are not named, none.
pub(super) fn under_way(counts: &BTreeMap<ClipState, usize>) {
    for state in GOING {
        let clips = counts.get(&state).copied().unwrap_or(0);
        let clips = f64::from(u32::try_from(clips).unwrap_or(u32::MAX));
        gauge!("kaiwa_clips_under_way", "state" => name(state)).set(clips);
    }
}

/// All clips take up so many bytes.
pub(super) fn stored(bytes: u64) {
    // A gauge is a float, exact up to 8 PiB.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    gauge!("kaiwa_clips_stored_bytes").set(bytes as f64);
}

/// A clip came from one state into another.
pub(super) fn moved(before: &Clip, clip: &Clip) {
    state(clip.state);
    let since = before.chores.since.unwrap_or(before.created);
    let spent = clip.updated.since(since).as_secs_f64();
    histogram!("kaiwa_clips_state_seconds", "state" => name(before.state)).record(spent);
    let was_open = matches!(before.state, ClipState::Created | ClipState::Uploading);
    if was_open && clip.state == ClipState::Uploaded {
        counter!("kaiwa_clips_uploaded_bytes_total").increment(clip.declared.size);
    }
    let is_bad = matches!(
        clip.state,
        ClipState::Rejected | ClipState::Failed | ClipState::Expired
    );
    if let Some(error) = clip.error.as_ref().filter(|_| is_bad) {
        // Reasons are of a closed list: this pipeline's own.
        let reason = error.reason.clone();
        counter!("kaiwa_clips_ended_badly_total", "reason" => reason).increment(1);
    }
}

pub(super) fn state(state: ClipState) {
    counter!("kaiwa_clips_states_total", "state" => name(state)).increment(1);
}

fn name(state: ClipState) -> &'static str {
    match state {
        ClipState::Created => "created",
        ClipState::Uploading => "uploading",
        ClipState::Uploaded => "uploaded",
        ClipState::Validating => "validating",
        ClipState::Submitted => "submitted",
        ClipState::Processing => "processing",
        ClipState::Verifying => "verifying",
        ClipState::Ready => "ready",
        ClipState::Expired => "expired",
        ClipState::Rejected => "rejected",
        ClipState::Failed => "failed",
        ClipState::Cancelled => "cancelled",
        ClipState::Deleted => "deleted",
    }
}

pub(super) fn job_event(result: &'static str) {
    counter!("kaiwa_clips_job_events_total", "result" => result).increment(1);
}

pub(super) fn failed(port: &'static str) {
    counter!("kaiwa_clips_failures_total", "port" => port).increment(1);
}

pub(super) fn swept(count: u64) {
    counter!("kaiwa_clips_swept_total").increment(count);
}

pub(super) fn refused(what: &'static str) {
    counter!("kaiwa_clips_quota_refusals_total", "quota" => what).increment(1);
}
