//! `template_dependency_structure()`: what frames can be, and what can be chosen of them.

use super::{
    ChainDifferences, DescriptorError, Indication, Indications, MAX_DECODE_TARGETS, MAX_TEMPLATES,
    References,
};
use crate::wire::bits::BitReader;
use arrayvec::ArrayVec;

/// Spatial layers that have a size: their numbers have two bits.
const MAX_SPATIAL: usize = 4;

/// What frames of one kind have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Their spatial layer, 0 to 3.
    pub spatial: u8,
    /// Their temporal layer, 0 to 7.
    pub temporal: u8,
    /// What they are to the decode targets.
    pub indications: Indications,
    /// What they refer to.
    pub references: References,
    /// Where they stand in the chains.
    pub chains: ChainDifferences,
}

/// Templates and decode targets of a coded video sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    id_offset: u8,
    targets: u8,
    chains: u8,
    /// Of each decode target, the chain that protects it.
    protected_by: ArrayVec<u8, MAX_DECODE_TARGETS>,
    templates: ArrayVec<Template, MAX_TEMPLATES>,
    sizes: ArrayVec<(u16, u16), MAX_SPATIAL>,
}

impl Structure {
    /// Reads what begins here.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, DescriptorError> {
        let truncated = DescriptorError::Truncated;
        let mut structure = Self {
            id_offset: bits.small(6).ok_or(truncated)?,
            targets: bits.small(5).ok_or(truncated)? + 1,
            chains: 0,
            protected_by: ArrayVec::new(),
            templates: ArrayVec::new(),
            sizes: ArrayVec::new(),
        };
        structure.read_layers(bits)?;
        let targets = structure.decode_targets();
        for template in &mut structure.templates {
            template.indications = Indications::read(bits, targets).ok_or(truncated)?;
        }
        for template in &mut structure.templates {
            while bits.flag().ok_or(truncated)? {
                let difference = u16::from(bits.small(4).ok_or(truncated)?) + 1;
                let pushed = template.references.try_push(difference);
                pushed.map_err(|_| DescriptorError::References)?;
            }
        }
        structure.read_chains(bits).ok_or(truncated)?;
        structure.read_sizes(bits).ok_or(truncated)?;
        Ok(structure)
    }

    /// Decode targets, 1 to 32.
    #[must_use]
    pub fn decode_targets(&self) -> usize {
        self.targets.into()
    }

    /// Chains, 0 to 32.
    #[must_use]
    pub fn chains(&self) -> usize {
        self.chains.into()
    }

    /// The chain that protects a decode target, if there are chains.
    #[must_use]
    pub fn protected_by(&self, target: usize) -> Option<u8> {
        self.protected_by.get(target).copied()
    }

    /// All templates, by spatial layer and then by temporal one.
    #[must_use]
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// The highest spatial and temporal layer of a decode target.
    #[must_use]
    pub fn layers(&self, target: usize) -> (u8, u8) {
        let present = self
            .templates
            .iter()
            .filter(|template| template.indications.of(target) != Indication::NotPresent);
        present.fold((0, 0), |(spatial, temporal), template| {
            (
                spatial.max(template.spatial),
                temporal.max(template.temporal),
            )
        })
    }

    /// The size of a spatial layer's frames in pixels, if it is said.
    #[must_use]
    pub fn size(&self, spatial: u8) -> Option<(u16, u16)> {
        self.sizes.get(usize::from(spatial)).copied()
    }

    /// The template that a frame names.
    #[must_use]
    pub fn template(&self, id: u8) -> Option<&Template> {
        let index = (id + 64 - self.id_offset) % 64;
        self.templates.get(usize::from(index))
    }

    /// `template_layers()`.
    fn read_layers(&mut self, bits: &mut BitReader<'_>) -> Result<(), DescriptorError> {
        let (mut spatial, mut temporal) = (0_u8, 0_u8);
        loop {
            let template = Template {
                spatial,
                temporal,
                indications: Indications::default(),
                references: References::new(),
                chains: ChainDifferences::new(),
            };
            let pushed = self.templates.try_push(template);
            pushed.map_err(|_| DescriptorError::Templates)?;
            match bits.bits(2).ok_or(DescriptorError::Truncated)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => return Ok(()),
            }
        }
    }

    /// `template_chains()`.
    fn read_chains(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        let count = bits.below(u32::from(self.targets) + 1)?;
        self.chains = u8::try_from(count).ok()?;
        if count == 0 {
            return Some(());
        }
        for _ in 0..self.targets {
            let chain = u8::try_from(bits.below(count)?).ok()?;
            self.protected_by.try_push(chain).ok()?;
        }
        for template in &mut self.templates {
            for _ in 0..count {
                template.chains.try_push(bits.small(4)?).ok()?;
            }
        }
        Some(())
    }

    /// `render_resolutions()`, if they are there. Layers above the fourth are passed over.
    fn read_sizes(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        if !bits.flag()? {
            return Some(());
        }
        let highest = self.templates.last().map_or(0, |template| template.spatial);
        let side = |less_one: u32| u16::try_from(less_one + 1).unwrap_or(u16::MAX);
        for _ in 0..=highest {
            let size = (side(bits.bits(16)?), side(bits.bits(16)?));
            let _ = self.sizes.try_push(size);
        }
        Some(())
    }
}
