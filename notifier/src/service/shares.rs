//! How much of what is in hand at once is one person's.

use kaiwa_common::id::UserId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what each person has in hand. Holds nothing of those who have nothing.
pub(super) struct Shares {
    most: usize,
    held: Mutex<BTreeMap<UserId, usize>>,
}

/// One of a person's; given back when it is dropped.
pub(super) struct Share {
    of: Arc<Shares>,
    user: UserId,
}

impl Shares {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: Mutex::default(),
        })
    }

    /// `None` when they have as many as one may have.
    pub(super) fn take(self: &Arc<Self>, user: &UserId) -> Option<Share> {
        let mut held = self.held();
        let count = held.get(user).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        held.insert(user.clone(), count + 1);
        Some(Share {
            of: Arc::clone(self),
            user: user.clone(),
        })
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<UserId, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.of.held();
        match held.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                held.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_a_share_and_nothing_is_kept_of_who_has_none() {
        let shares = Shares::new(2);
        let [alice, bob] = ["alice", "bob"].map(|name| UserId::parse(name).expect("an id"));
        let first = shares.take(&alice);
        let second = shares.take(&alice);
        assert!(second.is_some() && shares.take(&alice).is_none());
        assert!(shares.take(&bob).is_some(), "another's is another's");
        drop(first);
        assert!(shares.take(&alice).is_some());
        drop(second);
        assert!(shares.held().is_empty());
    }
}
