//! Hints from outside: object events and job events. They may come late, twice or never.

use super::ClipService;
use super::effects::arrived;
use super::{Inner, metrics};
use crate::core::mark::Word;
use crate::core::names;
use crate::core::step::{Effect, Input, Verdict};
use crate::model::{Clip, ClipId};
use crate::ports::{JobEvent, StoreError};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::CLIP_PARKED;
use kaiwa_common::time::UnixMs;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Events that wait for their job to be known.
#[derive(Default)]
pub(super) struct Parked {
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    event: JobEvent,
    tries: u32,
    due: UnixMs,
}

/// Tries before the transcoder is asked instead. With the back-off a minute passes.
const TRIES: u32 = 6;

impl ClipService {
    /// A job has moved, says its transcoder. It is done with when this answers `Ok`.
    ///
    /// # Errors
    /// [`StoreError`]: give it again later.
    pub async fn job_event(&self, event: JobEvent) -> Result<(), StoreError> {
        let inner = &self.inner;
        if !inner.store.first_time(&event.id, inner.clock.now()).await? {
            metrics::job_event("double");
            return Ok(());
        }
        inner.hear(event, 0).await;
        Ok(())
    }

    /// A clip's message in a room was deleted, says chat: a shared copy is not shown there any more, and a clip whose
    /// message at home is deleted goes with it. It is done with when this answers `Ok`; again, it does no harm.
    ///
    /// # Errors
    /// [`StoreError`]: give it again later.
    pub async fn message_deleted(
        &self,
        clip: ClipId,
        room: RoomId,
        number: u64,
    ) -> Result<(), StoreError> {
        let input = Input::Unshown(room, number);
        self.inner.apply(clip, &input, None).await.map(drop)
    }

    /// An object was stored, says its store; `key` is decoded. It is done with when this answers `Ok`.
    ///
    /// # Errors
    /// [`StoreError`]: give it again later.
    pub async fn object_created(&self, event: &str, key: &str) -> Result<(), StoreError> {
        let inner = &self.inner;
        let Some(id) = names::clip_of(key) else {
            return Ok(());
        };
        let Some(clip) = inner.store.get(id).await? else {
            return Ok(());
        };
        if names::source(&clip) != key {
            return Ok(());
        }
        if !inner.store.first_time(event, inner.clock.now()).await? {
            return Ok(());
        }
        // What is there decides, not what was said of it.
        match inner.objects.head(key).await {
            Ok(Some(info)) => {
                inner.feed(id, arrived(&info)).await;
            }
            Ok(None) => {}
            Err(error) => {
                metrics::failed("objects");
                tracing::warn!(clip = %id, %error, "its event is forgotten, the reaper looks");
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Hears an event, now or later.
    async fn hear(self: &Arc<Self>, event: JobEvent, tries: u32) {
        let result = match self.take(&event).await {
            Ok(Some(Verdict::Taken)) => "taken",
            Ok(Some(Verdict::Stale | Verdict::Refused(_))) => "stale",
            Ok(Some(Verdict::Conflict)) => {
                tracing::warn!(
                    job = event.job,
                    "an end after another end: its outputs are swept"
                );
                "conflict"
            }
            Ok(Some(Verdict::Park)) => {
                self.park(event, tries);
                "parked"
            }
            Ok(None) if event.clip.is_none() && tries < TRIES => {
                // The job may not be stored yet.
                self.park(event, tries);
                "parked"
            }
            Ok(None) => "unknown",
            Err(error) => {
                tracing::warn!(%error, "an event waits for the store");
                self.park(event, tries);
                "parked"
            }
        };
        metrics::job_event(result);
    }

    async fn take(self: &Arc<Self>, event: &JobEvent) -> Result<Option<Verdict>, StoreError> {
        let Some(clip) = self.clip_of(event).await? else {
            return Ok(None);
        };
        let word = Input::Word(Box::new(Word::from(event)));
        let applied = self.apply(clip.id, &word, None).await?;
        Ok(applied.map(|applied| applied.verdict))
    }

    async fn clip_of(&self, event: &JobEvent) -> Result<Option<Clip>, StoreError> {
        match event.clip {
            Some(id) => self.store.get(id).await,
            None => self.store.by_job(event.backend, &event.job).await,
        }
    }

    fn park(&self, event: JobEvent, tries: u32) {
        let wait = Duration::from_secs(1 << tries.min(5));
        let due = self.clock.now().plus(wait);
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if parked.waiting.len() >= CLIP_PARKED {
            parked.waiting.pop_front();
        }
        let tries = tries + 1;
        parked.waiting.push_back(Waiting { event, tries, due });
    }

    /// Hears again what has waited long enough; what has waited in vain is reconciled with the transcoder's word.
    pub(super) async fn unpark(self: &Arc<Self>) {
        let now = self.clock.now();
        let due: Vec<Waiting> = {
            let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            let (due, rest) = parked.waiting.drain(..).partition(|one| one.due <= now);
            parked.waiting = rest;
            let due: VecDeque<Waiting> = due;
            due.into()
        };
        for one in due {
            if one.tries < TRIES {
                self.hear(one.event, one.tries).await;
            } else if let Ok(Some(clip)) = self.clip_of(&one.event).await {
                self.hand_out(&clip, vec![Effect::Ask]);
            }
        }
    }
}
