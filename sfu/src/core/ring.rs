//! The one copy of a layer's payloads, for everybody who is sent them and for repairs.
//!
//! Payloads lie packed in one arena, so that memory follows the bit rate and not the number of
//! packets: a slot of full size would cost a voice packet fifteen times its length. Both the arena and
//! the index begin small and double whenever they would forget something younger than [`HISTORY`].
//! Between doublings nothing is allocated.

mod layered;
mod meta;

pub use layered::{Choice, Choices, Layered, SPATIAL_LAYERS, TEMPORAL_LAYERS};
pub(in crate::core) use meta::pictures_since;
pub use meta::{Coding, Format, Meta, Vp8};

use crate::unit::{ExtSeqNo, MediaKind};
use std::time::{Duration, Instant};

/// The largest payload that is taken: what one Ethernet frame can carry. Larger ones are refused.
pub const MAX_PAYLOAD_BYTES: usize = 1_500;

/// How far back repairs reach. A NACK answered later than this comes after the playout delay of any
/// call; twice as much would double the memory of every layer.
pub const HISTORY: Duration = Duration::from_secs(1);

/// Packets of video that are remembered at first: a second at 64 packets/s, the smallest layer.
const VIDEO_PACKETS: (usize, usize) = (64, 1_024);
/// Bytes of video that are kept at first, and at most: a second at 8 Mbit/s. A faster layer has a
/// shorter history.
const VIDEO_BYTES: (usize, usize) = (32 * 1_024, 1_024 * 1_024);
/// Packets of audio at first and at most: a second of 20 ms packets, and of 10 ms packets.
const AUDIO_PACKETS: (usize, usize) = (64, 128);
/// Bytes of audio at first and at most: a second of Opus at 64 kbit/s, and at 510 kbit/s.
const AUDIO_BYTES: (usize, usize) = (8 * 1_024, 64 * 1_024);

/// Why a payload is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// It is there already, or was.
    #[error("the packet was received before")]
    Duplicate,
    /// Its place belongs to a newer one.
    #[error("the packet is too old to be kept")]
    TooOld,
    /// More than [`MAX_PAYLOAD_BYTES`].
    #[error("the payload has more than {MAX_PAYLOAD_BYTES} bytes")]
    TooLarge,
}

/// The last second of one layer.
#[derive(Debug)]
pub struct PayloadRing {
    kind: MediaKind,
    /// By the lower bits of the number. Empty until the first packet, then a power of two.
    entries: Vec<Option<Entry>>,
    /// Empty until the first packet, then a power of two.
    arena: Vec<u8>,
    /// All before it are forgotten, whether or not they came.
    floor: ExtSeqNo,
    /// Bytes that went into the arena, ever; what its end left over counts.
    written: u64,
    /// When what the arena begins with was written.
    lap_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    seq: ExtSeqNo,
    /// `written` at its first byte; [`GONE`] when the payload is no longer there.
    at: u64,
    meta: Meta,
}

/// Of an entry whose number alone is still known, so that a duplicate is recognised.
const GONE: u64 = u64::MAX;

impl PayloadRing {
    /// An empty one; it holds no memory yet.
    #[must_use]
    pub fn new(kind: MediaKind) -> Self {
        Self {
            kind,
            entries: Vec::new(),
            arena: Vec::new(),
            floor: ExtSeqNo(0),
            written: 0,
            lap_at: None,
        }
    }

    /// Keeps a payload under its number. `meta.payload_len` is set from the payload.
    ///
    /// # Errors
    /// [`RingError`]; nothing is changed.
    pub fn insert(&mut self, seq: ExtSeqNo, meta: Meta, payload: &[u8]) -> Result<(), RingError> {
        self.insert_described(seq, meta, payload, &[])
    }

    /// The same with the packet's dependency descriptor, of at most 255 bytes; a longer one is left out.
    ///
    /// # Errors
    /// [`RingError`]; nothing is changed.
    pub fn insert_described(
        &mut self,
        seq: ExtSeqNo,
        mut meta: Meta,
        payload: &[u8],
        descriptor: &[u8],
    ) -> Result<(), RingError> {
        let len = u16::try_from(payload.len()).map_err(|_| RingError::TooLarge)?;
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(RingError::TooLarge);
        }
        self.check(seq)?;
        let descriptor_len = u8::try_from(descriptor.len());
        let descriptor = if descriptor_len.is_ok() {
            descriptor
        } else {
            &[]
        };
        self.make_room(seq, meta.received_at, descriptor.len() + payload.len());
        meta.payload_len = len;
        meta.descriptor_len = descriptor_len.unwrap_or(0);
        let at = self.write(descriptor, payload);
        let index = self.index(seq);
        if let Some(place) = self.entries.get_mut(index)
            && let Some(displaced) = place.replace(Entry { seq, at, meta })
        {
            self.floor = self.floor.max(displaced.seq.next());
        }
        Ok(())
    }

    /// A packet by its number, while it is kept.
    #[must_use]
    pub fn get(&self, seq: ExtSeqNo) -> Option<(&Meta, &[u8])> {
        let entry = self.entries.get(self.index(seq))?.as_ref()?;
        if entry.seq != seq || !self.is_whole(entry) {
            return None;
        }
        let (_, payload) = self.bytes_of(entry)?;
        Some((&entry.meta, payload))
    }

    /// The dependency descriptor of a packet that is kept; empty where it had none.
    #[must_use]
    pub fn descriptor(&self, seq: ExtSeqNo) -> &[u8] {
        let entry = self.entries.get(self.index(seq)).and_then(Option::as_ref);
        let entry = entry.filter(|entry| entry.seq == seq && self.is_whole(entry));
        entry
            .and_then(|entry| self.bytes_of(entry))
            .map_or(&[], |(descriptor, _)| descriptor)
    }

    /// Descriptor and payload, which lie behind each other.
    fn bytes_of(&self, entry: &Entry) -> Option<(&[u8], &[u8])> {
        let from = self.offset(entry.at);
        let descriptor = usize::from(entry.meta.descriptor_len);
        let len = descriptor + usize::from(entry.meta.payload_len);
        self.arena
            .get(from..from + len)?
            .split_at_checked(descriptor)
    }

    /// Whether a packet was received, as far back as numbers are remembered.
    #[must_use]
    pub fn has(&self, seq: ExtSeqNo) -> bool {
        self.check(seq) == Err(RingError::Duplicate)
    }

    /// Gives all memory back. What was kept is too old from now on, or a repair of it would be news.
    pub fn clear(&mut self) {
        let kept = self.entries.iter().flatten().map(|entry| entry.seq);
        let floor = kept
            .max()
            .map_or(self.floor, |seq| seq.next().max(self.floor));
        *self = Self::new(self.kind);
        self.floor = floor;
    }

    /// Packets that it has room for at present.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of memory that it holds.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.entries.len() * size_of::<Option<Entry>>() + self.arena.len()
    }

    fn check(&self, seq: ExtSeqNo) -> Result<(), RingError> {
        match self.entries.get(self.index(seq)) {
            Some(Some(entry)) if entry.seq == seq => Err(RingError::Duplicate),
            Some(Some(entry)) if entry.seq > seq => Err(RingError::TooOld),
            Some(_) | None if seq < self.floor => Err(RingError::TooOld),
            Some(_) | None => Ok(()),
        }
    }

    /// Grows what would otherwise forget something young.
    fn make_room(&mut self, seq: ExtSeqNo, now: Instant, len: usize) {
        let (packets, max_packets) = self.packets();
        let (bytes, max_bytes) = self.bytes();
        if self.entries.is_empty() {
            self.entries.resize(packets, None);
            self.arena.resize(bytes, 0);
            self.lap_at = Some(now);
        }
        let displaced = self.entries.get(self.index(seq)).copied().flatten();
        let forgets = displaced.is_some_and(|entry| is_young(entry.meta.received_at, now));
        if forgets && self.entries.len() < max_packets {
            self.grow_index();
        }
        if self.offset(self.written) + len <= self.arena.len() {
            return;
        }
        if self.lap_at.is_some_and(|at| is_young(at, now)) && self.arena.len() < max_bytes {
            // What is overwritten next is then still what that lap began with.
            self.grow_arena();
        } else {
            self.lap_at = Some(now);
        }
    }

    fn grow_index(&mut self) {
        let packets = self.entries.len() * 2;
        let old = std::mem::replace(&mut self.entries, vec![None; packets]);
        for entry in old.into_iter().flatten() {
            let index = self.index(entry.seq);
            if let Some(place) = self.entries.get_mut(index) {
                *place = Some(entry);
            }
        }
    }

    fn grow_arena(&mut self) {
        let mut larger = Self {
            entries: Vec::new(),
            arena: vec![0; self.arena.len() * 2],
            ..Self::new(self.kind)
        };
        // The oldest first, so that it is also the first to be overwritten.
        let mut oldest_first: Vec<usize> = (0..self.entries.len()).collect();
        oldest_first.sort_unstable_by_key(|&index| {
            let entry = self.entries.get(index).copied().flatten();
            entry.map_or(GONE, |entry| entry.at)
        });
        for index in oldest_first {
            let Some(mut entry) = self.entries.get(index).copied().flatten() else {
                continue;
            };
            let whole = Some(&entry).filter(|entry| self.is_whole(entry));
            entry.at = match whole.and_then(|entry| self.bytes_of(entry)) {
                Some((descriptor, payload)) => larger.write(descriptor, payload),
                None => GONE,
            };
            if let Some(place) = self.entries.get_mut(index) {
                *place = Some(entry);
            }
        }
        self.arena = larger.arena;
        self.written = larger.written;
    }

    /// Copies a descriptor and a payload to the arena's head, in one piece.
    fn write(&mut self, descriptor: &[u8], payload: &[u8]) -> u64 {
        let len = self.arena.len();
        let left = len - self.offset(self.written);
        let all = descriptor.len() + payload.len();
        if all > left {
            self.written += left as u64;
        }
        let at = self.written;
        let from = self.offset(at);
        if let Some(place) = self.arena.get_mut(from..from + all) {
            let (front, rest) = place.split_at_mut(descriptor.len());
            front.copy_from_slice(descriptor);
            rest.copy_from_slice(payload);
        }
        self.written += all as u64;
        at
    }

    /// Nothing has been written over it yet.
    fn is_whole(&self, entry: &Entry) -> bool {
        let age = self.written.checked_sub(entry.at);
        age.is_some_and(|age| age <= self.arena.len() as u64)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "masked to less than the arena's length"
    )]
    fn offset(&self, at: u64) -> usize {
        (at & (self.arena.len() as u64).wrapping_sub(1)) as usize
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "masked to less than the index's length"
    )]
    fn index(&self, seq: ExtSeqNo) -> usize {
        (seq.0 & (self.entries.len() as u64).wrapping_sub(1)) as usize
    }

    fn packets(&self) -> (usize, usize) {
        match self.kind {
            MediaKind::Audio => AUDIO_PACKETS,
            MediaKind::Video => VIDEO_PACKETS,
        }
    }

    fn bytes(&self) -> (usize, usize) {
        match self.kind {
            MediaKind::Audio => AUDIO_BYTES,
            MediaKind::Video => VIDEO_BYTES,
        }
    }
}

fn is_young(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < HISTORY
}

#[cfg(test)]
mod tests;
