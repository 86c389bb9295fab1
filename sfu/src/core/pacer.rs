//! When packets leave for one subscriber: a leaky bucket that drains faster than the estimate, so that a
//! key frame does not hit the bottleneck's queue at once.
//!
//! The bucket is one instant: when what was sent is drained. A packet passes at once while that is less
//! than [`BURST`] ahead, which is the common case and costs a comparison and a multiplication. Beyond it
//! packets queue by class and leave in bursts of [`BURST`], so that runs stay together for the socket.
//!
//! Sound passes always, but is counted. There is no padding to keep a rate up: an SFU has nothing to gain
//! from it that probes don't tell.

#[cfg(test)]
mod tests;

use super::congestion::{ProbeCluster, ProbePlan};
use crate::unit::Bitrate;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much faster than the estimate packets leave. libwebrtc takes 2.5; but here a layer begins with a
/// key frame, which at 2.5 times the estimate fills the bottleneck's queue fast enough to pass for
/// overuse (in simulation upgrades were taken back for it). Slower adds delay to each frame.
const FACTOR: f64 = 1.5;

/// How far ahead of the drain packets may leave: as many as in 12 ms at 2.5 times. At 2.5 Mbit/s it is
/// 8 packets, above 3 Mbit/s all ten of a run; twice this would put 60 ms of traffic into the
/// bottleneck's queue at a time.
pub const BURST: Duration = Duration::from_millis(20);
const BURST_NS: u64 = 20_000_000;

/// A probe leaves more evenly, or its rate can't be measured.
const PROBE_BURST_NS: u64 = 2_000_000;

/// A probe that has not left after this is given up: there was nothing to send in it.
const PROBE_MAX_NS: u64 = 200_000_000;

/// A packet of padding, in bytes.
const PADDING_MIN: u32 = 200;
const PADDING_MAX: u32 = 1_200;

/// What a fallen rate makes of what was sent before is at most so much.
const DEBT_MAX_NS: u64 = 500_000_000;

/// Packets that wait at most, over all classes. Of 1,100 bytes they are two seconds at 2.3 Mbit/s, so
/// that time bounds the queue first; a packet beyond it is refused.
pub const QUEUE_PACKETS: usize = 512;

/// Room that [`Pacer::trim`] leaves alone, as a quarter of what it keeps.
const KEPT_PACKETS: usize = 4;

/// How long video waits. Older pictures are of no use: they are dropped, and a key frame is due.
pub const VIDEO_WAIT: Duration = Duration::from_secs(1);

/// How long a retransmission waits; the receiver has asked again by then.
pub const RETRANSMISSION_WAIT: Duration = Duration::from_millis(500);

/// Kinds of packets, by falling urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Sound: never waits.
    Audio,
    /// What was asked for again.
    Retransmission,
    /// Pictures.
    Video,
    /// What may be sent when there is nothing else.
    Padding,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// Send it now; it was not kept.
    Now,
    /// It comes out of [`Pacer::poll`] later.
    Queued,
    /// The queue is full and it was not kept. Of video a key frame is due; what waits of the same
    /// stream can be [discarded](Pacer::discard).
    Dropped,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<T> {
    /// Send this packet.
    Send {
        /// Its class.
        class: Class,
        /// As it was given.
        item: T,
    },
    /// This packet waited too long. Of video a key frame is due; what waits of the same stream can be
    /// [discarded](Pacer::discard).
    Drop {
        /// Its class.
        class: Class,
        /// As it was given.
        item: T,
    },
    /// Make and send so many bytes, about, that a receiver can do without: an old packet over RTX, or
    /// padding. Who can't, [cancels](Pacer::cancel_probe) the probe.
    Pad {
        /// The size.
        bytes: u16,
    },
}

#[derive(Debug, Clone, Copy)]
struct Waiting<T> {
    item: T,
    since_ns: u64,
    bytes: u16,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    plan: ProbePlan,
    began_ns: u64,
    bytes: u32,
    packets: u8,
}

impl Probe {
    fn is_over(&self, now_ns: u64) -> bool {
        let is_sent = self.bytes >= self.plan.bytes && self.packets >= self.plan.packets;
        is_sent || now_ns.saturating_sub(self.began_ns) > PROBE_MAX_NS
    }
}

/// One subscriber's pacer; `T` says where the packet is.
///
/// A packet that leaves, at once or by [`poll`](Self::poll), belongs to [`cluster`](Self::cluster) as it
/// is then.
#[derive(Debug)]
pub struct Pacer<T> {
    epoch: Instant,
    target_bps: f64,
    /// How long a byte takes to drain.
    byte_ns: f64,
    /// When everything that was sent is drained.
    drained_ns: u64,
    /// Waiting packets may leave: from when the bucket is empty until it is a burst ahead.
    is_open: bool,
    retransmissions: VecDeque<Waiting<T>>,
    video: VecDeque<Waiting<T>>,
    padding: VecDeque<Waiting<T>>,
    /// The most that waited in one queue since memory was given back last.
    most: usize,
    probe: Option<Probe>,
}

impl<T: Copy> Pacer<T> {
    /// An empty one.
    #[must_use]
    pub fn new(now: Instant, target: Bitrate) -> Self {
        let mut pacer = Self {
            epoch: now,
            target_bps: 1.0,
            byte_ns: 1.0,
            drained_ns: 0,
            is_open: false,
            retransmissions: VecDeque::new(),
            video: VecDeque::new(),
            padding: VecDeque::new(),
            most: 0,
            probe: None,
        };
        pacer.set_target(now, target);
        pacer
    }

    /// Takes the estimate.
    pub fn set_target(&mut self, now: Instant, target: Bitrate) {
        self.target_bps = target.0.max(1_000) as f64;
        let now_ns = self.ns(now);
        if self.probe.is_none() {
            self.set_rate(now_ns, self.target_bps * FACTOR);
        }
    }

    /// Takes a packet that is ready to be sent; `bytes` are its datagram's payload.
    pub fn enqueue(&mut self, now: Instant, class: Class, bytes: u16, item: T) -> Enqueued {
        let now_ns = self.ns(now);
        if self.probe.is_some() {
            self.end_probe(now_ns);
        }
        let is_free = self.is_empty() && self.drained_ns <= now_ns + self.burst_ns();
        if is_free || class == Class::Audio {
            self.count(now_ns, bytes);
            return Enqueued::Now;
        }
        if self.len() >= QUEUE_PACKETS {
            return Enqueued::Dropped;
        }
        let waiting = Waiting {
            item,
            since_ns: now_ns,
            bytes,
        };
        match class {
            Class::Retransmission => self.retransmissions.push_back(waiting),
            Class::Padding => self.padding.push_back(waiting),
            Class::Video | Class::Audio => self.video.push_back(waiting),
        }
        self.most = self.most.max(self.len());
        Enqueued::Queued
    }

    /// A packet that is not paced leaves. A probe that is under way counts it, since it is of its cluster.
    pub fn pass(&mut self, now: Instant, bytes: u16) {
        if self.probe.is_some() {
            let now_ns = self.ns(now);
            self.end_probe(now_ns);
            self.count(now_ns, bytes);
        }
    }

    /// The next thing to be done; to be asked until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<Output<T>> {
        if self.is_empty() && self.probe.is_none() {
            return None;
        }
        let now_ns = self.ns(now);
        self.end_probe(now_ns);
        if let Some(output) = self.expired(now_ns) {
            return Some(output);
        }
        if self.drained_ns <= now_ns {
            self.is_open = true;
        } else if self.drained_ns > now_ns + self.burst_ns() {
            self.is_open = false;
        }
        if !self.is_open {
            return None;
        }
        let (class, waiting) = match self.retransmissions.pop_front() {
            Some(waiting) => (Class::Retransmission, waiting),
            None => match self.video.pop_front() {
                Some(waiting) => (Class::Video, waiting),
                None => match self.padding.pop_front() {
                    Some(waiting) => (Class::Padding, waiting),
                    None => return self.pad(now_ns),
                },
            },
        };
        self.count(now_ns, waiting.bytes);
        Some(Output::Send {
            class,
            item: waiting.item,
        })
    }

    /// When [`Self::poll`] has something; `None` while nothing waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_empty() && self.probe.is_none() {
            return None;
        }
        let wait_ns = |queue: &VecDeque<Waiting<T>>, wait: Duration| {
            queue.front().map(|waiting| waiting.since_ns + ns_of(wait))
        };
        let due_ns = [
            wait_ns(&self.video, VIDEO_WAIT),
            wait_ns(&self.retransmissions, RETRANSMISSION_WAIT),
        ]
        .into_iter()
        .flatten()
        .fold(self.drained_ns, u64::min);
        Some(self.epoch + Duration::from_nanos(due_ns))
    }

    /// Begins a probe; one under way is given up.
    pub fn start_probe(&mut self, now: Instant, plan: ProbePlan) {
        let now_ns = self.ns(now);
        self.probe = Some(Probe {
            plan,
            began_ns: now_ns,
            bytes: 0,
            packets: 0,
        });
        self.set_rate(now_ns, plan.rate.0.max(1_000) as f64);
        // What left before is not of the probe, and would only delay it.
        self.drained_ns = self.drained_ns.min(now_ns + PROBE_BURST_NS);
    }

    /// Gives a probe up.
    pub fn cancel_probe(&mut self, now: Instant) {
        if self.probe.take().is_some() {
            let now_ns = self.ns(now);
            self.set_rate(now_ns, self.target_bps * FACTOR);
        }
    }

    /// The probe that a packet belongs to which leaves now.
    #[must_use]
    pub fn cluster(&self) -> Option<ProbeCluster> {
        self.probe.map(|probe| probe.plan.cluster)
    }

    /// Removes waiting packets: those of a stream that begins anew with a key frame, or has ended.
    /// Returns how many there were.
    pub fn discard(&mut self, mut is_unwanted: impl FnMut(&T) -> bool) -> usize {
        let before = self.len();
        for queue in [
            &mut self.retransmissions,
            &mut self.video,
            &mut self.padding,
        ] {
            queue.retain(|waiting| !is_unwanted(&waiting.item));
        }
        before - self.len()
    }

    /// Gives back memory that was not needed since this was asked last. Seldom: what is needed for each key
    /// frame is worth keeping from one to the next.
    pub fn trim(&mut self) {
        let waiting = self.len();
        let most = std::mem::replace(&mut self.most, waiting);
        for queue in [
            &mut self.retransmissions,
            &mut self.video,
            &mut self.padding,
        ] {
            if queue.capacity() > 4 * most.max(KEPT_PACKETS) {
                queue.shrink_to(2 * most);
            }
        }
    }

    /// Packets that it has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let queues = [&self.retransmissions, &self.video, &self.padding];
        queues.into_iter().map(VecDeque::capacity).sum()
    }

    /// Packets that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.retransmissions.len() + self.video.len() + self.padding.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.video.is_empty() && self.retransmissions.is_empty() && self.padding.is_empty()
    }

    fn ns(&self, now: Instant) -> u64 {
        ns_of(now.saturating_duration_since(self.epoch))
    }

    fn burst_ns(&self) -> u64 {
        if self.probe.is_some() {
            PROBE_BURST_NS
        } else {
            BURST_NS
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; the cast saturates"
    )]
    fn count(&mut self, now_ns: u64, bytes: u16) {
        let drain_ns = (f64::from(bytes) * self.byte_ns) as u64;
        // A probe makes up for time in which nobody asked, or it would leave more slowly than planned
        // and show less than the path carries (libwebrtc: start + bytes sent / rate).
        let from_ns = match self.probe {
            Some(_) => self.drained_ns,
            None => self.drained_ns.max(now_ns),
        };
        self.drained_ns = from_ns.saturating_add(drain_ns);
        if let Some(probe) = &mut self.probe {
            probe.bytes = probe.bytes.saturating_add(u32::from(bytes));
            probe.packets = probe.packets.saturating_add(1);
        }
    }

    /// Changes the rate at which the bucket drains, and with it how long it takes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; the cast saturates"
    )]
    fn set_rate(&mut self, now_ns: u64, rate_bps: f64) {
        let byte_ns = 8e9 / rate_bps;
        let debt_ns = self.drained_ns.saturating_sub(now_ns) as f64 * byte_ns / self.byte_ns;
        self.drained_ns = now_ns + (debt_ns as u64).min(DEBT_MAX_NS);
        self.byte_ns = byte_ns;
    }

    fn end_probe(&mut self, now_ns: u64) {
        if self.probe.is_some_and(|probe| probe.is_over(now_ns)) {
            self.probe = None;
            self.set_rate(now_ns, self.target_bps * FACTOR);
        }
    }

    fn expired(&mut self, now_ns: u64) -> Option<Output<T>> {
        let is_old = |queue: &VecDeque<Waiting<T>>, wait: Duration| {
            queue
                .front()
                .is_some_and(|waiting| now_ns.saturating_sub(waiting.since_ns) >= ns_of(wait))
        };
        let (class, queue) = if is_old(&self.video, VIDEO_WAIT) {
            (Class::Video, &mut self.video)
        } else if is_old(&self.retransmissions, RETRANSMISSION_WAIT) {
            (Class::Retransmission, &mut self.retransmissions)
        } else {
            return None;
        };
        let item = queue.pop_front()?.item;
        Some(Output::Drop { class, item })
    }

    /// What a probe needs beside the media.
    fn pad(&mut self, now_ns: u64) -> Option<Output<T>> {
        let plan = self.probe?.plan;
        let even = plan.bytes / u32::from(plan.packets.max(1));
        let bytes = u16::try_from(even.clamp(PADDING_MIN, PADDING_MAX)).unwrap_or(u16::MAX);
        self.count(now_ns, bytes);
        Some(Output::Pad { bytes })
    }
}

fn ns_of(duration: Duration) -> u64 {
    // Not `as_nanos`: 128 bits cost more than the rest of the common case.
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(duration.subsec_nanos()))
}
