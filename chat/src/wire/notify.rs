//! What goes into the notification queues ([`kaiwa_proto::notify::v1`]).

use crate::core::relay::{Intent, event_id};
use crate::model::RoomKind;
use crate::ports::{Announcement, RingOutcome};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{NOTIFY_CLIP_TTL, NOTIFY_READ_TTL, NOTIFY_RETURN};
use kaiwa_common::position::Position;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::queue::Outgoing;
use kaiwa_proto::notify::v1 as proto;
use prost::Message as _;
use proto::event::What;
use std::collections::BTreeMap;

/// The schema's major version.
const SCHEMA: u32 = 1;

/// An intent as a queue's message.
#[must_use]
pub fn intent(intent: &Intent) -> Outgoing {
    let ids = |users: &[UserId]| users.iter().map(UserId::to_string).collect::<Vec<_>>();
    if let Some(ready) = intent.clip {
        let finished = proto::ClipFinished {
            clip_id: ready.clip.to_string(),
            room_id: intent.room.to_string(),
            title: intent.text.0.clone(),
            is_ready: true,
            reason: String::new(),
            uploader_id: intent.sender.id.to_string(),
            uploader_name: intent.sender.name.0.clone(),
            epoch: intent.position.epoch.0.into(),
            seq: intent.position.seq.0,
            message_seq: ready.message.0,
        };
        return outgoing(&of(intent, What::Clip(finished)), "clip");
    }
    let posted = proto::MessagePosted {
        room_id: intent.room.to_string(),
        epoch: intent.position.epoch.0.into(),
        seq: intent.position.seq.0,
        room_kind: room_kind(intent.kind).into(),
        room_title: intent.title.clone(),
        sender_id: intent.sender.id.to_string(),
        sender_name: intent.sender.name.0.clone(),
        text: intent.text.0.clone(),
        mentions: ids(&intent.mentions),
    };
    outgoing(&of(intent, What::Message(posted)), "message")
}

fn of(intent: &Intent, what: What) -> proto::Event {
    proto::Event {
        schema: SCHEMA,
        id: intent.id.to_string(),
        time_ms: intent.time.0,
        expires_ms: intent.expires.0,
        traceparent: String::new(),
        recipients: intent.recipients.iter().map(UserId::to_string).collect(),
        what: Some(what),
    }
}

/// An announcement as a queue's message; `title` is the room's.
#[must_use]
pub fn announcement(announcement: &Announcement, title: &str, now: UnixMs) -> Outgoing {
    let event = |id: &[&str], expires: UnixMs, user: &UserId, what| proto::Event {
        schema: SCHEMA,
        id: event_id(id).to_string(),
        time_ms: now.0,
        expires_ms: expires.0,
        traceparent: String::new(),
        recipients: vec![user.to_string()],
        what: Some(what),
    };
    match announcement {
        Announcement::Read { user, room, to } => {
            let (epoch, seq) = (to.epoch.0.to_string(), to.seq.to_string());
            let read = read_marked(room, *to);
            let id = ["read", user.as_str(), room.as_str(), &epoch, &seq];
            let expires = now.plus(NOTIFY_READ_TTL);
            outgoing(&event(&id, expires, user, What::Read(read)), "read")
        }
        Announcement::Ringing {
            user,
            room,
            from,
            until,
        } => {
            let call_id = call_id(room, &from.id, *until);
            let id = ["ring", &call_id, user.as_str()];
            let ringing = proto::CallRinging {
                room_id: room.to_string(),
                room_title: title.to_owned(),
                call_id: call_id.clone(),
                caller_id: from.id.to_string(),
                caller_name: from.name.0.clone(),
            };
            outgoing(&event(&id, *until, user, What::Call(ringing)), "call")
        }
        Announcement::RingOver {
            user,
            room,
            from,
            until,
            outcome,
        } => {
            let call_id = call_id(room, &from.id, *until);
            let id = ["over", &call_id, user.as_str()];
            let over = proto::CallOver {
                room_id: room.to_string(),
                call_id: call_id.clone(),
                reason: reason(*outcome).into(),
            };
            // A ring that was shown late has to be taken away as well.
            let expires = (*until).max(now).plus(NOTIFY_RETURN);
            outgoing(&event(&id, expires, user, What::CallOver(over)), "call")
        }
        Announcement::ClipFailed {
            user,
            room,
            clip,
            version,
            title,
            reason,
        } => {
            let (clip, version) = (clip.to_string(), version.to_string());
            let id = ["clip", &clip, "failed", &version];
            let finished = proto::ClipFinished {
                title: title.0.clone(),
                reason: reason.clone(),
                ..failed(user, room, &clip)
            };
            let expires = now.plus(NOTIFY_CLIP_TTL);
            outgoing(&event(&id, expires, user, What::Clip(finished)), "clip")
        }
    }
}

fn read_marked(room: &RoomId, to: Position) -> proto::ReadMarked {
    proto::ReadMarked {
        room_id: room.to_string(),
        epoch: to.epoch.0.into(),
        seq: to.seq.0,
    }
}

/// A clip that can never be played, still without its title and the reason.
fn failed(uploader: &UserId, room: &RoomId, clip: &str) -> proto::ClipFinished {
    proto::ClipFinished {
        clip_id: clip.to_owned(),
        room_id: room.to_string(),
        uploader_id: uploader.to_string(),
        ..proto::ClipFinished::default()
    }
}

/// A ring's name: one caller's rings in a room that end at the same time are one.
#[must_use]
pub fn call_id(room: &RoomId, from: &UserId, until: UnixMs) -> String {
    event_id(&["call", room.as_str(), from.as_str(), &until.0.to_string()]).to_string()
}

fn outgoing(event: &proto::Event, class: &str) -> Outgoing {
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Outgoing {
        body: STANDARD.encode(event.encode_to_vec()),
        attributes: BTreeMap::from([
            attribute("class", class),
            attribute("schema", &SCHEMA.to_string()),
        ]),
        ..Outgoing::default()
    }
}

const fn room_kind(kind: RoomKind) -> proto::RoomKind {
    match kind {
        RoomKind::Direct => proto::RoomKind::Direct,
        RoomKind::Group => proto::RoomKind::Group,
        RoomKind::Broadcast => proto::RoomKind::Broadcast,
    }
}

const fn reason(outcome: RingOutcome) -> proto::CallOverReason {
    match outcome {
        RingOutcome::Answered => proto::CallOverReason::Answered,
        RingOutcome::Declined => proto::CallOverReason::Declined,
        RingOutcome::Cancelled => proto::CallOverReason::Cancelled,
        RingOutcome::TimedOut => proto::CallOverReason::TimedOut,
    }
}
