//! What telling people who are away needs: the log over all rooms, who is here, who wants to hear of all, and
//! where announcements go.

use super::Answer;
use crate::model::{Mentions, RoomKind, User};
use kaiwa_common::id::{ClipId, RoomId, UserId};
use kaiwa_common::position::{Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;

/// The log over all rooms, as the outbox of what people may have to be told. It costs no write of its own.
pub trait Outbox: Send + Sync + 'static {
    /// The place of the newest event.
    fn end(&self) -> Answer<LogPos>;

    /// Up to where people were told; `None` on a database that is older than telling.
    fn cursor(&self) -> Answer<Option<LogPos>>;

    /// Remembers up to where people were told, durable before the answer.
    fn save_cursor(&self, at: LogPos) -> Answer<()>;

    /// The events after a place, ascending; messages as they are now.
    fn read_outbox(&self, after: LogPos, limit: usize) -> Answer<Vec<Logged>>;

    /// Who may have to be told of messages, in the order asked and in one snapshot: who has joined the room
    /// before the message and neither wrote it nor marked it as read. Nobody of one that was deleted: what waits
    /// for the end of quiet hours is asked about again.
    fn candidates(&self, questions: Vec<Question>) -> Answer<Vec<Vec<UserId>>>;
}

/// A place in the log over all rooms: dense in the order of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LogPos(pub u64);

/// An event in the log over all rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Where.
    pub pos: LogPos,
    /// When it was committed.
    pub time: UnixMs,
    /// The message that it posted, unless that was deleted or is a clip's; or the clip, when this is the event by
    /// which its message first shows it as ready and was not deleted since. `None` for any other event.
    pub posted: Option<Box<Posted>>,
}

/// A message, or a clip that is ready, as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Where.
    pub room: RoomId,
    /// Its place in the room's stream.
    pub position: Position,
    /// How the room works.
    pub kind: RoomKind,
    /// Its title; empty for a direct room.
    pub title: String,
    /// How many have joined it.
    pub joined: u32,
    /// Who wrote it.
    pub sender: User,
    /// What it says now.
    pub text: Redacted<String>,
    /// Whom it names now.
    pub mentions: Mentions,
    /// Whose message it replies to.
    pub answers: Option<UserId>,
    /// The clip that is ready: the sender is its uploader, the text its title.
    pub clip: Option<ReadyClip>,
}

/// A clip that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyClip {
    /// Which.
    pub clip: ClipId,
    /// Its message.
    pub message: Seq,
}

/// Who may have to be told of an event?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In which room.
    pub room: RoomId,
    /// Of which event: the message's, or the one by which its clip is ready.
    pub seq: Seq,
    /// The message: of one that was deleted nobody is told.
    pub message: Seq,
    /// Who wrote it, to be left out; `None` leaves nobody out.
    pub sender: Option<UserId>,
    /// Among whom.
    pub among: Among,
    /// At most so many, ascending.
    pub limit: usize,
}

/// Whom a [`Question`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Among {
    /// All members after this one, by id.
    MembersAfter(Option<UserId>),
    /// These, ascending.
    These(Vec<UserId>),
}

/// How somebody stands to a message that was pushed to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// No session of theirs has it.
    Away,
    /// A session has it, but nobody looks at that.
    Received,
    /// A session that somebody looks at has it.
    Looking,
    /// A session that somebody looked at has lost its connection and is waited for until then.
    Returning(UnixMs),
}

/// Who is here. Implemented by the session layer.
pub trait Attendance: Send + Sync + 'static {
    /// How these people stand to an event of a room, in the order asked.
    fn attention(&self, room: &RoomId, at: Position, users: Vec<UserId>) -> Answer<Vec<Attention>>;
}

/// Who wants to hear of every message of a large room. Implemented by whoever keeps people's settings.
pub trait OptIns: Send + Sync + 'static {
    /// Those after this one by id, ascending, at most so many.
    fn opted_in(&self, room: &RoomId, after: Option<UserId>, limit: usize) -> Answer<Vec<UserId>>;
}

/// Takes what people are told at once, past the log. Must not block; at its bound it drops, and counts.
pub trait Announce: Send + Sync + 'static {
    /// Takes one.
    fn announce(&self, announcement: Announcement);
}

/// What people are told at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// Somebody has read a room up to here on one device.
    Read {
        /// Who.
        user: UserId,
        /// Which room.
        room: RoomId,
        /// Up to this event.
        to: Position,
    },
    /// Somebody is called. A ring is named by room, caller and end.
    Ringing {
        /// Who is called.
        user: UserId,
        /// To which room's call.
        room: RoomId,
        /// By whom.
        from: User,
        /// When it is over by itself.
        until: UnixMs,
    },
    /// Nobody needs to answer any more.
    RingOver {
        /// Who was called.
        user: UserId,
        /// To which room's call.
        room: RoomId,
        /// By whom.
        from: User,
        /// When it would have been over by itself.
        until: UnixMs,
        /// Why.
        outcome: RingOutcome,
    },
    /// A clip can never be played: its uploader alone is told.
    ClipFailed {
        /// The uploader.
        user: UserId,
        /// The room whose clip it is.
        room: RoomId,
        /// Which clip.
        clip: ClipId,
        /// What tells this end from another, such as its time: one that fails again after another try is told again.
        version: u64,
        /// Its title.
        title: Redacted<String>,
        /// Why, for people.
        reason: String,
    },
}

/// How a ring ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingOutcome {
    /// The person joined.
    Answered,
    /// They said no.
    Declined,
    /// The caller gave up, or the person is no longer a member.
    Cancelled,
    /// Nobody answered.
    TimedOut,
}
