//! What a receiving source misses, and when to ask for it (RFC 4585, section 6.2.1).

use std::time::{Duration, Instant};

/// A number is asked for when this many later ones came, or after [`PATIENCE`]: it may only be late.
const REORDER: u64 = 3;

/// See [`REORDER`].
const PATIENCE: Duration = Duration::from_millis(10);

/// The least time between two requests for the same number: the way there and back, and some work.
const AGAIN: Duration = Duration::from_millis(60);

/// Requests for one number. Then it is given up.
const TRIES: u8 = 10;

/// A number is given up when it has been missing this long: nobody would show it any more.
const GIVEN_UP: Duration = Duration::from_millis(1_500);

/// Numbers missing at once. A greater hole is a restart, and not asked for.
const MISSING: usize = 512;

/// The missing numbers of one source.
#[derive(Debug, Default)]
pub struct Missing {
    highest: Option<u64>,
    missing: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    seq: u64,
    since: Instant,
    asked: Option<Instant>,
    tries: u8,
}

impl Missing {
    /// A number came.
    pub fn handle(&mut self, now: Instant, seq: u64) {
        let Some(highest) = self.highest else {
            self.highest = Some(seq);
            return;
        };
        if seq <= highest {
            self.missing.retain(|entry| entry.seq != seq);
            return;
        }
        let hole = usize::try_from(seq - highest - 1).unwrap_or(usize::MAX);
        if hole.saturating_add(self.missing.len()) > MISSING {
            self.missing.clear();
        } else {
            self.missing.extend((highest + 1..seq).map(|seq| Entry {
                seq,
                since: now,
                asked: None,
                tries: 0,
            }));
        }
        self.highest = Some(seq);
    }

    /// The greatest number that came.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Appends the numbers to ask for now.
    pub fn due(&mut self, now: Instant, numbers: &mut Vec<u16>) {
        let highest = self.highest.unwrap_or(0);
        self.missing
            .retain(|entry| entry.tries < TRIES && now < entry.since + GIVEN_UP);
        for entry in &mut self.missing {
            let is_due = match entry.asked {
                None => highest - entry.seq >= REORDER || now >= entry.since + PATIENCE,
                Some(asked) => now >= asked + AGAIN,
            };
            if is_due {
                entry.asked = Some(now);
                entry.tries += 1;
                numbers.push(super::rtp::wire(entry.seq));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(missing: &mut Missing, now: Instant) -> Vec<u16> {
        let mut numbers = Vec::new();
        missing.due(now, &mut numbers);
        numbers
    }

    #[test]
    fn a_number_that_is_only_late_is_not_asked_for() {
        let (mut missing, now) = (Missing::default(), Instant::now());
        missing.handle(now, 10);
        missing.handle(now, 12);
        assert!(due(&mut missing, now).is_empty());
        missing.handle(now, 11);
        missing.handle(now, 16);
        assert_eq!(due(&mut missing, now), [13]);
    }

    #[test]
    fn a_number_is_asked_for_again_after_a_while_until_it_is_given_up() {
        let (mut missing, start) = (Missing::default(), Instant::now());
        missing.handle(start, 1);
        missing.handle(start, 3);
        let mut asked = 0;
        for ms in 0..3_000 {
            asked += due(&mut missing, start + Duration::from_millis(ms)).len();
        }
        assert_eq!(asked, usize::from(TRIES));
        assert!(missing.is_empty());
    }

    #[test]
    fn numbers_go_over_the_end_of_16_bits() {
        let (mut missing, now) = (Missing::default(), Instant::now());
        missing.handle(now, 65_534);
        missing.handle(now, 65_538);
        assert_eq!(due(&mut missing, now + PATIENCE), [65_535, 0, 1]);
    }

    #[test]
    fn a_hole_beyond_the_bound_is_not_asked_for() {
        let (mut missing, now) = (Missing::default(), Instant::now());
        missing.handle(now, 1);
        missing.handle(now, 10_000);
        assert!(missing.is_empty());
    }
}
