//! Datagrams that came to another shard's socket.
//!
//! All shards have a socket on the same port, and the kernel spreads datagrams over them by the sender's
//! address. So half of what comes on two shards is for the other one. It is handed over in parcels, one for each
//! turn and shard: nothing is locked for each packet, and buffers go back and forth.
//!
//! A binding request names its shard by its user fragment's first letter. Other datagrams are known by
//! their path once their owner has authenticated a check from it and has said so to all shards.

use crate::net::poll::Waker;
use crate::peer::transport::Path;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that wait for one shard. At the bound datagrams are dropped, as a full socket does.
const PARCEL_BYTES: usize = 1024 * 1024;

/// Datagrams and notes that wait for one shard.
const PARCEL_LETTERS: usize = 4_096;

/// Paths of other shards that are remembered.
const PATHS: usize = 65_536;

/// What one shard tells another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letter {
    /// So many bytes came from there.
    Datagram(Path, usize),
    /// What comes from there is for that shard.
    Owns(Path, usize),
    /// It is not any more.
    Disowns(Path),
}

/// Letters, and the bytes of their datagrams one after the other.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    letters: Vec<Letter>,
    bytes: Vec<u8>,
}

impl Parcel {
    fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    fn put(&mut self, letter: Letter, datagram: &[u8]) -> bool {
        let fits = self.letters.len() < PARCEL_LETTERS
            && self.bytes.len() + datagram.len() <= PARCEL_BYTES;
        if fits {
            self.letters.push(letter);
            self.bytes.extend_from_slice(datagram);
        }
        fits
    }

    fn clear(&mut self) {
        self.letters.clear();
        self.bytes.clear();
    }

    /// Adds another's letters, as far as there is room.
    fn append(&mut self, other: &mut Self) -> usize {
        let mut at = 0;
        let mut dropped = 0;
        for letter in &other.letters {
            let len = match letter {
                Letter::Datagram(_, len) => *len,
                Letter::Owns(..) | Letter::Disowns(_) => 0,
            };
            let datagram = other.bytes.get(at..at + len).unwrap_or_default();
            at += len;
            dropped += usize::from(!self.put(*letter, datagram));
        }
        other.clear();
        dropped
    }

    /// Hands the letters out, datagrams in place.
    pub(super) fn open(&mut self, mut take: impl FnMut(Letter, &mut [u8])) {
        let mut rest = self.bytes.as_mut_slice();
        for letter in self.letters.drain(..) {
            let len = match letter {
                Letter::Datagram(_, len) => len,
                Letter::Owns(..) | Letter::Disowns(_) => 0,
            };
            let (datagram, after) = rest.split_at_mut(len);
            take(letter, datagram);
            rest = after;
        }
        self.bytes.clear();
    }
}

/// Where others put what is for one shard.
pub(super) struct Mailbox {
    parcel: Mutex<Parcel>,
    waker: Waker,
}

impl Mailbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            parcel: Mutex::default(),
            waker,
        }
    }
}

/// One shard's part of the exchange.
pub(super) struct Handover {
    own: usize,
    mailboxes: Vec<Arc<Mailbox>>,
    /// What goes out at the end of this turn, by shard.
    outgoing: Vec<Parcel>,
    /// Whose the paths are that are not ours.
    foreign: HashMap<Path, usize>,
    /// An empty one to exchange.
    spare: Parcel,
    pub(super) dropped: u64,
    pub(super) handed: u64,
}

impl Handover {
    pub(super) fn new(own: usize, mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Self {
            own,
            outgoing: mailboxes.iter().map(|_| Parcel::default()).collect(),
            mailboxes,
            foreign: HashMap::new(),
            spare: Parcel::default(),
            dropped: 0,
            handed: 0,
        }
    }

    /// Whose a path is, if another shard has said so.
    pub(super) fn owner(&self, path: Path) -> Option<usize> {
        self.foreign.get(&path).copied()
    }

    /// Hands a datagram to another shard.
    pub(super) fn pass(&mut self, shard: usize, path: Path, datagram: &[u8]) {
        let letter = Letter::Datagram(path, datagram.len());
        let fits = self
            .outgoing
            .get_mut(shard)
            .is_some_and(|parcel| parcel.put(letter, datagram));
        self.handed += u64::from(fits);
        self.dropped += u64::from(!fits);
    }

    /// Tells all others that a path is ours, or is not any more.
    pub(super) fn announce(&mut self, path: Path, is_ours: bool) {
        let letter = if is_ours {
            Letter::Owns(path, self.own)
        } else {
            Letter::Disowns(path)
        };
        self.foreign.remove(&path);
        for (shard, parcel) in self.outgoing.iter_mut().enumerate() {
            if shard != self.own {
                parcel.put(letter, &[]);
            }
        }
    }

    /// Notes of paths that wait to be sent.
    #[cfg(test)]
    pub(super) fn announced(&self) -> usize {
        let letters = self.outgoing.iter().flat_map(|parcel| &parcel.letters);
        letters
            .filter(|letter| !matches!(letter, Letter::Datagram(..)))
            .count()
    }

    /// Another shard has said whose a path is.
    pub(super) fn note(&mut self, letter: Letter) {
        match letter {
            Letter::Owns(path, shard) if self.foreign.len() < PATHS => {
                self.foreign.insert(path, shard);
            }
            Letter::Disowns(path) => {
                self.foreign.remove(&path);
            }
            Letter::Owns(..) | Letter::Datagram(..) => {}
        }
    }

    /// At the end of a turn: what there is for others goes into their mailboxes.
    pub(super) fn send(&mut self) {
        for (mailbox, parcel) in self.mailboxes.iter().zip(&mut self.outgoing) {
            if parcel.is_empty() {
                continue;
            }
            let mut waiting = mailbox
                .parcel
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if waiting.is_empty() {
                std::mem::swap(&mut *waiting, parcel);
            } else {
                self.dropped += waiting.append(parcel) as u64;
            }
            drop(waiting);
            mailbox.waker.wake();
        }
    }

    /// Takes what others have left, in exchange for an empty parcel.
    pub(super) fn collect(&mut self) -> Parcel {
        let mut parcel = std::mem::take(&mut self.spare);
        if let Some(mailbox) = self.mailboxes.get(self.own) {
            let mut waiting = mailbox
                .parcel
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut *waiting, &mut parcel);
        }
        parcel
    }

    /// Gives a parcel's memory back after it was opened.
    pub(super) fn give_back(&mut self, parcel: Parcel) {
        self.spare = parcel;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::poll::Poller;
    use crate::net::socket::LocalIndex;

    fn path(port: u16) -> Path {
        Path {
            remote: ([127, 0, 0, 1], port).into(),
            local: LocalIndex(0),
        }
    }

    #[test]
    fn what_is_handed_over_arrives_whole_and_in_order() {
        let poller = Poller::new().expect("a poller");
        let mailboxes: Vec<_> = (0..2)
            .map(|_| Arc::new(Mailbox::new(poller.waker())))
            .collect();
        let mut one = Handover::new(0, mailboxes.clone());
        let mut two = Handover::new(1, mailboxes);
        one.pass(1, path(1), b"first");
        one.send();
        one.announce(path(9), true);
        one.pass(1, path(2), b"second");
        one.send();
        let mut parcel = two.collect();
        let mut seen = Vec::new();
        parcel.open(|letter, bytes| seen.push((letter, bytes.to_vec())));
        assert_eq!(
            seen,
            [
                (Letter::Datagram(path(1), 5), b"first".to_vec()),
                (Letter::Owns(path(9), 0), vec![]),
                (Letter::Datagram(path(2), 6), b"second".to_vec()),
            ]
        );
        two.give_back(parcel);
        assert!(two.collect().is_empty());
    }

    #[test]
    fn a_full_parcel_drops_and_counts() {
        let poller = Poller::new().expect("a poller");
        let mailboxes: Vec<_> = (0..2)
            .map(|_| Arc::new(Mailbox::new(poller.waker())))
            .collect();
        let mut one = Handover::new(0, mailboxes);
        let datagram = vec![0; 1_200];
        for _ in 0..1_000 {
            one.pass(1, path(1), &datagram);
        }
        assert_eq!(one.handed + one.dropped, 1_000);
        assert!(one.dropped > 0);
    }
}
