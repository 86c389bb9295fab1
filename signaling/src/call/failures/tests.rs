use super::*;
use crate::call::whence::Origin;
use kaiwa_common::limits::{
    CALL_FAILURE_KEPT, CALL_FAILURE_REPORTED, CALL_FAILURES, CALL_FAILURES_PERSON,
    CALL_FAILURES_ROOM, CALL_FAILURES_UNKNOWN,
};
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicI64, Ordering};

fn fixed() -> UnixMs {
    UnixMs(1_800_000_000_000)
}

fn failures() -> Arc<Failures> {
    Failures::new(Vec::new(), Metrics::new(), fixed)
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).expect("an id")
}

fn user(name: &str) -> UserId {
    UserId::parse(name).expect("an id")
}

fn whence() -> Arc<Whence> {
    Arc::default()
}

fn asking(stage: Stage, name: &str) -> Asking {
    Asking {
        stage,
        room: room("r"),
        user: user(name),
        whence: whence(),
    }
}

fn full() -> Facts {
    Facts::Refused(CallError::Full {
        what: "people in a call",
        limit: 1,
    })
}

fn refuse(failures: &Failures, at: &str, who: &str) {
    let of = (Some(room(at)), Some(user(who)));
    failures.refused(full(), of, Stage::Join, whence());
}

fn enter(failures: &Failures, id: u64, name: &str) -> ParticipantId {
    let participant = ParticipantId(id);
    failures.joined(participant, &asking(Stage::Join, name));
    participant
}

/// Answered, and then nothing came.
fn silent() -> JoinTrace {
    JoinTrace {
        is_answered: true,
        waited: Duration::from_secs(20),
        ..JoinTrace::default()
    }
}

fn kinds(failures: &[Failure]) -> Vec<&'static str> {
    let kinds = failures.iter().map(|failure| failure.cause.kind.as_str());
    kinds.collect()
}

const INVALID: TokenError = TokenError::Invalid("its signature does not match");

/// From an address of its own.
fn from(no: usize) -> Arc<Whence> {
    let client = Ipv6Addr::from_bits(u128::try_from(no).expect("a number") << 64);
    let origin = Origin {
        client: Some(client.into()),
        ..Origin::default()
    };
    Arc::new(Whence {
        origin,
        ..Whence::default()
    })
}

fn dated(name: &str) -> Option<Dated> {
    Some(Dated {
        user: user(name),
        starts: None,
        expires: UnixMs(1_700_000_000_000),
    })
}

#[test]
fn rooms_and_strangers_push_out_only_their_own() {
    let failures = failures();
    refuse(&failures, "quiet", "alice");
    for no in 0..2 * CALL_FAILURES_ROOM {
        refuse(&failures, "r", &format!("bob_{no}"));
    }
    for no in 0..2 * CALL_FAILURES_UNKNOWN {
        failures.token_refused(INVALID, None, Some(&room("quiet")), from(no));
        let expired = dated(&format!("carol_{no}"));
        failures.token_refused(TokenError::Expired, expired, None, whence());
    }
    assert_eq!(failures.of_room(&room("r")).len(), CALL_FAILURES_ROOM);
    assert_eq!(failures.of_person(&room("quiet"), &user("alice")).len(), 1);
    let expected = CALL_FAILURES_ROOM + 2 * CALL_FAILURES_UNKNOWN + 1;
    assert_eq!(failures.all().len(), expected);
    for no in 0..2 * CALL_FAILURES {
        refuse(&failures, &format!("room_{no}"), &format!("dave_{no}"));
    }
    assert_eq!(failures.all().len(), CALL_FAILURES);
}

#[test]
fn one_person_and_one_address_push_out_only_their_own() {
    let failures = failures();
    refuse(&failures, "r", "alice");
    failures.token_refused(INVALID, None, Some(&room("r")), from(1));
    for no in 0..2 * CALL_FAILURES {
        // Rooms are named by whoever asks, whether there are such or not.
        refuse(&failures, &format!("room_{no}"), "mallory");
        refuse(&failures, "r", "mallory");
        failures.token_refused(TokenError::Expired, dated("mallory"), None, whence());
        failures.token_refused(INVALID, None, None, from(2));
    }
    assert_eq!(failures.of_person(&room("r"), &user("alice")).len(), 1);
    let encoder = |failure: &&Failure| failure.user.is_none() && failure.room.is_some();
    assert_eq!(failures.all().iter().filter(encoder).count(), 1);
    assert_eq!(failures.all().len(), 2 + 2 * CALL_FAILURES_PERSON);
}

#[test]
fn a_report_of_a_token_is_told_what_is_wrong_with_that_token() {
    let failures = failures();
    failures.token_refused(INVALID, dated("alice"), None, whence());
    let report = || Report {
        clock: Some(UnixMs(i64::MIN)),
        ..Report::default()
    };
    for _ in 0..2 {
        let cause =
            failures.token_reported(TokenError::Expired, dated("alice"), report(), whence());
        let kind = cause.map(|cause| cause.kind);
        assert_eq!(kind, Some(Kind::ClockOff), "by so odd a clock");
    }
    assert_eq!(kinds(&failures.all()), ["clock_off", "token_invalid"]);
}

#[test]
fn a_failure_is_forgotten_after_its_time() {
    static CLOCK: AtomicI64 = AtomicI64::new(1_800_000_000_000);
    fn clock() -> UnixMs {
        UnixMs(CLOCK.load(Ordering::Relaxed))
    }
    let wait = |duration: Duration| {
        let ms = i64::try_from(duration.as_millis()).expect("an hour");
        CLOCK.fetch_add(ms, Ordering::Relaxed);
    };
    let failures = Failures::new(Vec::new(), Metrics::new(), clock);
    refuse(&failures, "r", "alice");
    let reported = || failures.reported(&room("r"), &user("alice"), Report::default());
    assert!(reported().is_some());
    wait(CALL_FAILURE_REPORTED + Duration::from_secs(1));
    assert_eq!(
        reported(),
        None,
        "a report so much later is about something else"
    );
    assert_eq!(failures.of_room(&room("r")).len(), 1);
    wait(CALL_FAILURE_KEPT);
    assert!(failures.of_room(&room("r")).is_empty());
}

#[test]
fn a_report_refines_what_is_known_and_makes_nothing_of_its_own() {
    let failures = failures();
    let report = |participant| Report {
        participant,
        pairs: vec![ClientPair {
            protocol: "udp".to_owned(),
            local_type: "host".to_owned(),
            local: String::new(),
            remote_type: "host".to_owned(),
            remote: "198.51.100.4:8080".to_owned(),
            state: "failed".to_owned(),
            sent: 9,
            received: 0,
        }],
        ..Report::default()
    };
    assert_eq!(
        failures.reported(&room("r"), &user("alice"), report(None)),
        None
    );
    assert!(failures.all().is_empty());
    let alice = enter(&failures, 1, "alice");
    failures.gone(alice, GoneReason::NeverConnected, Some(silent()));
    // Nobody reports for somebody else, nor of another participant.
    assert_eq!(
        failures.reported(&room("r"), &user("bob"), report(Some(alice))),
        None
    );
    let other = Some(ParticipantId(9));
    assert_eq!(
        failures.reported(&room("r"), &user("alice"), report(other)),
        None
    );
    assert!(
        failures
            .reported(&room("r"), &user("alice"), report(Some(alice)))
            .is_some()
    );
    let known = failures.of_room(&room("r"));
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].client_pairs.len(), 1);
}

#[test]
fn one_participant_is_remembered_once_and_not_at_all_when_media_came_up_after_all() {
    let failures = failures();
    let alice = enter(&failures, 1, "alice");
    let early = failures.reported_now(alice, silent(), Report::default(), &Whence::default());
    assert!(early.is_some());
    assert_eq!(failures.all().len(), 1);
    failures.connected(alice);
    assert!(failures.all().is_empty());

    let bob = enter(&failures, 2, "bob");
    failures.reported_now(bob, silent(), Report::default(), &Whence::default());
    failures.gone(bob, GoneReason::NeverConnected, Some(silent()));
    assert_eq!(failures.all().len(), 1);
}

#[test]
fn what_an_offer_lacked_stays_the_cause_of_what_did_not_come_up_after_it() {
    let failures = failures();
    let alice = enter(&failures, 1, "alice");
    let error = Err(CallError::NoCommonCodec);
    failures.answered(&asking(Stage::Offer, "alice"), Some(alice), &error);
    failures.gone(alice, GoneReason::NeverConnected, Some(silent()));
    assert_eq!(kinds(&failures.all()), ["no_common_codec"]);
}

#[test]
fn who_leaves_at_once_or_after_a_good_call_is_no_failure() {
    let failures = failures();
    let alice = enter(&failures, 1, "alice");
    let early = JoinTrace {
        waited: Duration::from_secs(2),
        ..silent()
    };
    failures.gone(alice, GoneReason::Left, Some(early));
    let bob = enter(&failures, 2, "bob");
    failures.connected(bob);
    let good = JoinTrace {
        was_connected: true,
        ..silent()
    };
    failures.gone(bob, GoneReason::Left, Some(good.clone()));
    assert!(failures.all().is_empty());
    let carol = enter(&failures, 3, "carol");
    failures.gone(carol, GoneReason::TimedOut, Some(good));
    assert_eq!(kinds(&failures.all()), ["consent_lost"]);
}

#[test]
fn reports_of_one_person_are_counted() {
    let failures = failures();
    let now = Instant::now();
    let mut taken = 0;
    while failures.take_report(&user("alice"), now).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, CALL_REPORT_BURST);
    assert!(failures.take_report(&user("bob"), now).is_ok());
}
