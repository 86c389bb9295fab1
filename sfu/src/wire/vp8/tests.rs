use super::*;
use proptest::prelude::*;

/// The first 10 bytes of a key frame of 640 × 360, scales set.
const KEY_FRAME: [u8; 10] = [0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x81];

fn parse(descriptor: &[u8], frame: &[u8]) -> Descriptor {
    Descriptor::parse(&[descriptor, frame].concat()).unwrap()
}

#[test]
fn the_shortest_descriptor_has_one_byte() {
    let read = parse(&[0x10], &[1, 2, 3]);
    assert_eq!(read.len, 1);
    assert!(read.starts_frame() && !read.is_keyframe() && !read.is_discardable);
    assert_eq!(
        (read.picture_id, read.tl0, read.temporal, read.key_index),
        (None, None, None, None)
    );
}

#[test]
fn every_field_is_read() {
    let read = parse(&[0xb3, 0xf0, 0x81, 0x02, 0x77, 0xbf], &[0]);
    assert_eq!(read.len, 6);
    assert!(read.is_discardable && read.starts_partition && !read.starts_frame());
    assert_eq!(read.partition, 3);
    assert_eq!(read.picture_id, Some(PictureId::Long(0x0102)));
    assert_eq!(read.tl0, Some(0x77));
    let temporal = Temporal {
        layer: 2,
        is_sync: true,
    };
    assert_eq!(read.temporal, Some(temporal));
    assert_eq!(read.key_index, Some(31));
}

#[test]
fn a_picture_id_of_seven_bits_takes_one_byte() {
    let read = parse(&[0x90, 0xa0, 0x7f, 0x40], &[1]);
    assert_eq!(
        (read.len, read.picture_id),
        (4, Some(PictureId::Short(0x7f)))
    );
    assert_eq!(
        read.temporal,
        Some(Temporal {
            layer: 1,
            is_sync: false
        })
    );
    assert_eq!((read.tl0, read.key_index), (None, None));
}

#[test]
fn a_key_frame_is_told_by_its_first_packet_alone_and_says_its_size() {
    let first = parse(&[0x10], &KEY_FRAME);
    assert_eq!(
        first.key_frame,
        Some(KeyFrame {
            size: Some((640, 360))
        })
    );
    assert!(!parse(&[0x00], &KEY_FRAME).is_keyframe(), "S is not set");
    assert!(!parse(&[0x11], &KEY_FRAME).is_keyframe(), "partition 1");
    let mut inter = KEY_FRAME;
    inter[0] |= 1;
    assert!(!parse(&[0x10], &inter).is_keyframe());
    let mut no_start_code = KEY_FRAME;
    no_start_code[3] = 0;
    assert_eq!(
        parse(&[0x10], &no_start_code).key_frame,
        Some(KeyFrame { size: None })
    );
    assert_eq!(
        parse(&[0x10], &KEY_FRAME[..9]).key_frame,
        Some(KeyFrame { size: None })
    );
}

#[test]
fn a_payload_that_ends_within_its_descriptor_is_truncated() {
    let whole = [0x90, 0xf0, 0x81, 0x02, 0x77, 0xbf];
    for len in 0..whole.len() {
        assert_eq!(Descriptor::parse(&whole[..len]), Err(Vp8Error::Truncated));
    }
    assert!(Descriptor::parse(&whole).is_ok_and(|read| !read.is_keyframe()));
}

#[test]
fn a_rewrite_keeps_the_width_and_touches_nothing_else() {
    let mut long = [0x90, 0xe0, 0x81, 0x02, 0x77, 0x40, 9];
    let read = Descriptor::parse(&long).unwrap();
    rewrite(&mut long, &read, 0xffff, 5);
    assert_eq!(long, [0x90, 0xe0, 0xff, 0xff, 5, 0x40, 9]);
    rewrite(&mut long, &read, 0x8001, 6);
    assert_eq!(long, [0x90, 0xe0, 0x80, 0x01, 6, 0x40, 9]);

    let mut short = [0x90, 0x80, 0x02, 9];
    let read = Descriptor::parse(&short).unwrap();
    rewrite(&mut short, &read, 0x1283, 5);
    assert_eq!(short, [0x90, 0x80, 0x03, 9]);

    let mut none = [0x10, 9];
    let read = Descriptor::parse(&none).unwrap();
    rewrite(&mut none, &read, 1, 2);
    assert_eq!(none, [0x10, 9]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        crate::wire::fuzzing::vp8(&bytes);
    }

    #[test]
    fn what_was_rewritten_is_read_again(
        mut payload in proptest::collection::vec(any::<u8>(), 6..20),
        picture_id: u16,
        tl0: u8,
    ) {
        let before = Descriptor::parse(&payload).unwrap();
        rewrite(&mut payload, &before, picture_id, tl0);
        let after = Descriptor::parse(&payload).unwrap();
        let expected = before.picture_id.map(|id| match id {
            PictureId::Short(_) => picture_id % 128,
            PictureId::Long(_) => picture_id % 32_768,
        });
        prop_assert_eq!(after.picture_id.map(PictureId::value), expected);
        prop_assert_eq!(after.tl0, before.tl0.map(|_| tl0));
        prop_assert_eq!(after.len, before.len);
        prop_assert_eq!(after.key_frame, before.key_frame);
    }
}
