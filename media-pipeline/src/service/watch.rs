//! A watch: a snapshot, then changes, until its time is over.

use super::Inner;
use super::access::{Need, as_seen};
use super::answer::{rules, store};
use super::hub::{NoWatcher, Watcher};
use crate::api::{ApiError, Caller, Watch, WatchItem};
use crate::model::{Clip, ClipId};
use crate::ports::Query;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{CLIP_HEARTBEAT, CLIP_PAGE, CLIP_WATCH_AGE};
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;
use std::sync::Arc;

type Item = Result<WatchItem, ApiError>;

struct State {
    inner: Arc<Inner>,
    number: u64,
    watcher: Arc<Watcher>,
    caller: Caller,
    what: Watch,
    revision: u64,
    ends: UnixMs,
    checked: UnixMs,
    /// The room by which they see it; none: all of it is theirs.
    seen_in: Option<RoomId>,
    /// The room's epoch at that time: another one means that somebody was removed.
    epoch: Option<u64>,
    /// Versions that the snapshot had: what comes after it is newer.
    had: BTreeMap<ClipId, u64>,
    over: bool,
}

impl Drop for State {
    fn drop(&mut self) {
        self.inner.hub.forget(self.number);
    }
}

impl Inner {
    pub(super) async fn begin_watch(
        self: &Arc<Self>,
        caller: &Caller,
        what: Watch,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Item>, ApiError> {
        let epoch = self.watch_epoch(&what).await?;
        let seen_in = self.may_watch(caller, &what).await?;
        if self.hub.told().is_none() {
            let newest = self.store.revision().await.map_err(store)?;
            self.hub.begin(newest);
        }
        let watching = self.hub.watch(what.clone(), caller.user.clone(), after);
        let (number, watcher) = watching.map_err(|why| match why {
            NoWatcher::TooMany => ApiError::Quota {
                what: "watches",
                retry_after: None,
            },
            NoWatcher::Compacted => ApiError::Compacted,
        })?;
        let now = self.clock.now();
        // What is told from here on is in the queue; the snapshot may have some of it already.
        let revision = after.unwrap_or(self.hub.told().unwrap_or(0));
        let mut state = State {
            inner: Arc::clone(self),
            number,
            watcher,
            caller: caller.clone(),
            what,
            revision,
            ends: now.plus(CLIP_WATCH_AGE),
            checked: now,
            seen_in,
            epoch,
            had: BTreeMap::new(),
            over: false,
        };
        let mut first = None;
        if after.is_none() {
            let clips = self.snapshot(&state.what).await?;
            state.had = clips.iter().map(|clip| (clip.id, clip.version)).collect();
            let clips = clips.into_iter().map(|clip| state.view(clip)).collect();
            first = Some(Ok(WatchItem::Snapshot { revision, clips }));
        }
        let changes = stream::unfold(state, |mut state| async move {
            let item = state.next().await?;
            Some((item, state))
        });
        Ok(stream::iter(first).chain(changes).boxed())
    }

    /// The room by which they may; none: it is their own.
    async fn may_watch(&self, caller: &Caller, what: &Watch) -> Result<Option<RoomId>, ApiError> {
        match what {
            Watch::Clip(id) => {
                let clip = self.store.get(*id).await.map_err(store)?;
                let clip = clip.ok_or(ApiError::NotFound)?;
                if clip.uploader == caller.user {
                    return Ok(None);
                }
                self.seen_in(caller, &clip).await.map(Some)
            }
            Watch::Room(room) => {
                self.room(caller, room, Need::View).await?;
                Ok(Some(room.clone()))
            }
        }
    }

    /// The epoch by which it is known that nobody was removed; of a single clip there is none, and its few changes are
    /// each asked for.
    async fn watch_epoch(&self, what: &Watch) -> Result<Option<u64>, ApiError> {
        match what {
            Watch::Clip(_) => Ok(None),
            Watch::Room(room) => self.authz.epoch(room).await.map(Some).map_err(rules),
        }
    }

    async fn snapshot(&self, what: &Watch) -> Result<Vec<Clip>, ApiError> {
        match what {
            Watch::Clip(id) => {
                let clip = self.store.get(*id).await.map_err(store)?;
                Ok(clip.into_iter().collect())
            }
            Watch::Room(room) => {
                let query = Query {
                    room: Some(room.clone()),
                    limit: CLIP_PAGE,
                    ..Query::default()
                };
                Ok(self.store.list(&query).await.map_err(store)?.clips)
            }
        }
    }
}

impl State {
    /// Rights are asked again after a heartbeat's time (also when the clock went back), and before a change is told to who
    /// may have been removed meanwhile.
    async fn still_may(&mut self, now: UnixMs, is_change: bool) -> Result<(), ApiError> {
        let is_fresh = now >= self.checked && now < self.checked.plus(CLIP_HEARTBEAT);
        if is_fresh && !is_change {
            return Ok(());
        }
        let epoch = self.inner.watch_epoch(&self.what).await?;
        if is_fresh && epoch.is_some() && epoch == self.epoch {
            return Ok(());
        }
        self.seen_in = self.inner.may_watch(&self.caller, &self.what).await?;
        (self.checked, self.epoch) = (now, epoch);
        Ok(())
    }

    fn view(&self, clip: Clip) -> Clip {
        match &self.seen_in {
            Some(room) => as_seen(clip, &self.caller, room),
            None => clip,
        }
    }

    async fn next(&mut self) -> Option<Item> {
        if self.over {
            return None;
        }
        let mut beat = self.inner.clock.now().plus(CLIP_HEARTBEAT);
        loop {
            let now = self.inner.clock.now();
            if now >= self.ends || self.inner.stop.is_cancelled() {
                return None;
            }
            // Read before the queue: up to here all is told when the queue is empty.
            let told = self.inner.hub.told().unwrap_or(0);
            let popped = self.watcher.pop();
            let is_change = matches!(popped, Ok(Some(_)));
            if let Err(error) = self.still_may(now, is_change).await {
                self.over = true;
                return Some(Err(error));
            }
            match popped {
                Ok(Some((revision, clip))) => {
                    self.revision = revision;
                    if self
                        .had
                        .get(&clip.id)
                        .is_some_and(|had| clip.version <= *had)
                    {
                        continue;
                    }
                    self.had.remove(&clip.id);
                    let clip = Box::new(self.view(Clip::clone(&clip)));
                    return Some(Ok(WatchItem::Changed { revision, clip }));
                }
                // Where to go on is not left behind by what happens in other rooms.
                Ok(None) => self.revision = self.revision.max(told),
                Err(_) => {
                    self.over = true;
                    return Some(Err(ApiError::Compacted));
                }
            }
            if now >= beat {
                let revision = self.revision;
                return Some(Ok(WatchItem::Heartbeat { revision }));
            }
            beat = beat.min(self.ends);
            tokio::select! {
                () = self.watcher.wake.notified() => {}
                () = self.inner.stop.cancelled() => return None,
                () = self.inner.clock.sleep_until(beat) => {}
            }
        }
    }
}
