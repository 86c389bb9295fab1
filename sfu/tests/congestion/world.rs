//! A subscriber behind a bottleneck, on a virtual clock: estimator, pacer and allocator drive simulcast
//! sources through a link with a rate, a queue, delay, jitter, loss and foreign traffic.

mod scenario;
mod tcp;

pub(crate) use scenario::{Sample, Scenario, Source};

use kaiwa_sfu::core::allocate::{
    Allocator, Basis, Demand, Kind, LOWEST_OVERSHOOT_PERCENT, LayerInfo, OVERSHOOT_PERCENT, Target,
};
use kaiwa_sfu::core::congestion::{Cause, Config, Estimator, Feedback, PacketResult};
use kaiwa_sfu::core::pacer::{Class, Enqueued, Output, Pacer};
use kaiwa_sfu::unit::Bitrate;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tcp::{Sent, Tcp};

/// A frame of a camera, of an elastic source, a packet of sound, a feedback, a sample, in µs.
const FRAME_US: u64 = 40_000;
const AUDIO_US: u64 = 20_000;
const FEEDBACK_US: u64 = 50_000;
const SAMPLE_US: u64 = 100_000;

const AUDIO_BYTES: u16 = 100;
const AUDIO: Bitrate = Bitrate::kbps(40);
const PACKET_BYTES: u64 = 1_100;
const LAYERS_KBPS: [u64; 3] = [150, 500, 1_500];

/// The receiver's clock at the start: a second before its 24-bit reference time wraps.
const RECEIVER_START_US: u64 = (1 << 23) * 64_000 - 1_000_000;

/// What waits in the pacer: its size and since when.
#[derive(Debug, Clone, Copy)]
struct Packet {
    bytes: u16,
    since_us: u64,
}

/// Everything.
pub(crate) struct World {
    scenario: Scenario,
    start: Instant,
    now_us: u64,
    random: u64,
    estimator: Estimator,
    pacer: Pacer<Packet>,
    allocator: Allocator<u32>,
    /// By camera: what is sent, and whether a key frame is due.
    targets: Vec<(Target, bool)>,
    link_free_us: u64,
    tcp: Option<Tcp>,
    cross_us: u64,
    sent: u64,
    arrivals: BTreeMap<u64, u64>,
    /// Of what goes by TCP: when it was given to the connection.
    sent_at: BTreeMap<u64, u64>,
    reported: u64,
    /// Feedback on its way back, by when it comes.
    feedback: Vec<(u64, Feedback, Vec<PacketResult>)>,
    sample: Sample,
    sent_bytes: [u64; 3],
}

impl World {
    /// A scenario with this chance.
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let start = Instant::now();
        let config = Config::default();
        let cameras = match scenario.source {
            Source::Cameras(count) => count,
            Source::Elastic(_) => 0,
        };
        Self {
            scenario: scenario.clone(),
            start,
            now_us: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            estimator: Estimator::new(start, config),
            pacer: Pacer::new(start, config.start),
            allocator: Allocator::new(config.start),
            targets: vec![(Target::Paused, false); cameras as usize],
            link_free_us: 0,
            tcp: scenario.is_tcp.then(|| Tcp::new(start)),
            cross_us: 0,
            sent: 0,
            arrivals: BTreeMap::new(),
            sent_at: BTreeMap::new(),
            reported: 0,
            feedback: Vec::new(),
            sample: Sample::default(),
            sent_bytes: [0; 3],
        }
    }

    /// Runs to the end; a sample for each tenth of a second.
    pub(crate) fn run(mut self) -> Vec<Sample> {
        let end_us = self.scenario.seconds * 1_000_000;
        let mut samples = Vec::new();
        while self.now_us < end_us {
            self.step();
            if self.now_us.is_multiple_of(SAMPLE_US) {
                samples.push(self.take_sample());
            }
            self.now_us = self.next_us();
        }
        samples
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.now_us)
    }

    /// Uniform in [0, 1).
    fn chance(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn step(&mut self) {
        let now = self.now();
        self.foreign_traffic();
        self.receive_feedback();
        if self.estimator.poll_timeout().is_some_and(|due| due <= now) {
            self.estimator.handle_timeout(now);
            let next = self.estimator.poll_timeout();
            assert!(next.is_none_or(|due| due > now), "it does not spin");
        }
        self.adapt();
        if self.now_us.is_multiple_of(AUDIO_US) {
            self.offer(Class::Audio, AUDIO_BYTES);
        }
        match self.scenario.source {
            Source::Cameras(count) => {
                for camera in 0..u64::from(count) {
                    if self.now_us % FRAME_US == camera * 7_000 % FRAME_US {
                        self.camera_frame(camera as usize);
                    }
                }
            }
            Source::Elastic(kbps) if self.now_us.is_multiple_of(FRAME_US) => {
                let rate = self.estimator.estimate().min(Bitrate::kbps(kbps)).0;
                self.frame(rate.saturating_sub(AUDIO.0) * FRAME_US / 8_000_000);
            }
            Source::Elastic(_) => {}
        }
        self.drain();
        self.stream();
        let next = self.pacer.poll_timeout();
        assert!(next.is_none_or(|due| due > now), "it does not spin");
        if self.now_us.is_multiple_of(FEEDBACK_US) {
            self.send_feedback();
        }
    }

    fn next_us(&self) -> u64 {
        let mut next = (self.now_us / 10_000 + 1) * 10_000;
        for (at_us, ..) in &self.feedback {
            next = next.min(*at_us);
        }
        for camera in 0..self.targets.len() as u64 {
            let phase = camera * 7_000 % FRAME_US;
            let since = (self.now_us + FRAME_US - phase) % FRAME_US;
            next = next.min(self.now_us + FRAME_US - since);
        }
        next = next.min(self.tcp.as_ref().and_then(Tcp::next_us).unwrap_or(next));
        let timeouts = [self.pacer.poll_timeout(), self.estimator.poll_timeout()];
        for due in timeouts.into_iter().flatten() {
            // A shell's timer has a millisecond.
            let due_us = (due - self.start).as_micros() as u64;
            next = next.min(due_us.div_ceil(1_000) * 1_000);
        }
        next.max(self.now_us + 1)
    }

    /// Takes what estimator and allocator have to say.
    fn adapt(&mut self) {
        let now = self.now();
        if let Some(change) = self.estimator.poll_event() {
            self.pacer.set_target(now, change.estimate);
            let basis = match change.cause {
                Cause::Probe => Basis::Probed,
                Cause::Delay | Cause::Loss | Cause::Silence | Cause::NewPath => Basis::Measured,
            };
            self.allocator.handle_estimate(change.estimate, basis);
        }
        match self.scenario.source {
            Source::Elastic(kbps) => self.estimator.set_desired(now, Bitrate::kbps(kbps)),
            Source::Cameras(_) => {
                if self.now_us.is_multiple_of(SAMPLE_US) {
                    self.allocate();
                }
            }
        }
        if self.pacer.cluster().is_none()
            && let Some(plan) = self.estimator.poll_probe()
        {
            self.pacer.start_probe(now, plan);
        }
    }

    fn allocate(&mut self) {
        let now = self.now();
        let layers = [0, 1, 2].map(|index| LayerInfo {
            width: 320 << index,
            height: 180 << index,
            rates: [4, 7, 10].map(|tenths| Bitrate::kbps(LAYERS_KBPS[index] * tenths / 10)),
        });
        let demands: Vec<_> = (0..self.targets.len() as u32)
            .map(|id| Demand {
                id,
                kind: Kind::Camera,
                width: 1_280,
                height: 720,
                is_paused: false,
                layers: &layers,
            })
            .collect();
        let estimate = self.estimator.estimate();
        let decisions = self.allocator.allocate(now, AUDIO, &demands);
        for (decision, (target, is_due)) in decisions.iter().zip(&mut self.targets) {
            if spatial(decision.target) != spatial(*target) {
                *is_due = true;
                self.sample.switches += 1;
            }
            *target = decision.target;
        }
        let allocated = self.allocator.allocated();
        let is_lowest = |(target, _): &(Target, bool)| {
            matches!(
                target,
                Target::Paused
                    | Target::Layer {
                        spatial: 0,
                        temporal: 0
                    }
            )
        };
        let overshoot = if self.targets.iter().all(is_lowest) {
            LOWEST_OVERSHOOT_PERCENT
        } else {
            OVERSHOOT_PERCENT
        };
        // An estimate that has changed by less than a hundredth is not told.
        let most = (estimate.0 * (1_010 * (100 + overshoot) / 100 + 1) / 1_000).max(AUDIO.0);
        assert!(allocated.0 <= most, "{allocated} of {estimate}");
        self.estimator.set_desired(now, self.allocator.desired());
    }

    /// A camera's frame in its target layer, a key frame after a switch.
    fn camera_frame(&mut self, camera: usize) {
        let (target, is_key) = self.targets[camera];
        let Target::Layer { spatial, temporal } = target else {
            return;
        };
        self.targets[camera].1 = false;
        let tenths = [4, 7, 10][usize::from(temporal)];
        let rate = LAYERS_KBPS[usize::from(spatial)] * 100 * tenths;
        let even = (rate * FRAME_US / 8_000_000) as f64;
        let size = even * (0.8 + 0.4 * self.chance()) * if is_key { 4.0 } else { 1.0 };
        self.frame(size as u64);
    }

    fn frame(&mut self, mut bytes: u64) {
        while bytes > 0 {
            let size = bytes.min(PACKET_BYTES);
            self.offer(Class::Video, size.max(50) as u16);
            bytes -= size;
        }
    }

    fn offer(&mut self, class: Class, bytes: u16) {
        let now = self.now();
        let packet = Packet {
            bytes,
            since_us: self.now_us,
        };
        match self.pacer.enqueue(now, class, bytes, packet) {
            Enqueued::Now => self.send(bytes),
            Enqueued::Queued => {}
            Enqueued::Dropped => self.sample.dropped += 1,
        }
    }

    fn drain(&mut self) {
        let now = self.now();
        while let Some(output) = self.pacer.poll(now) {
            match output {
                Output::Send { item, .. } => {
                    let waited_ms = (self.now_us - item.since_us) / 1_000;
                    self.sample.paced_ms = self.sample.paced_ms.max(waited_ms);
                    self.send(item.bytes);
                }
                Output::Drop { .. } => self.sample.dropped += 1,
                Output::Pad { bytes } => self.send(bytes),
            }
        }
    }

    /// Onto the link.
    fn send(&mut self, bytes: u16) {
        let cluster = self.pacer.cluster();
        let now = self.now();
        let wire = self.estimator.on_sent(now, bytes, cluster);
        assert_eq!(u64::from(wire), self.sent % 65_536);
        let number = self.sent;
        self.sent += 1;
        self.sent_bytes[0] += u64::from(bytes);
        if self.tcp.is_some() {
            self.sent_at.insert(number, self.now_us);
        }
        if cluster.is_some() {
            self.sent_bytes[2] += u64::from(bytes);
        }
        if let Some(tcp) = &mut self.tcp {
            return tcp.push(now, number, bytes);
        }
        let Some(left_us) = self.queue(u64::from(bytes)) else {
            return;
        };
        if self.chance() < self.scenario.loss {
            return;
        }
        let jitter_us = (self.chance() * self.scenario.jitter_ms as f64 * 1_000.0) as u64;
        self.sent_bytes[1] += u64::from(bytes);
        self.arrivals
            .insert(number, left_us + self.scenario.delay_ms * 1_000 + jitter_us);
    }

    /// What the connection has to send, if it is by TCP.
    fn stream(&mut self) {
        let Some(mut tcp) = self.tcp.take() else {
            return;
        };
        let (now, now_us, delay_us) = (self.now(), self.now_us, self.scenario.delay_ms * 1_000);
        let before = tcp.dropped();
        let mut came = Vec::new();
        let network = |bytes: usize| self.segment(bytes as u64);
        tcp.poll((now, now_us, delay_us), network, |number, at_us| {
            came.push((number, at_us))
        });
        self.sample.dropped += (tcp.dropped() - before) as u32;
        for (number, at_us) in came {
            let since_us = self.sent_at.remove(&number).unwrap_or(now_us);
            self.sample.late_ms = self.sample.late_ms.max((at_us - since_us) / 1_000);
            self.arrivals.insert(number, at_us);
        }
        self.tcp = Some(tcp);
    }

    /// A segment of TCP on the link: what is lost comes a round trip later, and takes its time there as well.
    fn segment(&mut self, bytes: u64) -> Sent {
        let delay_us = self.scenario.delay_ms * 1_000;
        let left_us = self.queue(bytes);
        let was_lost = left_us.is_none() || self.chance() < self.scenario.loss;
        let left_us = left_us.unwrap_or_else(|| {
            self.link_free_us += bytes * 8_000 / self.link_kbps();
            self.link_free_us
        });
        self.sent_bytes[1] += bytes;
        let again_us = if was_lost { 2 * delay_us } else { 0 };
        Sent {
            at_us: left_us + delay_us + again_us,
            was_lost,
        }
    }

    /// When a packet has left the link's queue; `None` when it was full.
    fn queue(&mut self, bytes: u64) -> Option<u64> {
        let waits_us = self.link_free_us.saturating_sub(self.now_us);
        if waits_us > self.scenario.queue_ms * 1_000 {
            return None;
        }
        self.sample.queue_ms = self.sample.queue_ms.max(waits_us / 1_000);
        self.link_free_us = self.now_us + waits_us + bytes * 8_000 / self.link_kbps();
        Some(self.link_free_us)
    }

    fn link_kbps(&self) -> u64 {
        let second = self.now_us / 1_000_000;
        let rates = self.scenario.link.iter().rev();
        let now = rates.clone().find(|(from, _)| *from <= second);
        now.map_or(1, |(_, kbps)| *kbps)
    }

    fn foreign_traffic(&mut self) {
        let Some((from, to, kbps)) = self.scenario.cross else {
            return;
        };
        if self.now_us < from * 1_000_000 || self.now_us >= to * 1_000_000 {
            self.cross_us = self.now_us;
            return;
        }
        while self.cross_us < self.now_us {
            let gap_us = 1_200.0 * 8_000.0 / kbps as f64;
            self.cross_us += (gap_us * (0.5 + self.chance())) as u64 + 1;
            let kept = self.sample.queue_ms;
            self.queue(1_200);
            self.sample.queue_ms = kept;
        }
    }

    /// Reports everything from the last report to what has arrived now.
    fn send_feedback(&mut self) {
        let arrived = |at_us: &u64| *at_us <= self.now_us;
        let last = self.arrivals.iter().rev().find(|(_, at)| arrived(at));
        let Some(last) = last
            .map(|(number, _)| *number)
            .filter(|last| *last >= self.reported)
        else {
            return;
        };
        let clock = |at_us: u64| (RECEIVER_START_US + at_us) / 250;
        let mut reference = None;
        let mut before = 0;
        let mut results = Vec::new();
        for number in self.reported..=last {
            let ticks = self.arrivals.get(&number).filter(|at| arrived(at));
            let delta = ticks.map(|at_us| {
                let ticks = clock(*at_us);
                if reference.is_none() {
                    reference = Some(ticks / 256);
                    before = ticks / 256 * 256;
                }
                let delta = ticks as i64 - before as i64;
                before = ticks;
                delta as i16
            });
            results.push(PacketResult {
                offset: (number - self.reported) as u16,
                delta,
            });
        }
        let head = Feedback {
            base: self.reported as u16,
            reference_time: ((reference.unwrap_or(0) << 8) as i32) >> 8,
        };
        self.reported = last + 1;
        self.arrivals = self.arrivals.split_off(&last.saturating_sub(1_000));
        let second = self.now_us / 1_000_000;
        let is_silent = self
            .scenario
            .silence
            .is_some_and(|(from, to)| (from..to).contains(&second));
        if !is_silent && self.chance() >= self.scenario.feedback_loss {
            let at_us = self.now_us + self.scenario.delay_ms * 1_000;
            self.feedback.push((at_us, head, results));
        }
    }

    fn receive_feedback(&mut self) {
        let now = self.now();
        while let Some(index) = self.feedback.iter().position(|one| one.0 <= self.now_us) {
            let (_, head, results) = self.feedback.remove(index);
            // Reordering and loss make some of it old news.
            let _ = self
                .estimator
                .handle_feedback(now, head, results.into_iter());
        }
    }

    fn take_sample(&mut self) -> Sample {
        let kbps = |bytes: u64| bytes * 8_000 / SAMPLE_US;
        let [sent, arrived, probe] = std::mem::take(&mut self.sent_bytes);
        Sample {
            at_ms: self.now_us / 1_000,
            link_kbps: self.link_kbps(),
            estimate_kbps: self.estimator.estimate().0 / 1_000,
            acknowledged_kbps: self.estimator.acknowledged().0 / 1_000,
            allocated_kbps: self.allocator.allocated().0 / 1_000,
            sent_kbps: kbps(sent),
            arrived_kbps: kbps(arrived),
            probe_kbps: kbps(probe),
            layers: self
                .targets
                .iter()
                .map(|(target, _)| spatial(*target))
                .sum(),
            ..std::mem::take(&mut self.sample)
        }
    }
}

/// 1 for the lowest layer, 0 for none.
fn spatial(target: Target) -> u32 {
    match target {
        Target::Paused => 0,
        Target::Layer { spatial, .. } => u32::from(spatial) + 1,
    }
}
