//! SDES with a CNAME (RFC 3550, section 6.5).

use super::{append, packet_type, put_ssrc};
use crate::unit::Ssrc;

/// The item's type (RFC 3550, section 6.5.1).
const CNAME: u8 = 1;

/// Appends a source description with one CNAME, of which the first 255 bytes go out.
pub fn write_cname(out: &mut Vec<u8>, ssrc: Ssrc, cname: &str) {
    let bytes = cname.as_bytes();
    let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    let bytes = bytes.get(..usize::from(len)).unwrap_or_default();
    append(out, packet_type::SOURCE_DESCRIPTION, 1, |out| {
        let start = out.len();
        put_ssrc(out, ssrc);
        out.extend_from_slice(&[CNAME, len]);
        out.extend_from_slice(bytes);
        // The list of items ends with at least one zero, and the chunk with a whole word.
        out.push(0);
        while !(out.len() - start).is_multiple_of(4) {
            out.push(0);
        }
    });
}
