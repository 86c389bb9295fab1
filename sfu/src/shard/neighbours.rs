//! Datagrams that came to another shard's socket.
//!
//! All shards have a socket on the same port, and the kernel spreads datagrams over them by the sender's
//! address. So half of what comes on two shards is for the other one. It is handed over in parcels, one for each
//! turn and shard; whoever drives the shards carries them.
//!
//! A binding request names its shard by its user fragment's first letter. Other datagrams are known by
//! their path once their owner has authenticated a check from it and has said so to all shards.

use crate::peer::transport::Path;
use std::collections::HashMap;

/// Bytes that wait for one shard. At the bound datagrams are dropped, as a full socket does.
const PARCEL_BYTES: usize = 1024 * 1024;

/// Datagrams and notes that wait for one shard.
const PARCEL_LETTERS: usize = 4_096;

/// Paths of other shards that are remembered.
const PATHS: usize = 65_536;

/// What one shard tells another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letter {
    /// So many bytes came from there.
    Datagram(Path, usize),
    /// What comes from there is for that shard.
    Owns(Path, usize),
    /// It is not any more.
    Disowns(Path),
}

/// Letters, and the bytes of their datagrams one after the other.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    letters: Vec<Letter>,
    bytes: Vec<u8>,
}

impl Parcel {
    pub(crate) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Adds a letter; whether there was room.
    pub(crate) fn put(&mut self, letter: Letter, datagram: &[u8]) -> bool {
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
    pub(crate) fn append(&mut self, other: &mut Self) -> usize {
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
    pub(crate) fn open(&mut self, mut take: impl FnMut(Letter, &mut [u8])) {
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

/// What one shard knows of the others, and has for them.
pub(super) struct Neighbours {
    own: usize,
    /// What goes out at the end of this turn, by shard.
    outgoing: Vec<Parcel>,
    /// Whose the paths are that are not ours.
    foreign: HashMap<Path, usize>,
    pub(super) dropped: u64,
    pub(super) handed: u64,
}

impl Neighbours {
    pub(super) fn new(own: usize, shards: usize) -> Self {
        Self {
            own,
            outgoing: (0..shards).map(|_| Parcel::default()).collect(),
            foreign: HashMap::new(),
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

    /// Datagrams and notes for others.
    pub(super) fn waiting(&self) -> usize {
        self.outgoing
            .iter()
            .map(|parcel| parcel.letters.len())
            .sum()
    }

    /// What there is for others, by shard.
    pub(super) fn outgoing(&mut self) -> &mut [Parcel] {
        &mut self.outgoing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::socket::LocalIndex;

    fn path(port: u16) -> Path {
        Path {
            remote: ([127, 0, 0, 1], port).into(),
            local: LocalIndex(0),
        }
    }

    #[test]
    fn a_full_parcel_drops_and_counts() {
        let mut one = Neighbours::new(0, 2);
        let datagram = vec![0; 1_200];
        for _ in 0..1_000 {
            one.pass(1, path(1), &datagram);
        }
        assert_eq!(one.handed + one.dropped, 1_000);
        assert!(one.dropped > 0);
    }

    #[test]
    fn a_path_is_its_owners_until_it_says_otherwise() {
        let mut one = Neighbours::new(0, 2);
        one.note(Letter::Owns(path(1), 1));
        assert_eq!(one.owner(path(1)), Some(1));
        one.note(Letter::Disowns(path(1)));
        assert_eq!(one.owner(path(1)), None);
    }
}
