//! What chat is made of: rooms, members, events, messages. Plain values without behaviour of their own.

mod clip;

pub use clip::{ClipKind, ClipProgress, ClipShown, ClipView};

use kaiwa_common::id::{Cid, RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;

/// How a room works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoomKind {
    /// Two people; one room for each pair.
    Direct,
    /// Members write and read.
    Group,
    /// Owner and moderators write, the others follow.
    Broadcast,
}

/// Who can find a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// By invitation only.
    Private,
    /// Listed, and open to join.
    Public,
}

/// What a member may do in a room; a greater one may all that a smaller one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Guest,
    /// Reads and writes.
    Member,
    /// Also removes messages and people.
    Moderator,
    /// Also gives and takes roles.
    Owner,
}

/// How somebody stands to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Membership {
    /// May join, reads nothing yet.
    Invited,
    /// Is in it.
    Joined,
    /// Was in it, or never was.
    Left,
}

/// A person as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The name to show; may be empty.
    pub name: Redacted<String>,
}

/// One change to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub room: RoomId,
    /// Its place in the room's stream.
    pub position: Position,
    /// When it was committed; never smaller than its predecessor's.
    pub time: UnixMs,
    /// Whose command made it.
    pub sender: UserId,
    /// The command's idempotency key.
    pub cid: Option<Cid>,
    /// What changed.
    pub body: EventBody,
}

/// What changed in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventBody {
    /// A message. After its deletion the text is `None`.
    Posted {
        /// What it says.
        text: Option<Redacted<String>>,
        /// The message it replies to.
        reply_to: Option<Seq>,
        /// Whom it names.
        mentions: Mentions,
        /// The clip that it shows, as it was shown then; the text is its title. Boxed: few messages have one.
        clip: Option<Box<ClipView>>,
    },
    /// Another text for a message. After its deletion the text is `None`.
    Edited {
        /// Which message.
        target: Seq,
        /// What it says now.
        text: Option<Redacted<String>>,
        /// Whom it names now.
        mentions: Mentions,
    },
    /// A message's text is gone.
    Deleted {
        /// Which message.
        target: Seq,
    },
    /// A clip's message shows it in another state; `None` after the message's deletion.
    ClipChanged {
        /// Which message.
        target: Seq,
        /// So it is shown now.
        clip: Option<Box<ClipView>>,
    },
    /// Somebody's part in the room.
    Member {
        /// Whose.
        user: User,
        /// How they stand to it now.
        membership: Membership,
        /// What they may do now.
        role: Role,
    },
    /// The first event of every room.
    Created {
        /// How it works.
        kind: RoomKind,
        /// Its title; empty for a direct room.
        title: String,
        /// Who can find it.
        visibility: Visibility,
    },
}

/// What somebody may do in a room, as a part of the server asks that is not chat; a greater one may all that a
/// smaller one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rights {
    /// Nothing: for them it does not exist, or they have not joined.
    Nothing,
    /// Reads.
    Read,
    /// Also posts.
    Write,
    /// Also removes what others posted.
    Moderate,
}

/// Whom a message names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mentions {
    /// These, ascending, each once.
    pub users: Vec<UserId>,
    /// Everybody in the room.
    pub all: bool,
}

impl Mentions {
    /// Nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && !self.all
    }

    /// Whether it names this person.
    #[must_use]
    pub fn names(&self, user: &UserId) -> bool {
        self.all || self.users.binary_search(user).is_ok()
    }
}

/// A message as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The seq of the event that posted it.
    pub seq: Seq,
    /// Who wrote it.
    pub sender: User,
    /// Its idempotency key.
    pub cid: Option<Cid>,
    /// When.
    pub time: UnixMs,
    /// What it says; `None` when deleted.
    pub text: Option<Redacted<String>>,
    /// The message it replies to.
    pub reply_to: Option<Seq>,
    /// By which event and when it was last edited.
    pub edited: Option<(Seq, UnixMs)>,
    /// By which event and when it was deleted.
    pub deleted: Option<(Seq, UnixMs)>,
    /// Whom it names; nobody when deleted.
    pub mentions: Mentions,
    /// Of a clip's message: the clip as it is now; `None` when deleted.
    pub clip: Option<Box<ClipView>>,
}

/// A room as one person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo {
    /// Which room.
    pub room: RoomId,
    /// How it works.
    pub kind: RoomKind,
    /// Its title; empty for a direct room.
    pub title: String,
    /// Who can find it.
    pub visibility: Visibility,
    /// When it was created.
    pub created: UnixMs,
    /// Where its stream ends.
    pub head: Position,
    /// How many have joined.
    pub members: u32,
    /// The viewer's own standing.
    pub membership: Membership,
    /// The viewer's own role.
    pub role: Role,
    /// In a direct room: the other person.
    pub peer: Option<User>,
    /// The newest message, if the viewer may read it.
    pub last: Option<Message>,
    /// What the viewer has read of it; nothing where that is not known ([`Unread`]).
    pub unread: Unread,
}

/// How far somebody has read a room, and what is left. Only the store knows it, so what comes from a room's
/// owner has the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unread {
    /// The last event that they have marked as read; [`Seq::ZERO`] for never.
    pub read: Seq,
    /// Messages of others after that and after they joined, deleted ones left out, at most
    /// [`UNREAD`](kaiwa_common::limits::UNREAD).
    pub count: u32,
    /// Those of them that name this person.
    pub mentions: u32,
}

/// What came of marking a room as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// Where the room's stream ends: up to there it is counted.
    pub head: Position,
    /// How it stands now.
    pub unread: Unread,
    /// The mark moved.
    pub has_moved: bool,
}

/// A member as others see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: User,
    /// Invited or joined.
    pub membership: Membership,
    /// What they may do.
    pub role: Role,
}

/// Who commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub user: User,
    /// What they may do on the whole server.
    pub role: ServerRole,
}

/// A command that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Posts a message.
    Send {
        /// Where.
        room: RoomId,
        /// The idempotency key.
        cid: Cid,
        /// What it says.
        text: Redacted<String>,
        /// The message it replies to.
        reply_to: Option<Seq>,
        /// Whom it names.
        mentions: Mentions,
    },
    /// Changes one's own message.
    Edit {
        /// Where.
        room: RoomId,
        /// The idempotency key.
        cid: Cid,
        /// Which message.
        target: Seq,
        /// What it shall say.
        text: Redacted<String>,
        /// Whom it shall name.
        mentions: Mentions,
    },
    /// Erases a message.
    Delete {
        /// Where.
        room: RoomId,
        /// The idempotency key.
        cid: Cid,
        /// Which message.
        target: Seq,
    },
    /// Posts a clip for its uploader, who is the actor; the clip's id is the key, and the message after which it is
    /// posted anew. Made by [`Chat`] alone, as the two that follow: no client's command comes to them.
    ///
    /// [`Chat`]: crate::service::Chat
    PostClip {
        /// Where.
        room: RoomId,
        /// So it is shown.
        clip: Box<ClipView>,
        /// Its message there that was deleted, if it is posted anew.
        after: Option<Seq>,
    },
    /// Shows a clip's message otherwise, whoever the actor is.
    ShowClip {
        /// Where.
        room: RoomId,
        /// Which message.
        target: Seq,
        /// So it is shown now.
        clip: Box<ClipView>,
    },
    /// Erases a clip's message, whoever the actor is.
    RemoveClip {
        /// Where.
        room: RoomId,
        /// Which message.
        target: Seq,
    },
    /// Opens the one room of a pair, creating it the first time.
    OpenDirect {
        /// The other person.
        peer: UserId,
    },
    /// Creates a group or broadcast room.
    Create(NewRoom),
    /// Joins a public room or accepts an invitation.
    Join {
        /// Where.
        room: RoomId,
    },
    /// Leaves, or declines an invitation.
    Leave {
        /// Where.
        room: RoomId,
    },
    /// Invites somebody.
    Invite {
        /// Where.
        room: RoomId,
        /// Whom.
        user: UserId,
    },
    /// Removes somebody, or takes an invitation back.
    Remove {
        /// Where.
        room: RoomId,
        /// Whom.
        user: UserId,
    },
    /// Gives somebody another role.
    SetRole {
        /// Where.
        room: RoomId,
        /// Whom.
        user: UserId,
        /// Which role.
        role: Role,
    },
}

/// A group or broadcast room to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoom {
    /// The idempotency key.
    pub cid: Cid,
    /// Group or broadcast.
    pub kind: RoomKind,
    /// 1 to [`TITLE_CHARS`](kaiwa_common::limits::TITLE_CHARS) characters.
    pub title: String,
    /// Who can find it.
    pub visibility: Visibility,
    /// Whom to invite.
    pub invite: Vec<UserId>,
}

/// What a write gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The change's place in its room's log.
    Committed(Committed),
    /// The room as the writer sees it now (create, open, join).
    Room(Box<RoomInfo>),
}

/// A change's place in its room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Which room.
    pub room: RoomId,
    /// Where in it.
    pub position: Position,
    /// When.
    pub time: UnixMs,
    /// It was there before: this is a retry.
    pub dup: bool,
}

/// Why a position cannot be continued: the reader must start from `history`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetReason {
    /// The stream was made anew.
    Epoch,
    /// The position is beyond the head.
    Ahead,
    /// There is too much between the position and the head.
    TooFarBehind,
}

/// A stretch of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// Where the stream ends.
    pub head: Position,
    /// In order, without holes, beginning right after the position asked for.
    pub events: Vec<Event>,
    /// There are more after the last one.
    pub more: bool,
}

/// What reading on from a position gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatchUp {
    /// What was missed.
    Events(EventPage),
    /// It cannot be continued.
    Reset {
        /// Where the stream ends.
        head: Position,
        /// Why.
        reason: ResetReason,
    },
}

/// Where a page of history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryFrom {
    /// The newest messages.
    Newest,
    /// The newest ones with a smaller seq.
    Before(Seq),
    /// The oldest ones with a greater seq.
    After(Seq),
}

/// Messages as they are now, by ascending seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// Which stream.
    pub epoch: Epoch,
    /// The messages.
    pub messages: Vec<Message>,
    /// They show every event up to this one, and none after it.
    pub as_of: Seq,
    /// There are more in the direction asked for.
    pub more: bool,
}

/// A page of something, and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// To be given back for the next page; `None` at the end.
    pub next: Option<String>,
}
