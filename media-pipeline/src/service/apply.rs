//! One input to one clip: read, step, compare-and-set, tell watchers, and hand out the effects.

use super::{Inner, metrics};
use crate::core::step::{At, Effect, Input, Verdict, step};
use crate::model::{Clip, ClipId};
use crate::ports::{Request, StoreError};
use std::sync::Arc;

/// Times that a change is tried when others change the clip at the same time.
const RACES: u32 = 32;

/// What came of an input.
#[derive(Debug)]
pub(super) struct Applied {
    /// The clip as it is now.
    pub(super) clip: Clip,
    /// For whoever gave the input.
    pub(super) verdict: Verdict,
}

impl Inner {
    /// `None`: there is no such clip.
    ///
    /// # Errors
    /// [`StoreError`]; a conflict only when it lasts, or when the request was answered meanwhile.
    pub(super) async fn apply(
        self: &Arc<Self>,
        id: ClipId,
        input: &Input,
        request: Option<&Request>,
    ) -> Result<Option<Applied>, StoreError> {
        for _ in 0..RACES {
            let Some(before) = self.store.get(id).await? else {
                return Ok(None);
            };
            let at = At {
                now: self.clock.now(),
                roll: self.roll(),
                rules: &self.options.rules,
            };
            let step = step(&before, input, at);
            let is_refused = matches!(step.verdict, Verdict::Refused(_));
            let Some(clip) = step.clip else {
                // It changes nothing, but that it was answered is to be known.
                if let Some(request) = request.filter(|_| !is_refused) {
                    self.store.note(request).await?;
                }
                let (clip, verdict) = (before, step.verdict);
                return Ok(Some(Applied { clip, verdict }));
            };
            match self.store.update(before.version, &clip, request).await {
                Ok(revision) => {
                    self.stored(revision, &before, &clip);
                    self.hand_out(&clip, step.effects);
                    let verdict = step.verdict;
                    return Ok(Some(Applied { clip, verdict }));
                }
                Err(StoreError::Conflict) if self.is_answered(request).await? => {
                    return Err(StoreError::Conflict);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    async fn is_answered(&self, request: Option<&Request>) -> Result<bool, StoreError> {
        match request {
            Some(request) => {
                let known = self.store.answered(&request.caller, &request.key).await?;
                Ok(known.is_some())
            }
            None => Ok(false),
        }
    }

    fn stored(self: &Arc<Self>, revision: u64, before: &Clip, clip: &Clip) {
        if before.state != clip.state {
            metrics::moved(before, clip);
            self.ended(clip.state);
            tracing::info!(clip = %clip.id, state = ?clip.state, attempt = clip.attempt, "a clip moved");
        }
        self.hub.publish(revision, clip);
    }

    /// Begins what was handed out, each in a task of its own; errands one after the other.
    pub(super) fn hand_out(self: &Arc<Self>, clip: &Clip, effects: Vec<Effect>) {
        let mut errands = Vec::new();
        for effect in effects {
            match effect {
                Effect::Run(chore) => errands.push(chore),
                work @ (Effect::Look
                | Effect::Inspect
                | Effect::Submit(_)
                | Effect::Ask
                | Effect::Verify) => {
                    let (inner, id) = (Arc::clone(self), clip.id);
                    self.tasks.spawn(async move { inner.work(id, work).await });
                }
            }
        }
        if !errands.is_empty() {
            let (inner, id) = (Arc::clone(self), clip.id);
            self.tasks
                .spawn(async move { inner.errands(id, errands).await });
        }
    }

    /// An input whose answer nobody waits for. What is not stored is found by its due time. Gives whether it was.
    pub(super) async fn feed(self: &Arc<Self>, id: ClipId, input: Input) -> bool {
        match self.apply(id, &input, None).await {
            Ok(_) => true,
            Err(error) => {
                metrics::failed("store");
                tracing::warn!(clip = %id, %error, "not stored, to be done again");
                false
            }
        }
    }
}
