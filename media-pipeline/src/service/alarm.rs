//! What operators are told of, beside single failures: jobs that wait for long, and many clips that fail. In memory: after
//! a restart it is told again, if it still is so.

use super::Inner;
use crate::model::{Clip, ClipState};
use crate::ports::Notice;
use kaiwa_common::limits::{CLIP_ENDS_COUNTED, CLIP_LATE, CLIP_NOTICE_AGAIN};
use kaiwa_common::time::UnixMs;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

#[derive(Default)]
pub(super) struct Alarm {
    /// Whether those that ended last have failed, the newest last.
    ends: VecDeque<bool>,
    waiting_told: Option<UnixMs>,
    failing_told: Option<UnixMs>,
}

impl Alarm {
    /// A clip is due and waits for the transcoder.
    fn waits(&mut self, clip: &Clip, now: UnixMs) -> Option<Notice> {
        let since = clip
            .chores
            .heard
            .filter(|_| clip.state == ClipState::Submitted)?;
        let waited = now.since(since);
        if waited < CLIP_LATE || !is_time(&mut self.waiting_told, now) {
            return None;
        }
        let clip = clip.id;
        Some(Notice::JobsWait { clip, waited })
    }

    /// A clip came to an end that the transcoder has to do with.
    fn ended(&mut self, has_failed: bool, now: UnixMs) -> Option<Notice> {
        if self.ends.len() >= CLIP_ENDS_COUNTED {
            self.ends.pop_front();
        }
        self.ends.push_back(has_failed);
        let (failed, of) = (self.ends.iter().filter(|f| **f).count(), self.ends.len());
        if failed * 2 < CLIP_ENDS_COUNTED || !is_time(&mut self.failing_told, now) {
            return None;
        }
        // What was told of is not told again.
        self.ends.clear();
        Some(Notice::ManyFail { failed, of })
    }
}

/// Once for each [`CLIP_NOTICE_AGAIN`].
fn is_time(told: &mut Option<UnixMs>, now: UnixMs) -> bool {
    let is_time = told.is_none_or(|told| now.since(told) >= CLIP_NOTICE_AGAIN);
    if is_time {
        *told = Some(now);
    }
    is_time
}

impl Inner {
    pub(super) fn waits(self: &Arc<Self>, clip: &Clip) {
        let now = self.clock.now();
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let notice = alarm.waits(clip, now);
        drop(alarm);
        self.notice(notice);
    }

    pub(super) fn ended(self: &Arc<Self>, state: ClipState) {
        let has_failed = state == ClipState::Failed;
        if !has_failed && state != ClipState::Ready {
            return;
        }
        let now = self.clock.now();
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let notice = alarm.ended(has_failed, now);
        drop(alarm);
        self.notice(notice);
    }

    fn notice(self: &Arc<Self>, notice: Option<Notice>) {
        let Some(notice) = notice else {
            return;
        };
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = inner.messages.notice(notice).await {
                super::metrics::failed("messages");
                tracing::warn!(?notice, %error, "operators are not told");
            }
        });
    }
}
