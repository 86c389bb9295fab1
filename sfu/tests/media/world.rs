//! Two publishers, the media path, one slot of a subscriber, and the time between them.

use crate::publisher::{Encoding, Frame, FrameKey, Packet, tag};
use crate::random::Random;
use kaiwa_sfu::control::Source;
use kaiwa_sfu::core::forward::{Decision, Dropped, Forwarder, ForwarderConfig, Rewrite, SourceKey};
use kaiwa_sfu::core::keyframes::{KeyframeThrottle, Spacing};
use kaiwa_sfu::core::layers::Target;
use kaiwa_sfu::core::receive::{Arrival, ReceiveConfig, ReceiveStream};
use kaiwa_sfu::core::report::SenderLine;
use kaiwa_sfu::core::retransmit::SentHistory;
use kaiwa_sfu::unit::{ClockRate, ExtSeqNo, MediaKind, NtpTime, PayloadType, RtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::rtp::Header;
use kaiwa_sfu::wire::vp8::{self, Descriptor};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A call has so many milliseconds, of which the last are quiet: then all layers are there and the best
/// is wanted.
const CALL_MS: u64 = 7_000;
const QUIET_MS: u64 = 2_800;
const FRAME_MS: u64 = 33;
const TICK_MS: u64 = 10;
const RTT: Duration = Duration::from_millis(50);
const SOURCES: u8 = 2;
const LAYERS: u8 = 3;

/// What the network does, in thousandths and milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    pub(crate) loss: u64,
    pub(crate) duplicates: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) down_loss: u64,
}

impl Profile {
    pub(crate) const GOOD: Self = Self {
        loss: 0,
        duplicates: 0,
        jitter_ms: 0,
        down_loss: 0,
    };

    pub(crate) fn bad(seed: u64) -> Self {
        Self {
            loss: [0, 20, 50, 100][usize::try_from(seed % 4).unwrap()],
            duplicates: 20,
            jitter_ms: [1, 8, 40][usize::try_from(seed % 3).unwrap()],
            down_loss: 50,
        }
    }
}

enum Event {
    Capture(u8),
    Report(u8),
    Arrive(u8, u8, Packet, bool),
    Nack(u8, u8, Vec<SeqNo>),
    Pli(u8, u8),
    Tick,
    Whim,
}

/// A packet that went out.
pub(crate) struct Out {
    pub(crate) key: FrameKey,
    pub(crate) index: u8,
    pub(crate) rewrite: Rewrite,
    pub(crate) payload: Vec<u8>,
    pub(crate) ms: u64,
}

pub(crate) struct World {
    pub(crate) random: Random,
    profile: Profile,
    base: Instant,
    pub(crate) ms: u64,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    encodings: Vec<Vec<Encoding>>,
    streams: Vec<Vec<ReceiveStream>>,
    throttles: Vec<Vec<KeyframeThrottle>>,
    pub(crate) forwarder: Forwarder,
    history: SentHistory,
    missing: BTreeMap<u64, (u64, bool)>,
    pub(crate) frames: BTreeMap<FrameKey, Frame>,
    /// Which packets of a frame came to the server.
    pub(crate) received: BTreeMap<FrameKey, BTreeSet<u8>>,
    /// Frames of which a packet came when its number was gone, or that a switch cut off.
    pub(crate) cut: BTreeSet<FrameKey>,
    /// Frames of which a packet's number was closed before it came.
    pub(crate) closed: BTreeSet<FrameKey>,
    pub(crate) out: BTreeMap<u64, Out>,
    pub(crate) filled: BTreeSet<u64>,
    pub(crate) late: u64,
    pub(crate) lost: u64,
    pub(crate) plis: Vec<(u8, u8, u64)>,
    pub(crate) nacks: u64,
    pub(crate) answered: u64,
}

impl World {
    pub(crate) fn new(seed: u64, profile: Profile) -> Self {
        let mut random = Random::new(seed);
        let base = Instant::now();
        let encodings = (0..SOURCES)
            .map(|source| {
                (0..LAYERS)
                    .map(|layer| Encoding::new(source, layer, &mut random))
                    .collect()
            })
            .collect();
        let config = ReceiveConfig {
            source: Source::Camera,
            clock: ClockRate::VIDEO,
            is_repairable: true,
        };
        let each = |_| (0..LAYERS).map(|_| ReceiveStream::new(config)).collect();
        let throttle = |_| KeyframeThrottle::new(Spacing::CAMERA);
        let mut forwarder = Forwarder::new(ForwarderConfig {
            kind: MediaKind::Video,
            clock: ClockRate::VIDEO,
            seq: 0x7fff,
            time: u32::MAX - 100_000,
            picture_id: 0x7ff0,
            tl0: 0xfa,
        });
        forwarder.set_source(Some(SourceKey(0)));
        let mut world = Self {
            random,
            profile,
            base,
            ms: 0,
            queue: BTreeMap::new(),
            events: 0,
            encodings,
            streams: (0..SOURCES).map(each).collect(),
            throttles: (0..SOURCES)
                .map(|_| (0..LAYERS).map(throttle).collect())
                .collect(),
            forwarder,
            history: SentHistory::new(base, 0x7fff),
            missing: BTreeMap::new(),
            frames: BTreeMap::new(),
            received: BTreeMap::new(),
            cut: BTreeSet::new(),
            closed: BTreeSet::new(),
            out: BTreeMap::new(),
            filled: BTreeSet::new(),
            late: 0,
            lost: 0,
            plis: Vec::new(),
            nacks: 0,
            answered: 0,
        };
        for source in 0..SOURCES {
            world.push(u64::from(source) * 7, Event::Capture(source));
            world.push(300, Event::Report(source));
        }
        world.push(5, Event::Tick);
        world.push(50, Event::Whim);
        world
    }

    pub(crate) fn run(&mut self) {
        while let Some(((ms, _), event)) = self.queue.pop_first() {
            if ms > CALL_MS {
                break;
            }
            self.ms = ms;
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Capture(source) => self.capture(source),
            Event::Report(source) => self.report(source),
            Event::Arrive(source, layer, packet, repair) => {
                self.arrive(source, layer, &packet, repair);
            }
            Event::Nack(source, layer, numbers) => self.repair(source, layer, &numbers),
            Event::Pli(source, layer) => {
                self.encodings[usize::from(source)][usize::from(layer)].wants_key = true;
            }
            Event::Tick => self.tick(),
            Event::Whim => self.whim(),
        }
    }

    fn push(&mut self, ms: u64, event: Event) {
        self.events += 1;
        self.queue.insert((ms, self.events), event);
    }

    fn now(&self) -> Instant {
        self.base + Duration::from_millis(self.ms)
    }

    fn capture(&mut self, source: u8) {
        for layer in 0..LAYERS {
            let encoding = &mut self.encodings[usize::from(source)][usize::from(layer)];
            if !encoding.is_alive {
                continue;
            }
            let (key, frame, packets) = encoding.encode(self.ms, &mut self.random);
            self.frames.insert(key, frame);
            for packet in packets {
                self.send_up(source, layer, packet, false);
            }
        }
        self.push(self.ms + FRAME_MS, Event::Capture(source));
    }

    fn send_up(&mut self, source: u8, layer: u8, packet: Packet, repair: bool) {
        if self.random.permille(self.profile.loss) {
            self.lost += u64::from(!repair);
            return;
        }
        let copies = 1 + u64::from(self.random.permille(self.profile.duplicates));
        for _ in 0..copies {
            let delay = 20 + self.random.below(self.profile.jitter_ms + 1);
            let event = Event::Arrive(source, layer, packet.clone(), repair);
            self.push(self.ms + delay, event);
        }
    }

    fn report(&mut self, source: u8) {
        let clock = NtpTime((u64::from(source) + 1) << 40);
        for layer in 0..LAYERS {
            let encoding = &self.encodings[usize::from(source)][usize::from(layer)];
            let line = SenderLine {
                ntp: clock.plus(Duration::from_millis(self.ms)),
                time: RtpTime(encoding.timestamp(self.ms)),
            };
            let now = self.now();
            self.streams[usize::from(source)][usize::from(layer)].handle_sender_report(now, line);
        }
        self.push(self.ms + 500, Event::Report(source));
    }

    fn repair(&mut self, source: u8, layer: u8, numbers: &[SeqNo]) {
        for number in numbers {
            let encoding = &self.encodings[usize::from(source)][usize::from(layer)];
            if let Some(packet) = encoding.sent.get(&number.0).cloned() {
                self.send_up(source, layer, packet, true);
            }
        }
    }

    fn arrive(&mut self, source: u8, layer: u8, packet: &Packet, repair: bool) {
        let arrival = arrival(packet);
        let now = self.now();
        let stream = &mut self.streams[usize::from(source)][usize::from(layer)];
        let taken = if repair {
            stream.handle_repair(now, &arrival, &packet.payload)
        } else {
            stream.handle_packet(now, &arrival, &packet.payload)
        };
        let Ok(seq) = taken else { return };
        if !packet.payload.is_empty() {
            let (key, index) = tag(&packet.payload);
            self.received.entry(key).or_default().insert(index);
        }
        if arrival.keyframe.is_some() {
            self.throttles[usize::from(source)][usize::from(layer)].handle_keyframe();
        }
        if self.forwarder.source() != Some(SourceKey(u32::from(source))) {
            return;
        }
        self.offer(source, layer, seq);
        while let Some((layer, seq)) = self.forwarder.poll_replay() {
            self.offer(source, layer, seq);
        }
    }

    fn offer(&mut self, source: u8, layer: u8, seq: ExtSeqNo) {
        let stream = &self.streams[usize::from(source)][usize::from(layer)];
        let Some((meta, payload)) = stream.get(seq) else {
            return;
        };
        let (meta, mut payload) = (*meta, payload.to_vec());
        let before = self.forwarder.current_layer();
        let decision = self.forwarder.decide(layer, seq, &meta);
        if let Some(before) = before
            && self.forwarder.current_layer() != Some(before)
        {
            self.cut_off(source, before);
        }
        match decision {
            Decision::Forward(rewrite) => {
                let (key, index) = tag(&payload);
                rewrite_payload(&mut payload, &rewrite);
                let source = SourceKey(u32::from(source));
                let now = self.now();
                self.history.handle_sent(now, source, layer, seq, &rewrite);
                if self.random.permille(self.profile.down_loss) {
                    self.missing.insert(rewrite.seq.0, (self.ms, false));
                }
                let out = Out {
                    key,
                    index,
                    rewrite,
                    payload,
                    ms: self.ms,
                };
                let before = self.out.insert(rewrite.seq.0, out);
                assert!(before.is_none(), "{:?} was sent twice", rewrite.seq);
            }
            Decision::Fill(rewrite) => {
                assert!(self.filled.insert(rewrite.seq.0), "filled twice");
            }
            Decision::Drop(Dropped::TooLate) => {
                self.late += 1;
                if !payload.is_empty() {
                    let key = tag(&payload).0;
                    self.cut.insert(key);
                    if self.forwarder.oldest().is_some_and(|oldest| seq >= oldest) {
                        self.closed.insert(key);
                    }
                }
            }
            Decision::Drop(_) => {}
        }
    }

    /// What is not here yet of a layer that is left will not be sent.
    pub(crate) fn cut_off(&mut self, source: u8, layer: u8) {
        let of_layer = self.frames.iter().filter(|(key, frame)| {
            let received = self.received.get(key).map_or(0, BTreeSet::len);
            key.source == source && key.layer == layer && received < usize::from(frame.packets)
        });
        self.cut.extend(of_layer.map(|(key, _)| *key));
    }

    fn tick(&mut self) {
        let now = self.now();
        if let (Some(layer), Some(SourceKey(source))) =
            (self.forwarder.wanted_keyframe(), self.forwarder.source())
        {
            let source = usize::try_from(source).unwrap();
            self.throttles[source][usize::from(layer)].handle_request(now);
        }
        for source in 0..SOURCES {
            for layer in 0..LAYERS {
                self.tick_layer(now, source, layer);
            }
        }
        self.ask_for_missing(now);
        self.push(self.ms + TICK_MS, Event::Tick);
    }

    fn tick_layer(&mut self, now: Instant, source: u8, layer: u8) {
        let (s, l) = (usize::from(source), usize::from(layer));
        let mut numbers = Vec::new();
        self.streams[s][l].poll_nacks(now, RTT, &mut numbers);
        assert!(numbers.len() <= 512);
        if !numbers.is_empty() && !self.random.permille(self.profile.loss) {
            self.push(self.ms + 20, Event::Nack(source, layer, numbers));
        }
        if self.streams[s][l].take_wants_keyframe() {
            self.throttles[s][l].handle_request(now);
        }
        if self.throttles[s][l].poll(now) {
            self.plis.push((source, layer, self.ms));
            if !self.random.permille(self.profile.loss) {
                self.push(self.ms + 20, Event::Pli(source, layer));
            }
        }
    }

    /// The subscriber asks for what it lost, and compares.
    fn ask_for_missing(&mut self, now: Instant) {
        let due: Vec<(u64, u64, bool)> = self
            .missing
            .iter()
            .filter(|(_, (since, _))| self.ms >= since + 60)
            .map(|(seq, (since, asked))| (*seq, *since, *asked))
            .collect();
        for (seq, _, asked) in due {
            self.missing.remove(&seq);
            self.nacks += u64::from(!asked);
            let wire = ExtSeqNo(seq).wire();
            let Some(resend) = self.history.handle_nack(now, RTT, wire) else {
                continue;
            };
            self.answered += u64::from(!asked);
            let original = &self.out[&seq];
            assert_eq!(resend.rewrite, original.rewrite);
            let source = usize::try_from(resend.source.0).unwrap();
            let stream = &self.streams[source][usize::from(resend.layer)];
            let (_, payload) = stream.get(resend.source_seq).expect("a young payload");
            let mut payload = payload.to_vec();
            rewrite_payload(&mut payload, &resend.rewrite);
            assert_eq!(payload, original.payload);
            if self.random.permille(self.profile.down_loss) {
                self.missing.insert(seq, (self.ms, true));
            }
        }
    }

    /// Changes of the slot and of the publishers.
    fn whim(&mut self) {
        if self.ms + QUIET_MS > CALL_MS {
            self.calm_down();
            return;
        }
        let source = self.forwarder.source();
        let layer = self.forwarder.current_layer();
        match self.random.below(12) {
            0 => {
                let other = SourceKey(u32::from(source == Some(SourceKey(0))));
                self.forwarder.set_source(Some(other));
            }
            1 => self.forwarder.pause(),
            2 => self.forwarder.set_target(None),
            3 | 4 => {
                let layer = usize::from(1 + self.random.small(2));
                let source = usize::try_from(self.random.below(2)).unwrap();
                let encoding = &mut self.encodings[source][layer];
                encoding.is_alive = !encoding.is_alive;
                encoding.wants_key |= encoding.is_alive;
            }
            _ => {
                self.forwarder.resume();
                self.forwarder.set_target(Some(Target {
                    layer: self.random.small(3),
                    spatial: 0,
                    temporal: self.random.small(3),
                }));
            }
        }
        self.note_stop(source, layer);
        let pause = 20 + self.random.below(700);
        self.push(self.ms + pause, Event::Whim);
    }

    fn note_stop(&mut self, source: Option<SourceKey>, layer: Option<u8>) {
        if let (Some(SourceKey(source)), Some(layer)) = (source, layer)
            && self.forwarder.current_layer() != Some(layer)
        {
            self.cut_off(u8::try_from(source).unwrap(), layer);
        }
    }

    fn calm_down(&mut self) {
        for encoding in self.encodings.iter_mut().flatten() {
            encoding.wants_key |= !encoding.is_alive;
            encoding.is_alive = true;
        }
        self.forwarder.resume();
        self.forwarder.set_target(Some(Target {
            layer: 2,
            spatial: 0,
            temporal: 2,
        }));
    }
}

fn arrival(packet: &Packet) -> Arrival {
    let header = Header {
        marker: packet.marker,
        payload_type: PayloadType(96),
        seq: SeqNo(packet.seq),
        time: RtpTime(packet.time),
        ssrc: Ssrc(1),
        csrc_count: 0,
        has_padding: packet.payload.is_empty(),
        header_len: 12,
        extension: None,
    };
    let descriptor = Descriptor::parse(&packet.payload).ok();
    let bytes = u16::try_from(packet.payload.len() + 40).unwrap();
    Arrival::vp8(&header, descriptor.as_ref(), bytes)
}

fn rewrite_payload(payload: &mut [u8], rewrite: &Rewrite) {
    let descriptor = Descriptor::parse(payload).unwrap();
    let picture_id = rewrite.picture_id.unwrap();
    vp8::rewrite(payload, &descriptor, picture_id, rewrite.tl0.unwrap());
}
