//! What messages show, as far as this process knows.

use kaiwa_chat::model::ClipShown;
use kaiwa_common::id::{ClipId, RoomId};
use std::collections::BTreeMap;

/// Messages whose shown state is remembered. Past it the one is forgotten of which nothing was noted for longest: it is
/// shown once more when it changes, which costs an event and no more.
const REMEMBERED: usize = 10_000;

type Key = (ClipId, RoomId);

#[derive(Clone, Copy)]
struct Noted {
    state: ClipShown,
    version: u64,
    turn: u64,
}

/// States by message, the latest noted last.
#[derive(Default)]
pub(super) struct Remembered {
    states: BTreeMap<Key, Noted>,
    order: BTreeMap<u64, Key>,
    next: u64,
}

impl Remembered {
    /// Notes that a message is to show this state of the clip's version; says whether it has to be told. One that comes late,
    /// after a newer one, is not, and leaves no trace: the next state would be taken for shown.
    pub(super) fn note(&mut self, key: Key, state: ClipShown, version: u64) -> bool {
        let before = self.states.get(&key).copied();
        if before.is_some_and(|noted| noted.version > version) {
            return false;
        }
        let turn = self.next;
        self.next += 1;
        let noted = Noted {
            state,
            version,
            turn,
        };
        self.states.insert(key.clone(), noted);
        if let Some(noted) = before {
            self.order.remove(&noted.turn);
        }
        self.order.insert(turn, key);
        if self.order.len() > REMEMBERED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.states.remove(&oldest);
        }
        before.is_none_or(|noted| noted.state != state)
    }

    /// As if nothing had been noted of it.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(noted) = self.states.remove(key) {
            self.order.remove(&noted.turn);
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
            assert!(all.note(key(number), ClipShown::Uploading, 1));
        }
        // Noted again, the first is the latest.
        assert!(!all.note(key(0), ClipShown::Uploading, 2));
        assert!(all.note(key(REMEMBERED), ClipShown::Uploading, 1));
        let known = |all: &mut Remembered, number| !all.note(key(number), ClipShown::Uploading, 2);
        assert!(known(&mut all, 2) && known(&mut all, 0));
        assert!(!known(&mut all, 1), "the oldest");
        let sizes = |all: &Remembered| (all.states.len(), all.order.len());
        assert_eq!(sizes(&all), (REMEMBERED, REMEMBERED));
        all.forget(&key(0));
        assert_eq!(sizes(&all), (REMEMBERED - 1, REMEMBERED - 1));
        assert!(!known(&mut all, 0));
    }

    #[test]
    fn a_late_errand_does_not_hide_the_next_state() {
        let mut all = Remembered::default();
        assert!(all.note(key(0), ClipShown::Failed, 5));
        assert!(!all.note(key(0), ClipShown::Processing, 4), "it is over");
        assert!(all.note(key(0), ClipShown::Processing, 6), "tried again");
        assert!(!all.note(key(0), ClipShown::Processing, 7));
    }
}
