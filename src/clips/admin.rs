//! The operators' port: clips that are overdue, and the dead letters of the clips' queues.

use kaiwa_common::limits::ADMIN_BATCH;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::admin::{ClipsAdmin, Letter, Letters, Pick, Redriven};
use kaiwa_media_pipeline::api::{Answer, ApiError, Caller};
use kaiwa_media_pipeline::model::Clip;
use kaiwa_media_pipeline::ports::ClipStore;
use kaiwa_platform::queue::{DeadLetters, dead_letters};
use std::sync::Arc;
use std::time::Duration;

/// Clips and their queues, as operators see them. On one machine there are no queues.
pub(super) struct Admin {
    store: Arc<dyn ClipStore>,
    queues: Vec<DeadLetters>,
}

impl Admin {
    pub(super) fn new(store: Arc<dyn ClipStore>, queues: Vec<DeadLetters>) -> Self {
        Self { store, queues }
    }

    /// The queues that are meant: this one, or all.
    fn picked(&self, name: Option<&str>) -> Result<Vec<&DeadLetters>, ApiError> {
        let is_meant = |queue: &&DeadLetters| name.is_none_or(|name| queue.queue().name() == name);
        let picked: Vec<&DeadLetters> = self.queues.iter().filter(is_meant).collect();
        if picked.is_empty() && name.is_some() {
            return Err(ApiError::NotFound);
        }
        Ok(picked)
    }
}

impl ClipsAdmin for Admin {
    fn stuck<'a>(&'a self, _: &'a Caller, limit: usize) -> Answer<'a, Vec<(Clip, Duration)>> {
        Box::pin(async move {
            let now = UnixMs::now();
            let due = self.store.due(now, limit).await;
            let due = due.map_err(|_| ApiError::Unavailable("the clips' store"))?;
            let late = |clip: &Clip| clip.due.map_or(Duration::ZERO, |due| now.since(due));
            let stuck = due.into_iter().map(|clip| {
                let late = late(&clip);
                (clip, late)
            });
            Ok(stuck.collect())
        })
    }

    fn dead_letters<'a>(
        &'a self,
        _: &'a Caller,
        queue: Option<String>,
        reason: Option<String>,
        limit: usize,
    ) -> Answer<'a, Letters> {
        Box::pin(async move {
            let pick = reason.map_or(dead_letters::Pick::All, dead_letters::Pick::Reason);
            let mut page = Letters::default();
            for queue in self.picked(queue.as_deref())? {
                let left = limit.saturating_sub(page.letters.len());
                if left == 0 {
                    page.more = true;
                    break;
                }
                let listed = queue.list(&pick, left).await;
                let listed = listed.map_err(|_| ApiError::Unavailable("the clips' queues"))?;
                page.more |= listed.has_more;
                let name = queue.queue().name();
                page.letters
                    .extend(listed.letters.into_iter().map(|letter| shown(name, letter)));
            }
            Ok(page)
        })
    }

    fn redrive<'a>(&'a self, _: &'a Caller, queue: String, pick: Pick) -> Answer<'a, Redriven> {
        Box::pin(async move {
            let picks = match pick {
                Pick::All => vec![dead_letters::Pick::All],
                Pick::Reason(reason) => vec![dead_letters::Pick::Reason(reason)],
                Pick::Ids(ids) => ids.into_iter().map(dead_letters::Pick::Id).collect(),
            };
            let mut done = Redriven::default();
            for letters in self.picked(Some(&queue))? {
                for pick in &picks {
                    let outcome = letters.redrive(pick, ADMIN_BATCH).await;
                    done.done += u32::try_from(outcome.done).unwrap_or(u32::MAX);
                    done.failed.extend(outcome.failed);
                    done.more |= outcome.has_more;
                    if outcome.stopped.is_some() {
                        return Err(ApiError::Unavailable("the clips' queues"));
                    }
                }
            }
            Ok(done)
        })
    }
}

/// A dead letter without its body, which may name objects.
fn shown(queue: &str, letter: dead_letters::DeadLetter) -> Letter {
    Letter {
        queue: queue.to_owned(),
        id: letter.id,
        reason: letter.reason,
        component: letter.component,
        first_seen_ms: letter.first_seen_ms,
        trace_id: letter.trace_id,
    }
}
