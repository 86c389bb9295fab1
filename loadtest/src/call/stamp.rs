//! What every payload carries, so that its way through a server can be checked: who sent it, as what,
//! when, and a sum over all of it. It stands behind the codec's own header, which servers read.
//!
//! ```text
//!  0        4          8      9      10        11       12       16     20      24     26     28       36
//!  | magic  | publisher | track| layer| temporal| flags  | counter| frame| refers| index| count| sent_us| sum |
//! ```

/// A stamp's length in bytes; a payload has at least these.
pub const STAMP_BYTES: usize = 40;

/// Begins every stamp. What a browser encodes does not begin so but for one packet in 2^32.
const MAGIC: [u8; 4] = *b"kwLT";

/// Where the sum stands.
const SUM_AT: usize = 36;

/// The flag of a key frame.
const KEY: u8 = 1;

/// The facts of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Of which stream.
    pub stream: Stream,
    /// The temporal layer, 0 the lowest.
    pub temporal: u8,
    /// Part of a key frame.
    pub is_key: bool,
    /// Counts the packets of the stream.
    pub counter: u32,
    /// Counts the frames of the track; its layers share the number.
    pub frame: u32,
    /// The frame of the same stream that this one needs; itself if none.
    pub refers: u32,
    /// Which packet of its frame, from 0.
    pub index: u16,
    /// How many packets the frame has.
    pub count: u16,
    /// When it was sent, in µs since the Unix epoch.
    pub sent_us: u64,
}

/// One encoding of one track of one publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Stream {
    /// The publisher's number in this run.
    pub publisher: u32,
    /// Their track.
    pub track: u8,
    /// The layer of a simulcast, 0 the smallest.
    pub layer: u8,
}

/// What a payload turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// One of ours, as it was sent.
    Stamped(Stamp),
    /// One of ours that is not as it was sent.
    Corrupt,
    /// Not one of ours: a browser's.
    Foreign,
}

impl Stamp {
    /// Appends a stamped payload of `len` bytes, or of [`STAMP_BYTES`] if that is more.
    pub fn write(&self, len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(MAGIC);
        out.extend(self.stream.publisher.to_be_bytes());
        let flags = if self.is_key { KEY } else { 0 };
        out.extend([self.stream.track, self.stream.layer, self.temporal, flags]);
        out.extend(self.counter.to_be_bytes());
        out.extend(self.frame.to_be_bytes());
        out.extend(self.refers.to_be_bytes());
        out.extend(self.index.to_be_bytes());
        out.extend(self.count.to_be_bytes());
        out.extend(self.sent_us.to_be_bytes());
        out.extend([0; 4]);
        // What follows differs from packet to packet, so that a mix-up of bodies shows.
        let filler = mix(u64::from(self.counter), self.sent_us).to_le_bytes();
        while out.len() < start + len {
            let rest = (start + len - out.len()).min(filler.len());
            out.extend(&filler[..rest]);
        }
        let sum = sum(&out[start..]).to_be_bytes();
        out[start + SUM_AT..start + STAMP_BYTES].copy_from_slice(&sum);
    }

    /// Reads a payload behind its codec's header.
    #[must_use]
    pub fn read(payload: &[u8]) -> Read {
        if payload.get(..4) != Some(&MAGIC) {
            return Read::Foreign;
        }
        let Some((head, _)) = payload.split_first_chunk::<STAMP_BYTES>() else {
            return Read::Corrupt;
        };
        if sum(payload).to_be_bytes() != head[SUM_AT..] {
            return Read::Corrupt;
        }
        Read::Stamped(Self {
            stream: Stream {
                publisher: be32(head, 4),
                track: head[8],
                layer: head[9],
            },
            temporal: head[10],
            is_key: head[11] & KEY != 0,
            counter: be32(head, 12),
            frame: be32(head, 16),
            refers: be32(head, 20),
            index: be16(head, 24),
            count: be16(head, 26),
            sent_us: u64::from(be32(head, 28)) << 32 | u64::from(be32(head, 32)),
        })
    }
}

fn be32(bytes: &[u8; STAMP_BYTES], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn be16(bytes: &[u8; STAMP_BYTES], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn mix(state: u64, word: u64) -> u64 {
    // Multiplication by the golden ratio's odd fraction spreads every bit upwards; the rotation brings
    // the upper ones back down.
    (state ^ word)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29)
}

/// Over everything but the sum itself, in words: a byte at a time would be a tenth of the generator's
/// time. SRTP guards each leg; this guards what happens between them.
fn sum(payload: &[u8]) -> u32 {
    // With the length, or zeros at the end could be cut off.
    let mut state = payload.len() as u64;
    let (head, rest) = payload.split_at(SUM_AT);
    for bytes in [head, rest.get(4..).unwrap_or_default()] {
        let words = bytes.chunks_exact(8);
        let tail = words.remainder();
        for word in words {
            let word: [u8; 8] = word.try_into().unwrap_or_default();
            state = mix(state, u64::from_le_bytes(word));
        }
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        state = mix(state, u64::from_le_bytes(last));
    }
    let bytes = mix(state, 0).to_le_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp() -> impl Strategy<Value = Stamp> {
        let stream = (any::<u32>(), any::<u8>(), any::<u8>());
        let place = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u16>());
        (stream, place, any::<(u8, bool, u16, u64)>()).prop_map(|(stream, place, rest)| Stamp {
            stream: Stream {
                publisher: stream.0,
                track: stream.1,
                layer: stream.2,
            },
            temporal: rest.0,
            is_key: rest.1,
            counter: place.0,
            frame: place.1,
            refers: place.2,
            index: place.3,
            count: rest.2,
            sent_us: rest.3,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(stamp in stamp(), len in 0_usize..1_300) {
            let mut payload = Vec::new();
            stamp.write(len, &mut payload);
            prop_assert_eq!(payload.len(), len.max(STAMP_BYTES));
            prop_assert_eq!(Stamp::read(&payload), Read::Stamped(stamp));
        }

        #[test]
        fn any_changed_bit_shows(stamp in stamp(), len in 40_usize..200, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut payload = Vec::new();
            stamp.write(len, &mut payload);
            let at = at.index(payload.len());
            payload[at] ^= 1 << bit;
            let expected = if at < 4 { Read::Foreign } else { Read::Corrupt };
            prop_assert_eq!(Stamp::read(&payload), expected);
        }

        #[test]
        fn a_shortened_payload_shows(stamp in stamp(), len in 60_usize..200, cut in 1_usize..19) {
            let mut payload = Vec::new();
            stamp.write(len, &mut payload);
            payload.truncate(len - cut);
            prop_assert_eq!(Stamp::read(&payload), Read::Corrupt);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Stamp::read(&bytes);
            let _ = Stamp::read(&[MAGIC.as_slice(), &bytes].concat());
        }
    }
}
