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
    /// The decode targets that the publisher makes, a bit each, and the frame from which on, or one of long after that.
    active: (u32, u16),
    /// Of each choice the decode targets that stand for it, and what was made when they were chosen. A frame of either
    /// is part of it: which of both comes is not known to what overtakes its key frame.
    targets: [[usize; 2]; CHOICES],
    chosen_of: u32,
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
    fn new(structure: Structure, active: u32, since: u16) -> Self {
        let mut new = Self {
            structure,
            since,
            active: (active, since),
            targets: [[0; 2]; CHOICES],
            chosen_of: active,
            contained: [0; CHOICES],
            is_nested: false,
        };
        for choice in Choice::all() {
            let targets = new.chosen(choice);
            new.targets[choice.index()] = targets;
            let contained = targets.map(|target| new.contained_in(target));
            new.contained[choice.index()] = contained[0] | contained[1];
        }
        new.is_nested = new.is_every_lower_contained();
        new
    }

    /// Reads a packet's descriptor; one with another structure that is newer takes the place of the one there is.
    /// What is of the structure before, or after one that is not known yet, is part of nothing; so is what comes late
    /// under a lower number. `None` for what can't be read while nothing is known.
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
        // What brings a structure in time begins anew, whatever its number.
        let begins = is_key && way == Way::InTime;
        if let Some(known) = known
            && is_before(frame, known.since)
            && !begins
        {
            return Some(Described::of_nothing(Some(frame)));
        }
        if let Some(structure) = brought {
            let active = descriptor.active.unwrap_or(u32::MAX);
            match known {
                // The same again: as each key frame brings it.
                Some(known)
                    if known.is_same(&structure, active) && !is_before(frame, known.since) => {}
                Some(known) => {
                    is_key = begins || known.structure == structure;
                    **known = Self::new(structure, active, frame);
                }
                None => {
                    is_key = begins;
                    *known = Some(Box::new(Self::new(structure, active, frame)));
                }
            }
        }
        let known = known.as_mut()?;
        known.since = followed(known.since, frame);
        known.follow(&descriptor);
        Some(known.describe(&descriptor, is_key))
    }

    /// Whether a key frame brings nothing new.
    fn is_same(&self, structure: &Structure, active: u32) -> bool {
        self.structure == *structure && self.chosen_of == active
    }

    /// What the publisher makes holds until it says otherwise (A.8.3). It says so more than once, and what is lost of it
    /// comes late.
    fn follow(&mut self, descriptor: &Descriptor) {
        let since = followed(self.active.1, descriptor.frame);
        self.active.1 = since;
        if let Some(active) = descriptor.active
            && !is_before(descriptor.frame, since)
        {
            self.active = (active, descriptor.frame);
        }
    }

    fn describe(&self, descriptor: &Descriptor, is_key: bool) -> Described {
        let of = |choice: &Choice| self.targets[choice.index()];
        let indication = |target| descriptor.indications.of(target);
        let is_there = |target| indication(target) != Indication::NotPresent;
        let is_part = |choice: &Choice| of(choice).into_iter().any(is_there);
        let is_switch = |target| indication(target) == Indication::Switch;
        let enters = |choice: &Choice| of(choice).into_iter().any(is_switch);
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

    /// The decode targets that are whole for who is sent a choice.
    pub(super) fn active(&self, choice: Choice) -> Active {
        Active {
            mask: self.contained[choice.index()] & self.made(),
            targets: self.structure.decode_targets(),
        }
    }

    /// The highest spatial layer that the publisher makes.
    pub(super) fn highest_spatial(&self) -> u8 {
        let made = self.all().filter(|target| self.is_made(*target));
        made.map(|target| self.layers(target).spatial)
            .max()
            .unwrap_or(0)
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

    /// The decode targets that the publisher makes: all, where it says that there are none.
    fn made(&self) -> u32 {
        let all = u32::MAX >> (MAX_DECODE_TARGETS - self.structure.decode_targets());
        match self.active.0 & all {
            0 => all,
            some => some,
        }
    }

    fn is_made(&self, target: usize) -> bool {
        self.made() >> target & 1 == 1
    }

    /// What stands for a choice until the next key frame: the best there is, and the best that is made unless that is
    /// part of it: then the other may come back without one.
    fn chosen(&self, choice: Choice) -> [usize; 2] {
        let best = self.best(choice, self.all());
        let made = self.best(choice, self.all().filter(|target| self.is_made(*target)));
        let is_part = self.contained_in(best) >> made & 1 == 1;
        [best, if is_part { best } else { made }]
    }

    /// The decode target with the highest layers that a choice has.
    fn best(&self, choice: Choice, of: impl Iterator<Item = usize> + Clone) -> usize {
        let fitting = of
            .clone()
            .filter(|target| choice.covers(self.layers(*target)));
        let best = fitting.max_by_key(|target| self.layers(*target));
        // All may have a higher layer.
        let lowest = || of.min_by_key(|target| self.layers(*target));
        best.or_else(lowest).unwrap_or(0)
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

/// A frame that something counts from, kept near enough to a later one: numbers wrap, and nothing comes so late.
fn followed(since: u16, frame: u16) -> u16 {
    let distance = frame.wrapping_sub(since);
    if (2 * LATEST..0x8000).contains(&distance) {
        frame.wrapping_sub(LATEST)
    } else {
        since
    }
}

/// Whether a frame is before another, modulo 2^16.
fn is_before(frame: u16, other: u16) -> bool {
    frame.wrapping_sub(other).cast_signed() < 0
}

#[cfg(test)]
mod tests;
