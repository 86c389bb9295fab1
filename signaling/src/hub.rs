//! Fan-out: which sessions follow which room, and what they are pushed.
//!
//! Each session belongs to one fan-out worker, and a room's followers are kept by worker. A commit is
//! handed to the workers that have followers of its room, so a room of thousands neither stops the
//! shard that committed it nor runs on one core alone, and each session gets everything in order.
//! Events are encoded once per codec and shared by all who get them.

mod frames;
mod worker;

use crate::call::service::WeakCalls;
use crate::codec::EncodedOnce;
use crate::metrics::Metrics;
use crate::session::Session;
use crate::session::core::outbox::{Reliable, SignalKey};
use crate::session::registry::Sessions;
use frames::Batch;
use kaiwa_chat::bus::{Bus, MemberChange, Published};
use kaiwa_chat::model::ClipProgress;
use kaiwa_chat::wire::clip_progress;
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::FANOUT_QUEUE;
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_proto::client::v1::push::Push;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::mpsc;
use worker::{Job, Pending};

/// Shards of rooms. Sixteen times the cores of the machines that it usually runs on: joins of two
/// rooms seldom meet.
const SHARDS: usize = 64;

/// Followers up to which a commit is delivered on the spot, by whoever publishes it. That costs less
/// than handing it over, and the sender's own push leaves together with the reply.
const SMALL: usize = 16;

/// A session that follows a room.
pub struct Follow {
    session: Arc<Session>,
    /// Nothing is pushed before the right to read was checked.
    is_active: AtomicBool,
    /// The last seq that this session was pushed, or told as the head.
    announced: AtomicU64,
    /// The head at which the right to read was seen.
    authorized: AtomicU64,
    /// The last seq that its client has said it has.
    acknowledged: AtomicU64,
    head: Arc<Head>,
}

/// A room's head as this node has heard of it.
#[derive(Default)]
struct Head {
    epoch: AtomicU32,
    seq: AtomicU64,
}

impl Head {
    fn raise(&self, position: Position) {
        if self.epoch.swap(position.epoch.0, Ordering::Relaxed) == position.epoch.0 {
            self.seq.fetch_max(position.seq.0, Ordering::Relaxed);
        } else {
            self.seq.store(position.seq.0, Ordering::Relaxed);
        }
    }
}

impl Follow {
    /// The room's head, if it moved without this session being told; it counts as told from now on.
    #[must_use]
    pub fn take_unannounced(&self) -> Option<Position> {
        let head = self.head.seq.load(Ordering::Relaxed);
        let told = self.announced.fetch_max(head, Ordering::Relaxed);
        let is_new = self.is_active.load(Ordering::Relaxed) && head > told;
        let epoch = Epoch(self.head.epoch.load(Ordering::Relaxed));
        is_new.then_some(Position {
            epoch,
            seq: Seq(head),
        })
    }

    /// Whether events are pushed.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }

    /// What a ping told may have been lost with its connection: the next one tells it again.
    pub fn forget_told(&self) {
        self.announced.store(0, Ordering::Relaxed);
    }

    /// The client has what was pushed up to here.
    pub fn acknowledge(&self, at: Position) {
        if self.head.epoch.load(Ordering::Relaxed) == at.epoch.0 {
            self.acknowledged.fetch_max(at.seq.0, Ordering::Relaxed);
        }
    }

    /// Whether the client has said that it has this event.
    #[must_use]
    pub fn has_acknowledged(&self, at: Position) -> bool {
        self.is_of(at) && self.acknowledged.load(Ordering::Relaxed) >= at.seq.0
    }

    /// Whether this event was pushed.
    #[must_use]
    pub fn has_pushed(&self, at: Position) -> bool {
        self.is_of(at) && self.announced.load(Ordering::Relaxed) >= at.seq.0
    }

    fn is_of(&self, at: Position) -> bool {
        self.is_active() && self.head.epoch.load(Ordering::Relaxed) == at.epoch.0
    }

    fn tell(&self, notice: &Notice) {
        if !self.is_active() || notice.except.binary_search(&self.session.no).is_ok() {
            return;
        }
        let frame = notice.push.frame(self.session.codec()).clone();
        match &notice.signal {
            None => self.session.push(Reliable {
                room: None,
                frame,
                pushes: 1,
            }),
            Some(key) => self.session.signal(key.clone(), frame),
        }
    }

    fn deliver(&self, batch: &Batch) {
        if !self.is_active.load(Ordering::Acquire) {
            return;
        }
        self.announced
            .fetch_max(batch.head().seq.0, Ordering::Relaxed);
        let codec = self.session.codec();
        let end = batch.end_of(&self.session.user.id);
        // A right that was given again since then stays.
        match end.filter(|end| self.authorized.load(Ordering::Relaxed) < end.0) {
            Some(end) => {
                let pushes = batch.pushes_until(codec, end);
                pushes.into_iter().for_each(|push| self.session.push(push));
            }
            None => {
                for push in batch.pushes(codec) {
                    self.session.push(push.clone());
                }
            }
        }
    }
}

/// Something of a room that is no event of its log, for those who follow it.
pub(crate) struct Notice {
    push: EncodedOnce,
    /// By ascending number.
    except: Vec<u64>,
    /// It is a signal of this kind, and no reliable push.
    signal: Option<SignalKey>,
}

impl Notice {
    /// A reliable push for everybody but these sessions, which are given by ascending number.
    pub(crate) fn new(push: Push, except: Vec<u64>) -> Arc<Self> {
        Arc::new(Self {
            push: EncodedOnce::new(push),
            except,
            signal: None,
        })
    }

    /// A signal for everybody.
    fn signal(push: Push, key: SignalKey) -> Arc<Self> {
        Arc::new(Self {
            push: EncodedOnce::new(push),
            except: Vec::new(),
            signal: Some(key),
        })
    }
}

/// The followers of a room that belong to one worker, by the session's number.
#[derive(Default)]
struct Part {
    followers: RwLock<BTreeMap<u64, Arc<Follow>>>,
}

impl Part {
    fn get(&self, session: &Session) -> Option<Arc<Follow>> {
        self.read().get(&session.no).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Arc<Follow>>> {
        self.followers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Arc<Follow>>> {
        self.followers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

struct Room {
    head: Arc<Head>,
    /// One for each worker.
    parts: Box<[Arc<Part>]>,
    /// Jobs of this room that workers have not finished: while there are any, everything goes through
    /// the workers, so that nothing overtakes them.
    pending: Arc<AtomicU32>,
}

impl Room {
    fn new(workers: usize) -> Self {
        let parts = (0..workers).map(|_| Arc::new(Part::default())).collect();
        Self {
            head: Arc::default(),
            parts,
            pending: Arc::default(),
        }
    }

    /// The followers, when they are few and no worker has a job of this room.
    fn few(&self) -> Option<Vec<Arc<Follow>>> {
        let count = || {
            self.parts
                .iter()
                .map(|part| part.read().len())
                .sum::<usize>()
        };
        if self.pending.load(Ordering::Acquire) > 0 || count() > SMALL {
            return None;
        }
        let mut few = Vec::with_capacity(SMALL);
        self.parts
            .iter()
            .for_each(|part| few.extend(part.read().values().cloned()));
        Some(few)
    }
}

type Shard = RwLock<HashMap<RoomId, Room>>;

/// Who follows what on this node.
pub struct Hub {
    shards: Box<[Shard]>,
    workers: Box<[mpsc::Sender<Job>]>,
    sessions: Arc<Sessions>,
    /// Who is told of member changes besides.
    calls: OnceLock<WeakCalls>,
    metrics: Metrics,
}

impl Hub {
    /// Starts the fan-out with so many workers; nobody follows anything yet. Must be called within a
    /// tokio runtime; the workers end with the hub.
    pub fn start(sessions: Arc<Sessions>, metrics: Metrics, workers: usize) -> Arc<Self> {
        Arc::new_cyclic(|hub| Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            workers: (0..workers.max(1))
                .map(|_| {
                    let (jobs, queue) = mpsc::channel(FANOUT_QUEUE);
                    tokio::spawn(worker::run(queue, hub.clone(), metrics.clone()));
                    jobs
                })
                .collect(),
            sessions,
            calls: OnceLock::new(),
            metrics: metrics.clone(),
        })
    }

    /// Hands member changes to these calls from now on. The first ones stay.
    pub(crate) fn link_calls(&self, calls: WeakCalls) {
        let _ = self.calls.set(calls);
    }

    /// Tells those who follow a room.
    pub(crate) fn tell(&self, room: &RoomId, notice: Arc<Notice>) {
        let shard = self.read(room);
        let Some(room) = shard.get(room) else { return };
        if let Some(few) = room.few() {
            drop(shard);
            return few.iter().for_each(|follow| follow.tell(&notice));
        }
        for (worker, part) in self.workers.iter().zip(&room.parts) {
            let job = Job::Notice {
                part: Arc::clone(part),
                notice: Arc::clone(&notice),
                pending: Pending::of(&room.pending),
            };
            // Nobody tells it again, so without a place it is told here; a signal is lost.
            if worker.try_send(job).is_err() && notice.signal.is_none() {
                part.read().values().for_each(|follow| follow.tell(&notice));
            }
        }
    }

    /// Lets a session follow a room; nothing is pushed until [`Self::activate`].
    pub fn follow(&self, room: &RoomId, session: &Arc<Session>) -> Arc<Follow> {
        let mut shard = self.write(room);
        let entry = shard
            .entry(room.clone())
            .or_insert_with(|| Room::new(self.workers.len()));
        let mut followers = entry.parts[self.worker_of(session)].write();
        let follow = followers.entry(session.no).or_insert_with(|| {
            Arc::new(Follow {
                session: Arc::clone(session),
                is_active: AtomicBool::new(false),
                announced: AtomicU64::new(0),
                authorized: AtomicU64::new(0),
                acknowledged: AtomicU64::new(0),
                head: Arc::clone(&entry.head),
            })
        });
        Arc::clone(follow)
    }

    /// Begins to push, now that the right to read was seen at `head`; false when the session was
    /// taken out of the room meanwhile.
    pub fn activate(&self, room: &RoomId, session: &Session, head: Position) -> bool {
        let shard = self.read(room);
        let part = shard.get(room).map(|r| &r.parts[self.worker_of(session)]);
        let Some(follow) = part.and_then(|part| part.get(session)) else {
            return false;
        };
        follow.head.raise(head);
        follow.announced.fetch_max(head.seq.0, Ordering::Relaxed);
        follow.authorized.fetch_max(head.seq.0, Ordering::Relaxed);
        follow.is_active.store(true, Ordering::Release);
        true
    }

    /// Ends a session's following of a room.
    pub fn unfollow(&self, room: &RoomId, session: &Session) {
        self.unfollow_before(room, session, Seq(u64::MAX));
    }

    /// Ends a session's following of a room, unless its right to read was seen at `version` or later.
    fn unfollow_before(&self, room: &RoomId, session: &Session, version: Seq) {
        // Held throughout, so that a session's own list and the room's never disagree.
        let mut follows = session.follows();
        let mut shard = self.write(room);
        if let Some(entry) = shard.get_mut(room) {
            let mut followers = entry.parts[self.worker_of(session)].write();
            if let Some(follow) = followers.get(&session.no) {
                if follow.authorized.load(Ordering::Relaxed) >= version.0 {
                    return;
                }
                // A fan-out that has it in hand stops here.
                follow.is_active.store(false, Ordering::Release);
                followers.remove(&session.no);
            }
            drop(followers);
            if entry.parts.iter().all(|part| part.read().is_empty()) {
                shard.remove(room);
            }
        }
        if let Ok(at) = follows.binary_search_by(|(r, _)| r.cmp(room)) {
            follows.remove(at);
        }
    }

    /// Ends all that a session follows.
    pub fn unfollow_all(&self, session: &Session) {
        let rooms: Vec<RoomId> = session
            .follows()
            .iter()
            .map(|(room, _)| room.clone())
            .collect();
        for room in rooms {
            self.unfollow(&room, session);
        }
        *session.follows() = Vec::new();
    }

    /// Notes a head that was heard of without its events: pings will name it.
    pub fn heard_head(&self, room: &RoomId, head: Position) {
        if let Some(room) = self.read(room).get(room) {
            room.head.raise(head);
        }
    }

    /// Delivers events, or has them delivered. Gives the count of jobs that what follows has to stay
    /// behind; none when all was done on the spot.
    fn fan_out(&self, batch: Batch, room: &RoomId) -> Option<Arc<AtomicU32>> {
        let shard = self.read(room);
        let room = shard.get(room)?;
        room.head.raise(batch.head());
        if let Some(few) = room.few() {
            drop(shard);
            few.iter().for_each(|follow| follow.deliver(&batch));
            self.metrics
                .deliveries
                .increment((few.len() * batch.len()) as u64);
            return None;
        }
        let batch = Arc::new(batch);
        for (worker, part) in self.workers.iter().zip(&room.parts) {
            if part.read().is_empty() {
                continue;
            }
            let (part, batch) = (Arc::clone(part), Arc::clone(&batch));
            let job = Job::Events {
                part,
                batch,
                pending: Pending::of(&room.pending),
            };
            // A batch that finds no place is lost to these followers: the next ping tells them.
            if let Err(lost) = worker.try_send(job) {
                drop(lost);
                self.metrics.fanout_lost.increment(1);
            }
        }
        Some(Arc::clone(&room.pending))
    }

    /// Tells a person's sessions how they stand to a room now, behind the events that say so.
    fn change(&self, change: MemberChange, behind: Option<&Arc<AtomicU32>>) {
        let change = Arc::new(change);
        for session in self.sessions.of(&change.user) {
            let Some(behind) = behind else {
                worker::perform_change(self, &session, &change);
                continue;
            };
            let worker = &self.workers[self.worker_of(&session)];
            let pending = Pending::of(behind);
            let job = Job::Change {
                session: Arc::clone(&session),
                change: Arc::clone(&change),
                pending,
            };
            // The end of a right to read must not be lost: without a place it is done at once.
            if worker.try_send(job).is_err() {
                worker::perform_change(self, &session, &change);
            }
        }
    }

    fn worker_of(&self, session: &Session) -> usize {
        let workers = self.workers.len() as u64;
        usize::try_from(session.no % workers).expect("less than the number of workers")
    }

    fn shard(&self, room: &RoomId) -> &Shard {
        let mut hasher = DefaultHasher::new();
        room.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % SHARDS as u64).expect("less than 64");
        &self.shards[index]
    }

    fn read(&self, room: &RoomId) -> RwLockReadGuard<'_, HashMap<RoomId, Room>> {
        self.shard(room)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, room: &RoomId) -> RwLockWriteGuard<'_, HashMap<RoomId, Room>> {
        self.shard(room)
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus for Hub {
    fn clip_progress(&self, progress: ClipProgress) {
        let key = SignalKey::Clip(progress.room.clone(), progress.target);
        let push = Push::ClipProgress(clip_progress(&progress));
        self.tell(&progress.room, Notice::signal(push, key));
    }

    fn publish(&self, mut published: Published) {
        let changes = std::mem::take(&mut published.changes);
        let room = published.room.clone();
        let behind = if published.events.is_empty() {
            None
        } else {
            self.fan_out(Batch::new(published), &room)
        };
        if !changes.is_empty()
            && let Some(calls) = self.calls.get().and_then(WeakCalls::upgrade)
        {
            calls.members_changed(&changes);
        }
        for change in changes {
            self.change(change, behind.as_ref());
        }
    }
}
