//! Events and messages.

use super::{clip, enums};
use crate::model::{Committed, Event, EventBody, Mentions, Message, User};
use kaiwa_common::id::{Cid, InvalidId, RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1 as proto;
use proto::event::Body;

/// A wire event that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// An id does not have its form.
    #[error("an id in the event is invalid")]
    Id(#[from] InvalidId),
    /// A field is missing or out of its range.
    #[error("the event's {0} is missing or out of its range")]
    Field(&'static str),
    /// Not Protobuf.
    #[error("the event cannot be decoded")]
    Bytes,
}

impl From<&User> for proto::User {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            name: user.name.0.clone(),
        }
    }
}

impl From<&Event> for proto::Event {
    fn from(event: &Event) -> Self {
        Self {
            room: event.room.to_string(),
            epoch: event.position.epoch.0,
            seq: event.position.seq.0,
            time_ms: event.time.0,
            sender: event.sender.to_string(),
            cid: event.cid.map(|cid| cid.to_string()).unwrap_or_default(),
            body: Some(Body::from(&event.body)),
        }
    }
}

impl From<&EventBody> for Body {
    fn from(body: &EventBody) -> Self {
        match body {
            EventBody::Posted {
                text,
                reply_to,
                mentions,
                clip,
            } => Self::Message(proto::MessagePosted {
                text: shown(text.as_ref()),
                reply_to: reply_to.unwrap_or_default().0,
                erased: text.is_none(),
                mentions: named(mentions),
                mention_all: mentions.all,
                clip: clip.as_deref().map(clip::boxed),
            }),
            EventBody::Edited {
                target,
                text,
                mentions,
            } => Self::Edited(proto::MessageEdited {
                target: target.0,
                text: shown(text.as_ref()),
                erased: text.is_none(),
                mentions: named(mentions),
                mention_all: mentions.all,
            }),
            EventBody::Deleted { target } => {
                Self::Deleted(proto::MessageDeleted { target: target.0 })
            }
            EventBody::ClipChanged { target, clip } => Self::ClipChanged(proto::ClipChanged {
                target: target.0,
                clip: clip.as_deref().map(clip::boxed),
            }),
            EventBody::Member {
                user,
                membership,
                role,
            } => Self::Member(proto::MemberChanged {
                user: Some(user.into()),
                membership: proto::Membership::from(*membership).into(),
                role: proto::Role::from(*role).into(),
            }),
            EventBody::Created {
                kind,
                title,
                visibility,
            } => Self::Created(proto::RoomCreated {
                kind: proto::RoomKind::from(*kind).into(),
                title: title.clone(),
                visibility: proto::Visibility::from(*visibility).into(),
            }),
        }
    }
}

impl TryFrom<proto::Event> for Event {
    type Error = InvalidEvent;

    fn try_from(event: proto::Event) -> Result<Self, InvalidEvent> {
        let room = RoomId::parse(&event.room)?;
        if event.epoch == 0 || event.seq == 0 {
            return Err(InvalidEvent::Field("position"));
        }
        let position = Position {
            epoch: Epoch(event.epoch),
            seq: Seq(event.seq),
        };
        let cid = match event.cid.as_str() {
            "" => None,
            cid => Some(Cid::parse(cid)?),
        };
        let body = event.body.ok_or(InvalidEvent::Field("body"))?;
        Ok(Self {
            room,
            position,
            time: UnixMs(event.time_ms),
            sender: UserId::parse(&event.sender)?,
            cid,
            body: EventBody::try_from(body)?,
        })
    }
}

impl TryFrom<Body> for EventBody {
    type Error = InvalidEvent;

    fn try_from(body: Body) -> Result<Self, InvalidEvent> {
        Ok(match body {
            Body::Message(posted) => Self::Posted {
                text: text(posted.text, posted.erased)?,
                reply_to: Some(Seq(posted.reply_to)).filter(|seq| *seq != Seq::ZERO),
                mentions: mentions(&posted.mentions, posted.mention_all)?,
                clip: clip::read(posted.clip)?,
            },
            Body::Edited(edited) => Self::Edited {
                target: target(edited.target)?,
                text: text(edited.text, edited.erased)?,
                mentions: mentions(&edited.mentions, edited.mention_all)?,
            },
            Body::Deleted(deleted) => Self::Deleted {
                target: target(deleted.target)?,
            },
            Body::ClipChanged(changed) => Self::ClipChanged {
                target: target(changed.target)?,
                clip: clip::read(changed.clip)?,
            },
            Body::Member(member) => Self::Member {
                user: User::try_from(member.user.ok_or(InvalidEvent::Field("member.user"))?)?,
                membership: enums::membership(member.membership)
                    .ok_or(InvalidEvent::Field("member.membership"))?,
                role: enums::role(member.role).ok_or(InvalidEvent::Field("member.role"))?,
            },
            Body::Created(created) => Self::Created {
                kind: enums::room_kind(created.kind).ok_or(InvalidEvent::Field("created.kind"))?,
                title: created.title,
                visibility: enums::visibility(created.visibility)
                    .ok_or(InvalidEvent::Field("created.visibility"))?,
            },
        })
    }
}

impl TryFrom<proto::User> for User {
    type Error = InvalidEvent;

    fn try_from(user: proto::User) -> Result<Self, InvalidEvent> {
        Ok(Self {
            id: UserId::parse(&user.id)?,
            name: Redacted(user.name),
        })
    }
}

impl From<&Message> for proto::Message {
    fn from(message: &Message) -> Self {
        let (edited_seq, edited_ms) = message.edited.unwrap_or_default();
        let (deleted_seq, deleted_ms) = message.deleted.unwrap_or_default();
        Self {
            seq: message.seq.0,
            sender: message.sender.id.to_string(),
            time_ms: message.time.0,
            text: shown(message.text.as_ref()),
            reply_to: message.reply_to.unwrap_or_default().0,
            edited_ms: edited_ms.0,
            edited_seq: edited_seq.0,
            deleted_ms: deleted_ms.0,
            deleted_seq: deleted_seq.0,
            cid: message.cid.map(|cid| cid.to_string()).unwrap_or_default(),
            sender_name: message.sender.name.0.clone(),
            mentions: named(&message.mentions),
            mention_all: message.mentions.all,
            clip: message.clip.as_deref().map(clip::boxed),
        }
    }
}

impl From<&Committed> for proto::Committed {
    fn from(committed: &Committed) -> Self {
        Self {
            room: committed.room.to_string(),
            epoch: committed.position.epoch.0,
            seq: committed.position.seq.0,
            time_ms: committed.time.0,
            dup: committed.dup,
        }
    }
}

fn named(mentions: &Mentions) -> Vec<String> {
    mentions.users.iter().map(UserId::to_string).collect()
}

fn mentions(users: &[String], all: bool) -> Result<Mentions, InvalidEvent> {
    let users = users.iter().map(|user| UserId::parse(user));
    let users = users.collect::<Result<Vec<_>, _>>()?;
    Ok(Mentions { users, all })
}

fn shown(text: Option<&Redacted<String>>) -> String {
    text.map(|text| text.0.clone()).unwrap_or_default()
}

fn text(text: String, erased: bool) -> Result<Option<Redacted<String>>, InvalidEvent> {
    match (erased, text.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(Redacted(text))),
        (true, false) | (false, true) => Err(InvalidEvent::Field("text")),
    }
}

fn target(seq: u64) -> Result<Seq, InvalidEvent> {
    if seq == 0 {
        Err(InvalidEvent::Field("target"))
    } else {
        Ok(Seq(seq))
    }
}
