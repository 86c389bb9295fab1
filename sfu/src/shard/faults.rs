//! What is left of a shard after a panic: the room that was worked on is given up, the others go on.

use super::{Shard, Sink};
use crate::control::trace::JoinTrace;
use crate::control::{Event, GoneReason, ParticipantId};
use crate::inspect::MediaSummary;
use crate::table::Key;
use crate::track::Track;
use kaiwa_common::id::RoomId;
use std::time::Instant;

/// A participant whose removal has begun.
pub(super) struct Leaving {
    pub(super) room: RoomId,
    pub(super) participant: ParticipantId,
    pub(super) reason: GoneReason,
    pub(super) trace: Option<Box<JoinTrace>>,
    pub(super) media: Option<Box<MediaSummary>>,
}

impl From<Leaving> for Event {
    fn from(leaving: Leaving) -> Self {
        Self::Gone {
            room: leaving.room,
            participant: leaving.participant,
            reason: leaving.reason,
            trace: leaving.trace,
            media: leaving.media,
        }
    }
}

impl<S: Sink> Shard<S> {
    /// After a panic in one of the others: the room that was worked on is given up, since its state may
    /// be half changed. Without one, all are: nothing is left that can be trusted.
    pub fn handle_panic(&mut self, now: Instant) {
        self.counts.panics += 1;
        self.tell_half_removed();
        match self.focus.take() {
            Some(room) => self.end_room(now, room, GoneReason::Fault),
            None => self.end(now),
        }
        self.sweep();
        // Those that were to be forwarded after it would wait for ever: only a track that has nothing new is noted.
        let tracks = &self.tracks;
        let has_fresh = |key: &Key<Track>| tracks.get(*key).is_some_and(|t| !t.fresh.is_empty());
        self.touched = tracks.keys().into_iter().filter(has_fresh).collect();
        // Nor may it wait for whatever comes next.
        self.held_until = (!self.touched.is_empty()).then_some(now);
    }

    /// Whom a panic hit while they were removed: nothing leads to them any more, and they would be thought present
    /// for ever. Who can still be found is told of when they are removed again.
    fn tell_half_removed(&mut self) {
        let Some(leaving) = self.leaving.take() else {
            return;
        };
        if !self.by_participant.contains_key(&leaving.participant) {
            self.tell(leaving.into());
        }
    }

    /// What a removal that a panic ended has left behind: names and tracks of nobody, and rooms with nobody.
    fn sweep(&mut self) {
        let Self {
            peers,
            tracks,
            by_path,
            neighbours,
            ..
        } = self;
        by_path.retain(|path, peer| {
            let stays = peers.get(*peer).is_some();
            if !stays {
                neighbours.announce(*path, false);
            }
            stays
        });
        self.by_ufrag.retain(|_, peer| peers.get(*peer).is_some());
        for key in tracks.keys() {
            if let Some(track) = tracks.get(key)
                && peers.get(track.owner).is_none()
            {
                self.by_source.remove(&track.source_key);
                self.by_publication.remove(&track.id);
                tracks.remove(key);
            }
        }
        for key in self.rooms.keys() {
            let Some(room) = self.rooms.get_mut(key) else {
                continue;
            };
            room.members.retain(|member| peers.get(*member).is_some());
            if room.members.is_empty() {
                if self.by_room.get(room.core.id()) == Some(&key) {
                    self.by_room.remove(room.core.id());
                }
                self.rooms.remove(key);
            }
        }
    }

    /// After a panic in [`Self::handle_panic`] too: everything is dropped as it is, without its rules. What
    /// was counted stays, and the shard can be joined anew.
    pub fn reset(&mut self) {
        self.counts.panics += 1;
        self.focus = None;
        self.tell_half_removed();
        let mut present: Vec<_> = self.by_participant.drain().collect();
        present.sort_unstable();
        for (participant, key) in present {
            let room = self.peers.get(key).map(|peer| peer.room);
            let room = room.and_then(|room| self.rooms.get(room));
            if let Some(id) = room.map(|room| room.core.id().clone()) {
                self.events.push_back(Event::Gone {
                    room: id,
                    participant,
                    reason: GoneReason::Fault,
                    trace: None,
                    media: None,
                });
            }
        }
        let Self {
            by_path,
            neighbours,
            ..
        } = self;
        by_path.retain(|path, _| {
            neighbours.announce(*path, false);
            false
        });
        self.by_room.clear();
        self.by_ufrag.clear();
        self.by_source.clear();
        self.by_publication.clear();
        self.touched.clear();
        self.held_until = None;
        // Deadlines of what is gone fire for nothing.
        self.peers.clear();
        self.tracks.clear();
        self.rooms.clear();
    }
}
