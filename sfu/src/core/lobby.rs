//! TCP connections of which nobody knows yet whose they are: how many, from where, and for how long.
//!
//! Anybody can open one, so that what they hold is bounded in all, for each address and in time. In all the oldest one
//! goes for a new one: who means it says who they are within a round trip, and the oldest has had its time.

use kaiwa_common::limits::{MEDIA_TCP_UNKNOWN, MEDIA_TCP_UNKNOWN_EACH, MEDIA_TCP_UNKNOWN_FOR};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

/// A place in the lobby. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// There are as many from this address as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

struct Guest<A, T> {
    ticket: Ticket,
    address: A,
    due: Instant,
    value: T,
}

/// Who waits, the oldest first; `T` is what there is of a connection, and `A` what counts as one address.
pub struct Lobby<A, T> {
    guests: VecDeque<Guest<A, T>>,
    by_address: HashMap<A, usize>,
    next: u64,
}

impl<A, T> Default for Lobby<A, T> {
    fn default() -> Self {
        Self {
            guests: VecDeque::new(),
            by_address: HashMap::new(),
            next: 0,
        }
    }
}

impl<A: Copy + Eq + Hash, T> Lobby<A, T> {
    /// A connection came. Also gives the one that has to go for it.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter(
        &mut self,
        now: Instant,
        address: A,
        value: T,
    ) -> Result<(Ticket, Option<T>), Full> {
        let count = self.by_address.entry(address).or_insert(0);
        if *count >= MEDIA_TCP_UNKNOWN_EACH {
            return Err(Full);
        }
        *count += 1;
        let gone = if self.guests.len() >= MEDIA_TCP_UNKNOWN {
            self.leave_at(0)
        } else {
            None
        };
        let ticket = Ticket(self.next);
        self.next += 1;
        self.guests.push_back(Guest {
            ticket,
            address,
            due: now + MEDIA_TCP_UNKNOWN_FOR,
            value,
        });
        Ok((ticket, gone))
    }

    /// A connection that waits.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let at = self.find(ticket)?;
        self.guests.get_mut(at).map(|guest| &mut guest.value)
    }

    /// A connection goes: it is known whose it is, or it is not wanted.
    pub fn leave(&mut self, ticket: Ticket) -> Option<T> {
        let at = self.find(ticket)?;
        self.leave_at(at)
    }

    /// The next one of those whose time is over.
    pub fn poll_expired(&mut self, now: Instant) -> Option<T> {
        self.next_due().filter(|due| *due <= now)?;
        self.leave_at(0)
    }

    /// When the first one's time is over.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.guests.front().map(|guest| guest.due)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.guests.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }

    /// Tickets rise.
    fn find(&self, ticket: Ticket) -> Option<usize> {
        self.guests
            .binary_search_by_key(&ticket, |guest| guest.ticket)
            .ok()
    }

    fn leave_at(&mut self, at: usize) -> Option<T> {
        let guest = self.guests.remove(at)?;
        if let Some(count) = self.by_address.get_mut(&guest.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&guest.address);
            }
        }
        Some(guest.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_address_has_so_many() {
        let now = Instant::now();
        let mut lobby = Lobby::default();
        let mut last = None;
        for n in 0..MEDIA_TCP_UNKNOWN_EACH {
            last = lobby.enter(now, 1, n).ok();
        }
        assert_eq!(lobby.enter(now, 1, 0), Err(Full));
        assert!(lobby.enter(now, 2, 0).is_ok());
        let (ticket, _) = last.unwrap();
        assert_eq!(lobby.leave(ticket), Some(MEDIA_TCP_UNKNOWN_EACH - 1));
        assert_eq!(lobby.leave(ticket), None);
        assert!(lobby.enter(now, 1, 0).is_ok());
    }

    #[test]
    fn the_oldest_goes_for_a_new_one() {
        let now = Instant::now();
        let mut lobby = Lobby::default();
        let mut gone = Vec::new();
        for n in 0..10_000_u32 {
            let (_, left) = lobby.enter(now, n, n).unwrap();
            gone.extend(left);
            assert!(lobby.len() <= MEDIA_TCP_UNKNOWN);
        }
        let kept = u32::try_from(MEDIA_TCP_UNKNOWN).unwrap();
        assert!(gone.iter().copied().eq(0..10_000 - kept));
        assert_eq!(lobby.by_address.len(), lobby.len());
    }

    #[test]
    fn who_says_nothing_goes_in_time_and_nobody_sooner() {
        let now = Instant::now();
        let mut lobby = Lobby::default();
        let (first, _) = lobby.enter(now, 9, 1).unwrap();
        let later = now + Duration::from_secs(1);
        lobby.enter(later, 9, 2).unwrap();
        let due = now + MEDIA_TCP_UNKNOWN_FOR;
        assert_eq!(lobby.next_due(), Some(due));
        assert_eq!(lobby.poll_expired(due - Duration::from_nanos(1)), None);
        assert_eq!(lobby.get_mut(first), Some(&mut 1));
        assert_eq!(lobby.poll_expired(due), Some(1));
        assert_eq!(lobby.poll_expired(due), None);
        assert_eq!(lobby.len(), 1);
    }
}
