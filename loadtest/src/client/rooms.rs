//! Where a client stands in the rooms that it follows: section 3 of the specification.

use kaiwa_proto::client::v1::{Event, EventPage, Gap, RoomPosition};
use std::collections::BTreeMap;

/// One followed room.
///
/// ```text
/// Unknown ── first page ──► At(epoch, last) ── other epoch, reset ──► Unknown
/// ```
#[derive(Debug, Default)]
pub struct Rooms {
    rooms: BTreeMap<String, Room>,
}

#[derive(Debug)]
struct Room {
    place: Place,
    /// Events beyond `last + 1`, until the hole before them is closed.
    held: BTreeMap<u64, Event>,
    /// The greatest seq that somebody said exists.
    head: u64,
    /// A `ReadEvents` of this room is on its way.
    reading: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Unknown,
    At { epoch: u32, last: u64 },
}

/// What follows from an input.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// The app gets this event: the next one of its room.
    Deliver(Box<Event>),
    /// Read the log after this position.
    Read(RoomPosition),
    /// The stream is another one: the app forgets the room, and it is subscribed anew.
    Restart(String),
}

/// Events held for one room while a hole is repaired; beyond it they are dropped, and read again
/// from the log when their turn comes.
const HELD: usize = 4096;

impl Rooms {
    /// Follows a room from a position; `epoch` 0 for "nothing is known".
    pub fn follow(&mut self, room: &str, epoch: u32, seq: u64) {
        let place = if epoch == 0 {
            Place::Unknown
        } else {
            Place::At { epoch, last: seq }
        };
        let entry = Room {
            place,
            held: BTreeMap::new(),
            head: seq,
            reading: false,
        };
        self.rooms.insert(room.to_owned(), entry);
    }

    /// Follows it no longer.
    pub fn forget(&mut self, room: &str) {
        self.rooms.remove(room);
    }

    /// The last event delivered, if the room is followed and its place known.
    #[must_use]
    pub fn last(&self, room: &str) -> Option<(u32, u64)> {
        match self.rooms.get(room)?.place {
            Place::Unknown => None,
            Place::At { epoch, last } => Some((epoch, last)),
        }
    }

    /// All positions, for `Connect`.
    #[must_use]
    pub fn positions(&self) -> Vec<RoomPosition> {
        let position = |(room, state): (&String, &Room)| match state.place {
            Place::Unknown => RoomPosition {
                room: room.clone(),
                epoch: 0,
                seq: 0,
            },
            Place::At { epoch, last } => RoomPosition {
                room: room.clone(),
                epoch,
                seq: last,
            },
        };
        self.rooms.iter().map(position).collect()
    }

    /// The connection was lost: reads on their way are gone.
    pub fn handle_lost(&mut self) {
        self.rooms
            .values_mut()
            .for_each(|room| room.reading = false);
    }

    /// The session goes on: holes that were being repaired are asked for again.
    pub fn handle_resumed(&mut self) -> Vec<Step> {
        let names: Vec<String> = self.rooms.keys().cloned().collect();
        names.iter().filter_map(|room| self.repair(room)).collect()
    }

    /// An event that was pushed.
    pub fn handle_event(&mut self, event: Event) -> Vec<Step> {
        let Some(room) = self.rooms.get_mut(&event.room) else {
            return Vec::new();
        };
        let name = event.room.clone();
        match room.place {
            Place::At { epoch, .. } if epoch != event.epoch => {
                room.place = Place::Unknown;
                room.held.clear();
                vec![Step::Restart(name)]
            }
            Place::At { last, .. } if event.seq <= last => Vec::new(),
            Place::At { .. } | Place::Unknown => {
                room.head = room.head.max(event.seq);
                if room.held.len() < HELD {
                    room.held.insert(event.seq, event);
                }
                self.advance(&name)
            }
        }
    }

    /// A page of the room's log: the reply to `ReadEvents`, or with `Subscribed`.
    pub fn handle_page(&mut self, page: EventPage) -> Vec<Step> {
        let Some(room) = self.rooms.get_mut(&page.room) else {
            return Vec::new();
        };
        room.reading = false;
        if page.reset.is_some() {
            room.place = Place::Unknown;
            room.held.clear();
            return vec![Step::Restart(page.room)];
        }
        if matches!(room.place, Place::At { epoch, last } if epoch == page.epoch && last < page.head)
        {
            room.head = room.head.max(page.head);
        }
        // All of the page first: what looks like a hole after one of its events is closed by the next.
        let Place::At { epoch, last } = room.place else {
            return Vec::new();
        };
        let news = page
            .events
            .into_iter()
            .filter(|e| e.epoch == epoch && e.seq > last);
        room.held.extend(news.map(|event| (event.seq, event)));
        self.advance(&page.room)
    }

    /// The answer for a room whose place was unknown: from now on it is known.
    pub fn handle_start(&mut self, name: &str, epoch: u32, head: u64) -> Vec<Step> {
        let Some(room) = self.rooms.get_mut(name) else {
            return Vec::new();
        };
        room.reading = false;
        room.place = Place::At { epoch, last: head };
        room.head = room.head.max(head);
        room.held
            .retain(|&seq, event| seq > head && event.epoch == epoch);
        self.advance(name)
    }

    /// Whether nothing is known of where the room's stream is.
    #[must_use]
    pub fn is_unknown(&self, room: &str) -> bool {
        self.rooms
            .get(room)
            .is_some_and(|room| room.place == Place::Unknown)
    }

    /// A `gap` push: events up to its head were left out.
    pub fn handle_gap(&mut self, gap: &Gap) -> Option<Step> {
        self.note_head(&gap.room, gap.epoch, gap.head);
        self.repair(&gap.room)
    }

    /// A head named by a ping.
    pub fn handle_head(&mut self, head: &RoomPosition) -> Option<Step> {
        self.note_head(&head.room, head.epoch, head.seq);
        self.repair(&head.room)
    }

    /// A `ReadEvents` failed for now; it may be asked for again.
    pub fn handle_read_failed(&mut self, room: &str) -> Option<Step> {
        if let Some(state) = self.rooms.get_mut(room) {
            state.reading = false;
        }
        self.repair(room)
    }

    fn note_head(&mut self, room: &str, of: u32, head: u64) {
        if let Some(room) = self.rooms.get_mut(room)
            && let Place::At { epoch, .. } = room.place
            && epoch == of
        {
            room.head = room.head.max(head);
        }
    }

    /// Delivers what is in order, then sees whether a hole is left.
    fn advance(&mut self, name: &str) -> Vec<Step> {
        let Some(room) = self.rooms.get_mut(name) else {
            return Vec::new();
        };
        let Place::At { epoch, mut last } = room.place else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        while let Some(event) = room.held.remove(&(last + 1)) {
            last += 1;
            steps.push(Step::Deliver(Box::new(event)));
        }
        room.place = Place::At { epoch, last };
        steps.extend(self.repair(name));
        steps
    }

    fn repair(&mut self, name: &str) -> Option<Step> {
        let room = self.rooms.get_mut(name)?;
        let Place::At { epoch, last } = room.place else {
            return None;
        };
        if room.reading || room.head <= last {
            return None;
        }
        room.reading = true;
        Some(Step::Read(RoomPosition {
            room: name.to_owned(),
            epoch,
            seq: last,
        }))
    }
}

#[cfg(test)]
mod tests;
