//! The payload descriptor of VP8 (RFC 7741, section 4.2), and what a key frame says of itself.

#[cfg(test)]
mod tests;

use super::reader::Reader;

/// Why a payload is none of VP8. The packet is to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Vp8Error {
    /// It ends within its descriptor.
    #[error("the payload ends within its VP8 descriptor")]
    Truncated,
}

/// The number of a frame, as wide as its sender writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureId {
    /// Modulo 128.
    Short(u8),
    /// Modulo 32,768.
    Long(u16),
}

impl PictureId {
    /// The number.
    #[must_use]
    pub fn value(self) -> u16 {
        match self {
            Self::Short(id) => u16::from(id),
            Self::Long(id) => id,
        }
    }

    /// One byte, or two when its upper bit is set.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let first = reader.u8()?;
        if first & 0x80 == 0 {
            return Some(Self::Short(first));
        }
        let id = u16::from_be_bytes([first & 0x7f, reader.u8()?]);
        Some(Self::Long(id))
    }

    /// Puts another number in its place, as wide as it is: the lower 7 bits, or the lower 15.
    pub(super) fn put(self, payload: &mut [u8], at: usize, id: u16) {
        let [high, low] = id.to_be_bytes();
        match self {
            Self::Short(_) => put(payload, at, &[low & 0x7f]),
            Self::Long(_) => put(payload, at, &[high | 0x80, low]),
        }
    }
}

/// Where a frame stands among temporal layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Temporal {
    /// TID: the layer, 0 to 3; 0 alone can be decoded by itself.
    pub layer: u8,
    /// Y: it depends on layer 0 alone, so that its layer can be joined here.
    pub is_sync: bool,
}

/// A key frame's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFrame {
    /// Width and height in pixels, 14 bits each, when the packet has them (RFC 6386, section 9.1).
    pub size: Option<(u16, u16)>,
}

/// What stands before a packet's piece of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Its bytes.
    pub len: usize,
    /// N: no other frame refers to this one.
    pub is_discardable: bool,
    /// S: a partition of the frame begins here.
    pub starts_partition: bool,
    /// PID: which partition, 0 to 7.
    pub partition: u8,
    /// The frame's number.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX: the number of the layer 0 frame that this one depends on, or is.
    pub tl0: Option<u8>,
    /// TID and Y.
    pub temporal: Option<Temporal>,
    /// KEYIDX, 0 to 31: which key frame the layer rests on.
    pub key_index: Option<u8>,
    /// There when the packet is the first of a key frame.
    pub key_frame: Option<KeyFrame>,
    picture_id_at: usize,
    tl0_at: usize,
}

impl Descriptor {
    /// Reads the descriptor at the front of an RTP payload.
    ///
    /// # Errors
    /// [`Vp8Error::Truncated`]. A payload that ends with its descriptor is none.
    pub fn parse(payload: &[u8]) -> Result<Self, Vp8Error> {
        let mut reader = Reader::new(payload);
        let read = Self::read(&mut reader, payload.len()).ok_or(Vp8Error::Truncated)?;
        Ok(Self {
            len: payload.len() - reader.len(),
            key_frame: read.parse_key_frame(reader),
            ..read
        })
    }

    fn read(reader: &mut Reader<'_>, payload_len: usize) -> Option<Self> {
        let first = reader.u8()?;
        let extended = if first & 0x80 != 0 { reader.u8()? } else { 0 };
        let picture_id_at = payload_len - reader.len();
        let picture_id = if extended & 0x80 != 0 {
            Some(PictureId::read(reader)?)
        } else {
            None
        };
        let tl0_at = payload_len - reader.len();
        let tl0 = if extended & 0x40 != 0 {
            Some(reader.u8()?)
        } else {
            None
        };
        let layers = if extended & 0x30 != 0 {
            reader.u8()?
        } else {
            0
        };
        Some(Self {
            len: 0,
            is_discardable: first & 0x20 != 0,
            starts_partition: first & 0x10 != 0,
            partition: first & 0x07,
            picture_id,
            tl0,
            temporal: (extended & 0x20 != 0).then_some(Temporal {
                layer: layers >> 6,
                is_sync: layers & 0x20 != 0,
            }),
            key_index: (extended & 0x10 != 0).then_some(layers & 0x1f),
            key_frame: None,
            picture_id_at,
            tl0_at,
        })
    }

    /// Whether the packet is the first of its frame.
    #[must_use]
    pub fn starts_frame(&self) -> bool {
        self.starts_partition && self.partition == 0
    }

    /// Whether the packet is the first of a key frame.
    #[must_use]
    pub fn is_keyframe(&self) -> bool {
        self.key_frame.is_some()
    }

    /// RFC 7741, section 4.3: only the first bytes of a frame tell what it is, and there the lowest
    /// bit is clear in a key frame. A start code and the size follow (RFC 6386, section 9.1).
    fn parse_key_frame(&self, mut frame: Reader<'_>) -> Option<KeyFrame> {
        if !self.starts_frame() || frame.u24()? & 0x01_0000 != 0 {
            return None;
        }
        let size = (frame.array() == Some([0x9d, 0x01, 0x2a]))
            .then(|| parse_size(frame))
            .flatten();
        Some(KeyFrame { size })
    }
}

/// Little-endian; the upper two bits of each are a scale.
fn parse_size(mut frame: Reader<'_>) -> Option<(u16, u16)> {
    let width = u16::from_le_bytes(frame.array()?) & 0x3fff;
    let height = u16::from_le_bytes(frame.array()?) & 0x3fff;
    Some((width, height))
}

/// Puts another picture id and TL0PICIDX into a payload, each where `descriptor` found one and as wide
/// as it is there: a short picture id takes the lower 7 bits, a long one the lower 15. `payload` is
/// the one that `descriptor` was read from, or a copy.
pub fn rewrite(payload: &mut [u8], descriptor: &Descriptor, picture_id: u16, tl0: u8) {
    if let Some(id) = descriptor.picture_id {
        id.put(payload, descriptor.picture_id_at, picture_id);
    }
    if descriptor.tl0.is_some() {
        put(payload, descriptor.tl0_at, &[tl0]);
    }
}

/// A payload that is too short is the caller's mistake; nothing is written then.
fn put(payload: &mut [u8], at: usize, value: &[u8]) {
    let place = payload
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..value.len()));
    debug_assert!(place.is_some(), "the payload is the descriptor's");
    if let Some(place) = place {
        place.copy_from_slice(value);
    }
}
