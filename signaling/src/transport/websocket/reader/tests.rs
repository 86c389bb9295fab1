use super::*;

const LIMIT: usize = 1000;

fn reader() -> Reader {
    Reader::new(WebSocketConfig {
        format: None,
        frame_bytes: LIMIT,
    })
}

/// A client's frame: masked with a fixed mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut wire = vec![first];
    match payload.len() {
        len @ 0..=125 => wire.push(0x80 | u8::try_from(len).expect("short")),
        len => {
            wire.push(0x80 | 126);
            wire.extend_from_slice(&u16::try_from(len).expect("medium").to_be_bytes());
        }
    }
    wire.extend_from_slice(&mask);
    let mut masked = payload.to_vec();
    header::unmask(&mut masked, mask);
    wire.extend(masked);
    wire
}

fn message(text: &str) -> Item {
    Item::Message(Format::Text, Bytes::copy_from_slice(text.as_bytes()))
}

fn read_all(reader: &mut Reader) -> Result<Vec<Item>, Violation> {
    let mut items = Vec::new();
    while let Some(item) = reader.next()? {
        items.push(item);
    }
    Ok(items)
}

#[test]
fn fragments_are_joined_and_control_frames_may_come_between() {
    let mut reader = reader();
    for part in [
        frame(0x01, b"he"),
        frame(0x89, b"now"),
        frame(0x00, b"ll"),
        frame(0x80, b"o"),
    ] {
        reader.feed(&part);
    }
    assert_eq!(
        read_all(&mut reader),
        Ok(vec![
            Item::Ping(Bytes::from_static(b"now")),
            message("hello")
        ])
    );
    assert!(!reader.is_mid_message());
}

#[test]
fn the_same_items_come_out_however_the_bytes_are_cut() {
    let mut wire = Vec::new();
    wire.extend(frame(0x01, "会".as_bytes()));
    wire.extend(frame(0x80, "話".as_bytes()));
    wire.extend(frame(0x82, &[0xFF; 300]));
    wire.extend(frame(0x88, b"\x03\xe8bye"));
    let mut whole = reader();
    whole.feed(&wire);
    let expected = read_all(&mut whole).expect("valid");
    assert_eq!(expected.len(), 3);
    for size in 1..wire.len() {
        let mut reader = reader();
        let mut items = Vec::new();
        for chunk in wire.chunks(size) {
            reader.feed(chunk);
            items.extend(read_all(&mut reader).expect("valid"));
        }
        assert_eq!(items, expected, "in chunks of {size}");
    }
}

#[test]
fn a_character_may_be_split_over_fragments_but_not_left_unfinished() {
    let bytes = "話".as_bytes();
    let mut split = reader();
    split.feed(&frame(0x01, &bytes[..1]));
    split.feed(&frame(0x80, &bytes[1..]));
    assert_eq!(split.next(), Ok(Some(message("話"))));
    let mut unfinished = reader();
    unfinished.feed(&frame(0x81, &bytes[..2]));
    assert!(matches!(unfinished.next(), Err(Violation::Utf8(_))));
}

#[test]
fn a_message_at_the_bound_passes_and_one_byte_more_is_refused_before_it_is_read() {
    let mut at_bound = reader();
    at_bound.feed(&frame(0x82, &[0; LIMIT]));
    assert!(matches!(at_bound.next(), Ok(Some(Item::Message(..)))));
    let mut over = reader();
    over.feed(&frame(0x82, &[0; LIMIT + 1])[..8]);
    assert_eq!(over.next(), Err(Violation::TooLarge { limit: LIMIT }));
    let mut in_parts = reader();
    in_parts.feed(&frame(0x02, &[0; LIMIT]));
    in_parts.feed(&frame(0x80, &[0; 1]));
    assert_eq!(in_parts.next(), Err(Violation::TooLarge { limit: LIMIT }));
}

#[test]
fn the_format_is_held_to_when_one_is_agreed_on() {
    let mut reader = Reader::new(WebSocketConfig {
        format: Some(Format::Text),
        frame_bytes: LIMIT,
    });
    reader.feed(&frame(0x82, b"{}"));
    assert_eq!(reader.next(), Err(Violation::WrongFormat));
}

#[test]
fn broken_rules_are_refused() {
    for (wire, code) in [
        (frame(0x80, b"x"), 1002),
        ([frame(0x01, b"a"), frame(0x01, b"b")].concat(), 1002),
        (frame(0x81, b"\xff"), 1007),
        (frame(0x88, b"\x03"), 1002),
        (frame(0x88, b"\x03\xed"), 1002),
        (frame(0x88, b"\x03\xe8\xff"), 1007),
    ] {
        let mut reader = reader();
        reader.feed(&wire);
        let violation = read_all(&mut reader).expect_err("a violation");
        assert_eq!(violation.close_code(), code, "{violation:?}");
    }
}

#[test]
fn bad_utf8_is_refused_before_the_frame_is_whole() {
    let mut reader = reader();
    let wire = frame(0x81, b"abc\xff and so on, and so on");
    reader.feed(&wire[..12]);
    assert!(matches!(reader.next(), Err(Violation::Utf8(_))));
}

#[test]
fn an_idle_reader_holds_no_buffer() {
    let mut reader = reader();
    reader.feed(&frame(0x82, &[7; 900]));
    assert!(matches!(reader.next(), Ok(Some(Item::Message(..)))));
    assert_eq!(reader.rest.capacity(), 0);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_panic_and_within_the_bound(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)
    ) {
        let mut reader = reader();
        reader.feed(&bytes);
        for _ in 0..400 {
            match reader.next() {
                Ok(Some(Item::Message(_, message))) => proptest::prop_assert!(message.len() <= LIMIT),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }
}
