//! What the parts of an upload have to be: their sizes, and their checksums.

use crate::api::{ApiError, Violation};
use crate::checksum::{Checksum, ChecksumKind};
use crate::model::Clip;
use crate::ports::PartPlan;
use kaiwa_common::limits::{CLIP_PART_BYTES, CLIP_PARTS, CLIP_PARTS_ASKED};

/// Whole mebibytes, so that [`CLIP_PARTS`] are enough.
pub(super) fn part_size(size: u64) -> u64 {
    let mebibyte = 1024 * 1024;
    let needed = size.div_ceil(CLIP_PARTS as u64).div_ceil(mebibyte) * mebibyte;
    needed.max(CLIP_PART_BYTES)
}

/// Each part has the one size that it must have: what is signed adds up to what was declared.
pub(super) fn check_parts(plans: &[PartPlan], size: u64, part_size: u64) -> Result<(), ApiError> {
    if plans.is_empty() || plans.len() > CLIP_PARTS_ASKED {
        return Err(invalid("parts", format!("1 to {CLIP_PARTS_ASKED}")));
    }
    let count = size.div_ceil(part_size);
    for plan in plans {
        let number = u64::from(plan.number);
        if !(1..=count).contains(&number) {
            return Err(invalid("parts.number", format!("1 to {count}")));
        }
        let left = size - (number - 1) * part_size;
        let expected = left.min(part_size);
        if plan.size != expected {
            let description = format!("part {number} has {expected} bytes");
            return Err(invalid("parts.size", description));
        }
    }
    Ok(())
}

/// The kind of checksum of the upload in parts that is under way, if one is.
pub(super) fn open_checksum(clip: &Clip) -> Option<ChecksumKind> {
    let upload = clip.upload.as_ref()?;
    upload.id.as_ref().map(|_| upload.checksum)
}

/// The kind that the first parts of an upload bring, which is all the others' too.
pub(super) fn first_checksum(plans: &[PartPlan]) -> Result<Option<ChecksumKind>, ApiError> {
    let first = plans.iter().find_map(|plan| plan.checksum);
    let Some(kind) = first.map(|sum| sum.kind()) else {
        return Ok(None);
    };
    check_checksums(kind, plans.iter().map(|plan| plan.checksum))?;
    Ok(Some(kind))
}

/// A part may have no checksum, but none of another kind than its upload: S3 has one for all parts.
pub(super) fn check_checksums(
    kind: ChecksumKind,
    mut given: impl Iterator<Item = Option<Checksum>>,
) -> Result<(), ApiError> {
    let other = given.find_map(|sum| sum.filter(|sum| sum.kind() != kind));
    let field = match other.map(|sum| sum.kind()) {
        None => return Ok(()),
        Some(ChecksumKind::Sha256) => "parts.sha256",
        Some(ChecksumKind::Crc32c) => "parts.crc32c",
    };
    let name = kind.name();
    Err(invalid(
        field,
        format!("none: this upload's parts have a {name}, as the first that were asked for"),
    ))
}

pub(super) fn invalid(field: &'static str, description: String) -> ApiError {
    ApiError::Invalid(vec![Violation { field, description }])
}
