//! Redundant audio (RFC 2198): the last payloads again, before the one that is new.

/// One block: how much older than the packet it is, in clock ticks, and its payload.
pub type Block<'a> = (u16, &'a [u8]);

/// The greatest offset of a redundant block, 14 bits.
const MAX_OFFSET: u16 = 0x3fff;

/// The greatest length of a redundant block, 10 bits.
const MAX_LEN: usize = 0x3ff;

/// Appends blocks, the oldest first; the last is the new one. What no header has room for is left out.
pub fn write(pt: u8, blocks: &[Block<'_>], out: &mut Vec<u8>) {
    let Some((primary, older)) = blocks.split_last() else {
        return;
    };
    let fits = |(offset, payload): &&Block<'_>| *offset <= MAX_OFFSET && payload.len() <= MAX_LEN;
    for (offset, payload) in older.iter().filter(fits) {
        let len = u32::try_from(payload.len()).unwrap_or(0);
        let word = u32::from(*offset) << 10 | len;
        let [_, a, b, c] = word.to_be_bytes();
        out.extend([0x80 | pt & 0x7f, a, b, c]);
    }
    out.push(pt & 0x7f);
    for (_, payload) in older.iter().filter(fits) {
        out.extend(*payload);
    }
    out.extend(primary.1);
}

/// Calls `each` with every block, the oldest first; false if the payload is cut short.
pub fn read<'a>(payload: &'a [u8], mut each: impl FnMut(Block<'a>)) -> bool {
    let Some(headers) = headers_len(payload) else {
        return false;
    };
    let (mut head, mut body) = payload.split_at(headers);
    while let Some((word, rest)) = head.split_first_chunk::<4>() {
        let word = u32::from_be_bytes([0, word[1], word[2], word[3]]);
        let len = usize::try_from(word & 0x3ff).unwrap_or(0);
        let offset = u16::try_from(word >> 10).unwrap_or(MAX_OFFSET);
        let Some((block, after)) = body.split_at_checked(len) else {
            return false;
        };
        each((offset, block));
        (head, body) = (rest, after);
    }
    each((0, body));
    true
}

/// Bytes of all headers, the last one's single byte included.
fn headers_len(payload: &[u8]) -> Option<usize> {
    let mut at = 0;
    while payload.get(at)? & 0x80 != 0 {
        at += 4;
    }
    Some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(blocks in prop::collection::vec((0..=MAX_OFFSET, prop::collection::vec(any::<u8>(), 0..300)), 1..4)) {
            let last = blocks.len() - 1;
            let blocks: Vec<Block<'_>> = blocks.iter().enumerate()
                .map(|(n, (offset, payload))| (if n == last { 0 } else { *offset }, payload.as_slice()))
                .collect();
            let mut payload = Vec::new();
            write(111, &blocks, &mut payload);
            let mut found = Vec::new();
            prop_assert!(read(&payload, |block| found.push(block)));
            prop_assert_eq!(found, blocks);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut total = 0;
            read(&bytes, |(_, block)| total += block.len());
            prop_assert!(total <= bytes.len());
        }
    }
}
