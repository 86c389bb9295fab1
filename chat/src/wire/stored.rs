//! Events as a store keeps them: the wire's Protobuf without what the row's key says already.

use super::event::InvalidEvent;
use crate::model::{Event, Mentions};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::Position;
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1 as proto;
use prost::Message as _;
use proto::event::Body;

/// An event's bytes. Room and position are left out: they are the key, and a fifth of a short message.
#[must_use]
pub fn encode(event: &Event) -> Vec<u8> {
    let stored = proto::Event {
        room: String::new(),
        epoch: 0,
        seq: 0,
        ..event.into()
    };
    stored.encode_to_vec()
}

/// The bytes without the text that they hold and without whom they name, and of the same length, so that
/// a store can overwrite them where they are.
///
/// Neither a text nor a user id contains U+0000, so one that is nothing else is one that was erased. What
/// stays is how long they were. Naming everybody takes two bytes, and so does one more name that is empty.
///
/// # Errors
/// [`InvalidEvent`] when the bytes are not what [`encode`] gives.
pub fn erase(bytes: &[u8]) -> Result<Vec<u8>, InvalidEvent> {
    let mut stored = proto::Event::decode(bytes).map_err(|_| InvalidEvent::Bytes)?;
    if let Some(text) = text(&mut stored) {
        *text = "\0".repeat(text.len());
    }
    if let Some((users, all)) = mentions(&mut stored) {
        for user in users.iter_mut() {
            *user = "\0".repeat(user.len());
        }
        if std::mem::take(all) {
            users.push(String::new());
        }
    }
    Ok(stored.encode_to_vec())
}

fn text(stored: &mut proto::Event) -> Option<&mut String> {
    match stored.body.as_mut()? {
        Body::Message(posted) => Some(&mut posted.text),
        Body::Edited(edited) => Some(&mut edited.text),
        Body::Deleted(_) | Body::Member(_) | Body::Created(_) => None,
    }
}

/// When the event of these bytes was committed.
///
/// # Errors
/// [`InvalidEvent`] when the bytes are not what [`encode`] gives.
pub fn time(bytes: &[u8]) -> Result<UnixMs, InvalidEvent> {
    let stored = proto::Event::decode(bytes).map_err(|_| InvalidEvent::Bytes)?;
    Ok(UnixMs(stored.time_ms))
}

/// Whom the event of these bytes names.
///
/// # Errors
/// [`InvalidEvent`] when the bytes are not what [`encode`] gives.
pub fn named(bytes: &[u8]) -> Result<Mentions, InvalidEvent> {
    let mut stored = proto::Event::decode(bytes).map_err(|_| InvalidEvent::Bytes)?;
    let Some((users, all)) = mentions(&mut stored) else {
        return Ok(Mentions::default());
    };
    let is_erased = |user: &String| user.is_empty() || user.starts_with('\0');
    let users = users.iter().filter(|user| !is_erased(user));
    let users = users.map(|user| UserId::parse(user));
    Ok(Mentions {
        users: users.collect::<Result<_, _>>()?,
        all: *all,
    })
}

fn mentions(stored: &mut proto::Event) -> Option<(&mut Vec<String>, &mut bool)> {
    match stored.body.as_mut()? {
        Body::Message(posted) => Some((&mut posted.mentions, &mut posted.mention_all)),
        Body::Edited(edited) => Some((&mut edited.mentions, &mut edited.mention_all)),
        Body::Deleted(_) | Body::Member(_) | Body::Created(_) => None,
    }
}

/// The event of these bytes at this place.
///
/// # Errors
/// [`InvalidEvent`] when the bytes are not what [`encode`] gives: the store is damaged.
pub fn decode(room: &RoomId, position: Position, bytes: &[u8]) -> Result<Event, InvalidEvent> {
    let mut stored = proto::Event::decode(bytes).map_err(|_| InvalidEvent::Bytes)?;
    if text(&mut stored).is_some_and(|text| text.starts_with('\0')) {
        match &mut stored.body {
            Some(Body::Message(posted)) => (posted.text, posted.erased) = (String::new(), true),
            Some(Body::Edited(edited)) => (edited.text, edited.erased) = (String::new(), true),
            Some(Body::Deleted(_) | Body::Member(_) | Body::Created(_)) | None => {}
        }
        if let Some((users, _)) = mentions(&mut stored) {
            users.clear();
        }
    }
    let event = proto::Event {
        room: room.to_string(),
        epoch: position.epoch.0,
        seq: position.seq.0,
        ..stored
    };
    Event::try_from(event)
}
