//! A publisher of three encodings with three temporal layers each, as libwebrtc makes them.

use crate::random::Random;
use std::collections::BTreeMap;

/// Which frame of which encoding of which publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FrameKey {
    pub(crate) source: u8,
    pub(crate) layer: u8,
    pub(crate) frame: u32,
}

/// What a frame is and needs.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) temporal: u8,
    pub(crate) is_key: bool,
    pub(crate) needs: Vec<u32>,
    pub(crate) packets: u8,
}

/// An RTP packet before its header.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) seq: u16,
    pub(crate) time: u32,
    pub(crate) marker: bool,
    /// Empty for padding.
    pub(crate) payload: Vec<u8>,
}

/// Where the tag lies in a payload: behind the descriptor and a key frame's first bytes.
const TAG_AT: usize = 16;

/// Which frame and which of its packets a payload is.
pub(crate) fn tag(payload: &[u8]) -> (FrameKey, u8) {
    let tag = &payload[TAG_AT..TAG_AT + 7];
    let frame = u32::from_be_bytes(tag[2..6].try_into().unwrap());
    let key = FrameKey {
        source: tag[0],
        layer: tag[1],
        frame,
    };
    (key, tag[6])
}

/// Temporal layer and sync bit by place in the pattern.
const PATTERN: [(u8, bool); 8] = [
    (0, false),
    (2, true),
    (1, true),
    (2, false),
    (0, false),
    (2, false),
    (1, false),
    (2, false),
];

/// One encoding.
pub(crate) struct Encoding {
    source: u8,
    layer: u8,
    seq: u16,
    time: u32,
    picture_id: u16,
    tl0: u8,
    frame: u32,
    place: usize,
    newest: [Option<u32>; 3],
    pub(crate) is_alive: bool,
    pub(crate) wants_key: bool,
    pub(crate) sent: BTreeMap<u16, Packet>,
}

impl Encoding {
    pub(crate) fn new(source: u8, layer: u8, random: &mut Random) -> Self {
        Self {
            source,
            layer,
            // Everything wraps within some seconds.
            seq: 0xff80 | (random.short() & 0x7f),
            time: u32::MAX - u32::from(random.short()) * 4,
            picture_id: 0x7fe0 | (random.short() & 0x1f),
            tl0: 0xf0 | random.small(16),
            frame: 0,
            place: 0,
            newest: [None; 3],
            is_alive: true,
            wants_key: true,
            sent: BTreeMap::new(),
        }
    }

    pub(crate) fn timestamp(&self, ms: u64) -> u32 {
        self.time.wrapping_add(u32::try_from(ms * 90).unwrap())
    }

    /// The frame captured at `ms`.
    pub(crate) fn encode(
        &mut self,
        ms: u64,
        random: &mut Random,
    ) -> (FrameKey, Frame, Vec<Packet>) {
        let is_key = std::mem::take(&mut self.wants_key);
        if is_key {
            self.place = 0;
            self.newest = [None; 3];
        }
        let (temporal, is_sync) = PATTERN[self.place];
        self.place = (self.place + 1) % PATTERN.len();
        let lane = usize::from(temporal);
        let deepest = if is_sync { 0 } else { lane };
        let needs = self.newest[..=deepest].iter().flatten().copied().collect();
        self.newest[lane] = Some(self.frame);
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        if temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        let packets = (1 + random.small(2 + 2 * self.layer)) * if is_key { 3 } else { 1 };
        let key = FrameKey {
            source: self.source,
            layer: self.layer,
            frame: self.frame,
        };
        self.frame += 1;
        let frame = Frame {
            temporal,
            is_key,
            needs,
            packets,
        };
        let mut sent: Vec<Packet> = (0..packets)
            .map(|index| self.packet(ms, key, &frame, (index, is_sync), random))
            .collect();
        if random.permille(30) {
            sent.push(self.wrap(ms, false, Vec::new()));
        }
        (key, frame, sent)
    }

    fn packet(
        &mut self,
        ms: u64,
        key: FrameKey,
        frame: &Frame,
        (index, is_sync): (u8, bool),
        random: &mut Random,
    ) -> Packet {
        let [high, low] = self.picture_id.to_be_bytes();
        let starts = if index == 0 { 0x10 } else { 0 };
        let layers = frame.temporal << 6 | u8::from(is_sync) << 5;
        let mut payload = vec![0x80 | starts, 0xe0, 0x80 | high, low, self.tl0, layers];
        let not_key = u8::from(!frame.is_key);
        payload.extend([not_key, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
        payload.extend([key.source, key.layer]);
        payload.extend(key.frame.to_be_bytes());
        payload.push(index);
        let len = usize::try_from(random.below(1_000)).unwrap();
        payload.resize(payload.len() + len, random.small(255));
        self.wrap(ms, index + 1 == frame.packets, payload)
    }

    fn wrap(&mut self, ms: u64, marker: bool, payload: Vec<u8>) -> Packet {
        let packet = Packet {
            seq: self.seq,
            time: self.timestamp(ms),
            marker,
            payload,
        };
        self.seq = self.seq.wrapping_add(1);
        self.sent.insert(packet.seq, packet.clone());
        packet
    }
}
