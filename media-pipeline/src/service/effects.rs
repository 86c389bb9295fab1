//! Carries out what a state waits for.

use super::Inner;
use super::metrics;
use crate::core::mark::Word;
use crate::core::names;
use crate::core::step::{Arrived, Effect, Input};
use crate::inspect::check_declared;
use crate::model::{Clip, ClipError, ClipId, ClipKind, ClipState, Outputs, Source};
use crate::ports::{InspectError, ObjectError, ObjectInfo, Order, Report, TranscodeError};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

/// Boxed, since what is fed back may hand out more.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Inner {
    pub(super) fn work(self: Arc<Self>, id: ClipId, effect: Effect) -> Work {
        Box::pin(async move {
            let (name, states): (_, &[ClipState]) = match &effect {
                Effect::Look => ("look", &[ClipState::Uploading]),
                Effect::Inspect => ("inspect", &[ClipState::Uploaded, ClipState::Validating]),
                Effect::Submit(_) => ("submit", &[ClipState::Submitted]),
                Effect::Ask => ("ask", &[ClipState::Submitted, ClipState::Processing]),
                Effect::Verify => ("verify", &[ClipState::Verifying]),
                Effect::Run(_) => return,
            };
            let Some(_held) = self.at_work(id, name) else {
                return;
            };
            // Waits for its turn: each look is a process that reads a whole file.
            let permit = if effect == Effect::Inspect {
                self.inspections.acquire().await.ok()
            } else {
                None
            };
            // It may have been stopped while this waited.
            let Ok(Some(clip)) = self.store.get(id).await else {
                return;
            };
            if !states.contains(&clip.state) {
                return;
            }
            let input = match effect {
                Effect::Look => self.look(&clip).await,
                Effect::Inspect => self.inspect(&clip).await,
                Effect::Submit(attempt) => self.submit(&clip, attempt).await,
                Effect::Ask => self.ask(&clip).await,
                Effect::Verify => self.verify(&clip).await,
                Effect::Run(_) => None,
            };
            drop(permit);
            if let Some(input) = input {
                self.feed(id, input).await;
            }
        })
    }

    async fn look(&self, clip: &Clip) -> Option<Input> {
        Some(match self.objects.head(&names::source(clip)).await {
            Ok(Some(info)) => arrived(&info),
            Ok(None) => Input::Absent,
            Err(error) => objects_failed(clip, &error),
        })
    }

    async fn inspect(self: &Arc<Self>, clip: &Clip) -> Option<Input> {
        let key = names::source(clip);
        let mark = match self.mark(&key).await {
            Ok(mark) => mark,
            Err(error) => return Some(objects_failed(clip, &error)),
        };
        self.feed(clip.id, Input::Inspecting(mark.clone())).await;
        let found = self.inspector.inspect(&key).await;
        // A form or credentials may still be good: what was looked at is what was there before and after.
        match self.mark(&key).await {
            Ok(after) if after == mark => {}
            Ok(_) => return Some(Input::WorkFailed(None)),
            Err(error) => return Some(objects_failed(clip, &error)),
        }
        Some(match found {
            Ok(source) => return self.fits(clip, source).await,
            Err(InspectError::Rejected(error)) => Input::Unfit(error),
            Err(InspectError::Unavailable(message)) => {
                metrics::failed("inspector");
                tracing::warn!(clip = %clip.id, message, "not looked at, to be done again");
                Input::WorkFailed(None)
            }
        })
    }

    /// The store's mark of the bytes that are there.
    async fn mark(&self, key: &str) -> Result<String, ObjectError> {
        let info = self.objects.head(key).await?;
        info.map(|info| info.etag).ok_or(ObjectError::NotFound)
    }

    /// Takes what was found, if the uploader has the minutes; counted one clip of a person after the other.
    async fn fits(self: &Arc<Self>, clip: &Clip, source: Source) -> Option<Input> {
        if let Err(error) = check_declared(&source, &clip.declared) {
            return Some(Input::Unfit(error));
        }
        let _turn = self.turns.of(&clip.uploader).await;
        match self.minutes_left(&clip.uploader).await {
            Err(_) => return Some(Input::WorkFailed(None)),
            Ok(left) if source.duration > left => {
                metrics::refused("minutes");
                return Some(Input::Unfit(ClipError {
                    reason: "MEDIA_QUOTA".to_owned(),
                    message:
                        "it plays for longer than what is left of your day's minutes: try tomorrow"
                            .to_owned(),
                    retryable: false,
                    provider_code: None,
                }));
            }
            Ok(_) => {}
        }
        // Stored within the turn, so that the next one counts it.
        self.feed(clip.id, Input::Inspected(Box::new(source))).await;
        None
    }

    async fn submit(&self, clip: &Clip, attempt: u32) -> Option<Input> {
        if clip.attempt != attempt || clip.job.is_some() {
            return None;
        }
        let order = self.order(clip)?;
        Some(match self.transcoder.submit(&order).await {
            Ok(job) => Input::Submitted(attempt, job),
            Err(TranscodeError::Refused(error)) => Input::NotTaken(attempt, error),
            Err(error) => transcoder_failed(clip, &error),
        })
    }

    async fn ask(&self, clip: &Clip) -> Option<Input> {
        let (job, order) = (clip.job.as_ref()?, self.order(clip)?);
        let report = match self.transcoder.report(job, &order).await {
            Ok(Some(report)) => report,
            Ok(None) => return Some(Input::Lost(clip.attempt)),
            Err(TranscodeError::Refused(error)) => Report::Failed(error),
            Err(error) => return Some(transcoder_failed(clip, &error)),
        };
        Some(Input::Word(Box::new(Word {
            attempt: Some(clip.attempt),
            backend: job.backend,
            job: job.id.clone(),
            at: self.clock.now(),
            report,
        })))
    }

    /// Nothing is ready that was not looked at: every file that the transcoder names has to be there, whole.
    async fn verify(&self, clip: &Clip) -> Option<Input> {
        let checked = match self.unchanged(clip).await {
            Ok(Ok(())) if clip.kind == ClipKind::Video => self.outputs(clip).await,
            Ok(Ok(())) => self.original(clip).await,
            Ok(Err(error)) => Ok(Err(error)),
            Err(failed) => Err(failed),
        };
        Some(match checked {
            Ok(Ok(outputs)) => Input::Verified(clip.attempt, Box::new(outputs)),
            Ok(Err(error)) => Input::Faulty(clip.attempt, error),
            Err(failed) => failed,
        })
    }

    /// What was looked at is still what is there: else something was played, or shown, that nobody has looked at.
    async fn unchanged(&self, clip: &Clip) -> Result<Result<(), ClipError>, Input> {
        let Some(seen) = &clip.chores.seen else {
            return Ok(Ok(()));
        };
        match self.mark(&names::source(clip)).await {
            Ok(mark) if mark == *seen => Ok(Ok(())),
            Ok(_) => Ok(Err(ClipError {
                reason: "SOURCE_CHANGED".to_owned(),
                message: "the file was replaced after it was checked: upload it again".to_owned(),
                retryable: false,
                provider_code: None,
            })),
            Err(ObjectError::NotFound) => Ok(Err(missing("the file itself"))),
            Err(error) => Err(objects_failed(clip, &error)),
        }
    }

    async fn original(&self, clip: &Clip) -> Result<Result<Outputs, ClipError>, Input> {
        let head = self.objects.head(&names::source(clip)).await;
        let info = head.map_err(|error| objects_failed(clip, &error))?;
        let is_there = info.is_some_and(|info| info.size == clip.declared.size);
        let outputs = clip.outputs.clone().filter(|_| is_there);
        Ok(outputs.ok_or_else(|| missing("the file itself")))
    }

    async fn outputs(&self, clip: &Clip) -> Result<Result<Outputs, ClipError>, Input> {
        // An event may leave out what was written: then the transcoder is asked.
        let outputs = match &clip.outputs {
            Some(outputs) if !outputs.files.is_empty() => outputs.clone(),
            Some(_) | None => self.told(clip).await?,
        };
        let below = names::attempt(clip, clip.attempt);
        let stored = self.stored_below(&below).await;
        let stored = stored.map_err(|error| objects_failed(clip, &error))?;
        let playlists = outputs.renditions.iter().map(|one| &one.playlist);
        let named = playlists.chain(&outputs.playlist);
        if let Some(lost) = named
            .into_iter()
            .find(|key| !outputs.files.contains_key(*key))
        {
            return Ok(Err(missing(lost)));
        }
        if outputs.playlist.is_none() {
            return Ok(Err(missing("a playlist")));
        }
        let is_whole = |(key, size): &(&String, &u64)| stored.get(*key) == Some(*size);
        Ok(match outputs.files.iter().find(|file| !is_whole(file)) {
            Some((key, _)) => Err(missing(key)),
            None => Ok(names::relative(&outputs, clip.attempt)),
        })
    }

    /// What the transcoder says that it made; an input when that is not known, or nothing.
    async fn told(&self, clip: &Clip) -> Result<Outputs, Input> {
        let attempt = clip.attempt;
        match self.ask(clip).await {
            Some(Input::Word(word)) => match word.report {
                Report::Done(outputs) => Ok(outputs),
                // Its event was faster than its books.
                Report::Queued | Report::Working(_) => Err(Input::WorkFailed(None)),
                Report::Failed(error) => Err(Input::Faulty(attempt, error)),
                Report::Cancelled => Err(Input::Faulty(attempt, missing("the job was stopped"))),
            },
            Some(Input::Lost(_)) | None => Err(Input::Faulty(attempt, missing("the job itself"))),
            Some(failed) => Err(failed),
        }
    }

    async fn stored_below(&self, prefix: &str) -> Result<BTreeMap<String, u64>, ObjectError> {
        let mut found = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.objects.list(prefix, after.as_deref()).await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = Some(last.key.clone());
            for object in page {
                if let Some(key) = object.key.strip_prefix(prefix) {
                    found.insert(key.to_owned(), object.size);
                }
            }
        }
    }

    fn order(&self, clip: &Clip) -> Option<Order> {
        Some(Order {
            clip: clip.id,
            attempt: clip.attempt,
            source_key: names::source(clip),
            source: clip.source.clone()?,
            processed: names::attempt(clip, clip.attempt),
            segment_s: self.options.segment_s,
        })
    }
}

pub(super) fn arrived(info: &ObjectInfo) -> Input {
    Input::Arrived(Arrived {
        size: info.size,
        sha256: info.sha256,
    })
}

fn objects_failed(clip: &Clip, error: &ObjectError) -> Input {
    metrics::failed("objects");
    tracing::warn!(clip = %clip.id, %error, "the object store, to be done again");
    Input::WorkFailed(None)
}

fn transcoder_failed(clip: &Clip, error: &TranscodeError) -> Input {
    metrics::failed("transcoder");
    tracing::warn!(clip = %clip.id, %error, "the transcoder, to be done again");
    let wish = match error {
        TranscodeError::Unavailable { retry_after, .. } => *retry_after,
        TranscodeError::Refused(_) => None,
    };
    Input::WorkFailed(wish)
}

fn missing(what: &str) -> ClipError {
    ClipError {
        reason: "OUTPUT_MISSING".to_owned(),
        message: format!("not all that was made is there: {what}"),
        retryable: true,
        provider_code: None,
    }
}
