//! Offers: what is agreed becomes tracks and slots.

use super::{Shard, Sink};
use crate::control::{Answer, Offer, Publication, PublicationId, SfuError};
use crate::core::allocate::Basis;
use crate::core::forward::SourceKey;
use crate::core::negotiate::{
    Change, IceCredentials, Line, LocalParameters, MLine, NegotiateError, Negotiated, Receiving,
    Rejection, TransportChange,
};
use crate::peer::Peer;
use crate::peer::inbound::Carries;
use crate::peer::slot::{SendSlot, extension_ids};
use crate::table::Key;
use crate::track::{Subscriber, Track};
use crate::unit::{MediaKind, Mid};
use crate::wire::sdp::{self, Description, Password};
use std::time::Instant;

fn refusal(error: NegotiateError) -> SfuError {
    if error == NegotiateError::NoCommonCodec {
        SfuError::NoCommonCodec
    } else {
        SfuError::BadOffer(error.to_string())
    }
}

impl<S: Sink> Shard<S> {
    /// Answers an offer.
    ///
    /// # Errors
    /// [`SfuError::NoSuchParticipant`], and [`SfuError::BadOffer`] for one that can't be answered.
    pub fn handle_offer(&mut self, now: Instant, offer: &Offer) -> Result<Answer, SfuError> {
        let key = self.peer_of(offer.participant)?;
        let described =
            Description::parse(&offer.sdp).map_err(|e| SfuError::BadOffer(e.to_string()))?;
        let fresh = self.new_credentials();
        let local = self.local(&fresh)?;
        let Some(peer) = self.peers.get_mut(key) else {
            return Err(SfuError::NoSuchParticipant);
        };
        let rights = self
            .rooms
            .get(peer.room)
            .and_then(|room| room.core.rights(peer.participant))
            .unwrap_or_default();
        let negotiated = peer
            .negotiator
            .handle_offer(&described, &local, &offer.tracks, rights)
            .map_err(refusal)?;
        match negotiated.transport {
            TransportChange::New => {
                let peers = negotiated.remote.fingerprints.clone();
                self.by_ufrag.insert(fresh.ufrag(), key);
                peer.transport.begin(fresh, negotiated.role, peers, now);
            }
            TransportChange::Restarted => {
                self.by_ufrag.insert(fresh.ufrag(), key);
                peer.transport.restart(fresh, now);
            }
            TransportChange::Kept => {}
        }
        let outcomes = self.apply_lines(now, key, offer, &negotiated);
        self.schedule(key, now);
        let is_left = |line: &&MLine| line.line == Line::Rejected(Rejection::NoCommonCodec);
        let left = negotiated.lines.iter().filter(is_left);
        Ok(Answer {
            without_codec: left.filter_map(|line| line.mid).collect(),
            sdp: negotiated.answer,
            tracks: outcomes,
        })
    }

    fn local(&self, fresh: &crate::core::ice::Credentials) -> Result<LocalParameters, SfuError> {
        let ufrag = sdp::Ufrag::parse(fresh.ufrag().as_str());
        let password = Password::parse(fresh.password());
        let own = self.setup.identity.fingerprint();
        let fingerprint = sdp::Fingerprint::new(sdp::Hash::Sha256, own.digest());
        match (ufrag, password, fingerprint) {
            (Some(ufrag), Some(password), Some(fingerprint)) => Ok(LocalParameters {
                fresh: IceCredentials { ufrag, password },
                fingerprint,
                candidates: self.setup.candidates.clone(),
            }),
            // Ours are always such.
            _ => Err(SfuError::Unavailable),
        }
    }

    fn apply_lines(
        &mut self,
        now: Instant,
        key: Key<Peer>,
        offer: &Offer,
        negotiated: &Negotiated,
    ) -> Vec<(Mid, Result<PublicationId, SfuError>)> {
        for change in &negotiated.changes {
            match change {
                Change::Ended(line) => self.end_line(now, key, line),
                Change::Began(at) => {
                    if let Some(line) = negotiated.lines.get(*at) {
                        self.begin_line(now, key, line);
                    }
                }
                Change::Changed(at) => {
                    if let Some(line) = negotiated.lines.get(*at) {
                        self.change_line(key, line);
                    }
                }
            }
        }
        self.learn_ids(key, negotiated);
        self.forget_retired(key, negotiated);
        let slots = self.slots_of(key);
        if let Some(peer) = self.peers.get(key) {
            let (participant, room) = (peer.participant, peer.room);
            if let Some(room) = self.rooms.get_mut(room) {
                room.core.handle_slots(participant, &slots);
            }
            self.perform_room(now, room);
        }
        self.outcomes(key, offer, negotiated)
    }

    /// What became of each track that was named.
    fn outcomes(
        &self,
        key: Key<Peer>,
        offer: &Offer,
        negotiated: &Negotiated,
    ) -> Vec<(Mid, Result<PublicationId, SfuError>)> {
        let Some(peer) = self.peers.get(key) else {
            return Vec::new();
        };
        let refusal = |mid: Mid| {
            let line = negotiated.lines.iter().find(|line| line.mid == Some(mid));
            match line.map(|line| &line.line) {
                Some(Line::Refused(crate::core::negotiate::Refusal::Forbidden)) | None => {
                    SfuError::Forbidden
                }
                Some(Line::Refused(refusal)) => SfuError::BadOffer(refusal.to_string()),
                Some(Line::Rejected(Rejection::NoCommonCodec)) => SfuError::NoCommonCodec,
                Some(Line::Rejected(rejection)) => SfuError::BadOffer(rejection.to_string()),
                Some(Line::Inactive | Line::Sending(_)) => {
                    SfuError::BadOffer("the m-line does not send".to_owned())
                }
                Some(Line::Receiving(_)) => {
                    let limit = crate::core::room::PUBLICATIONS_EACH;
                    SfuError::LimitReached {
                        what: "tracks of a participant",
                        limit: u32::try_from(limit).unwrap_or(u32::MAX),
                    }
                }
            }
        };
        let outcome = |mid: Mid| {
            let found = peer.tracks.iter().find(|(of, _)| *of == mid);
            let track = found.and_then(|(_, track)| self.tracks.get(*track));
            track.map(|track| track.id).ok_or_else(|| refusal(mid))
        };
        let tracks = offer.tracks.iter();
        tracks
            .map(|track| (track.mid, outcome(track.mid)))
            .collect()
    }

    /// In a bundle an id means the same in all m-lines.
    fn learn_ids(&mut self, key: Key<Peer>, negotiated: &Negotiated) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let mut ids = peer.inbound.ids;
        let mut has_feedback = false;
        for line in &negotiated.lines {
            let of = match &line.line {
                Line::Receiving(receiving) => extension_ids(&receiving.extensions),
                Line::Sending(sending) => {
                    let ids = extension_ids(&sending.extensions);
                    has_feedback |= ids.transport_cc.is_some();
                    ids
                }
                Line::Inactive | Line::Refused(_) | Line::Rejected(_) => continue,
            };
            ids.mid = ids.mid.or(of.mid);
            ids.rid = ids.rid.or(of.rid);
            ids.repaired_rid = ids.repaired_rid.or(of.repaired_rid);
            ids.audio_level = ids.audio_level.or(of.audio_level);
            ids.abs_send_time = ids.abs_send_time.or(of.abs_send_time);
            ids.transport_cc = ids.transport_cc.or(of.transport_cc);
            ids.dependency_descriptor = ids.dependency_descriptor.or(of.dependency_descriptor);
        }
        peer.inbound.ids = ids;
        peer.outflow.set_has_feedback(has_feedback);
        // Else layers would be chosen by what was assumed until feedback came, only to be taken back.
        let estimate = peer.outflow.estimate();
        peer.allocator.handle_estimate(estimate, Basis::Measured);
    }

    /// An m-line that was stopped never has its SSRC again: the negotiation has forgotten it too.
    fn forget_retired(&mut self, key: Key<Peer>, negotiated: &Negotiated) {
        let is_live = |mid: Mid| {
            let stopped = Line::Rejected(Rejection::Stopped);
            let mut lines = negotiated.lines.iter();
            lines.any(|line| line.mid == Some(mid) && line.line != stopped)
        };
        if let Some(peer) = self.peers.get_mut(key) {
            peer.retired.retain(|slot| is_live(slot.mid));
        }
    }

    fn slots_of(&self, key: Key<Peer>) -> Vec<(Mid, MediaKind)> {
        let Some(peer) = self.peers.get(key) else {
            return Vec::new();
        };
        peer.slots()
            .map(|(_, slot)| (slot.mid, slot.kind))
            .collect()
    }

    fn begin_line(&mut self, now: Instant, key: Key<Peer>, line: &MLine) {
        match &line.line {
            Line::Receiving(receiving) => self.begin_track(now, key, receiving),
            Line::Sending(sending) => {
                let (Some(mid), Some(kind)) = (line.mid, line.kind) else {
                    return;
                };
                let random = self.entropy.bytes();
                let Some(peer) = self.peers.get_mut(key) else {
                    return;
                };
                let Some(mut slot) = SendSlot::new(mid, kind, sending, random, now) else {
                    return;
                };
                // An m-line that is used again has its SSRC again, of which no number may come twice.
                if let Some(at) = peer.retired.iter().position(|old| old.ssrc == slot.ssrc) {
                    slot.go_on_from(peer.retired.swap_remove(at));
                }
                match peer.slots.iter_mut().find(|slot| slot.is_none()) {
                    Some(free) => *free = Some(slot),
                    None => {
                        // A slot is most of a kilobyte, and a vector's own first step is four.
                        peer.slots.reserve_exact(1);
                        peer.slots.push(Some(slot));
                    }
                }
            }
            Line::Inactive | Line::Refused(_) | Line::Rejected(_) => {}
        }
    }

    fn begin_track(&mut self, now: Instant, key: Key<Peer>, receiving: &Receiving) {
        let id = PublicationId(self.next_number());
        // Numbers of 32 bits last for years of one new track each millisecond.
        let source_key = SourceKey(self.next_source);
        self.next_source += 1;
        let mut track = Track::new(id, source_key, key, receiving);
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(peer.room) else {
            return;
        };
        let publication = Publication {
            id,
            participant: peer.participant,
            source: track.source,
            is_muted: track.is_muted,
            layers: u8::try_from(track.layers.len()).unwrap_or(u8::MAX),
        };
        if room.core.handle_publish(publication).is_err() {
            return;
        }
        if track.kind() == MediaKind::Audio {
            track.voice = room.voices.insert(source_key);
        }
        let is_single = track.layers.len() == 1;
        let track_key = self.tracks.insert(track);
        self.by_source.insert(source_key, track_key);
        self.by_publication.insert(id, track_key);
        peer.tracks.push((receiving.track.mid, track_key));
        if let Some(source) = receiving.sources.first().filter(|_| is_single) {
            peer.inbound
                .learn(source.primary, Carries::Media(track_key, 0));
            if let Some(rtx) = source.rtx {
                peer.inbound.learn(rtx, Carries::Rtx(track_key, 0));
            }
            if let Some(layer) = self
                .tracks
                .get_mut(track_key)
                .and_then(|track| track.layer_mut(0))
            {
                layer.ssrc = Some(source.primary);
            }
        }
        let room = peer.room;
        self.settle_voices(now, room);
        self.perform_room(now, room);
    }

    /// Payload types may have come or gone; those that stay have their numbers, as ids have. What else changes is
    /// the client's business.
    fn change_line(&mut self, key: Key<Peer>, line: &MLine) {
        let (Some(peer), Some(mid)) = (self.peers.get_mut(key), line.mid) else {
            return;
        };
        match &line.line {
            Line::Receiving(receiving) => {
                let track = peer.tracks.iter().find(|(of, _)| *of == mid);
                if let Some(track) = track.and_then(|(_, track)| self.tracks.get_mut(*track)) {
                    track.handle_payloads(&receiving.payloads);
                }
            }
            Line::Sending(sending) => {
                let slot = peer.slot_at(mid).and_then(|at| peer.slots.get_mut(at));
                if let Some(Some(slot)) = slot {
                    slot.handle_payloads(&sending.payloads);
                }
            }
            Line::Inactive | Line::Refused(_) | Line::Rejected(_) => {}
        }
    }

    fn end_line(&mut self, now: Instant, key: Key<Peer>, line: &MLine) {
        let Some(mid) = line.mid else {
            return;
        };
        match &line.line {
            Line::Receiving(_) => {
                let found = self.peers.get(key).and_then(|peer| {
                    let track = peer.tracks.iter().find(|(of, _)| *of == mid);
                    track.map(|(_, track)| *track)
                });
                if let Some(track) = found {
                    self.end_track(now, track);
                }
            }
            Line::Sending(_) => {
                let Some(peer) = self.peers.get_mut(key) else {
                    return;
                };
                let Some(at) = peer.slot_at(mid) else {
                    return;
                };
                if let Some(Some(slot)) = peer.slots.get_mut(at) {
                    slot.forwarder.set_source(None);
                }
                self.abandon(now, key, at);
                let Some(peer) = self.peers.get_mut(key) else {
                    return;
                };
                let Some(mut slot) = peer.slots.get_mut(at).and_then(Option::take) else {
                    return;
                };
                let track = slot.track.take();
                peer.retired.push(slot);
                self.unsubscribe(track, key, at);
            }
            Line::Inactive | Line::Refused(_) | Line::Rejected(_) => {}
        }
    }

    /// Ends a track and everything that hangs on it.
    pub(super) fn end_track(&mut self, now: Instant, key: Key<Track>) {
        let Some(track) = self.tracks.get(key) else {
            return;
        };
        let (id, owner, source, voice) = (track.id, track.owner, track.source_key, track.voice);
        let Some(peer) = self.peers.get_mut(owner) else {
            return;
        };
        if let Some(at) = peer.tracks.iter().position(|(_, track)| *track == key) {
            let (mid, _) = peer.tracks.remove(at);
            peer.inbound.forget(key, mid);
        }
        let room_key = peer.room;
        if let Some(room) = self.rooms.get_mut(room_key) {
            room.core.handle_unpublish(id);
            if let Some(voice) = voice {
                room.voices.remove(now, voice);
            }
        }
        // The room takes it out of all slots first.
        self.perform_room(now, room_key);
        self.settle_voices(now, room_key);
        self.by_source.remove(&source);
        self.by_publication.remove(&id);
        self.tracks.remove(key);
    }

    /// A slot carries a track no more.
    pub(super) fn unsubscribe(&mut self, track: Option<Key<Track>>, peer: Key<Peer>, slot: usize) {
        if let Some(track) = track.and_then(|track| self.tracks.get_mut(track)) {
            track
                .subscribers
                .retain(|subscriber| *subscriber != Subscriber { peer, slot });
        }
    }
}
