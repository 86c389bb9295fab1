//! How each class is delivered: for how long, how urgently, and what a later one replaces.

use crate::event::{Event, What};
use crate::model::{Class, Urgency};
use kaiwa_common::limits::CALL_RING;
use kaiwa_common::time::UnixMs;
use std::time::Duration;

/// How a class is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// From the event's time on; the event's own end may be earlier.
    pub ttl: Duration,
    /// How soon a device should be woken (RFC 8030, section 5.3).
    pub urgency: Urgency,
    /// It shows nothing.
    pub is_silent: bool,
    /// It may wait for the end of quiet hours.
    pub can_wait: bool,
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The table. RFC 8030, section 5.3 names a chat message as the example of `normal` and a call as that
/// of `high`; four weeks are what the push services keep at most.
#[must_use]
pub fn policy(class: Class) -> Policy {
    let (ttl, urgency, is_silent, can_wait) = match class {
        Class::Message => (28 * DAY, Urgency::Normal, false, true),
        Class::Mention => (28 * DAY, Urgency::High, false, true),
        // Longer than it rings it would ring for nobody.
        Class::Call => (CALL_RING, Urgency::High, false, false),
        // Late is better than a phone that rings on; after an hour none does.
        Class::CallOver => (HOUR, Urgency::High, true, false),
        Class::Read => (DAY, Urgency::Low, true, false),
        Class::Clip => (DAY, Urgency::Low, false, true),
        Class::Notice => (DAY, Urgency::High, false, false),
    };
    Policy {
        ttl,
        urgency,
        is_silent,
        can_wait,
    }
}

/// When nobody wants to be told any more.
#[must_use]
pub fn expires(event: &Event, class: Class) -> UnixMs {
    event.expires.min(event.time.plus(policy(class).ttl))
}

/// What a later push replaces on the device, and in a provider's store.
///
/// A read mark has a key of its own: with the room's, one that is overtaken by a message would replace
/// that message in the store of the push service, and nobody would see it.
///
/// A mention has a key of its own: with the room's, the next message or a digest would take its place on the screen,
/// and whom it names would never see it.
#[must_use]
pub fn collapse(event: &Event, class: Class) -> String {
    match event.message_place() {
        Some(place) if class == Class::Mention => format!("mention:{}", place.room),
        Some(_) | None => shown(event),
    }
}

/// The key by which what a push shows is remembered: a read mark takes a room's mentions away with its messages.
#[must_use]
pub fn shown(event: &Event) -> String {
    match &event.what {
        What::Message(message) => room_key(message.place.room.as_str()),
        What::Call(call) => call_key(&call.id),
        What::CallOver(over) => call_key(&over.id),
        What::Read(place) => format!("read:{}", place.room),
        What::Clip(clip) => format!("clip:{}", clip.id),
        What::Notice(notice) => format!("notice:{}", notice.key),
    }
}

/// The key under which what a silent event takes away was shown.
#[must_use]
pub fn takes_away(event: &Event) -> Option<String> {
    match &event.what {
        What::Read(place) => Some(room_key(place.room.as_str())),
        What::CallOver(over) => Some(call_key(&over.id)),
        What::Message(_) | What::Call(_) | What::Clip(_) | What::Notice(_) => None,
    }
}

fn room_key(room: &str) -> String {
    format!("room:{room}")
}

fn call_key(call: &str) -> String {
    format!("call:{call}")
}
