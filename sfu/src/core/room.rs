//! Who gets whose media: a room's participants, what they publish, and the slots that each
//! subscriber receives through.
//!
//! A subscriber has a pool of receiving m-lines, its *slots*. Publications are put into slots and taken
//! out of them; nobody renegotiates when people come and go. Sound goes to whoever has a slot for it,
//! the loudest first when there are more speakers than slots. Pictures go where they are wished for, in
//! the order of the wishes.
//!
//! Nothing here knows of packets, layers or rates: see [`super::allocate`] and [`super::forward`].

mod slots;

use crate::control::{
    Event, Hears, ParticipantId, Publication, PublicationId, Rights, SfuError, Slot, Source,
    Wanted, Wish,
};
use crate::unit::{MediaKind, Mid};
use kaiwa_common::id::RoomId;
use slots::SlotTable;
use std::collections::BTreeMap;

/// Participants of one room. One more is refused.
pub const PARTICIPANTS: usize = 10_000;

/// Tracks that one participant publishes: two of each source. One more is refused.
pub const PUBLICATIONS_EACH: usize = 8;

/// Wishes of one subscriber that count; the rest is ignored. More pictures do not fit on a screen.
pub const WISHES: usize = 64;

/// Receiving m-lines for pictures that the server asks for, at most.
pub const VIDEO_SLOTS: u8 = 32;

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A slot carries something else from now on.
    Assign(Assignment),
    /// Tell the caller.
    Tell(Event),
    /// Nothing of a publication is forwarded (true), or it is again (false).
    Gate(PublicationId, bool),
}

/// What a slot carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// Whose slot.
    pub participant: ParticipantId,
    /// Which.
    pub mid: Mid,
    /// What it carries from now on.
    pub publication: Option<PublicationId>,
}

/// One person in the room.
#[derive(Debug)]
struct Member {
    rights: Rights,
    slots: SlotTable,
    wishes: Vec<Wish>,
    hears: Hears,
    published: usize,
    /// What was last told of the slots.
    told: Option<(Vec<Slot>, Wanted)>,
}

/// What somebody publishes.
#[derive(Debug, Clone, Copy)]
struct Published {
    as_told: Publication,
}

/// A room's members, publications and slots.
///
/// After each input the slots are as they should be; what changed is in the effects.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    audio_slots: u8,
    members: BTreeMap<ParticipantId, Member>,
    publications: BTreeMap<PublicationId, Published>,
    /// Sound by falling importance: those that are heard when there are more than slots.
    heard: Vec<PublicationId>,
    effects: Vec<Effect>,
}

impl Room {
    /// An empty room, in which subscribers are given so many slots for sound.
    #[must_use]
    pub fn new(id: RoomId, audio_slots: u8) -> Self {
        Self {
            id,
            audio_slots,
            members: BTreeMap::new(),
            publications: BTreeMap::new(),
            heard: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// The room.
    #[must_use]
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// Nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes what there is to do, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// A publication as it is now.
    #[must_use]
    pub fn publication(&self, id: PublicationId) -> Option<&Publication> {
        self.publications.get(&id).map(|p| &p.as_told)
    }

    /// What somebody may.
    #[must_use]
    pub fn rights(&self, participant: ParticipantId) -> Option<Rights> {
        self.members.get(&participant).map(|m| m.rights)
    }

    /// The wish for a publication, if it has one.
    #[must_use]
    pub fn wish(
        &self,
        participant: ParticipantId,
        publication: PublicationId,
    ) -> Option<(usize, Wish)> {
        let wishes = &self.members.get(&participant)?.wishes;
        let at = wishes.iter().position(|w| w.publication == publication)?;
        Some((at, wishes[at]))
    }

    /// Somebody enters; again with other rights.
    ///
    /// # Errors
    /// [`SfuError::LimitReached`] when the room is full.
    pub fn handle_join(
        &mut self,
        participant: ParticipantId,
        rights: Rights,
    ) -> Result<(), SfuError> {
        if let Some(member) = self.members.get_mut(&participant) {
            member.rights = rights;
            self.settle(participant);
            return Ok(());
        }
        if self.members.len() >= PARTICIPANTS {
            return Err(limit_reached("participants in a room", PARTICIPANTS));
        }
        let member = Member {
            rights,
            slots: SlotTable::default(),
            wishes: Vec::new(),
            hears: Hears::default(),
            published: 0,
            told: None,
        };
        self.members.insert(participant, member);
        Ok(())
    }

    /// Somebody is gone, with what they published.
    pub fn handle_leave(&mut self, participant: ParticipantId) {
        if self.members.remove(&participant).is_none() {
            return;
        }
        let theirs: Vec<PublicationId> = self
            .publications
            .values()
            .filter(|p| p.as_told.participant == participant)
            .map(|p| p.as_told.id)
            .collect();
        theirs.iter().for_each(|id| self.remove(*id));
        if !theirs.is_empty() {
            self.settle_all();
        }
    }

    /// Somebody offers a track to the room.
    ///
    /// # Errors
    /// [`SfuError::Forbidden`] without the right, [`SfuError::LimitReached`] with too many tracks.
    pub fn handle_publish(&mut self, publication: Publication) -> Result<(), SfuError> {
        let Some(member) = self.members.get_mut(&publication.participant) else {
            return Err(SfuError::NoSuchParticipant);
        };
        if !member.rights.may_publish(publication.source) {
            return Err(SfuError::Forbidden);
        }
        if member.published >= PUBLICATIONS_EACH {
            return Err(limit_reached("tracks of a participant", PUBLICATIONS_EACH));
        }
        member.published += 1;
        let added = Published {
            as_told: publication,
        };
        self.publications.insert(publication.id, added);
        if publication.source.kind() == MediaKind::Audio {
            self.heard.push(publication.id);
        }
        self.tell_published(publication);
        self.settle_all();
        Ok(())
    }

    /// A track ends.
    pub fn handle_unpublish(&mut self, id: PublicationId) {
        if self.publications.contains_key(&id) {
            self.remove(id);
            self.settle_all();
        }
    }

    /// A track comes in so many encodings from now on.
    pub fn handle_layers(&mut self, id: PublicationId, layers: u8) {
        let Some(publication) = self.publications.get_mut(&id) else {
            return;
        };
        if publication.as_told.layers != layers {
            publication.as_told.layers = layers;
            let told = publication.as_told;
            self.tell_published(told);
        }
    }

    /// Mutes or unmutes.
    ///
    /// # Errors
    /// [`SfuError::NoSuchPublication`] when it is not that participant's.
    pub fn handle_mute(
        &mut self,
        participant: ParticipantId,
        id: PublicationId,
        is_muted: bool,
    ) -> Result<(), SfuError> {
        let found = self.publications.get_mut(&id);
        let Some(publication) = found.filter(|p| p.as_told.participant == participant) else {
            return Err(SfuError::NoSuchPublication);
        };
        if publication.as_told.is_muted != is_muted {
            publication.as_told.is_muted = is_muted;
            let told = publication.as_told;
            self.effects.push(Effect::Gate(id, is_muted));
            self.tell_published(told);
            self.settle_all();
        }
        Ok(())
    }

    /// The receiving m-lines of a subscriber, all of them.
    pub fn handle_slots(&mut self, participant: ParticipantId, lines: &[(Mid, MediaKind)]) {
        if let Some(member) = self.members.get_mut(&participant) {
            for mid in member.slots.set_lines(lines) {
                self.effects.push(Effect::Assign(Assignment {
                    participant,
                    mid,
                    publication: None,
                }));
            }
            self.settle(participant);
        }
    }

    /// What a subscriber wants to see.
    pub fn handle_prefer(&mut self, participant: ParticipantId, wishes: &[Wish], hears: Hears) {
        if let Some(member) = self.members.get_mut(&participant) {
            member.hears = hears;
            member.wishes.clear();
            for wish in wishes {
                let is_new = !member
                    .wishes
                    .iter()
                    .any(|w| w.publication == wish.publication);
                if is_new && member.wishes.len() < WISHES {
                    member.wishes.push(*wish);
                }
            }
            self.settle(participant);
        }
    }

    /// The order of sounds, the most important first. Those that are left out come last.
    pub fn handle_heard(&mut self, order: &[PublicationId]) {
        let rank = |id: &PublicationId| order.iter().position(|o| o == id).unwrap_or(order.len());
        let before = self.heard.clone();
        self.heard.sort_by_key(rank);
        if before != self.heard {
            self.settle_all();
        }
    }

    fn tell_published(&mut self, publication: Publication) {
        self.effects.push(Effect::Tell(Event::Published {
            room: self.id.clone(),
            publication,
        }));
    }

    fn remove(&mut self, id: PublicationId) {
        let Some(removed) = self.publications.remove(&id) else {
            return;
        };
        let participant = removed.as_told.participant;
        if let Some(owner) = self.members.get_mut(&participant) {
            owner.published -= 1;
        }
        self.heard.retain(|heard| *heard != id);
        self.effects.push(Effect::Tell(Event::Unpublished {
            room: self.id.clone(),
            publication: id,
            participant,
        }));
    }

    fn settle_all(&mut self) {
        let all: Vec<ParticipantId> = self.members.keys().copied().collect();
        // Once for everybody: most of a crowd is muted.
        let audible = self.audible();
        all.into_iter()
            .for_each(|participant| self.settle_with(participant, &audible));
    }

    fn settle(&mut self, participant: ParticipantId) {
        let audible = self.audible();
        self.settle_with(participant, &audible);
    }

    /// Sounds that somebody could hear, by falling importance, and whose they are.
    fn audible(&self) -> Vec<(PublicationId, ParticipantId)> {
        let sounds = self.heard.iter().filter_map(|id| self.publication(*id));
        let audible = sounds.filter(|sound| !sound.is_muted);
        audible.map(|sound| (sound.id, sound.participant)).collect()
    }

    /// Puts into a subscriber's slots what belongs there.
    fn settle_with(
        &mut self,
        participant: ParticipantId,
        audible: &[(PublicationId, ParticipantId)],
    ) {
        let Some(member) = self.members.get(&participant) else {
            return;
        };
        let (audio, video) = self.wanted_by(participant, member, audible);
        let wanted = self.missing(member, &audio, &video);
        let Some(member) = self.members.get_mut(&participant) else {
            return;
        };
        let mut changed = member.slots.fill(MediaKind::Audio, &audio);
        changed.extend(member.slots.fill(MediaKind::Video, &video));
        for (mid, publication) in changed {
            self.effects.push(Effect::Assign(Assignment {
                participant,
                mid,
                publication,
            }));
        }
        self.tell_slots(participant, wanted);
    }

    /// What a subscriber should get, by falling importance: sounds, then pictures.
    fn wanted_by(
        &self,
        participant: ParticipantId,
        member: &Member,
        audible: &[(PublicationId, ParticipantId)],
    ) -> (Vec<PublicationId>, Vec<PublicationId>) {
        if !member.rights.subscribe {
            return (Vec::new(), Vec::new());
        }
        let is_theirs = |p: &Publication| p.participant == participant;
        let hears = |id: PublicationId| {
            let wish = member.wishes.iter().find(|w| w.publication == id);
            wish.map_or(member.hears == Hears::Everybody, |w| !w.is_paused)
        };
        let audio = audible
            .iter()
            .filter(|(id, owner)| *owner != participant && hears(*id))
            .map(|(id, _)| *id)
            // However many slots they have: the rest of a crowd is a murmur, and costs rate.
            .take(usize::from(self.audio_slots))
            .collect();
        let video = member
            .wishes
            .iter()
            .filter_map(|wish| self.publication(wish.publication))
            .filter(|p| !is_theirs(p) && p.source.kind() == MediaKind::Video)
            .map(|p| p.id)
            .collect();
        (audio, video)
    }

    /// Receiving m-lines that a subscriber lacks.
    fn missing(&self, member: &Member, audio: &[PublicationId], video: &[PublicationId]) -> Wanted {
        let lacks = |kind, wanted: usize, most: u8| {
            let wanted = u8::try_from(wanted).unwrap_or(u8::MAX).min(most);
            wanted.saturating_sub(member.slots.count(kind))
        };
        Wanted {
            audio: lacks(MediaKind::Audio, audio.len(), self.audio_slots),
            video: lacks(MediaKind::Video, video.len(), VIDEO_SLOTS),
        }
    }

    fn tell_slots(&mut self, participant: ParticipantId, wanted: Wanted) {
        let Some(member) = self.members.get_mut(&participant) else {
            return;
        };
        let now = (member.slots.as_told(), wanted);
        if member.told.as_ref() != Some(&now) && !(now.0.is_empty() && wanted == Wanted::default())
        {
            member.told = Some(now.clone());
            self.effects.push(Effect::Tell(Event::Slots {
                participant,
                slots: now.0,
                wanted,
            }));
        }
    }

    /// What a slot's layer is now, and why not more; told when it changed.
    pub fn handle_layer(&mut self, participant: ParticipantId, slot: Slot) {
        if let Some(member) = self.members.get_mut(&participant)
            && member.slots.set_layer(slot)
        {
            let wanted = member
                .told
                .as_ref()
                .map_or_else(Wanted::default, |told| told.1);
            self.tell_slots(participant, wanted);
        }
    }

    /// Sources of sound in the room, for choosing the loudest.
    pub fn sounds(&self) -> impl Iterator<Item = &Publication> {
        let is_sound =
            |p: &&Publication| matches!(p.source, Source::Microphone | Source::ScreenAudio);
        self.publications
            .values()
            .map(|p| &p.as_told)
            .filter(is_sound)
    }
}

fn limit_reached(what: &'static str, limit: usize) -> SfuError {
    SfuError::LimitReached {
        what,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests;
