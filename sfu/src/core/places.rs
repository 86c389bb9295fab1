//! Where consecutive numbers go in a ring whose length grows by halves.

/// The places of a ring: a power of two of them, or one and a half. A step of one and a half instead of two
/// saves a quarter of a ring's memory on average, and a number still finds its place without a division.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places(usize);

impl Places {
    /// So many, which is a power of two.
    pub(super) const fn new(places: usize) -> Self {
        assert!(places.is_power_of_two(), "the first step is a power of two");
        Self(places)
    }

    /// How many there are.
    pub(super) const fn len(self) -> usize {
        self.0
    }

    /// The next step.
    pub(super) fn larger(self) -> Self {
        if self.0.is_power_of_two() {
            Self(self.0 + self.0 / 2)
        } else {
            Self(self.0 / 3 * 4)
        }
    }

    /// The step before.
    pub(super) fn smaller(self) -> Self {
        if self.0.is_power_of_two() {
            Self(self.0 / 4 * 3)
        } else {
            Self(self.0 / 3 * 2)
        }
    }

    /// The place of a number. As many numbers in a row as there are places have each their own.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "less than the number of places"
    )]
    pub(super) fn of(self, number: u64) -> usize {
        let len = self.0 as u64;
        if len.is_power_of_two() {
            return (number & (len - 1)) as usize;
        }
        // Three parts, each a power of two.
        let bits = len.trailing_zeros();
        let (part, within) = ((number >> bits) % 3, number & ((1 << bits) - 1));
        (part << bits | within) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_halves() {
        let steps = std::iter::successors(Some(Places::new(64)), |places| Some(places.larger()));
        let steps: Vec<_> = steps.take(6).map(Places::len).collect();
        assert_eq!(steps, [64, 96, 128, 192, 256, 384]);
        for step in steps {
            let places = Places(step);
            assert_eq!(places.larger().smaller(), places);
        }
    }

    #[test]
    fn each_of_a_row_of_numbers_has_a_place_of_its_own() {
        let mut places = Places::new(4);
        while places.len() < 200 {
            for first in [0, 1, 1_000, u64::from(u32::MAX) - 10] {
                let row = first..first + places.len() as u64;
                let mut taken: Vec<_> = row.map(|number| places.of(number)).collect();
                taken.sort_unstable();
                assert!(taken.into_iter().eq(0..places.len()));
            }
            places = places.larger();
        }
    }
}
