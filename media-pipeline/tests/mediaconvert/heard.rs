//! A port that notes what it is told, and answers as it is bidden.

use kaiwa_media_pipeline::mediaconvert::{HintError, Hints, ObjectCreated};
use kaiwa_media_pipeline::ports::{Answer, JobEvent};
use std::collections::VecDeque;
use std::sync::Mutex;

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) jobs: Mutex<Vec<JobEvent>>,
    pub(crate) objects: Mutex<Vec<ObjectCreated>>,
    /// Answers to come; then yes.
    pub(crate) answers: Mutex<VecDeque<HintError>>,
}

impl Heard {
    fn answer(&self) -> Answer<'_, (), HintError> {
        let next = self.answers.lock().unwrap().pop_front();
        Box::pin(std::future::ready(next.map_or(Ok(()), Err)))
    }

    pub(crate) fn say(&self, error: HintError) {
        self.answers.lock().unwrap().push_back(error);
    }
}

impl Hints for Heard {
    fn job(&self, event: JobEvent) -> Answer<'_, (), HintError> {
        self.jobs.lock().unwrap().push(event);
        self.answer()
    }

    fn object(&self, object: ObjectCreated) -> Answer<'_, (), HintError> {
        self.objects.lock().unwrap().push(object);
        self.answer()
    }
}

/// An event as EventBridge sends it.
pub(crate) fn event(id: &str, status: &str) -> String {
    let text = include_str!("corpus/job_progressing.json");
    text.replace("9e2d8a4c-0000-4000-8000-000000000001", id)
        .replace("\"PROGRESSING\"", &format!("{status:?}"))
}
