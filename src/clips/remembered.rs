//! What messages show, as far as this process knows.

use kaiwa_chat::model::ClipShown;
use kaiwa_common::id::{ClipId, RoomId};
use std::collections::BTreeMap;

/// Messages whose shown state is remembered. Past it the one is forgotten of which nothing was noted for longest: it is
/// shown once more when it changes, which costs an event and no more.
const REMEMBERED: usize = 10_000;

type Key = (ClipId, RoomId);

/// States by message, the latest noted last.
#[derive(Default)]
pub(super) struct Remembered {
    states: BTreeMap<Key, (ClipShown, u64)>,
    order: BTreeMap<u64, Key>,
    next: u64,
}

impl Remembered {
    /// Notes what a message shows now; gives what it showed before, if that is known.
    pub(super) fn note(&mut self, key: Key, state: ClipShown) -> Option<ClipShown> {
        let turn = self.next;
        self.next += 1;
        let before = self.states.insert(key.clone(), (state, turn));
        if let Some((_, turn)) = before {
            self.order.remove(&turn);
        }
        self.order.insert(turn, key);
        if self.order.len() > REMEMBERED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.states.remove(&oldest);
        }
        before.map(|(state, _)| state)
    }

    /// As if nothing had been noted of it.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some((_, turn)) = self.states.remove(key) {
            self.order.remove(&turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        let id = u128::try_from(number).expect("small");
        let room = RoomId::parse("r_a").expect("a room");
        (ClipId(uuid::Uuid::from_u128(id)), room)
    }

    #[test]
    fn past_the_bound_the_one_that_was_noted_first_is_forgotten() {
        let mut all = Remembered::default();
        for number in 0..REMEMBERED {
            assert_eq!(all.note(key(number), ClipShown::Uploading), None);
        }
        // Noted again, the first is the latest.
        let before = all.note(key(0), ClipShown::Ready);
        assert_eq!(before, Some(ClipShown::Uploading));
        assert_eq!(all.note(key(REMEMBERED), ClipShown::Ready), None);
        let known = |all: &mut Remembered, number| all.note(key(number), ClipShown::Failed);
        assert_eq!(known(&mut all, 2), Some(ClipShown::Uploading));
        assert_eq!(known(&mut all, 0), Some(ClipShown::Ready));
        assert_eq!(known(&mut all, 1), None, "the oldest");
        assert_eq!(
            (all.states.len(), all.order.len()),
            (REMEMBERED, REMEMBERED)
        );
        all.forget(&key(0));
        assert_eq!(
            (all.states.len(), all.order.len()),
            (REMEMBERED - 1, REMEMBERED - 1)
        );
        assert_eq!(known(&mut all, 0), None);
    }
}
