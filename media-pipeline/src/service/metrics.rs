//! What is counted, declared in one place. Labels are names from closed lists.

use crate::model::ClipState;
use metrics::{counter, describe_counter};

/// Says what the series mean.
pub fn describe() {
    describe_counter!(
        "kaiwa_clips_states_total",
        "Clips that came into a state, by state"
    );
    describe_counter!(
        "kaiwa_clips_job_events_total",
        "Job events by what became of them: taken, stale, parked, conflict, double, unknown"
    );
    describe_counter!(
        "kaiwa_clips_failures_total",
        "Calls to what stands behind clips that did not succeed, by port"
    );
    describe_counter!(
        "kaiwa_clips_swept_total",
        "Objects and uploads of no clip that were deleted"
    );
}

pub(super) fn state(state: ClipState) {
    let name = match state {
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
    };
    counter!("kaiwa_clips_states_total", "state" => name).increment(1);
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
