//! What people are told at once, past the log: rings and their ends, what was read on another device, and clips that
//! failed.
//!
//! Nothing of it is worth keeping over a crash: a ring is over within a minute, a notification of something read is
//! taken away when the app is opened, and that a clip failed its message says. So it waits in memory, bounded, until
//! the topic has it or nobody wants it any more.

use crate::ports::{Announce, Announcement, RoomLog};
use crate::service::Clock;
use crate::wire::notify;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::NOTIFY_ANNOUNCEMENTS;
use kaiwa_common::position::Position;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::queue::{BATCH, SendError, Topic};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long reads of a person in a room are gathered before the last of them is told.
const GATHER: Duration = Duration::from_secs(1);

/// How long a read, or the end of a ring, is tried to be told.
const TRY: Duration = Duration::from_secs(30);

/// How long the end of a clip is tried to be told: over a restart of the queue. After that its message tells.
const TRY_CLIP: Duration = Duration::from_secs(600);

/// After a first failure; it doubles up to [`RETRY_MOST`].
const RETRY: Duration = Duration::from_millis(200);

/// Between two tries, at most.
const RETRY_MOST: Duration = Duration::from_secs(5);

/// What became of announcements.
#[derive(Debug, Default)]
pub struct AnnouncerStats {
    published: AtomicU64,
    dropped: AtomicU64,
}

impl AnnouncerStats {
    /// The topic has them.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.published.load(Relaxed)
    }

    /// Nobody was told: too many waited, or the topic did not answer in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// Takes announcements for the topic.
pub struct Announcer {
    /// Beside reads, which are many: they take no place from these.
    rings: mpsc::Sender<Announcement>,
    reads: mpsc::Sender<Announcement>,
    /// Beside both for the same reason.
    clips: mpsc::Sender<Announcement>,
    stats: Arc<AnnouncerStats>,
}

impl Announcer {
    /// Starts it. Must be called within a tokio runtime; its task ends with the last share of it, once what
    /// waits was tried.
    #[must_use]
    pub fn start(rooms: Arc<dyn RoomLog>, topic: Arc<dyn Topic>, clock: Clock) -> Arc<Self> {
        let (rings, of_rings) = mpsc::channel(NOTIFY_ANNOUNCEMENTS);
        let (reads, of_reads) = mpsc::channel(NOTIFY_ANNOUNCEMENTS);
        let (clips, of_clips) = mpsc::channel(NOTIFY_ANNOUNCEMENTS);
        let stats: Arc<AnnouncerStats> = Arc::default();
        let task = Task {
            rooms,
            topic,
            clock,
            stats: Arc::clone(&stats),
            reads: BTreeMap::new(),
            out: VecDeque::new(),
        };
        tokio::spawn(task.run(of_rings, of_reads, of_clips));
        Arc::new(Self {
            rings,
            reads,
            clips,
            stats,
        })
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> &Arc<AnnouncerStats> {
        &self.stats
    }
}

impl Announce for Announcer {
    fn announce(&self, announcement: Announcement) {
        let queue = match announcement {
            Announcement::Read { .. } => &self.reads,
            Announcement::Ringing { .. } | Announcement::RingOver { .. } => &self.rings,
            Announcement::ClipFailed { .. } => &self.clips,
        };
        if queue.try_send(announcement).is_err() {
            self.stats.dropped.fetch_add(1, Relaxed);
        }
    }
}

struct Task {
    rooms: Arc<dyn RoomLog>,
    topic: Arc<dyn Topic>,
    clock: Clock,
    stats: Arc<AnnouncerStats>,
    /// Reads that are gathered: only the last of a person in a room counts.
    reads: BTreeMap<(UserId, RoomId), Position>,
    /// Rings and their ends, and behind them reads.
    out: VecDeque<(Announcement, UnixMs)>,
}

impl Task {
    async fn run(
        mut self,
        mut rings: mpsc::Receiver<Announcement>,
        mut reads: mpsc::Receiver<Announcement>,
        mut clips: mpsc::Receiver<Announcement>,
    ) {
        let mut is_open = true;
        let mut gather_until: Option<Instant> = None;
        while is_open || !self.reads.is_empty() {
            let due = gather_until.unwrap_or_else(|| Instant::now() + GATHER);
            tokio::select! {
                taken = rings.recv(), if is_open => match taken {
                    Some(ring) => self.take(ring),
                    None => is_open = false,
                },
                taken = reads.recv(), if is_open => match taken {
                    Some(read) => self.take(read),
                    None => is_open = false,
                },
                taken = clips.recv(), if is_open => match taken {
                    Some(clip) => self.take(clip),
                    None => is_open = false,
                },
                () = tokio::time::sleep_until(due), if gather_until.is_some() => {
                    gather_until = None;
                    self.flush();
                }
            }
            while let Ok(read) = reads.try_recv() {
                self.take(read);
            }
            while self.out.len() < 2 * NOTIFY_ANNOUNCEMENTS
                && let Ok(clip) = clips.try_recv()
            {
                self.take(clip);
            }
            if !is_open {
                // Both have ended, and nothing comes any more.
                gather_until = Some(Instant::now());
            } else if !self.reads.is_empty() && gather_until.is_none() {
                gather_until = Some(Instant::now() + GATHER);
            }
            self.publish(&mut rings).await;
        }
    }

    fn take(&mut self, announcement: Announcement) {
        let until = (self.clock)().plus(TRY);
        match announcement {
            Announcement::Read { user, room, to } => {
                let last = self.reads.entry((user, room)).or_insert(to);
                if (to.epoch, to.seq) > (last.epoch, last.seq) {
                    *last = to;
                }
            }
            ring @ Announcement::Ringing { until, .. } => self.before_reads(ring, until),
            over @ Announcement::RingOver { .. } => self.before_reads(over, until),
            failed @ Announcement::ClipFailed { .. } => {
                self.out.push_back((failed, (self.clock)().plus(TRY_CLIP)));
            }
        }
    }

    /// Behind the rings that wait, before the reads.
    fn before_reads(&mut self, ring: Announcement, until: UnixMs) {
        let is_ring = |(one, _): &(Announcement, UnixMs)| {
            matches!(
                one,
                Announcement::Ringing { .. } | Announcement::RingOver { .. }
            )
        };
        let rings = self.out.partition_point(is_ring);
        self.out.insert(rings, (ring, until));
    }

    /// What was gathered is told.
    fn flush(&mut self) {
        let until = (self.clock)().plus(TRY);
        for ((user, room), to) in std::mem::take(&mut self.reads) {
            let read = Announcement::Read { user, room, to };
            self.out.push_back((read, until));
        }
    }

    /// Publishes all that waits, as long as somebody wants it. Rings that come meanwhile are next.
    async fn publish(&mut self, rings: &mut mpsc::Receiver<Announcement>) {
        let mut failures = 0_u32;
        loop {
            while self.out.len() < 2 * NOTIFY_ANNOUNCEMENTS
                && let Ok(ring) = rings.try_recv()
            {
                self.take(ring);
            }
            if self.out.is_empty() {
                return;
            }
            let now = (self.clock)();
            let before = self.out.len();
            self.out.retain(|(_, until)| *until > now);
            self.drop_some(before - self.out.len());
            let mut batch = Vec::with_capacity(BATCH);
            for (announcement, _) in self.out.iter().take(BATCH) {
                let title = self.title(announcement).await;
                batch.push(notify::announcement(announcement, &title, now));
            }
            let count = batch.len();
            if count == 0 {
                continue;
            }
            let again = match self.topic.publish(batch).await {
                Ok(results) => self.settle(results),
                Err(error) => {
                    tracing::debug!(%error, "announcements wait for the topic");
                    count
                }
            };
            if again == 0 {
                failures = 0;
                continue;
            }
            let wait = RETRY * 2_u32.saturating_pow(failures);
            failures = (failures + 1).min(8);
            tokio::time::sleep(wait.min(RETRY_MOST)).await;
        }
    }

    /// Takes what is done out of the queue; gives how many have to be tried again.
    fn settle(&mut self, results: Vec<Result<(), SendError>>) -> usize {
        let tried: Vec<_> = self
            .out
            .drain(..results.len().min(self.out.len()))
            .collect();
        let mut again = Vec::new();
        for (item, result) in tried.into_iter().zip(results) {
            match result {
                Ok(()) => drop(self.stats.published.fetch_add(1, Relaxed)),
                Err(SendError::Failed(_)) => again.push(item),
                Err(SendError::Invalid(rule)) => {
                    tracing::error!(rule, "the topic refuses an announcement");
                    self.drop_some(1);
                }
            }
        }
        let count = again.len();
        again
            .into_iter()
            .rev()
            .for_each(|item| self.out.push_front(item));
        count
    }

    fn drop_some(&self, count: usize) {
        self.stats.dropped.fetch_add(count as u64, Relaxed);
    }

    /// The room's title for a ring; without one it rings all the same.
    async fn title(&self, announcement: &Announcement) -> String {
        let room = match announcement {
            Announcement::Ringing { room, .. } => room,
            Announcement::Read { .. }
            | Announcement::RingOver { .. }
            | Announcement::ClipFailed { .. } => return String::new(),
        };
        match self.rooms.load(room).await {
            Ok(record) => record.map(|record| record.title).unwrap_or_default(),
            Err(_) => String::new(),
        }
    }
}
