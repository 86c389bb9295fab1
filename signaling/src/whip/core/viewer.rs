//! What a player is shown of a call: it has room for one sound and one picture (draft-ietf-wish-whep, section
//! 4.4.2), and in a call there may be many.
//!
//! Of pictures a screen comes first, the latest that was shared; then whoever has the floor; else who was shown stays,
//! or the latest to come. Of sounds the unit of media forwards the loudest by itself. A player may have named one
//! person or participant: then it is their sound and picture alone.

use crate::call::core::effect::{Entry, Roster};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::CALL_PREFERENCES;
use kaiwa_sfu::control::{Hears, ParticipantId, Publication, PublicationId, Source, Wish};
use kaiwa_sfu::unit::MediaKind;
use std::collections::BTreeMap;

/// The size that is asked for: what a browser's window or a television shows. Paths that don't carry it get less.
const SIZE: (u16, u16) = (1920, 1080);

/// Whom a player has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// Nobody.
    Anybody,
    /// A person, whichever their participants are.
    User(UserId),
    /// One participant.
    Participant(ParticipantId),
}

impl Pick {
    fn takes(&self, entry: &Entry) -> bool {
        match self {
            Self::Anybody => true,
            Self::User(user) => entry.user.id == *user,
            Self::Participant(participant) => entry.participant == *participant,
        }
    }

    /// Whether somebody of these publishes something that is not muted.
    #[must_use]
    pub fn is_live(&self, roster: &Roster) -> bool {
        let mut entries = roster.entries.iter().filter(|entry| self.takes(entry));
        entries.any(|entry| entry.publications.iter().any(|one| !one.is_muted))
    }
}

/// One player's view of a call.
#[derive(Debug)]
pub struct Viewer {
    pick: Pick,
    /// Its own participant: nobody sees themselves.
    own: ParticipantId,
    /// Of the roster that was applied last.
    version: u64,
    entries: BTreeMap<ParticipantId, Entry>,
    active: Option<ParticipantId>,
    shown: Option<PublicationId>,
    told: Vec<Wish>,
}

impl Viewer {
    /// Of this participant.
    #[must_use]
    pub fn new(own: ParticipantId, pick: Pick) -> Self {
        Self {
            pick,
            own,
            version: 0,
            entries: BTreeMap::new(),
            active: None,
            shown: None,
            told: Vec::new(),
        }
    }

    /// Who is in the call, or what changed of it. Gives the wishes, all of them, when they are others than before.
    pub fn handle_roster(&mut self, roster: &Roster) -> Option<Vec<Wish>> {
        if roster.summary.version < self.version {
            return None;
        }
        self.version = roster.summary.version;
        if roster.is_full {
            self.entries.clear();
        }
        for (gone, _) in &roster.gone {
            self.entries.remove(gone);
        }
        for entry in &roster.entries {
            if entry.participant != self.own {
                self.entries.insert(entry.participant, entry.clone());
            }
        }
        self.settle()
    }

    /// Who has the floor. Gives the wishes as [`Self::handle_roster`] does.
    pub fn handle_active(&mut self, active: Option<ParticipantId>) -> Option<Vec<Wish>> {
        self.active = active;
        self.settle()
    }

    /// Whose sounds it is sent.
    #[must_use]
    pub fn hears(&self) -> Hears {
        match self.pick {
            Pick::Anybody => Hears::Everybody,
            Pick::User(_) | Pick::Participant(_) => Hears::Named,
        }
    }

    fn settle(&mut self) -> Option<Vec<Wish>> {
        self.shown = self.picture().map(|one| one.id);
        let picture = self.shown.map(wish);
        let sounds = self.sounds().map(wish);
        let wishes: Vec<Wish> = picture
            .into_iter()
            .chain(sounds)
            .take(CALL_PREFERENCES)
            .collect();
        if wishes == self.told {
            return None;
        }
        self.told.clone_from(&wishes);
        Some(wishes)
    }

    /// Pictures of those who were picked, the latest last.
    fn pictures(&self) -> impl Iterator<Item = &Publication> {
        let picked = self.entries.values().filter(|entry| self.pick.takes(entry));
        let all = picked.flat_map(|entry| &entry.publications);
        all.filter(|one| one.source.kind() == MediaKind::Video && !one.is_muted)
    }

    fn picture(&self) -> Option<&Publication> {
        let latest = |one: &&Publication| one.id;
        let screen = self.pictures().filter(|one| one.source == Source::Screen);
        let of_active = self
            .pictures()
            .filter(|one| Some(one.participant) == self.active);
        screen
            .max_by_key(latest)
            .or_else(|| of_active.max_by_key(latest))
            .or_else(|| self.pictures().find(|one| Some(one.id) == self.shown))
            .or_else(|| self.pictures().max_by_key(latest))
    }

    /// Sounds of those who were picked by name; of anybody the loudest come by themselves.
    fn sounds(&self) -> impl Iterator<Item = PublicationId> {
        let named = self.entries.values();
        let named = named.filter(|entry| self.hears() == Hears::Named && self.pick.takes(entry));
        let sounds = named.flat_map(|entry| &entry.publications);
        let sounds = sounds.filter(|one| one.source.kind() == MediaKind::Audio);
        sounds.map(|one| one.id)
    }
}

fn wish(publication: PublicationId) -> Wish {
    Wish {
        publication,
        width: SIZE.0,
        height: SIZE.1,
        is_paused: false,
    }
}

#[cfg(test)]
mod tests;
