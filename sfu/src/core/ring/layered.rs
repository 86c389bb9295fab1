//! A frame of a stream that has several spatial and temporal layers, from which some are chosen (SVC).

use crate::wire::vp8::PictureId;
use crate::wire::vp9;

/// Spatial layers of a stream that are told apart, as many as W3C's scalability modes have at most. What is
/// above them counts as the highest.
pub const SPATIAL_LAYERS: u8 = 3;

/// Temporal layers that are told apart, in the same way.
pub const TEMPORAL_LAYERS: u8 = 4;

/// What can be chosen of a stream: all up to a spatial and a temporal layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Choice {
    /// The highest spatial layer.
    pub spatial: u8,
    /// The highest temporal layer.
    pub temporal: u8,
}

impl Choice {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let temporals =
            |spatial| (0..TEMPORAL_LAYERS).map(move |temporal| Self { spatial, temporal });
        (0..SPATIAL_LAYERS).flat_map(temporals)
    }

    /// Its place among all.
    #[must_use]
    pub fn index(self) -> usize {
        let spatial = self.spatial.min(SPATIAL_LAYERS - 1);
        let temporal = self.temporal.min(TEMPORAL_LAYERS - 1);
        usize::from(spatial * TEMPORAL_LAYERS + temporal)
    }

    /// Whether it contains all layers of another.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        other.spatial <= self.spatial && other.temporal <= self.temporal
    }

    fn bit(self) -> u16 {
        1 << self.index()
    }
}

/// Some choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choices(u16);

impl Choices {
    /// Whether this is one.
    #[must_use]
    pub fn has(self, choice: Choice) -> bool {
        self.0 & choice.bit() != 0
    }
}

impl FromIterator<Choice> for Choices {
    fn from_iter<I: IntoIterator<Item = Choice>>(choices: I) -> Self {
        Self(
            choices
                .into_iter()
                .fold(0, |all, choice| all | choice.bit()),
        )
    }
}

/// What is known of a frame, by which it is decided who gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layered {
    /// Its spatial layer, 0 the smallest.
    pub spatial: u8,
    /// Its temporal layer, 0 the slowest.
    pub temporal: u8,
    /// The choices that it is part of.
    pub part_of: Choices,
    /// The choices that can be entered with it by who can decode it: of each, all that follows refers to
    /// nothing before it, but for what it refers to itself.
    pub enters: Choices,
    /// A choice contains all that a lower one does, so that one can go down at any picture. Not so where a
    /// spatial layer rests on the one below in key frames alone (`L3T3_KEY`).
    pub is_nested: bool,
    /// The packet is the last of its frame.
    pub ends_frame: bool,
    /// The picture's number, in VP9.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX, in VP9.
    pub tl0: Option<u8>,
    /// The frame's number in its dependency descriptor.
    pub frame: Option<u16>,
}

impl From<&vp9::Descriptor> for Layered {
    /// RFC 9628 says of a frame whether it needs the one below (D) and pictures before it (P), and whether what
    /// follows in higher temporal layers needs any of those (U). All lower layers go along with a higher one.
    fn from(descriptor: &vp9::Descriptor) -> Self {
        let spatial = descriptor.spatial().min(SPATIAL_LAYERS - 1);
        let temporal = descriptor.temporal().min(TEMPORAL_LAYERS - 1);
        let is_intra = !descriptor.is_inter_picture;
        let is_switching_point = descriptor
            .layers
            .is_some_and(|layers| layers.is_switching_point);
        let above = |choice: &Choice| choice.spatial >= spatial && choice.temporal >= temporal;
        let enters = |choice: &Choice| {
            let is_key = is_intra && spatial == 0;
            let is_own = choice.spatial == spatial && (is_intra || is_switching_point);
            is_key || is_own
        };
        Self {
            spatial,
            temporal,
            part_of: Choice::all().filter(above).collect(),
            enters: Choice::all().filter(above).filter(enters).collect(),
            is_nested: true,
            ends_frame: descriptor.ends_frame,
            picture_id: descriptor.picture_id,
            tl0: descriptor.tl0(),
            frame: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Layered {
        Layered::from(&vp9::Descriptor::parse(payload).unwrap())
    }

    fn choice(spatial: u8, temporal: u8) -> Choice {
        Choice { spatial, temporal }
    }

    #[test]
    fn a_key_picture_enters_all_choices_and_its_upper_frames_their_own() {
        let key = frame(&[0xac, 0x92, 0x34, 0x00, 0x01, 9]);
        assert!(Choice::all().all(|choice| key.part_of.has(choice) && key.enters.has(choice)));
        assert!(key.ends_frame);
        let upper = frame(&[0xa8, 0x92, 0x34, 0x03, 0x01, 9]);
        assert!(upper.enters.has(choice(1, 2)) && !upper.enters.has(choice(2, 0)));
        assert!(upper.part_of.has(choice(2, 0)) && !upper.part_of.has(choice(0, 3)));
    }

    #[test]
    fn a_switching_point_enters_higher_temporal_layers() {
        // TID 1, SID 0, with U and without.
        let point = frame(&[0xe8, 0x92, 0x34, 0x30, 0x01, 9]);
        assert!(point.enters.has(choice(0, 2)) && !point.enters.has(choice(1, 2)));
        assert!(!point.part_of.has(choice(0, 0)));
        let other = frame(&[0xe8, 0x92, 0x34, 0x20, 0x01, 9]);
        assert_eq!(other.enters, Choices::default());
    }
}
