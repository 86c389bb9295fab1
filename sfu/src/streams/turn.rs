//! The end of a turn: one connection's frames out of the arena, written with as few calls as may be.

use super::{Stream, StreamCounters};
use crate::net::frames::FrameClass;
use arrayvec::ArrayVec;
use std::io::{self, IoSlice, Write as _};
use std::net::TcpStream;
use std::time::Instant;

/// Pieces of one write. Frames of one connection that lie one behind the other are one piece.
const PIECES: usize = 64;

/// A frame in the arena, its length included.
#[derive(Clone, Copy)]
pub(super) struct Fresh {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) class: FrameClass,
    /// The same connection's next one.
    pub(super) next: Option<u32>,
}

/// What there is to send at the end of a turn.
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    /// As much waits in all as may.
    pub(super) is_full: bool,
    pub(super) arena: &'a [u8],
    pub(super) fresh: &'a [Fresh],
}

impl Turn<'_> {
    /// Sends one connection's frames, the first of which is at `first`. What is not taken is kept with it.
    pub(super) fn send(
        &self,
        stream: &mut Stream,
        first: u32,
        counters: &mut StreamCounters,
    ) -> io::Result<()> {
        let mut next = Some(first);
        while stream.queue.is_empty()
            && let Some(at) = next
        {
            next = self.write(stream, at, counters)?;
        }
        while let Some(frame) = self.frame(next) {
            stream.keep(self, frame, counters)?;
            next = frame.next;
        }
        Ok(())
    }

    /// One write of as many frames as it has pieces for. Gives the first of those that were not tried; what was tried
    /// and has not gone is kept.
    fn write(
        &self,
        stream: &mut Stream,
        first: u32,
        counters: &mut StreamCounters,
    ) -> io::Result<Option<u32>> {
        let mut pieces = ArrayVec::<(usize, usize), PIECES>::new();
        let mut untried = Some(first);
        while let Some(frame) = self.frame(untried) {
            let end = frame.start + frame.len;
            match pieces.last_mut() {
                Some((_, last)) if *last == frame.start => *last = end,
                _ => {
                    if pieces.try_push((frame.start, end)).is_err() {
                        break;
                    }
                }
            }
            untried = frame.next;
        }
        let mut taken = self.write_pieces(&stream.socket, &pieces)?;
        counters.sent_bytes += taken as u64;
        let mut next = Some(first);
        while next != untried
            && let Some(frame) = self.frame(next)
        {
            next = frame.next;
            if taken >= frame.len {
                taken -= frame.len;
            } else if taken > 0 {
                let rest = self.bytes(frame).get(taken..).unwrap_or_default();
                stream.queue.push_begun(self.now, rest);
                taken = 0;
            } else {
                stream.keep(self, frame, counters)?;
            }
        }
        Ok(untried)
    }

    /// How many bytes the kernel took.
    fn write_pieces(&self, mut socket: &TcpStream, pieces: &[(usize, usize)]) -> io::Result<usize> {
        let slices = pieces.iter().map(|&(start, end)| &self.arena[start..end]);
        let slices: ArrayVec<IoSlice<'_>, PIECES> = slices.map(IoSlice::new).collect();
        loop {
            match socket.write_vectored(&slices) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                outcome => return outcome,
            }
        }
    }

    fn frame(&self, at: Option<u32>) -> Option<&Fresh> {
        self.fresh.get(at? as usize)
    }

    pub(super) fn bytes(&self, frame: &Fresh) -> &[u8] {
        let end = frame.start + frame.len;
        self.arena.get(frame.start..end).unwrap_or_default()
    }
}
