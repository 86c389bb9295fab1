//! Runs errands: each at least once, and again until it is done.

use super::effects::Work;
use super::{Inner, metrics};
use crate::core::names;
use crate::core::step::Input;
use crate::model::{Chore, Clip, ClipId, ClipState};
use crate::ports::{ObjectError, StoreError, TranscodeError};
use std::sync::Arc;

impl Inner {
    /// In their order: a job is stopped before what it wrote is swept.
    pub(super) fn errands(self: Arc<Self>, id: ClipId, chores: Vec<Chore>) -> Work {
        Box::pin(async move {
            let (mut failed, mut is_working) = (false, false);
            for chore in chores {
                // A job that could not be stopped may still write: its outputs are swept once it is.
                if is_working && matches!(chore, Chore::Sweep(_) | Chore::Erase) {
                    continue;
                }
                let clip = match self.store.get(id).await {
                    Ok(Some(clip)) => clip,
                    Ok(None) | Err(_) => return,
                };
                // Done already, or a later one has taken its place.
                if !clip.chores.todo.contains(&chore) {
                    continue;
                }
                match self.errand(&clip, &chore).await {
                    Ok(()) => {
                        self.feed(id, Input::Did(chore)).await;
                    }
                    Err(error) => {
                        tracing::warn!(clip = %id, ?chore, error, "an errand, to be run again");
                        if clip.chores.todo_fails >= self.options.rules.chore_tries {
                            tracing::error!(clip = %id, ?chore, "errands are left undone");
                        }
                        // The others do not wait for it: a message must not, for a transcoder that is away.
                        (failed, is_working) =
                            (true, is_working || matches!(chore, Chore::StopJob(_)));
                    }
                }
            }
            if failed {
                self.feed(id, Input::ChoreFailed).await;
            }
        })
    }

    async fn errand(self: &Arc<Self>, clip: &Clip, chore: &Chore) -> Result<(), String> {
        match chore {
            Chore::AbortUpload(upload) => {
                let key = names::source(clip);
                gone(self.objects.abort(&key, upload).await)
            }
            Chore::StopJob(job) if job.backend == self.transcoder.backend() => {
                match self.transcoder.cancel(job).await {
                    Ok(()) | Err(TranscodeError::Refused(_)) => Ok(()),
                    Err(error) => {
                        metrics::failed("transcoder");
                        Err(error.to_string())
                    }
                }
            }
            // Another server's, from before the configuration was changed.
            Chore::StopJob(_) => Ok(()),
            Chore::Sweep(attempt) => {
                let is_shown = clip.state == ClipState::Ready && clip.attempt == *attempt;
                for prefix in names::swept(clip, *attempt) {
                    if !is_shown {
                        gone(self.objects.delete_prefix(&prefix).await)?;
                    }
                }
                Ok(())
            }
            Chore::Erase => gone(self.objects.delete_prefix(&names::keys(clip).prefix).await),
            Chore::Show(_) => told(self.show(clip).await),
            Chore::TellReady => told(self.messages.ready(clip).await),
            Chore::TellFailed(_) => told(self.messages.failed(clip).await),
        }
    }

    async fn show(self: &Arc<Self>, clip: &Clip) -> Result<(), StoreError> {
        let gone = clip.state == ClipState::Deleted;
        if clip.chores.share && clip.message.is_none() {
            self.post(clip, &clip.room).await?;
        }
        for room in clip.chores.rooms.iter().filter(|(_, no)| **no == 0) {
            self.post(clip, room.0).await?;
        }
        let own = clip.message.is_some().then(|| clip.clone());
        let others = clip.chores.rooms.iter().filter(|(_, no)| **no > 0);
        let others = others.map(|(room, number)| Clip {
            room: room.clone(),
            message: Some(*number),
            ..clip.clone()
        });
        for shown in own.into_iter().chain(others) {
            if gone {
                self.messages.remove(&shown).await?;
            } else {
                self.messages.update(&shown).await?;
            }
        }
        Ok(())
    }
}

/// What is not there is gone already.
fn gone<T>(result: Result<T, ObjectError>) -> Result<(), String> {
    match result {
        Ok(_) | Err(ObjectError::NotFound | ObjectError::Unsupported(_)) => Ok(()),
        Err(error) => {
            metrics::failed("objects");
            Err(error.to_string())
        }
    }
}

fn told(result: Result<(), StoreError>) -> Result<(), String> {
    result.map_err(|error| {
        metrics::failed("messages");
        error.to_string()
    })
}
