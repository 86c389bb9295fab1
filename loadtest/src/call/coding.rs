//! What the payload of a picture's packet begins with, by codec: all as long, so that servers are measured by
//! what a codec costs them and not by its bytes.

use super::vp8::{self, DESCRIPTOR_BYTES, FRAME_HEADER_BYTES};

/// Bytes of it.
pub const HEAD_BYTES: usize = DESCRIPTOR_BYTES + FRAME_HEADER_BYTES;

/// Spatial layers of VP9's pictures, all in one stream.
const SPATIAL_LAYERS: u16 = 3;

/// A sequence parameter set of constrained baseline, 320×180.
const SPS: [u8; 9] = [0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x06, 0x7e, 0x74];

/// A codec of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Coding {
    /// VP8.
    #[default]
    Vp8,
    /// H.264, constrained baseline, packetization mode 1.
    H264,
    /// VP9 with three spatial layers in one stream (SVC): a burst's packets are divided among them.
    Vp9,
}

/// A packet of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What VP8 says of it, and the others as far as they have it.
    pub descriptor: vp8::Descriptor,
    /// Of a key frame.
    pub is_key: bool,
    /// Which packet of its picture, from 0.
    pub index: u16,
    /// How many the picture has.
    pub count: u16,
}

impl Coding {
    /// As in `a=rtpmap`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::H264 => "H264",
            Self::Vp9 => "VP9",
        }
    }

    /// Its parameters in a description.
    #[must_use]
    pub const fn parameters(self) -> Option<&'static str> {
        match self {
            Self::Vp8 => None,
            Self::H264 => {
                Some("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
            }
            Self::Vp9 => Some("profile-id=0"),
        }
    }

    /// Appends the beginning of a payload.
    pub fn write(self, part: Part, out: &mut Vec<u8>) {
        let end = out.len() + HEAD_BYTES;
        match self {
            Self::Vp8 => vp8::write(part.descriptor, part.is_key, out),
            Self::H264 if part.is_key && part.index == 0 => out.extend(SPS),
            Self::H264 => {
                let first_slice = if part.index == 0 { 0x9a } else { 0x40 };
                out.extend([if part.is_key { 0x65 } else { 0x41 }, first_slice]);
            }
            Self::Vp9 => out.extend(vp9(part)),
        }
        out.resize(end, 0xff);
    }

    /// What follows the beginning.
    #[must_use]
    pub fn body(self, payload: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Vp8 => vp8::read(payload)?.1.get(FRAME_HEADER_BYTES..),
            Self::H264 | Self::Vp9 => payload.get(HEAD_BYTES..),
        }
    }
}

/// A descriptor (RFC 9628, section 4.2): not flexible, each picture a switching point.
fn vp9(part: Part) -> [u8; 5] {
    let spatial_of = |index: u16| index * SPATIAL_LAYERS / part.count.max(1);
    let spatial = spatial_of(part.index);
    let starts = part.index == 0 || spatial_of(part.index - 1) != spatial;
    let ends = part.index + 1 >= part.count || spatial_of(part.index + 1) != spatial;
    let flags = u8::from(!part.is_key) << 6 | u8::from(starts) << 3 | u8::from(ends) << 2;
    let [high, low] = part.descriptor.picture_id.to_be_bytes();
    let spatial = u8::try_from(spatial).unwrap_or(u8::MAX);
    let layers = part.descriptor.temporal << 5 | 0x10 | spatial << 1 | u8::from(spatial > 0);
    [0xa0 | flags, 0x80 | high, low, layers, part.descriptor.tl0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u16, is_key: bool) -> Part {
        Part {
            descriptor: vp8::Descriptor::default(),
            is_key,
            index,
            count: 10,
        }
    }

    #[test]
    fn all_are_as_long_and_found_again() {
        for coding in [Coding::Vp8, Coding::H264, Coding::Vp9] {
            for (index, is_key) in [(0, true), (5, true), (0, false), (9, false)] {
                let mut payload = Vec::new();
                coding.write(part(index, is_key), &mut payload);
                assert_eq!(payload.len(), HEAD_BYTES, "{coding:?}");
                payload.extend([1, 2, 3]);
                assert_eq!(coding.body(&payload), Some(&[1, 2, 3][..]), "{coding:?}");
            }
        }
    }

    #[test]
    fn a_picture_has_three_layers_one_behind_the_other() {
        let layers: Vec<u8> = (0..10)
            .map(|index| vp9(part(index, false))[3] >> 1 & 7)
            .collect();
        assert_eq!(layers, [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]);
        let starts = (0..10).filter(|&index| vp9(part(index, false))[0] & 0x08 != 0);
        assert_eq!(starts.collect::<Vec<_>>(), [0, 4, 7]);
        let ends = (0..10).filter(|&index| vp9(part(index, false))[0] & 0x04 != 0);
        assert_eq!(ends.collect::<Vec<_>>(), [3, 6, 9]);
    }
}
