//! Comings and goings, for the log and the metrics: who came by which way, when media got through, and how it was in
//! the end, once the SFU has said so.

use super::CallCore;
use super::effect::{At, Effect, EndReason};
use super::state::Participant;
use crate::call::whence::Way;
use kaiwa_common::id::RoomId;
use kaiwa_sfu::control::ParticipantId;
use kaiwa_sfu::inspect::MediaSummary;
use std::time::Duration;

/// Something that is noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// Somebody is in a call.
    Joined {
        /// Which room's.
        room: RoomId,
        /// As whom.
        participant: ParticipantId,
        /// By which door.
        way: Way,
    },
    /// Media got through to them for the first time, so long after the SFU had taken them.
    Connected(Duration),
    /// They are no longer in it.
    Left(Box<Left>),
}

/// Somebody's part in a call, at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// In which room's.
    pub room: RoomId,
    /// As whom.
    pub participant: ParticipantId,
    /// By which door they came.
    pub way: Way,
    /// Why it ended.
    pub reason: EndReason,
    /// How long it was.
    pub lasted: Duration,
    /// How their media was, as far as that is known.
    pub media: Option<Box<MediaSummary>>,
}

impl CallCore {
    /// Somebody whom the SFU has taken is in the call.
    pub(super) fn note_joined(&mut self, room: &RoomId, participant: ParticipantId, way: Way) {
        self.note(Noted::Joined {
            room: room.clone(),
            participant,
            way,
        });
    }

    /// Media gets through to somebody.
    pub(super) fn note_connected(&mut self, room: &RoomId, id: ParticipantId, at: At) {
        let participant = self.participant_mut(room, id);
        let Some(participant) = participant.filter(|p| p.is_present()) else {
            return;
        };
        if !std::mem::replace(&mut participant.was_connected, true) {
            let took = at.now.saturating_duration_since(participant.entered);
            self.note(Noted::Connected(took));
        }
    }

    /// Somebody who was in the call is not any more. What the SFU has to say of it is awaited, unless it has.
    pub(super) fn note_left(
        &mut self,
        (room, id): (&RoomId, ParticipantId),
        gone: &Participant,
        reason: EndReason,
        at: At,
    ) {
        let left = Box::new(Left {
            room: room.clone(),
            participant: id,
            way: gone.way,
            reason,
            lasted: at.now.saturating_duration_since(gone.entered),
            media: None,
        });
        self.leaving.insert(id, left);
    }

    /// The SFU says how the media of somebody who is gone was.
    pub(super) fn settle_left(&mut self, id: ParticipantId, media: Option<Box<MediaSummary>>) {
        if let Some(mut left) = self.leaving.remove(&id) {
            left.media = media;
            self.note(Noted::Left(left));
        }
    }

    /// The SFU says nothing more of those who have left.
    pub(super) fn settle_all_left(&mut self) {
        for (_, left) in std::mem::take(&mut self.leaving) {
            self.note(Noted::Left(left));
        }
    }

    /// The SFU took somebody's leave; or could not, and then says nothing of it.
    pub fn handle_leave_taken(&mut self, id: ParticipantId, is_taken: bool) {
        if !is_taken {
            self.settle_left(id, None);
        }
    }

    fn note(&mut self, noted: Noted) {
        self.effects.push_back(Effect::Note(noted));
    }
}
