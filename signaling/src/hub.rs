//! Fan-out: which sessions follow which room, and what they are pushed.
//!
//! Rooms are spread over shards by their hash, so that a large room's fan-out stops only its own
//! shard's joins. Events are encoded once per codec and shared by all who get them.

mod frames;

use crate::metrics::Metrics;
use crate::session::Session;
use crate::session::registry::Sessions;
use frames::{Batch, state_push};
use kaiwa_chat::bus::{Bus, MemberChange, Published};
use kaiwa_chat::model::Membership;
use kaiwa_common::id::RoomId;
use kaiwa_common::position::{Epoch, Position, Seq};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Shards of rooms. Sixteen times the cores of the machines that it usually runs on: two large rooms
/// seldom share one.
const SHARDS: usize = 64;

/// A session that follows a room.
pub struct Follow {
    session: Arc<Session>,
    /// Nothing is pushed before the right to read was checked.
    is_active: AtomicBool,
    /// The last seq that this session was pushed, or told as the head.
    announced: AtomicU64,
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
}

#[derive(Default)]
struct Room {
    head: Arc<Head>,
    /// By the session's number.
    followers: BTreeMap<u64, Arc<Follow>>,
}

type Shard = RwLock<HashMap<RoomId, Room>>;

/// Who follows what on this node.
pub struct Hub {
    shards: Box<[Shard]>,
    sessions: Arc<Sessions>,
    metrics: Metrics,
}

impl Hub {
    /// Nobody follows anything yet.
    #[must_use]
    pub fn new(sessions: Arc<Sessions>, metrics: Metrics) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            sessions,
            metrics,
        }
    }

    /// Lets a session follow a room; nothing is pushed until [`Self::activate`].
    pub fn follow(&self, room: &RoomId, session: &Arc<Session>) -> Arc<Follow> {
        let mut shard = self.write(room);
        let entry = shard.entry(room.clone()).or_default();
        let head = &entry.head;
        let follow = entry.followers.entry(session.no).or_insert_with(|| {
            Arc::new(Follow {
                session: Arc::clone(session),
                is_active: AtomicBool::new(false),
                announced: AtomicU64::new(0),
                head: Arc::clone(head),
            })
        });
        Arc::clone(follow)
    }

    /// Begins to push, now that the right to read was seen at `head`; false when the session was
    /// taken out of the room meanwhile.
    pub fn activate(&self, room: &RoomId, session: &Session, head: Position) -> bool {
        let shard = self.read(room);
        let Some(follow) = shard.get(room).and_then(|r| r.followers.get(&session.no)) else {
            return false;
        };
        follow.head.raise(head);
        follow.announced.fetch_max(head.seq.0, Ordering::Relaxed);
        follow.is_active.store(true, Ordering::Release);
        true
    }

    /// Ends a session's following of a room.
    pub fn unfollow(&self, room: &RoomId, session: &Session) {
        {
            let mut follows = session.follows();
            if let Ok(at) = follows.binary_search_by(|(r, _)| r.cmp(room)) {
                follows.remove(at);
            }
        }
        let mut shard = self.write(room);
        if let Some(entry) = shard.get_mut(room) {
            entry.followers.remove(&session.no);
            if entry.followers.is_empty() {
                shard.remove(room);
            }
        }
    }

    /// Ends all that a session follows.
    pub fn unfollow_all(&self, session: &Session) {
        let follows = std::mem::take(&mut *session.follows());
        for (room, _) in follows {
            self.unfollow(&room, session);
        }
    }

    /// Notes a head that was heard of without its events: pings will name it.
    pub fn heard_head(&self, room: &RoomId, head: Position) {
        if let Some(room) = self.read(room).get(room) {
            room.head.raise(head);
        }
    }

    fn fan_out(&self, published: &Published) {
        let Some(last) = published.events.last() else {
            return;
        };
        let shard = self.read(&published.room);
        let Some(room) = shard.get(&published.room) else {
            return;
        };
        room.head.raise(last.position);
        let batch = Batch::new(published);
        let mut deliveries = 0;
        for follow in room.followers.values() {
            if !follow.is_active.load(Ordering::Acquire) {
                continue;
            }
            follow
                .announced
                .fetch_max(last.position.seq.0, Ordering::Relaxed);
            for push in batch.pushes(follow.session.codec()) {
                follow.session.push(push.clone());
            }
            deliveries += published.events.len() as u64;
        }
        self.metrics.deliveries.increment(deliveries);
    }

    /// Tells a person's sessions how they stand to a room now, and ends what they may not read.
    fn change(&self, change: &MemberChange) {
        for session in self.sessions.of(&change.user) {
            session.push(state_push(session.codec(), change));
            if change.info.membership != Membership::Joined {
                self.unfollow(&change.info.room, &session);
            }
        }
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
    fn publish(&self, published: Published) {
        self.fan_out(&published);
        for change in &published.changes {
            self.change(change);
        }
    }
}
