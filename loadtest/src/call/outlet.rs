//! What participants put out: datagrams, gathered for the thread that sends them, and latencies.

use crate::chat::stats::histogram;
use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::time::Instant;

/// Gathers what one participant sends at a time; the thread sends it before the next one's turn.
#[derive(Debug)]
pub struct Outlet {
    bytes: Vec<u8>,
    datagrams: Vec<(usize, SocketAddr)>,
    /// From sending to receiving, in µs, of all participants.
    pub latency: Histogram<u64>,
}

impl Default for Outlet {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            datagrams: Vec::new(),
            latency: histogram(),
        }
    }
}

impl Outlet {
    /// Adds a datagram.
    pub fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.datagrams.push((self.bytes.len(), to));
    }

    /// Hands every datagram over, in order, and forgets it.
    pub fn drain(&mut self, mut each: impl FnMut(SocketAddr, &[u8])) {
        let mut start = 0;
        for &(end, to) in &self.datagrams {
            each(to, self.bytes.get(start..end).unwrap_or_default());
            start = end;
        }
        self.datagrams.clear();
        self.bytes.clear();
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }
}

/// The time since the Unix epoch, counted on from one reading of it: it never runs back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Instant,
    base_us: u64,
}

impl Clock {
    /// `base` was `base_us` after the Unix epoch.
    #[must_use]
    pub const fn new(base: Instant, base_us: u64) -> Self {
        Self { base, base_us }
    }

    /// The system's time, read once.
    #[must_use]
    pub fn system() -> Self {
        let ms = kaiwa_common::time::UnixMs::now().0.unsigned_abs();
        Self::new(Instant::now(), ms.saturating_mul(1_000))
    }

    /// µs since the Unix epoch.
    #[must_use]
    pub fn us(&self, now: Instant) -> u64 {
        let us = now.saturating_duration_since(self.base).as_micros();
        self.base_us
            .saturating_add(u64::try_from(us).unwrap_or(u64::MAX))
    }
}
