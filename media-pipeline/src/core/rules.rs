//! How long is waited for what, and how often something is tried.

use crate::model::Backend;
use kaiwa_common::limits::{
    CLIP_AUTO_RETRIES, CLIP_CHORE_TRIES, CLIP_KEEP_FAILED, CLIP_LEASE, CLIP_LOOK, CLIP_LOOK_MAX,
    CLIP_POLL_LOCAL, CLIP_POLL_REMOTE, CLIP_QUEUED, CLIP_RETRY_CAP, CLIP_SILENT, CLIP_TRIES,
    CLIP_UPLOAD,
};
use std::time::Duration;

/// Times and counts that the state machine goes by. The default is what `limits` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// From registering until an upload is given up.
    pub upload: Duration,
    /// From one look for a lost object event to the next, at first and at most.
    pub look: (Duration, Duration),
    /// How long whoever began a piece of work has it for themselves.
    pub lease: Duration,
    /// From one question to a transcoder on this machine to the next.
    pub poll_local: Duration,
    /// From one question to a service to the next, when it says nothing by itself.
    pub poll_remote: Duration,
    /// A job may wait for so long.
    pub queued: Duration,
    /// A job that is being worked on may get no further for so long.
    pub silent: Duration,
    /// How long the file of a clip that has failed is kept for another attempt.
    pub keep_failed: Duration,
    /// Attempts that begin by themselves after a failure that may pass.
    pub auto_retries: u32,
    /// Failures in a row of what a state waits for, after which it ends.
    pub tries: u32,
    /// Failures in a row of errands, after which they are left undone.
    pub chore_tries: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            upload: CLIP_UPLOAD,
            look: (CLIP_LOOK, CLIP_LOOK_MAX),
            lease: CLIP_LEASE,
            poll_local: CLIP_POLL_LOCAL,
            poll_remote: CLIP_POLL_REMOTE,
            queued: CLIP_QUEUED,
            silent: CLIP_SILENT,
            keep_failed: CLIP_KEEP_FAILED,
            auto_retries: CLIP_AUTO_RETRIES,
            tries: CLIP_TRIES,
            chore_tries: CLIP_CHORE_TRIES,
        }
    }
}

impl Rules {
    /// From one question about a job to the next.
    #[must_use]
    pub fn poll(&self, backend: Backend) -> Duration {
        match backend {
            Backend::Ffmpeg => self.poll_local,
            Backend::MediaConvert => self.poll_remote,
        }
    }
}

/// The first back-off's bound. It doubles with each failure in a row.
const BASE: Duration = Duration::from_secs(2);

/// Full jitter: anything from nothing to `BASE · 2^(fails - 1)`, at most [`CLIP_RETRY_CAP`], but not sooner than
/// the other side wishes. `roll` is any number.
#[must_use]
pub fn backoff(fails: u32, wish: Option<Duration>, roll: u64) -> Duration {
    let doublings = fails.saturating_sub(1).min(16);
    let bound = BASE.saturating_mul(1 << doublings).min(CLIP_RETRY_CAP);
    let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    let jittered = Duration::from_millis(roll % (bound_ms + 1));
    // Who asks for a day is asked again after an hour all the same.
    jittered.max(wish.unwrap_or_default().min(Duration::from_secs(3_600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_grows_is_bounded_and_keeps_a_wish() {
        assert_eq!(backoff(1, None, 2_000), Duration::from_secs(2));
        assert_eq!(backoff(1, None, 2_001), Duration::ZERO);
        assert_eq!(backoff(4, None, 16_000), Duration::from_secs(16));
        let cap = u64::try_from(CLIP_RETRY_CAP.as_millis()).unwrap();
        assert_eq!(backoff(u32::MAX, None, cap), CLIP_RETRY_CAP);
        let wish = Some(Duration::from_secs(30));
        assert_eq!(backoff(1, wish, 5), Duration::from_secs(30));
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(backoff(1, day, 5), Duration::from_secs(3_600));
    }
}
