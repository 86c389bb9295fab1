//! Datagrams in, many with one system call.

use super::address;
use super::socket::{LocalIndex, UdpSocket};
use super::sys::datagrams::{self, BATCH_MAX, ReceiveTable};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest datagram that is taken: more than any path's MTU but jumbo frames', which the
/// Internet does not carry. What is longer is dropped and counted.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;

/// The longest run that the kernel puts together: what the length of an IP packet can tell.
const RUN_BYTES_MAX: usize = 65_536;

/// Calls that a pending error of the socket may cost before a batch is given up: such an error
/// belongs to something sent before and says nothing about what waits.
const PENDING_ERRORS_MAX: usize = 4;

/// What came, since the batch was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveCounters {
    /// System calls.
    pub calls: u64,
    /// Datagrams that were handed out.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Runs that came in one piece.
    pub runs: u64,
    /// Datagrams, or runs of them, that were dropped: longer than their place.
    pub truncated: u64,
    /// Errors of the socket that say nothing about what waits.
    pub errors: u64,
}

/// A datagram, in place: it may be decrypted where it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// The local address that it came to.
    pub local: LocalIndex,
    /// When it came, where the kernel [says so](UdpSocket::enable_stamps): of a run, its first.
    pub arrived: Option<Instant>,
    /// All of it.
    pub bytes: &'a mut [u8],
}

/// Places for a batch of datagrams, used again and again. Nothing is allocated after `new`.
pub struct ReceiveBatch {
    table: ReceiveTable,
    buffers: Box<[u8]>,
    slot_bytes: usize,
    local: LocalIndex,
    /// Both clocks when the batch was read.
    clocks: Option<Clocks>,
    came: usize,
    counters: ReceiveCounters,
}

impl ReceiveBatch {
    /// How many it takes at once.
    pub const PLACES: usize = BATCH_MAX;

    /// Places for single datagrams: 128 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_slots(DATAGRAM_BYTES_MAX)
    }

    /// Places for runs, as a socket with [`UdpSocket::enable_gro`] gives them: 4 MiB, of which
    /// memory takes only the pages that runs have reached.
    #[must_use]
    pub fn for_runs() -> Self {
        Self::with_slots(RUN_BYTES_MAX)
    }

    fn with_slots(slot_bytes: usize) -> Self {
        Self {
            table: ReceiveTable::new(),
            buffers: vec![0; slot_bytes * BATCH_MAX].into_boxed_slice(),
            slot_bytes,
            local: LocalIndex(0),
            clocks: None,
            came: 0,
            counters: ReceiveCounters::default(),
        }
    }

    /// Takes what waits at the socket, in place of what the batch held: how many places were
    /// filled, 0 to 64. Less than 64 means that nothing waited any more.
    ///
    /// # Errors
    /// The socket can't be read from, now or later: it is broken.
    ///
    /// # Panics
    /// The socket gives runs and the batch has no places for them.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let fits = self.slot_bytes == RUN_BYTES_MAX || !socket.has_gro();
        assert!(fits, "a socket that gives runs is read with `for_runs`");
        self.came = 0;
        self.local = socket.local();
        for _ in 0..PENDING_ERRORS_MAX {
            self.counters.calls += 1;
            let fd = socket.as_fd();
            let came =
                datagrams::receive_many(fd, &mut self.table, &mut self.buffers, self.slot_bytes);
            match came {
                Ok(came) => {
                    self.came = came;
                    self.clocks = socket.has_stamps().then(Clocks::now).flatten();
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_about_the_past(&error) => self.counters.errors += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(self.came)
    }

    /// The datagrams of the last [`Self::receive`], in the order in which they came.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let Self {
            table,
            buffers,
            counters,
            ..
        } = self;
        let (table, local, clocks) = (&*table, self.local, self.clocks);
        let slots = buffers.chunks_exact_mut(self.slot_bytes);
        slots
            .take(self.came)
            .enumerate()
            .flat_map(move |(index, slot)| {
                let received = table.received(index);
                let from = address::parse(received.name);
                counters.truncated += u64::from(received.is_truncated);
                let len = match from {
                    Some(_) if !received.is_truncated => received.len.min(slot.len()),
                    _ => 0,
                };
                let segment = received.segment.unwrap_or(len).max(1);
                counters.runs += u64::from(len > segment);
                counters.datagrams += len.div_ceil(segment) as u64;
                counters.bytes += len as u64;
                let arrived = clocks.and_then(|clocks| clocks.arrival(received.stamp?));
                let datagrams = slot[..len].chunks_mut(segment);
                datagrams.filter_map(move |bytes| {
                    Some(Datagram {
                        from: from?,
                        local,
                        arrived,
                        bytes,
                    })
                })
            })
    }

    /// What came so far; those of a batch are counted as they are handed out.
    #[must_use]
    pub fn counters(&self) -> ReceiveCounters {
        self.counters
    }
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// The same moment by the clock that deadlines have, and by the one that the kernel's stamps have.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    steady: Instant,
    wall: Duration,
}

/// What waits longer in a socket than this was stamped before the clock was set.
const WAIT_MAX: Duration = Duration::from_secs(1);

impl Clocks {
    fn now() -> Option<Self> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(Self {
            steady: Instant::now(),
            wall,
        })
    }

    /// When something came that was stamped so; `None` if that can't be.
    fn arrival(self, stamp: Duration) -> Option<Instant> {
        let age = self
            .wall
            .checked_sub(stamp)
            .filter(|age| *age <= WAIT_MAX)?;
        self.steady.checked_sub(age)
    }
}

/// An ICMP error that answers an earlier datagram, or a signal: the next call may succeed.
fn is_about_the_past(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENETDOWN
                | libc::EMSGSIZE
                | libc::EPROTO
                | libc::ENOMEM
                | libc::EINTR
        )
    )
}

#[cfg(test)]
mod tests;
