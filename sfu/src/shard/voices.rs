//! Who is heard, and who speaks.

use super::{Shard, Sink};
use crate::control::{Event, Speaker};
use crate::core::forward::SourceKey;
use crate::core::receive::Arrival;
use crate::shard::rooms::RoomState;
use crate::table::Key;
use crate::track::Track;
use std::time::Instant;

impl<S: Sink> Shard<S> {
    /// A packet of a voice came.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        key: Key<Track>,
        arrival: &Arrival,
        payload_bytes: usize,
    ) {
        let Some(track) = self.tracks.get(key) else {
            return;
        };
        let (Some(voice), false) = (track.voice, track.is_muted) else {
            return;
        };
        let Some(room_key) = self.peers.get(track.owner).map(|peer| peer.room) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(room_key) else {
            return;
        };
        let bytes = u16::try_from(payload_bytes).unwrap_or(u16::MAX);
        room.voices.handle_packet(now, voice, arrival.level, bytes);
        let due = room.voices.next_due().unwrap_or(now);
        self.room_timers
            .schedule(room_key, due, &mut room.scheduled);
        self.settle_voices(now, room_key);
    }

    /// Takes what changed about who is heard into the room.
    pub(super) fn settle_voices(&mut self, now: Instant, key: Key<RoomState>) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if !room.take_changes() {
            return;
        }
        let heard = room.heard.iter().chain(&room.standby);
        let order: Vec<_> = heard
            .filter_map(|source| self.by_source.get(source))
            .filter_map(|track| self.tracks.get(*track))
            .map(|track| track.id)
            .collect();
        if let Some(room) = self.rooms.get_mut(key) {
            room.core.handle_heard(&order);
        }
        self.perform_room(now, key);
    }

    /// Says who speaks, if that changed.
    pub(super) fn attend_voices(&mut self, now: Instant, key: Key<RoomState>) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let mut speaking = std::mem::take(&mut room.speaking);
        let has_changed = room.voices.poll_speakers(now, &mut speaking);
        if let Some(due) = room.voices.next_due()
            && !room.members.is_empty()
        {
            self.room_timers.schedule(key, due, &mut room.scheduled);
        }
        let floor = room.voices.floor();
        let id = room.core.id().clone();
        if has_changed {
            let speakers = speaking.iter().filter_map(|speaking| {
                Some(Speaker {
                    participant: self.owner_of(speaking.source)?,
                    level: speaking.level,
                })
            });
            self.tell(Event::Speakers {
                room: id,
                speakers: speakers.collect(),
                active: floor.and_then(|source| self.owner_of(source)),
            });
        }
        if let Some(room) = self.rooms.get_mut(key) {
            room.speaking = speaking;
        }
        self.settle_voices(now, key);
    }

    fn owner_of(&self, source: SourceKey) -> Option<crate::control::ParticipantId> {
        let track = self.tracks.get(*self.by_source.get(&source)?)?;
        self.peers.get(track.owner).map(|peer| peer.participant)
    }
}
