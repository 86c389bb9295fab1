use super::*;
use crate::wire::bits::BitWriter;
use proptest::prelude::*;

/// Bits of a test's descriptor, as the specification writes them; blanks divide fields.
fn bytes(bits: &str) -> Vec<u8> {
    let bits: Vec<u32> = bits.chars().filter_map(|bit| bit.to_digit(2)).collect();
    let mut out = vec![0; bits.len().div_ceil(8)];
    let mut writer = BitWriter::new(&mut out);
    for bit in bits {
        writer.put(1, bit).unwrap();
    }
    out
}

/// L1T2 with one chain: templates of the key frame, T0 and T1.
const L1T2: &str = "1 1 000110 0000000100000000 \
     1 0 0 0 0 \
     000110 00001 \
     00 01 11 \
     10 10 10 10 00 01 \
     0 1 0001 0 1 0000 0 \
     10 0000 0010 0001 \
     1 0000001001111111 0000000101100111";

fn l1t2() -> Structure {
    let (_, structure) = Descriptor::parse(&bytes(L1T2), None).unwrap();
    structure.unwrap()
}

#[test]
fn a_key_frame_brings_the_structure() {
    let (read, structure) = Descriptor::parse(&bytes(L1T2), None).unwrap();
    let structure = structure.unwrap();
    assert!(read.starts_frame && read.ends_frame);
    assert_eq!((read.frame, read.spatial, read.temporal), (256, 0, 0));
    assert_eq!(read.size, Some((640, 360)));
    assert_eq!(read.active, Some(0b11));
    assert!(read.references.is_empty());
    assert_eq!(read.indications.of(0), Indication::Switch);
    assert_eq!(read.indications.of(2), Indication::NotPresent);
    assert_eq!((structure.decode_targets(), structure.chains()), (2, 1));
    assert_eq!((structure.layers(0), structure.layers(1)), ((0, 0), (0, 1)));
    assert_eq!(structure.protected_by(1), Some(0));
    assert_eq!(structure.templates().len(), 3);
}

#[test]
fn later_frames_name_a_template() {
    let (read, structure) = Descriptor::parse(&[0x80 | 8, 1, 1], Some(&l1t2())).unwrap();
    assert_eq!(structure, None);
    assert!(read.starts_frame && !read.ends_frame);
    assert_eq!((read.frame, read.temporal), (257, 1));
    assert_eq!(read.references[..], [1]);
    assert_eq!(read.chains[..], [1]);
    assert_eq!(read.indications.of(0), Indication::NotPresent);
    assert_eq!(read.indications.of(1), Indication::Discardable);
    assert_eq!(read.active, None);
    let unknown = Descriptor::parse(&[0x80 | 9, 1, 1], Some(&l1t2()));
    assert_eq!(unknown, Err(DescriptorError::UnknownTemplate));
    let none = Descriptor::parse(&[0x80 | 8, 1, 1], None);
    assert_eq!(none, Err(DescriptorError::UnknownTemplate));
}

#[test]
fn a_frame_can_say_everything_itself() {
    // Of the decode targets the last bit is the first one's: they are read as a number.
    let own = "1 1 001000 0000000000000111 \
         0 1 1 1 1 \
         01 \
         11 01 \
         01 0100 11 000000010000 00 \
         00001001";
    let (read, _) = Descriptor::parse(&bytes(own), Some(&l1t2())).unwrap();
    assert_eq!(read.active, Some(0b01));
    assert_eq!(read.indications.of(0), Indication::Required);
    assert_eq!(read.indications.of(1), Indication::Discardable);
    assert_eq!(read.references[..], [5, 17]);
    assert_eq!(read.chains[..], [9]);
}

#[test]
fn what_is_cut_short_is_refused() {
    let whole = bytes(L1T2);
    for len in 0..whole.len() {
        let read = Descriptor::parse(&whole[..len], None);
        assert!(read.is_err(), "{len} bytes: {read:?}");
    }
}

#[test]
fn a_rewrite_changes_the_number_and_the_decode_targets_alone() {
    let structure = l1t2();
    let lower = Active {
        mask: 0b01,
        targets: 2,
    };
    let mut out = [0xff; 64];
    for original in [bytes(L1T2), vec![0x48, 1, 1]] {
        let (before, brought) = Descriptor::parse(&original, Some(&structure)).unwrap();
        let len = rewrite(&original, 9, None, &mut out).unwrap();
        let (after, _) = Descriptor::parse(&out[..len], Some(&structure)).unwrap();
        assert_eq!(
            after,
            Descriptor {
                frame: 9,
                ..before.clone()
            }
        );
        let len = rewrite(&original, 10, Some(lower), &mut out).unwrap();
        assert!(len <= original.len() + MAX_GROWTH);
        let (after, also_brought) = Descriptor::parse(&out[..len], Some(&structure)).unwrap();
        let expected = Descriptor {
            frame: 10,
            active: Some(0b01),
            ..before
        };
        assert_eq!((after, also_brought), (expected, brought));
    }
    // As the specification writes it (A.8.3): the least significant bit is the first decode target's.
    let len = rewrite(&[0x48, 1, 1], 2, Some(lower), &mut out).unwrap();
    assert_eq!(
        out[..len],
        bytes("0 1 001000 0000000000000010 0 1 0 0 0 01")
    );
    assert_eq!(rewrite(&[0, 1], 1, None, &mut out), None);
    assert_eq!(rewrite(&[0, 1, 2], 1, None, &mut out[..2]), None);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        crate::wire::fuzzing::dependency_descriptor(&bytes);
    }

    /// Whatever a frame says of itself is there after a rewrite.
    #[test]
    fn a_rewritten_frame_is_the_same(tail in prop::collection::vec(any::<u8>(), 0..12), frame: u16, mask: u32) {
        let structure = l1t2();
        let original = [&[0xc0 | 7, 0, 1], &tail[..]].concat();
        let Ok((before, None)) = Descriptor::parse(&original, Some(&structure)) else {
            return Ok(());
        };
        let mut out = [0; 32];
        let active = Active { mask, targets: 2 };
        let len = rewrite(&original, frame, Some(active), &mut out).unwrap();
        let (after, _) = Descriptor::parse(&out[..len], Some(&structure)).unwrap();
        prop_assert_eq!(after, Descriptor { frame, active: Some(mask & 3), ..before });
    }
}
