//! The payload descriptor of VP8 (RFC 7741, section 4.2), and the frame header behind it
//! (RFC 6386, section 9.1).

/// What a descriptor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// The payload begins a frame.
    pub is_start: bool,
    /// Nothing refers to the frame.
    pub is_unreferenced: bool,
    /// Counts frames, 15 bits.
    pub picture_id: u16,
    /// Counts frames of the lowest temporal layer.
    pub tl0: u8,
    /// The temporal layer, 0 to 3.
    pub temporal: u8,
    /// Refers to nothing but the lowest layer.
    pub is_sync: bool,
}

/// Bytes of a written descriptor.
pub const DESCRIPTOR_BYTES: usize = 6;

/// Bytes of a written frame header: that of a key frame, in every packet, so that all are as long.
pub const FRAME_HEADER_BYTES: usize = 10;

/// A key frame's, of 640×360: P = 0, shown, and a first partition of no meaning.
const KEY_HEADER: [u8; FRAME_HEADER_BYTES] = [0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];

/// Appends a descriptor with everything in it, and the beginning of a frame.
pub fn write(descriptor: Descriptor, is_key: bool, out: &mut Vec<u8>) {
    let first =
        0x80 | u8::from(descriptor.is_unreferenced) << 5 | u8::from(descriptor.is_start) << 4;
    let [high, low] = descriptor.picture_id.to_be_bytes();
    out.extend([first, 0xe0, 0x80 | high, low, descriptor.tl0]);
    out.push(descriptor.temporal << 6 | u8::from(descriptor.is_sync) << 5);
    let mut header = KEY_HEADER;
    header[0] |= u8::from(!is_key);
    out.extend(header);
}

/// Reads a payload's descriptor; gives it with what follows. What is absent is 0.
#[must_use]
pub fn read(payload: &[u8]) -> Option<(Descriptor, &[u8])> {
    let (&first, mut rest) = payload.split_first()?;
    let mut descriptor = Descriptor {
        is_start: first & 0x10 != 0 && first & 0x07 == 0,
        is_unreferenced: first & 0x20 != 0,
        ..Descriptor::default()
    };
    if first & 0x80 == 0 {
        return Some((descriptor, rest));
    }
    let mut take = || {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        Some(byte)
    };
    let flags = take()?;
    if flags & 0x80 != 0 {
        let high = take()?;
        descriptor.picture_id = if high & 0x80 == 0 {
            u16::from(high)
        } else {
            u16::from_be_bytes([high & 0x7f, take()?])
        };
    }
    if flags & 0x40 != 0 {
        descriptor.tl0 = take()?;
    }
    if flags & 0x30 != 0 {
        let byte = take()?;
        descriptor.temporal = byte >> 6;
        descriptor.is_sync = byte & 0x20 != 0;
    }
    Some((descriptor, rest))
}

/// Whether a frame that begins so is a key frame.
#[must_use]
pub fn is_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(bits in any::<(bool, bool, bool, bool)>(), picture_id in 0_u16..32_768, tl0 in any::<u8>(), temporal in 0_u8..4) {
            let descriptor = Descriptor {
                is_start: bits.0,
                is_unreferenced: bits.1,
                picture_id,
                tl0,
                temporal,
                is_sync: bits.2,
            };
            let mut payload = Vec::new();
            write(descriptor, bits.3, &mut payload);
            prop_assert_eq!(payload.len(), DESCRIPTOR_BYTES + FRAME_HEADER_BYTES);
            let (found, frame) = read(&payload).unwrap();
            prop_assert_eq!(found, descriptor);
            prop_assert_eq!(is_key_frame(frame), bits.3);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn a_short_picture_id_and_none_at_all_are_read() {
        let short = [0x90, 0x80, 0x11, 1];
        assert_eq!(read(&short).unwrap().0.picture_id, 0x11);
        let (none, rest) = read(&[0x10, 0]).unwrap();
        assert!(none.is_start && is_key_frame(rest));
    }
}
