//! Datagrams in: whose they are.

use super::{Letter, Parcel, Path, Shard, Sink};
use crate::core::ice::Ufrag;
use crate::net::address::Destination;
use crate::net::socket::Local;
use crate::peer::Peer;
use crate::table::Key;
use crate::wire::demux::Kind;
use crate::wire::stun::{self, Class, IntegrityKey, Message, Method};
use std::time::Instant;

/// When a datagram is taken, and when it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub(super) now: Instant,
    pub(super) came: Instant,
}

impl<S: Sink> Shard<S> {
    /// Takes a datagram that came over a path; it is decrypted where it is. What it brings is seen by
    /// subscribers after [`Self::forward`].
    pub fn handle_datagram(&mut self, now: Instant, path: Path, bytes: &mut [u8]) {
        self.take_datagram(When { now, came: now }, path, bytes, true);
    }

    /// The same of one that came at another time, as the kernel has it: what a publisher is told of its
    /// packets' arrival is without the time that they waited for us.
    pub fn handle_waited(&mut self, (now, came): (Instant, Instant), path: Path, bytes: &mut [u8]) {
        self.take_datagram(When { now, came }, path, bytes, true);
    }

    /// Takes a frame that came over a TCP connection of this shard, whose it is or of nobody. Whether the connection is
    /// a peer's path then: it is from its first check on that is authentic.
    pub(crate) fn handle_frame(&mut self, now: Instant, path: Path, bytes: &mut [u8]) -> bool {
        self.is_probed = false;
        self.take_datagram(When { now, came: now }, path, bytes, false);
        // A probe's ends by itself, once it has its answer.
        self.is_probed || self.by_path.contains_key(&path)
    }

    /// Takes what other shards have left for this one.
    pub(crate) fn handle_parcel(&mut self, now: Instant, parcel: &mut Parcel) {
        let when = When { now, came: now };
        parcel.open(|letter, bytes| match letter {
            Letter::Datagram(path, _) => self.take_datagram(when, path, bytes, false),
            Letter::Owns(path, _) => {
                // Or what comes here would go to a peer of ours who is not there any more.
                if !self.is_in_use(now, path, None) {
                    self.by_path.remove(&path);
                }
                self.neighbours.note(letter);
            }
            Letter::Disowns(..) => self.neighbours.note(letter),
        });
    }

    fn take_datagram(&mut self, when: When, path: Path, bytes: &mut [u8], may_pass: bool) {
        self.focus = None;
        // Nothing can be sent to port 0, and a run that the kernel refuses counts against all of the socket's.
        let kind = Kind::of(bytes).filter(|_| path.remote.port() != 0);
        let taken = match kind {
            Some(Kind::Stun) => self.take_stun(when.now, path, bytes, may_pass),
            Some(kind) => match self.by_path.get(&path) {
                Some(&key) => self.take_known(when, key, path, kind, bytes),
                None => may_pass && self.pass_on(path, bytes),
            },
            None => false,
        };
        self.counts.refused += u64::from(!taken);
    }

    fn pass_on(&mut self, path: Path, bytes: &[u8]) -> bool {
        let owner = self.neighbours.owner(path);
        if let Some(shard) = owner {
            self.neighbours.pass(shard, path, bytes);
        }
        owner.is_some()
    }

    fn take_known(
        &mut self,
        when: When,
        key: Key<Peer>,
        path: Path,
        kind: Kind,
        bytes: &mut [u8],
    ) -> bool {
        let now = when.now;
        self.focus = self.peers.get(key).map(|peer| peer.room);
        match kind {
            Kind::Rtp => self.take_rtp(when, key, path, bytes),
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
        let shard = self.shard_of(ours);
        if shard != self.setup.index {
            if may_pass {
                self.neighbours.pass(shard, path, bytes);
            }
            return may_pass;
        }
        let Some(&key) = self.by_ufrag.get(&ufrag) else {
            return self.take_probe(path, &message, ufrag);
        };
        if self.is_in_use(now, path, Some(key)) {
            return false;
        }
        let Some(peer) = self.peers.get_mut(key) else {
            return false;
        };
        self.focus = Some(peer.room);
        let answer = &mut self.scratch.bytes;
        peer.transport
            .handle_check(now, path, &message, ufrag, answer);
        let is_valid = peer.transport.is_valid(path);
        if let Some(local) = peer.transport.recorder.unnamed(path) {
            *local = self.sink.address(path.local);
        }
        if !answer.is_empty() {
            let to = (path.local, Destination::from(path.remote));
            self.sink.send(&to, answer);
        }
        if is_valid {
            self.learn_path(now, path, key, may_pass);
            self.schedule(key, now);
        }
        is_valid
    }

    /// A check with the probe's credentials is answered, and nothing else comes of it.
    fn take_probe(&mut self, path: Path, message: &Message<'_>, ufrag: Ufrag) -> bool {
        let probe = self.setup.probe.as_ref();
        let Some(probe) = probe.filter(|probe| probe.ufrag() == ufrag) else {
            return false;
        };
        let key = IntegrityKey::new(probe.password());
        if message.check_integrity(&key).is_err() {
            return false;
        }
        let answer = &mut self.scratch.bytes;
        answer.clear();
        stun::write_success(answer, message.transaction, path.remote, &key);
        let to = (path.local, Destination::from(path.remote));
        self.sink.send(&to, answer);
        if let Local::Tcp(stream) = path.local {
            self.sink.close(stream);
            self.is_probed = true;
        }
        true
    }

    /// Whether a peer (another one than this) is heard over a path: a check with a forged source would take it
    /// away. One that was not heard there for some seconds may have gone, and its address been given to another.
    fn is_in_use(&self, now: Instant, path: Path, but_by: Option<Key<Peer>>) -> bool {
        let owner = self
            .by_path
            .get(&path)
            .filter(|owner| Some(**owner) != but_by);
        let owner = owner.and_then(|owner| self.peers.get(*owner));
        owner.is_some_and(|owner| owner.transport.hears(now, path))
    }

    /// A peer's datagrams come over this path.
    fn learn_path(&mut self, now: Instant, path: Path, key: Key<Peer>, is_direct: bool) {
        let is_new = self.by_path.insert(path, key) != Some(key);
        // The shard that handed the check over will get the rest of this path too. It may have missed
        // that it is ours, with a full mailbox, and would refuse all but checks for ever.
        let is_datagrams = matches!(path.local, Local::Udp(_));
        if is_datagrams && (is_new || !is_direct) {
            self.neighbours.announce(path, true);
        }
        // It may have taken another one's place, which has to be forgotten before too many such wait.
        if is_new {
            self.follow_transport(now, key);
        }
    }
}
