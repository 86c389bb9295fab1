//! What everybody saw, for the checker to judge afterwards.

use kaiwa_proto::client::v1::{Event, Message, event};
use std::hash::{DefaultHasher, Hash, Hasher};

/// All that is known after a storm.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// What each person did and saw.
    pub journals: Vec<Journal>,
    /// What the rooms hold in the end.
    pub rooms: Vec<RoomRecord>,
}

/// One person's log.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// Who: their user id.
    pub person: String,
    /// The rooms that they followed, each from its first event.
    pub follows: Vec<String>,
    /// Everything, in the order in which it happened to them.
    pub entries: Vec<Entry>,
}

/// What a write is about. The text's hash stands for the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// A message with this text.
    Posted {
        /// The text's hash.
        text: u64,
    },
    /// Another text for a message.
    Edited {
        /// The message.
        target: u64,
        /// The new text's hash.
        text: u64,
    },
    /// A message is gone.
    Deleted {
        /// The message.
        target: u64,
    },
    /// A post whose text was erased by a later delete.
    PostedErased,
    /// An edit whose text was erased by a later delete.
    EditedErased {
        /// The message.
        target: u64,
    },
    /// Membership and the room's creation: not written by the storm.
    Other,
}

/// An event as somebody saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which stream.
    pub epoch: u32,
    /// Its place.
    pub seq: u64,
    /// Who wrote it.
    pub sender: String,
    /// The write's key.
    pub cid: String,
    /// When it was committed.
    pub time_ms: i64,
    /// What it says.
    pub content: Content,
}

/// What was being done to the server when a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Running,
    /// It was killed.
    Killed,
    /// It was told to end, and had to say `bye`.
    Draining,
}

/// One thing that happened to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A write was handed to the client.
    Sent {
        /// Where.
        room: String,
        /// Its key.
        cid: String,
        /// What.
        content: Content,
    },
    /// It was acknowledged.
    Acked {
        /// Where.
        room: String,
        /// Its key.
        cid: String,
        /// Which stream.
        epoch: u32,
        /// Its place.
        seq: u64,
        /// The server knew it already.
        dup: bool,
        /// A temporary error put it off, so others may have overtaken it.
        delayed: bool,
        /// It was acknowledged before, and sent again on purpose.
        repeat: bool,
    },
    /// It was refused for good.
    Refused {
        /// Where.
        room: String,
        /// Its key.
        cid: String,
        /// The error's code.
        code: u32,
    },
    /// An event came as a push.
    Pushed {
        /// Where.
        room: String,
        /// Its place.
        seq: u64,
    },
    /// The server left out events up to `head`.
    Gap {
        /// Where.
        room: String,
        /// Up to here.
        head: u64,
    },
    /// The client gave an event to the app.
    Delivered {
        /// Where.
        room: String,
        /// What.
        event: Seen,
    },
    /// A connection is up.
    Connected {
        /// With this session.
        session: String,
        /// Which goes on.
        resumed: bool,
    },
    /// A connection that was up is gone.
    Lost {
        /// The code of its `bye`.
        bye: Option<u32>,
        /// The person cut it.
        cut: bool,
        /// What was being done to the server.
        server: Fate,
    },
    /// The client saw the server break the protocol, or threw a room away.
    Fault(String),
}

/// What a room holds in the end.
#[derive(Debug, Clone, Default)]
pub struct RoomRecord {
    /// Its id.
    pub room: String,
    /// Its stream.
    pub epoch: u32,
    /// The last event that the server names.
    pub head: u64,
    /// Its log, read from the first event.
    pub log: Vec<Event>,
    /// Its history, read page by page.
    pub history: Vec<Message>,
}

/// A text's hash.
#[must_use]
pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl From<&Event> for Seen {
    fn from(event: &Event) -> Self {
        let content = match &event.body {
            Some(event::Body::Message(m)) if m.erased => Content::PostedErased,
            Some(event::Body::Message(m)) => Content::Posted {
                text: hash(&m.text),
            },
            Some(event::Body::Edited(e)) if e.erased => Content::EditedErased { target: e.target },
            Some(event::Body::Edited(e)) => Content::Edited {
                target: e.target,
                text: hash(&e.text),
            },
            Some(event::Body::Deleted(d)) => Content::Deleted { target: d.target },
            Some(
                event::Body::ClipChanged(_) | event::Body::Member(_) | event::Body::Created(_),
            )
            | None => Content::Other,
        };
        Self {
            epoch: event.epoch,
            seq: event.seq,
            sender: event.sender.clone(),
            cid: event.cid.clone(),
            time_ms: event.time_ms,
            content,
        }
    }
}

impl Content {
    /// Whether this is what `written` became, a text that was erased since included.
    #[must_use]
    pub fn is(self, written: Self) -> bool {
        match (self, written) {
            (Self::PostedErased, Self::Posted { .. }) => true,
            (Self::EditedErased { target }, Self::Edited { target: wanted, .. }) => {
                target == wanted
            }
            (seen, written) => seen == written,
        }
    }

    /// Whether a write of the storm can have made it.
    #[must_use]
    pub fn is_written(self) -> bool {
        self != Self::Other
    }
}
