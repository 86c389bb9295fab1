//! The size of pictures, as a sequence parameter set says it (H.264, section 7.3.2.1.1).

use crate::wire::bits::BitReader;

/// Bytes of a parameter set that are looked at: the size stands within its first hundred bits, or a few
/// hundred behind scaling lists.
const LOOKED_AT: usize = 256;

/// Of a macroblock, in pixels.
const MACROBLOCK: u32 = 16;

/// Profiles whose parameter sets have chroma formats and scaling lists.
const HIGH: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Width and height in pixels; `body` goes without the NAL unit's header.
pub(super) fn size(body: &[u8]) -> Option<(u16, u16)> {
    let mut plain = [0; LOOKED_AT];
    let len = unescape(body, &mut plain);
    read(&mut BitReader::new(plain.get(..len)?))
}

/// Takes out the bytes that keep start codes from appearing (section 7.4.1).
fn unescape(body: &[u8], plain: &mut [u8; LOOKED_AT]) -> usize {
    let mut zeros = 0;
    let mut len = 0;
    for &byte in body {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        let Some(place) = plain.get_mut(len) else {
            break;
        };
        *place = byte;
        len += 1;
    }
    len
}

fn read(bits: &mut BitReader<'_>) -> Option<(u16, u16)> {
    let profile = bits.small(8)?;
    // Constraints and level.
    bits.bits(16)?;
    // Its id.
    bits.exp_golomb()?;
    let chroma_format = if HIGH.contains(&profile) {
        read_high(bits)?
    } else {
        1
    };
    // log2_max_frame_num_minus4.
    bits.exp_golomb()?;
    skip_picture_order(bits)?;
    // max_num_ref_frames, gaps_in_frame_num_value_allowed_flag.
    bits.exp_golomb()?;
    bits.flag()?;
    let width = bits.exp_golomb()?.checked_add(1)?.checked_mul(MACROBLOCK)?;
    let map_units = bits.exp_golomb()?.checked_add(1)?.checked_mul(MACROBLOCK)?;
    let is_frames_only = bits.flag()?;
    let fields = if is_frames_only { 1 } else { 2 };
    if !is_frames_only {
        // mb_adaptive_frame_field_flag.
        bits.flag()?;
    }
    // direct_8x8_inference_flag.
    bits.flag()?;
    let (mut width, mut height) = (width, map_units.checked_mul(fields)?);
    if bits.flag()? {
        // Table 6-1: half of the chroma samples in each direction that is subsampled.
        let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma_format == 1 { 2 } else { 1 } * fields;
        let mut crop = |unit: u32| bits.exp_golomb()?.checked_mul(unit);
        let (left, right, top, bottom) =
            (crop(unit_x)?, crop(unit_x)?, crop(unit_y)?, crop(unit_y)?);
        width = width.checked_sub(left)?.checked_sub(right)?;
        height = height.checked_sub(top)?.checked_sub(bottom)?;
    }
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

/// What the higher profiles have; gives the chroma format.
fn read_high(bits: &mut BitReader<'_>) -> Option<u32> {
    let chroma_format = bits.exp_golomb()?;
    if chroma_format == 3 {
        // separate_colour_plane_flag.
        bits.flag()?;
    }
    // Depths of luma and chroma, qpprime_y_zero_transform_bypass_flag.
    bits.exp_golomb()?;
    bits.exp_golomb()?;
    bits.flag()?;
    if bits.flag()? {
        let lists = if chroma_format == 3 { 12 } else { 8 };
        for list in 0..lists {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma_format)
}

/// Section 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut BitReader<'_>, len: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..len {
        if next != 0 {
            next = (last + bits.signed_exp_golomb()? + 256).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn skip_picture_order(bits: &mut BitReader<'_>) -> Option<()> {
    match bits.exp_golomb()? {
        0 => {
            // log2_max_pic_order_cnt_lsb_minus4.
            bits.exp_golomb()?;
        }
        1 => {
            // delta_pic_order_always_zero_flag and two offsets.
            bits.flag()?;
            bits.signed_exp_golomb()?;
            bits.signed_exp_golomb()?;
            let cycle = bits.exp_golomb()?;
            for _ in 0..cycle.min(255) {
                bits.signed_exp_golomb()?;
            }
        }
        _ => {}
    }
    Some(())
}
