//! Against the double, which decrypts as a browser does.

use super::*;
use crate::senders::address;
use crate::senders::fixtures::{code, double, impatient, push, reaching, target, until_closed};
use kaiwa_common::redact::Redacted;
use kaiwa_platform::outbound::OutboundConfig;
use kaiwa_provider_doubles::{Action, Double, Kind, Step, Subscription};
use proptest::prelude::*;
use std::time::Duration;

fn sender(config: OutboundConfig) -> WebPushSender {
    let http = Arc::new(Outbound::new(config).expect("a client"));
    let keys = VapidKeys::generate().expect("keys");
    WebPushSender::new(http, keys, "mailto:ops@example.org".into(), UnixMs::now).expect("a sender")
}

fn device(sender: &WebPushSender, made: &Subscription) -> Target {
    let guard = sender.http.guard();
    target(address::web_push(guard, &made.endpoint, &made.p256dh, &made.auth).expect("an address"))
}

async fn set_up() -> (Double, WebPushSender, Target, Subscription) {
    let double = double(Kind::Webpush).await;
    let sender = sender(reaching(&double));
    let made = double.subscribe().expect("a subscription");
    let target = device(&sender, &made);
    (double, sender, target, made)
}

#[tokio::test]
async fn a_push_arrives_readable_with_its_headers_and_its_length_hidden() {
    let (double, sender, target, made) = set_up().await;
    let push = push();
    let sent = sender.send(&target, &push).await;
    assert!(
        matches!(sent, Outcome::Accepted { .. }),
        "{sent:?}: {:?}",
        double.report().refused
    );
    let came = double.deliveries().pop().expect("a delivery");
    let json: serde_json::Value = serde_json::from_str(&came.payload).expect("JSON");
    for (member, value) in [
        ("title", "Alice"),
        ("body", "the secret plan"),
        ("room", "r_1"),
        ("class", "message"),
        ("user", "bob"),
        ("url", "/#/r/r_1"),
        ("tag", "room:r_1"),
    ] {
        assert_eq!(json[member], value, "{member}");
    }
    assert_eq!(
        (&json["v"], &json["seq"], &json["badge"], &json["version"]),
        (&1.into(), &5.into(), &3.into(), &9.into())
    );
    assert_eq!(
        json["id"],
        crate::senders::push_id(&target, &push).to_string()
    );
    assert_eq!(
        (came.device.as_str(), came.urgency.as_str()),
        (made.device.as_str(), "normal")
    );
    assert_eq!(came.collapse.len(), 32);
    assert!((590..=600).contains(&came.ttl.parse::<u32>().expect("seconds")));
    assert_eq!((came.bytes - 86 - 17) % 256, 0);
    // Again is a repeat, by the same id and with the same topic; on the one connection.
    sender.send(&target, &push).await;
    let report = double.report();
    let seen = &report.devices[&made.device];
    assert_eq!(
        (seen.duplicates, seen.visible_duplicates, seen.stored),
        (1, 0, 1)
    );
    assert_eq!((report.connections, report.unreadable), (1, 0));
}

#[tokio::test]
async fn what_is_long_is_cut_and_arrives() {
    let (double, sender, target, _) = set_up().await;
    let mut push = push();
    push.content.as_mut().expect("content").body = Redacted("\u{1f600}\"".repeat(5_000));
    let sent = sender.send(&target, &push).await;
    assert!(matches!(sent, Outcome::Accepted { .. }), "{sent:?}");
    let came = double.deliveries().pop().expect("a delivery");
    let json: serde_json::Value = serde_json::from_str(&came.payload).expect("JSON");
    assert!(json["body"].as_str().expect("a body").ends_with('…'));
    assert!(came.bytes <= 3_072 && came.bytes > 2_500, "{}", came.bytes);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn what_a_service_does_becomes_an_outcome() {
    let (double, sender, target, _) = set_up().await;
    let push = push();
    let s = Duration::from_secs;
    let table = [
        (Step::answer(404, ""), Outcome::Unregistered { since: None }),
        (Step::answer(410, ""), Outcome::Unregistered { since: None }),
        (
            Step::answer(413, ""),
            Outcome::TooLarge {
                limit: WEB_PUSH_TEXT_BYTES,
            },
        ),
        (
            Step::retry(429, "7"),
            Outcome::Throttled {
                retry_after: Some(s(7)),
            },
        ),
        (
            Step::answer(429, ""),
            Outcome::Throttled { retry_after: None },
        ),
        (
            Step::answer(401, ""),
            Outcome::BadToken {
                code: "http_401".into(),
            },
        ),
        (
            Step::answer(403, ""),
            Outcome::BadToken {
                code: "http_403".into(),
            },
        ),
        (
            Step::answer(400, ""),
            Outcome::Rejected {
                code: "http_400".into(),
            },
        ),
        (
            Step::answer(302, ""),
            Outcome::Rejected {
                code: "http_302".into(),
            },
        ),
        (
            Step::answer(500, ""),
            Outcome::Transient {
                code: "http_500".into(),
                retry_after: None,
            },
        ),
        (
            Step::retry(503, "30"),
            Outcome::Transient {
                code: "http_503".into(),
                retry_after: Some(s(30)),
            },
        ),
        (
            Step::once(Action::Drop),
            Outcome::Transient {
                code: "connection_lost".into(),
                retry_after: None,
            },
        ),
        (
            Step::once(Action::Reset),
            Outcome::Transient {
                code: "connection_lost".into(),
                retry_after: None,
            },
        ),
        (
            Step::once(Action::LongBody { bytes: 100_000 }),
            Outcome::Transient {
                code: "unreadable_answer".into(),
                retry_after: None,
            },
        ),
    ];
    for (step, expected) in table {
        double.script(step.clone());
        assert_eq!(sender.send(&target, &push).await, expected, "{step:?}");
    }
    assert_eq!(double.report().delivered, 0);
    let sent = sender.send(&target, &push).await;
    assert!(
        matches!(sent, Outcome::Accepted { .. }),
        "afterwards all is well: {sent:?}"
    );
}

#[tokio::test]
async fn a_slow_service_is_not_waited_for() {
    let double = double(Kind::Webpush).await;
    let sender = sender(impatient(&double));
    let target = device(&sender, &double.subscribe().expect("a subscription"));
    for (action, expected) in [
        (Action::SlowHead { ms: 600_000 }, "timeout_headers"),
        (Action::SlowBody { ms: 600_000 }, "timeout_body"),
    ] {
        double.script(Step::once(action));
        assert_eq!(code(&sender.send(&target, &push()).await), expected);
    }
}

#[tokio::test]
async fn after_goaway_the_next_push_has_a_new_connection() {
    let (double, sender, target, _) = set_up().await;
    for _ in 0..3 {
        double.script(Step::once(Action::GoAway));
        let sent = sender.send(&target, &push()).await;
        assert!(matches!(sent, Outcome::Accepted { .. }), "{sent:?}");
        until_closed(|| sender.http.connections()).await;
    }
    assert_eq!(double.report().connections, 3);
}

#[tokio::test]
async fn nothing_is_sent_after_its_time_to_another_channel_or_into_the_private_network() {
    let (double, sender, good, _) = set_up().await;
    let mut late = push();
    late.expires = UnixMs::now();
    assert_eq!(code(&sender.send(&good, &late).await), "expired");
    let other = target(Address::Slack);
    assert_eq!(code(&sender.send(&other, &push()).await), "wrong_channel");
    let mut forged = good.clone();
    if let Address::WebPush { endpoint, .. } = &mut forged.address {
        *endpoint = Redacted("https://10.0.0.1/".into());
    }
    assert_eq!(
        code(&sender.send(&forged, &push()).await),
        "forbidden_address"
    );
    assert_eq!(double.report().requests, 0);
}

#[test]
fn a_topic_is_the_same_for_a_device_and_a_key_and_no_other() {
    let topic = |auth: u8, key: &str| topic(&[auth; 16], key);
    assert_eq!(topic(1, "room:r_1"), topic(1, "room:r_1"));
    assert_ne!(topic(1, "room:r_1"), topic(2, "room:r_1"));
    assert_ne!(topic(1, "room:r_1"), topic(1, "room:r_2"));
    assert_eq!(topic(1, &"x".repeat(500)).len(), 32);
}

#[test]
fn what_is_personal_is_not_in_debug_output() {
    let text = format!("{:?} {:?}", push(), crate::senders::fixtures::target_web());
    for secret in ["Alice", "plan", "capability", "push.example"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

proptest! {
    #[test]
    fn no_answer_breaks_a_sender(
        status in 100_u16..1000, retry in "\\PC{0,40}", body in prop::collection::vec(any::<u8>(), 0..200),
        json in "\\{\"(reason|error)\":(\"[A-Za-z]{0,20}\"|\\{\"status\":\"[A-Z_]{0,20}\",\"details\":\\[[0-9,]{0,3}\\]\\})\\}",
    ) {
        let status = StatusCode::from_u16(status).expect("a status");
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::try_from(retry) {
            headers.insert("retry-after", value.clone());
            headers.insert("location", value.clone());
            headers.insert("apns-id", value);
        }
        let now = UnixMs(1_800_000_000_000);
        for body in [body.as_slice(), json.as_bytes()] {
            let outcomes = [
                outcome(status, &headers, now),
                crate::senders::apns::outcome(status, &headers, body, now),
                crate::senders::fcm::outcome(status, &headers, body, now),
                crate::senders::slack::outcome(status, &headers, body, now),
            ];
            for outcome in outcomes {
                prop_assert!(code(&outcome).len() <= 64);
                if let Outcome::Throttled { retry_after: Some(wish) } = outcome {
                    prop_assert!(wish <= kaiwa_common::limits::RETRY_AFTER);
                }
            }
        }
    }
}
