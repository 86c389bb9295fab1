//! What a stream's dependency descriptors say, by the structure that its last key frame has brought.

use super::Resolution;
use crate::core::ring::{Choice, Layered, SPATIAL_LAYERS, TEMPORAL_LAYERS};
use crate::wire::dependency_descriptor::{
    Active, Descriptor, Indication, Indications, MAX_DECODE_TARGETS, Structure,
};

const CHOICES: usize = SPATIAL_LAYERS as usize * TEMPORAL_LAYERS as usize;

/// The structure in force, and what choices are in it.
#[derive(Debug)]
pub(super) struct Dependencies {
    structure: Structure,
    /// The frame that has brought it, or one of long after that.
    since: u16,
    /// Of each choice the decode target that stands for it.
    targets: [u8; CHOICES],
    /// And the decode targets that are whole for who is sent it, a bit each.
    contained: [u32; CHOICES],
    is_nested: bool,
}

/// How a packet came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    InTime,
    /// Behind others, as repairs do, which were not read by the structure that it may bring.
    Late,
}

/// A frame as its descriptor tells of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described {
    pub(super) frame: Layered,
    pub(super) starts_frame: bool,
    /// It begins a key frame, of this size.
    pub(super) keyframe: Option<Resolution>,
}

/// Frames that a packet is late by at most: some minutes.
const LATEST: u16 = 0x1000;

impl Described {
    fn of_nothing(frame: Option<u16>) -> Self {
        Self {
            frame: Layered {
                frame,
                ..Layered::default()
            },
            starts_frame: false,
            keyframe: None,
        }
    }
}

impl Dependencies {
    fn new(structure: Structure, since: u16) -> Self {
        let mut new = Self {
            structure,
            since,
            targets: [0; CHOICES],
            contained: [0; CHOICES],
            is_nested: false,
        };
        for choice in Choice::all() {
            let target = new.best(choice);
            new.targets[choice.index()] = u8::try_from(target).unwrap_or(0);
            new.contained[choice.index()] = new.contained_in(target);
        }
        new.is_nested = new.is_every_lower_contained();
        new
    }

    /// Reads a packet's descriptor; one with another structure that is newer takes the place of the one there is.
    /// What is of the structure before, or after one that is not known yet, is part of nothing. `None` for what can't
    /// be read while nothing is known.
    pub(super) fn read(known: &mut Option<Box<Self>>, bytes: &[u8], way: Way) -> Option<Described> {
        if bytes.is_empty() {
            return None;
        }
        let structure = known.as_ref().map(|known| &known.structure);
        let (descriptor, brought) = match Descriptor::parse(bytes, structure) {
            Ok(read) => read,
            Err(_) if known.is_some() => return Some(Described::of_nothing(None)),
            Err(_) => return None,
        };
        let mut is_key = brought.is_some();
        let frame = descriptor.frame;
        if let Some(known) = known
            && is_before(frame, known.since)
        {
            return Some(Described::of_nothing(Some(frame)));
        }
        if let Some(structure) = brought {
            match known {
                // The same again: as each key frame brings it.
                Some(known) if known.structure == structure => {}
                Some(known) => {
                    is_key = way == Way::InTime;
                    **known = Self::new(structure, frame);
                }
                None => {
                    is_key = way == Way::InTime;
                    *known = Some(Box::new(Self::new(structure, frame)));
                }
            }
        }
        let known = known.as_mut()?;
        // Numbers wrap, and nothing comes so late.
        if frame.wrapping_sub(known.since) > 2 * LATEST {
            known.since = frame.wrapping_sub(LATEST);
        }
        Some(known.describe(&descriptor, is_key))
    }

    fn describe(&self, descriptor: &Descriptor, is_key: bool) -> Described {
        let indication = |choice: &Choice| self.indication(descriptor.indications, *choice);
        let is_part = |choice: &Choice| indication(choice) != Indication::NotPresent;
        let enters = |choice: &Choice| indication(choice) == Indication::Switch;
        let frame = Layered {
            spatial: descriptor.spatial.min(SPATIAL_LAYERS - 1),
            temporal: descriptor.temporal.min(TEMPORAL_LAYERS - 1),
            part_of: Choice::all().filter(is_part).collect(),
            enters: Choice::all().filter(enters).collect(),
            is_nested: self.is_nested,
            ends_frame: descriptor.ends_frame,
            picture_id: None,
            tl0: None,
            frame: Some(descriptor.frame),
        };
        let begins_key = is_key && descriptor.starts_frame && descriptor.spatial == 0;
        Described {
            frame,
            starts_frame: descriptor.starts_frame,
            keyframe: begins_key.then(|| self.size(SPATIAL_LAYERS)),
        }
    }

    /// The size of a spatial layer's pictures, or of the highest there is.
    pub(super) fn size(&self, spatial: u8) -> Resolution {
        let sizes = (0..=spatial)
            .rev()
            .find_map(|layer| self.structure.size(layer));
        Resolution::from(sizes)
    }

    /// The decode targets that a subscriber is to be told of as active; `None` where all of them are.
    pub(super) fn active(&self, choice: Choice) -> Option<Active> {
        let mask = self.contained[choice.index()];
        let targets = self.structure.decode_targets();
        let all = u32::MAX >> (MAX_DECODE_TARGETS - targets);
        (mask != all).then_some(Active { mask, targets })
    }

    fn indication(&self, indications: Indications, choice: Choice) -> Indication {
        indications.of(usize::from(self.targets[choice.index()]))
    }

    fn layers(&self, target: usize) -> Choice {
        let (spatial, temporal) = self.structure.layers(target);
        Choice {
            spatial: spatial.min(SPATIAL_LAYERS - 1),
            temporal: temporal.min(TEMPORAL_LAYERS - 1),
        }
    }

    fn all(&self) -> std::ops::Range<usize> {
        0..self.structure.decode_targets()
    }

    /// The decode target with the highest layers that a choice has.
    fn best(&self, choice: Choice) -> usize {
        let fitting = self
            .all()
            .filter(|target| choice.covers(self.layers(*target)));
        let best = fitting.max_by_key(|target| self.layers(*target));
        // A structure whose decode targets all have a higher layer.
        best.unwrap_or_else(|| {
            self.all()
                .min_by_key(|target| self.layers(*target))
                .unwrap_or(0)
        })
    }

    /// Those of whose frames none is missing where a decode target is sent.
    fn contained_in(&self, target: usize) -> u32 {
        let is_there =
            |indications: Indications, target| indications.of(target) != Indication::NotPresent;
        let is_contained = |other: &usize| {
            let mut templates = self.structure.templates().iter();
            templates.all(|template| {
                let indications = template.indications;
                is_there(indications, target) || !is_there(indications, *other)
            })
        };
        let contained = self.all().filter(is_contained);
        contained.fold(0, |mask, target| mask | 1 << target)
    }

    fn is_every_lower_contained(&self) -> bool {
        Choice::all().all(|choice| {
            let mask = self.contained[choice.index()];
            let mut lower = self
                .all()
                .filter(|target| choice.covers(self.layers(*target)));
            lower.all(|target| mask >> target & 1 == 1)
        })
    }
}

/// Whether a frame is before another, modulo 2^16.
fn is_before(frame: u16, other: u16) -> bool {
    frame.wrapping_sub(other).cast_signed() < 0
}

#[cfg(test)]
mod tests;
