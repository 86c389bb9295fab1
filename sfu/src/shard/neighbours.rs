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

/// Paths of other shards that are remembered in one generation, of which there are two. At the bound the
/// older one is forgotten: a path that is used is announced again with each check that is handed over.
const PATHS: usize = 32_768;

/// What one shard tells another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letter {
    /// So many bytes came from there.
    Datagram(Path, usize),
    /// What comes from there is for that shard.
    Owns(Path, usize),
    /// It is not for that shard any more, though perhaps for another.
    Disowns(Path, usize),
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
                Letter::Owns(..) | Letter::Disowns(..) => 0,
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
                Letter::Owns(..) | Letter::Disowns(..) => 0,
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
    foreign: Foreign,
    /// Datagrams and notes that found no room.
    pub(super) dropped: u64,
    pub(super) handed: u64,
}

/// Whose the paths are that are not ours. An entry whose end was not heard of, as its note found no room, goes
/// with its generation.
#[derive(Default)]
struct Foreign {
    young: HashMap<Path, usize>,
    /// None of them is among the young.
    old: HashMap<Path, usize>,
}

impl Foreign {
    fn get(&self, path: Path) -> Option<usize> {
        let found = self.young.get(&path).or_else(|| self.old.get(&path));
        found.copied()
    }

    fn insert(&mut self, path: Path, shard: usize) {
        self.old.remove(&path);
        if self.young.len() >= PATHS && !self.young.contains_key(&path) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(path, shard);
    }

    fn remove(&mut self, path: Path) {
        self.young.remove(&path);
        self.old.remove(&path);
    }
}

impl Neighbours {
    pub(super) fn new(own: usize, shards: usize) -> Self {
        Self {
            own,
            outgoing: (0..shards).map(|_| Parcel::default()).collect(),
            foreign: Foreign::default(),
            dropped: 0,
            handed: 0,
        }
    }

    /// Whose a path is, if another shard has said so.
    pub(super) fn owner(&self, path: Path) -> Option<usize> {
        self.foreign.get(path)
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
            self.foreign.remove(path);
            Letter::Owns(path, self.own)
        } else {
            Letter::Disowns(path, self.own)
        };
        for (shard, parcel) in self.outgoing.iter_mut().enumerate() {
            if shard != self.own {
                self.dropped += u64::from(!parcel.put(letter, &[]));
            }
        }
    }

    /// Another shard has said whose a path is.
    pub(super) fn note(&mut self, letter: Letter) {
        match letter {
            Letter::Owns(path, shard) => self.foreign.insert(path, shard),
            // Another one may have said since that it is its own.
            Letter::Disowns(path, shard) if self.foreign.get(path) == Some(shard) => {
                self.foreign.remove(path);
            }
            Letter::Disowns(..) | Letter::Datagram(..) => {}
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
            local: LocalIndex(0).into(),
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
        one.note(Letter::Disowns(path(1), 1));
        assert_eq!(one.owner(path(1)), None);
    }

    #[test]
    fn who_gives_a_path_up_gives_up_its_own_alone() {
        let mut one = Neighbours::new(0, 3);
        one.note(Letter::Owns(path(1), 1));
        one.note(Letter::Owns(path(1), 2));
        one.note(Letter::Disowns(path(1), 1));
        assert_eq!(one.owner(path(1)), Some(2));
        one.announce(path(1), false);
        assert_eq!(one.owner(path(1)), Some(2), "we had given it up before");
    }

    #[test]
    fn paths_whose_end_was_not_heard_of_make_room_for_new_ones() {
        let mut one = Neighbours::new(0, 2);
        let nth = |n: u32| Path {
            remote: (n.to_be_bytes(), 1).into(),
            local: LocalIndex(0).into(),
        };
        let count = 4 * u32::try_from(PATHS).expect("small");
        for n in 1..=count {
            one.note(Letter::Owns(nth(n), 1));
            // This one is used all the time.
            one.note(Letter::Owns(nth(0), 1));
            assert_eq!(one.owner(nth(n)), Some(1));
        }
        assert_eq!(one.owner(nth(0)), Some(1));
        assert_eq!(one.owner(nth(1)), None, "it is the oldest");
        assert!(one.foreign.young.len() + one.foreign.old.len() <= 2 * PATHS);
    }

    #[test]
    fn notes_that_find_no_room_are_counted() {
        let mut one = Neighbours::new(0, 2);
        for port in 0..=u16::try_from(PARCEL_LETTERS).expect("small") {
            one.announce(path(port), true);
        }
        assert_eq!(one.dropped, 1);
    }
}
