//! A transcoder that does nothing but tell of it: with faults by a script, or by a seed.

use crate::objects::Memory;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::model::{
    Backend, ClipError, ClipId, Job, Outputs, Phase, Progress, Source, VideoInfo,
};
use kaiwa_media_pipeline::ports::{
    Answer, InspectError, Inspector, JobEvent, Order, Report, TranscodeError, Transcoder,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Chance of each fault, of 100.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) throttled: u64,
    pub(crate) answer_lost: u64,
    pub(crate) stuck: u64,
    pub(crate) fails: u64,
    pub(crate) half_written: u64,
    pub(crate) forgotten: u64,
    pub(crate) unnamed: u64,
}

struct Running {
    order: Order,
    asked: u32,
    is_stuck: bool,
    end: Option<Report>,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<String, Running>,
    done: BTreeMap<ClipId, u32>,
    submits_after_success: u32,
    events: Vec<JobEvent>,
    seed: u64,
}

pub(crate) struct Fake {
    state: Mutex<State>,
    objects: Arc<Memory>,
    pub(crate) faults: Mutex<Faults>,
}

impl Fake {
    pub(crate) fn new(objects: Arc<Memory>, seed: u64) -> Self {
        let state = State {
            seed,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            objects,
            faults: Mutex::default(),
        }
    }

    /// What it has said by itself since the last time.
    pub(crate) fn events(&self) -> Vec<JobEvent> {
        std::mem::take(&mut self.state.lock().unwrap().events)
    }

    pub(crate) fn submits_after_success(&self) -> u32 {
        self.state.lock().unwrap().submits_after_success
    }

    /// The clip can be played: whatever is submitted for it from now on is one too many.
    pub(crate) fn succeeded(&self, clip: ClipId) {
        *self.state.lock().unwrap().done.entry(clip).or_default() += 1;
    }
}

impl State {
    fn chance(&mut self, of_100: u64) -> bool {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.seed >> 33) % 100 < of_100
    }

    fn tell(&mut self, id: &str, report: Report) {
        let number = self.events.len();
        let running = &self.jobs[id];
        let word = JobEvent {
            id: format!("{id}-{}-{number}", running.asked),
            clip: Some(running.order.clip),
            attempt: Some(running.order.attempt),
            backend: Backend::MediaConvert,
            job: id.to_owned(),
            at: UnixMs(0),
            report,
        };
        self.events.push(word);
    }
}

fn throttled() -> TranscodeError {
    TranscodeError::Unavailable {
        message: "TooManyRequestsException".to_owned(),
        retry_after: Some(Duration::from_secs(5)),
    }
}

pub(crate) const FILES: [&str; 3] = ["hls/master.m3u8", "hls/720p.m3u8", "thumbnails/p.jpg"];

pub(crate) fn outputs() -> Outputs {
    Outputs {
        playlist: Some(FILES[0].to_owned()),
        renditions: Vec::new(),
        poster: Some(FILES[2].to_owned()),
        sprite: None,
        files: FILES.iter().map(|file| ((*file).to_owned(), 10)).collect(),
    }
}

impl Transcoder for Fake {
    fn backend(&self) -> Backend {
        Backend::MediaConvert
    }

    fn submit<'a>(&'a self, order: &'a Order) -> Answer<'a, Job, TranscodeError> {
        let faults = *self.faults.lock().unwrap();
        let mut state = self.state.lock().unwrap();
        state.submits_after_success += u32::from(state.done.contains_key(&order.clip));
        let id = format!("{}-{}", order.clip, order.attempt);
        let job = Job {
            backend: Backend::MediaConvert,
            id: id.clone(),
            submitted: UnixMs(0),
        };
        let answer = if state.chance(faults.throttled) {
            Err(throttled())
        } else {
            if !state.jobs.contains_key(&id) {
                let is_stuck = state.chance(faults.stuck);
                let running = Running {
                    order: order.clone(),
                    asked: 0,
                    is_stuck,
                    end: None,
                };
                state.jobs.insert(id, running);
            }
            let lost = state.chance(faults.answer_lost);
            if lost { Err(throttled()) } else { Ok(job) }
        };
        Box::pin(std::future::ready(answer))
    }

    fn report<'a>(
        &'a self,
        job: &'a Job,
        _: &'a Order,
    ) -> Answer<'a, Option<Report>, TranscodeError> {
        let faults = *self.faults.lock().unwrap();
        let mut state = self.state.lock().unwrap();
        if state.chance(faults.throttled) {
            return Box::pin(std::future::ready(Err(throttled())));
        }
        if state.chance(faults.forgotten) {
            state.jobs.remove(&job.id);
        }
        let (fails, half) = (
            state.chance(faults.fails),
            state.chance(faults.half_written),
        );
        let unnamed = state.chance(faults.unnamed);
        let Some(running) = state.jobs.get_mut(&job.id) else {
            return Box::pin(std::future::ready(Ok(None)));
        };
        running.asked += 1;
        let percent = u8::try_from(running.asked * 30).unwrap_or(100);
        let report = match &running.end {
            Some(end) => end.clone(),
            None if running.is_stuck => Report::Queued,
            None if percent < 100 => Report::Working(Progress {
                phase: Phase::Transcoding,
                percent,
            }),
            None if fails => Report::Failed(ClipError {
                reason: "TRANSCODER_INTERNAL".to_owned(),
                message: "1999".to_owned(),
                retryable: true,
                provider_code: Some(1999),
            }),
            None => {
                let left_out = usize::from(half);
                for file in FILES.iter().skip(left_out) {
                    let key = format!("{}{file}", running.order.processed);
                    self.objects.store(&key, 10, UnixMs(0));
                }
                let mut outputs = outputs();
                if unnamed {
                    outputs.files.remove(FILES[0]);
                }
                Report::Done(outputs)
            }
        };
        if matches!(report, Report::Done(_) | Report::Failed(_)) {
            running.end = Some(report.clone());
        }
        state.tell(&job.id, report.clone());
        Box::pin(std::future::ready(Ok(Some(report))))
    }

    fn cancel<'a>(&'a self, job: &'a Job) -> Answer<'a, (), TranscodeError> {
        if self.faults.lock().unwrap().throttled >= 100 {
            return Box::pin(std::future::ready(Err(throttled())));
        }
        let mut state = self.state.lock().unwrap();
        if let Some(running) = state.jobs.get_mut(&job.id) {
            running.end.get_or_insert(Report::Cancelled);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Finds a video in everything, but for names that say otherwise.
pub(crate) struct Looks;

impl Inspector for Looks {
    fn inspect<'a>(&'a self, _: &'a str) -> Answer<'a, Source, InspectError> {
        Box::pin(std::future::ready(Ok(Source {
            size: 1_000,
            sha256: None,
            container: "mov".to_owned(),
            duration: Duration::from_secs(60),
            video: Some(VideoInfo {
                codec: "h264".to_owned(),
                width: 1280,
                height: 720,
                fps: 30.0,
                rotation: 0,
                bitrate: None,
                hdr: false,
            }),
            audio: None,
        })))
    }
}
