//! Ports: what chat needs of a store. Every adapter passes the suite in `tests/conformance.rs`.

use crate::model::{
    Event, HistoryFrom, HistoryPage, Marked, Member, Membership, Message, Page, Role, RoomInfo,
    RoomKind, User, Visibility,
};
use kaiwa_common::id::{Cid, ClipId, RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

mod notify;

pub use notify::{
    Among, Announce, Announcement, Attendance, Attention, LogPos, Logged, OptIns, Outbox, Posted,
    Question, ReadyClip, RingOutcome,
};

/// A store's answer to come. An append is queued when its method returns, in the caller's order, and
/// dropping the answer does not take it back; reads begin when they are first polled.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Everything that chat needs of a store.
pub trait Store: RoomLog + RoomViews + Marks {}

impl<T: RoomLog + RoomViews + Marks> Store for T {}

/// Why a store gives no answer, by what a caller can know of its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too much is waiting; nothing happened.
    #[error("the store is overloaded")]
    Overloaded,
    /// It failed, and nothing happened.
    #[error("the store failed")]
    Failed,
    /// It failed, and what was asked may have happened or may still happen: read before the next write.
    #[error("the store failed, and may have done it")]
    Unknown,
}

/// The side that a room's owner writes through and works from.
pub trait RoomLog: Send + Sync + 'static {
    /// Appends events to a room's log and updates its projection, all or nothing, durable before the
    /// answer. `expected` is the fence: of two owners with the same idea of the head, one gets through.
    fn append(&self, append: &Append) -> Answer<Appended>;

    /// What the owner of a room has to know to begin; `None` when there is no such room.
    fn load(&self, room: &RoomId) -> Answer<Option<RoomRecord>>;

    /// Looks things up that a command depends on, in one snapshot.
    fn facts(&self, room: &RoomId, wanted: Wanted) -> Answer<Facts>;

    /// Remembers a person and the name to show.
    fn seen(&self, user: &User) -> Answer<()>;

    /// Forgets at most `limit` cids that were made before this time; says how many.
    fn purge_cids(&self, made_before: UnixMs, limit: usize) -> Answer<usize>;

    /// Makes sure that what was erased is in no file of the store any more, journals included.
    fn scrub(&self) -> Answer<()>;
}

/// The side that people read. No permission is checked here.
pub trait RoomViews: Send + Sync + 'static {
    /// How a person stands to these rooms, in their order; `None` for a room that does not exist.
    fn standings(&self, user: &UserId, rooms: Vec<RoomId>) -> Answer<Vec<Option<Standing>>>;

    /// The last event by which somebody who had joined the room no longer had, whether they left or were removed;
    /// [`Seq::ZERO`] for none, also where that was before the store kept it. `None` when there is no such room.
    fn revocation(&self, room: &RoomId) -> Answer<Option<Seq>>;

    /// Stretches of logs in one snapshot, in the order asked, each with the person's standing.
    fn read_logs(&self, user: &UserId, ranges: Vec<LogRange>) -> Answer<Vec<LogSlice>>;

    /// A page of messages as they are now, with the standing and `as_of` of the same snapshot; `None`
    /// when there is no such room.
    fn history(
        &self,
        user: &UserId,
        room: &RoomId,
        from: HistoryFrom,
        limit: usize,
    ) -> Answer<Option<(Standing, HistoryPage)>>;

    /// A room as a person sees it: `last` only when they have joined, `Left` and `Guest` when they have
    /// no part in it.
    fn view(&self, user: &UserId, room: &RoomId) -> Answer<Option<RoomInfo>>;

    /// The rooms that a person has joined or is invited to, or all public rooms; the most recently
    /// created first.
    fn rooms(&self, user: &UserId, list: RoomList, page: PageOf) -> Answer<Page<RoomInfo>>;

    /// A room's members by ascending user id, with the reader's standing; `None` when there is no such
    /// room.
    fn members(
        &self,
        user: &UserId,
        room: &RoomId,
        page: PageOf,
    ) -> Answer<Option<(Standing, Page<Member>)>>;
}

/// What people have read. A mark goes with the membership: who comes again begins anew.
pub trait Marks: Send + Sync + 'static {
    /// Moves somebody's mark in a room forward, durable before the answer. `None` when there is no such
    /// room; with their standing `None` when they have not joined it, or `to` is not in its stream.
    fn mark(&self, user: &UserId, room: &RoomId, to: Position) -> Answer<Option<Marking>>;

    /// What somebody has not read in all rooms that they have joined but these, in one snapshot. Each room
    /// costs a look at the end of what is unread, [`UNREAD_SCAN`](kaiwa_common::limits::UNREAD_SCAN) rows at
    /// most, and counting ends at [`UNREAD`](kaiwa_common::limits::UNREAD) in all.
    fn unread_of(&self, user: &UserId, except: &[RoomId]) -> Answer<UnreadTotal> {
        let all = self.unread_of_each(vec![(user.clone(), except.to_vec())]);
        Box::pin(async move { all.await?.pop().ok_or(StoreError::Failed) })
    }

    /// The same for several people, in the order given and in one call.
    fn unread_of_each(&self, people: Vec<(UserId, Vec<RoomId>)>) -> Answer<Vec<UnreadTotal>>;
}

/// How somebody stands to a room, and what came of their mark.
pub type Marking = (Standing, Option<Marked>);

/// What somebody has not read, over rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadTotal {
    /// Messages of others, at most [`UNREAD`](kaiwa_common::limits::UNREAD).
    pub count: u32,
    /// Grows with every event of any room and with every mark: a count with a smaller one is older.
    pub version: u64,
}

/// Events to be appended to one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Which room.
    pub room: RoomId,
    /// Its stream.
    pub epoch: Epoch,
    /// Where the log has to end now; [`Seq::ZERO`] creates the room, and the first event is `Created`.
    pub expected: Seq,
    /// From `expected` + 1 on, dense; not empty.
    pub events: Vec<Event>,
    /// The room's counts after these events.
    pub counts: Counts,
}

/// How many people are in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Have joined.
    pub joined: u32,
    /// Are invited.
    pub invited: u32,
    /// Have joined as owners.
    pub owners: u32,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is on disk.
    Committed,
    /// The log does not end where expected: somebody else wrote. Nothing happened.
    Conflict,
    /// Some of the events' cids were written before, in the log or earlier in this append. Nothing
    /// happened; here is what those cids stand for.
    Duplicate(Vec<(CidKey, FirstResult)>),
}

/// A cid belongs to its sender.
pub type CidKey = (UserId, Cid);

/// What the first write with a cid gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstResult {
    /// Which kind of write it was.
    pub kind: WriteKind,
    /// The event's place.
    pub seq: Seq,
    /// The event's time.
    pub time: UnixMs,
}

/// Kinds of writes that carry a cid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteKind {
    /// A message.
    Send,
    /// An edit.
    Edit,
    /// A deletion.
    Delete,
    /// A room.
    Create,
    /// A clip's message.
    PostClip,
}

/// What the owner of a room begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRecord {
    /// How it works.
    pub kind: RoomKind,
    /// Its title.
    pub title: String,
    /// Who can find it.
    pub visibility: Visibility,
    /// When it was created.
    pub created: UnixMs,
    /// Where its log ends.
    pub head: Position,
    /// The newest event's time.
    pub time: UnixMs,
    /// How many are in it.
    pub counts: Counts,
    /// The newest message.
    pub last: Option<Arc<Message>>,
    /// The two people of a direct room.
    pub pair: Option<Box<[User; 2]>>,
}

/// What is to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Parts in the room.
    pub members: Vec<UserId>,
    /// Messages of the room.
    pub messages: Vec<Seq>,
    /// People.
    pub users: Vec<UserId>,
    /// First results.
    pub cids: Vec<CidKey>,
}

impl Wanted {
    /// Also this.
    pub fn add(&mut self, other: Self) {
        self.members.extend(other.members);
        self.messages.extend(other.messages);
        self.users.extend(other.users);
        self.cids.extend(other.cids);
    }

    /// Each thing once, in order.
    #[must_use]
    pub fn without_doubles(mut self) -> Self {
        sort_out(&mut self.members);
        sort_out(&mut self.messages);
        sort_out(&mut self.users);
        sort_out(&mut self.cids);
        self
    }

    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
            && self.messages.is_empty()
            && self.users.is_empty()
            && self.cids.is_empty()
    }
}

fn sort_out<T: Ord>(items: &mut Vec<T>) {
    items.sort_unstable();
    items.dedup();
}

/// What was found: an entry for everything wanted, `None` where there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Parts in the room; `None` for neither invited nor joined.
    pub members: BTreeMap<UserId, Option<Part>>,
    /// Messages; `None` when the seq is no message's.
    pub messages: BTreeMap<Seq, Option<MessageFact>>,
    /// People; `None` for one who was never seen.
    pub users: BTreeMap<UserId, Option<UserFact>>,
    /// First results.
    pub cids: BTreeMap<CidKey, Option<FirstResult>>,
}

/// Somebody's part in a room. Who has left has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Invited or joined.
    pub membership: Membership,
    /// What they may do.
    pub role: Role,
}

/// What a command has to know of a message that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFact {
    /// Who wrote it.
    pub sender: UserId,
    /// It was deleted.
    pub deleted: bool,
    /// Of a clip's message that was not deleted: which clip, and the version that it shows.
    pub clip: Option<(ClipId, u64)>,
}

/// What a command has to know of a person whom it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFact {
    /// The name to show.
    pub name: Redacted<String>,
    /// In how many rooms they are, invitations included.
    pub rooms: u32,
}

/// How somebody stands to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How it works.
    pub kind: RoomKind,
    /// Who can find it.
    pub visibility: Visibility,
    /// Where its log ends.
    pub head: Position,
    /// Their part in it.
    pub part: Option<Part>,
}

/// A stretch of a log to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRange {
    /// Which room.
    pub room: RoomId,
    /// Events with a greater seq. [`Seq`]`(u64::MAX)` for none, only the standing.
    pub after: Seq,
    /// At most so many.
    pub limit: usize,
}

/// A stretch of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSlice {
    /// How the reader stands to the room; `None` when it does not exist.
    pub standing: Option<Standing>,
    /// Dense, from the one after the range's `after`; it may end before the limit when the events are
    /// large, but holds at least one if there is one.
    pub events: Vec<Event>,
}

/// Which rooms to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomList {
    /// Those that the person is in or invited to.
    Own,
    /// Those that everybody may join.
    Public,
}

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOf {
    /// `next` of the page before; a page after an unknown cursor is [`StoreError::Failed`] or empty.
    pub after: Option<String>,
    /// At most so many entries.
    pub limit: usize,
}
