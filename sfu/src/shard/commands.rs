//! Commands, and the effects of rooms. The contract is [`crate::control::SfuControl`]'s.

use super::faults::Leaving;
use super::rooms::RoomState;
use super::{Shard, Sink};
use crate::control::trace::JoinTrace;
use crate::control::{
    GoneReason, Join, Mute, ParticipantId, Prefer, PublicationId, Rights, SfuError,
};
use crate::core::allocate::Allocator;
use crate::core::negotiate::{Config, Negotiator};
use crate::core::report::{PublisherClock, QualityMeter, RoundTrip};
use crate::core::room::{Assignment, Effect};
use crate::inspect::record::{Record, Tally};
use crate::peer::Peer;
use crate::peer::inbound::Inbound;
use crate::peer::outflow::Outflow;
use crate::peer::transport::{CONNECT, Transport};
use crate::table::Key;
use crate::track::Subscriber;
use crate::unit::Ssrc;
use std::sync::Arc;
use std::time::Instant;

impl<S: Sink> Shard<S> {
    pub(super) fn peer_of(&mut self, participant: ParticipantId) -> Result<Key<Peer>, SfuError> {
        let key = self.by_participant.get(&participant).copied();
        let key = key.ok_or(SfuError::NoSuchParticipant)?;
        self.focus = self.peers.get(key).map(|peer| peer.room);
        Ok(key)
    }

    /// A number that no other shard gives out.
    pub(super) fn next_number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id * self.setup.shards as u64 + self.setup.index as u64
    }

    /// Somebody enters a room. Who is there already has these rights from now on.
    ///
    /// # Errors
    /// [`SfuError::LimitReached`] when the room is full.
    pub fn handle_join(&mut self, now: Instant, join: &Join) -> Result<(), SfuError> {
        let room_key = match self.by_room.get(&join.room) {
            Some(&key) => key,
            None => {
                let room = RoomState::new(join.room.clone(), self.setup.audio_slots);
                let key = self.rooms.insert(room);
                self.by_room.insert(join.room.clone(), key);
                key
            }
        };
        self.focus = Some(room_key);
        let Some(room) = self.rooms.get_mut(room_key) else {
            return Err(SfuError::Unavailable);
        };
        let joined = room.core.handle_join(join.participant, join.rights);
        if joined.is_err() && room.members.is_empty() {
            self.rooms.remove(room_key);
            self.by_room.remove(&join.room);
        }
        joined?;
        if !self.by_participant.contains_key(&join.participant) {
            let peer = self.new_peer(now, join, room_key);
            let key = self.peers.insert(peer);
            self.by_participant.insert(join.participant, key);
            if let Some(room) = self.rooms.get_mut(room_key) {
                room.members.push(key);
            }
            self.schedule(key, now + CONNECT);
        }
        self.end_forbidden(now, join.participant, join.rights);
        self.perform_room(now, room_key);
        Ok(())
    }

    /// Somebody has other rights from now on.
    ///
    /// # Errors
    /// [`SfuError::NoSuchParticipant`].
    pub fn handle_rights(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        rights: Rights,
    ) -> Result<(), SfuError> {
        let key = self.peer_of(participant)?;
        let room_key = self.peers.get(key).map(|peer| peer.room);
        let room_key = room_key.ok_or(SfuError::NoSuchParticipant)?;
        if let Some(room) = self.rooms.get_mut(room_key) {
            room.core.handle_join(participant, rights)?;
        }
        self.end_forbidden(now, participant, rights);
        self.perform_room(now, room_key);
        Ok(())
    }

    /// Somebody leaves; nothing happens when they are not here.
    pub fn handle_leave(&mut self, now: Instant, participant: ParticipantId) {
        if let Ok(peer) = self.peer_of(participant) {
            self.remove_peer(now, peer, GoneReason::Left);
        }
    }

    /// What was seen of somebody's way in.
    ///
    /// # Errors
    /// [`SfuError::NoSuchParticipant`].
    pub fn handle_trace(
        &mut self,
        now: Instant,
        participant: ParticipantId,
    ) -> Result<JoinTrace, SfuError> {
        let key = self.peer_of(participant)?;
        let peer = self.peers.get(key).ok_or(SfuError::NoSuchParticipant)?;
        Ok(peer.transport.recorder.trace(now))
    }

    /// Rights that were taken away end what was published by them.
    fn end_forbidden(&mut self, now: Instant, participant: ParticipantId, rights: Rights) {
        let Some(&key) = self.by_participant.get(&participant) else {
            return;
        };
        let tracks = self.peers.get(key).map(|peer| peer.tracks.clone());
        for (mid, track) in tracks.unwrap_or_default() {
            let source = self.tracks.get(track).map(|track| track.source);
            if source.is_some_and(|source| !rights.may_publish(source)) {
                self.end_track(now, track);
                // Or the next offer would take it for one that goes on.
                if let Some(peer) = self.peers.get_mut(key) {
                    peer.negotiator.handle_forbidden(mid);
                }
            }
        }
    }

    fn new_peer(&mut self, now: Instant, join: &Join, room: Key<RoomState>) -> Peer {
        let config = Config {
            // RFC 9429, section 5.2.1: below 2^63.
            session_id: u64::from_be_bytes(self.entropy.bytes()) >> 1,
            seed: u64::from_be_bytes(self.entropy.bytes()),
            prefers_redundancy: true,
            video_codecs: self.setup.video_codecs.narrowed(join.video_codecs),
        };
        let outflow = Outflow::new(now, self.setup.is_paced, self.setup.assumed);
        let negotiator = Negotiator::new(config);
        Peer {
            participant: join.participant,
            room,
            transport: Transport::new(Arc::clone(&self.setup.identity), now),
            cname: negotiator.cname(),
            negotiator,
            tracks: Vec::new(),
            inbound: Inbound::new(now),
            slots: Vec::new(),
            retired: Vec::new(),
            allocator: Allocator::new(outflow.estimate()),
            outflow,
            clock: PublisherClock::new(),
            rtt: RoundTrip::default(),
            our_ssrc: Ssrc(u32::from_be_bytes(self.entropy.bytes()) | 1),
            meter: QualityMeter::default(),
            counted: Tally::default(),
            protocol: None,
            record: (self.setup.inspect_s > 0).then(|| Record::new(now, self.setup.inspect_s)),
            lost_up: 0,
            scheduled: None,
            next_report: now,
            next_allocation: now,
            layers_seen: 0,
            unsettled_at: now,
        }
    }

    /// A participant is no longer in the call.
    pub(super) fn remove_peer(&mut self, now: Instant, key: Key<Peer>, reason: GoneReason) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let (participant, room_key) = (peer.participant, peer.room);
        self.leaving = self.rooms.get(room_key).map(|room| Leaving {
            room: room.core.id().clone(),
            participant,
            reason,
            trace: Some(Box::new(peer.transport.recorder.trace(now))),
            media: peer.summary(),
        });
        if peer.transport.is_unreached(now) {
            self.counts.never_connected += 1;
            tracing::debug!(%participant, ?reason, "gone before media got through once");
        }
        let tracks = peer.tracks.clone();
        peer.transport.close();
        while let Some(datagram) = peer.transport.poll_transmit() {
            if let Some(to) = peer.transport.destination() {
                self.sink.send(to, &datagram);
            }
        }
        for (_, track) in tracks {
            self.end_track(now, track);
        }
        let subscribed: Vec<_> = self.peers.get(key).map_or_else(Vec::new, |peer| {
            let slots = peer.slots();
            slots.map(|(at, slot)| (at, slot.track)).collect()
        });
        for (at, track) in subscribed {
            self.unsubscribe(track, key, at);
        }
        self.peers.remove(key);
        self.by_participant.remove(&participant);
        self.forget_paths(key);
        self.by_ufrag.retain(|_, peer| *peer != key);
        let Some(room) = self.rooms.get_mut(room_key) else {
            return;
        };
        room.members.retain(|member| *member != key);
        room.core.handle_leave(participant);
        let id = room.core.id().clone();
        let is_empty = room.core.is_empty();
        self.perform_room(now, room_key);
        if is_empty {
            self.rooms.remove(room_key);
            self.by_room.remove(&id);
        }
        if let Some(leaving) = self.leaving.take() {
            self.tell(leaving.into());
        }
    }

    fn forget_paths(&mut self, key: Key<Peer>) {
        let theirs = self.by_path.extract_if(|_, peer| *peer == key);
        let paths: Vec<_> = theirs.map(|(path, _)| path).collect();
        for path in paths {
            self.give_up_path(path);
        }
    }

    /// Somebody says how publications are wanted.
    ///
    /// # Errors
    /// [`SfuError::NoSuchParticipant`].
    pub fn handle_prefer(&mut self, now: Instant, prefer: &Prefer) -> Result<(), SfuError> {
        let key = self.peer_of(prefer.participant)?;
        let Some(peer) = self.peers.get_mut(key) else {
            return Err(SfuError::NoSuchParticipant);
        };
        peer.next_allocation = now;
        let room_key = peer.room;
        if let Some(room) = self.rooms.get_mut(room_key) {
            let Prefer {
                participant,
                wishes,
                hears,
            } = prefer;
            room.core.handle_prefer(*participant, wishes, *hears);
        }
        self.perform_room(now, room_key);
        self.schedule(key, now);
        Ok(())
    }

    /// A publication is muted or unmuted.
    ///
    /// # Errors
    /// [`SfuError::NoSuchParticipant`], [`SfuError::NoSuchPublication`].
    pub fn handle_mute(&mut self, now: Instant, mute: Mute) -> Result<(), SfuError> {
        let key = self.peer_of(mute.participant)?;
        let room_key = self.peers.get(key).map(|peer| peer.room);
        let room_key = room_key.ok_or(SfuError::NoSuchParticipant)?;
        let Some(room) = self.rooms.get_mut(room_key) else {
            return Err(SfuError::NoSuchParticipant);
        };
        room.core
            .handle_mute(mute.participant, mute.publication, mute.is_muted)?;
        self.perform_room(now, room_key);
        Ok(())
    }

    /// Performs what a room wants to be done.
    pub(super) fn perform_room(&mut self, now: Instant, key: Key<RoomState>) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        for effect in room.core.take_effects() {
            match effect {
                Effect::Assign(assignment) => self.assign(now, assignment),
                Effect::Tell(event) => self.tell(event),
                Effect::Gate(publication, is_muted) => self.gate(now, publication, is_muted),
            }
        }
    }

    fn gate(&mut self, now: Instant, publication: PublicationId, is_muted: bool) {
        let Some(&key) = self.by_publication.get(&publication) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        track.is_muted = is_muted;
        for subscriber in track.subscribers.clone() {
            if let Some(peer) = self.peers.get_mut(subscriber.peer) {
                peer.next_allocation = now;
            }
            if is_muted {
                self.silence(now, subscriber);
            }
            self.schedule(subscriber.peer, now);
        }
    }

    fn assign(&mut self, now: Instant, assignment: Assignment) {
        let Some(&key) = self.by_participant.get(&assignment.participant) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let Some(at) = peer.slot_at(assignment.mid) else {
            return;
        };
        let track = assignment
            .publication
            .and_then(|id| self.by_publication.get(&id).copied());
        let source = track
            .and_then(|track| self.tracks.get(track))
            .map(|track| track.source_key);
        peer.next_allocation = now;
        let Some(Some(slot)) = peer.slots.get_mut(at) else {
            return;
        };
        let before = std::mem::replace(&mut slot.track, track);
        slot.forwarder.set_source(source);
        slot.limited_by = None;
        slot.watch.handle_source(now);
        self.abandon(now, key, at);
        self.unsubscribe(before, key, at);
        let subscriber = Subscriber {
            peer: key,
            slot: at,
        };
        if let Some(track) = track.and_then(|track| self.tracks.get_mut(track)) {
            track.subscribers.push(subscriber);
        }
        self.schedule(key, now);
    }
}
