//! A room on its shard.

use crate::core::audio::{AudioRoom, Change, Speaking};
use crate::core::forward::SourceKey;
use crate::core::room::Room;
use crate::peer::Peer;
use crate::table::Key;
use kaiwa_common::id::RoomId;
use std::time::Instant;

/// A call: who gets what, and who is heard.
pub(crate) struct RoomState {
    pub(crate) core: Room,
    pub(crate) voices: AudioRoom,
    pub(crate) members: Vec<Key<Peer>>,
    /// Voices that are forwarded, in the order in which they began to be.
    pub(crate) heard: Vec<SourceKey>,
    /// The voice that those among them are sent in place of their own.
    pub(crate) standby: Option<SourceKey>,
    pub(crate) speaking: Vec<Speaking>,
    /// The entry among the shard's timers.
    pub(crate) scheduled: Option<Instant>,
}

impl RoomState {
    pub(crate) fn new(id: RoomId, audio_slots: u8) -> Self {
        Self {
            core: Room::new(id, audio_slots),
            voices: AudioRoom::new(usize::from(audio_slots)),
            members: Vec::new(),
            heard: Vec::new(),
            standby: None,
            speaking: Vec::new(),
            scheduled: None,
        }
    }

    /// Takes what changed about who is heard; whether anything did.
    pub(crate) fn take_changes(&mut self) -> bool {
        let standby = self.voices.standby();
        let mut has_changed = standby != self.standby;
        self.standby = standby;
        while let Some(change) = self.voices.poll_change() {
            has_changed = true;
            match change {
                Change::Heard(source) => self.heard.push(source),
                Change::Withheld(source) => self.heard.retain(|heard| *heard != source),
            }
        }
        has_changed
    }
}
