//! The rules of sending: what forms a run, and what follows from what the kernel says.

use super::{
    ARENA_BYTES, BLOCKED_FLUSHES_MAX, DATAGRAM_BYTES_MAX, Flushed, REFUSED_RUNS_MAX, RUN_BYTES_MAX,
    RUN_DATAGRAMS_MAX, RUNS_MAX, SendCounters, SendMode,
};
use crate::net::address::Destination;
use crate::net::sys::datagrams::{BATCH_MAX, Message};
use std::io;

/// What the rules need of a socket.
pub(super) trait Kernel {
    /// Takes some messages from the front, at least one; or says what is wrong with the first.
    fn send_many(&mut self, arena: &[u8], messages: &[Message]) -> io::Result<usize>;

    /// Takes one datagram.
    fn send_one(&mut self, arena: &[u8], message: &Message) -> io::Result<()>;
}

/// Datagrams in a row of the arena for one destination; all but the last have `segment` bytes.
#[derive(Debug, Clone, Copy)]
struct Run {
    destination: Destination,
    start: usize,
    len: usize,
    segment: u16,
    datagrams: usize,
    /// The kernel refused it in one piece.
    is_split: bool,
}

impl Run {
    fn takes(&self, len: usize, destination: &Destination) -> bool {
        let is_whole = self.len == self.datagrams * usize::from(self.segment);
        is_whole
            && len <= usize::from(self.segment)
            && self.datagrams < RUN_DATAGRAMS_MAX
            && self.len + len <= RUN_BYTES_MAX
            && self.destination == *destination
    }

    /// All of it from its datagram `from` on.
    fn rest(&self, from: usize) -> Message {
        let skipped = from * usize::from(self.segment);
        let datagrams = self.datagrams - from;
        Message {
            destination: self.destination,
            start: self.start + skipped,
            len: self.len - skipped,
            segment: (datagrams > 1).then_some(self.segment),
            datagrams,
        }
    }

    /// One datagram of it.
    fn datagram(&self, index: usize) -> Message {
        let rest = self.rest(index);
        Message {
            len: rest.len.min(usize::from(self.segment)),
            segment: None,
            datagrams: 1,
            ..rest
        }
    }
}

/// The first datagram that waits.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    run: usize,
    datagram: usize,
}

impl Cursor {
    fn advance(&mut self, runs: &[Run], datagrams: usize) {
        self.datagram += datagrams;
        if runs
            .get(self.run)
            .is_some_and(|run| self.datagram >= run.datagrams)
        {
            self.run += 1;
            self.datagram = 0;
        }
    }
}

/// What is known about runs on this socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// None was taken yet.
    Untried,
    /// Some were taken; since the last one so many were refused.
    Taken { refused: u32 },
}

/// Arena, table of runs and what the socket was like so far.
pub(super) struct Outgoing {
    bytes: Box<[u8]>,
    tail: usize,
    reserved: usize,
    runs: Vec<Run>,
    cursor: Cursor,
    batch: Vec<Message>,
    mode: SendMode,
    taken: Runs,
    /// The first datagram's error told of an earlier one; it was tried again.
    is_second_try: bool,
    blocked_in_a_row: u32,
    counters: SendCounters,
}

impl Outgoing {
    pub(super) fn new(mode: SendMode) -> Self {
        Self {
            bytes: vec![0; ARENA_BYTES].into_boxed_slice(),
            tail: 0,
            reserved: 0,
            runs: Vec::with_capacity(RUNS_MAX),
            cursor: Cursor::default(),
            batch: Vec::with_capacity(BATCH_MAX),
            mode,
            taken: Runs::Untried,
            is_second_try: false,
            blocked_in_a_row: 0,
            counters: SendCounters::default(),
        }
    }

    pub(super) fn has_room(&self, max_len: usize) -> bool {
        max_len <= DATAGRAM_BYTES_MAX.min(self.bytes.len() - self.tail)
            && self.runs.len() < RUNS_MAX
    }

    pub(super) fn reserve(&mut self, max_len: usize) -> Option<&mut [u8]> {
        self.reserved = 0;
        if !self.has_room(max_len) {
            return None;
        }
        self.reserved = max_len;
        self.bytes.get_mut(self.tail..self.tail + max_len)
    }

    pub(super) fn commit(&mut self, len: usize, destination: &Destination) {
        assert!(len <= self.reserved, "more was committed than reserved");
        self.reserved = 0;
        if len == 0 {
            return;
        }
        let start = self.tail;
        self.tail += len;
        // A run of which the kernel took a part, or refused, is left as it is.
        let is_open = self.runs.len() > self.cursor.run + usize::from(self.cursor.datagram > 0);
        match self.runs.last_mut() {
            Some(run) if is_open && !run.is_split && run.takes(len, destination) => {
                run.len += len;
                run.datagrams += 1;
            }
            _ => self.runs.push(Run {
                destination: *destination,
                start,
                len,
                segment: u16::try_from(len).expect("at most DATAGRAM_BYTES_MAX"),
                datagrams: 1,
                is_split: false,
            }),
        }
    }

    pub(super) fn count_dropped(&mut self) {
        self.counters.dropped += 1;
    }

    pub(super) fn waiting(&self) -> usize {
        let runs = self.runs.get(self.cursor.run..).unwrap_or_default();
        runs.iter().map(|run| run.datagrams).sum::<usize>() - self.cursor.datagram
    }

    pub(super) fn mode(&self) -> SendMode {
        self.mode
    }

    pub(super) fn counters(&self) -> SendCounters {
        self.counters
    }

    pub(super) fn flush(&mut self, kernel: &mut impl Kernel) -> Flushed {
        // Each turn sends, skips or splits something, or lowers the mode: it ends.
        loop {
            self.fill_batch();
            let Some(first) = self.batch.first() else {
                self.clear();
                return Flushed::All;
            };
            self.counters.calls += 1;
            let outcome = match self.mode {
                SendMode::Single => kernel.send_one(&self.bytes, first).map(|()| 1),
                SendMode::Mmsg | SendMode::Gso => kernel.send_many(&self.bytes, &self.batch),
            };
            match outcome {
                Ok(0) => return self.handle_blocked(),
                Ok(sent) => self.handle_sent(sent),
                Err(error) => {
                    let refusal = Refusal::new(&error);
                    if refusal == Refusal::Blocked {
                        return self.handle_blocked();
                    }
                    self.handle_refused(refusal);
                }
            }
        }
    }

    fn fill_batch(&mut self) {
        self.batch.clear();
        let limit = if self.mode == SendMode::Single {
            1
        } else {
            BATCH_MAX
        };
        let mut at = self.cursor;
        while self.batch.len() < limit
            && let Some(run) = self.runs.get(at.run)
        {
            let message = if self.mode == SendMode::Gso && !run.is_split {
                run.rest(at.datagram)
            } else {
                run.datagram(at.datagram)
            };
            at.advance(&self.runs, message.datagrams);
            self.batch.push(message);
        }
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.cursor = Cursor::default();
        self.tail = 0;
        self.reserved = 0;
        self.blocked_in_a_row = 0;
    }

    fn handle_sent(&mut self, sent: usize) {
        self.blocked_in_a_row = 0;
        self.is_second_try = false;
        for message in self.batch.iter().take(sent) {
            self.counters.datagrams += message.datagrams as u64;
            self.counters.bytes += message.len as u64;
            if message.segment.is_some() {
                self.counters.runs += 1;
                self.taken = Runs::Taken { refused: 0 };
            }
            self.cursor.advance(&self.runs, message.datagrams);
        }
    }

    /// Keeps the rest, but not for ever.
    fn handle_blocked(&mut self) -> Flushed {
        self.counters.blocked += 1;
        self.blocked_in_a_row += 1;
        if self.blocked_in_a_row < BLOCKED_FLUSHES_MAX {
            return Flushed::Blocked;
        }
        self.counters.dropped += self.waiting() as u64;
        self.clear();
        Flushed::All
    }

    /// About the first message of the batch, which was not taken.
    fn handle_refused(&mut self, refusal: Refusal) {
        let is_run = self
            .batch
            .first()
            .is_some_and(|message| message.segment.is_some());
        match refusal {
            Refusal::NoSuchCall if self.mode == SendMode::Gso => self.mode = SendMode::Mmsg,
            Refusal::NoSuchCall if self.mode == SendMode::Mmsg => self.mode = SendMode::Single,
            Refusal::NoRun if is_run => {
                self.split();
                self.handle_refused_run();
            }
            // One of its datagrams is longer than this path takes in one packet; alone they are
            // fragmented. It says nothing about other paths.
            Refusal::TooLong if is_run => self.split(),
            Refusal::AboutThePast if !self.is_second_try => self.is_second_try = true,
            Refusal::Blocked
            | Refusal::NoSuchCall
            | Refusal::NoRun
            | Refusal::TooLong
            | Refusal::AboutThePast
            | Refusal::Other => self.skip(),
        }
    }

    fn split(&mut self) {
        self.counters.refused_runs += 1;
        if let Some(run) = self.runs.get_mut(self.cursor.run) {
            run.is_split = true;
        }
    }

    /// A kernel or a device that takes no runs refuses the first one. Later, before Linux 6.2, the
    /// same error can also tell of a path's MTU.
    fn handle_refused_run(&mut self) {
        match self.taken {
            Runs::Taken { refused } if refused < REFUSED_RUNS_MAX => {
                self.taken = Runs::Taken {
                    refused: refused + 1,
                };
            }
            Runs::Untried | Runs::Taken { .. } => self.mode = SendMode::Mmsg,
        }
    }

    fn skip(&mut self) {
        self.is_second_try = false;
        if let Some(message) = self.batch.first() {
            self.counters.errors += message.datagrams as u64;
            self.cursor.advance(&self.runs, message.datagrams);
        }
    }
}

/// What an error of a send means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The socket's buffer is full.
    Blocked,
    /// The kernel, or a sandbox, does not know sendmmsg.
    NoSuchCall,
    /// Runs are not taken here, if it was one.
    NoRun,
    /// Longer than the path takes.
    TooLong,
    /// An ICMP error that answers an earlier datagram, or a signal.
    AboutThePast,
    /// The destination can't be reached, a firewall forbids it, the machine lacks memory.
    Other,
}

impl Refusal {
    fn new(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Self::Blocked,
            Some(libc::ENOSYS) => Self::NoSuchCall,
            Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT) => Self::NoRun,
            Some(libc::EMSGSIZE) => Self::TooLong,
            Some(libc::ECONNREFUSED | libc::EINTR) => Self::AboutThePast,
            _ => Self::Other,
        }
    }
}
