//! Watches: how many at once, their heartbeat, and their end.

use crate::api::{ApiError, WatchItem};
use crate::authz::Who;
use crate::refusal::{Reason, Refusal};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, Stream};
use kaiwa_common::limits::{CLIP_HEARTBEAT, CLIP_WATCH, CLIP_WATCHES, CLIP_WATCHES_PER_CALLER};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long and how many.
#[derive(Debug, Clone, Copy)]
pub struct WatchBounds {
    /// After so long without a change it says that it lives.
    pub heartbeat: Duration,
    /// After so long it ends.
    pub age: Duration,
    /// Of one caller at once.
    pub per_caller: usize,
    /// Of all callers.
    pub all: usize,
}

impl Default for WatchBounds {
    fn default() -> Self {
        Self {
            heartbeat: CLIP_HEARTBEAT,
            age: CLIP_WATCH,
            per_caller: CLIP_WATCHES_PER_CALLER,
            all: CLIP_WATCHES,
        }
    }
}

/// Counts them.
#[derive(Debug, Default)]
pub(super) struct Watches {
    open: Mutex<BTreeMap<String, usize>>,
}

impl Watches {
    /// A place for one more.
    pub(super) fn take(self: &Arc<Self>, who: &Who, bounds: WatchBounds) -> Result<Place, Refusal> {
        // A newline can't be part of either.
        let service = who.service.as_deref().unwrap_or_default();
        let name = format!("{service}\n{}", who.user);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let mine = open.get(&name).copied().unwrap_or(0);
        if all >= bounds.all || mine >= bounds.per_caller {
            return Err(Refusal {
                quota: Some("watches"),
                retry_after: Some(bounds.heartbeat),
                ..Refusal::new(Reason::StreamLimit, "too many watches at once")
            });
        }
        open.insert(name.clone(), mine + 1);
        drop(open);
        Ok(Place {
            watches: Arc::clone(self),
            name,
        })
    }
}

/// One watch's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    watches: Arc<Watches>,
    name: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let open = self.watches.open.lock();
        let mut open = open.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.name);
            }
        }
    }
}

/// A watch that has begun.
pub struct Watching {
    items: BoxStream<'static, Result<WatchItem, ApiError>>,
    /// The latest that was given.
    revision: u64,
    heartbeat: Duration,
    ends: Instant,
    is_over: bool,
    drain: CancellationToken,
    _place: Place,
}

impl Watching {
    pub(super) fn new(
        items: BoxStream<'static, Result<WatchItem, ApiError>>,
        revision: u64,
        (heartbeat, age): (Duration, Duration),
        place: Place,
        drain: CancellationToken,
    ) -> Self {
        Self {
            items,
            revision,
            heartbeat,
            ends: Instant::now() + age,
            is_over: false,
            drain,
            _place: place,
        }
    }

    /// Its items. The last one of a watch that has become too old is a heartbeat: it says where to go on.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<WatchItem, Refusal>> + Send {
        stream::unfold(self, |mut watching| async move {
            let item = watching.next().await?;
            Some((item, watching))
        })
    }

    async fn next(&mut self) -> Option<Result<WatchItem, Refusal>> {
        if self.is_over {
            return None;
        }
        let beat = (Instant::now() + self.heartbeat).min(self.ends);
        let next = tokio::select! {
            biased;
            () = self.drain.cancelled() => {
                self.is_over = true;
                return Some(Ok(self.beat()));
            }
            next = timeout_at(beat, self.items.next()) => next,
        };
        match next {
            Ok(Some(Ok(item))) => {
                // Changes that come without a pause must not keep an old watch alive.
                self.is_over = Instant::now() >= self.ends;
                self.revision = match &item {
                    WatchItem::Snapshot { revision, .. }
                    | WatchItem::Changed { revision, .. }
                    | WatchItem::Heartbeat { revision } => *revision,
                };
                Some(Ok(item))
            }
            Ok(Some(Err(error))) => {
                self.is_over = true;
                Some(Err(error.into()))
            }
            Ok(None) => None,
            Err(_) => {
                self.is_over = Instant::now() >= self.ends;
                Some(Ok(self.beat()))
            }
        }
    }

    fn beat(&self) -> WatchItem {
        WatchItem::Heartbeat {
            revision: self.revision,
        }
    }
}
