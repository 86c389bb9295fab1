//! A publisher, its path, and one slot of a subscriber whose wishes change.

use crate::random::Random;
use crate::source::{Encoder, Frame, Kind, Packet};
use kaiwa_sfu::control::Source;
use kaiwa_sfu::core::forward::{Decision, Forwarder, ForwarderConfig, Rewrite, SourceKey};
use kaiwa_sfu::core::layers::Target;
use kaiwa_sfu::core::receive::{Arrival, ReceiveConfig, ReceiveStream};
use kaiwa_sfu::core::ring::Choice;
use kaiwa_sfu::unit::{ClockRate, ExtSeqNo, MediaKind, PayloadType, RtpTime, SeqNo, Ssrc};
use kaiwa_sfu::wire::rtp::Header;
use kaiwa_sfu::wire::{av1, h264, vp9};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

const PICTURES: u32 = 600;
/// After it nothing changes any more.
const CALM: u32 = 480;
const PICTURE_MS: u64 = 33;

/// A packet that went out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    pub(crate) frame: usize,
    pub(crate) index: u8,
    pub(crate) rewrite: Rewrite,
}

pub(crate) struct World {
    pub(crate) kind: Kind,
    losses_permille: u64,
    random: Random,
    encoders: Vec<Encoder>,
    streams: Vec<ReceiveStream>,
    pub(crate) forwarder: Forwarder,
    start: Instant,
    path: BTreeMap<(u64, u64), (Packet, bool)>,
    order: u64,
    /// What is kept under a stream's number.
    kept: HashMap<(u8, ExtSeqNo), (usize, u8)>,
    pub(crate) frames: Vec<Frame>,
    /// By the slot's number.
    pub(crate) out: BTreeMap<u64, Out>,
    pub(crate) filled: BTreeSet<u64>,
    pub(crate) lost: u64,
    /// Key pictures that were asked for by who only wanted less.
    pub(crate) asked_to_go_down: u64,
}

impl World {
    pub(crate) fn new(kind: Kind, losses_permille: u64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let rests = seed % 2 == 1 && matches!(kind, Kind::Described { .. });
        let config = ReceiveConfig {
            source: Source::Camera,
            clock: ClockRate::VIDEO,
            is_repairable: true,
        };
        let mut forwarder = Forwarder::new(ForwarderConfig {
            kind: MediaKind::Video,
            clock: ClockRate::VIDEO,
            seq: 0x7ff0,
            time: u32::MAX - 9_000,
            picture_id: 0xfffa,
            tl0: 0xfe,
        });
        forwarder.set_source(Some(SourceKey(1)));
        Self {
            kind,
            losses_permille,
            encoders: (0..kind.encodings())
                .map(|at| {
                    let mut encoder = Encoder::new(kind, at, &mut random);
                    encoder.rests = rests;
                    encoder
                })
                .collect(),
            streams: (0..kind.encodings())
                .map(|_| ReceiveStream::new(config))
                .collect(),
            random,
            forwarder,
            start: Instant::now(),
            path: BTreeMap::new(),
            order: 0,
            kept: HashMap::new(),
            frames: Vec::new(),
            out: BTreeMap::new(),
            filled: BTreeSet::new(),
            lost: 0,
            asked_to_go_down: 0,
        }
    }

    pub(crate) fn run(&mut self) {
        self.wish(self.whole());
        for picture in 0..PICTURES {
            let ms = u64::from(picture) * PICTURE_MS;
            self.arrive(ms);
            if picture == CALM {
                self.wish(self.whole());
            } else if picture < CALM && self.random.permille(60) {
                let target = Target {
                    layer: self.random.small(self.kind.encodings()),
                    spatial: self.random.small(self.kind.spatials()),
                    temporal: self.random.small(3),
                };
                self.wish(target);
            }
            if let Some(layer) = self.forwarder.wanted_keyframe() {
                self.encoders[usize::from(layer)].wants_key |= self.random.permille(300);
            }
            for at in 0..self.encoders.len() {
                let packets = self.encoders[at].encode(picture, &mut self.frames, &mut self.random);
                for packet in packets {
                    self.send(ms, packet);
                }
            }
        }
        self.arrive(u64::MAX);
    }

    pub(crate) fn whole(&self) -> Target {
        Target {
            layer: self.kind.encodings() - 1,
            spatial: self.kind.spatials() - 1,
            temporal: 2,
        }
    }

    fn wish(&mut self, target: Target) {
        let has = (
            self.forwarder.current_layer(),
            self.forwarder.current_choice(),
        );
        self.forwarder.set_target(Some(target));
        let wanted = Choice {
            spatial: target.spatial,
            temporal: target.temporal,
        };
        let (Some(layer), Some(choice)) = has else {
            return;
        };
        let is_less = layer == target.layer && choice.covers(wanted) && self.kind.is_nested();
        let is_asked = self.forwarder.wanted_keyframe().is_some();
        self.asked_to_go_down += u64::from(is_less && is_asked);
    }

    fn send(&mut self, ms: u64, packet: Packet) {
        // Packets of a picture overtake each other; those of pictures do not.
        let at = ms + self.random.below(15);
        let is_lost = self.random.permille(self.losses_permille);
        self.order += 1;
        if !is_lost {
            self.path.insert((at, self.order), (packet, false));
            return;
        }
        self.lost += 1;
        self.frames[packet.frame].is_hurt = true;
        if self.random.permille(900) {
            self.path.insert((at + 70, self.order), (packet, true));
        }
    }

    fn arrive(&mut self, until_ms: u64) {
        while let Some(entry) = self
            .path
            .first_entry()
            .filter(|entry| entry.key().0 <= until_ms)
        {
            let ((ms, _), (packet, is_repair)) = entry.remove_entry();
            let now = self.start + Duration::from_millis(ms);
            let stream = &mut self.streams[usize::from(packet.encoding)];
            let mut arrival = arrival(self.kind, &packet);
            stream.describe(&mut arrival, &packet.descriptor);
            let (payload, descriptor) = (&packet.payload, &packet.descriptor);
            let kept = if is_repair {
                stream.handle_described_repair(now, &arrival, payload, descriptor)
            } else {
                stream.handle_described(now, &arrival, payload, descriptor)
            };
            let Ok(seq) = kept else { continue };
            self.kept
                .insert((packet.encoding, seq), (packet.frame, packet.index));
            self.show(packet.encoding, seq);
            while let Some((layer, seq)) = self.forwarder.poll_replay() {
                self.show(layer, seq);
            }
        }
    }

    fn show(&mut self, layer: u8, seq: ExtSeqNo) {
        let stream = &self.streams[usize::from(layer)];
        let Some((meta, payload)) = stream.get(seq) else {
            return;
        };
        match self.forwarder.decide(layer, seq, meta) {
            Decision::Drop(_) => {}
            Decision::Fill(rewrite) => {
                assert!(self.filled.insert(rewrite.seq.0), "filled twice");
                self.forwarder.handle_filled(rewrite.seq);
            }
            Decision::Forward(rewrite) => {
                self.forwarder
                    .handle_sent(rewrite.seq, payload.len().try_into().unwrap());
                let (frame, index) = self.kept[&(layer, seq)];
                let out = Out {
                    frame,
                    index,
                    rewrite,
                };
                let before = self.out.insert(rewrite.seq.0, out);
                assert!(
                    before.is_none(),
                    "{:?} has the number of {before:?}",
                    self.out[&rewrite.seq.0]
                );
            }
        }
    }
}

fn arrival(kind: Kind, packet: &Packet) -> Arrival {
    let header = Header {
        marker: packet.marker,
        payload_type: PayloadType(96),
        seq: SeqNo(packet.seq),
        time: RtpTime(packet.time),
        ssrc: Ssrc(u32::from(packet.encoding)),
        csrc_count: 0,
        has_padding: false,
        header_len: 12,
        extension: None,
    };
    let payload = &packet.payload;
    match kind {
        Kind::Vp9 => Arrival::vp9(&header, &vp9::Descriptor::parse(payload).unwrap(), 500),
        Kind::Described { .. } => {
            Arrival::av1(&header, &av1::Payload::parse(payload).unwrap(), 500)
        }
        Kind::H264 => Arrival::h264(&header, &h264::Payload::parse(payload).unwrap(), 500),
    }
}
