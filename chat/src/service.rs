//! The chat service: takes commands in order, keeps the rooms' logs, tells the bus.
//!
//! A handle sends each write to the shard that owns its room (by hash); a shard is one task that runs
//! the cores of its rooms and performs their effects. Reads go to the store directly: it holds only
//! what is committed, and each read checks the reader's standing in its own snapshot.

mod admission;
mod clips;
mod housekeeping;
mod reads;
mod shard;

use crate::bus::Bus;
use crate::core::{Command, RoomLimits, Ticket};
use crate::error::ChatError;
use crate::model::{
    Actor, CatchUp, HistoryFrom, HistoryPage, Marked, Member, NewRoom, Page, RoomInfo, Write,
    Written,
};
use crate::ports::{RoomList, Store, StoreError, UnreadTotal};
use admission::Admission;
use housekeeping::Housekeeping;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::Limits;
use kaiwa_common::position::Position;
use kaiwa_common::time::UnixMs;
use shard::{Arrival, Bells, Shard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, mpsc, oneshot};

pub use shard::ShardStats;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> UnixMs + Send + Sync>;

/// How the service runs.
#[derive(Clone)]
pub struct ChatOptions {
    /// The bounds.
    pub limits: Limits,
    /// Tasks that own rooms; one for each core is enough.
    pub shards: usize,
    /// The clock; the operating system's unless a test has its own.
    pub clock: Clock,
}

impl Default for ChatOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            clock: Arc::new(UnixMs::now),
        }
    }
}

/// A handle to the chat service; cheap to clone. With the last one its tasks end.
#[derive(Clone)]
pub struct Chat {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    limits: Limits,
    shards: Vec<mpsc::UnboundedSender<Arrival>>,
    stats: Arc<ShardStats>,
    admission: Admission,
    next_ticket: AtomicU64,
    housekeeping: Housekeeping,
    bells: Bells,
}

impl Chat {
    /// Starts the service: its shards, and a task that keeps house. Must be called within a tokio
    /// runtime.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, bus: Arc<dyn Bus>, options: ChatOptions) -> Self {
        let stats = Arc::new(ShardStats::default());
        let mut shards = Vec::new();
        let mut cleaners = Vec::new();
        let bells = Bells::default();
        for _ in 0..options.shards.max(1) {
            let (arrivals, mailbox) = mpsc::unbounded_channel();
            let shard = Shard::new(
                (Arc::clone(&store), Arc::clone(&bus)),
                RoomLimits::from(&options.limits),
                Arc::clone(&options.clock),
                (Arc::clone(&stats), bells.clone()),
            );
            cleaners.push(shard.erasures());
            tokio::spawn(shard.run(mailbox));
            shards.push(arrivals);
        }
        let housekeeping = Housekeeping::new(Arc::clone(&store), options.clock, cleaners);
        let inner = Arc::new(Inner {
            store,
            bus,
            limits: options.limits,
            shards,
            stats,
            admission: Admission::default(),
            next_ticket: AtomicU64::new(0),
            housekeeping,
            bells,
        });
        tokio::spawn(housekeeping::run(Arc::downgrade(&inner)));
        Self { inner }
    }

    /// Takes a write. Writes that one caller submits one after the other are taken in that order.
    /// Returns at once; the result comes from the future, which may be dropped without undoing it.
    ///
    /// # Errors
    /// The future's: why the write is refused. [`ChatError::Overloaded`] and [`ChatError::Draining`]
    /// are decided before anything is queued.
    pub fn submit(
        &self,
        actor: &Actor,
        write: Write,
    ) -> impl Future<Output = Result<Written, ChatError>> + Send + use<> {
        let reply = self.send(actor, write);
        async move {
            match reply {
                // The room's task panicked with the command: it may have been written.
                Ok(reply) => reply.await.unwrap_or(Err(ChatError::Unavailable)),
                Err(error) => Err(error),
            }
        }
    }

    fn send(
        &self,
        actor: &Actor,
        write: Write,
    ) -> Result<oneshot::Receiver<Result<Written, ChatError>>, ChatError> {
        let room = room_of(&actor.user.id, &write)?;
        let permit = self.inner.admission.admit(&write)?;
        let (reply, answer) = oneshot::channel();
        let ticket = Ticket(self.inner.next_ticket.fetch_add(1, Ordering::Relaxed));
        let command = Command::new(ticket, actor.clone(), write);
        let shard = &self.inner.shards[shard_of(&room, self.inner.shards.len())];
        let arrival = Arrival {
            room,
            command,
            reply,
            permit,
        };
        shard.send(arrival).map_err(|_| ChatError::Draining)?;
        Ok(answer)
    }

    /// Remembers a person's name; called when they connect.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] when the store fails.
    pub async fn seen(&self, actor: &Actor) -> Result<(), ChatError> {
        self.inner.store.seen(&actor.user).await.map_err(refusal)
    }

    /// May this person read these rooms? In the order asked, with each room's head.
    pub async fn authorize_read(
        &self,
        actor: &Actor,
        rooms: Vec<RoomId>,
    ) -> Vec<Result<Position, ChatError>> {
        reads::authorize(&*self.inner.store, actor, rooms).await
    }

    /// What was missed after these positions, at most `max_events` over all of them. A position of
    /// epoch 0 and seq 0 knows nothing and wants only the head: an empty page without `more`.
    pub async fn catch_up(
        &self,
        actor: &Actor,
        after: Vec<(RoomId, Position)>,
        max_events: usize,
    ) -> Vec<Result<CatchUp, ChatError>> {
        reads::catch_up(&*self.inner.store, actor, after, max_events).await
    }

    /// A page of messages as they are now.
    ///
    /// # Errors
    /// When the room can't be read.
    pub async fn history(
        &self,
        actor: &Actor,
        room: &RoomId,
        from: HistoryFrom,
        limit: usize,
    ) -> Result<HistoryPage, ChatError> {
        let limit = self.page(limit);
        reads::history(&*self.inner.store, actor, room, from, limit).await
    }

    /// A room as this person sees it.
    ///
    /// # Errors
    /// When it does not exist for them.
    pub async fn room(&self, actor: &Actor, room: &RoomId) -> Result<RoomInfo, ChatError> {
        reads::room(&*self.inner.store, actor, room).await
    }

    /// The person's rooms and invitations.
    ///
    /// # Errors
    /// A cursor that was not given out, or a store that fails.
    pub async fn rooms(
        &self,
        actor: &Actor,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<RoomInfo>, ChatError> {
        let page = reads::room_page(cursor, self.page(limit))?;
        reads::rooms(&*self.inner.store, actor, RoomList::Own, page).await
    }

    /// Public rooms.
    ///
    /// # Errors
    /// A cursor that was not given out, or a store that fails.
    pub async fn browse(
        &self,
        actor: &Actor,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<RoomInfo>, ChatError> {
        let page = reads::room_page(cursor, self.page(limit))?;
        reads::rooms(&*self.inner.store, actor, RoomList::Public, page).await
    }

    /// A room's members.
    ///
    /// # Errors
    /// When the room can't be read.
    pub async fn members(
        &self,
        actor: &Actor,
        room: &RoomId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, ChatError> {
        let page = reads::member_page(cursor, self.page(limit))?;
        reads::members(&*self.inner.store, actor, room, page).await
    }

    /// Marks a room as read up to an event. It never moves back; what is marked already changes nothing.
    ///
    /// # Errors
    /// When the room can't be read, or the event is not in its stream ([`ChatError::Invalid`]).
    pub async fn mark(
        &self,
        actor: &Actor,
        room: &RoomId,
        to: Position,
    ) -> Result<Marked, ChatError> {
        reads::mark(&*self.inner.store, actor, room, to).await
    }

    /// What somebody has not read in all rooms that they have joined but these: their badge, when these are
    /// the muted ones.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] when the store fails.
    pub async fn unread_of(
        &self,
        user: &UserId,
        except: &[RoomId],
    ) -> Result<UnreadTotal, ChatError> {
        self.inner
            .store
            .unread_of(user, except)
            .await
            .map_err(refusal)
    }

    /// Is told after each commit of any room, once for all that came since it was last awaited. For one waiter.
    #[must_use]
    pub fn committed(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.bells.committed)
    }

    /// Is told after a message of any room was deleted, as [`Self::committed`]. For one waiter.
    #[must_use]
    pub fn deleted(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.bells.deleted)
    }

    /// Takes no more writes, and returns when those taken are answered.
    pub async fn drain(&self) {
        self.inner.admission.drain().await;
    }

    /// Does now what is else done every few seconds and minutes: cleans the store's journals of erased
    /// texts, and forgets cids that are too old to come again.
    pub async fn keep_house(&self) {
        self.inner.housekeeping.scrub().await;
        self.inner.housekeeping.purge().await;
    }

    /// Counters of the service.
    #[must_use]
    pub fn stats(&self) -> &ShardStats {
        &self.inner.stats
    }

    /// An asked page size: 0 is the server's, and more than that is that.
    fn page(&self, asked: usize) -> usize {
        let most = usize::try_from(self.inner.limits.page)
            .unwrap_or(usize::MAX)
            .max(1);
        if asked == 0 { most } else { asked.min(most) }
    }
}

impl std::fmt::Debug for Chat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chat")
            .field("stats", &self.inner.stats)
            .finish_non_exhaustive()
    }
}

/// The room that a write is about; for one that may have to be made, the id that it gets.
fn room_of(actor: &UserId, write: &Write) -> Result<RoomId, ChatError> {
    match write {
        Write::Send { room, .. }
        | Write::Edit { room, .. }
        | Write::Delete { room, .. }
        | Write::PostClip { room, .. }
        | Write::ShowClip { room, .. }
        | Write::RemoveClip { room, .. }
        | Write::Join { room }
        | Write::Leave { room }
        | Write::Invite { room, .. }
        | Write::Remove { room, .. }
        | Write::SetRole { room, .. } => Ok(room.clone()),
        Write::OpenDirect { peer } if peer == actor => Err(ChatError::Invalid {
            field: "members",
            rule: "somebody else",
        }),
        Write::OpenDirect { peer } => Ok(RoomId::direct(actor, peer)),
        Write::Create(NewRoom { cid, .. }) => Ok(created_id(actor, cid)),
    }
}

/// The id of the room that a creation makes: 122 bits of the SHA-256 of creator and cid, as a UUIDv8
/// (RFC 9562, section 5.8).
///
/// So a retry, also one that runs beside the first try or comes after a restart, meets the same room
/// in the same shard, and no table from cids to rooms is needed.
fn created_id(creator: &UserId, cid: &kaiwa_common::id::Cid) -> RoomId {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(cid.as_bytes());
    context.update(creator.as_str().as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    RoomId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// FNV-1a: the same in every process and build, unlike the standard hasher.
fn shard_of(room: &RoomId, shards: usize) -> usize {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = room.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let shards = shards as u64;
    usize::try_from((hash ^ (hash >> 32)) % shards).expect("less than a usize")
}

fn refusal(error: StoreError) -> ChatError {
    match error {
        StoreError::Overloaded => ChatError::Overloaded,
        StoreError::Failed | StoreError::Unknown => ChatError::Unavailable,
    }
}
