//! One room's call: its participants, and what of them was not told yet.

use super::effect::{EndReason, Entry, Roster, SessionNo, Summary, Ticket};
use super::rights::{Powers, Standing};
use crate::call::whence::Way;
use crate::session::core::bucket::TokenBucket;
use kaiwa_chat::model::{Actor, Role};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{
    CALL_MUTE_BURST, CALL_MUTES_PER_S, CALL_OFFER_BURST, CALL_OFFERS_PER_S, CALL_PREFER_BURST,
    CALL_PREFERS_PER_S, CALL_QUALITIES, CALL_QUALITY_NAMED,
};
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::CallGrant;
use kaiwa_sfu::control::{ParticipantId, Publication, PublicationId, Quality, Slot, Wanted};
use kaiwa_sfu::core::negotiate::VideoCodecs;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// How far a participant is.
///
/// ```text
///           the SFU takes them          leave, removal, loss …
///  Entering ──────────────────► Present ──────────────────────► (gone)
///     └──────────── it refuses, or they leave first ───────────────►┘
/// ```
#[derive(Debug)]
pub(super) enum Phase {
    /// The SFU was asked; these commands wait for it. Nobody else knows of them yet.
    Entering(Vec<Ticket>),
    /// In the call.
    Present,
}

/// Somebody in a call.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) session: SessionNo,
    pub(super) actor: Actor,
    pub(super) grant: CallGrant,
    pub(super) standing: Standing,
    pub(super) powers: Powers,
    /// By which door they came.
    pub(super) way: Way,
    pub(super) joined: UnixMs,
    /// When the SFU had taken them.
    pub(super) entered: Instant,
    /// Media got through once.
    pub(super) was_connected: bool,
    pub(super) phase: Phase,
    /// Their session has no connection; they leave at this time.
    pub(super) away: Option<Instant>,
    /// Their session was away: the reply to their join may be lost.
    pub(super) was_away: bool,
    /// Their media does not get through.
    pub(super) is_media_lost: bool,
    pub(super) publications: BTreeMap<PublicationId, Publication>,
    /// As the SFU said last.
    pub(super) slots: Option<(Vec<Slot>, Wanted)>,
    pub(super) quality: Quality,
    /// When it last changed.
    pub(super) quality_changed: Option<Instant>,
}

/// What a session may ask for in how short a time, whichever call it is in: who leaves and comes again has what
/// was left.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) offers: TokenBucket,
    pub(super) prefers: TokenBucket,
    pub(super) mutes: TokenBucket,
}

impl Rates {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            offers: TokenBucket::new(CALL_OFFERS_PER_S, CALL_OFFER_BURST, now),
            prefers: TokenBucket::new(CALL_PREFERS_PER_S, CALL_PREFER_BURST, now),
            mutes: TokenBucket::new(CALL_MUTES_PER_S, CALL_MUTE_BURST, now),
        }
    }
}

impl Participant {
    pub(super) fn is_present(&self) -> bool {
        matches!(self.phase, Phase::Present)
    }

    /// Whether pushes reach them now. Nothing is kept for those who are away: they get all of it when
    /// they are back.
    pub(super) fn listens(&self) -> bool {
        self.is_present() && self.away.is_none()
    }

    /// The role in which they act.
    pub(super) fn role(&self) -> Role {
        super::rights::acting_role(self.standing.role, self.actor.role)
    }

    fn entry(&self, participant: ParticipantId) -> Entry {
        Entry {
            participant,
            user: self.actor.user.clone(),
            joined: self.joined,
            publications: self.publications.values().copied().collect(),
            is_interrupted: self.away.is_some() || self.is_media_lost,
        }
    }
}

/// One room's call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) started: UnixMs,
    version: u64,
    pub(super) participants: BTreeMap<ParticipantId, Participant>,
    /// The codecs of pictures that the first who may publish some asked for; none are the server's own.
    pub(super) video_codecs: Option<VideoCodecs>,
    /// Whose each publication is.
    owners: BTreeMap<PublicationId, ParticipantId>,
    present: u32,
    changed: BTreeSet<ParticipantId>,
    gone: Vec<(ParticipantId, EndReason)>,
    /// The next roster names everybody.
    is_whole_due: bool,
    pub(super) roster_told: Option<Instant>,
    pub(super) roster_due: Option<Instant>,
    pub(super) quality_told: Option<Instant>,
    pub(super) quality_due: Option<Instant>,
}

impl Call {
    pub(super) fn new(started: UnixMs, version: u64) -> Self {
        Self {
            started,
            version,
            participants: BTreeMap::new(),
            video_codecs: None,
            owners: BTreeMap::new(),
            present: 0,
            changed: BTreeSet::new(),
            gone: Vec::new(),
            is_whole_due: false,
            roster_told: None,
            roster_due: None,
            quality_told: None,
            quality_due: None,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn summary(&self) -> Summary {
        let is_on = self.present > 0;
        Summary {
            version: self.version,
            count: self.present,
            started: if is_on { self.started } else { UnixMs(0) },
        }
    }

    /// Somebody came in.
    pub(super) fn came(&mut self, participant: ParticipantId) {
        self.present += 1;
        self.changed(participant);
    }

    /// Somebody is different from what was told.
    pub(super) fn changed(&mut self, participant: ParticipantId) {
        self.version += 1;
        self.changed.insert(participant);
    }

    /// Takes somebody out.
    pub(super) fn remove(
        &mut self,
        participant: ParticipantId,
        reason: EndReason,
    ) -> Option<Participant> {
        let gone = self.participants.remove(&participant)?;
        self.changed.remove(&participant);
        for publication in gone.publications.keys() {
            self.owners.remove(publication);
        }
        if gone.is_present() {
            self.present -= 1;
            self.version += 1;
            self.gone.push((participant, reason));
        }
        Some(gone)
    }

    /// Something may have been missed: the next roster names everybody.
    pub(super) fn tell_whole(&mut self) {
        self.version += 1;
        self.is_whole_due = true;
    }

    /// Everybody, as they are now.
    pub(super) fn roster(&self, room: &RoomId) -> Roster {
        let present = self.participants.iter().filter(|(_, p)| p.is_present());
        Roster {
            room: room.clone(),
            summary: self.summary(),
            is_full: true,
            entries: present.map(|(id, p)| p.entry(*id)).collect(),
            gone: Vec::new(),
        }
    }

    /// What changed since this was asked last.
    pub(super) fn take_changes(&mut self, room: &RoomId) -> Roster {
        let changed = std::mem::take(&mut self.changed);
        let gone = std::mem::take(&mut self.gone);
        if std::mem::take(&mut self.is_whole_due) {
            return self.roster(room);
        }
        let entry = |id| Some(self.participants.get(&id)?.entry(id));
        Roster {
            room: room.clone(),
            summary: self.summary(),
            is_full: false,
            entries: changed.into_iter().filter_map(entry).collect(),
            gone,
        }
    }

    /// The sessions that pushes reach, by ascending number.
    pub(super) fn listeners(&self) -> Vec<SessionNo> {
        let listening = self.participants.values().filter(|p| p.listens());
        sorted(listening.map(|p| p.session).collect())
    }

    /// The sessions that are in it, by ascending number.
    pub(super) fn sessions(&self) -> Vec<SessionNo> {
        let present = self.participants.values().filter(|p| p.is_present());
        sorted(present.map(|p| p.session).collect())
    }

    /// How many publish something.
    pub(super) fn publishers(&self) -> usize {
        let publishing = |p: &&Participant| !p.publications.is_empty();
        self.participants.values().filter(publishing).count()
    }

    /// Whose a publication is.
    pub(super) fn owner(&self, publication: PublicationId) -> Option<ParticipantId> {
        self.owners.get(&publication).copied()
    }

    /// A publication appeared or changed; false when its owner is not here or may not have it.
    pub(super) fn publish(&mut self, publication: Publication) -> bool {
        let Some(owner) = self.participants.get_mut(&publication.participant) else {
            return false;
        };
        if !owner.powers.rights.may_publish(publication.source) {
            return false;
        }
        owner.publications.insert(publication.id, publication);
        self.owners.insert(publication.id, publication.participant);
        true
    }

    /// A publication ended; gives whose it was.
    pub(super) fn unpublish(&mut self, publication: PublicationId) -> Option<ParticipantId> {
        let owner = self.owners.remove(&publication)?;
        if let Some(participant) = self.participants.get_mut(&owner) {
            participant.publications.remove(&publication);
        }
        Some(owner)
    }

    /// Whether this person is in it.
    pub(super) fn has(&self, user: &UserId) -> bool {
        let mut users = self.participants.values().map(|p| &p.actor.user.id);
        users.any(|other| other == user)
    }

    /// Whose media is not well, or was not until shortly before; the worst first.
    pub(super) fn qualities(&self, now: Instant) -> Vec<(ParticipantId, Quality)> {
        let is_named = |p: &Participant| {
            let recent = |at: Instant| now.saturating_duration_since(at) < CALL_QUALITY_NAMED;
            p.is_present() && (p.quality < Quality::Good || p.quality_changed.is_some_and(recent))
        };
        let named = self.participants.iter().filter(|(_, p)| is_named(p));
        let mut named: Vec<_> = named.map(|(id, p)| (*id, p.quality)).collect();
        named.sort_by_key(|(id, quality)| (*quality, *id));
        named.truncate(CALL_QUALITIES);
        named
    }
}

fn sorted(mut sessions: Vec<SessionNo>) -> Vec<SessionNo> {
    sessions.sort_unstable();
    sessions
}
