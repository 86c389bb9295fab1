//! A clip between a store, an object store and a model of a transcoder, which carries out effects at once and tells
//! the truth when it is asked. What it says by itself may be lost, doubled or late.

use crate::make::{SIZE, clip, go_at, job, outputs, source, transient, upload};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::core::mark::Word;
use kaiwa_media_pipeline::core::step::{Arrived, Effect, Input, Verdict};
use kaiwa_media_pipeline::model::{Chore, Clip, ClipState};
use kaiwa_media_pipeline::ports::Report;
use std::collections::{BTreeMap, BTreeSet};

/// How the transcoder fares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    /// The first attempt fails, and it may pass.
    pub(crate) first_fails: bool,
    /// Answers to a submit are held back until they are delivered, or asked for by another submit.
    pub(crate) late_answers: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clip: Clip,
    pub(crate) now: UnixMs,
    pub(crate) fate: Fate,
    pub(crate) has_object: bool,
    /// Attempts that the transcoder took, and whether they were stopped.
    pub(crate) jobs: BTreeMap<u32, bool>,
    pub(crate) written: BTreeSet<u32>,
    pub(crate) submits_after_success: u32,
    pub(crate) told_ready: u32,
    parked: Vec<Input>,
    succeeded: bool,
    shown: u64,
    percent: u8,
}

impl World {
    /// An upload is under way.
    pub(crate) fn new(fate: Fate) -> Self {
        let mut world = Self {
            clip: clip(),
            now: crate::make::START,
            fate,
            has_object: false,
            jobs: BTreeMap::new(),
            written: BTreeSet::new(),
            submits_after_success: 0,
            told_ready: 0,
            parked: Vec::new(),
            succeeded: false,
            shown: 0,
            percent: 0,
        };
        world.give(&Input::Granted(upload()));
        world
    }

    /// What the transcoder has to say of an attempt, if it has it.
    pub(crate) fn truth(&self, attempt: u32) -> Option<Report> {
        let stopped = *self.jobs.get(&attempt)?;
        Some(if self.fate.first_fails && attempt == 1 {
            Report::Failed(transient())
        } else if stopped {
            Report::Cancelled
        } else {
            Report::Done(outputs(attempt))
        })
    }

    pub(crate) fn give(&mut self, input: &Input) -> Verdict {
        let before = self.clip.clone();
        let step = go_at(&before, input, self.now);
        if let Some(after) = step.clip {
            assert_eq!(after.version, before.version + 1, "each change is counted");
            self.check_forward(&before, &after);
            self.clip = after;
            // A lease, a wait or an errand: whatever is not over is looked into again.
            let waits = self.clip.due.is_some();
            let over = kaiwa_media_pipeline::core::mark::is_over(self.clip.state);
            assert!(over || waits, "{:?} is forgotten", self.clip.state);
        }
        if step.verdict == Verdict::Park {
            self.parked.push(input.clone());
        }
        for effect in step.effects {
            self.carry_out(&effect);
        }
        step.verdict
    }

    fn check_forward(&mut self, before: &Clip, after: &Clip) {
        use kaiwa_media_pipeline::core::mark::is_over;
        if after.attempt == before.attempt && !is_over(before.state) {
            assert!(after.state >= before.state, "{before:?} → {after:?}");
            let percent = |clip: &Clip| clip.progress.map_or(0, |p| p.percent);
            let moved_on = after.state > before.state;
            assert!(
                moved_on || percent(after) >= percent(before),
                "progress falls"
            );
        }
        if is_over(before.state) && before.state != ClipState::Failed {
            assert!(
                after.state == before.state || after.state == ClipState::Deleted,
                "the first end holds: {:?} → {:?}",
                before.state,
                after.state
            );
        }
        self.succeeded |= after.state == ClipState::Ready;
    }

    fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::Look => {
                let input = if self.has_object {
                    arrived()
                } else {
                    Input::Absent
                };
                self.give(&input);
            }
            Effect::Inspect => {
                self.give(&Input::Inspecting("e".to_owned()));
                self.give(&Input::Inspected(Box::new(source())));
            }
            Effect::Submit(attempt) => {
                self.submits_after_success += u32::from(self.succeeded);
                let again = self.jobs.insert(*attempt, false).is_some();
                if !self.fate.late_answers || again {
                    self.give(&Input::Submitted(*attempt, job(*attempt)));
                }
            }
            Effect::Ask => {
                let attempt = self.clip.attempt;
                let input = self.truth(attempt).map_or(Input::Lost(attempt), |report| {
                    Input::Word(Box::new(Word {
                        attempt: None,
                        backend: job(attempt).backend,
                        job: job(attempt).id,
                        at: self.now,
                        report,
                    }))
                });
                self.give(&input);
            }
            Effect::Verify => {
                let attempt = self.clip.attempt;
                self.written.insert(attempt);
                self.give(&Input::Verified(attempt, Box::new(outputs(attempt))));
            }
            Effect::Run(chore) => self.run(chore),
        }
    }

    fn run(&mut self, chore: &Chore) {
        match chore {
            Chore::StopJob(stopped) => {
                for (attempt, is_stopped) in &mut self.jobs {
                    *is_stopped |= job(*attempt).id == stopped.id;
                }
            }
            Chore::Sweep(attempt) => {
                let ready = self.clip.state == ClipState::Ready;
                let own = *attempt == self.clip.attempt;
                assert!(!(ready && own), "what can be played is swept");
                self.written.remove(attempt);
            }
            Chore::Erase => {
                assert_ne!(self.clip.state, ClipState::Ready);
                self.has_object = false;
                self.written.clear();
            }
            Chore::Show(version) => {
                assert!(*version > self.shown, "shown backwards");
                self.shown = *version;
                let percent = self.clip.progress.map_or(0, |p| p.percent);
                self.percent = self.percent.max(percent);
            }
            Chore::TellReady => self.told_ready += 1,
            Chore::AbortUpload(_) | Chore::TellFailed(_) => {}
        }
        self.give(&Input::Did(chore.clone()));
    }

    /// Lets time pass until nothing is due any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            for parked in std::mem::take(&mut self.parked) {
                self.give(&parked);
            }
            let Some(due) = self.clip.due else { return };
            self.now = self.now.max(due);
            self.give(&Input::Due);
        }
        panic!("it does not end: {:?}", self.clip);
    }
}

pub(crate) fn arrived() -> Input {
    Input::Arrived(Arrived {
        size: SIZE,
        sha256: None,
    })
}
