//! Events.

use super::{Invalid, SCHEMA, checked_schema, encode, payload, uuid, wire};
use crate::event::{
    Call, CallOver, Clip, Event, Message, Notice, OverReason, Place, RoomKind, Severity, What,
};
use crate::model::EventId;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::NOTIFY_RECIPIENTS;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;

/// An event as a queue carries it.
#[must_use]
pub fn encode_event(event: &Event) -> String {
    encode(&to_wire(event))
}

/// An event from a queue.
///
/// # Errors
/// [`Invalid`]: it will never be one.
pub fn decode_event(body: &str) -> Result<Event, Invalid> {
    from_wire(payload(body)?)
}

pub(super) fn to_wire(event: &Event) -> wire::Event {
    wire::Event {
        schema: SCHEMA,
        id: event.id.0.to_string(),
        time_ms: event.time.0,
        expires_ms: event.expires.0,
        traceparent: event.traceparent.clone(),
        recipients: texts(&event.recipients),
        what: Some(what_to_wire(&event.what)),
    }
}

fn what_to_wire(what: &What) -> wire::event::What {
    match what {
        What::Message(message) => wire::event::What::Message(message_to_wire(message)),
        What::Call(call) => wire::event::What::Call(wire::CallRinging {
            room_id: call.room.to_string(),
            room_title: call.room_title.0.clone(),
            call_id: call.id.clone(),
            caller_id: call.caller.to_string(),
            caller_name: call.caller_name.0.clone(),
        }),
        What::CallOver(over) => wire::event::What::CallOver(wire::CallOver {
            room_id: over.room.to_string(),
            call_id: over.id.clone(),
            reason: match over.reason {
                OverReason::Answered => wire::CallOverReason::Answered,
                OverReason::Declined => wire::CallOverReason::Declined,
                OverReason::TimedOut => wire::CallOverReason::TimedOut,
                OverReason::Cancelled => wire::CallOverReason::Cancelled,
            }
            .into(),
        }),
        What::Read(place) => wire::event::What::Read(wire::ReadMarked {
            room_id: place.room.to_string(),
            epoch: place.epoch,
            seq: place.seq,
        }),
        What::Clip(clip) => wire::event::What::Clip(wire::ClipFinished {
            clip_id: clip.id.clone(),
            room_id: clip
                .room
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            title: clip.title.0.clone(),
            is_ready: clip.is_ready,
            reason: clip.reason.clone(),
            uploader_id: clip
                .uploader
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            uploader_name: clip.uploader_name.0.clone(),
            epoch: clip.place.as_ref().map_or(0, |place| place.epoch),
            seq: clip.place.as_ref().map_or(0, |place| place.seq),
            message_seq: clip.place.as_ref().map_or(0, |place| place.message),
        }),
        What::Notice(notice) => wire::event::What::Notice(wire::OperatorNotice {
            severity: match notice.severity {
                Severity::Info => wire::Severity::Info,
                Severity::Warning => wire::Severity::Warning,
                Severity::Critical => wire::Severity::Critical,
            }
            .into(),
            key: notice.key.clone(),
            title: notice.title.clone(),
            text: notice.text.clone(),
        }),
    }
}

fn message_to_wire(message: &Message) -> wire::MessagePosted {
    wire::MessagePosted {
        room_id: message.place.room.to_string(),
        epoch: message.place.epoch,
        seq: message.place.seq,
        room_kind: match message.kind {
            RoomKind::Direct => wire::RoomKind::Direct,
            RoomKind::Group => wire::RoomKind::Group,
            RoomKind::Broadcast => wire::RoomKind::Broadcast,
        }
        .into(),
        room_title: message.room_title.0.clone(),
        sender_id: message.sender.to_string(),
        sender_name: message.sender_name.0.clone(),
        text: message.text.0.clone(),
        mentions: texts(&message.mentions),
    }
}

fn texts(users: &[UserId]) -> Vec<String> {
    users.iter().map(ToString::to_string).collect()
}

pub(super) fn from_wire(event: wire::Event) -> Result<Event, Invalid> {
    checked_schema(event.schema)?;
    if event.recipients.len() > NOTIFY_RECIPIENTS {
        return Err(Invalid::Field("recipients"));
    }
    // The W3C's form has 55 characters; a stranger's must not be carried on.
    if event.traceparent.len() > 64 {
        return Err(Invalid::Field("traceparent"));
    }
    let what = match event.what.ok_or(Invalid::Field("what"))? {
        wire::event::What::Message(message) => What::Message(message_from(message)?),
        wire::event::What::Call(call) => What::Call(Call {
            room: room(&call.room_id)?,
            room_title: Redacted(call.room_title),
            id: key(call.call_id, "call_id")?,
            caller: user(&call.caller_id, "caller_id")?,
            caller_name: Redacted(call.caller_name),
        }),
        wire::event::What::CallOver(over) => What::CallOver(CallOver {
            room: room(&over.room_id)?,
            reason: match over.reason() {
                wire::CallOverReason::Answered => OverReason::Answered,
                wire::CallOverReason::Declined => OverReason::Declined,
                wire::CallOverReason::TimedOut => OverReason::TimedOut,
                // Of a reason that is not known yet it is enough that it is over.
                wire::CallOverReason::Cancelled | wire::CallOverReason::Unspecified => {
                    OverReason::Cancelled
                }
            },
            id: key(over.call_id, "call_id")?,
        }),
        wire::event::What::Read(read) => What::Read(Place {
            room: room(&read.room_id)?,
            epoch: read.epoch,
            seq: stored(read.seq, "seq")?,
            message: read.seq,
        }),
        wire::event::What::Clip(clip) => What::Clip(clip_from(clip)?),
        wire::event::What::Notice(notice) => What::Notice(Notice {
            severity: match notice.severity() {
                wire::Severity::Info => Severity::Info,
                wire::Severity::Critical => Severity::Critical,
                wire::Severity::Warning | wire::Severity::Unspecified => Severity::Warning,
            },
            key: key(notice.key, "key")?,
            title: notice.title,
            text: notice.text,
        }),
    };
    Ok(Event {
        id: EventId(uuid(&event.id, "id")?),
        time: UnixMs(event.time_ms),
        expires: UnixMs(event.expires_ms),
        traceparent: event.traceparent,
        recipients: users(&event.recipients, "recipients")?,
        what,
    })
}

fn message_from(message: wire::MessagePosted) -> Result<Message, Invalid> {
    Ok(Message {
        kind: match message.room_kind() {
            wire::RoomKind::Direct => RoomKind::Direct,
            wire::RoomKind::Broadcast => RoomKind::Broadcast,
            wire::RoomKind::Group | wire::RoomKind::Unspecified => RoomKind::Group,
        },
        place: Place {
            room: room(&message.room_id)?,
            epoch: message.epoch,
            seq: stored(message.seq, "seq")?,
            message: message.seq,
        },
        room_title: Redacted(message.room_title),
        sender: user(&message.sender_id, "sender_id")?,
        sender_name: Redacted(message.sender_name),
        text: Redacted(message.text),
        mentions: users(&message.mentions, "mentions")?,
    })
}

fn clip_from(clip: wire::ClipFinished) -> Result<Clip, Invalid> {
    let room = match clip.room_id.as_str() {
        "" => None,
        text => Some(room(text)?),
    };
    let place = match &room {
        Some(room) if clip.seq > 0 => Some(Place {
            room: room.clone(),
            epoch: clip.epoch,
            seq: stored(clip.seq, "seq")?,
            message: stored(clip.message_seq, "message_seq")?,
        }),
        Some(_) | None => None,
    };
    let uploader = match clip.uploader_id.as_str() {
        "" => None,
        text => Some(user(text, "uploader_id")?),
    };
    Ok(Clip {
        id: key(clip.clip_id, "clip_id")?,
        room,
        place,
        uploader,
        uploader_name: Redacted(clip.uploader_name),
        title: Redacted(clip.title),
        is_ready: clip.is_ready,
        reason: clip.reason,
    })
}

fn room(text: &str) -> Result<RoomId, Invalid> {
    RoomId::parse(text).map_err(|_| Invalid::Field("room_id"))
}

pub(super) fn user(text: &str, field: &'static str) -> Result<UserId, Invalid> {
    UserId::parse(text).map_err(|_| Invalid::Field(field))
}

fn users(texts: &[String], field: &'static str) -> Result<Vec<UserId>, Invalid> {
    texts.iter().map(|text| user(text, field)).collect()
}

/// Stores have signed numbers; no room gets that far.
fn stored(number: u64, field: &'static str) -> Result<u64, Invalid> {
    i64::try_from(number)
        .map(|_| number)
        .map_err(|_| Invalid::Field(field))
}

/// Part of a collapse key.
fn key(text: String, field: &'static str) -> Result<String, Invalid> {
    if text.is_empty() || text.len() > 128 {
        return Err(Invalid::Field(field));
    }
    Ok(text)
}
