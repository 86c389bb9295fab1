use super::*;
use proptest::prelude::*;

/// A sequence header for 1280 x 720 without a size field, which RTP leaves out: profile 0, one operating
/// point of level 5, and sides of 11 and 10 bits.
const SEQUENCE_720: [u8; 9] = [0x08, 0x00, 0x00, 0x00, 0x2d, 0x4c, 0xff, 0xb3, 0xe0];

fn with_header(aggregation: u8, elements: &[&[u8]], count: usize) -> Vec<u8> {
    let mut payload = vec![aggregation];
    for (at, element) in elements.iter().enumerate() {
        if at + 1 != count {
            payload.push(u8::try_from(element.len()).unwrap());
        }
        payload.extend_from_slice(element);
    }
    payload
}

#[test]
fn a_new_sequence_is_a_key_frame() {
    let payload = with_header(0x28, &[&SEQUENCE_720, &[0x30, 0x10]], 2);
    let read = Payload::parse(&payload).unwrap();
    assert!(read.is_keyframe() && read.starts_frame && read.starts_sequence);
    assert!(read.has_sequence_header);
    assert_eq!(read.size, Some((1_280, 720)));
}

#[test]
fn elements_with_lengths_and_without_are_read_alike() {
    let (a, b) = (SEQUENCE_720, [0x30, 0x10]);
    let counted = Payload::parse(&with_header(0x20, &[&a, &b], 2)).unwrap();
    let measured = Payload::parse(&with_header(0x00, &[&a, &b], 0)).unwrap();
    assert_eq!(counted, measured);
    assert!(counted.is_keyframe() && !counted.starts_sequence);
}

#[test]
fn a_continuation_begins_nothing() {
    let payload = with_header(0x90, &[&SEQUENCE_720], 1);
    let read = Payload::parse(&payload).unwrap();
    assert!(read.is_continuation && !read.is_keyframe() && !read.starts_frame);
    assert!(!read.has_sequence_header);
    let inter = Payload::parse(&[0x10, 0x30, 0x40]).unwrap();
    assert!(inter.starts_frame && !inter.is_keyframe());
    let tiles = Payload::parse(&[0x50, 0x20, 0x40]).unwrap();
    assert!(tiles.is_continued && !tiles.starts_frame);
}

#[test]
fn what_is_cut_short_is_refused() {
    for payload in [&[][..], &[0x10], &[0x00, 3, 0x30], &[0x20, 1, 0x30]] {
        assert_eq!(Payload::parse(payload), Err(Av1Error::Truncated));
    }
    let endless = [0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
    assert_eq!(Payload::parse(&endless), Err(Av1Error::Length));
    let many = [&[0x00][..], &[0; 65]].concat();
    assert_eq!(Payload::parse(&many), Err(Av1Error::TooMany));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        crate::wire::fuzzing::av1(&bytes);
    }

    /// Sequence headers of any bytes give a size or none.
    #[test]
    fn arbitrary_sequence_headers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        crate::wire::fuzzing::av1(&[&[0x18, 0x08], &bytes[..]].concat());
    }
}
