use super::*;
use proptest::prelude::*;
use rtc_stun::attributes::{
    ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, RawAttribute,
};
use rtc_stun::error_code::ErrorCodeAttribute;
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::Getter;
use rtc_stun::xoraddr::XorMappedAddress;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

const TRANSACTION: TransactionId = TransactionId([
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
]);

/// RFC 5769, section 2.1.
const REQUEST: [u8; 108] = [
    0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73,
    0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff,
    0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09,
    0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14,
    0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49,
    0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
];

/// RFC 5769, section 2.2.
const V4_RESPONSE: [u8; 80] = [
    0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63,
    0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
    0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9,
    0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b, 0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
];

/// RFC 5769, section 2.3.
const V6_RESPONSE: [u8; 92] = [
    0x01, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63,
    0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa,
    0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9, 0x00, 0x08, 0x00, 0x14,
    0xa3, 0x82, 0x95, 0x4e, 0x4b, 0xe6, 0x7b, 0xf1, 0x17, 0x84, 0xc9, 0x7c, 0x82, 0x92, 0xc2, 0x75,
    0xbf, 0xe3, 0xed, 0x41, 0x80, 0x28, 0x00, 0x04, 0xc8, 0xfb, 0x0b, 0x4c,
];

fn check() -> BindingRequest<'static> {
    BindingRequest {
        transaction: TRANSACTION,
        username: "evtj:h6vY",
        priority: 0x6e00_01ff,
        role: Role::Controlling(0x932f_f9b1_5126_3b36),
        use_candidate: true,
    }
}

fn key() -> IntegrityKey {
    IntegrityKey::new(PASSWORD)
}

fn their_crypto() -> &'static dyn rtc_stun::crypto::RTCCrypto {
    let provider = rtc_stun::crypto::default_provider().unwrap();
    Box::leak(Box::new(provider)).crypto()
}

fn their_check(message: &mut rtc_stun::message::Message) {
    MessageIntegrity::check(message, PASSWORD.as_bytes(), their_crypto()).unwrap();
    FINGERPRINT.check(message).unwrap();
}

/// Attributes with a header whose length fits, and nothing that checks them.
fn bare(kind: u16, attributes: &[u8]) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend_from_slice(&u16::try_from(attributes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&MAGIC.to_be_bytes());
    out.extend_from_slice(&TRANSACTION.0);
    out.extend_from_slice(attributes);
    out
}

#[test]
fn the_sample_request_of_rfc_5769_is_read_and_authentic() {
    let message = Message::parse(&REQUEST).unwrap();
    assert_eq!(message.class, Class::Request);
    assert_eq!(message.method, Method::BINDING);
    assert_eq!(message.transaction, TRANSACTION);
    assert_eq!(message.username_parts(), Some(("evtj", "h6vY")));
    assert_eq!(message.priority, Some(0x6e00_01ff));
    assert_eq!(message.role, Some(Role::Controlled(0x932f_f9b1_5126_3b36)));
    assert!(!message.use_candidate && message.has_fingerprint);
    assert!(message.unknown.types().is_empty());
    assert_eq!(message.check_integrity(&key()), Ok(()));
    assert_eq!(
        message.check_integrity(&IntegrityKey::new("another")),
        Err(IntegrityError::Wrong)
    );
}

#[test]
fn the_sample_responses_of_rfc_5769_are_read_and_authentic() {
    for (bytes, address) in [
        (&V4_RESPONSE[..], "192.0.2.1:32853"),
        (
            &V6_RESPONSE[..],
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        ),
    ] {
        let message = Message::parse(bytes).unwrap();
        assert_eq!(message.class, Class::Success);
        assert_eq!(message.mapped, Some(address.parse().unwrap()));
        assert_eq!(message.check_integrity(&key()), Ok(()));
    }
}

#[test]
fn no_byte_of_an_authentic_request_can_change() {
    for at in 0..REQUEST.len() {
        let mut bytes = REQUEST;
        bytes[at] ^= 0x01;
        let is_taken = Message::parse(&bytes).is_ok_and(|message| {
            message.has_fingerprint && message.check_integrity(&key()).is_ok()
        });
        assert!(!is_taken, "byte {at}");
    }
}

#[test]
fn a_request_that_we_write_is_what_another_stack_reads() {
    let mut out = Vec::new();
    write_request(&mut out, &check(), &key());
    let ours = Message::parse(&out).unwrap();
    assert_eq!(ours.check_integrity(&key()), Ok(()));
    assert!(ours.use_candidate);

    let mut theirs = rtc_stun::message::Message::new();
    theirs.raw = out;
    theirs.decode().unwrap();
    assert_eq!(theirs.get(ATTR_USERNAME).unwrap(), b"evtj:h6vY");
    assert_eq!(theirs.get(ATTR_PRIORITY).unwrap(), [0x6e, 0, 1, 0xff]);
    assert!(theirs.contains(ATTR_USE_CANDIDATE) && theirs.contains(ATTR_ICE_CONTROLLING));
    their_check(&mut theirs);
}

#[test]
fn a_success_that_we_write_is_what_another_stack_reads() {
    let mut out = Vec::new();
    for address in ["192.0.2.1:1", "[2001:db8::7]:65535"] {
        let address = address.parse().unwrap();
        write_success(&mut out, TRANSACTION, address, &key());
        let ours = Message::parse(&out).unwrap();
        assert_eq!((ours.class, ours.mapped), (Class::Success, Some(address)));
        assert_eq!(ours.check_integrity(&key()), Ok(()));

        let mut theirs = rtc_stun::message::Message::new();
        theirs.raw = out.clone();
        theirs.decode().unwrap();
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(&theirs).unwrap();
        assert_eq!((mapped.ip, mapped.port), (address.ip(), address.port()));
        their_check(&mut theirs);
    }
}

#[test]
fn a_refusal_names_its_code_and_what_was_not_understood() {
    let bytes = bare(1, &[0x00, 0x02, 0, 0, 0x7f, 0xff, 0, 1, 9, 0, 0, 0]);
    let unknown = Message::parse(&bytes).unwrap().unknown;
    assert_eq!(unknown.types(), [0x0002, 0x7fff]);

    let mut out = Vec::new();
    for (refusal, code) in [
        (Refusal::BadRequest, 400),
        (Refusal::Unauthenticated, 401),
        (Refusal::UnknownAttributes(unknown), 420),
        (Refusal::RoleConflict, 487),
    ] {
        write_error(&mut out, TRANSACTION, refusal, Some(&key()));
        let ours = Message::parse(&out).unwrap();
        assert_eq!((ours.class, ours.error_code), (Class::Error, Some(code)));
        assert_eq!(ours.check_integrity(&key()), Ok(()));

        let mut theirs = rtc_stun::message::Message::new();
        theirs.raw = out.clone();
        theirs.decode().unwrap();
        let mut error = ErrorCodeAttribute::default();
        error.get_from(&theirs).unwrap();
        assert_eq!(error.code.0, code);
    }
    write_error(
        &mut out,
        TRANSACTION,
        Refusal::UnknownAttributes(unknown),
        None,
    );
    assert!(
        out.windows(8)
            .any(|part| part == [0, 0x0a, 0, 4, 0, 2, 0x7f, 0xff])
    );
    let message = Message::parse(&out).unwrap();
    assert_eq!(
        message.check_integrity(&key()),
        Err(IntegrityError::Missing)
    );
}

#[test]
fn a_message_of_another_stack_is_read() {
    let mut theirs = rtc_stun::message::Message::new();
    theirs
        .build(&[
            Box::new(rtc_stun::message::BINDING_REQUEST),
            Box::new(RawAttribute {
                typ: ATTR_USERNAME,
                length: 5,
                value: b"ab:cd".to_vec(),
            }),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(
                PASSWORD.into(),
                their_crypto(),
            )),
            Box::new(FINGERPRINT),
        ])
        .unwrap();
    let message = Message::parse(&theirs.raw).unwrap();
    assert_eq!(message.username_parts(), Some(("ab", "cd")));
    assert_eq!(message.check_integrity(&key()), Ok(()));
}

#[test]
fn what_stands_after_the_integrity_does_not_count() {
    let mut bytes = Vec::new();
    write_request(
        &mut bytes,
        &BindingRequest {
            use_candidate: false,
            ..check()
        },
        &key(),
    );
    bytes.truncate(bytes.len() - 8);
    bytes.extend_from_slice(&[0x00, 0x25, 0, 0, 0x00, 0x02, 0, 0]);
    let length = u16::try_from(bytes.len() - HEADER_BYTES).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.check_integrity(&key()), Ok(()));
    assert!(!message.use_candidate);
    assert!(message.unknown.types().is_empty());
}

#[test]
fn of_an_attribute_that_comes_twice_the_first_counts() {
    let bytes = bare(1, &[0, 0x24, 0, 4, 0, 0, 0, 1, 0, 0x24, 0, 4, 0, 0, 0, 2]);
    assert_eq!(Message::parse(&bytes).unwrap().priority, Some(1));
}

#[test]
fn every_class_and_method_comes_out_of_the_type() {
    for (kind, class, method) in [
        (0x0001, Class::Request, 0x001),
        (0x0011, Class::Indication, 0x001),
        (0x0101, Class::Success, 0x001),
        (0x0111, Class::Error, 0x001),
        (0x3eef, Class::Request, 0xfff),
    ] {
        let bytes = bare(kind, &[]);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class, message.method), (class, Method(method)));
    }
}

#[test]
fn each_wrong_shape_has_its_error() {
    let long = bare(1, &[0x80; MAX_BYTES]);
    let mut cookie = bare(1, &[]);
    cookie[4] = 0;
    let mut fingerprint = REQUEST;
    fingerprint[107] ^= 1;
    let mut after = Vec::new();
    write_request(&mut after, &check(), &key());
    after.extend_from_slice(&[0x80, 0x22, 0, 0]);
    let length = u16::try_from(after.len() - HEADER_BYTES).unwrap();
    after[2..4].copy_from_slice(&length.to_be_bytes());
    let table: [(&[u8], StunError); 11] = [
        (&[], StunError::NotStun),
        (&REQUEST[..19], StunError::NotStun),
        (&cookie, StunError::NotStun),
        (&bare(0x8001, &[]), StunError::NotStun),
        (&REQUEST[..104], StunError::Length),
        (&bare(1, &[0; 5]), StunError::Length),
        (&long, StunError::TooLong),
        (
            &bare(1, &[0, 0x24, 0, 5, 0, 0, 0, 0]),
            StunError::Attribute(0x24),
        ),
        (
            &bare(1, &[0, 0x24, 0, 3, 0, 0, 0, 0]),
            StunError::Attribute(0x24),
        ),
        (&fingerprint, StunError::Fingerprint),
        (&after, StunError::Fingerprint),
    ];
    for (at, (bytes, error)) in table.into_iter().enumerate() {
        assert_eq!(Message::parse(bytes).unwrap_err(), error, "case {at}");
    }
}

#[test]
fn nothing_may_follow_the_fingerprint() {
    let mut bytes = bare(1, &[0x80, 0x28, 0, 4, 0, 0, 0, 0, 0x80, 0x22, 0, 0]);
    let fingerprint = crc::fingerprint(&bytes[..HEADER_BYTES]);
    bytes[24..28].copy_from_slice(&fingerprint.to_be_bytes());
    let error = Message::parse(&bytes).unwrap_err();
    assert_eq!(error, StunError::Attribute(0x8028));
}

#[test]
fn a_username_that_is_not_two_ufrags_has_no_parts() {
    for (username, parts) in [
        (&b"ab:cd"[..], Some(("ab", "cd"))),
        (b"a+/9:Z", Some(("a+/9", "Z"))),
        (b"abcd", None),
        (b":cd", None),
        (b"ab:", None),
        (b"ab:c:d", None),
        (b"a b:cd", None),
        (b"\xff:cd", None),
    ] {
        let mut value = username.to_vec();
        value.resize(username.len().next_multiple_of(4), 0);
        let len = u16::try_from(username.len()).unwrap().to_be_bytes();
        let bytes = bare(1, &[&[0, 6], &len[..], &value].concat());
        assert_eq!(Message::parse(&bytes).unwrap().username_parts(), parts);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        crate::wire::fuzzing::stun(&bytes);
        if let Some(header) = bytes.first_chunk_mut::<8>() {
            *header = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
            let length = u16::try_from(bytes.len().saturating_sub(HEADER_BYTES)).unwrap();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
        }
        crate::wire::fuzzing::stun(&bytes);
    }

    #[test]
    fn a_request_survives_the_round_trip(
        transaction: [u8; 12],
        priority: u32,
        tie_breaker: u64,
        use_candidate: bool,
        username in "[a-zA-Z0-9+/]{1,40}:[a-zA-Z0-9+/]{1,40}",
    ) {
        let request = BindingRequest {
            transaction: TransactionId(transaction),
            username: &username,
            priority,
            role: Role::Controlled(tie_breaker),
            use_candidate,
        };
        let mut out = Vec::new();
        write_request(&mut out, &request, &key());
        let read = Message::parse(&out).unwrap();
        prop_assert_eq!(read.transaction, request.transaction);
        prop_assert_eq!(read.username_parts(), username.split_once(':'));
        prop_assert_eq!(read.priority, Some(priority));
        prop_assert_eq!(read.role, Some(request.role));
        prop_assert_eq!(read.use_candidate, use_candidate);
        prop_assert!(read.check_integrity(&key()).is_ok());
    }
}
