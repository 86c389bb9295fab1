//! Datagrams out: written in place into an arena, sent many with one system call.
//!
//! ```text
//!  reserve ──► the caller writes ──► commit(len, to) ──► … ──► flush
//!                                      │                        │
//!                  datagrams in a row to one destination,       │ sendmmsg of up to 64 messages,
//!                  equally long but the last, are one run       │ a run with UDP_SEGMENT is one
//! ```
//!
//! The kernel's way per datagram is nine tenths of what forwarding costs; one UDP_SEGMENT run of ten
//! takes half of ten datagrams' time. So the order in which datagrams are committed matters: all of
//! one destination's, then all of the next one's.

mod outgoing;
mod probe;

pub use probe::probe;

use super::address::Destination;
use super::socket::UdpSocket;
use super::sys::datagrams::{self, Message, SendTable};
use outgoing::{Kernel, Outgoing};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes that wait for a flush: 469 datagrams of 1,116 bytes. Twice as many gain nothing, since the
/// kernel takes 64 messages at a time, and leave the cache. At the bound, `reserve` gives nothing
/// until a flush.
pub const ARENA_BYTES: usize = 512 * 1024;

/// Runs that wait for a flush; single datagrams count as one. So many are reached by datagrams of
/// less than 512 bytes that form no runs. At the bound as with [`ARENA_BYTES`].
pub const RUNS_MAX: usize = 1_024;

/// Datagrams of one run: the kernel's UDP_MAX_SEGMENTS before Linux 6.9 (128 since).
pub const RUN_DATAGRAMS_MAX: usize = 64;

/// Bytes of one run: an IP packet's 65,535 without its headers, rounded down.
pub const RUN_BYTES_MAX: usize = 65_000;

/// The longest datagram that can be reserved: what [`super::receive::DATAGRAM_BYTES_MAX`] takes.
pub const DATAGRAM_BYTES_MAX: usize = super::receive::DATAGRAM_BYTES_MAX;

/// Flushes in a row of which the kernel took nothing, until what waits is dropped. With a flush
/// each millisecond that is old media, which nobody wants any more.
pub const BLOCKED_FLUSHES_MAX: u32 = 64;

/// Runs in a row that the kernel may refuse, after it took some, until no more are tried on the
/// socket. A few can be a path's fault; so many mean that each costs a call for nothing.
pub const REFUSED_RUNS_MAX: u32 = 64;

/// How datagrams are handed to the kernel; each is the fall-back of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SendMode {
    /// One sendto for each datagram.
    Single,
    /// sendmmsg of datagrams.
    Mmsg,
    /// sendmmsg of runs with UDP_SEGMENT (Linux 4.18).
    Gso,
}

/// How a flush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flushed {
    /// Nothing waits any more.
    All,
    /// The socket's buffer is full. The rest waits: flush again when the socket is writable.
    Blocked,
}

/// What went out, since the arena was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendCounters {
    /// Datagrams that the kernel took.
    pub datagrams: u64,
    /// Their bytes, without UDP's and IP's headers.
    pub bytes: u64,
    /// System calls.
    pub calls: u64,
    /// Runs of two datagrams and more that the kernel took in one piece.
    pub runs: u64,
    /// Runs that it refused; they went as datagrams.
    pub refused_runs: u64,
    /// Datagrams that it refused, for their destination or their length; they are gone.
    pub errors: u64,
    /// Flushes that a full socket ended.
    pub blocked: u64,
    /// Datagrams that were dropped because a full socket took too long.
    pub dropped: u64,
}

/// Datagrams that wait to be sent. It belongs to one socket: what the socket refuses is remembered,
/// and what waits for a full one waits here. Nothing is allocated after `new`.
pub struct SendArena {
    outgoing: Outgoing,
    table: SendTable,
}

impl SendArena {
    /// An empty one: 512 KiB, of which memory takes the pages that were reached. `mode` is what
    /// [`probe`] found, or less.
    #[must_use]
    pub fn new(mode: SendMode) -> Self {
        Self {
            outgoing: Outgoing::new(mode),
            table: SendTable::new(),
        }
    }

    /// Room for a datagram of up to `max_len` bytes, at most [`DATAGRAM_BYTES_MAX`]; what is in it
    /// is left from before. `None` when there is none: flush and ask again, or drop the datagram.
    /// A reservation that is not committed is as if it had not been made.
    #[must_use]
    pub fn reserve(&mut self, max_len: usize) -> Option<&mut [u8]> {
        self.outgoing.reserve(max_len)
    }

    /// As [`Self::reserve`], with a flush when there is no room; if that makes none, the datagram
    /// is counted as dropped.
    #[must_use]
    pub fn reserve_or_flush(&mut self, socket: &UdpSocket, max_len: usize) -> Option<&mut [u8]> {
        if !self.outgoing.has_room(max_len) {
            let _ = self.flush(socket);
            if !self.outgoing.has_room(max_len) {
                self.outgoing.count_dropped();
            }
        }
        self.outgoing.reserve(max_len)
    }

    /// What was written into the front of the last reservation is a datagram. Nothing is sent for
    /// `len` 0.
    ///
    /// # Panics
    /// `len` is more than what was reserved.
    pub fn commit(&mut self, len: usize, destination: &Destination) {
        self.outgoing.commit(len, destination);
    }

    /// Copies a whole datagram, flushing for room; whether there was some.
    pub fn append(&mut self, socket: &UdpSocket, bytes: &[u8], destination: &Destination) -> bool {
        let Some(place) = self.reserve_or_flush(socket, bytes.len()) else {
            return false;
        };
        place.copy_from_slice(bytes);
        self.commit(bytes.len(), destination);
        true
    }

    /// Hands what waits to the kernel, in the order of commits. What it refuses is counted and
    /// skipped; a refused run goes again as datagrams.
    pub fn flush(&mut self, socket: &UdpSocket) -> Flushed {
        let Self { outgoing, table } = self;
        outgoing.flush(&mut Socket {
            fd: socket.as_fd(),
            table,
        })
    }

    /// Datagrams that wait for a flush.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outgoing.waiting()
    }

    /// How datagrams are handed over now: what `new` was given, or less when the kernel refused it.
    #[must_use]
    pub fn mode(&self) -> SendMode {
        self.outgoing.mode()
    }

    /// What went out so far.
    #[must_use]
    pub fn counters(&self) -> SendCounters {
        self.outgoing.counters()
    }
}

struct Socket<'a> {
    fd: BorrowedFd<'a>,
    table: &'a mut SendTable,
}

impl Kernel for Socket<'_> {
    fn send_many(&mut self, arena: &[u8], messages: &[Message]) -> io::Result<usize> {
        datagrams::send_many(self.fd, self.table, arena, messages)
    }

    fn send_one(&mut self, arena: &[u8], message: &Message) -> io::Result<()> {
        datagrams::send_one(self.fd, arena, message)
    }
}

#[cfg(test)]
mod tests;
