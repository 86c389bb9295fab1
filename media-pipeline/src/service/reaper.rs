//! What time brings: clips that are due, events that waited, watchers that missed something, and orphans.

use super::{Inner, metrics};
use crate::core::step::Input;
use kaiwa_common::limits::CLIP_COUNTED;
use std::sync::Arc;
use std::time::Duration;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(1);

/// Clips in one round; a full one is followed by the next at once.
const AT_ONCE: usize = 100;

/// Rounds between two counts of what is under way.
const COUNT: u32 = 10;

/// Rounds between two of forgetting and of adding up bytes, and between two pages of the orphan sweep.
const TRIM: u32 = 60;
const SWEEP: u32 = 600;

pub(super) async fn run(inner: &Arc<Inner>) {
    let mut rounds = 0_u32;
    while !inner.stop.is_cancelled() {
        let due = tick(inner).await;
        rounds = rounds.wrapping_add(1);
        if rounds % COUNT == 1 {
            inner.count().await;
        }
        if rounds.is_multiple_of(TRIM) {
            inner.trim().await;
        }
        if rounds % TRIM == 1 {
            inner.count_bytes().await;
        }
        if rounds % SWEEP == 1 {
            inner.sweep().await;
        }
        if due < AT_ONCE {
            let next = inner.clock.now().plus(ROUND);
            tokio::select! {
                () = inner.stop.cancelled() => return,
                () = inner.clock.sleep_until(next) => {}
            }
        }
    }
}

/// One round; gives how many clips were due, 0 when not all of them could be stored: then nobody hurries.
pub(super) async fn tick(inner: &Arc<Inner>) -> usize {
    inner.unpark().await;
    inner.heal().await;
    let due = match inner.store.due(inner.clock.now(), AT_ONCE).await {
        Ok(due) => due,
        Err(error) => {
            metrics::failed("store");
            tracing::warn!(%error, "what is due is not known");
            return 0;
        }
    };
    let mut is_stored = true;
    for clip in &due {
        if inner.stop.is_cancelled() {
            return 0;
        }
        inner.waits(clip);
        is_stored &= inner.feed(clip.id, Input::Due).await;
    }
    if is_stored { due.len() } else { 0 }
}

impl Inner {
    async fn count(&self) {
        match self.store.under_way(CLIP_COUNTED).await {
            Ok(counts) => metrics::under_way(&counts),
            Err(error) => {
                metrics::failed("store");
                tracing::warn!(%error, "how many clips wait is not known");
            }
        }
    }

    async fn count_bytes(&self) {
        match self.store.stored().await {
            Ok(bytes) => bytes.into_iter().for_each(metrics::stored),
            Err(error) => {
                metrics::failed("store");
                tracing::warn!(%error, "what clips take up is not known");
            }
        }
    }

    async fn trim(&self) {
        if let Err(error) = self.store.trim(self.clock.now()).await {
            metrics::failed("store");
            tracing::warn!(%error, "nothing forgotten");
        }
    }
}
