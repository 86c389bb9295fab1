//! Bits off the front of bytes, the highest of each byte first.

/// What is left of some bytes, bit by bit. A read that finds too few takes nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits that were taken.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Bits that are left.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// `f(n)` of the specifications: so many bits, 32 at most.
    pub(crate) fn bits(&mut self, count: usize) -> Option<u32> {
        if count > 32 || self.len() < count {
            return None;
        }
        let mut value = 0_u64;
        let mut left = count;
        while left > 0 {
            let byte = u64::from(*self.bytes.get(self.at / 8)?);
            let in_byte = 8 - self.at % 8;
            let taken = in_byte.min(left);
            let part = (byte >> (in_byte - taken)) & ((1 << taken) - 1);
            value = value << taken | part;
            self.at += taken;
            left -= taken;
        }
        u32::try_from(value).ok()
    }

    /// The same as a byte: 8 bits at most.
    pub(crate) fn small(&mut self, count: usize) -> Option<u8> {
        let mut ahead = *self;
        let value = u8::try_from(ahead.bits(count)?).ok()?;
        *self = ahead;
        Some(value)
    }

    /// One bit.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        Some(self.bits(1)? == 1)
    }

    /// `ns(n)`: a number below `end`, of which the lower ones take a bit less (AV1, section 4.10.7).
    pub(crate) fn below(&mut self, end: u32) -> Option<u32> {
        let width = u32::BITS - end.leading_zeros();
        let shorter = (1_u64 << width) - u64::from(end);
        let mut ahead = *self;
        let value = ahead.bits(usize::try_from(width).ok()?.checked_sub(1)?)?;
        let value = if u64::from(value) < shorter {
            value
        } else {
            let extra = u64::from(ahead.bits(1)?);
            u32::try_from((u64::from(value) << 1) + extra - shorter).ok()?
        };
        *self = ahead;
        Some(value)
    }

    /// `ue(v)`: Exp-Golomb (H.264, section 9.1).
    pub(crate) fn exp_golomb(&mut self) -> Option<u32> {
        let mut ahead = *self;
        let mut zeros = 0;
        while !ahead.flag()? {
            zeros += 1;
        }
        // 32 zeros stand for 2^32 - 1 and more, which nothing here can be.
        let suffix = if zeros < 32 {
            ahead.bits(zeros)?
        } else {
            return None;
        };
        *self = ahead;
        Some((1_u32 << zeros) - 1 + suffix)
    }

    /// `se(v)`: the same with a sign, 1, -1, 2, -2 and so on (section 9.1.1).
    pub(crate) fn signed_exp_golomb(&mut self) -> Option<i64> {
        let value = i64::from(self.exp_golomb()?);
        Some(if value % 2 == 0 {
            -(value / 2)
        } else {
            value / 2 + 1
        })
    }
}

/// Puts bits behind each other into bytes of the caller.
#[derive(Debug)]
pub(crate) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The lower `count` bits of a value, 32 at most. `None` when there is no room.
    pub(crate) fn put(&mut self, count: usize, value: u32) -> Option<()> {
        for bit in (0..count).rev() {
            let place = self.bytes.get_mut(self.at / 8)?;
            if self.at.is_multiple_of(8) {
                *place = 0;
            }
            let set = u8::from(value >> bit & 1 == 1);
            *place |= set << (7 - self.at % 8);
            self.at += 1;
        }
        Some(())
    }

    /// So many bits of a reader.
    pub(crate) fn copy(&mut self, reader: &mut BitReader<'_>, mut count: usize) -> Option<()> {
        while count > 0 {
            let some = count.min(32);
            self.put(some, reader.bits(some)?)?;
            count -= some;
        }
        Some(())
    }

    /// Bytes that were begun.
    pub(crate) fn len(&self) -> usize {
        self.at.div_ceil(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bits_run_over_bytes_and_a_read_that_finds_too_few_takes_nothing() {
        let mut reader = BitReader::new(&[0b1010_1100, 0b0111_0000]);
        assert_eq!(reader.bits(3), Some(0b101));
        assert_eq!(reader.bits(7), Some(0b011_0001));
        assert_eq!((reader.bits(7), reader.position()), (None, 10));
        assert_eq!((reader.bits(6), reader.len()), (Some(0b11_0000), 0));
    }

    #[test]
    fn numbers_below_five_take_two_bits_or_three() {
        // AV1, section 4.10.7: 00, 01, 10, 110, 111.
        let mut reader = BitReader::new(&[0b0001_1011, 0b0111_0000]);
        let read: Vec<_> = (0..5).map(|_| reader.below(5)).collect();
        assert_eq!(read, [0, 1, 2, 3, 4].map(Some));
        assert_eq!(reader.below(1), Some(0), "which takes none");
    }

    #[test]
    fn exp_golomb_is_as_in_its_table() {
        // H.264, table 9-2: 1, 010, 011, 00100; signed 0, 1, -1, 2.
        let bits = [0b1010_0110, 0b0100_0000];
        let mut reader = BitReader::new(&bits);
        let read: Vec<_> = (0..4).map(|_| reader.exp_golomb()).collect();
        assert_eq!(read, [0, 1, 2, 3].map(Some));
        let mut reader = BitReader::new(&bits);
        let read: Vec<_> = (0..4).map(|_| reader.signed_exp_golomb()).collect();
        assert_eq!(read, [0, 1, -1, 2].map(Some));
        assert_eq!(BitReader::new(&[0; 9]).exp_golomb(), None);
    }

    proptest! {
        #[test]
        fn what_is_put_is_read(values in prop::collection::vec((1_usize..=32, any::<u32>()), 1..20)) {
            let mut bytes = [0xff; 80];
            let mut writer = BitWriter::new(&mut bytes);
            for &(count, value) in &values {
                writer.put(count, value).unwrap();
            }
            let len = writer.len();
            let mut reader = BitReader::new(&bytes[..len]);
            for (count, value) in values {
                let mask = u32::MAX >> (32 - count);
                prop_assert_eq!(reader.bits(count), Some(value & mask));
            }
        }
    }
}
