//! A shard: one task that owns rooms, runs their cores and performs their effects.

use super::Clock;
use super::admission::Permit;
use crate::bus::{Bus, MemberChange, Published};
use crate::core::{Command, Effect, RoomCore, RoomLimits, Ticket};
use crate::error::ChatError;
use crate::model::{Event, EventBody, Written};
use crate::ports::{Append, Appended, Facts, LogRange, RoomRecord, Store, StoreError};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::Seq;
use kaiwa_common::time::UnixMs;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// Arrivals that are taken at once before their rooms are driven, so that what came together for one
/// room becomes one batch.
const ARRIVALS: usize = 1_024;

/// A room that nothing happened in for this long is forgotten; loading it again is one read.
const IDLE: Duration = Duration::from_secs(300);

/// How often idle rooms are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// Rooms in one shard's memory before those idle now are forgotten at once, however briefly. A quiet
/// room holds some 2 KB, a busy one up to some 200 KB.
const ROOMS: usize = 16_384;

/// What the shards have done, from the start of the service.
#[derive(Debug, Default)]
pub struct ShardStats {
    rooms: AtomicU64,
    panics: AtomicU64,
    conflicts: AtomicU64,
    duplicates: AtomicU64,
    unknown: AtomicU64,
}

impl ShardStats {
    /// Rooms in memory now.
    #[must_use]
    pub fn rooms(&self) -> u64 {
        self.rooms.load(Relaxed)
    }

    /// Rooms lost to a panic and built anew.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }

    /// Appends refused because somebody else had written.
    #[must_use]
    pub fn conflicts(&self) -> u64 {
        self.conflicts.load(Relaxed)
    }

    /// Appends that held a retry which only the store knew.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Relaxed)
    }

    /// Appends whose outcome had to be read from the store.
    #[must_use]
    pub fn unknown_outcomes(&self) -> u64 {
        self.unknown.load(Relaxed)
    }
}

/// A command on its way to its room.
pub(super) struct Arrival {
    pub(super) room: RoomId,
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<Written, ChatError>>,
    pub(super) permit: Permit,
}

/// What a store's answer is for.
struct Done {
    room: RoomId,
    /// Of the room that asked; another one of the same id knows nothing of it.
    generation: u64,
    answer: StoreAnswer,
}

enum StoreAnswer {
    Loaded(Result<Option<RoomRecord>, StoreError>),
    Facts(Result<Facts, StoreError>),
    Appended(Append, Result<Appended, StoreError>),
    Announced(Option<Published>),
}

/// A room in memory. When it is dropped, whoever still waits for it hears `unavailable`.
struct Room {
    core: RoomCore,
    generation: u64,
    waiting: HashMap<Ticket, (oneshot::Sender<Result<Written, ChatError>>, Permit)>,
    used: UnixMs,
}

/// Who is told of commits besides the bus; each bell is one waiter's, and keeps one ring for them.
#[derive(Clone, Default)]
pub(super) struct Bells {
    /// Rings after each commit.
    pub(super) committed: Arc<Notify>,
    /// Rings after a message was deleted.
    pub(super) deleted: Arc<Notify>,
}

impl Bells {
    fn ring(&self, published: &Published) {
        self.committed.notify_one();
        let is_deleted = |event: &Event| matches!(event.body, EventBody::Deleted { .. });
        if published.events.iter().any(is_deleted) {
            self.deleted.notify_one();
        }
    }
}

pub(super) struct Shard {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    limits: RoomLimits,
    clock: Clock,
    stats: Arc<ShardStats>,
    bells: Bells,
    rooms: HashMap<RoomId, Room>,
    generations: u64,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Places of writes that were answered just now: given back once the bus has been told as well, so
    /// that a drained service has nothing left to say.
    answered: Vec<Permit>,
    /// Set when a text may have been erased: the store's journals have to be cleaned. So it is from the
    /// start: the process before may have died between an erasure and its cleaning.
    erasures: Arc<AtomicBool>,
}

impl Shard {
    pub(super) fn new(
        (store, bus): (Arc<dyn Store>, Arc<dyn Bus>),
        limits: RoomLimits,
        clock: Clock,
        (stats, bells): (Arc<ShardStats>, Bells),
    ) -> Self {
        Self {
            store,
            bus,
            limits,
            clock,
            stats,
            bells,
            rooms: HashMap::new(),
            generations: 0,
            under_way: FuturesUnordered::new(),
            answered: Vec::new(),
            erasures: Arc::new(AtomicBool::new(true)),
        }
    }

    pub(super) fn erasures(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.erasures)
    }

    /// Runs until the last handle is gone and everything taken is answered.
    pub(super) async fn run(mut self, mut mailbox: mpsc::UnboundedReceiver<Arrival>) {
        let mut arrivals = Vec::with_capacity(ARRIVALS);
        let mut sweep = tokio::time::interval(SWEEP);
        let mut open = true;
        while open || !self.under_way.is_empty() {
            tokio::select! {
                taken = mailbox.recv_many(&mut arrivals, ARRIVALS), if open => {
                    open = taken > 0;
                    self.take(&mut arrivals);
                }
                Some(done) = self.under_way.next() => self.finish(done),
                _ = sweep.tick() => self.forget(IDLE),
            }
        }
    }

    fn take(&mut self, arrivals: &mut Vec<Arrival>) {
        let mut touched = Vec::new();
        for Arrival {
            room,
            command,
            reply,
            permit,
        } in arrivals.drain(..)
        {
            let entry = match self.rooms.get_mut(&room) {
                Some(entry) => entry,
                None => self.open(&room),
            };
            entry.waiting.insert(command.ticket, (reply, permit));
            if self.on_room(&room, |core| core.handle_command(command)) {
                touched.push(room);
            }
        }
        for room in touched {
            self.drive(&room);
        }
    }

    fn open(&mut self, room: &RoomId) -> &mut Room {
        if self.rooms.len() >= ROOMS {
            self.forget(Duration::ZERO);
        }
        self.generations += 1;
        let new = Room {
            core: RoomCore::new(room.clone(), self.limits.clone()),
            generation: self.generations,
            waiting: HashMap::new(),
            used: (self.clock)(),
        };
        self.stats.rooms.fetch_add(1, Relaxed);
        self.rooms.entry(room.clone()).or_insert(new)
    }

    fn finish(&mut self, done: Done) {
        let Done {
            room,
            generation,
            answer,
        } = done;
        if self
            .rooms
            .get(&room)
            .is_none_or(|entry| entry.generation != generation)
        {
            return;
        }
        let kept = match answer {
            StoreAnswer::Loaded(loaded) => self.on_room(&room, |core| core.handle_loaded(loaded)),
            StoreAnswer::Facts(facts) => self.on_room(&room, |core| core.handle_facts(facts)),
            StoreAnswer::Appended(append, outcome) => {
                self.count(&append, &outcome);
                self.on_room(&room, |core| core.handle_appended(append, outcome))
            }
            StoreAnswer::Announced(published) => {
                if let Some(published) = published {
                    self.publish(&room, published);
                }
                self.on_room(&room, RoomCore::handle_announced)
            }
        };
        if kept {
            self.drive(&room);
        }
    }

    /// Performs what the room wants done now.
    fn drive(&mut self, room: &RoomId) {
        let now = (self.clock)();
        loop {
            let mut effect = None;
            if !self.on_room(room, |core| effect = core.poll_effect(now)) {
                self.answered.clear();
                return;
            }
            let Some(effect) = effect else { break };
            self.perform(room, effect);
        }
        self.answered.clear();
        let Some(entry) = self.rooms.get_mut(room) else {
            return;
        };
        entry.used = now;
        // Made-up ids are not kept.
        if entry.core.is_absent() && entry.core.is_idle() {
            self.close(room);
        }
    }

    fn perform(&mut self, room: &RoomId, effect: Effect) {
        match effect {
            Effect::Reply(ticket, result) => {
                let waiting = self
                    .rooms
                    .get_mut(room)
                    .and_then(|e| e.waiting.remove(&ticket));
                if let Some((reply, permit)) = waiting {
                    // Whoever asked may have gone away.
                    let _ = reply.send(result);
                    self.answered.push(permit);
                }
            }
            Effect::Publish(published) => self.publish(room, published),
            Effect::Load => {
                let loading = self.store.load(room);
                self.ask(room, async move { StoreAnswer::Loaded(loading.await) });
            }
            Effect::Fetch(wanted) => {
                let fetching = self.store.facts(room, wanted);
                self.ask(room, async move { StoreAnswer::Facts(fetching.await) });
            }
            Effect::Append(append) => {
                let appending = self.store.append(&append);
                self.ask(room, async move {
                    let outcome = appending.await;
                    StoreAnswer::Appended(append, outcome)
                });
            }
            Effect::Announce { after } => {
                let announcing = announce(Arc::clone(&self.store), room.clone(), after);
                self.ask(
                    room,
                    async move { StoreAnswer::Announced(announcing.await) },
                );
            }
        }
    }

    fn ask(&mut self, room: &RoomId, answer: impl Future<Output = StoreAnswer> + Send + 'static) {
        let generation = self.rooms.get(room).map_or(0, |entry| entry.generation);
        let room = room.clone();
        let done = async move {
            Done {
                room,
                generation,
                answer: answer.await,
            }
        };
        self.under_way.push(Box::pin(done));
    }

    fn publish(&mut self, room: &RoomId, published: Published) {
        self.bells.ring(&published);
        let bus = Arc::clone(&self.bus);
        self.on_room(room, |_| bus.publish(published));
    }

    /// Runs something that may panic. A panic costs this room: it is dropped, those who wait hear
    /// `unavailable`, and the next command loads it from the store. False when that happened.
    fn on_room(&mut self, room: &RoomId, act: impl FnOnce(&mut RoomCore)) -> bool {
        let Some(entry) = self.rooms.get_mut(room) else {
            return false;
        };
        if catch_unwind(AssertUnwindSafe(|| act(&mut entry.core))).is_ok() {
            return true;
        }
        self.stats.panics.fetch_add(1, Relaxed);
        tracing::error!(%room, "a room panicked and is built anew");
        self.close(room);
        false
    }

    fn close(&mut self, room: &RoomId) {
        if self.rooms.remove(room).is_some() {
            self.stats.rooms.fetch_sub(1, Relaxed);
        }
    }

    fn forget(&mut self, idle: Duration) {
        let now = (self.clock)();
        let before = self.rooms.len();
        self.rooms.retain(|_, entry| {
            !entry.core.is_idle() || !entry.waiting.is_empty() || now.since(entry.used) < idle
        });
        self.stats
            .rooms
            .fetch_sub((before - self.rooms.len()) as u64, Relaxed);
    }

    fn count(&self, append: &Append, outcome: &Result<Appended, StoreError>) {
        if matches!(outcome, Ok(Appended::Committed) | Err(StoreError::Unknown)) {
            let erased = |body: &EventBody| matches!(body, EventBody::Deleted { .. });
            if append.events.iter().any(|event| erased(&event.body)) {
                self.erasures.store(true, Relaxed);
            }
        }
        let counter = match outcome {
            Ok(Appended::Committed) => return,
            Ok(Appended::Conflict) => &self.stats.conflicts,
            Ok(Appended::Duplicate(_)) => &self.stats.duplicates,
            Err(StoreError::Unknown) => &self.stats.unknown,
            Err(StoreError::Overloaded | StoreError::Failed) => return,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Events that one announcement reads; whoever misses more sees the hole and reads the log.
const ANNOUNCED: usize = 256;

/// Reads what was appended without anybody being told. `None` when that fails: the bus may lose.
async fn announce(store: Arc<dyn Store>, room: RoomId, after: Seq) -> Option<Published> {
    // The log is read for nobody in particular.
    let nobody = UserId::parse("-").ok()?;
    let range = LogRange {
        room: room.clone(),
        after,
        limit: ANNOUNCED,
    };
    let events = store
        .read_logs(&nobody, vec![range])
        .await
        .ok()?
        .pop()?
        .events;
    let mut changes = Vec::new();
    for event in &events {
        if let EventBody::Member { user, .. } = &event.body {
            let info = store.view(&user.id, &room).await.ok()??;
            let version = event.position.seq;
            changes.push(MemberChange {
                user: user.id.clone(),
                info,
                version,
            });
        }
    }
    if events.is_empty() {
        None
    } else {
        Some(Published {
            room,
            events,
            changes,
        })
    }
}
