//! Committed events as frames: encoded once per codec, by the first who needs that codec.

use crate::codec::Codec;
use crate::session::core::outbox::Reliable;
use kaiwa_chat::bus::{MemberChange, Published};
use kaiwa_chat::model::{Event, EventBody, Membership};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::EVENT_FRAME_BYTES;
use kaiwa_common::position::{Position, Seq};
use kaiwa_proto::client::v1 as wire;
use std::sync::OnceLock;

/// One commit's events, for all who follow the room.
pub(super) struct Batch {
    published: Published,
    /// Whose right to read ends within it, and with which event.
    ends: Vec<(UserId, Seq)>,
    json: OnceLock<Vec<Reliable>>,
    proto: OnceLock<Vec<Reliable>>,
}

impl Batch {
    pub(super) fn new(published: Published) -> Self {
        Self {
            ends: ends(&published.events),
            published,
            json: OnceLock::new(),
            proto: OnceLock::new(),
        }
    }

    /// How many events there are.
    pub(super) fn len(&self) -> usize {
        self.published.events.len()
    }

    /// Where they end.
    pub(super) fn head(&self) -> Position {
        self.published
            .events
            .last()
            .expect("a commit has events")
            .position
    }

    /// The event with which this person's right to read ends, if it does.
    pub(super) fn end_of(&self, user: &UserId) -> Option<Seq> {
        let end = self.ends.iter().find(|(who, _)| who == user);
        end.map(|(_, seq)| *seq)
    }

    /// The events up to this one, for somebody who may not see those after it.
    pub(super) fn pushes_until(&self, codec: Codec, end: Seq) -> Vec<Reliable> {
        let events = &self.published.events;
        let seen = events.partition_point(|event| event.position.seq <= end);
        encode(codec, &events[..seen])
    }

    /// The events as pushes, a few events to a frame.
    pub(super) fn pushes(&self, codec: Codec) -> &[Reliable] {
        let cell = match codec {
            Codec::Json => &self.json,
            Codec::Proto => &self.proto,
        };
        cell.get_or_init(|| encode(codec, &self.published.events))
    }
}

fn ends(events: &[Event]) -> Vec<(UserId, Seq)> {
    let mut ends: Vec<(UserId, Seq)> = Vec::new();
    for event in events {
        let EventBody::Member {
            user, membership, ..
        } = &event.body
        else {
            continue;
        };
        match membership {
            Membership::Left => ends.push((user.id.clone(), event.position.seq)),
            Membership::Joined => ends.retain(|(who, _)| *who != user.id),
            Membership::Invited => {}
        }
    }
    ends
}

fn encode(codec: Codec, events: &[Event]) -> Vec<Reliable> {
    let mut pushes = Vec::new();
    let mut rest = events;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|event| {
            let first = bytes == 0;
            bytes += text_bytes(event);
            first || bytes <= EVENT_FRAME_BYTES
        });
        let (now, later) = rest.split_at(fits.count());
        pushes.push(frame(codec, now));
        rest = later;
    }
    pushes
}

fn frame(codec: Codec, events: &[Event]) -> Reliable {
    let messages: Vec<_> = events
        .iter()
        .map(|event| message(wire::push::Push::Event(wire::Event::from(event))))
        .collect();
    let last = events.last().expect("a frame has events");
    Reliable {
        room: Some((last.room.clone(), last.position)),
        frame: codec.encode(&messages),
        pushes: u32::try_from(events.len()).expect("a commit's events"),
    }
}

/// About what a clip takes on the wire beside its title.
const CLIP_BYTES: usize = 200;

/// About what an event takes on the wire.
fn text_bytes(event: &Event) -> usize {
    let text = match &event.body {
        // A clip's title stands in it twice.
        EventBody::Posted {
            text,
            clip: Some(_),
            ..
        } => 2 * text.as_ref().map_or(0, |text| text.0.len()) + CLIP_BYTES,
        EventBody::ClipChanged { clip, .. } => {
            clip.as_ref().map_or(0, |clip| clip.title.0.len()) + CLIP_BYTES
        }
        EventBody::Posted { text, .. } | EventBody::Edited { text, .. } => {
            text.as_ref().map_or(0, |text| text.0.len())
        }
        EventBody::Created { title, .. } => title.len(),
        EventBody::Deleted { .. } | EventBody::Member { .. } => 0,
    };
    text + 160
}

/// Somebody's new standing in a room.
pub(super) fn state_push(codec: Codec, change: &MemberChange) -> Reliable {
    let state = wire::RoomState {
        room: Some((&change.info).into()),
        version: change.version.0,
    };
    let message = message(wire::push::Push::State(state));
    Reliable {
        room: None,
        frame: codec.encode(&[message]),
        pushes: 1,
    }
}

fn message(push: wire::push::Push) -> wire::ServerMessage {
    let push = wire::Push { push: Some(push) };
    wire::ServerMessage {
        message: Some(wire::server_message::Message::Push(push)),
    }
}
