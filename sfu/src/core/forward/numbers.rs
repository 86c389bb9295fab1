//! From the numbers of a source to those of a slot, without what was left out.

use crate::unit::ExtSeqNo;
use std::collections::VecDeque;

/// Ranges of numbers left out that are remembered. With upper spatial layers left out there is one for each
/// picture, so that this reaches back as far as repairs do at 60 pictures a second. A packet older than
/// the oldest range is not sent any more.
pub(super) const MAX_RANGES: usize = 64;

/// Where a number of the source goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It has a number of ours.
    Kept {
        seq: ExtSeqNo,
        /// Pictures left out before it, since the beginning; modulo 2^16.
        pictures_left_out: u16,
    },
    /// It was left out on purpose.
    LeftOut,
    /// From before the beginning, or too old.
    Forgotten,
}

/// The numbers of one run.
#[derive(Debug)]
pub(super) struct NumberMap {
    /// The first number of the source, and ours.
    first: ExtSeqNo,
    ours: ExtSeqNo,
    /// The newest of the source; none yet while it is before `first`.
    newest: Option<ExtSeqNo>,
    /// What was left out, in its order and apart; [`MAX_RANGES`] at most.
    ranges: VecDeque<Range>,
    /// The last range that was forgotten.
    base: Range,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    from: ExtSeqNo,
    end: ExtSeqNo,
    /// Left out up to its end, since the beginning.
    numbers: u64,
    pictures: u16,
}

impl NumberMap {
    pub(super) fn new(first: ExtSeqNo, ours: ExtSeqNo) -> Self {
        Self {
            first,
            ours,
            newest: None,
            ranges: VecDeque::new(),
            base: Range {
                from: first,
                end: first,
                numbers: 0,
                pictures: 0,
            },
        }
    }

    pub(super) fn first(&self) -> ExtSeqNo {
        self.first
    }

    pub(super) fn newest(&self) -> ExtSeqNo {
        self.newest.unwrap_or(self.first)
    }

    pub(super) fn is_ahead(&self, seq: ExtSeqNo) -> bool {
        match self.newest {
            None => seq >= self.first,
            Some(newest) => seq > newest,
        }
    }

    /// The newest number is this one now.
    pub(super) fn advance(&mut self, seq: ExtSeqNo) {
        self.newest = Some(seq);
    }

    /// Leaves out this number, the newest.
    pub(super) fn leave_out(&mut self, seq: ExtSeqNo, pictures: u16) {
        self.leave_out_range(seq, seq.next(), pictures);
    }

    /// Leaves out what is missing between the newest number and this one.
    pub(super) fn leave_out_before(&mut self, seq: ExtSeqNo, pictures: u16) {
        let from = self.newest.map_or(self.first, ExtSeqNo::next);
        if from < seq {
            self.leave_out_range(from, seq, pictures);
        }
    }

    pub(super) fn place(&self, seq: ExtSeqNo) -> Place {
        if seq < self.base.end {
            return Place::Forgotten;
        }
        let before = self.ranges.iter().rev().find(|range| seq >= range.from);
        let before = before.unwrap_or(&self.base);
        if seq < before.end {
            return Place::LeftOut;
        }
        Place::Kept {
            seq: ExtSeqNo(self.ours.0 + (seq.0 - self.first.0) - before.numbers),
            pictures_left_out: before.pictures,
        }
    }

    fn leave_out_range(&mut self, from: ExtSeqNo, end: ExtSeqNo, pictures: u16) {
        let last = self.ranges.back().unwrap_or(&self.base);
        let numbers = last.numbers + (end.0 - from.0);
        let pictures = last.pictures.wrapping_add(pictures);
        if let Some(last) = self.ranges.back_mut()
            && last.end == from
        {
            last.end = end;
            last.numbers = numbers;
            last.pictures = pictures;
            return;
        }
        if self.ranges.len() >= MAX_RANGES
            && let Some(oldest) = self.ranges.pop_front()
        {
            self.base = oldest;
        }
        self.ranges.push_back(Range {
            from,
            end,
            numbers,
            pictures,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(seq: u64, pictures_left_out: u16) -> Place {
        Place::Kept {
            seq: ExtSeqNo(seq),
            pictures_left_out,
        }
    }

    #[test]
    fn what_is_left_out_closes_its_number() {
        let mut map = NumberMap::new(ExtSeqNo(100), ExtSeqNo(7));
        map.advance(ExtSeqNo(100));
        map.leave_out(ExtSeqNo(101), 1);
        map.advance(ExtSeqNo(101));
        map.leave_out_before(ExtSeqNo(104), 1);
        map.advance(ExtSeqNo(104));
        assert_eq!(map.place(ExtSeqNo(100)), kept(7, 0));
        assert_eq!(map.place(ExtSeqNo(102)), Place::LeftOut);
        assert_eq!(map.place(ExtSeqNo(104)), kept(8, 2));
        assert_eq!(map.place(ExtSeqNo(99)), Place::Forgotten);
    }

    #[test]
    fn what_is_older_than_the_ranges_is_forgotten() {
        let mut map = NumberMap::new(ExtSeqNo(0), ExtSeqNo(0));
        for range in 0..=MAX_RANGES as u64 {
            map.leave_out(ExtSeqNo(range * 2), 0);
            map.advance(ExtSeqNo(range * 2));
        }
        assert_eq!(map.ranges.len(), MAX_RANGES);
        assert_eq!(map.place(ExtSeqNo(0)), Place::Forgotten);
        assert_eq!(map.place(ExtSeqNo(1)), kept(0, 0));
        assert_eq!(map.place(ExtSeqNo(3)), kept(1, 0));
    }

    proptest! {
        /// Against the slow way of counting: what is kept is contiguous.
        #[test]
        fn kept_numbers_are_contiguous(left_out in prop::collection::vec(any::<bool>(), 1..60)) {
            let mut map = NumberMap::new(ExtSeqNo(500), ExtSeqNo(9));
            for (index, &out) in left_out.iter().enumerate() {
                let seq = ExtSeqNo(500 + index as u64);
                if out {
                    map.leave_out(seq, 0);
                }
                map.advance(seq);
            }
            let mut next = 9;
            for (index, &out) in left_out.iter().enumerate() {
                let place = map.place(ExtSeqNo(500 + index as u64));
                if out {
                    prop_assert_eq!(place, Place::LeftOut);
                } else {
                    prop_assert_eq!(place, kept(next, 0));
                    next += 1;
                }
            }
        }
    }
}
