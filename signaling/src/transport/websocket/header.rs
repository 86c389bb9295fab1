//! Frame headers (RFC 6455, section 5.2).

use crate::transport::frame::ROOM;
use bytes::Bytes;

/// What a frame is (RFC 6455, section 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpCode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl OpCode {
    const fn number(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A client's frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: OpCode,
    pub(super) mask: [u8; 4],
    /// Of the payload, in bytes.
    pub(super) len: u64,
    /// Of the header itself, in bytes.
    pub(super) size: usize,
}

/// Parses a client's frame header; `None` when more bytes are needed.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err("a reserved bit is set, and no extension was agreed on");
    }
    let opcode = OpCode::from_number(first & 0x0F).ok_or("a reserved opcode")?;
    let fin = first & 0x80 != 0;
    if second & 0x80 == 0 {
        return Err("a client's frame has to be masked");
    }
    let short = second & 0x7F;
    if opcode.is_control() && (!fin || short > 125) {
        return Err("a control frame is whole and has 125 bytes at most");
    }
    let (len, extra) = match short {
        126 => match rest.first_chunk::<2>() {
            Some(len) => (u64::from(u16::from_be_bytes(*len)), 2),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(len) => (u64::from_be_bytes(*len), 8),
            None => return Ok(None),
        },
        short => (u64::from(short), 0),
    };
    if len >> 63 != 0 {
        return Err("the most significant bit of a length is 0");
    }
    let Some(mask) = rest[extra..].first_chunk::<4>() else {
        return Ok(None);
    };
    Ok(Some(Header {
        fin,
        opcode,
        mask: *mask,
        len,
        size: 2 + extra + 4,
    }))
}

/// A server's whole frame: final and unmasked.
pub(super) fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let mut room = [0; ROOM];
    let at = put(&mut room, opcode, payload.len());
    let header = &room[at..];
    let mut wire = Vec::with_capacity(header.len() + payload.len());
    wire.extend_from_slice(header);
    wire.extend_from_slice(payload);
    Bytes::from(wire)
}

/// Writes the header of a server's whole frame to the end of `room`, which has [`ROOM`] bytes; gives where it
/// begins.
pub(super) fn put(room: &mut [u8], opcode: OpCode, len: usize) -> usize {
    let mut header = [0; ROOM];
    header[0] = 0x80 | opcode.number();
    let size = match len {
        0..=125 => {
            header[1] = u8::try_from(len).expect("at most 125");
            2
        }
        126..=0xFFFF => {
            header[1] = 126;
            let len = u16::try_from(len).expect("at most 65535");
            header[2..4].copy_from_slice(&len.to_be_bytes());
            4
        }
        len => {
            header[1] = 127;
            header[2..].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    let at = room.len() - size;
    room[at..].copy_from_slice(&header[..size]);
    at
}

/// Takes the mask off (RFC 6455, section 5.3), beginning at the mask's first byte.
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    // Eight bytes at a time: the compiler makes vector instructions of it.
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let value = u64::from_ne_bytes((&*chunk).try_into().expect("eight bytes")) ^ wide;
        chunk.copy_from_slice(&value.to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 5.7: a single-frame masked text message, "Hello".
    const HELLO: [u8; 11] = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];

    #[test]
    fn the_examples_of_the_rfc_are_read_and_written() {
        let header = parse(&HELLO).expect("valid").expect("whole");
        assert_eq!(
            (header.fin, header.opcode, header.len, header.size),
            (true, OpCode::Text, 5, 6)
        );
        let mut payload = HELLO[6..].to_vec();
        unmask(&mut payload, header.mask);
        assert_eq!(payload, b"Hello");
        assert_eq!(&frame(OpCode::Text, b"Hello")[..], b"\x81\x05Hello");
        assert_eq!(
            &frame(OpCode::Binary, &[0; 256])[..4],
            &[0x82, 0x7E, 0x01, 0x00]
        );
        assert_eq!(
            &frame(OpCode::Binary, &[0; 65_536])[..10],
            &[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]
        );
    }

    #[test]
    fn every_prefix_of_a_header_asks_for_more() {
        for end in 0..6 {
            assert_eq!(parse(&HELLO[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn broken_rules_are_told_by_name() {
        for (bytes, rule) in [
            (
                [0xC1, 0x80],
                "a reserved bit is set, and no extension was agreed on",
            ),
            ([0x83, 0x80], "a reserved opcode"),
            ([0x81, 0x05], "a client's frame has to be masked"),
            (
                [0x09, 0x80],
                "a control frame is whole and has 125 bytes at most",
            ),
            (
                [0x89, 0xFE],
                "a control frame is whole and has 125 bytes at most",
            ),
        ] {
            assert_eq!(parse(&bytes), Err(rule));
        }
        let huge = [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(
            parse(&huge),
            Err("the most significant bit of a length is 0")
        );
    }

    proptest::proptest! {
        #[test]
        fn unmasking_twice_gives_the_bytes_back(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..100),
            mask in proptest::array::uniform4(proptest::num::u8::ANY),
        ) {
            let mut twice = bytes.clone();
            unmask(&mut twice, mask);
            for (at, (masked, plain)) in twice.iter().zip(&bytes).enumerate() {
                proptest::prop_assert_eq!(*masked, plain ^ mask[at % 4]);
            }
            unmask(&mut twice, mask);
            proptest::prop_assert_eq!(twice, bytes);
        }

        #[test]
        fn any_bytes_parse_without_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..20)) {
            let _ = parse(&bytes);
        }
    }
}
