//! Big-endian fields off the front of bytes that may end anywhere.

/// What is left of some bytes. A read that finds too few takes nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*front)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Three bytes.
    pub(crate) fn u24(&mut self) -> Option<u32> {
        let [a, b, c] = self.array()?;
        Some(u32::from_be_bytes([0, a, b, c]))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes behind a length of one byte.
    pub(crate) fn prefixed_u8(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = usize::from(ahead.u8()?);
        let bytes = ahead.take(len)?;
        *self = ahead;
        Some(bytes)
    }

    /// Bytes behind a length of two bytes.
    pub(crate) fn prefixed_u16(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = usize::from(ahead.u16()?);
        let bytes = ahead.take(len)?;
        *self = ahead;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_finds_too_little_takes_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u32(), None);
        assert_eq!(reader.take(4), None);
        assert_eq!(reader.u24(), Some(0x01_0203));
        assert!(reader.is_empty());

        let mut reader = Reader::new(&[0, 2, 9]);
        assert_eq!(reader.prefixed_u16(), None);
        assert_eq!(reader.rest(), [0, 2, 9]);
        assert_eq!(reader.prefixed_u8(), Some(&[][..]));
        assert_eq!(reader.prefixed_u8(), None);
        assert_eq!(reader.len(), 2);
    }
}
