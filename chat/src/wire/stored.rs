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
/// Neither a text, a user id nor a clip's id contains U+0000, so one that is nothing else is one that was erased.
/// What stays is how long they were. Naming everybody takes two bytes, and so does one more name that is empty.
///
/// # Errors
/// [`InvalidEvent`] when the bytes are not what [`encode`] gives.
pub fn erase(bytes: &[u8]) -> Result<Vec<u8>, InvalidEvent> {
    let mut stored = proto::Event::decode(bytes).map_err(|_| InvalidEvent::Bytes)?;
    if let Some(text) = text(&mut stored) {
        *text = "\0".repeat(text.len());
    }
    if let Some(clip) = clip(&mut stored) {
        **clip = blank(clip)?;
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
        Body::ClipChanged(_) | Body::Deleted(_) | Body::Member(_) | Body::Created(_) => None,
    }
}

fn clip(stored: &mut proto::Event) -> Option<&mut Box<proto::Clip>> {
    match stored.body.as_mut()? {
        Body::Message(posted) => posted.clip.as_mut(),
        Body::ClipChanged(changed) => changed.clip.as_mut(),
        Body::Edited(_) | Body::Deleted(_) | Body::Member(_) | Body::Created(_) => None,
    }
}

/// A clip of the same length that says nothing: an id and a title of U+0000. Numbers are as long as they are
/// large, so they cannot be set to nothing where they are; the two texts take their place.
///
/// # Errors
/// [`InvalidEvent`] for a clip that is shorter than its id: it was never encoded here.
fn blank(clip: &proto::Clip) -> Result<proto::Clip, InvalidEvent> {
    let length = clip.encoded_len();
    // A text of n bytes takes n + 2, from 128 on n + 3, and an empty one nothing. So there is not one for every
    // length, but with an id that is up to two bytes longer there is.
    let ids = (ID_BYTES..ID_BYTES + 3).map(|bytes| "\0".repeat(bytes));
    let texts = ids.flat_map(|id| {
        let rest = length.saturating_sub(id.len() + 2);
        let titles = (0..=4).filter_map(move |header| rest.checked_sub(header));
        titles.map(move |bytes| (id.clone(), "\0".repeat(bytes)))
    });
    let mut blank = texts.map(|(id, title)| proto::Clip {
        id,
        title,
        ..proto::Clip::default()
    });
    blank
        .find(|blank| blank.encoded_len() == length)
        .ok_or(InvalidEvent::Field("clip"))
}

/// A clip's id, in bytes.
const ID_BYTES: usize = 36;

/// When the event of these bytes was committed, and whether it is a change of a clip.
///
/// # Errors
/// [`InvalidEvent`] when the bytes are not what [`encode`] gives.
pub fn glance(bytes: &[u8]) -> Result<(UnixMs, bool), InvalidEvent> {
    let stored = proto::Event::decode(bytes).map_err(|_| InvalidEvent::Bytes)?;
    let is_clip = matches!(stored.body, Some(Body::ClipChanged(_)));
    Ok((UnixMs(stored.time_ms), is_clip))
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
        Body::ClipChanged(_) | Body::Deleted(_) | Body::Member(_) | Body::Created(_) => None,
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
            Some(Body::ClipChanged(_) | Body::Deleted(_) | Body::Member(_) | Body::Created(_))
            | None => {}
        }
        if let Some((users, _)) = mentions(&mut stored) {
            users.clear();
        }
    }
    if clip(&mut stored).is_some_and(|clip| clip.id.starts_with('\0')) {
        match &mut stored.body {
            Some(Body::Message(posted)) => posted.clip = None,
            Some(Body::ClipChanged(changed)) => changed.clip = None,
            Some(Body::Edited(_) | Body::Deleted(_) | Body::Member(_) | Body::Created(_))
            | None => {}
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
