//! Events that have been handed on, by id.

use kaiwa_common::limits::CLIP_WEBHOOK_SEEN;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Ids of events. Those that were done with are forgotten oldest first; those in hand are as many as requests are.
#[derive(Default)]
pub(super) struct Seen(Mutex<Ids>);

#[derive(Default)]
struct Ids {
    /// Whether it is done with.
    known: HashMap<String, bool>,
    done: VecDeque<String>,
}

/// Whose turn it is.
pub(super) enum Turn<'a> {
    /// Nobody had it: it is in hand until this is dropped, or done.
    First(First<'a>),
    /// Somebody has it now.
    InHand,
    /// It is done with.
    Done,
}

impl Seen {
    pub(super) fn begin(&self, id: &str) -> Turn<'_> {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match ids.known.get(id) {
            Some(true) => Turn::Done,
            Some(false) => Turn::InHand,
            None => {
                ids.known.insert(id.to_owned(), false);
                Turn::First(First {
                    seen: self,
                    id: id.to_owned(),
                    is_done: false,
                })
            }
        }
    }
}

/// An event in hand. Dropped, it may come again.
pub(super) struct First<'a> {
    seen: &'a Seen,
    id: String,
    is_done: bool,
}

impl First<'_> {
    pub(super) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        let mut ids = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = std::mem::take(&mut self.id);
        if !self.is_done {
            ids.known.remove(&id);
            return;
        }
        ids.known.insert(id.clone(), true);
        ids.done.push_back(id);
        if ids.done.len() > CLIP_WEBHOOK_SEEN
            && let Some(oldest) = ids.done.pop_front()
        {
            ids.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_done_comes_again_and_the_oldest_is_forgotten() {
        let seen = Seen::default();
        let Turn::First(turn) = seen.begin("0") else {
            panic!("nobody had it")
        };
        assert!(matches!(seen.begin("0"), Turn::InHand));
        drop(turn);
        for id in 0..=CLIP_WEBHOOK_SEEN {
            let Turn::First(turn) = seen.begin(&id.to_string()) else {
                panic!("nobody had it")
            };
            turn.done();
        }
        assert!(matches!(seen.begin("1"), Turn::Done));
        assert!(matches!(seen.begin("0"), Turn::First(_)));
    }
}
