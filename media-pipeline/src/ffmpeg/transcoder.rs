//! The line of jobs, and the one that is worked on.

use super::record::{End, Record};
use super::work::Worker;
use crate::cage::Tools;
use crate::model::{Backend, ClipError, Job, Phase, Progress};
use crate::ports::{Answer, Objects, Order, Report, TranscodeError, Transcoder};
use futures_util::FutureExt;
use kaiwa_common::limits::CLIP_JOBS_WAITING;
use kaiwa_common::time::UnixMs;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Jobs that are over and still known; those that ended first are forgotten, and asked for again give `None`.
const KEPT: usize = 1_000;

/// How long a segment may last, in seconds. Longer ones make a player wait, and one that is a whole clip cannot be sought
/// in.
const SEGMENT_S: std::ops::RangeInclusive<u32> = 2..=30;

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
    /// Whoever writes a record has this, so that what is in memory and on disk changes in the same order.
    disk: tokio::sync::Mutex<()>,
    more: Notify,
    worker: Worker,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<String, Entry>,
    line: VecDeque<String>,
    /// Jobs that are over, in the order of their ends.
    over: VecDeque<String>,
}

struct Entry {
    record: Record,
    progress: Option<Progress>,
    stop: Arc<Notify>,
}

impl FfmpegTranscoder {
    /// Takes up what is left in `folder` of a server before, and works. Needs a Tokio runtime, and blocks for as long as
    /// some thousand small files take.
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
        let folder = std::path::absolute(folder)?;
        for work in std::fs::read_dir(folder.join("work"))?.flatten() {
            end_leftover(&work.path());
            remove(&work.path());
        }
        let state = Mutex::new(left_in(&folder.join("jobs"))?);
        let shared = Arc::new(Shared {
            folder,
            state,
            disk: tokio::sync::Mutex::default(),
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
    async fn finish(self: &Arc<Self>, id: &str, end: End) -> std::io::Result<()> {
        let _disk = self.disk.lock().await;
        let record = {
            let state = self.lock();
            let entry = state.jobs.get(id).filter(|e| e.record.end.is_none());
            entry.map(|entry| entry.record.clone())
        };
        let Some(mut record) = record else {
            return Ok(());
        };
        record.end = Some(end);
        self.write(id, record.clone()).await?;
        let forgotten: Vec<String> = {
            let mut state = self.lock();
            if let Some(entry) = state.jobs.get_mut(id) {
                entry.record = record;
            }
            state.over.push_back(id.to_owned());
            let surplus = state.over.len().saturating_sub(KEPT);
            let forgotten: Vec<_> = state.over.drain(..surplus).collect();
            for id in &forgotten {
                state.jobs.remove(id);
            }
            forgotten
        };
        for id in forgotten {
            let _ = tokio::fs::remove_file(self.file(&id)).await;
        }
        Ok(())
    }

    /// Writes a record, on a thread that may wait for a disk.
    async fn write(&self, id: &str, record: Record) -> std::io::Result<()> {
        let file = self.file(id);
        let written = tokio::task::spawn_blocking(move || record.write(&file));
        written.await.map_err(std::io::Error::other)?
    }

    /// Puts a job into the line, once.
    async fn take(self: &Arc<Self>, id: String, order: Order) -> Result<(), TranscodeError> {
        let unavailable = |message: &str, retry_after| TranscodeError::Unavailable {
            message: message.to_owned(),
            retry_after,
        };
        let _disk = self.disk.lock().await;
        {
            let state = self.lock();
            if state.jobs.contains_key(&id) {
                return Ok(());
            }
            if state.line.len() >= CLIP_JOBS_WAITING {
                let later = Some(Duration::from_secs(30));
                return Err(unavailable("too many jobs wait", later));
            }
        }
        let record = Record { order, end: None };
        let written = self.write(&id, record.clone()).await;
        written.map_err(|error| unavailable(&error.kind().to_string(), None))?;
        let mut state = self.lock();
        state.jobs.insert(id.clone(), Entry::from(record));
        state.line.push_back(id);
        self.more.notify_one();
        Ok(())
    }
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        Self {
            record,
            progress: None,
            stop: Arc::default(),
        }
    }
}

/// What a server before has left: jobs that go on, and how others ended.
fn left_in(jobs: &Path) -> std::io::Result<State> {
    let (mut state, mut over) = (State::default(), Vec::new());
    for file in std::fs::read_dir(jobs)?.flatten() {
        let path = file.path();
        if path.extension().is_none_or(|e| e != "json") {
            // What a crash left of a record that was being replaced.
            let _ = std::fs::remove_file(&path);
            continue;
        }
        let record = match Record::read(&path) {
            Ok(record) => record,
            Err(error) => {
                // It is left for a person to look at; its job is unknown.
                tracing::warn!(kind = %error.kind(), "a job's record cannot be read");
                continue;
            }
        };
        let id = id_of(&record.order);
        if record.end.is_some() {
            over.push((file.metadata()?.modified()?, id.clone()));
        } else {
            state.line.push_back(id.clone());
        }
        state.jobs.insert(id, Entry::from(record));
    }
    over.sort();
    state.over = over.into_iter().map(|(_, id)| id).collect();
    state.line.make_contiguous().sort();
    Ok(state)
}

/// Removes a job's folder. A process that was told to end may write into it for a moment more.
fn remove(folder: &Path) {
    const TRIES: u32 = 50;
    for _ in 0..TRIES {
        match std::fs::remove_dir_all(folder) {
            Ok(()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    tracing::warn!("a job's folder cannot be removed: it goes with the next start");
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
        let work = AssertUnwindSafe(work_on(&shared, &id, &order, &stop, &folder)).catch_unwind();
        // The panic itself is told by the process's hook. It costs this job, and not those behind it.
        let end = work.await.unwrap_or_else(|_| {
            let what = "a fault of this server's";
            End::Failed(super::work::failed("TRANSCODE_FAILED", what, false))
        });
        let _ = tokio::task::spawn_blocking(move || remove(&folder)).await;
        if let Err(error) = shared.finish(&id, end).await {
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
    if tokio::fs::create_dir_all(folder).await.is_err() {
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
            if !SEGMENT_S.contains(&order.segment_s)
                || !order.segment_s.is_multiple_of(crate::ladder::GOP_S)
            {
                return Err(TranscodeError::Refused(ClipError {
                    reason: "SEGMENT_LENGTH".to_owned(),
                    message: "A segment lasts 2 to 30 seconds, a multiple of 2.".to_owned(),
                    retryable: false,
                    provider_code: None,
                }));
            }
            let (shared, own, order) = (self.shared.clone(), id.clone(), order.clone());
            // A task of its own: whoever asked may go away, and what is on disk and in memory stay the same.
            let taken = tokio::spawn(async move { shared.take(own, order).await });
            taken.await.unwrap_or_else(|error| {
                Err(TranscodeError::Unavailable {
                    message: error.to_string(),
                    retry_after: None,
                })
            })?;
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
            let (shared, id) = (self.shared.clone(), job.id.clone());
            let written = tokio::spawn(async move { shared.finish(&id, End::Cancelled).await });
            let written = written.await.map_err(std::io::Error::other).flatten();
            written.map_err(|error| TranscodeError::Unavailable {
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
pub(super) async fn note_process(folder: &Path, id: i32) {
    if let Some(began) = began(id) {
        let _ = tokio::fs::write(folder.join("process"), format!("{id} {began}")).await;
    }
}

/// Ends a process that a killed server left behind. It ended with its server, unless the kernel could not see to it.
fn end_leftover(folder: &Path) {
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
