//! What encoders with layers make: frames that need others, in packets that say so.

use crate::random::Random;

/// Which codec, and what tells of its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// L3T3 of VP9, not in flexible mode.
    Vp9,
    /// AV1 with dependency descriptors and three temporal layers.
    Described { is_nested: bool, spatials: u8 },
    /// Simulcast of two encodings.
    H264,
}

impl Kind {
    pub(crate) fn spatials(self) -> u8 {
        match self {
            Self::Vp9 => 3,
            Self::Described { spatials, .. } => spatials,
            Self::H264 => 1,
        }
    }

    pub(crate) fn encodings(self) -> u8 {
        if self == Self::H264 { 2 } else { 1 }
    }

    /// Whether lower layers are part of higher ones.
    pub(crate) fn is_nested(self) -> bool {
        !matches!(
            self,
            Self::Described {
                is_nested: false,
                ..
            }
        )
    }

    fn temporals(self) -> u8 {
        if self == Self::H264 { 1 } else { 3 }
    }
}

/// What a frame is and needs, by the places of others among all that were made.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) encoding: u8,
    pub(crate) picture: u32,
    pub(crate) spatial: u8,
    pub(crate) is_key: bool,
    pub(crate) needs: Vec<usize>,
    pub(crate) packets: u8,
    /// Of its packets one was lost, whether or not it was repaired.
    pub(crate) is_hurt: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) encoding: u8,
    pub(crate) frame: usize,
    pub(crate) index: u8,
    pub(crate) seq: u16,
    pub(crate) time: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
    pub(crate) descriptor: Vec<u8>,
}

/// Temporal layers by picture.
const PATTERN: [u8; 4] = [0, 2, 1, 2];

/// One encoding.
pub(crate) struct Encoder {
    kind: Kind,
    encoding: u8,
    seq: u16,
    time: u32,
    picture_id: u16,
    tl0: u8,
    number: u16,
    place: usize,
    /// The newest frame of each spatial and temporal layer.
    newest: [[Option<usize>; 3]; 3],
    pub(crate) wants_key: bool,
    /// The highest spatial layers come and go, as dependency descriptors tell.
    pub(crate) rests: bool,
    /// How many are made at present, and in how many pictures it is still said.
    made: u8,
    told: u8,
}

impl Encoder {
    pub(crate) fn new(kind: Kind, encoding: u8, random: &mut Random) -> Self {
        Self {
            kind,
            encoding,
            // All of it wraps within some seconds.
            seq: 0xff00 | (random.short() & 0xff),
            time: u32::MAX - u32::from(random.short()) * 4,
            picture_id: 0x7fc0 | (random.short() & 0x3f),
            tl0: 0xf0,
            number: 0xff80 | (random.short() & 0x7f),
            place: 0,
            newest: [[None; 3]; 3],
            wants_key: true,
            rests: false,
            made: kind.spatials(),
            told: 0,
        }
    }

    /// Makes another number of spatial layers from here on. What rests on lower ones in key frames alone needs one to
    /// come back.
    fn change_mind(&mut self, random: &mut Random) {
        let made = 1 + random.small(self.kind.spatials());
        if made > self.made {
            self.wants_key |= !self.kind.is_nested();
            for back in &mut self.newest[usize::from(self.made)..] {
                *back = [None; 3];
            }
        }
        self.made = made;
        self.told = 4;
    }

    /// A picture: the frames of its spatial layers, and their packets.
    pub(crate) fn encode(
        &mut self,
        picture: u32,
        frames: &mut Vec<Frame>,
        random: &mut Random,
    ) -> Vec<Packet> {
        if self.rests && self.place == 0 && random.permille(200) {
            self.change_mind(random);
        }
        let is_key = std::mem::take(&mut self.wants_key);
        if is_key {
            self.place = 0;
            self.newest = [[None; 3]; 3];
        }
        let temporal = PATTERN[self.place].min(self.kind.temporals() - 1);
        self.place = (self.place + 1) % PATTERN.len();
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.time = self.time.wrapping_add(3_000);
        self.tl0 = self.tl0.wrapping_add(u8::from(temporal == 0));
        let mut packets = Vec::new();
        let mut below = None;
        for spatial in 0..self.made {
            let place = frames.len();
            let own = &mut self.newest[usize::from(spatial)];
            // The newest picture of a lower temporal layer, or of the lowest the one before.
            let deepest = usize::from(temporal.max(1)) - 1;
            let before = own[..=deepest].iter().flatten().max().copied();
            own[usize::from(temporal)] = Some(place);
            // One that is back rests on the one below alone.
            let needs_below = is_key || self.kind.is_nested();
            let below = below.replace(place).filter(|_| needs_below);
            let count = 1 + random.small(2 + spatial) + u8::from(is_key);
            frames.push(Frame {
                encoding: self.encoding,
                picture,
                spatial,
                is_key,
                needs: before.into_iter().chain(below).collect(),
                packets: count,
                is_hurt: false,
            });
            for index in 0..count {
                let (starts, ends) = (index == 0, index + 1 == count);
                let marker = ends && spatial + 1 == self.made;
                let layers = (spatial, temporal);
                let mut payload = self.payload(layers, is_key, (starts, ends));
                payload.resize(payload.len() + usize::from(random.small(250)), 7);
                packets.push(Packet {
                    encoding: self.encoding,
                    frame: place,
                    index,
                    seq: self.seq,
                    time: self.time,
                    marker,
                    payload,
                    descriptor: self.descriptor(layers, is_key, (starts, ends)),
                });
                self.seq = self.seq.wrapping_add(1);
            }
            self.number = self.number.wrapping_add(1);
        }
        self.told = self.told.saturating_sub(1);
        packets
    }

    fn payload(
        &self,
        (spatial, temporal): (u8, u8),
        is_key: bool,
        (starts, ends): (bool, bool),
    ) -> Vec<u8> {
        match self.kind {
            Kind::Vp9 => {
                let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
                let first = 0xa0 | flag(!is_key, 0x40) | flag(starts, 0x08) | flag(ends, 0x04);
                let [high, low] = self.picture_id.to_be_bytes();
                let layers = temporal << 5 | 0x10 | spatial << 1 | u8::from(spatial > 0);
                vec![first, 0x80 | high, low, layers, self.tl0]
            }
            Kind::Described { .. } => {
                let begins = is_key && starts && spatial == 0;
                let aggregation = if starts { 0x10 } else { 0x90 } | if begins { 0x08 } else { 0 };
                vec![aggregation, 0x30, 0x10]
            }
            Kind::H264 if is_key && starts => {
                vec![0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x06, 0x7e, 0x74]
            }
            Kind::H264 => vec![
                if is_key { 0x65 } else { 0x41 },
                if starts { 0x9a } else { 0x40 },
            ],
        }
    }

    fn descriptor(
        &self,
        (spatial, temporal): (u8, u8),
        is_key: bool,
        (starts, ends): (bool, bool),
    ) -> Vec<u8> {
        let Kind::Described {
            is_nested,
            spatials,
        } = self.kind
        else {
            return Vec::new();
        };
        // Templates: of each spatial layer one for key pictures, and one for each temporal layer.
        let id = u32::from(spatial * 4 + if is_key { 0 } else { 1 + temporal });
        let mut bits = Bits::default();
        bits.put(1, starts.into());
        bits.put(1, ends.into());
        bits.put(6, id);
        bits.put(16, self.number.into());
        let brings = is_key && starts && spatial == 0;
        let tells = starts && (self.told > 0 || (brings && self.made < spatials));
        if brings || tells {
            bits.put(5, u32::from(brings) << 4 | u32::from(tells) << 3);
        }
        if brings {
            put_structure(&mut bits, spatials, is_nested);
        }
        if tells {
            bits.put(u32::from(spatials) * 3, (1 << (self.made * 3)) - 1);
        }
        bits.bytes()
    }
}

fn put_structure(bits: &mut Bits, spatials: u8, is_nested: bool) {
    let targets =
        || (0..spatials).flat_map(|spatial| (0..3_u8).map(move |temporal| (spatial, temporal)));
    let templates = || (0..spatials).flat_map(|spatial| (0..4_u8).map(move |kind| (spatial, kind)));
    let count = u32::from(spatials) * 3;
    bits.put(6, 0);
    bits.put(5, count - 1);
    for (spatial, kind) in templates() {
        let next = match kind {
            0 => 0,
            1 | 2 => 1,
            _ if spatial + 1 < spatials => 2,
            _ => 3,
        };
        bits.put(2, next);
    }
    for (spatial, kind) in templates() {
        let (is_key, temporal) = (kind == 0, kind.saturating_sub(1));
        for (s, t) in targets() {
            let indication = match () {
                () if s < spatial || t < temporal => 0,
                () if is_key => 2,
                () if s > spatial => {
                    if is_nested {
                        3
                    } else {
                        0
                    }
                }
                () if temporal > 0 && t == temporal => 1,
                () => 2,
            };
            bits.put(2, indication);
        }
    }
    for _ in templates() {
        bits.put(1, 0);
    }
    // No chains, which is ns(count + 1) of 0; no sizes.
    let width = u32::BITS - (count + 1).leading_zeros() - 1;
    bits.put(width, 0);
    bits.put(1, 0);
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, count: u32, value: u32) {
        self.0
            .extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            (0..8).fold(0, |byte, at| {
                byte << 1 | u8::from(bits.get(at) == Some(&true))
            })
        };
        self.0.chunks(8).map(byte).collect()
    }
}
