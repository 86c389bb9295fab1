//! Clips at work: carries out what people ask for and what the state machine orders, over the ports.
//!
//! ```text
//!  Clips ──┐                     ┌─► store: compare-and-set ─► hub ─► watchers
//!  events ─┼─► apply ─► core ────┤
//!  reaper ─┘     ▲               └─► effects: objects, inspector, transcoder, messages
//!                └──── results ──────────────┘
//! ```

mod access;
mod alarm;
mod answer;
mod apply;
mod captions;
mod chores;
mod effects;
mod events;
mod hub;
mod metrics;
mod parts;
mod quota;
mod reaper;
mod requests;
mod sweep;
mod upload;
mod watch;

pub use metrics::describe;

use crate::core::rules::Rules;
use crate::model::ClipId;
use crate::ports::{
    ClipStore, Inspector, Objects, PlaybackIssuer, RoomAuthz, RoomMessages, Transcoder,
};
use events::Parked;
use hub::Hub;
use kaiwa_common::limits::{
    CLIP_BYTES, CLIP_BYTES_PER_DAY, CLIP_INSPECTIONS, CLIP_MEDIA_PER_DAY, CLIP_OPEN,
};
use kaiwa_platform::clock::Clock;
use quota::Turns;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What clips are made of.
pub struct Parts {
    /// Their rows.
    pub store: Arc<dyn ClipStore>,
    /// Their bytes.
    pub objects: Arc<dyn Objects>,
    /// What looks at them.
    pub inspector: Arc<dyn Inspector>,
    /// What makes outputs of them.
    pub transcoder: Arc<dyn Transcoder>,
    /// Chat's rules.
    pub authz: Arc<dyn RoomAuthz>,
    /// Chat's messages.
    pub messages: Arc<dyn RoomMessages>,
    /// What lets people play them.
    pub playback: Arc<dyn PlaybackIssuer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Any number: where chance begins.
    pub seed: u64,
    /// Settings.
    pub options: Options,
}

/// Settings of the clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Times and counts of the state machine.
    pub rules: Rules,
    /// The largest file.
    pub max_bytes: u64,
    /// Bytes that a person may register in a day.
    pub bytes_per_day: u64,
    /// How long what a person brings in a day may play, all together.
    pub media_per_day: Duration,
    /// Uploads of a person at once.
    pub open: u32,
    /// Bytes that all clips may take up, with what they have declared and not sent yet; 0: only the disk bounds it.
    pub storage_bytes: u64,
    /// Clips that are looked at at once.
    pub inspections: usize,
    /// Seconds of a segment: a multiple of 2.
    pub segment_s: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            max_bytes: CLIP_BYTES,
            bytes_per_day: CLIP_BYTES_PER_DAY,
            media_per_day: CLIP_MEDIA_PER_DAY,
            open: CLIP_OPEN,
            storage_bytes: 0,
            inspections: CLIP_INSPECTIONS,
            segment_s: 6,
        }
    }
}

/// Clips at work; cheap to clone. It does what it is asked; what time brings, the reaper does (see
/// [`ClipService::run`]).
#[derive(Clone)]
pub struct ClipService {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn ClipStore>,
    objects: Arc<dyn Objects>,
    inspector: Arc<dyn Inspector>,
    transcoder: Arc<dyn Transcoder>,
    authz: Arc<dyn RoomAuthz>,
    messages: Arc<dyn RoomMessages>,
    playback: Arc<dyn PlaybackIssuer>,
    clock: Arc<dyn Clock>,
    options: Options,
    hub: Hub,
    turns: Turns,
    /// Held from counting what is stored to storing more.
    filling: tokio::sync::Mutex<()>,
    parked: Mutex<Parked>,
    alarm: Mutex<alarm::Alarm>,
    orphans: Mutex<Option<String>>,
    busy: Mutex<BTreeSet<(ClipId, &'static str)>>,
    inspections: Semaphore,
    chance: Mutex<u64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ClipService {
    /// Clips over these ports.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let options = parts.options;
        Self {
            inner: Arc::new(Inner {
                store: parts.store,
                objects: parts.objects,
                inspector: parts.inspector,
                transcoder: parts.transcoder,
                authz: parts.authz,
                messages: parts.messages,
                playback: parts.playback,
                clock: parts.clock,
                options,
                hub: Hub::default(),
                turns: Turns::default(),
                filling: tokio::sync::Mutex::default(),
                parked: Mutex::default(),
                alarm: Mutex::default(),
                orphans: Mutex::default(),
                busy: Mutex::default(),
                inspections: Semaphore::new(options.inspections.max(1)),
                chance: Mutex::new(parts.seed),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        }
    }

    /// Runs the reaper until the drain. Once for each process.
    pub async fn run(&self) {
        reaper::run(&self.inner).await;
    }

    /// One round of the reaper; gives how many clips were due. For tests, which have a time of their own.
    pub async fn tick(&self) -> usize {
        reaper::tick(&self.inner).await
    }

    /// Ends once nothing that was begun is under way any more. For tests.
    pub async fn idle(&self) {
        let tasks = &self.inner.tasks;
        // What is done may begin more: the tracker is empty only when all of it is done.
        tasks.close();
        tasks.wait().await;
        tasks.reopen();
    }

    /// Takes nothing new, ends the watches, and lets what was begun be done within the grace. What is not, is
    /// found by its due time. Gives whether all was done.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        let until = self.inner.clock.now().plus(grace);
        tokio::select! {
            () = self.inner.tasks.wait() => true,
            () = self.inner.clock.sleep_until(until) => false,
        }
    }
}

impl Inner {
    /// A random number: splitmix64, which is as good as a back-off needs.
    fn roll(&self) -> u64 {
        let mut state = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Keeps this work of this clip to one task of this process; `None`: another is at it.
    fn at_work(self: &Arc<Self>, clip: ClipId, what: &'static str) -> Option<AtWork> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert((clip, what)).then(|| AtWork {
            inner: Arc::clone(self),
            key: (clip, what),
        })
    }
}

/// A piece of work that is under way.
struct AtWork {
    inner: Arc<Inner>,
    key: (ClipId, &'static str),
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let busy = &self.inner.busy;
        busy.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}
