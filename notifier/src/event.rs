//! What the queues carry, as values. The wire has types of its own (`wire`).

use crate::model::{Badge, Channel, Class, DeviceId, EventId, Urgency};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;

/// Something that people may want to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Repeats have the same.
    pub id: EventId,
    /// When it happened.
    pub time: UnixMs,
    /// Nobody wants to be told after this.
    pub expires: UnixMs,
    /// W3C Trace Context; may be empty.
    pub traceparent: String,
    /// Whom to ask the rules about; nobody for an operator notice.
    pub recipients: Vec<UserId>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message was committed to a room.
    Message(Message),
    /// Somebody calls.
    Call(Call),
    /// A call need not ring any more.
    CallOver(CallOver),
    /// The recipient has read a room elsewhere.
    Read(Place),
    /// A clip is ready, or has failed.
    Clip(Clip),
    /// For an operator.
    Notice(Notice),
}

/// A place in a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The room.
    pub room: RoomId,
    /// Its log's epoch.
    pub epoch: u64,
    /// The event's number, or up to where it was read.
    pub seq: u64,
    /// The message that it is about: the event itself, or the one that shows a clip.
    pub message: u64,
}

/// How a room works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoomKind {
    /// Of two people.
    Direct,
    /// Where all may write.
    Group,
    /// Where few write.
    Broadcast,
}

/// A message, as much of it as a notification shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it stands.
    pub place: Place,
    /// The room's kind.
    pub kind: RoomKind,
    /// Its title; empty for a direct room.
    pub room_title: Redacted<String>,
    /// Who wrote it.
    pub sender: UserId,
    /// Their name.
    pub sender_name: Redacted<String>,
    /// Its beginning.
    pub text: Redacted<String>,
    /// Of the recipients, those whom it mentions or answers.
    pub mentions: Vec<UserId>,
}

/// A call that rings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// In this room.
    pub room: RoomId,
    /// The room's title; may be empty.
    pub room_title: Redacted<String>,
    /// Which call.
    pub id: String,
    /// Who calls.
    pub caller: UserId,
    /// Their name.
    pub caller_name: Redacted<String>,
}

/// A call that need not ring any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOver {
    /// In this room.
    pub room: RoomId,
    /// Which call.
    pub id: String,
    /// Why.
    pub reason: OverReason,
}

/// Why a call stopped ringing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OverReason {
    /// On another device of the same person.
    Answered,
    /// By them.
    Declined,
    /// Nobody answered.
    TimedOut,
    /// The caller gave up, or the call ended.
    Cancelled,
}

/// A clip's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// Which.
    pub id: String,
    /// The room that it was made for.
    pub room: Option<RoomId>,
    /// The event by which the room shows it as ready.
    pub place: Option<Place>,
    /// Whose it is.
    pub uploader: Option<UserId>,
    /// Their name; may be empty.
    pub uploader_name: Redacted<String>,
    /// Its title.
    pub title: Redacted<String>,
    /// It can be watched; otherwise it never will.
    pub is_ready: bool,
    /// Why not, for people.
    pub reason: String,
}

/// Something that an operator should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How bad it is.
    pub severity: Severity,
    /// Equal keys are the same trouble.
    pub key: String,
    /// In a few words.
    pub title: String,
    /// In more.
    pub text: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl Event {
    /// What kind of push it would be for this person.
    #[must_use]
    pub fn class_for(&self, user: &UserId) -> Class {
        match &self.what {
            What::Message(message) if message.mentions.contains(user) => Class::Mention,
            What::Message(_) => Class::Message,
            What::Call(_) => Class::Call,
            What::CallOver(_) => Class::CallOver,
            What::Read(_) => Class::Read,
            What::Clip(_) => Class::Clip,
            What::Notice(_) => Class::Notice,
        }
    }

    /// The room that it is about.
    #[must_use]
    pub fn room(&self) -> Option<&RoomId> {
        match &self.what {
            What::Message(message) => Some(&message.place.room),
            What::Call(call) => Some(&call.room),
            What::CallOver(over) => Some(&over.room),
            What::Read(place) => Some(&place.room),
            What::Clip(clip) => clip.room.as_ref(),
            What::Notice(_) => None,
        }
    }

    /// Where the message stands, of one; of a clip where it is ready.
    #[must_use]
    pub fn message_place(&self) -> Option<&Place> {
        match &self.what {
            What::Message(message) => Some(&message.place),
            What::Clip(clip) => clip.place.as_ref(),
            What::Call(_) | What::CallOver(_) | What::Read(_) | What::Notice(_) => None,
        }
    }

    /// Over before a backlog is through: a ring and its end. They go by the urgent lanes.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        matches!(self.what, What::Call(_) | What::CallOver(_))
    }

    /// Whether it is this person's own clip, ready or not.
    #[must_use]
    pub fn is_own_clip(&self, user: &UserId) -> bool {
        match &self.what {
            // That one failed is told to nobody else.
            What::Clip(clip) => !clip.is_ready || clip.uploader.as_ref() == Some(user),
            What::Message(_)
            | What::Call(_)
            | What::CallOver(_)
            | What::Read(_)
            | What::Notice(_) => false,
        }
    }

    /// Who did it: nobody is told of what they did themselves.
    #[must_use]
    pub fn author(&self) -> Option<&UserId> {
        match &self.what {
            What::Message(message) => Some(&message.sender),
            What::Call(call) => Some(&call.caller),
            What::CallOver(_) | What::Read(_) | What::Clip(_) | What::Notice(_) => None,
        }
    }

    /// The same for one recipient, or for none: as a job carries it.
    #[must_use]
    pub fn only_for(&self, user: Option<&UserId>) -> Self {
        let mut event = self.clone();
        event.recipients = Vec::new();
        if let What::Message(message) = &mut event.what {
            message.mentions.retain(|mentioned| Some(mentioned) == user);
        }
        event
    }
}

/// One recipient is to be told over one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What it is about, without recipients, but with this one's mention.
    pub event: Event,
    /// Nobody wants to be told after this: the event's own end, or its class's, whichever is earlier.
    pub expires: UnixMs,
    /// Who; nobody for an operator notice.
    pub user: Option<UserId>,
    /// Over what.
    pub channel: Channel,
    /// On these of their devices.
    pub devices: Vec<DeviceId>,
    /// How soon.
    pub urgency: Urgency,
    /// What a later one replaces on the device.
    pub collapse: String,
    /// Nothing is shown.
    pub is_silent: bool,
    /// The number on the app's icon.
    pub badge: Option<Badge>,
    /// No content leaves the server.
    pub is_wake_only: bool,
    /// Messages that it stands for; at least 1.
    pub count: u32,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::WebPush, Self::Apns, Self::Fcm, Self::Sns, Self::Slack];

    /// Its name: in metrics, and in its queue's name behind `push-`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WebPush => "webpush",
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::Sns => "sns",
            Self::Slack => "slack",
        }
    }
}

impl Class {
    /// Its name, in metrics and explanations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Mention => "mention",
            Self::Call => "call",
            Self::CallOver => "call_over",
            Self::Read => "read",
            Self::Clip => "clip",
            Self::Notice => "notice",
        }
    }

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Message,
        Self::Mention,
        Self::Call,
        Self::CallOver,
        Self::Read,
        Self::Clip,
        Self::Notice,
    ];
}
