//! The size of pictures, as a sequence header says it (AV1, section 5.5).

use crate::wire::bits::BitReader;

/// Operating points of a sequence at most (section 5.5.1 has five bits for their number).
const MAX_POINTS: u32 = 32;

/// Width and height in pixels of the largest pictures; `body` goes without the OBU's header.
pub(super) fn size(body: &[u8]) -> Option<(u16, u16)> {
    let bits = &mut BitReader::new(body);
    // seq_profile, still_picture.
    bits.bits(4)?;
    let is_reduced = bits.flag()?;
    if is_reduced {
        // seq_level_idx.
        bits.bits(5)?;
    } else {
        skip_points(bits)?;
    }
    let width_bits = usize::from(bits.small(4)?) + 1;
    let height_bits = usize::from(bits.small(4)?) + 1;
    let width = bits.bits(width_bits)?.checked_add(1)?;
    let height = bits.bits(height_bits)?.checked_add(1)?;
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

fn skip_points(bits: &mut BitReader<'_>) -> Option<()> {
    let mut model = None;
    if bits.flag()? {
        skip_timing(bits)?;
        if bits.flag()? {
            // decoder_model_info(): buffer_delay_length_minus_1, num_units_in_decoding_tick, and the
            // lengths of two times.
            let delay_bits = usize::from(bits.small(5)?) + 1;
            bits.bits(32)?;
            bits.bits(10)?;
            model = Some(delay_bits);
        }
    }
    let has_delays = bits.flag()?;
    let points = bits.bits(5)? + 1;
    for _ in 0..points.min(MAX_POINTS) {
        // operating_point_idc.
        bits.bits(12)?;
        let level = bits.bits(5)?;
        if level > 7 {
            // seq_tier.
            bits.flag()?;
        }
        if let Some(delay_bits) = model
            && bits.flag()?
        {
            // Delays of decoder and encoder, low_delay_mode_flag.
            bits.bits(delay_bits)?;
            bits.bits(delay_bits)?;
            bits.flag()?;
        }
        if has_delays && bits.flag()? {
            // initial_display_delay_minus_1.
            bits.bits(4)?;
        }
    }
    Some(())
}

fn skip_timing(bits: &mut BitReader<'_>) -> Option<()> {
    // num_units_in_display_tick, time_scale.
    bits.bits(32)?;
    bits.bits(32)?;
    if bits.flag()? {
        // num_ticks_per_picture_minus_1: uvlc(), which is Exp-Golomb up to 31 zeros.
        bits.exp_golomb()?;
    }
    Some(())
}
