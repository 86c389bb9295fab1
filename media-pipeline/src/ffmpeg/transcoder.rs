//! The line of jobs, and the one that is worked on.

use super::record::{End, Record};
use super::work::Worker;
use crate::cage::Tools;
use crate::model::{Backend, ClipError, Job, Phase, Progress};
use crate::ports::{Answer, Objects, Order, Report, TranscodeError, Transcoder};
use kaiwa_common::limits::CLIP_JOBS_WAITING;
use kaiwa_common::time::UnixMs;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Jobs that are over and still known; the oldest are forgotten, and asked for again give `None`.
const KEPT: usize = 1_000;

/// FFmpeg on this machine.
///
/// ```text
///  submit → record on disk → line ──one at a time──► worker → outputs → record
///                             ▲ a restart puts every record without an end back
/// ```
pub struct FfmpegTranscoder {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    more: Notify,
    worker: Worker,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<String, Entry>,
    line: VecDeque<String>,
}

struct Entry {
    record: Record,
    progress: Option<Progress>,
    stop: Arc<Notify>,
}

impl FfmpegTranscoder {
    /// Takes up what is left in `folder` of a server before, and works. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn start(
        objects: Arc<dyn Objects>,
        tools: Tools,
        folder: PathBuf,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder.join("jobs"))?;
        std::fs::create_dir_all(folder.join("work"))?;
        for work in std::fs::read_dir(folder.join("work"))?.flatten() {
            kill_leftover(&work.path());
            let _ = std::fs::remove_dir_all(work.path());
        }
        let mut state = State::default();
        for file in std::fs::read_dir(folder.join("jobs"))?.flatten() {
            let path = file.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            // A record that cannot be read is left for a person to look at; its job is unknown.
            let Ok(record) = Record::read(&path) else {
                continue;
            };
            let id = id_of(&record.order);
            let entry = Entry {
                record,
                progress: None,
                stop: Arc::default(),
            };
            state.jobs.insert(id, entry);
        }
        let waiting = state
            .jobs
            .iter()
            .filter(|(_, e)| e.record.end.is_none())
            .map(|(id, _)| id.clone());
        state.line = waiting.collect();
        let shared = Arc::new(Shared {
            folder,
            state: Mutex::new(state),
            more: Notify::new(),
            worker: Worker { objects, tools },
        });
        let task = tokio::spawn(work_through(shared.clone()));
        let task = Mutex::new(Some(task));
        Ok(Self { shared, task })
    }

    /// Ends the running process and begins no other; the next server begins its job again.
    pub async fn stop(&self) {
        if let Some(task) = self.take() {
            task.abort();
            // The process is killed when the task's future is dropped.
            let _ = task.await;
        }
    }

    fn take(&self) -> Option<JoinHandle<()>> {
        self.task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for FfmpegTranscoder {
    /// The running process ends; its job is begun again by the next server.
    fn drop(&mut self) {
        if let Some(task) = self.take() {
            task.abort();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.folder.join("jobs").join(format!("{id}.json"))
    }

    /// Writes how a job ended. An end that was written stays.
    fn finish(&self, id: &str, end: End) -> std::io::Result<()> {
        let mut state = self.lock();
        let Some(entry) = state.jobs.get_mut(id) else {
            return Ok(());
        };
        if entry.record.end.is_some() {
            return Ok(());
        }
        let mut record = entry.record.clone();
        record.end = Some(end);
        record.write(&self.file(id))?;
        entry.record = record;
        let over: Vec<_> = state
            .jobs
            .iter()
            .filter(|(_, e)| e.record.end.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for old in &over[..over.len().saturating_sub(KEPT)] {
            state.jobs.remove(old);
            let _ = std::fs::remove_file(self.file(old));
        }
        Ok(())
    }
}

async fn work_through(shared: Arc<Shared>) {
    loop {
        let next = {
            let mut state = shared.lock();
            state.line.pop_front().and_then(|id| {
                let entry = state
                    .jobs
                    .get_mut(&id)
                    .filter(|entry| entry.record.end.is_none())?;
                entry.progress = Some(Progress {
                    phase: Phase::Probing,
                    percent: 0,
                });
                Some((id, entry.record.order.clone(), entry.stop.clone()))
            })
        };
        let Some((id, order, stop)) = next else {
            if shared.lock().line.is_empty() {
                shared.more.notified().await;
            }
            continue;
        };
        let folder = shared.folder.join("work").join(&id);
        let end = work_on(&shared, &id, &order, &stop, &folder).await;
        let _ = std::fs::remove_dir_all(&folder);
        if let Err(error) = shared.finish(&id, end) {
            tracing::warn!(job = id, kind = %error.kind(), "a job's end cannot be written: it will be begun again");
            let mut state = shared.lock();
            state.jobs.remove(&id);
        }
    }
}

async fn work_on(
    shared: &Arc<Shared>,
    id: &str,
    order: &Order,
    stop: &Notify,
    folder: &Path,
) -> End {
    let progress = |now: Progress| {
        if let Some(entry) = shared.lock().jobs.get_mut(id) {
            entry.progress = entry.progress.max(Some(now));
        }
    };
    if std::fs::create_dir_all(folder).is_err() {
        return End::Failed(super::work::failed("DISK", "no folder can be made", true));
    }
    tokio::select! {
        made = shared.worker.run(order, folder, &progress) => match made {
            Ok(outputs) => End::Done(outputs),
            Err(error) => End::Failed(error),
        },
        () = stop.notified() => End::Cancelled,
    }
}

impl Transcoder for FfmpegTranscoder {
    fn backend(&self) -> Backend {
        Backend::Ffmpeg
    }

    fn submit<'a>(&'a self, order: &'a Order) -> Answer<'a, Job, TranscodeError> {
        Box::pin(async move {
            let id = id_of(order);
            if order.segment_s == 0 || !order.segment_s.is_multiple_of(crate::ladder::GOP_S) {
                return Err(TranscodeError::Refused(ClipError {
                    reason: "SEGMENT_LENGTH".to_owned(),
                    message: "A segment lasts a multiple of 2 seconds.".to_owned(),
                    retryable: false,
                    provider_code: None,
                }));
            }
            let mut state = self.shared.lock();
            if !state.jobs.contains_key(&id) {
                if state.line.len() >= CLIP_JOBS_WAITING {
                    return Err(TranscodeError::Unavailable {
                        message: "too many jobs wait".to_owned(),
                        retry_after: Some(Duration::from_secs(30)),
                    });
                }
                let record = Record {
                    order: order.clone(),
                    end: None,
                };
                record.write(&self.shared.file(&id)).map_err(|error| {
                    TranscodeError::Unavailable {
                        message: error.kind().to_string(),
                        retry_after: None,
                    }
                })?;
                state.jobs.insert(
                    id.clone(),
                    Entry {
                        record,
                        progress: None,
                        stop: Arc::default(),
                    },
                );
                state.line.push_back(id.clone());
                self.shared.more.notify_one();
            }
            Ok(Job {
                backend: Backend::Ffmpeg,
                id,
                submitted: UnixMs::now(),
            })
        })
    }

    fn report<'a>(
        &'a self,
        job: &'a Job,
        _: &'a Order,
    ) -> Answer<'a, Option<Report>, TranscodeError> {
        Box::pin(async move {
            let state = self.shared.lock();
            Ok(state
                .jobs
                .get(&job.id)
                .map(|entry| match (&entry.record.end, entry.progress) {
                    (Some(End::Done(outputs)), _) => Report::Done(outputs.clone()),
                    (Some(End::Failed(error)), _) => Report::Failed(error.clone()),
                    (Some(End::Cancelled), _) => Report::Cancelled,
                    (None, Some(progress)) => Report::Working(progress),
                    (None, None) => Report::Queued,
                }))
        })
    }

    fn cancel<'a>(&'a self, job: &'a Job) -> Answer<'a, (), TranscodeError> {
        Box::pin(async move {
            let stop = {
                let mut state = self.shared.lock();
                state.line.retain(|id| *id != job.id);
                state.jobs.get(&job.id).map(|entry| entry.stop.clone())
            };
            self.shared
                .finish(&job.id, End::Cancelled)
                .map_err(|error| TranscodeError::Unavailable {
                    message: error.kind().to_string(),
                    retry_after: None,
                })?;
            if let Some(stop) = stop {
                stop.notify_one();
            }
            Ok(())
        })
    }
}

fn id_of(order: &Order) -> String {
    format!("{}-{}", order.clip, order.attempt)
}

/// Writes down which process works, and since when: the same id may later be somebody else's.
pub(super) fn note_process(folder: &Path, id: i32) {
    if let Some(began) = began(id) {
        let _ = std::fs::write(folder.join("process"), format!("{id} {began}"));
    }
}

/// Ends a process that a killed server left behind.
fn kill_leftover(folder: &Path) {
    let Ok(text) = std::fs::read_to_string(folder.join("process")) else {
        return;
    };
    let Some((id, began_then)) = text.split_once(' ') else {
        return;
    };
    let Ok(id) = id.parse::<i32>() else { return };
    if began(id).as_deref() == Some(began_then)
        && let Some(pid) = Pid::from_raw(id)
    {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// The 22nd field of `/proc/{id}/stat` (proc(5)): ticks since the machine's start.
fn began(id: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)
        .map(str::to_owned)
}
