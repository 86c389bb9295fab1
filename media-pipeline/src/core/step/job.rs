//! From handing a job over to its end.

use super::{Effect, Next, Verdict, again, error};
use crate::core::mark::{Counts, Word, counts, is_over};
use crate::model::{Chore, ClipError, ClipState, Job, Outputs, Phase, Progress};
use crate::ports::Report;

impl Next<'_> {
    /// A new attempt, which nobody has been given yet.
    pub(super) fn new_attempt(&mut self) {
        self.clip.attempt += 1;
        self.clip.job = None;
        self.clip.progress = None;
        self.clip.outputs = None;
        self.clip.error = None;
        self.clip.chores.heard = Some(self.at.now);
        self.to(ClipState::Submitted);
    }

    pub(super) fn submitted(&mut self, attempt: u32, job: &Job) -> Verdict {
        let is_awaited = self.clip.state == ClipState::Submitted && self.clip.attempt == attempt;
        if is_awaited && self.clip.job.is_none() {
            self.clip.job = Some(job.clone());
            self.clip.chores.heard = Some(self.at.now);
            self.clip.chores.work_fails = 0;
            self.wait(self.at.rules.poll(job.backend));
            return Verdict::Taken;
        }
        let is_known = self
            .clip
            .job
            .as_ref()
            .is_some_and(|known| known.id == job.id && known.backend == job.backend);
        if is_known && self.clip.attempt == attempt {
            return Verdict::Stale;
        }
        // Nobody waits for it any more: it was cancelled, or given up, while it was handed over.
        self.chore(Chore::StopJob(job.clone()));
        let is_ended = is_over(self.clip.state) && self.clip.state != ClipState::Ready;
        if self.clip.attempt != attempt || is_ended {
            self.chore(Chore::Sweep(attempt));
        }
        Verdict::Conflict
    }

    pub(super) fn not_taken(&mut self, attempt: u32, error: &ClipError) -> Verdict {
        let is_awaited = self.clip.state == ClipState::Submitted
            && self.clip.attempt == attempt
            && self.clip.job.is_none();
        if !is_awaited {
            return Verdict::Stale;
        }
        self.fail(error.clone());
        Verdict::Taken
    }

    pub(super) fn word(&mut self, word: &Word) -> Verdict {
        match counts(&self.clip, word) {
            Counts::Yes => {}
            Counts::Stale => return Verdict::Stale,
            Counts::Park => return Verdict::Park,
            Counts::Conflict(attempt) => {
                self.chore(Chore::Sweep(attempt));
                return Verdict::Conflict;
            }
        }
        self.clip.chores.heard = Some(self.at.now);
        self.clip.chores.work_fails = 0;
        match &word.report {
            Report::Queued => {}
            Report::Working(progress) => self.working(*progress),
            Report::Done(outputs) => {
                self.clip.outputs = Some(outputs.clone());
                self.clip.progress = Some(Progress {
                    phase: Phase::Storing,
                    percent: 100,
                });
                self.to(ClipState::Verifying);
                self.begin(Effect::Verify);
            }
            Report::Failed(error) => self.fail(error.clone()),
            Report::Cancelled => {
                let message = "the job was stopped at the transcoder: try again";
                self.end_failed(error("TRANSCODER_CANCELLED", message, true));
            }
        }
        Verdict::Taken
    }

    fn working(&mut self, progress: Progress) {
        // A later part of the work may count from another base: what people see never falls.
        let shown = self.clip.progress.map_or(0, |shown| shown.percent);
        let percent = progress.percent.min(100).max(shown);
        self.clip.progress = Some(Progress {
            phase: progress.phase,
            percent,
        });
        let backend = self.clip.job.as_ref().map(|job| job.backend);
        if self.clip.state == ClipState::Submitted {
            self.to(ClipState::Processing);
        } else if percent != shown {
            self.show();
        }
        if let Some(backend) = backend {
            self.wait(self.at.rules.poll(backend));
        }
    }

    pub(super) fn lost(&mut self, attempt: u32) -> Verdict {
        let is_awaited = matches!(
            self.clip.state,
            ClipState::Submitted | ClipState::Processing
        );
        if !is_awaited || self.clip.attempt != attempt || self.clip.job.is_none() {
            return Verdict::Stale;
        }
        let message = "the transcoder has forgotten the job";
        self.fail(error("TRANSCODER_LOST", message, true));
        Verdict::Taken
    }

    pub(super) fn verified(&mut self, attempt: u32, outputs: &Outputs) -> Verdict {
        if self.clip.state != ClipState::Verifying || self.clip.attempt != attempt {
            return Verdict::Stale;
        }
        self.clip.outputs = Some(outputs.clone());
        self.clip.error = None;
        self.clip.progress = None;
        self.to(ClipState::Ready);
        self.chore(Chore::TellReady);
        Verdict::Taken
    }

    pub(super) fn faulty(&mut self, attempt: u32, error: &ClipError) -> Verdict {
        if self.clip.state != ClipState::Verifying || self.clip.attempt != attempt {
            return Verdict::Stale;
        }
        if attempt == 0 {
            // A picture or sound file: there is no attempt that could be made again.
            self.end_failed(error.clone());
        } else {
            self.fail(error.clone());
        }
        Verdict::Taken
    }

    /// This attempt has failed. One that may pass is followed by another, a bounded number of times.
    pub(super) fn fail(&mut self, error: ClipError) {
        let retries = self.clip.chores.retries;
        if !error.retryable || retries >= self.at.rules.auto_retries {
            self.end_failed(error);
            return;
        }
        self.give_up_attempt();
        self.new_attempt();
        self.clip.chores.retries = retries + 1;
        self.wait(again(retries + 1, None, self.at));
    }

    /// It has failed, until somebody asks for another attempt.
    pub(super) fn end_failed(&mut self, error: ClipError) {
        self.give_up_attempt();
        self.clip.outputs = None;
        self.end(ClipState::Failed, error);
        self.wait(self.at.rules.keep_failed);
        self.chore(Chore::TellFailed(self.clip.attempt));
    }

    /// Stops the job, which may be working still, and sweeps what it wrote.
    pub(super) fn give_up_attempt(&mut self) {
        if is_over(self.clip.state) || self.clip.attempt == 0 {
            return;
        }
        if let Some(job) = self.clip.job.clone() {
            self.chore(Chore::StopJob(job));
        }
        self.chore(Chore::Sweep(self.clip.attempt));
    }
}
