//! What a shard holds, for those who watch it.

use super::{Shard, Sink};
use crate::control::ParticipantId;
use crate::unit::Bitrate;

/// How many there are of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Participants.
    pub peers: usize,
    /// Publications.
    pub tracks: usize,
    /// Calls.
    pub rooms: usize,
    /// Addresses whose datagrams are known to be somebody's.
    pub paths: usize,
    /// ICE user fragments that checks may have.
    pub ufrags: usize,
    /// Entries of other tables: by participant, room, source and publication.
    pub names: usize,
    /// Deadlines. One that is no more still counts until it would have been due.
    pub timers: usize,
    /// Publications with packets that were not forwarded yet, and datagrams for other shards.
    pub waiting: usize,
}

/// What goes to one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// What the path carries.
    pub estimate: Bitrate,
    /// What was divided among sounds and pictures at the last allocation.
    pub allocated: Bitrate,
    /// Packets that wait for their time.
    pub waiting: usize,
}

impl<S: Sink> Shard<S> {
    /// Counts what there is.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            peers: self.peers.len(),
            tracks: self.tracks.len(),
            rooms: self.rooms.len(),
            paths: self.by_path.len(),
            ufrags: self.by_ufrag.len(),
            names: self.by_participant.len()
                + self.by_room.len()
                + self.by_source.len()
                + self.by_publication.len(),
            timers: self.timers.len() + self.room_timers.len(),
            waiting: self.touched.len() + self.neighbours.waiting(),
        }
    }

    /// What goes to a participant; `None` when they are not here.
    #[must_use]
    pub fn flow(&self, participant: ParticipantId) -> Option<Flow> {
        let peer = self.peers.get(*self.by_participant.get(&participant)?)?;
        Some(Flow {
            estimate: peer.outflow.estimate(),
            allocated: peer.allocator.allocated(),
            waiting: peer.outflow.waiting(),
        })
    }
}
