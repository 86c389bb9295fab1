//! Frames that a TCP connection has not taken yet: kept whole, bounded in bytes and time, without I/O.
//!
//! ```text
//!  frame that began ──► reports, handshake, checks ──► media ──► the connection
//!                        never dropped                 the oldest are dropped
//! ```
//!
//! What TCP was given arrives, however late. So media waits here and not in the kernel, and what has waited too
//! long is not given to it: for who receives, it is lost as it would be by UDP, and is asked for again or does
//! without. A frame of which a byte has gone is completed, or nothing after it could be read.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

/// Media that waits, in bytes: three quarters of a second at 2.5 Mbit/s, or half a key frame of a large picture beyond
/// what the kernel holds. At the bound the oldest is dropped. Twice as much would be twice as old.
pub const MEDIA_BYTES: usize = 256 * 1024;

/// How long media waits. A receiver without it has asked for it again by then, or shows the next picture.
pub const MEDIA_WAIT: Duration = Duration::from_millis(500);

/// Reports, handshake and checks that wait, in bytes: those of half a minute. At the bound the connection is given up.
pub const CONTROL_BYTES: usize = 64 * 1024;

/// So long the other side may take nothing while something waits for it. Then the connection is given up: by the
/// kernel's timers what was sent last was then repeated five times. Its owner can open another one.
pub const STALL: Duration = Duration::from_secs(10);

/// Room that is kept for the next time once nothing waits.
const KEPT_BYTES: usize = 32 * 1024;

/// What may become of a frame that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameClass {
    /// It is dropped when it gets too old.
    Media,
    /// It arrives, or the connection ends.
    Control,
}

/// Why a connection is given up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    /// More of what must not be dropped waits than [`CONTROL_BYTES`].
    #[error("the other side does not take what must arrive")]
    Overflow,
    /// Nothing was taken for [`STALL`].
    #[error("the other side takes nothing")]
    Stalled,
}

/// Frames of one class, the oldest first.
#[derive(Debug, Default)]
struct Lane {
    bytes: VecDeque<u8>,
    frames: VecDeque<(usize, Instant)>,
}

impl Lane {
    fn push(&mut self, now: Instant, frame: &[u8]) {
        self.bytes.extend(frame);
        self.frames.push_back((frame.len(), now));
    }

    /// Takes the oldest frame; its bytes are the first.
    fn pop(&mut self) -> Option<usize> {
        self.frames.pop_front().map(|(len, _)| len)
    }

    fn shrink(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_BYTES {
            self.bytes.shrink_to(KEPT_BYTES);
            self.frames.shrink_to(KEPT_BYTES / 1_024);
        }
    }
}

/// What waits for one connection.
#[derive(Debug)]
pub struct FrameQueue {
    /// What is left of the frame of which some has gone.
    begun: VecDeque<u8>,
    control: Lane,
    media: Lane,
    /// When the connection last took something, or something began to wait.
    taken_at: Instant,
    dropped: u64,
}

impl FrameQueue {
    /// Nothing waits.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            begun: VecDeque::new(),
            control: Lane::default(),
            media: Lane::default(),
            taken_at: now,
            dropped: 0,
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.control.bytes.is_empty() && self.media.bytes.is_empty()
    }

    /// Bytes that wait, lengths included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.begun.len() + self.control.bytes.len() + self.media.bytes.len()
    }

    /// Bytes of media that wait, lengths included.
    #[must_use]
    pub fn media_bytes(&self) -> usize {
        self.media.bytes.len()
    }

    /// Media frames that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Adds a frame, with its length before it.
    ///
    /// # Errors
    /// [`GivenUp::Overflow`].
    pub fn push(&mut self, now: Instant, class: FrameClass, framed: &[u8]) -> Result<(), GivenUp> {
        self.push_within(now, class, framed, MEDIA_BYTES)
    }

    /// The same where so many bytes of media may wait: if it is the only one, a frame does all the same.
    ///
    /// # Errors
    /// [`GivenUp::Overflow`].
    pub fn push_within(
        &mut self,
        now: Instant,
        class: FrameClass,
        framed: &[u8],
        media_bytes: usize,
    ) -> Result<(), GivenUp> {
        if self.is_empty() {
            self.taken_at = now;
        }
        match class {
            FrameClass::Control if self.control.bytes.len() + framed.len() > CONTROL_BYTES => {
                return Err(GivenUp::Overflow);
            }
            FrameClass::Control => self.control.push(now, framed),
            FrameClass::Media => {
                while self.media.bytes.len() + framed.len() > media_bytes && self.drop_oldest() {}
                self.media.push(now, framed);
            }
        }
        Ok(())
    }

    /// Adds what is left of a frame of which some has gone. Nothing else of the connection waits.
    pub fn push_begun(&mut self, now: Instant, rest: &[u8]) {
        debug_assert!(self.is_empty(), "what waits goes before");
        self.taken_at = now;
        self.begun.extend(rest);
    }

    /// Writes until nothing waits, or no more is taken. Whether nothing waits any more.
    ///
    /// # Errors
    /// What `write` gives, but for [`io::ErrorKind::WouldBlock`] and [`io::ErrorKind::Interrupted`].
    pub fn flush(
        &mut self,
        now: Instant,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        self.expire(now);
        while !self.is_empty() {
            let pieces = [&self.begun, &self.control.bytes, &self.media.bytes];
            let [one, two, three] = pieces.map(VecDeque::as_slices);
            let slices = [one.0, one.1, two.0, two.1, three.0, three.1].map(IoSlice::new);
            match write(&slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => self.take(now, taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.control.shrink();
        self.media.shrink();
        Ok(true)
    }

    /// When the connection is to be given up unless it takes something before.
    #[must_use]
    pub fn stalls_at(&self) -> Option<Instant> {
        (!self.is_empty()).then(|| self.taken_at + STALL)
    }

    /// So many bytes have gone.
    fn take(&mut self, now: Instant, taken: usize) {
        self.taken_at = now;
        let mut left = taken;
        let of_begun = left.min(self.begun.len());
        self.begun.drain(..of_begun);
        left -= of_begun;
        for lane in [&mut self.control, &mut self.media] {
            while left > 0
                && let Some(len) = lane.pop()
            {
                let gone = left.min(len);
                lane.bytes.drain(..gone);
                self.begun.extend(lane.bytes.drain(..len - gone));
                left -= gone;
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let is_old =
            |(_, since): &(usize, Instant)| now.saturating_duration_since(*since) >= MEDIA_WAIT;
        while self.media.frames.front().is_some_and(is_old) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(len) = self.media.pop() else {
            return false;
        };
        self.media.bytes.drain(..len);
        self.dropped += 1;
        true
    }
}
