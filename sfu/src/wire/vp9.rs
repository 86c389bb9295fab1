//! The payload descriptor of VP9 (RFC 9628, section 4.2).

#[cfg(test)]
mod tests;

use super::reader::Reader;
use super::vp8::PictureId;
use arrayvec::ArrayVec;

/// Pictures that one refers to in flexible mode (P_DIFF), at most.
pub const MAX_REFERENCES: usize = 3;

/// Spatial layers that a scalability structure can describe (N_S has three bits).
const MAX_SPATIAL_LAYERS: usize = 8;

/// Why a payload is none of VP9. The packet is to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Vp9Error {
    /// It ends within its descriptor.
    #[error("the payload ends within its VP9 descriptor")]
    Truncated,
    /// A fourth reference follows the third.
    #[error("a picture refers to more than {MAX_REFERENCES} others")]
    References,
}

/// Where a frame stands among layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerIndices {
    /// TID, 0 to 7.
    pub temporal: u8,
    /// U: what follows in higher temporal layers needs nothing of them from before this picture.
    pub is_switching_point: bool,
    /// SID, 0 to 7.
    pub spatial: u8,
    /// D: it needs the frame of the spatial layer below in the same picture.
    pub is_inter_layer: bool,
    /// TL0PICIDX: there unless the mode is flexible.
    pub tl0: Option<u8>,
}

/// What stands before a packet's piece of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its bytes.
    pub len: usize,
    /// The picture's number, the same for the frames of all its spatial layers.
    pub picture_id: Option<PictureId>,
    /// P: it needs pictures before it.
    pub is_inter_picture: bool,
    /// L.
    pub layers: Option<LayerIndices>,
    /// F: each picture says what it refers to.
    pub is_flexible: bool,
    /// B: a frame begins here, of one spatial layer.
    pub starts_frame: bool,
    /// E: and ends here.
    pub ends_frame: bool,
    /// Z: no higher spatial layer needs this frame.
    pub is_not_reference: bool,
    /// P_DIFF: which pictures before it are referred to, by how much lower their numbers are.
    pub references: ArrayVec<u8, MAX_REFERENCES>,
    /// Of the scalability structure (V), if it says sizes: of the largest layer, in pixels.
    pub size: Option<(u16, u16)>,
    picture_id_at: usize,
    tl0_at: usize,
}

impl Descriptor {
    /// Reads the descriptor at the front of an RTP payload.
    ///
    /// # Errors
    /// [`Vp9Error`]. A payload that ends with its descriptor is none.
    pub fn parse(payload: &[u8]) -> Result<Self, Vp9Error> {
        let mut reader = Reader::new(payload);
        let mut read = Self::read(&mut reader, payload.len()).ok_or(Vp9Error::Truncated)?;
        if read.is_flexible && read.is_inter_picture {
            read.references = parse_references(&mut reader)?;
        }
        let has_structure = payload.first().is_some_and(|first| first & 0x02 != 0);
        if has_structure {
            read.size = parse_structure(&mut reader).ok_or(Vp9Error::Truncated)?;
        }
        read.len = payload.len() - reader.len();
        Ok(read)
    }

    fn read(reader: &mut Reader<'_>, payload_len: usize) -> Option<Self> {
        let first = reader.u8()?;
        let is_flexible = first & 0x10 != 0;
        let picture_id_at = payload_len - reader.len();
        let picture_id = if first & 0x80 != 0 {
            Some(PictureId::read(reader)?)
        } else {
            None
        };
        let mut tl0_at = 0;
        let layers = if first & 0x20 != 0 {
            let indices = reader.u8()?;
            tl0_at = payload_len - reader.len();
            let tl0 = if is_flexible {
                None
            } else {
                Some(reader.u8()?)
            };
            Some(LayerIndices {
                temporal: indices >> 5,
                is_switching_point: indices & 0x10 != 0,
                spatial: indices >> 1 & 0x07,
                is_inter_layer: indices & 0x01 != 0,
                tl0,
            })
        } else {
            None
        };
        Some(Self {
            len: 0,
            picture_id,
            is_inter_picture: first & 0x40 != 0,
            layers,
            is_flexible,
            starts_frame: first & 0x08 != 0,
            ends_frame: first & 0x04 != 0,
            is_not_reference: first & 0x01 != 0,
            references: ArrayVec::new(),
            size: None,
            picture_id_at,
            tl0_at,
        })
    }

    /// SID; 0 where there are no layers.
    #[must_use]
    pub fn spatial(&self) -> u8 {
        self.layers.map_or(0, |layers| layers.spatial)
    }

    /// TID; 0 where there are no layers.
    #[must_use]
    pub fn temporal(&self) -> u8 {
        self.layers.map_or(0, |layers| layers.temporal)
    }

    /// TL0PICIDX.
    #[must_use]
    pub fn tl0(&self) -> Option<u8> {
        self.layers.and_then(|layers| layers.tl0)
    }

    /// Whether the packet is the first of a key picture: of its lowest spatial layer, which needs
    /// nothing. Higher ones follow, and need only the layer below.
    #[must_use]
    pub fn is_keyframe(&self) -> bool {
        self.starts_frame && !self.is_inter_picture && self.spatial() == 0
    }
}

fn parse_references(reader: &mut Reader<'_>) -> Result<ArrayVec<u8, MAX_REFERENCES>, Vp9Error> {
    let mut references = ArrayVec::new();
    loop {
        let difference = reader.u8().ok_or(Vp9Error::Truncated)?;
        references
            .try_push(difference >> 1)
            .map_err(|_| Vp9Error::References)?;
        if difference & 0x01 == 0 {
            return Ok(references);
        }
    }
}

/// Section 4.2.1. `Some(None)` where it says no size.
fn parse_structure(reader: &mut Reader<'_>) -> Option<Option<(u16, u16)>> {
    let first = reader.u8()?;
    let layers = usize::from(first >> 5) + 1;
    let mut largest = None;
    if first & 0x10 != 0 {
        for _ in 0..layers.min(MAX_SPATIAL_LAYERS) {
            let size = (reader.u16()?, reader.u16()?);
            largest = largest.max(Some(size));
        }
    }
    if first & 0x08 != 0 {
        let pictures = reader.u8()?;
        for _ in 0..pictures {
            let references = reader.u8()? >> 2 & 0x03;
            reader.take(references.into())?;
        }
    }
    Some(largest)
}

/// Puts another picture id and TL0PICIDX into a payload, each where `descriptor` found one and as wide
/// as it is there: a short picture id takes the lower 7 bits, a long one the lower 15. `payload` is
/// the one that `descriptor` was read from, or a copy.
pub fn rewrite(payload: &mut [u8], descriptor: &Descriptor, picture_id: u16, tl0: u8) {
    if let Some(id) = descriptor.picture_id {
        id.put(payload, descriptor.picture_id_at, picture_id);
    }
    if descriptor.tl0().is_some()
        && let Some(place) = payload.get_mut(descriptor.tl0_at)
    {
        *place = tl0;
    }
}
