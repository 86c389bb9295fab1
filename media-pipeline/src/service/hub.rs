//! Who watches, and what changed: changes in the order of their revisions.
//!
//! Writers finish in any order. What came early waits until what is before it has come; a change that never comes
//! (another process made it, or whoever made it was dropped) is read from the store by the reaper.

use super::{Inner, metrics};
use crate::api::Watch;
use crate::model::Clip;
use kaiwa_common::id::UserId;
use kaiwa_common::limits::{CLIP_WATCH_QUEUE, CLIP_WATCH_RING, CLIP_WATCHERS};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Changes read from the store at once.
const HEALED: usize = 256;

#[derive(Default)]
pub(super) struct Hub {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest revision that was told; `None` before the store was asked.
    told: Option<u64>,
    early: BTreeMap<u64, Arc<Clip>>,
    ring: VecDeque<(u64, Arc<Clip>)>,
    watchers: BTreeMap<u64, Arc<Watcher>>,
    next: u64,
    /// What had been told at the last look, for telling a hole from a moment.
    looked: Option<u64>,
}

/// What waits for one watcher.
pub(super) struct Watcher {
    what: Watch,
    user: UserId,
    queue: Mutex<Queue>,
    pub(super) wake: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<(u64, Arc<Clip>)>,
    overflowed: bool,
}

/// Why there is no watcher.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoWatcher {
    TooMany,
    Compacted,
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change was stored.
    pub(super) fn publish(&self, revision: u64, clip: &Clip) {
        let mut state = self.state();
        let Some(told) = state.told else {
            return;
        };
        if revision <= told {
            return;
        }
        state.early.insert(revision, Arc::new(clip.clone()));
        state.tell_early();
    }

    /// Told up to here; `None` before the first look.
    pub(super) fn told(&self) -> Option<u64> {
        self.state().told
    }

    /// Where the store is, at the first look.
    pub(super) fn begin(&self, revision: u64) {
        self.state().told.get_or_insert(revision);
    }

    /// True when the same hole was there at the last look.
    fn is_stuck(&self, newest: u64) -> bool {
        let mut state = self.state();
        let told = state.told;
        let looked = std::mem::replace(&mut state.looked, told);
        looked == told && told.is_some_and(|told| told < newest)
    }

    /// Changes as the store has them.
    fn fill(&self, changes: Vec<(u64, Clip)>) {
        let mut state = self.state();
        for (revision, clip) in changes {
            if state.told.is_some_and(|told| revision > told) {
                state.tell(revision, Arc::new(clip));
            }
        }
        let told = state.told.unwrap_or(0);
        state.early.retain(|revision, _| *revision > told);
        state.tell_early();
    }

    /// A new watcher, with what came after `after` in its queue.
    pub(super) fn watch(
        &self,
        what: Watch,
        user: UserId,
        after: Option<u64>,
    ) -> Result<(u64, Arc<Watcher>), NoWatcher> {
        let mut state = self.state();
        let own = state.watchers.values().filter(|w| w.user == user).count();
        if state.watchers.len() >= CLIP_WATCHERS.0 || own >= CLIP_WATCHERS.1 {
            return Err(NoWatcher::TooMany);
        }
        let watcher = Arc::new(Watcher {
            what,
            user,
            queue: Mutex::default(),
            wake: Notify::new(),
        });
        if let Some(after) = after {
            let told = state.told.unwrap_or(0);
            let first = state
                .ring
                .front()
                .map_or(told + 1, |(revision, _)| *revision);
            if after > told || after + 1 < first {
                return Err(NoWatcher::Compacted);
            }
            for (revision, clip) in state.ring.iter().filter(|(r, _)| *r > after) {
                watcher.push(*revision, clip);
            }
        }
        let number = state.next;
        state.next += 1;
        state.watchers.insert(number, Arc::clone(&watcher));
        Ok((number, watcher))
    }

    pub(super) fn forget(&self, number: u64) {
        self.state().watchers.remove(&number);
    }
}

impl State {
    /// Tells what came early, as far as it is next.
    fn tell_early(&mut self) {
        while let Some(next) = self.told.map(|told| told + 1)
            && let Some(clip) = self.early.remove(&next)
        {
            self.tell(next, clip);
        }
    }

    fn tell(&mut self, revision: u64, clip: Arc<Clip>) {
        for watcher in self.watchers.values() {
            watcher.push(revision, &clip);
        }
        if self.ring.len() >= CLIP_WATCH_RING {
            self.ring.pop_front();
        }
        self.ring.push_back((revision, clip));
        self.told = Some(revision);
    }
}

impl Watcher {
    /// Of one clip the latest progress takes an older one's place; a state is never left out.
    fn push(&self, revision: u64, clip: &Arc<Clip>) {
        let is_watched = match &self.what {
            Watch::Clip(id) => clip.id == *id,
            Watch::Room(room) => clip.room == *room || clip.chores.rooms.contains_key(room),
        };
        if !is_watched {
            return;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let older = queue.items.iter().rposition(|(_, one)| one.id == clip.id);
        if let Some(at) = older.filter(|at| queue.items[*at].1.state == clip.state) {
            queue.items.remove(at);
        }
        if queue.items.len() >= CLIP_WATCH_QUEUE {
            queue.overflowed = true;
        } else if !queue.overflowed {
            queue.items.push_back((revision, Arc::clone(clip)));
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// The next change; an error when some were left out.
    pub(super) fn pop(&self) -> Result<Option<(u64, Arc<Clip>)>, NoWatcher> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.items.pop_front() {
            None if queue.overflowed => Err(NoWatcher::Compacted),
            next => Ok(next),
        }
    }
}

impl Inner {
    /// Asks the store for changes that did not come by themselves.
    pub(super) async fn heal(&self) {
        let newest = match self.store.revision().await {
            Ok(newest) => newest,
            Err(error) => {
                metrics::failed("store");
                tracing::warn!(%error, "watchers wait");
                return;
            }
        };
        self.hub.begin(newest);
        if !self.hub.is_stuck(newest) {
            return;
        }
        let told = self.hub.told().unwrap_or(newest);
        match self.store.changes(told, HEALED).await {
            Ok(changes) => self.hub.fill(changes),
            Err(error) => {
                metrics::failed("store");
                tracing::warn!(%error, "watchers wait");
            }
        }
    }
}
