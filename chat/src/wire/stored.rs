//! Events as a store keeps them: the wire's Protobuf without what the row's key says already.

use super::event::InvalidEvent;
use crate::model::Event;
use kaiwa_common::id::RoomId;
use kaiwa_common::position::Position;
use kaiwa_proto::client::v1 as proto;
use prost::Message as _;

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

/// The event of these bytes at this place.
///
/// # Errors
/// [`InvalidEvent`] when the bytes are not what [`encode`] gives: the store is damaged.
pub fn decode(room: &RoomId, position: Position, bytes: &[u8]) -> Result<Event, InvalidEvent> {
    let stored = proto::Event::decode(bytes).map_err(|_| InvalidEvent::Bytes)?;
    let event = proto::Event {
        room: room.to_string(),
        epoch: position.epoch.0,
        seq: position.seq.0,
        ..stored
    };
    Event::try_from(event)
}
