//! What the SFU tells. Events about somebody who is not here (any more) are old news.

use super::CallCore;
use super::effect::{At, Effect, EndReason, Push, Signal};
use kaiwa_common::id::RoomId;
use kaiwa_sfu::control::{
    Connectivity, Event, GoneReason, ParticipantId, Publication, PublicationId, Quality, Slot,
    Speaker, Wanted,
};

impl CallCore {
    /// Takes an event.
    pub fn handle_event(&mut self, event: Event, at: At) {
        match event {
            Event::Published { room, publication } => self.published(&room, publication, at),
            Event::Unpublished {
                room, publication, ..
            } => self.unpublished(&room, publication, at),
            Event::Slots {
                participant,
                slots,
                wanted,
            } => self.slots(participant, slots, wanted),
            Event::Speakers {
                room,
                speakers,
                active,
            } => self.speakers(room, speakers, active),
            Event::Quality {
                room,
                participant,
                quality,
            } => self.quality(&room, participant, quality, at),
            Event::Connectivity {
                room,
                participant,
                connectivity,
            } => self.connectivity(&room, participant, connectivity, at),
            Event::Gone {
                participant,
                reason,
                media,
                ..
            } => {
                self.forget(participant, reason.into(), at);
                self.settle_left(participant, media);
            }
        }
    }

    /// Events were lost: what is known of each call is told whole. (What they would have changed is
    /// learned with the next event about it, or from the SFU's answer to the participant's next command.)
    pub fn handle_events_lost(&mut self, at: At) {
        self.settle_all_left();
        let rooms: Vec<RoomId> = self.calls.keys().cloned().collect();
        for room in rooms {
            self.calls.get_mut(&room).expect("just seen").tell_whole();
            self.schedule_roster(&room, at.now);
        }
    }

    fn published(&mut self, room: &RoomId, publication: Publication, at: At) {
        if let Some(call) = self.calls.get_mut(room)
            && call.publish(publication)
        {
            self.changed(room, publication.participant, at.now);
        }
    }

    fn unpublished(&mut self, room: &RoomId, publication: PublicationId, at: At) {
        if let Some(call) = self.calls.get_mut(room)
            && let Some(owner) = call.unpublish(publication)
        {
            self.changed(room, owner, at.now);
        }
    }

    fn slots(&mut self, id: ParticipantId, slots: Vec<Slot>, wanted: Wanted) {
        let Some(room) = self.rooms.get(&id).cloned() else {
            return;
        };
        let participant = self
            .participant_mut(&room, id)
            .expect("a room's participant");
        participant.slots = Some((slots, wanted));
        if participant.listens() {
            self.tell_slots(&room, id);
        }
    }

    pub(super) fn tell_slots(&mut self, room: &RoomId, id: ParticipantId) {
        let call = &self.calls[room];
        let participant = &call.participants[&id];
        let Some((slots, wanted)) = participant.slots.as_ref().filter(|_| participant.listens())
        else {
            return;
        };
        let owner = |slot: &Slot| call.owner(slot.publication?);
        let push = Push::Slots {
            room: room.clone(),
            slots: slots.iter().map(|slot| (*slot, owner(slot))).collect(),
            wanted: *wanted,
        };
        let session = participant.session;
        self.push(session, push);
    }

    fn speakers(
        &mut self,
        room: RoomId,
        mut speakers: Vec<Speaker>,
        active: Option<ParticipantId>,
    ) {
        let Some(call) = self.calls.get(&room) else {
            return;
        };
        let is_here =
            |id: &ParticipantId| call.participants.get(id).is_some_and(|p| p.is_present());
        speakers.retain(|speaker| is_here(&speaker.participant));
        let active = active.filter(is_here);
        let to = call.listeners();
        if to.is_empty() {
            return;
        }
        let signal = Signal::Speakers {
            room,
            speakers,
            active,
        };
        self.effects.push_back(Effect::Signal { to, signal });
    }

    fn quality(&mut self, room: &RoomId, id: ParticipantId, quality: Quality, at: At) {
        let Some(participant) = self.participant_mut(room, id) else {
            return;
        };
        if participant.quality != quality {
            participant.quality = quality;
            participant.quality_changed = Some(at.now);
            self.schedule_quality(room, at.now);
        }
    }

    fn connectivity(
        &mut self,
        room: &RoomId,
        id: ParticipantId,
        connectivity: Connectivity,
        at: At,
    ) {
        let Some(participant) = self.participant_mut(room, id) else {
            return;
        };
        let is_lost = connectivity == Connectivity::Interrupted;
        if participant.is_media_lost != is_lost {
            participant.is_media_lost = is_lost;
            self.changed(room, id, at.now);
        }
        if !is_lost {
            self.note_connected(room, id, at);
        }
    }
}

impl From<GoneReason> for EndReason {
    fn from(reason: GoneReason) -> Self {
        match reason {
            GoneReason::TimedOut => Self::TimedOut,
            GoneReason::NeverConnected | GoneReason::HandshakeFailed => Self::Failed,
            // Whoever leaves by our command is forgotten before the SFU says so.
            GoneReason::Left | GoneReason::Fault => Self::Server,
        }
    }
}
