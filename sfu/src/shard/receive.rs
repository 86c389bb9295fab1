//! Datagrams in: whose they are, and what becomes of their transport.

use super::Shard;
use super::handover::Letter;
use crate::control::{Connectivity, Event, GoneReason};
use crate::core::ice::Ufrag;
use crate::net::address::Destination;
use crate::net::receive::ReceiveBatch;
use crate::net::socket::LocalIndex;
use crate::peer::Peer;
use crate::peer::transport::{Path, TransportEvent};
use crate::table::Key;
use crate::wire::demux::Kind;
use crate::wire::stun::{Class, Message, Method};
use std::time::Instant;

/// Batches of one socket in one turn: 512 datagrams. What waits beyond comes in the next turn, so that
/// what was received goes out first.
const BATCHES_PER_TURN: usize = 8;

impl Shard {
    /// Takes what waits at one socket.
    pub(super) fn receive(&mut self, now: Instant, local: u8) {
        // Taken out for a while, so that its datagrams can be worked on in place.
        let Some(mut batch) = self.batch.take() else {
            return;
        };
        for _ in 0..BATCHES_PER_TURN {
            let Some(socket) = self.sockets.socket(LocalIndex(local)) else {
                break;
            };
            match batch.receive(socket) {
                Ok(0) => break,
                Ok(_) => self.take_batch(now, &mut batch),
                Err(error) => {
                    tracing::error!(%error, "a media socket is broken");
                    self.is_stopping = true;
                    break;
                }
            }
        }
        self.batch = Some(batch);
    }

    fn take_batch(&mut self, now: Instant, batch: &mut ReceiveBatch) {
        for datagram in batch.datagrams() {
            let path = Path {
                remote: datagram.from,
                local: datagram.local,
            };
            self.take_datagram(now, path, datagram.bytes, true);
        }
    }

    /// Takes what other shards have left for this one.
    pub(super) fn take_handed(&mut self, now: Instant) {
        let mut parcel = self.handover.collect();
        parcel.open(|letter, bytes| match letter {
            Letter::Datagram(path, _) => self.take_datagram(now, path, bytes, false),
            Letter::Owns(..) | Letter::Disowns(_) => self.handover.note(letter),
        });
        self.handover.give_back(parcel);
    }

    pub(super) fn take_datagram(&mut self, now: Instant, path: Path, bytes: &mut [u8], may_pass: bool) {
        let taken = match Kind::of(bytes) {
            Some(Kind::Stun) => self.take_stun(now, path, bytes, may_pass),
            Some(kind) => match self.by_path.get(&path) {
                Some(&key) => self.take_known(now, key, path, kind, bytes),
                None => may_pass && self.pass_on(path, bytes),
            },
            None => false,
        };
        self.counts.refused += u64::from(!taken);
    }

    fn pass_on(&mut self, path: Path, bytes: &[u8]) -> bool {
        let owner = self.handover.owner(path);
        if let Some(shard) = owner {
            self.handover.pass(shard, path, bytes);
        }
        owner.is_some()
    }

    fn take_known(
        &mut self,
        now: Instant,
        key: Key<Peer>,
        path: Path,
        kind: Kind,
        bytes: &mut [u8],
    ) -> bool {
        self.focus = self.peers.get(key).map(|peer| peer.room);
        match kind {
            Kind::Rtp => self.take_rtp(now, key, path, bytes),
            Kind::Rtcp => self.take_rtcp(now, key, path, bytes),
            Kind::Dtls => {
                let Some(peer) = self.peers.get_mut(key) else {
                    return false;
                };
                let taken = peer.transport.handle_dtls(now, path, bytes);
                self.schedule(key, now);
                taken
            }
            Kind::Stun => false,
        }
    }

    /// A check is its peer's wherever it comes from: that is how addresses are learned.
    fn take_stun(&mut self, now: Instant, path: Path, bytes: &mut [u8], may_pass: bool) -> bool {
        let Ok(message) = Message::parse(bytes) else {
            return false;
        };
        if message.method != Method::BINDING || message.class != Class::Request {
            // An indication keeps a mapping alive, and a response answers nobody: ICE-lite asks nothing.
            return matches!(message.class, Class::Indication);
        }
        let Some((ours, _)) = message.username_parts() else {
            return false;
        };
        let Some(ufrag) = Ufrag::parse(ours.as_bytes()) else {
            return false;
        };
        let shard = self.fixed.shard_of(ours);
        if shard != self.fixed.index {
            if may_pass {
                self.handover.pass(shard, path, bytes);
            }
            return may_pass;
        }
        let Some(&key) = self.by_ufrag.get(&ufrag) else {
            return false;
        };
        let Some(peer) = self.peers.get_mut(key) else {
            return false;
        };
        self.focus = Some(peer.room);
        let answer = &mut self.scratch.bytes;
        peer.transport
            .handle_check(now, path, &message, ufrag, answer);
        let is_valid = peer.transport.is_valid(path);
        if !answer.is_empty() {
            let to = (path.local, Destination::from(path.remote));
            self.sockets.send(&to, answer);
        }
        if is_valid && self.by_path.insert(path, key) != Some(key) {
            self.handover.announce(path, true);
        }
        self.schedule(key, now);
        is_valid
    }

    /// Performs what happened to a peer's transport. False when the peer is gone.
    pub(super) fn follow_transport(&mut self, now: Instant, key: Key<Peer>) -> bool {
        loop {
            let Some(peer) = self.peers.get_mut(key) else {
                return false;
            };
            peer.transport.handle_timeout(now);
            while let Some(datagram) = peer.transport.poll_transmit() {
                if let Some(to) = peer.transport.destination() {
                    self.sockets.send(to, &datagram);
                }
            }
            match peer.transport.poll_event(now) {
                None => return true,
                Some(event) => self.follow(now, key, event),
            }
        }
    }

    fn follow(&mut self, now: Instant, key: Key<Peer>, event: TransportEvent) {
        match event {
            TransportEvent::Learned(path) => {
                self.by_path.insert(path, key);
            }
            TransportEvent::Forgotten(path) => {
                if self.by_path.get(&path) == Some(&key) {
                    self.by_path.remove(&path);
                    self.handover.announce(path, false);
                }
            }
            TransportEvent::Retired(ufrag) => {
                self.by_ufrag.remove(&ufrag);
            }
            TransportEvent::Connected => self.connected(now, key),
            TransportEvent::Interrupted => self.tell_connectivity(key, Connectivity::Interrupted),
            TransportEvent::Recovered => self.tell_connectivity(key, Connectivity::Connected),
            TransportEvent::Expired => {
                let was_connected = self
                    .peers
                    .get(key)
                    .is_some_and(|peer| peer.transport.secure.is_some());
                let reason = if was_connected {
                    GoneReason::TimedOut
                } else {
                    GoneReason::NeverConnected
                };
                self.remove_peer(key, reason);
            }
            TransportEvent::Failed => self.remove_peer(key, GoneReason::HandshakeFailed),
            TransportEvent::Closed => self.remove_peer(key, GoneReason::Left),
        }
    }

    fn tell_connectivity(&mut self, key: Key<Peer>, connectivity: Connectivity) {
        let Some(peer) = self.peers.get(key) else {
            return;
        };
        let Some(room) = self.rooms.get(peer.room) else {
            return;
        };
        self.tell(Event::Connectivity {
            room: room.core.id().clone(),
            participant: peer.participant,
            connectivity,
        });
    }

    /// Media can flow: what the peer subscribes to needs key frames.
    fn connected(&mut self, now: Instant, key: Key<Peer>) {
        self.tell_connectivity(key, Connectivity::Connected);
        if let Some(peer) = self.peers.get_mut(key) {
            peer.next_allocation = now;
            peer.next_report = now;
        }
    }
}
