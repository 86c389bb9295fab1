use super::*;
use proptest::prelude::*;

#[test]
fn the_shortest_descriptor_has_one_byte() {
    let read = Descriptor::parse(&[0x0c, 1, 2]).unwrap();
    assert_eq!(read.len, 1);
    assert!(read.starts_frame && read.ends_frame && read.is_keyframe());
    assert_eq!(
        (read.picture_id, read.layers, read.size),
        (None, None, None)
    );
}

#[test]
fn every_field_of_a_mode_that_is_not_flexible_is_read() {
    // I P L, B; picture id 0x1234; TID 2, U, SID 1, D; TL0PICIDX.
    let read = Descriptor::parse(&[0xe8, 0x92, 0x34, 0x53, 0x77, 9]).unwrap();
    assert_eq!(read.len, 5);
    assert_eq!(read.picture_id, Some(PictureId::Long(0x1234)));
    let layers = LayerIndices {
        temporal: 2,
        is_switching_point: true,
        spatial: 1,
        is_inter_layer: true,
        tl0: Some(0x77),
    };
    assert_eq!(read.layers, Some(layers));
    assert!(read.is_inter_picture && read.starts_frame && !read.ends_frame);
    assert!(!read.is_flexible && !read.is_not_reference && !read.is_keyframe());
}

#[test]
fn a_flexible_picture_names_what_it_refers_to() {
    // I P L F E Z; a picture id of 7 bits; TID 0, SID 2; two references.
    let read = Descriptor::parse(&[0xf5, 0x05, 0x04, 0x03, 0x08, 9]).unwrap();
    assert_eq!(read.len, 5);
    assert_eq!(read.picture_id, Some(PictureId::Short(5)));
    assert_eq!(read.references[..], [1, 4]);
    assert_eq!((read.spatial(), read.tl0()), (2, None));
    assert!(read.is_flexible && read.ends_frame && read.is_not_reference);
    let four = Descriptor::parse(&[0x50, 3, 3, 3, 2]);
    assert_eq!(four, Err(Vp9Error::References));
}

#[test]
fn a_scalability_structure_says_the_largest_size() {
    // L B V; TID 0, SID 0, TL0PICIDX; two layers with sizes, and pictures of which one has a reference.
    let mut payload = vec![0x2a, 0x00, 0x01, 0x38];
    for side in [320_u16, 180, 640, 360] {
        payload.extend(side.to_be_bytes());
    }
    payload.extend([2, 0x10, 0x54, 1]);
    let len = payload.len();
    payload.push(0xaa);
    let read = Descriptor::parse(&payload).unwrap();
    assert_eq!((read.len, read.size), (len, Some((640, 360))));
    assert!(read.is_keyframe());
    for len in 0..len {
        let cut = Descriptor::parse(&payload[..len]);
        assert_eq!(cut, Err(Vp9Error::Truncated), "{len} bytes");
    }
}

#[test]
fn a_higher_spatial_layer_of_a_key_picture_is_no_entry() {
    let upper = Descriptor::parse(&[0x28, 0x03, 0x01, 9]).unwrap();
    assert!(!upper.is_inter_picture && !upper.is_keyframe());
    let second_packet = Descriptor::parse(&[0x20, 0x00, 0x01, 9]).unwrap();
    assert!(!second_packet.is_keyframe());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        crate::wire::fuzzing::vp9(&bytes);
    }
}
