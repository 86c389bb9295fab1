use super::*;
use crate::call::failures::Stage;
use kaiwa_common::id::UserId;
use kaiwa_sfu::control::trace::{Handshake, HandshakeFailure, Pair};
use std::net::SocketAddr;

const NOW: UnixMs = UnixMs(1_800_000_000_000);

fn told(addresses: &[&str]) -> Vec<Told> {
    let address = |text: &&str| text.parse().expect("an address");
    let addresses = addresses.iter().map(address);
    let both = addresses.flat_map(|address: SocketAddr| {
        [Protocol::Udp, Protocol::Tcp].map(|protocol| Told {
            protocol,
            address,
            is_bound: false,
        })
    });
    both.collect()
}

fn bound(addresses: &[&str]) -> Vec<Told> {
    let told = told(addresses).into_iter();
    told.map(|told| Told {
        is_bound: true,
        ..told
    })
    .collect()
}

fn from(client: &str, reached: Option<&str>) -> Origin {
    let ip = |text: &str| text.parse().expect("an address");
    Origin {
        client: Some(ip(client)),
        reached: reached.map(ip),
        is_named: false,
    }
}

/// Answered so long ago, and nothing came since.
fn nothing() -> JoinTrace {
    JoinTrace {
        is_answered: true,
        waited: Duration::from_secs(15),
        ..JoinTrace::default()
    }
}

fn pair(protocol: Protocol, answered: u32, refused: u32) -> Pair {
    Pair {
        protocol,
        local: None,
        remote: SocketAddr::from(([203, 0, 113, 9], 5000)),
        checks: answered + refused,
        answered,
        refused,
        is_nominated: answered > 0,
        first: Duration::from_secs(1),
        last: Duration::from_secs(2),
    }
}

fn media(trace: JoinTrace, end: Option<GoneReason>, origin: Origin) -> Facts {
    Facts::Media { trace, end, origin }
}

fn kind(facts: &Facts, told: &[Told], hint: Hint) -> Option<&'static str> {
    of_join(facts, told, hint).map(|cause| cause.kind.as_str())
}

#[test]
fn an_address_that_is_not_the_persons_way_to_us_is_told_from_a_block() {
    let lan = "192.168.1.2:8080";
    let public = "198.51.100.4:8080";
    for (origin, told, expected) in [
        // Told another address than the one that they use.
        (
            from("192.168.1.7", Some("192.168.1.2")),
            told(&[public]),
            "wrong_address",
        ),
        (
            from("127.0.0.1", Some("127.0.0.1")),
            told(&[public]),
            "wrong_address",
        ),
        // A container's own address, and the one that its operator named for it.
        (
            from("192.168.1.7", Some("172.17.0.2")),
            told(&[lan]),
            "media_blocked",
        ),
        (
            Origin {
                is_named: true,
                ..from("192.168.1.7", Some("192.168.1.3"))
            },
            told(&[lan]),
            "wrong_address",
        ),
        // Told the one that they use, or others of this machine that they reach all the same.
        (
            from("192.168.1.7", Some("192.168.1.2")),
            bound(&[lan]),
            "media_blocked",
        ),
        (
            from("192.168.1.7", Some("192.168.1.2")),
            told(&[public, lan]),
            "media_blocked",
        ),
        (
            from("127.0.0.1", Some("127.0.0.1")),
            bound(&[lan]),
            "media_blocked",
        ),
        // Not known which one they use: what they can reach at all decides.
        (from("203.0.113.9", None), bound(&[lan]), "wrong_address"),
        (from("203.0.113.9", None), told(&[public]), "media_blocked"),
        (
            from("192.168.1.7", None),
            bound(&["127.0.0.1:8080"]),
            "wrong_address",
        ),
        (Origin::default(), bound(&[lan]), "media_blocked"),
        // They come by IPv6, and only addresses of IPv4 are told: that says nothing.
        (
            from("2001:db8::9", Some("2001:db8::1")),
            told(&[public]),
            "media_blocked",
        ),
    ] {
        let facts = media(nothing(), None, origin);
        assert_eq!(
            kind(&facts, &told, Hint::default()),
            Some(expected),
            "{origin:?} {told:?}"
        );
    }
}

#[test]
fn how_far_media_came_names_what_stopped_it() {
    let origin = from("203.0.113.9", Some("198.51.100.4"));
    let told = told(&["198.51.100.4:8080"]);
    let checked = |pairs: Vec<Pair>| JoinTrace { pairs, ..nothing() };
    let udp = |answered, refused| vec![pair(Protocol::Udp, answered, refused)];
    let dtls = |handshake| JoinTrace {
        handshake,
        ..checked(udp(3, 0))
    };
    let failed = |failure| dtls(Handshake::Failed(failure));
    let connected = |pairs| JoinTrace {
        was_connected: true,
        handshake: Handshake::Done,
        ..checked(pairs)
    };
    use GoneReason::{Fault, HandshakeFailed, Left, NeverConnected, TimedOut};
    for (trace, end, expected) in [
        (nothing(), Some(NeverConnected), Some("media_blocked")),
        (nothing(), Some(Left), Some("media_blocked")),
        (checked(udp(0, 4)), None, Some("ice_credentials")),
        (checked(udp(2, 4)), None, Some("media_blocked")),
        (dtls(Handshake::Begun), None, Some("handshake_failed")),
        (
            failed(HandshakeFailure::FingerprintMismatch),
            Some(HandshakeFailed),
            Some("fingerprint_mismatch"),
        ),
        (
            failed(HandshakeFailure::CertificateRefused(42)),
            Some(HandshakeFailed),
            Some("fingerprint_mismatch"),
        ),
        (
            failed(HandshakeFailure::NoProfile),
            Some(HandshakeFailed),
            Some("handshake_failed"),
        ),
        (
            failed(HandshakeFailure::TimedOut),
            Some(HandshakeFailed),
            Some("handshake_failed"),
        ),
        (
            failed(HandshakeFailure::Refused(80)),
            Some(HandshakeFailed),
            Some("handshake_failed"),
        ),
        (connected(udp(9, 0)), Some(TimedOut), Some("consent_lost")),
        (connected(udp(9, 0)), Some(Left), None),
        (connected(udp(9, 0)), None, None),
        (
            connected(vec![pair(Protocol::Tcp, 9, 0)]),
            None,
            Some("udp_blocked"),
        ),
        (
            connected(vec![pair(Protocol::Tcp, 9, 0), pair(Protocol::Udp, 1, 0)]),
            None,
            None,
        ),
        (nothing(), Some(Fault), Some("server")),
        (
            JoinTrace::default(),
            Some(NeverConnected),
            Some("bad_offer"),
        ),
        (JoinTrace::default(), Some(Left), Some("left_early")),
    ] {
        let facts = media(trace, end, origin);
        assert_eq!(kind(&facts, &told, Hint::default()), expected, "{facts:?}");
    }
}

#[test]
fn what_the_client_saw_tells_a_path_without_dtls_from_one_without_answers() {
    let trace = JoinTrace {
        pairs: vec![pair(Protocol::Udp, 3, 0)],
        ..nothing()
    };
    let facts = media(trace, None, Origin::default());
    let hint = Hint {
        is_ice_connected: true,
        ..Hint::default()
    };
    assert_eq!(
        kind(&facts, &told(&["198.51.100.4:1"]), hint),
        Some("handshake_failed")
    );
}

#[test]
fn a_handshake_that_nobody_could_begin_runs_out_of_time_and_is_no_cause() {
    let ran_out = |pairs| JoinTrace {
        handshake: Handshake::Failed(HandshakeFailure::TimedOut),
        pairs,
        ..nothing()
    };
    let told = told(&["198.51.100.4:1"]);
    for (pairs, stage, expected) in [
        (vec![], "ice", "media_blocked"),
        (vec![pair(Protocol::Udp, 0, 4)], "ice", "ice_credentials"),
        (vec![pair(Protocol::Udp, 3, 0)], "dtls", "handshake_failed"),
    ] {
        let trace = ran_out(pairs);
        assert_eq!(Stage::of(&trace).as_str(), stage, "{trace:?}");
        let end = Some(GoneReason::HandshakeFailed);
        let facts = media(trace, end, Origin::default());
        assert_eq!(kind(&facts, &told, Hint::default()), Some(expected));
    }
}

#[test]
fn that_nothing_came_is_no_cause_before_anything_could_unless_the_client_has_given_up() {
    let early = JoinTrace {
        waited: Duration::from_millis(300),
        ..nothing()
    };
    let told = told(&["198.51.100.4:1"]);
    let of = |trace: JoinTrace, hint| kind(&media(trace, None, Origin::default()), &told, hint);
    let given_up = Hint {
        has_ice_failed: true,
        ..Hint::default()
    };
    assert_eq!(of(early.clone(), Hint::default()), None);
    assert_eq!(of(early, given_up), Some("media_blocked"));
    assert_eq!(of(nothing(), Hint::default()), Some("media_blocked"));
}

#[test]
fn a_token_is_invalid_or_expired_or_the_clocks_are_off() {
    let dated = |starts_s: i64, expires_s: i64| {
        Some(Dated {
            user: UserId::parse("alice").expect("an id"),
            starts: Some(UnixMs(NOW.0 + starts_s * 1000)),
            expires: UnixMs(NOW.0 + expires_s * 1000),
        })
    };
    let early = TokenError::Invalid("it is not valid yet (`nbf`, `iat`): compare the clocks");
    let skew = |s: i64| Hint {
        skew_ms: Some(s * 1000),
        ..Hint::default()
    };
    for (error, dated, hint, expected) in [
        (
            TokenError::Invalid("its signature does not match"),
            None,
            skew(0),
            "token_invalid",
        ),
        (
            TokenError::Expired,
            dated(-7200, -3600),
            skew(0),
            "token_expired",
        ),
        (
            TokenError::Expired,
            dated(-7200, -3600),
            Hint::default(),
            "token_expired",
        ),
        (
            TokenError::Expired,
            dated(-7200, -3600),
            skew(-600),
            "token_expired",
        ),
        (
            TokenError::Expired,
            dated(-7200, -3600),
            skew(7200),
            "token_expired",
        ),
        (
            TokenError::Expired,
            dated(-700, -600),
            skew(-5400),
            "clock_off",
        ),
        (early, dated(600, 4200), Hint::default(), "clock_off"),
    ] {
        let facts = Facts::Token {
            error,
            dated,
            at: NOW,
        };
        assert_eq!(
            kind(&facts, &[], hint),
            Some(expected),
            "{facts:?} {hint:?}"
        );
    }
    let facts = Facts::Token {
        error: early,
        dated: dated(600, 4200),
        at: NOW,
    };
    let cause = of_join(&facts, &[], Hint::default()).expect("a cause");
    assert!(cause.text.contains("10 min"), "{}", cause.text);
}

#[test]
fn refusals_have_the_cause_that_their_owner_can_act_on() {
    let full = CallError::Full {
        what: "people in a call",
        limit: 2,
    };
    for (error, expected) in [
        (full, Some("room_full")),
        (CallError::NoCommonCodec, Some("no_common_codec")),
        (
            CallError::BadOffer("no m-line".to_owned()),
            Some("bad_offer"),
        ),
        (CallError::Forbidden("the right"), Some("forbidden")),
        (CallError::Chat(ChatError::NotAMember), Some("forbidden")),
        (CallError::Chat(ChatError::RoomNotFound), Some("forbidden")),
        (CallError::Unavailable, Some("server")),
        (CallError::TooSoon(Duration::from_secs(1)), None),
        (CallError::NotInCall, None),
    ] {
        let facts = Facts::Refused(error);
        assert_eq!(kind(&facts, &[], Hint::default()), expected, "{facts:?}");
    }
    assert_eq!(
        kind(&Facts::WithoutCodec, &[], Hint::default()),
        Some("no_common_codec")
    );
}

#[test]
fn the_document_has_every_kind_and_no_other() {
    let document = include_str!("../../../../docs/inspector.md");
    let table = document.split("## Causes").nth(1).expect("the section");
    let table = table.split("\n## ").next().expect("it ends");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let all: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(listed, all);
}

#[test]
fn every_cause_says_what_is_wrong_and_what_to_do() {
    let mut words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Kind::ALL.len());
    let facts = media(nothing(), None, Origin::default());
    let cause = of_join(&facts, &told(&["198.51.100.4:8080"]), Hint::default()).expect("a cause");
    assert!(
        cause.text.contains("udp 198.51.100.4:8080"),
        "{}",
        cause.text
    );
    assert!(!cause.remedy.is_empty());
}
