//! Retransmissions on a stream of their own (RFC 4588, section 4).

use crate::unit::SeqNo;

/// Bytes of the original sequence number, before the original payload.
pub const OSN_BYTES: usize = 2;

/// Takes the original sequence number off a retransmission's payload. `None` when there is none: a
/// packet of padding alone, as browsers probe the path with.
#[must_use]
pub fn split(payload: &[u8]) -> Option<(SeqNo, &[u8])> {
    let (&osn, original) = payload.split_first_chunk()?;
    Some((SeqNo(u16::from_be_bytes(osn)), original))
}

/// Writes a retransmission's payload to the front of `out` and returns its length; `None`, and nothing
/// is written, when `out` is too short.
#[must_use]
pub fn write(out: &mut [u8], osn: SeqNo, original: &[u8]) -> Option<usize> {
    let len = OSN_BYTES + original.len();
    let (front, rest) = out.get_mut(..len)?.split_at_mut_checked(OSN_BYTES)?;
    front.copy_from_slice(&osn.0.to_be_bytes());
    rest.copy_from_slice(original);
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_split_again() {
        let mut out = [0xff; 6];
        assert_eq!(write(&mut out, SeqNo(0x1234), &[1, 2, 3]), Some(5));
        assert_eq!(out, [0x12, 0x34, 1, 2, 3, 0xff]);
        assert_eq!(split(&out[..5]), Some((SeqNo(0x1234), &[1, 2, 3][..])));
        assert_eq!(split(&out[..2]), Some((SeqNo(0x1234), &[][..])));
    }

    #[test]
    fn a_probe_of_padding_has_no_original() {
        assert_eq!(split(&[]), None);
        assert_eq!(split(&[1]), None);
    }

    #[test]
    fn nothing_is_written_where_it_does_not_fit() {
        let mut out = [7; 4];
        assert_eq!(write(&mut out, SeqNo(1), &[1, 2, 3]), None);
        assert_eq!(out, [7; 4]);
    }
}
