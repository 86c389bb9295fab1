//! The reaper's decisions: what is to be done when a time has come.

use super::{Effect, Next, Verdict, again, error};
use crate::core::mark::is_over;
use crate::model::{Chore, ClipState, Job};
use std::time::Duration;

impl Next<'_> {
    pub(super) fn due(&mut self) -> Verdict {
        let now = self.at.now;
        let chores = &self.clip.chores;
        let work = chores.work_due.is_some_and(|due| due <= now);
        let todo = chores.todo_due.is_some_and(|due| due <= now);
        if todo {
            self.clip.chores.todo_due = Some(now.plus(self.at.rules.lease));
            let errands = self.clip.chores.todo.iter().cloned().map(Effect::Run);
            self.effects.extend(errands);
        }
        if work {
            self.work();
        }
        if work || todo {
            Verdict::Taken
        } else {
            Verdict::Stale
        }
    }

    fn work(&mut self) {
        match self.clip.state {
            ClipState::Created if self.at.now >= self.upload_ends() => self.expire(),
            ClipState::Created => self.look_later(),
            ClipState::Uploading => {
                self.look_later();
                self.effects.push(Effect::Look);
            }
            ClipState::Uploaded | ClipState::Validating => self.begin(Effect::Inspect),
            ClipState::Submitted | ClipState::Processing => match self.clip.job.clone() {
                None => {
                    let attempt = self.clip.attempt;
                    self.begin(Effect::Submit(attempt));
                }
                Some(job) => self.ask(&job),
            },
            ClipState::Verifying => self.begin(Effect::Verify),
            ClipState::Failed => self.drop_failed(),
            ClipState::Ready
            | ClipState::Expired
            | ClipState::Rejected
            | ClipState::Cancelled
            | ClipState::Deleted => self.clip.chores.work_due = None,
        }
    }

    /// Nobody has asked for another attempt in all this time: its bytes go, and that it failed stays.
    fn drop_failed(&mut self) {
        self.clip.chores.work_due = None;
        self.clip.chores.dropped = true;
        self.clip.captions.clear();
        if let Some(error) = &mut self.clip.error {
            error.retryable = false;
            error.message += " (the file was deleted since: upload it again)";
        }
        self.chore(Chore::Erase);
    }

    /// Asks the transcoder, or gives the attempt up when it has had time enough.
    fn ask(&mut self, job: &Job) {
        let heard = self.clip.chores.heard.unwrap_or(job.submitted);
        let silent = self.at.now.since(heard);
        let rules = self.at.rules;
        if self.clip.state == ClipState::Submitted && silent >= rules.queued {
            let message = "the job was not begun in time: the transcoder's queue is full";
            self.fail(error("TRANSCODER_QUEUE", message, true));
        } else if self.clip.state == ClipState::Processing && silent >= rules.silent {
            let message = "the job was begun and gets no further";
            self.fail(error("TRANSCODER_STUCK", message, true));
        } else {
            self.wait(rules.poll(job.backend));
            self.effects.push(Effect::Ask);
        }
    }

    pub(super) fn work_failed(&mut self, wish: Option<Duration>) -> Verdict {
        if is_over(self.clip.state) || self.clip.chores.work_due.is_none() {
            return Verdict::Stale;
        }
        let fails = self.clip.chores.work_fails.saturating_add(1);
        self.clip.chores.work_fails = fails;
        if fails > self.at.rules.tries
            && let Some((reason, message)) = given_up(self.clip.state, self.clip.job.is_some())
        {
            self.end_failed(error(reason, message, true));
            return Verdict::Taken;
        }
        self.wait(again(fails, wish, self.at));
        Verdict::Taken
    }
}

/// Why it ends when what it waits for fails for too long; `None`: another bound ends it.
fn given_up(state: ClipState, has_job: bool) -> Option<(&'static str, &'static str)> {
    match state {
        ClipState::Uploaded | ClipState::Validating => {
            Some(("INSPECTION_UNAVAILABLE", "the bytes could not be looked at"))
        }
        ClipState::Submitted if !has_job => Some((
            "TRANSCODER_UNAVAILABLE",
            "the transcoder did not take the job",
        )),
        ClipState::Verifying => Some(("STORE_UNAVAILABLE", "the outputs could not be looked at")),
        ClipState::Created
        | ClipState::Uploading
        | ClipState::Submitted
        | ClipState::Processing
        | ClipState::Ready
        | ClipState::Expired
        | ClipState::Rejected
        | ClipState::Failed
        | ClipState::Cancelled
        | ClipState::Deleted => None,
    }
}
