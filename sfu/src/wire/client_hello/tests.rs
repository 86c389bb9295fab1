use super::*;
use proptest::prelude::*;

/// The body of a ClientHello with a key share of so many bytes and these extensions.
fn hello(key_share: usize, extensions: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend_from_slice(&[0x55; 32]);
    body.extend_from_slice(&[0, 2, 9, 9, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    let mut all = vec![0x00, 0x33];
    all.extend_from_slice(&u16::try_from(key_share).unwrap().to_be_bytes());
    all.resize(4 + key_share, 0xaa);
    for extension in extensions {
        all.extend_from_slice(extension);
    }
    body.extend_from_slice(&u16::try_from(all.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&all);
    body
}

const OFFER: &[u8] = &[0, 14, 0, 9, 0, 6, 0, 7, 0, 8, 0, 1, 0];

fn fragment(message_seq: u8, body: &[u8], part: std::ops::Range<usize>) -> Vec<u8> {
    let u24 = |len: usize| {
        let [.., a, b, c] = len.to_be_bytes();
        [a, b, c]
    };
    [
        &[CLIENT_HELLO][..],
        &u24(body.len()),
        &[0, message_seq],
        &u24(part.start),
        &u24(part.len()),
        &body[part],
    ]
    .concat()
}

fn record(content_type: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let header = [content_type, 0xfe, 0xff, 0, epoch, 0, 0, 0, 0, 0, 1];
    [&header[..], &len, body].concat()
}

fn datagram(message_seq: u8, body: &[u8], part: std::ops::Range<usize>) -> Vec<u8> {
    record(HANDSHAKE, 0, &fragment(message_seq, body, part))
}

fn ids(offer: &SrtpOffer) -> Vec<u16> {
    offer.profiles().to_vec()
}

#[test]
fn the_profiles_of_a_hello_in_one_datagram_keep_their_order() {
    let body = hello(40, &[&[0, 23, 0, 0], OFFER]);
    let offer = ClientHelloReader::new()
        .handle_datagram(&datagram(0, &body, 0..body.len()))
        .unwrap()
        .unwrap();
    assert_eq!(ids(&offer), [7, 8, 1]);
}

#[test]
fn a_client_without_srtp_offers_nothing() {
    let body = hello(40, &[]);
    let read = ClientHelloReader::new().handle_datagram(&datagram(0, &body, 0..body.len()));
    assert!(ids(&read.unwrap().unwrap()).is_empty());
    let no_extensions = &body[..46];
    let read = ClientHelloReader::new().handle_datagram(&datagram(0, no_extensions, 0..46));
    assert!(ids(&read.unwrap().unwrap()).is_empty());
}

#[test]
fn parts_come_together_in_any_order_with_overlap_and_repetition() {
    let body = hello(1_300, &[OFFER]);
    let len = body.len();
    let parts = [900..len, 0..500, 450..700, 0..500, 700..900];
    let mut reader = ClientHelloReader::new();
    for part in &parts[..4] {
        let read = reader.handle_datagram(&datagram(0, &body, part.clone()));
        assert_eq!(read, Ok(None));
    }
    let read = reader.handle_datagram(&datagram(0, &body, parts[4].clone()));
    assert_eq!(ids(&read.unwrap().unwrap()), [7, 8, 1]);
}

#[test]
fn several_records_and_fragments_in_one_datagram_are_all_read() {
    let body = hello(600, &[OFFER]);
    let len = body.len();
    let two = [fragment(0, &body, 0..100), fragment(0, &body, 100..200)].concat();
    let bytes = [
        record(21, 0, &[2, 40]),
        record(HANDSHAKE, 1, &[0xff; 30]),
        record(HANDSHAKE, 0, &two),
        datagram(0, &body, 200..len),
    ]
    .concat();
    let read = ClientHelloReader::new().handle_datagram(&bytes);
    assert_eq!(ids(&read.unwrap().unwrap()), [7, 8, 1]);
}

#[test]
fn a_client_that_begins_anew_is_read_from_its_beginning() {
    let old = hello(600, &[]);
    let new = hello(700, &[OFFER]);
    let mut reader = ClientHelloReader::new();
    assert_eq!(reader.handle_datagram(&datagram(0, &old, 0..300)), Ok(None));
    assert_eq!(
        reader.handle_datagram(&datagram(1, &new, 300..new.len())),
        Ok(None)
    );
    let read = reader.handle_datagram(&datagram(1, &new, 0..300));
    assert_eq!(ids(&read.unwrap().unwrap()), [7, 8, 1]);
}

#[test]
fn a_hello_in_too_many_parts_or_too_long_is_refused() {
    let body = hello(1_000, &[OFFER]);
    let mut reader = ClientHelloReader::new();
    for at in 0..MAX_DATAGRAMS {
        let read = reader.handle_datagram(&datagram(0, &body, at * 10..at * 10 + 10));
        let is_last = at + 1 == MAX_DATAGRAMS;
        let expected = if is_last {
            Err(ClientHelloError::TooManyParts)
        } else {
            Ok(None)
        };
        assert_eq!(read, expected, "datagram {at}");
    }

    let holes: Vec<u8> = (0..=MAX_PARTS)
        .flat_map(|at| fragment(0, &body, at * 10..at * 10 + 5))
        .collect();
    let read = ClientHelloReader::new().handle_datagram(&record(HANDSHAKE, 0, &holes));
    assert_eq!(read, Err(ClientHelloError::TooManyParts));

    let long = vec![0; MAX_HELLO_BYTES + 1];
    let read = ClientHelloReader::new().handle_datagram(&datagram(0, &long, 0..10));
    assert_eq!(read, Err(ClientHelloError::TooLong));
}

#[test]
fn repeated_datagrams_do_not_use_up_the_bound() {
    let body = hello(1_000, &[OFFER]);
    let mut reader = ClientHelloReader::new();
    let first = datagram(0, &body, 0..500);
    for _ in 0..3 * MAX_DATAGRAMS {
        assert_eq!(reader.handle_datagram(&first), Ok(None));
    }
    let read = reader.handle_datagram(&datagram(0, &body, 500..body.len()));
    assert_eq!(ids(&read.unwrap().unwrap()), [7, 8, 1]);
}

#[test]
fn garbage_in_between_spoils_nothing() {
    let body = hello(1_000, &[OFFER]);
    let mut reader = ClientHelloReader::new();
    assert_eq!(
        reader.handle_datagram(&datagram(0, &body, 0..500)),
        Ok(None)
    );
    let mut over = datagram(0, &body, 0..500);
    over[20] = 0xff;
    let cut = datagram(0, &body, 500..900);
    for garbage in [&[22, 0xfe][..], &cut[..cut.len() - 1], &over] {
        let read = reader.handle_datagram(garbage);
        assert_eq!(read, Err(ClientHelloError::Malformed));
    }
    let read = reader.handle_datagram(&datagram(0, &body, 500..body.len()));
    assert_eq!(ids(&read.unwrap().unwrap()), [7, 8, 1]);
}

#[test]
fn lengths_that_do_not_fit_make_the_hello_malformed() {
    let body = hello(40, &[OFFER]);
    for wrong in [
        [&body[..], &[0]].concat(),
        body[..body.len() - 1].to_vec(),
        hello(40, &[&[0, 14, 0, 5, 0, 3, 0, 7, 0]]),
        hello(40, &[&[0, 14, 0, 6, 0, 2, 0, 7, 0, 0]]),
        hello(40, &[&[0, 14, 0]]),
    ] {
        let read = ClientHelloReader::new().handle_datagram(&datagram(0, &wrong, 0..wrong.len()));
        assert_eq!(read, Err(ClientHelloError::Malformed));
    }
}

#[test]
fn of_a_long_list_the_first_profiles_stay() {
    let mut extension = vec![0, 14, 0, 43, 0, 40];
    (0..20_u8).for_each(|id| extension.extend_from_slice(&[0, id]));
    extension.push(0);
    let body = hello(40, &[&extension]);
    let read = ClientHelloReader::new().handle_datagram(&datagram(0, &body, 0..body.len()));
    let expected: Vec<u16> = (0..16).collect();
    assert_eq!(ids(&read.unwrap().unwrap()), expected);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::wire::fuzzing::client_hello(&bytes);
    }

    #[test]
    fn any_cut_and_order_gives_the_same_offer(
        key_share in 0..3_000_usize,
        mut cuts in proptest::collection::vec(0..3_000_usize, 0..5),
        order in any::<[u8; 6]>(),
    ) {
        let body = hello(key_share, &[OFFER]);
        cuts.extend([0, body.len()]);
        cuts.retain(|&cut| cut <= body.len());
        cuts.sort_unstable();
        cuts.dedup();
        let mut parts: Vec<_> = cuts
            .windows(2)
            .zip(order)
            .map(|(pair, rank)| (rank, pair[0]..pair[1]))
            .collect();
        parts.sort_by_key(|(rank, _)| *rank);
        let mut reader = ClientHelloReader::new();
        let (last, before) = parts.split_last().unwrap();
        for (_, part) in before {
            prop_assert_eq!(reader.handle_datagram(&datagram(3, &body, part.clone())), Ok(None));
        }
        let read = reader.handle_datagram(&datagram(3, &body, last.1.clone())).unwrap();
        prop_assert_eq!(ids(&read.unwrap()), [7, 8, 1]);
    }
}
