//! The state machine: a clip and an input give the clip as it is then, and what is to be done.
//!
//! An effect is handed out once, with a lease: whoever stored the clip does it. If they do not come back, [`Input::Due`]
//! hands it out again. So every state that is not over, and every errand, has a time at which it is looked into.

mod job;
mod people;
mod time;
mod upload;

use crate::core::mark::{Word, is_over};
use crate::core::rules::{Rules, backoff};
use crate::model::{
    Captions, Chore, Clip, ClipError, ClipState, Job, Language, Outputs, Source, Upload,
};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::CLIP_CHORES;
use kaiwa_common::time::UnixMs;
use std::time::Duration;

/// What can happen to a clip.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A way in was given out.
    Granted(Upload),
    /// The uploader gives the upload up.
    Abort,
    /// Somebody stops it.
    Cancel,
    /// Somebody deletes it.
    Delete,
    /// Somebody wants it transcoded again.
    Retry,
    /// Subtitles were stored.
    Captioned(Language, Captions),
    /// It is to be shown in a room.
    Shared(RoomId),
    /// It has a message in a room.
    Posted(RoomId, u64),
    /// Its message in a room was deleted by somebody there.
    Unshown(RoomId, u64),
    /// Somebody asks for what is so already.
    Asked,
    /// Its object is there.
    Arrived(Arrived),
    /// Somebody looked, and its object is not there.
    Absent,
    /// Somebody begins to look at its bytes, which have this mark of their store.
    Inspecting(String),
    /// What its bytes are.
    Inspected(Box<Source>),
    /// Its bytes may not be shared.
    Unfit(ClipError),
    /// The transcoder took the job of this attempt.
    Submitted(u32, Job),
    /// The transcoder will not take it.
    NotTaken(u32, ClipError),
    /// The transcoder says something of a job.
    Word(Box<Word>),
    /// The transcoder does not know the job of this attempt.
    Lost(u32),
    /// The outputs of this attempt are there, their keys relative to the clip's.
    Verified(u32, Box<Outputs>),
    /// They are not.
    Faulty(u32, ClipError),
    /// What the state waits for did not succeed; not to be tried before this.
    WorkFailed(Option<Duration>),
    /// An errand is done.
    Did(Chore),
    /// An errand did not succeed.
    ChoreFailed,
    /// A time has come.
    Due,
}

/// An object as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes.
    pub size: u64,
    /// SHA-256, if the store has it.
    pub sha256: Option<[u8; 32]>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Look for its object: [`Input::Arrived`] or [`Input::Absent`].
    Look,
    /// Look at its bytes: [`Input::Inspecting`], then [`Input::Inspected`] or [`Input::Unfit`].
    Inspect,
    /// Hand this attempt to the transcoder: [`Input::Submitted`] or [`Input::NotTaken`].
    Submit(u32),
    /// Ask the transcoder: [`Input::Word`] or [`Input::Lost`].
    Ask,
    /// Look whether all outputs are there: [`Input::Verified`] or [`Input::Faulty`].
    Verify,
    /// An errand: [`Input::Did`].
    Run(Chore),
}

/// What came of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The clip as it is now, to be stored by compare-and-set; `None`: as it was.
    pub clip: Option<Clip>,
    /// To be done once it is stored.
    pub effects: Vec<Effect>,
    /// For whoever gave the input.
    pub verdict: Verdict,
}

/// For whoever gave an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Taken,
    /// It changes nothing: a repetition, or too late.
    Stale,
    /// Give it again later.
    Park,
    /// Another end came first.
    Conflict,
    /// Not in this state.
    Refused(ClipState),
}

/// What a step goes by besides the clip.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The time.
    pub now: UnixMs,
    /// Any number.
    pub roll: u64,
    /// Times and counts.
    pub rules: &'a Rules,
}

/// What becomes of a clip.
#[must_use]
pub fn step(clip: &Clip, input: &Input, at: At<'_>) -> Step {
    let mut next = Next::of(clip, at);
    let verdict = match input {
        Input::Granted(upload) => next.granted(upload),
        Input::Abort => next.abort(),
        Input::Cancel => next.cancel(),
        Input::Delete => next.delete(),
        Input::Retry => next.retry(),
        Input::Captioned(language, captions) => next.captioned(language, captions),
        Input::Shared(room) => next.shared(room),
        Input::Posted(room, number) => next.posted(room, *number),
        Input::Unshown(room, number) => next.unshown(room, *number),
        Input::Asked => Verdict::Stale,
        Input::Arrived(arrived) => next.arrived(*arrived),
        Input::Absent => next.absent(),
        Input::Inspecting(mark) => next.inspecting(mark),
        Input::Inspected(source) => next.inspected(source),
        Input::Unfit(error) => next.unfit(error),
        Input::Submitted(attempt, job) => next.submitted(*attempt, job),
        Input::NotTaken(attempt, error) => next.not_taken(*attempt, error),
        Input::Word(word) => next.word(word),
        Input::Lost(attempt) => next.lost(*attempt),
        Input::Verified(attempt, outputs) => next.verified(*attempt, outputs),
        Input::Faulty(attempt, error) => next.faulty(*attempt, error),
        Input::WorkFailed(after) => next.work_failed(*after),
        Input::Did(chore) => next.did(chore),
        Input::ChoreFailed => next.chore_failed(),
        Input::Due => next.due(),
    };
    next.finish(clip, verdict)
}

/// A clip that is being changed.
struct Next<'a> {
    clip: Clip,
    effects: Vec<Effect>,
    at: At<'a>,
}

impl<'a> Next<'a> {
    fn of(clip: &Clip, at: At<'a>) -> Self {
        Self {
            clip: clip.clone(),
            effects: Vec::new(),
            at,
        }
    }

    /// Moves to a state with nothing to wait for.
    fn to(&mut self, state: ClipState) {
        self.clip.state = state;
        self.clip.chores.since = Some(self.at.now);
        self.clip.chores.work_due = None;
        self.clip.chores.work_fails = 0;
        self.show();
    }

    /// Hands out the state's work now.
    fn begin(&mut self, effect: Effect) {
        self.wait(self.at.rules.lease);
        self.effects.push(effect);
    }

    /// Looks into the state after this.
    fn wait(&mut self, duration: Duration) {
        self.clip.chores.work_due = Some(self.at.now.plus(duration));
    }

    /// Adds an errand.
    fn chore(&mut self, chore: Chore) {
        let todo = &mut self.clip.chores.todo;
        if todo.contains(&chore) || todo.len() >= CLIP_CHORES {
            return;
        }
        todo.push(chore.clone());
        self.effects.push(Effect::Run(chore));
        let lease = self.at.now.plus(self.at.rules.lease);
        let due = &mut self.clip.chores.todo_due;
        *due = Some(due.map_or(lease, |due| due.min(lease)));
    }

    /// Its messages are to show this. A later version takes an earlier one's place.
    fn show(&mut self) {
        let chores = &mut self.clip.chores;
        if !chores.share && chores.rooms.is_empty() && self.clip.message.is_none() {
            return;
        }
        chores.todo.retain(|chore| !matches!(chore, Chore::Show(_)));
        self.effects
            .retain(|effect| !matches!(effect, Effect::Run(Chore::Show(_))));
        self.chore(Chore::Show(self.clip.version + 1));
    }

    /// Ends it badly, for good or until somebody asks for another attempt.
    fn end(&mut self, state: ClipState, error: ClipError) {
        self.clip.error = Some(error);
        self.to(state);
    }

    fn refused(&self) -> Verdict {
        Verdict::Refused(self.clip.state)
    }

    fn finish(mut self, before: &Clip, verdict: Verdict) -> Step {
        if self.clip == *before {
            return Step {
                clip: None,
                effects: self.effects,
                verdict,
            };
        }
        debug_assert!(
            !is_over(self.clip.state)
                || self.clip.state == ClipState::Failed
                || self.clip.chores.work_due.is_none(),
            "what is over waits for nothing, but what failed for its file to be deleted"
        );
        let chores = &mut self.clip.chores;
        if chores.todo.is_empty() {
            chores.todo_due = None;
            chores.todo_fails = 0;
        }
        let dues = [chores.work_due, chores.todo_due];
        self.clip.due = dues.into_iter().flatten().min();
        self.clip.version = before.version + 1;
        self.clip.updated = self.at.now;
        Step {
            clip: Some(self.clip),
            effects: self.effects,
            verdict,
        }
    }
}

/// How long until the next try.
fn again(fails: u32, wish: Option<Duration>, at: At<'_>) -> Duration {
    backoff(fails, wish, at.roll)
}

/// An error of ours.
fn error(reason: &str, message: &str, retryable: bool) -> ClipError {
    ClipError {
        reason: reason.to_owned(),
        message: message.to_owned(),
        retryable,
        provider_code: None,
    }
}
