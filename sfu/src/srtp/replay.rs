//! What was received already (RFC 3711, section 3.3.2).

use super::OpenError;

/// How far behind the newest a packet of one source may be, in packets. RTX has its own SSRC, so this
/// covers a late path and repairs on the same SSRC: one second at 2,000 packets/s (about 18 Mbit/s),
/// two at 1,000. It costs 256 bytes a source, and must stay well below the 2¹⁵ at which the rollover
/// counter is guessed wrong. What is older is refused, authentic or not.
pub const RTP_WINDOW: usize = 2_048;
/// The same for RTCP: five packets a second are usual, so this is seconds.
pub(super) const RTCP_WINDOW: usize = 128;

pub(super) type RtpWindow = Window<{ RTP_WINDOW / 64 }>;
pub(super) type RtcpWindow = Window<{ RTCP_WINDOW / 64 }>;

/// The last `64 × WORDS` packets up to the highest: a ring of bits, set for those that were received.
#[derive(Debug, Clone)]
pub(super) struct Window<const WORDS: usize> {
    highest: u64,
    received: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    const SIZE: u64 = 64 * WORDS as u64;

    /// Nothing was received but `first`.
    pub(super) fn new(first: u64) -> Self {
        let mut window = Self {
            highest: first,
            received: [0; WORDS],
        };
        window.set(first);
        window
    }

    /// Everything up to `highest` counts as received: nothing of it is taken again.
    pub(super) fn closed(highest: u64) -> Self {
        Self {
            highest,
            received: [u64::MAX; WORDS],
        }
    }

    /// The highest number that was received.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Says whether `index` may still come.
    pub(super) fn check(&self, index: u64) -> Result<(), OpenError> {
        if index > self.highest {
            return Ok(());
        }
        if self.highest - index >= Self::SIZE {
            return Err(OpenError::TooOld);
        }
        let (word, bit) = Self::place(index);
        if self.received[word] & bit == 0 {
            Ok(())
        } else {
            Err(OpenError::Replayed)
        }
    }

    /// Notes one that was checked and found authentic.
    pub(super) fn accept(&mut self, index: u64) {
        if index > self.highest {
            if index - self.highest >= Self::SIZE {
                self.received = [0; WORDS];
            } else {
                for missing in self.highest + 1..index {
                    let (word, bit) = Self::place(missing);
                    self.received[word] &= !bit;
                }
            }
            self.highest = index;
        }
        self.set(index);
    }

    fn set(&mut self, index: u64) {
        let (word, bit) = Self::place(index);
        self.received[word] |= bit;
    }

    fn place(index: u64) -> (usize, u64) {
        let place = index % Self::SIZE;
        ((place / 64) as usize, 1 << (place % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_oldest_packet_that_is_taken_is_the_first_of_the_window() {
        let mut window = RtcpWindow::new(0);
        window.accept(128);
        assert_eq!(window.check(0), Err(OpenError::TooOld));
        assert_eq!(window.check(1), Ok(()));
        assert_eq!(window.check(128), Err(OpenError::Replayed));
    }

    #[test]
    fn a_closed_window_takes_only_what_is_new() {
        let window = RtcpWindow::closed(7);
        assert_eq!(window.check(6), Err(OpenError::Replayed));
        assert_eq!(window.check(7), Err(OpenError::Replayed));
        assert_eq!(window.check(8), Ok(()));
    }

    proptest! {
        /// Against a set that forgets nothing.
        #[test]
        fn a_packet_is_taken_once_and_only_within_the_window(
            first in 0u64..300,
            steps in prop::collection::vec(-200i64..200, 0..400),
        ) {
            let mut window = RtcpWindow::new(first);
            let mut taken = BTreeSet::from([first]);
            let mut at = first;
            for step in steps {
                at = at.saturating_add_signed(step);
                let highest = *taken.last().unwrap();
                let expected = if at + RTCP_WINDOW as u64 <= highest {
                    Err(OpenError::TooOld)
                } else if taken.contains(&at) {
                    Err(OpenError::Replayed)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(at), expected);
                if expected.is_ok() {
                    window.accept(at);
                    taken.insert(at);
                }
                prop_assert_eq!(window.highest(), *taken.last().unwrap());
            }
        }
    }
}
