use super::*;
use proptest::prelude::*;

fn block(payload_type: u8, offset: u16, bytes: &[u8]) -> Block<'_> {
    Block {
        payload_type: PayloadType(payload_type),
        offset,
        bytes,
    }
}

#[test]
fn blocks_come_the_newest_last() {
    let payload = [
        0xef, 0x1e, 0x00, 0x02, 0xef, 0x0f, 0x00, 0x01, 0x6f, 1, 2, 3, 4, 5,
    ];
    let blocks: Vec<_> = Blocks::parse(&payload).unwrap().collect();
    let expected = [
        block(111, 1_920, &[1, 2]),
        block(111, 960, &[3]),
        block(111, 0, &[4, 5]),
    ];
    assert_eq!(blocks, expected);
    let primary = Blocks::parse(&payload).unwrap().primary();
    assert_eq!(primary, Some(expected[2]));
    let mut out = [0; 14];
    assert_eq!(write(&mut out, &expected[2], &expected[..2]), Ok(14));
    assert_eq!(out, payload);
}

#[test]
fn a_primary_may_be_alone_and_empty() {
    let blocks: Vec<_> = Blocks::parse(&[0x6f]).unwrap().collect();
    assert_eq!(blocks, [block(111, 0, &[])]);
    let mut out = [0xff; 3];
    assert_eq!(write(&mut out, &block(111, 7, &[9]), &[]), Ok(2));
    assert_eq!(out, [0x6f, 9, 0xff]);
}

#[test]
fn headers_and_blocks_that_are_cut_off_are_an_error() {
    let payload = [0xef, 0x0f, 0x00, 0x02, 0x6f, 1, 2];
    for len in 0..payload.len() {
        let error = Blocks::parse(&payload[..len]).unwrap_err();
        assert_eq!(error, RedError::Truncated, "{len} bytes");
    }
    assert!(Blocks::parse(&payload).is_ok());
}

#[test]
fn more_blocks_than_anybody_sends_are_refused() {
    let payload = |redundant: usize| {
        let mut payload = [0x80, 0, 0, 0].repeat(redundant);
        payload.push(0);
        payload
    };
    assert!(Blocks::parse(&payload(MAX_BLOCKS - 1)).is_ok());
    let error = Blocks::parse(&payload(MAX_BLOCKS)).unwrap_err();
    assert_eq!(error, RedError::TooManyBlocks);
}

#[test]
fn what_its_fields_cannot_say_is_not_written() {
    let long = [0; MAX_BLOCK_BYTES];
    let primary = block(111, 0, &long);
    let fits = block(111, MAX_OFFSET - 1, &long[1..]);
    let mut out = [0; 4_096];
    assert!(write(&mut out, &primary, &[fits, fits]).is_ok());
    let table: [(&[Block<'_>], _); 3] = [
        (&[block(111, MAX_OFFSET, &[])], RedError::Offset(MAX_OFFSET)),
        (
            &[block(111, 1, &long)],
            RedError::BlockLength(MAX_BLOCK_BYTES),
        ),
        (&[fits, fits, fits], RedError::TooManyBlocks),
    ];
    for (redundant, error) in table {
        assert_eq!(write(&mut out, &primary, redundant), Err(error));
    }
    let mut short = [7; 5];
    assert_eq!(write(&mut short, &primary, &[]), Err(RedError::NoRoom));
    assert_eq!(short, [7; 5]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        crate::wire::fuzzing::red(&bytes);
    }

    #[test]
    fn what_is_written_is_read_again(
        primary in proptest::collection::vec(any::<u8>(), 0..1_200),
        redundant in proptest::collection::vec(
            (0..128_u8, 0..MAX_OFFSET, proptest::collection::vec(any::<u8>(), 0..MAX_BLOCK_BYTES)),
            0..=MAX_REDUNDANT,
        ),
    ) {
        let redundant: Vec<_> = redundant
            .iter()
            .map(|(payload_type, offset, bytes)| block(*payload_type, *offset, bytes))
            .collect();
        let primary = block(96, 0, &primary);
        let mut out = [0; 4_096];
        let len = write(&mut out, &primary, &redundant).unwrap();
        let read: Vec<_> = Blocks::parse(&out[..len]).unwrap().collect();
        prop_assert_eq!(read.split_last(), Some((&primary, &redundant[..])));
    }
}
