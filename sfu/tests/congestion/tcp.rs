//! A TCP connection in the link's place: our queue, what the kernel holds, and a window. What is lost is repeated, and all
//! behind it waits.

use kaiwa_sfu::net::frames::{FrameClass, FrameQueue};
use kaiwa_sfu::net::tcp::UNSENT_BYTES;
use kaiwa_sfu::wire::framing::{Deframer, length_of};
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

const SEGMENT: usize = 1_400;
/// With what a window begins (RFC 6928), and what it falls to.
const WINDOW: (usize, usize) = (10 * SEGMENT, 2 * SEGMENT);

pub(crate) struct Tcp {
    queue: FrameQueue,
    unsent: VecDeque<u8>,
    window: usize,
    threshold: usize,
    in_flight: usize,
    /// When acknowledgements come, and of how many bytes.
    acks: VecDeque<(u64, usize)>,
    /// Until then one loss is not counted again.
    recovers_until_us: u64,
    far: Deframer,
    last_us: u64,
}

/// What the network does to a segment of so many bytes: when it arrives, and whether that took another try.
pub(crate) struct Sent {
    pub(crate) at_us: u64,
    pub(crate) was_lost: bool,
}

impl Tcp {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            queue: FrameQueue::new(now),
            unsent: VecDeque::new(),
            window: WINDOW.0,
            threshold: usize::MAX,
            in_flight: 0,
            acks: VecDeque::new(),
            recovers_until_us: 0,
            far: Deframer::default(),
            last_us: 0,
        }
    }

    /// A packet of media with its number.
    pub(crate) fn push(&mut self, now: Instant, number: u64, bytes: u16) {
        let mut framed = length_of(bytes.into()).to_vec();
        framed.extend(number.to_be_bytes());
        framed.resize(2 + usize::from(bytes.max(8)), 0);
        let pushed = self.queue.push(now, FrameClass::Media, &framed);
        pushed.expect("media is dropped, and not the connection");
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    pub(crate) fn next_us(&self) -> Option<u64> {
        self.acks.front().map(|(at_us, _)| *at_us)
    }

    /// Takes acknowledgements and sends what may be sent by `network`; gives each packet that arrives whole by `arrive`.
    pub(crate) fn poll(
        &mut self,
        (now, now_us, delay_us): (Instant, u64, u64),
        mut network: impl FnMut(usize) -> Sent,
        mut arrive: impl FnMut(u64, u64),
    ) {
        while let Some((_, bytes)) = self.acks.pop_front_if(|(at_us, _)| *at_us <= now_us) {
            // A window that is not used does not grow (RFC 7661).
            let is_used = self.in_flight + SEGMENT > self.window;
            self.in_flight -= bytes;
            if !is_used {
                continue;
            }
            self.window += if self.window < self.threshold {
                bytes
            } else {
                (SEGMENT * SEGMENT / self.window).max(1)
            };
        }
        loop {
            self.fill(now);
            if self.unsent.is_empty() || self.in_flight + SEGMENT > self.window {
                return;
            }
            let len = self.unsent.len().min(SEGMENT);
            let mut segment: Vec<u8> = self.unsent.drain(..len).collect();
            let sent = network(len);
            if sent.was_lost && now_us >= self.recovers_until_us {
                self.window = (self.window / 2).max(WINDOW.1);
                self.threshold = self.window;
                self.recovers_until_us = sent.at_us;
            }
            self.last_us = self.last_us.max(sent.at_us);
            self.in_flight += len;
            self.acks.push_back((self.last_us + delay_us, len));
            let at_us = self.last_us;
            let taken = self.far.take(&mut segment, |frame| {
                let number = frame.first_chunk().expect("a number");
                arrive(u64::from_be_bytes(*number), at_us);
            });
            taken.expect("frames of ours");
        }
    }

    /// The kernel takes what it has room for.
    fn fill(&mut self, now: Instant) {
        let unsent = &mut self.unsent;
        let flushed = self.queue.flush(now, |slices| {
            let room = usize::from(UNSENT_BYTES).saturating_sub(unsent.len());
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let before = unsent.len();
            for slice in slices {
                let some = slice.len().min(before + room - unsent.len());
                unsent.extend(&slice[..some]);
            }
            Ok(unsent.len() - before)
        });
        flushed.expect("it does not end");
    }
}
