//! Where shards' threads leave parcels for each other: a lock for each parcel and not for each
//! datagram, and buffers that go back and forth.

use crate::net::poll::Waker;
use crate::shard::Parcel;
use std::sync::{Arc, Mutex, PoisonError};

/// Where others put what is for one shard.
pub(super) struct Mailbox {
    parcel: Mutex<Parcel>,
    waker: Waker,
}

impl Mailbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            parcel: Mutex::default(),
            waker,
        }
    }
}

/// One thread's part of the exchange.
pub(super) struct Exchange {
    own: usize,
    mailboxes: Vec<Arc<Mailbox>>,
    /// An empty one to exchange.
    spare: Parcel,
}

impl Exchange {
    pub(super) fn new(own: usize, mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Self {
            own,
            mailboxes,
            spare: Parcel::default(),
        }
    }

    /// At the end of a turn: what there is for others goes into their mailboxes. Gives how many
    /// datagrams and notes found no room.
    pub(super) fn send(&mut self, outgoing: &mut [Parcel]) -> u64 {
        let mut dropped = 0;
        for (mailbox, parcel) in self.mailboxes.iter().zip(outgoing) {
            if parcel.is_empty() {
                continue;
            }
            let mut waiting = mailbox
                .parcel
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if waiting.is_empty() {
                std::mem::swap(&mut *waiting, parcel);
            } else {
                dropped += waiting.append(parcel) as u64;
            }
            drop(waiting);
            mailbox.waker.wake();
        }
        dropped
    }

    /// Takes what others have left, in exchange for an empty parcel.
    pub(super) fn collect(&mut self) -> Parcel {
        let mut parcel = std::mem::take(&mut self.spare);
        if let Some(mailbox) = self.mailboxes.get(self.own) {
            let mut waiting = mailbox
                .parcel
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut *waiting, &mut parcel);
        }
        parcel
    }

    /// Gives a parcel's memory back after it was opened.
    pub(super) fn give_back(&mut self, parcel: Parcel) {
        self.spare = parcel;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::poll::Poller;
    use crate::net::socket::LocalIndex;
    use crate::shard::{Letter, Path};

    fn path(port: u16) -> Path {
        Path {
            remote: ([127, 0, 0, 1], port).into(),
            local: LocalIndex(0).into(),
        }
    }

    fn datagram(port: u16, bytes: &[u8]) -> (Letter, Vec<u8>) {
        let letter = Letter::Datagram(path(port), bytes.len());
        (letter, bytes.to_vec())
    }

    #[test]
    fn what_is_handed_over_arrives_whole_and_in_order() {
        let poller = Poller::new().expect("a poller");
        let mailboxes: Vec<_> = (0..2)
            .map(|_| Arc::new(Mailbox::new(poller.waker())))
            .collect();
        let mut one = Exchange::new(0, mailboxes.clone());
        let mut two = Exchange::new(1, mailboxes);
        let letters = [
            datagram(1, b"first"),
            (Letter::Owns(path(9), 0), vec![]),
            datagram(2, b"second"),
        ];
        let mut outgoing = [Parcel::default(), Parcel::default()];
        for (letter, bytes) in &letters {
            assert!(outgoing[1].put(*letter, bytes));
            assert_eq!(one.send(&mut outgoing), 0);
        }
        let mut parcel = two.collect();
        let mut seen = Vec::new();
        parcel.open(|letter, bytes| seen.push((letter, bytes.to_vec())));
        assert_eq!(seen, letters);
        two.give_back(parcel);
        assert!(two.collect().is_empty());
    }
}
