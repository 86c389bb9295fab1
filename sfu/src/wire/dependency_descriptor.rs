//! The dependency descriptor (RTP Payload Format For AV1, appendix A): a header extension that says of
//! a frame, whatever its codec, which layers it belongs to and which others need it.
//!
//! A key frame brings a [`Structure`]: templates that later frames name instead of saying everything
//! again, and *decode targets*, the combinations of layers that can be chosen. What each frame is to each of
//! them is its [`Indication`].

mod structure;
#[cfg(test)]
mod tests;
mod write;

pub use structure::{Structure, Template};
pub use write::{Active, MAX_GROWTH, rewrite};

use super::bits::BitReader;
use arrayvec::ArrayVec;

/// Decode targets of a structure at most (`dt_cnt_minus_one` has five bits).
pub const MAX_DECODE_TARGETS: usize = 32;

/// Templates at most: their numbers have six bits.
pub const MAX_TEMPLATES: usize = 64;

/// Frames that one refers to, at most. AV1 has seven references, others fewer; a descriptor with more is
/// refused.
pub const MAX_REFERENCES: usize = 8;

/// Bytes of the mandatory fields, which is all that most frames have.
pub const MANDATORY_BYTES: usize = 3;

/// Why bytes are no dependency descriptor. The packet is forwarded as one without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// It ends within its fields.
    #[error("the dependency descriptor ends within its fields")]
    Truncated,
    /// It names a template that the structure does not have, or there is no structure.
    #[error("the dependency descriptor names an unknown template")]
    UnknownTemplate,
    /// More templates than have numbers.
    #[error("more than {MAX_TEMPLATES} templates")]
    Templates,
    /// More than [`MAX_REFERENCES`] in a frame.
    #[error("a frame refers to more than {MAX_REFERENCES} others")]
    References,
}

/// What a frame is to a decode target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    /// `-`: it is no part of it.
    NotPresent,
    /// `D`: nothing else of it needs the frame.
    Discardable,
    /// `S`: who can decode the frame can decode all that follows of the decode target.
    Switch,
    /// `R`: it is needed.
    Required,
}

/// The indications of a frame, one for each decode target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indications(u64);

impl Indications {
    /// What the frame is to this decode target; to one that there is not, it is not present.
    #[must_use]
    pub fn of(self, target: usize) -> Indication {
        if target >= MAX_DECODE_TARGETS {
            return Indication::NotPresent;
        }
        match self.0 >> (2 * target) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    fn read(bits: &mut BitReader<'_>, targets: usize) -> Option<Self> {
        let mut all = 0;
        for target in 0..targets.min(MAX_DECODE_TARGETS) {
            all |= u64::from(bits.bits(2)?) << (2 * target);
        }
        Some(Self(all))
    }
}

/// How much lower the numbers of the frames are that one refers to, 1 to 4,096 each.
pub type References = ArrayVec<u16, MAX_REFERENCES>;

/// How much lower the number of the frame before is in each chain; 0 where there is none.
pub type ChainDifferences = ArrayVec<u8, MAX_DECODE_TARGETS>;

/// What a descriptor says of its packet and frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The packet is the first of its frame.
    pub starts_frame: bool,
    /// The packet is the last of its frame.
    pub ends_frame: bool,
    /// The frame's number; each has one more than the one before, in all layers together.
    pub frame: u16,
    /// Its spatial layer, 0 to 3.
    pub spatial: u8,
    /// Its temporal layer, 0 to 7.
    pub temporal: u8,
    /// What it is to the decode targets.
    pub indications: Indications,
    /// What it refers to.
    pub references: References,
    /// Where it stands in the chains.
    pub chains: ChainDifferences,
    /// Decode targets that the sender produces from here on, the lowest bit the first; `None` where it says
    /// nothing new.
    pub active: Option<u32>,
    /// Width and height of the frame in pixels, if the structure says it.
    pub size: Option<(u16, u16)>,
}

impl Descriptor {
    /// Reads an extension's bytes, given the structure in force. Gives a new structure with it if it brings
    /// one: as a key frame does.
    ///
    /// # Errors
    /// [`DescriptorError`].
    pub fn parse(
        bytes: &[u8],
        known: Option<&Structure>,
    ) -> Result<(Self, Option<Structure>), DescriptorError> {
        let mut bits = BitReader::new(bytes);
        let mandatory = Mandatory::read(&mut bits).ok_or(DescriptorError::Truncated)?;
        let flags = if bytes.len() > MANDATORY_BYTES {
            Flags::read(&mut bits).ok_or(DescriptorError::Truncated)?
        } else {
            Flags::default()
        };
        let brought = if flags.has_structure {
            Some(Structure::read(&mut bits)?)
        } else {
            None
        };
        let structure = brought.as_ref().or(known);
        let structure = structure.ok_or(DescriptorError::UnknownTemplate)?;
        let read = Self::read(&mut bits, &mandatory, flags, structure)?;
        Ok((read, brought))
    }

    fn read(
        bits: &mut BitReader<'_>,
        mandatory: &Mandatory,
        flags: Flags,
        structure: &Structure,
    ) -> Result<Self, DescriptorError> {
        let template = structure
            .template(mandatory.template_id)
            .ok_or(DescriptorError::UnknownTemplate)?;
        let targets = structure.decode_targets();
        let truncated = DescriptorError::Truncated;
        let active = if flags.has_active {
            Some(bits.bits(targets).ok_or(truncated)?)
        } else {
            flags.has_structure.then(|| all_targets(targets))
        };
        let indications = if flags.has_indications {
            Indications::read(bits, targets).ok_or(truncated)?
        } else {
            template.indications
        };
        let references = if flags.has_references {
            read_references(bits)?
        } else {
            template.references.clone()
        };
        let chains = if flags.has_chains {
            let each = |_| bits.small(8).ok_or(truncated);
            (0..structure.chains())
                .map(each)
                .collect::<Result<_, _>>()?
        } else {
            template.chains.clone()
        };
        Ok(Self {
            starts_frame: mandatory.starts_frame,
            ends_frame: mandatory.ends_frame,
            frame: mandatory.frame,
            spatial: template.spatial,
            temporal: template.temporal,
            indications,
            references,
            chains,
            active,
            size: structure.size(template.spatial),
        })
    }
}

/// All bits of so many decode targets.
fn all_targets(targets: usize) -> u32 {
    u32::MAX >> (MAX_DECODE_TARGETS - targets.clamp(1, MAX_DECODE_TARGETS))
}

/// `mandatory_descriptor_fields()`.
struct Mandatory {
    starts_frame: bool,
    ends_frame: bool,
    template_id: u8,
    frame: u16,
}

impl Mandatory {
    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        Some(Self {
            starts_frame: bits.flag()?,
            ends_frame: bits.flag()?,
            template_id: bits.small(6)?,
            frame: u16::try_from(bits.bits(16)?).ok()?,
        })
    }
}

/// What of `extended_descriptor_fields()` is there.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    has_structure: bool,
    has_active: bool,
    has_indications: bool,
    has_references: bool,
    has_chains: bool,
}

impl Flags {
    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let mut ahead = *bits;
        let flags = Self {
            has_structure: ahead.flag()?,
            has_active: ahead.flag()?,
            has_indications: ahead.flag()?,
            has_references: ahead.flag()?,
            has_chains: ahead.flag()?,
        };
        *bits = ahead;
        Some(flags)
    }
}

/// `frame_fdiffs()`.
fn read_references(bits: &mut BitReader<'_>) -> Result<References, DescriptorError> {
    let mut references = References::new();
    loop {
        let truncated = DescriptorError::Truncated;
        let size = bits.bits(2).ok_or(truncated)?;
        if size == 0 {
            return Ok(references);
        }
        let width = usize::try_from(4 * size).map_err(|_| truncated)?;
        let less_one = bits.bits(width).ok_or(truncated)?;
        let difference = u16::try_from(less_one + 1).map_err(|_| truncated)?;
        references
            .try_push(difference)
            .map_err(|_| DescriptorError::References)?;
    }
}
