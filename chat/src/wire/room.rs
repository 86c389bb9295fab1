//! Rooms, members and pages.

use crate::model::{EventPage, HistoryPage, Marked, Member, Message, Page, ResetReason, RoomInfo};
use kaiwa_common::id::RoomId;
use kaiwa_common::position::Seq;
use kaiwa_proto::client::v1 as proto;

impl From<&RoomInfo> for proto::RoomInfo {
    fn from(info: &RoomInfo) -> Self {
        Self {
            room: info.room.to_string(),
            kind: proto::RoomKind::from(info.kind).into(),
            title: info.title.clone(),
            visibility: proto::Visibility::from(info.visibility).into(),
            created_ms: info.created.0,
            epoch: info.head.epoch.0,
            head: info.head.seq.0,
            members: info.members,
            membership: proto::Membership::from(info.membership).into(),
            role: proto::Role::from(info.role).into(),
            peer: info.peer.as_ref().map(proto::User::from),
            last: info.last.as_ref().map(proto::Message::from),
            read_seq: info.unread.read.0,
            unread: info.unread.count,
            unread_mentions: info.unread.mentions,
        }
    }
}

impl From<&Member> for proto::Member {
    fn from(member: &Member) -> Self {
        Self {
            user: Some((&member.user).into()),
            membership: proto::Membership::from(member.membership).into(),
            role: proto::Role::from(member.role).into(),
        }
    }
}

impl From<&Page<RoomInfo>> for proto::RoomPage {
    fn from(page: &Page<RoomInfo>) -> Self {
        room_page(page)
    }
}

/// A page of rooms.
#[must_use]
pub fn room_page(page: &Page<RoomInfo>) -> proto::RoomPage {
    proto::RoomPage {
        rooms: page.items.iter().map(proto::RoomInfo::from).collect(),
        next: page.next.clone().unwrap_or_default(),
    }
}

/// A page of a room's members.
#[must_use]
pub fn member_page(room: &RoomId, page: &Page<Member>) -> proto::MemberPage {
    proto::MemberPage {
        room: room.to_string(),
        members: page.items.iter().map(proto::Member::from).collect(),
        next: page.next.clone().unwrap_or_default(),
    }
}

/// A stretch of a room's log.
#[must_use]
pub fn event_page(room: &RoomId, page: &EventPage) -> proto::EventPage {
    proto::EventPage {
        room: room.to_string(),
        epoch: page.head.epoch.0,
        events: page.events.iter().map(proto::Event::from).collect(),
        head: page.head.seq.0,
        more: page.more,
        reset: None,
    }
}

/// A page of a room's messages.
#[must_use]
pub fn history_page(room: &RoomId, page: &HistoryPage) -> proto::HistoryPage {
    proto::HistoryPage {
        room: room.to_string(),
        epoch: page.epoch.0,
        messages: page
            .messages
            .iter()
            .map(|message: &Message| message.into())
            .collect(),
        as_of: page.as_of.0,
        more: page.more,
    }
}

/// How far somebody has read a room.
#[must_use]
pub fn marked(room: &RoomId, marked: &Marked) -> proto::Marked {
    proto::Marked {
        room: room.to_string(),
        epoch: marked.head.epoch.0,
        read_seq: marked.unread.read.0,
        unread: marked.unread.count,
        unread_mentions: marked.unread.mentions,
        head: marked.head.seq.0,
    }
}

/// A room's state for one of its people.
#[must_use]
pub fn room_state(info: &RoomInfo, version: Seq) -> proto::RoomState {
    proto::RoomState {
        room: Some(info.into()),
        version: version.0,
    }
}

/// The name of a reason on the wire.
#[must_use]
pub const fn reset_reason(reason: ResetReason) -> &'static str {
    match reason {
        ResetReason::Epoch => "epoch",
        ResetReason::Ahead => "ahead",
        ResetReason::TooFarBehind => "too_far_behind",
    }
}
