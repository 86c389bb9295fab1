//! Memory that the disk can take from without a copy.

/// Bytes at whose multiples a block device takes memory, lengths and places: no device asks for more.
pub(super) const ALIGNMENT: usize = 4096;

/// A buffer of a fixed size that begins at a multiple of [`ALIGNMENT`].
pub(super) struct Buffer {
    memory: Vec<u8>,
    begin: usize,
    size: usize,
    filled: usize,
}

impl Buffer {
    pub(super) fn new(size: usize) -> Self {
        let memory = vec![0; size + ALIGNMENT];
        // Where the offset is not to be known, the buffer is as good, but for writes past the cache, which refuse it.
        let begin = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            memory,
            begin,
            size,
            filled: 0,
        }
    }

    /// Takes as many of the first bytes as there is room for; gives how many.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.size - self.filled);
        let from = self.begin + self.filled;
        if let Some(room) = self.memory.get_mut(from..from + taken) {
            room.copy_from_slice(bytes.get(..taken).unwrap_or_default());
        }
        self.filled += taken;
        taken
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled == self.size
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    /// What it has taken.
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory
            .get(self.begin..self.begin + self.filled)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_takes_no_more_than_its_size() {
        let mut buffer = Buffer::new(5);
        assert_eq!(buffer.take(b"abc"), 3);
        assert!(!buffer.is_full());
        assert_eq!(buffer.take(b"defg"), 2);
        assert!(buffer.is_full());
        assert_eq!(buffer.take(b"h"), 0);
        assert_eq!(buffer.bytes(), b"abcde");
        assert_eq!(buffer.bytes().as_ptr().align_offset(ALIGNMENT), 0);
        buffer.clear();
        assert!(buffer.bytes().is_empty());
    }
}
