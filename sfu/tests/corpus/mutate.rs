//! Changes to bytes, the same for the same seed.

/// The most bytes of a mutation: more than any datagram that a socket gives us.
const MAX_BYTES: usize = 4_096;

/// Values at which lengths and counts go wrong.
const EDGES: &[u8] = &[0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];

pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    /// One to eight changes to `bytes`; some bring in a piece of `other`.
    pub(crate) fn mutate(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut mutated = bytes.to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut mutated, other);
        }
        mutated.truncate(MAX_BYTES);
        mutated
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        if bytes.is_empty() {
            bytes.extend_from_slice(other);
            return;
        }
        let at = self.below(bytes.len());
        match self.below(8) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = EDGES[self.below(EDGES.len())],
            2 => bytes[at] = self.byte(),
            3 => bytes.truncate(at),
            4 => bytes.insert(at, self.byte()),
            5 => {
                bytes.remove(at);
            }
            6 => {
                let piece = self.piece(bytes.len());
                let copy = bytes[piece].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let piece = self.piece(other.len());
                let end = (at + piece.len()).min(bytes.len());
                bytes.splice(at..end, other[piece].to_vec());
            }
        }
    }

    fn piece(&mut self, len: usize) -> std::ops::Range<usize> {
        let from = self.below(len + 1);
        let to = self.below(len + 1);
        from.min(to)..from.max(to)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    /// 0 to `end` − 1.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from((self.next() >> 16) % end).unwrap()
    }

    /// Xorshift (Marsaglia, 2003).
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
