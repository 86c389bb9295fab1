//! A descriptor as a subscriber gets it: under another frame number, and saying which decode targets are
//! forwarded.

use super::{Flags, MANDATORY_BYTES, Structure};
use crate::wire::bits::{BitReader, BitWriter};

/// Bytes that a descriptor grows by at most: flags where it had none, and a bit for each decode target.
pub const MAX_GROWTH: usize = 5;

/// The decode targets that go on to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// One bit each, the lowest the first target's.
    pub mask: u32,
    /// How many the structure in force has, 1 to 32.
    pub targets: usize,
}

impl Active {
    /// Whether all go on.
    #[must_use]
    pub fn is_all(self) -> bool {
        self.mask == super::all_targets(self.targets)
    }
}

/// Writes `descriptor` to the front of `out` with another frame number and, where `active` is given, those
/// decode targets (`active_decode_targets_bitmask`); all else stays. Returns its length. `None` when it
/// can't be read or there is no room: [`MAX_GROWTH`] more than it has is always enough.
#[must_use]
pub fn rewrite(
    descriptor: &[u8],
    frame: u16,
    active: Option<Active>,
    out: &mut [u8],
) -> Option<usize> {
    let (mandatory, extended) = descriptor.split_at_checked(MANDATORY_BYTES)?;
    let Some(active) = active else {
        let place = out.get_mut(..descriptor.len())?;
        place.copy_from_slice(descriptor);
        place
            .get_mut(1..MANDATORY_BYTES)?
            .copy_from_slice(&frame.to_be_bytes());
        return Some(descriptor.len());
    };
    let mut writer = BitWriter::new(out);
    writer.put(8, (*mandatory.first()?).into())?;
    writer.put(16, frame.into())?;
    let mut bits = BitReader::new(extended);
    let flags = if extended.is_empty() {
        Flags::default()
    } else {
        Flags::read(&mut bits)?
    };
    for flag in [
        flags.has_structure,
        true,
        flags.has_indications,
        flags.has_references,
        flags.has_chains,
    ] {
        writer.put(1, flag.into())?;
    }
    let mut targets = active.targets;
    if flags.has_structure {
        let mut ahead = bits;
        targets = Structure::read(&mut ahead).ok()?.decode_targets();
        let len = ahead.position() - bits.position();
        writer.copy(&mut bits, len)?;
    }
    if flags.has_active {
        bits.bits(targets)?;
    }
    writer.put(targets, active.mask)?;
    let rest = bits.len();
    writer.copy(&mut bits, rest)?;
    Some(writer.len())
}
