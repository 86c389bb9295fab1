//! A shard's TCP connections: frames in, frames out, and what waits for those that are slow.
//!
//! ```text
//!  shard ─► arena (all connections', one turn's) ─► writev for each ─► the kernel
//!                                                     │ not taken    ▲
//!                                                     └──► its queue ┘ when it takes bytes again
//! ```
//!
//! What a connection takes at once is never copied, and one that waits for nothing has no buffers.

mod turn;

#[cfg(test)]
mod tests;

use crate::net::frames::{FrameClass, FrameQueue, MEDIA_BYTES};
use crate::net::poll::StreamToken;
use crate::net::send::DATAGRAM_BYTES_MAX;
use crate::net::socket::{Local, StreamKey};
use crate::net::tcp;
use crate::shard::Path;
use crate::wire::demux::Kind;
use crate::wire::framing::{Deframer, LENGTH_BYTES, length_of};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;
use turn::{Fresh, Turn};

/// Connections of one shard. At the bound new ones are closed. Participants have at most as many as ICE keeps paths of
/// them, and nobody else has any here.
pub(crate) const STREAMS_MAX: usize = 4_096;

/// Bytes that wait for all connections of one shard: what 256 of them may have each. At the bound media of who does not
/// take theirs takes the place of their own, oldest first. Each connection's bound alone would allow a gigabyte.
const HELD_MAX: usize = 256 * MEDIA_BYTES;

/// Bytes that wait for the end of a turn: as for datagrams. At the bound they leave at once.
const ARENA_BYTES: usize = 512 * 1024;

/// Frames that wait for the end of a turn.
const FRAMES_MAX: usize = 4_096;

/// Bytes that are read of one connection in one turn: what it sends in 50 ms at 2.5 Mbit/s. In frames of a byte they are
/// five thousand, which nobody else waits long for.
const READ_BYTES: usize = 16 * 1024;

/// One connection.
struct Stream {
    socket: TcpStream,
    remote: SocketAddr,
    /// Lent while frames are taken. Gone after a panic then: where the next one begins is not known any more.
    deframer: Option<Deframer>,
    queue: FrameQueue,
    /// Its frames of this turn in the arena, by place among them.
    fresh: Option<(u32, u32)>,
    /// The kernel takes no more, and says when it does again.
    is_full: bool,
    /// It is nobody's any more.
    is_closing: bool,
}

impl Stream {
    /// Writes what waits, unless it is known that no more is taken.
    fn flush(&mut self, now: Instant, counters: &mut StreamCounters) -> io::Result<()> {
        if self.is_full {
            return Ok(());
        }
        let Self { socket, queue, .. } = self;
        let before = queue.dropped();
        let flushed = queue.flush(now, |slices| {
            let taken = (&*socket).write_vectored(slices)?;
            counters.sent_bytes += taken as u64;
            Ok(taken)
        });
        counters.dropped += queue.dropped() - before;
        self.is_full = !flushed?;
        Ok(())
    }

    fn keep(
        &mut self,
        turn: &Turn<'_>,
        frame: &Fresh,
        counters: &mut StreamCounters,
    ) -> io::Result<()> {
        let before = self.queue.dropped();
        let most = if turn.is_full {
            self.queue.media_bytes()
        } else {
            MEDIA_BYTES
        };
        let bytes = turn.bytes(frame);
        let kept = self.queue.push_within(turn.now, frame.class, bytes, most);
        counters.dropped += self.queue.dropped() - before;
        kept.map_err(io::Error::other)
    }
}

struct Row {
    generation: u16,
    stream: Option<Box<Stream>>,
}

/// Of all connections, those that are closed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StreamCounters {
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// Media frames that slow readers were too late for.
    pub(crate) dropped: u64,
    /// Connections that were given up since nothing was taken.
    pub(crate) stalled: u64,
}

/// The connections of one shard.
pub(crate) struct Streams {
    rows: Vec<Row>,
    free: Vec<u16>,
    open: usize,
    /// Bytes that wait in all queues.
    held: usize,
    /// As of this turn.
    now: Instant,
    arena: Vec<u8>,
    tail: usize,
    fresh: Vec<Fresh>,
    /// Who has frames in the arena.
    touched: Vec<u16>,
    /// Who has something waiting in a queue, or is to be closed.
    waiting: Vec<u16>,
    /// Paths that have ended by themselves, and are to be told of.
    ended: Vec<Path>,
    /// Whose readiness to be written to is to be asked for, or not any more.
    changed: Vec<u16>,
    inlet: Vec<u8>,
    counters: StreamCounters,
}

impl Streams {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
            open: 0,
            held: 0,
            now,
            arena: Vec::new(),
            tail: 0,
            fresh: Vec::new(),
            touched: Vec::new(),
            waiting: Vec::new(),
            ended: Vec::new(),
            changed: Vec::new(),
            inlet: Vec::new(),
            counters: StreamCounters::default(),
        }
    }

    /// Takes a connection in. `None` when there are too many, or it has ended already.
    pub(crate) fn insert(&mut self, socket: TcpStream) -> Option<StreamKey> {
        let remote = tcp::remote(&socket).ok()?;
        if self.open >= STREAMS_MAX || tcp::prepare(&socket).is_err() {
            return None;
        }
        if self.arena.is_empty() {
            // Who has no TCP has no arena.
            self.arena = vec![0; ARENA_BYTES];
            self.fresh.reserve_exact(FRAMES_MAX);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u16::try_from(self.rows.len()).ok()?;
                self.rows.push(Row {
                    generation: 0,
                    stream: None,
                });
                index
            }
        };
        let row = self.rows.get_mut(usize::from(index))?;
        row.stream = Some(Box::new(Stream {
            socket,
            remote,
            deframer: Some(Deframer::default()),
            queue: FrameQueue::new(self.now),
            fresh: None,
            is_full: false,
            is_closing: false,
        }));
        self.open += 1;
        Some(StreamKey {
            index,
            generation: row.generation,
        })
    }

    /// A turn begins.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.now = now;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open
    }

    pub(crate) fn counters(&self) -> StreamCounters {
        self.counters
    }

    /// Its number for the poller, and its socket.
    pub(crate) fn socket(&self, key: StreamKey) -> Option<(StreamToken, &TcpStream)> {
        let row = self.rows.get(usize::from(key.index))?;
        let stream = row.stream.as_ref()?;
        let is_it = row.generation == key.generation;
        is_it.then_some((StreamToken(key.index.into()), &stream.socket))
    }

    /// The connection that has this number for the poller.
    pub(crate) fn of_token(&self, token: StreamToken) -> Option<StreamKey> {
        let index = u16::try_from(token.0).ok()?;
        let row = self.rows.get(usize::from(index))?;
        row.stream.as_ref()?;
        Some(StreamKey {
            index,
            generation: row.generation,
        })
    }

    /// The path that a connection is.
    pub(crate) fn path(&self, key: StreamKey) -> Option<Path> {
        let row = self.rows.get(usize::from(key.index))?;
        let stream = row.stream.as_ref()?;
        (row.generation == key.generation).then_some(Path {
            remote: stream.remote,
            local: Local::Tcp(key),
        })
    }

    /// Reads once. Gives what puts the frames together, and the bytes that came at the front of a buffer; both are to be
    /// given back ([`Self::keep`], [`Self::give_back`]). `None` when nothing waits, or it has ended.
    pub(crate) fn read(&mut self, key: StreamKey) -> Option<(Deframer, Vec<u8>, usize)> {
        // A panic may have kept it.
        self.inlet.resize(READ_BYTES, 0);
        let stream = find(&mut self.rows, key)?;
        let deframer = stream.deframer.take();
        match (deframer, stream.socket.read(&mut self.inlet)) {
            (Some(deframer), Ok(len)) if len > 0 => {
                self.counters.received_bytes += len as u64;
                Some((deframer, std::mem::take(&mut self.inlet), len))
            }
            (Some(deframer), Err(error)) if is_for_later(&error) => {
                stream.deframer = Some(deframer);
                None
            }
            _ => {
                self.end(key);
                None
            }
        }
    }

    /// The buffer of [`Self::read`].
    pub(crate) fn give_back(&mut self, inlet: Vec<u8>) {
        self.inlet = inlet;
    }

    /// After a connection's bytes were taken: how many frames they were, `None` to close it.
    pub(crate) fn keep(&mut self, key: StreamKey, deframer: Deframer, frames: Option<u64>) {
        self.counters.received += frames.unwrap_or_default();
        if frames.is_none() {
            self.end(key);
        } else if let Some(stream) = find(&mut self.rows, key) {
            stream.deframer = Some(deframer);
        }
    }

    /// A connection has sent what it may not, or has ended by itself.
    pub(crate) fn end(&mut self, key: StreamKey) {
        if let Some(path) = self.path(key) {
            self.remove(key);
            self.ended.push(path);
        }
    }

    /// The next path of those that have ended by themselves.
    pub(crate) fn take_ended(&mut self) -> Option<Path> {
        self.ended.pop()
    }

    /// It is nobody's any more: closed once what it was given has gone, or does not go at once.
    pub(crate) fn close(&mut self, key: StreamKey) {
        if let Some(stream) = find(&mut self.rows, key) {
            stream.is_closing = true;
            self.waiting.push(key.index);
        }
    }

    /// Lets `write` fill a frame of `max_len` bytes; see [`crate::shard::Sink::put`].
    pub(crate) fn put(
        &mut self,
        key: StreamKey,
        max_len: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        find(&mut self.rows, key)?;
        let needed = LENGTH_BYTES + max_len;
        if max_len > DATAGRAM_BYTES_MAX {
            return None;
        }
        if self.tail + needed > self.arena.len() || self.fresh.len() >= FRAMES_MAX {
            self.flush_fresh();
        }
        let stream = find(&mut self.rows, key)?;
        let place = self.arena.get_mut(self.tail..self.tail + needed)?;
        let (length, frame) = place.split_at_mut(LENGTH_BYTES);
        let len = write(frame)?;
        let class = match Kind::of(frame.get(..len)?) {
            Some(Kind::Rtp) => FrameClass::Media,
            Some(Kind::Rtcp | Kind::Dtls | Kind::Stun) | None => FrameClass::Control,
        };
        length.copy_from_slice(&length_of(len));
        let at = u32::try_from(self.fresh.len()).ok()?;
        self.fresh.push(Fresh {
            start: self.tail,
            len: LENGTH_BYTES + len,
            class,
            next: None,
        });
        self.tail += LENGTH_BYTES + len;
        match &mut stream.fresh {
            Some((_, last)) => {
                self.fresh[*last as usize].next = Some(at);
                *last = at;
            }
            none => {
                *none = Some((at, at));
                self.touched.push(key.index);
            }
        }
        Some(len)
    }

    /// The kernel takes bytes of it again.
    pub(crate) fn handle_writable(&mut self, key: StreamKey) {
        if let Some(stream) = find(&mut self.rows, key) {
            stream.is_full = false;
        }
    }

    /// Hands everything to the kernel, gives up who takes nothing, and calls `changed` with each whose readiness is to
    /// be asked for from now on, or not any more.
    pub(crate) fn flush(&mut self, mut changed: impl FnMut(StreamToken, &TcpStream, bool)) {
        self.flush_fresh();
        self.flush_waiting();
        while let Some(index) = self.changed.pop() {
            let row = self.rows.get(usize::from(index));
            if let Some(stream) = row.and_then(|row| row.stream.as_ref()) {
                let waits = !stream.queue.is_empty();
                changed(StreamToken(index.into()), &stream.socket, waits);
            }
        }
    }

    fn flush_fresh(&mut self) {
        while let Some(index) = self.touched.pop() {
            let key = self.key(index);
            let Some(stream) = find(&mut self.rows, key) else {
                continue;
            };
            let Some((first, _)) = stream.fresh.take() else {
                continue;
            };
            let waited = stream.queue.bytes();
            let turn = Turn {
                now: self.now,
                is_full: self.held >= HELD_MAX,
                arena: &self.arena,
                fresh: &self.fresh,
            };
            let outcome = turn.send(stream, first, &mut self.counters);
            let waits = stream.queue.bytes();
            self.held = self.held - waited + waits;
            if waits > 0 && waited == 0 {
                stream.is_full = true;
                self.changed.push(index);
                self.waiting.push(index);
            }
            if outcome.is_err() {
                self.end(key);
            }
        }
        self.tail = 0;
        self.fresh.clear();
    }

    fn flush_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&index| {
            let key = self.key(index);
            let Some(stream) = find(&mut self.rows, key) else {
                return false;
            };
            let waited = stream.queue.bytes();
            let outcome = stream.flush(self.now, &mut self.counters);
            self.held = self.held - waited + stream.queue.bytes();
            let is_stalled = stream.queue.stalls_at().is_some_and(|at| at <= self.now);
            if stream.is_closing {
                self.remove(key);
                return false;
            }
            if outcome.is_err() || is_stalled {
                self.counters.stalled += u64::from(is_stalled);
                self.end(key);
                return false;
            }
            let still = !stream.queue.is_empty();
            if !still {
                self.changed.push(index);
            }
            still
        });
        self.waiting = waiting;
    }

    fn key(&self, index: u16) -> StreamKey {
        let row = self.rows.get(usize::from(index));
        StreamKey {
            index,
            generation: row.map_or(0, |row| row.generation),
        }
    }

    fn remove(&mut self, key: StreamKey) -> Option<Box<Stream>> {
        find(&mut self.rows, key)?;
        let row = self.rows.get_mut(usize::from(key.index))?;
        row.generation = row.generation.wrapping_add(1);
        self.free.push(key.index);
        self.open -= 1;
        let stream = row.stream.take()?;
        self.held -= stream.queue.bytes();
        Some(stream)
    }
}

fn find(rows: &mut [Row], key: StreamKey) -> Option<&mut Stream> {
    let row = rows.get_mut(usize::from(key.index))?;
    let stream = row.stream.as_deref_mut()?;
    (row.generation == key.generation).then_some(stream)
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
