//! What becomes of a device at its provider's word.

use super::support::make::{NOON, apns, device};
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::core::tokens::{Fate, QUARANTINE, Tokens};
use kaiwa_notifier::model::Outcome;
use std::time::Duration;

fn accepted() -> Outcome {
    Outcome::Accepted {
        provider_id: String::new(),
    }
}

fn bad() -> Outcome {
    Outcome::BadToken {
        code: "BadDeviceToken".to_owned(),
    }
}

#[test]
fn each_outcome_has_its_fate() {
    let registered = UnixMs(NOON.0 - 1_000);
    let gone = |since: Option<i64>| Outcome::Unregistered {
        since: since.map(UnixMs),
    };
    let transient = Outcome::Transient {
        code: String::new(),
        retry_after: None,
    };
    let refused = Outcome::AuthFailed {
        code: String::new(),
    };
    let rejected = Outcome::Rejected {
        code: String::new(),
    };
    let table = [
        (accepted(), 0, Fate::Keep),
        (gone(None), 0, Fate::Prune),
        (gone(Some(registered.0 + 1)), 0, Fate::Prune),
        (gone(Some(registered.0)), 0, Fate::Keep),
        (gone(Some(registered.0 - 1)), 0, Fate::Keep),
        (bad(), 0, Fate::Quarantine(NOON.plus(QUARANTINE))),
        (bad(), 1, Fate::Prune),
        (transient, 1, Fate::Keep),
        (refused, 1, Fate::Keep),
        (Outcome::Throttled { retry_after: None }, 1, Fate::Keep),
        (Outcome::TooLarge { limit: 1 }, 1, Fate::Keep),
        (rejected, 1, Fate::Keep),
    ];
    for (outcome, strikes, fate) in table {
        let mut device = device(1, apns("t"));
        (device.registered, device.strikes) = (registered, strikes);
        let judged = Tokens::default().judge(&device, &outcome, NOON);
        assert_eq!((judged.fate, judged.is_alarm), (fate, false), "{outcome:?}");
    }
}

#[test]
fn more_than_five_percent_of_fifty_in_a_minute_stop_the_removals_with_one_alarm() {
    let gone = Outcome::Unregistered { since: None };
    let device = device(1, apns("t"));
    let mut tokens = Tokens::default();
    let mut alarms = 0;
    for n in 0..200_u32 {
        let now = NOON.plus(Duration::from_millis(100) * n);
        let outcome = if n % 10 == 0 {
            gone.clone()
        } else {
            accepted()
        };
        let judged = tokens.judge(&device, &outcome, now);
        alarms += u32::from(judged.is_alarm);
        if n < 49 && n % 10 == 0 {
            assert_eq!(judged.fate, Fate::Prune, "{n}: too few to say");
        } else {
            assert_eq!(judged.fate, Fate::Keep, "{n}");
        }
    }
    assert_eq!(alarms, 1);
    // Long after the last of them it goes on.
    let later = NOON.plus(Duration::from_secs(3_600));
    assert_eq!(tokens.judge(&device, &gone, later).fate, Fate::Prune);
}

#[test]
fn five_percent_is_not_too_much() {
    let gone = Outcome::Unregistered { since: None };
    let device = device(1, apns("t"));
    let mut tokens = Tokens::default();
    for n in 0..2_000_u32 {
        let outcome = if n % 20 == 19 {
            gone.clone()
        } else {
            accepted()
        };
        let judged = tokens.judge(&device, &outcome, NOON.plus(Duration::from_millis(10) * n));
        assert!(!judged.is_alarm, "{n}");
    }
}
