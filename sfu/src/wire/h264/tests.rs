use super::*;
use proptest::prelude::*;

/// x264's parameter set for 1280 x 720, High 3.1.
const HIGH_720: [u8; 25] = [
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x6c, 0x80, 0x00, 0x00, 0x03,
    0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x18, 0xcb,
];

/// Constrained baseline, 320 x 180: 192 rows, of which 12 are cropped.
const BASELINE_180: [u8; 9] = [0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x06, 0x7e, 0x74];

fn parse(payload: &[u8]) -> Payload {
    Payload::parse(payload).unwrap()
}

fn aggregate(units: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![0x78];
    for unit in units {
        payload.extend(u16::try_from(unit.len()).unwrap().to_be_bytes());
        payload.extend_from_slice(unit);
    }
    payload
}

#[test]
fn parameter_sets_begin_a_key_frame_and_say_its_size() {
    let read = parse(&HIGH_720);
    assert!(read.is_keyframe() && read.starts_frame());
    assert_eq!(read.size, Some((1_280, 720)));
    let both = aggregate(&[&BASELINE_180, &[0x68, 0xce, 0x3c, 0x80]]);
    let read = parse(&both);
    assert!(read.has_sps && !read.has_idr);
    assert_eq!(read.size, Some((320, 180)));
}

#[test]
fn slices_tell_whether_they_are_the_first_and_of_a_key_frame() {
    let idr = parse(&[0x65, 0x88, 0x84]);
    assert!(idr.has_idr && idr.has_first_slice && !idr.is_keyframe());
    let later_slice = parse(&[0x41, 0x40]);
    assert_eq!(later_slice, Payload::default());
    assert!(parse(&[0x41, 0x9a]).starts_frame());
    assert_eq!(parse(&[0x09, 0xf0]), Payload::default(), "a delimiter");
}

#[test]
fn a_fragment_tells_only_in_its_first_packet() {
    let first = parse(&[0x7c, 0x85, 0x88]);
    assert!(first.has_idr && first.has_first_slice);
    assert_eq!(parse(&[0x7c, 0x05, 0x88]), Payload::default());
    assert_eq!(parse(&[0x7c, 0x45, 0x88]), Payload::default());
    assert!(parse(&[0x5c, 0x81, 0x9a]).starts_frame());
}

#[test]
fn what_is_cut_short_or_interleaved_is_refused() {
    assert_eq!(Payload::parse(&[]), Err(H264Error::Truncated));
    assert_eq!(Payload::parse(&[0x7c]), Err(H264Error::Truncated));
    assert_eq!(Payload::parse(&[0x78]), Err(H264Error::Truncated));
    let whole = aggregate(&[&[0x67, 1, 2], &[0x68, 1]]);
    assert_eq!(
        Payload::parse(&whole[..whole.len() - 1]),
        Err(H264Error::Truncated)
    );
    assert_eq!(
        Payload::parse(&aggregate(&[&[]])),
        Err(H264Error::Truncated)
    );
    for kind in [0, 25, 26, 27, 29, 30, 31] {
        assert_eq!(Payload::parse(&[kind, 0]), Err(H264Error::Type(kind)));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        crate::wire::fuzzing::h264(&bytes);
    }

    /// Parameter sets of any bytes give a size or none.
    #[test]
    fn arbitrary_parameter_sets_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::wire::fuzzing::h264(&[&[0x67], &bytes[..]].concat());
    }
}
