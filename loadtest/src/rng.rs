//! Seeded randomness: one seed gives one schedule, on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, good enough to choose what happens next.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another generator, whose values have nothing to do with this one's.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `least` up to and including `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next_u64() % (most.saturating_sub(least) + 1)
    }

    /// An index into something of `len` > 0 entries.
    ///
    /// # Panics
    /// When `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        assert!(len > 0, "nothing to choose from");
        let len = u64::try_from(len).expect("a length fits 64 bits");
        usize::try_from(self.next_u64() % len).expect("smaller than a length")
    }

    /// Yes, so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.next_u64() % 100 < chance
    }

    /// A UUIDv7 (RFC 9562) of this time, its random bits from this generator: a new `cid`.
    pub fn cid(&mut self, now_ms: i64) -> String {
        let mut bytes = [0_u8; 10];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes()[..2]);
        let ms = u64::try_from(now_ms).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(ms, &bytes)
            .into_uuid()
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaiwa_common::id::Cid;

    #[test]
    fn a_seed_gives_one_sequence() {
        let values = |seed| {
            let mut rng = Rng::new(seed);
            (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(values(7), values(7));
        assert_ne!(values(7), values(8));
    }

    #[test]
    fn cids_are_of_version_7_and_of_the_time_given() {
        let mut rng = Rng::new(1);
        let cid = Cid::parse(&rng.cid(1_790_000_000_123)).unwrap();
        assert_eq!(cid.made_at_ms(), 1_790_000_000_123);
        assert_ne!(rng.cid(5), rng.cid(5));
    }

    #[test]
    fn bounds_are_reached_and_kept() {
        let mut rng = Rng::new(3);
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| rng.between(2, 4)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [2, 3, 4]);
    }
}
