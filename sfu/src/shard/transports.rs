//! What becomes of peers' transports.

use super::{Shard, Sink};
use crate::control::{Connectivity, Event, GoneReason};
use crate::core::allocate::Allocator;
use crate::core::report::RoundTrip;
use crate::inspect::record::Note;
use crate::net::socket::Local;
use crate::peer::Peer;
use crate::peer::transport::{Path, TransportEvent};
use crate::table::Key;
use std::time::Instant;

impl<S: Sink> Shard<S> {
    /// Performs what happened to a peer's transport. False when the peer is gone.
    pub(super) fn follow_transport(&mut self, now: Instant, key: Key<Peer>) -> bool {
        loop {
            let Some(peer) = self.peers.get_mut(key) else {
                return false;
            };
            peer.transport.handle_timeout(now);
            while let Some(datagram) = peer.transport.poll_transmit() {
                if let Some(to) = peer.transport.destination() {
                    self.sink.send(to, &datagram);
                }
            }
            match peer.transport.poll_event(now) {
                None => {
                    peer.transport.settle();
                    return true;
                }
                Some(event) => self.follow(now, key, event),
            }
        }
    }

    fn follow(&mut self, now: Instant, key: Key<Peer>, event: TransportEvent) {
        match event {
            TransportEvent::Learned(path) => {
                self.note_path(now, key, path);
                self.by_path.insert(path, key);
                self.take_path(now, key);
            }
            TransportEvent::Forgotten(path) => {
                if self.by_path.get(&path) == Some(&key) {
                    self.by_path.remove(&path);
                    self.give_up_path(path);
                }
            }
            TransportEvent::Retired(ufrag) => {
                self.by_ufrag.remove(&ufrag);
            }
            TransportEvent::Connected => self.connected(now, key),
            TransportEvent::Interrupted => {
                self.note(now, key, Note::Interrupted);
                self.tell_connectivity(key, Connectivity::Interrupted);
            }
            TransportEvent::Recovered => {
                self.note(now, key, Note::Recovered);
                self.tell_connectivity(key, Connectivity::Connected);
            }
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
                self.remove_peer(now, key, reason);
            }
            TransportEvent::Failed => self.remove_peer(now, key, GoneReason::HandshakeFailed),
            TransportEvent::Closed => self.remove_peer(now, key, GoneReason::Left),
        }
    }

    /// A path is nobody's any more.
    pub(super) fn give_up_path(&mut self, path: Path) {
        match path.local {
            Local::Udp(_) => self.neighbours.announce(path, false),
            Local::Tcp(stream) => self.sink.close(stream),
        }
    }

    /// A TCP connection has ended: it is no path from now on.
    pub(crate) fn handle_closed(&mut self, now: Instant, path: Path) {
        let Some(key) = self.by_path.remove(&path) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(key) {
            self.focus = Some(peer.room);
            peer.transport.handle_closed(now, path);
            self.schedule(key, now);
        }
    }

    /// What goes to a peer goes over another path from now on: what was learnt of the last one, and what it
    /// had to give up there, is no more.
    fn take_path(&mut self, now: Instant, key: Key<Peer>) {
        let peer = self.peers.get_mut(key);
        if let Some(peer) = peer.filter(|peer| peer.transport.is_connected()) {
            peer.outflow.handle_new_path(now);
            peer.allocator = Allocator::new(peer.outflow.estimate());
            peer.rtt = RoundTrip::default();
            peer.next_allocation = now;
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
            peer.begin_record(now);
        }
    }
}
