//! The table of reasons, and the double.

use super::*;
use crate::model::{Class, Urgency};
use crate::senders::fixtures::{code, double, impatient, push, reaching, target, until_closed};
use http::{HeaderMap, StatusCode};
use kaiwa_common::redact::Redacted;
use kaiwa_provider_doubles::{Action, Double, Kind, Step};
use std::time::Duration;

fn sender(production: &Double, sandbox: &Double, http: OutboundConfig, clock: Clock) -> ApnsSender {
    let credentials = production.credentials();
    let text = |member: &str| credentials[member].as_str().expect(member).to_owned();
    let config = ApnsConfig {
        key_id: text("key_id"),
        team_id: text("team_id"),
        key_pem: Secret::new(text("key_pem")),
        production: production.url(),
        sandbox: sandbox.url(),
    };
    ApnsSender::new(config, http, clock).expect("a sender")
}

fn phone(topic: &str) -> Target {
    target(Address::Apns {
        token: Redacted("ab".repeat(32)),
        is_sandbox: false,
        topic: topic.to_owned(),
    })
}

const TOPIC: &str = "org.example.app";

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_reason_has_its_outcome() {
    let now = UnixMs(1_800_000_000_000);
    let answer = |status: u16, reason: &str| {
        let status = StatusCode::from_u16(status).expect("a status");
        let body = json!({ "reason": reason, "timestamp": 1_700_000_000_123_i64 }).to_string();
        outcome(status, &HeaderMap::new(), body.as_bytes(), now)
    };
    let code = |reason: &str| reason.to_owned();
    for (status, reason) in [
        (400, "BadCollapseId"),
        (400, "BadExpirationDate"),
        (400, "BadMessageId"),
        (400, "BadPriority"),
        (400, "BadTopic"),
        (400, "DuplicateHeaders"),
        (400, "InvalidPushType"),
        (400, "MissingDeviceToken"),
        (400, "MissingTopic"),
        (400, "PayloadEmpty"),
        (400, "TopicDisallowed"),
        (404, "BadPath"),
        (405, "MethodNotAllowed"),
        (400, "SomethingNew"),
    ] {
        assert_eq!(
            answer(status, reason),
            Outcome::Rejected { code: code(reason) },
            "{reason}"
        );
    }
    for (status, reason) in [
        (403, "BadCertificate"),
        (403, "BadCertificateEnvironment"),
        (403, "ExpiredProviderToken"),
        (403, "Forbidden"),
        (403, "InvalidProviderToken"),
        (403, "MissingProviderToken"),
        (403, "UnrelatedKeyIdInToken"),
        (403, "BadEnvironmentKeyInToken"),
        (403, "SomethingNew"),
    ] {
        assert_eq!(
            answer(status, reason),
            Outcome::AuthFailed { code: code(reason) },
            "{reason}"
        );
    }
    for (status, reason) in [
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        (503, "Shutdown"),
        (400, "IdleTimeout"),
        (500, "SomethingNew"),
    ] {
        let expected = Outcome::Transient {
            code: code(reason),
            retry_after: None,
        };
        assert_eq!(answer(status, reason), expected, "{reason}");
    }
    for reason in ["BadDeviceToken", "DeviceTokenNotForTopic"] {
        assert_eq!(
            answer(400, reason),
            Outcome::BadToken { code: code(reason) }
        );
    }
    for reason in ["Unregistered", "ExpiredToken"] {
        let since = Some(UnixMs(1_700_000_000_123));
        assert_eq!(answer(410, reason), Outcome::Unregistered { since });
    }
    assert_eq!(
        answer(413, "PayloadTooLarge"),
        Outcome::TooLarge { limit: APNS_BYTES }
    );
    assert_eq!(
        answer(429, "TooManyRequests"),
        Outcome::Throttled { retry_after: None }
    );
    let updates = answer(429, "TooManyProviderTokenUpdates");
    assert_eq!(
        updates,
        Outcome::Throttled {
            retry_after: Some(APNS_TOKEN)
        }
    );
}

#[tokio::test]
async fn a_push_has_the_headers_and_the_body_that_apple_asks_for() {
    let double = double(Kind::Apns).await;
    let sender = sender(&double, &double, reaching(&double), UnixMs::now);
    let phone = phone(TOPIC);
    let mut push = push();
    let sent = sender.send(&phone, &push).await;
    let id = push_id(&phone, &push).to_string();
    assert_eq!(
        sent,
        Outcome::Accepted {
            provider_id: id.clone()
        },
        "{:?}",
        double.report().refused
    );
    let came = double.deliveries().pop().expect("a delivery");
    let got = (
        came.push_type.as_str(),
        came.urgency.as_str(),
        came.collapse.as_str(),
    );
    assert_eq!((came.id, got), (id, ("alert", "10", "room:r_1")));
    assert_eq!(came.ttl, (push.expires.0 / 1_000).to_string());
    let json: serde_json::Value = serde_json::from_str(&came.payload).expect("JSON");
    assert_eq!(
        json["aps"]["alert"],
        json!({ "title": "Alice", "body": "the secret plan" })
    );
    assert_eq!(
        (&json["aps"]["badge"], &json["kaiwa"]["room"]),
        (&json!(3), &json!("r_1"))
    );

    push.collapse = "mention:r_1".to_owned();
    sender.send(&phone, &push).await;
    let came = double.deliveries().pop().expect("a delivery");
    let mention: serde_json::Value = serde_json::from_str(&came.payload).expect("JSON");
    assert_eq!(came.collapse, "mention:r_1");
    assert_eq!(mention["aps"]["thread-id"], "room:r_1", "one thread");
    assert_eq!(mention["aps"]["thread-id"], json["aps"]["thread-id"]);

    push.is_silent = true;
    push.urgency = Urgency::Low;
    sender.send(&phone, &push).await;
    let came = double.deliveries().pop().expect("a delivery");
    assert_eq!(
        (came.push_type.as_str(), came.urgency.as_str()),
        ("alert", "5"),
        "a badge"
    );
    assert!(!came.payload.contains("secret"));
    push.badge = None;
    push.collapse = "x".repeat(100);
    sender.send(&phone, &push).await;
    let came = double.deliveries().pop().expect("a delivery");
    assert_eq!(
        (came.push_type.as_str(), came.urgency.as_str()),
        ("background", "5")
    );
    assert_eq!(came.collapse.len(), 43);
    assert_eq!(double.report().refused.len(), 0);
}

#[tokio::test]
async fn pushkit_gets_calls_and_nothing_else() {
    let double = double(Kind::Apns).await;
    let sender = sender(&double, &double, reaching(&double), UnixMs::now);
    let phone = phone("org.example.app.voip");
    let mut push = push();
    assert_eq!(code(&sender.send(&phone, &push).await), "voip_is_for_calls");
    push.class = Class::Call;
    push.content.as_mut().expect("content").body = Redacted("é".repeat(9_000));
    let sent = sender.send(&phone, &push).await;
    assert!(matches!(sent, Outcome::Accepted { .. }), "{sent:?}");
    let came = double.deliveries().pop().expect("a delivery");
    assert_eq!(
        (came.push_type.as_str(), came.urgency.as_str()),
        ("voip", "10")
    );
    assert!(came.bytes > APNS_BYTES && came.bytes <= APNS_VOIP_BYTES);
}

#[tokio::test]
async fn a_token_of_the_other_environment_is_asked_there_once_and_remembered() {
    let (production, sandbox) = (double(Kind::Apns).await, double(Kind::Apns).await);
    let mut http = reaching(&production);
    http.extra_roots = Some(format!("{}{}", production.ca_pem(), sandbox.ca_pem()).into_bytes());
    // Both check with the key of one; the sandbox says so of its own accord.
    let sender = sender(&production, &sandbox, http, UnixMs::now);
    let bad = || Step::answer(400, r#"{"reason":"BadDeviceToken"}"#);
    production.script(bad());
    sandbox.script(bad());
    assert_eq!(
        code(&sender.send(&phone(TOPIC), &push()).await),
        "BadDeviceToken"
    );
    assert_eq!(
        (production.report().requests, sandbox.report().requests),
        (1, 1)
    );
    production.script(bad());
    sandbox.script(Step::always(Action::Answer {
        status: 200,
        retry_after: None,
        body: String::new(),
    }));
    for _ in 0..2 {
        let sent = sender.send(&phone(TOPIC), &push()).await;
        assert!(matches!(sent, Outcome::Accepted { .. }), "{sent:?}");
    }
    assert_eq!(
        (production.report().requests, sandbox.report().requests),
        (2, 3)
    );
}

#[tokio::test]
async fn a_key_for_one_environment_alone_is_not_blamed_for_a_token_of_neither() {
    let (production, sandbox) = (double(Kind::Apns).await, double(Kind::Apns).await);
    let mut http = reaching(&production);
    http.extra_roots = Some(format!("{}{}", production.ca_pem(), sandbox.ca_pem()).into_bytes());
    let sender = sender(&production, &sandbox, http, UnixMs::now);
    let (dead, other) = ("BadDeviceToken", "BadEnvironmentKeyInToken");
    let refused = |code: &str| {
        let status = if code == dead { 400 } else { 403 };
        Step::answer(status, &json!({ "reason": code }).to_string())
    };
    let bad = Outcome::BadToken {
        code: dead.to_owned(),
    };
    let wrong_key = Outcome::AuthFailed {
        code: other.to_owned(),
    };
    let send = async |first: &str, second: &str| {
        production.script(refused(first));
        sandbox.script(refused(second));
        sender.send(&phone(TOPIC), &push()).await
    };
    assert_eq!(send(dead, other).await, bad);
    assert_eq!(send(other, other).await, wrong_key);
    // As far as is known it may be the wrong key; once a push was taken with it, it is not.
    assert_eq!(send(other, dead).await, wrong_key);
    let of_sandbox = target(Address::Apns {
        token: Redacted("cd".repeat(32)),
        is_sandbox: true,
        topic: TOPIC.to_owned(),
    });
    sandbox.script(Step::answer(200, ""));
    let sent = sender.send(&of_sandbox, &push()).await;
    assert!(matches!(sent, Outcome::Accepted { .. }), "{sent:?}");
    assert_eq!(send(other, dead).await, bad);
    assert_eq!(send(other, other).await, wrong_key);
}

#[tokio::test]
async fn goaway_drop_and_silence_do_not_stop_the_next_push() {
    let double = double(Kind::Apns).await;
    let sender = sender(&double, &double, impatient(&double), UnixMs::now);
    let phone = phone(TOPIC);
    for (action, expected) in [
        (Action::GoAway, ""),
        (Action::Drop, "connection_lost"),
        (Action::AcceptAndDrop, "connection_lost"),
        (Action::SlowHead { ms: 600_000 }, "timeout_headers"),
    ] {
        double.script(Step::once(action.clone()));
        assert_eq!(
            code(&sender.send(&phone, &push()).await),
            expected,
            "{action:?}"
        );
        until_closed(|| sender.connections()).await;
        let sent = sender.send(&phone, &push()).await;
        assert!(
            matches!(sent, Outcome::Accepted { .. }),
            "after {action:?}: {sent:?}"
        );
    }
    let report = double.report();
    assert_eq!(report.connections, 5, "each of the four was replaced");
    assert_eq!(
        report
            .devices
            .values()
            .next()
            .expect("a device")
            .visible_duplicates,
        0
    );
}

#[tokio::test]
async fn many_pushes_at_once_share_one_connection_and_one_token() {
    let double = double(Kind::Apns).await;
    let sender = std::sync::Arc::new(sender(&double, &double, reaching(&double), UnixMs::now));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..APNS_STREAMS + 100 {
        let sender = std::sync::Arc::clone(&sender);
        all.spawn(async move { sender.send(&phone(TOPIC), &push()).await });
    }
    while let Some(sent) = all.join_next().await {
        assert!(matches!(sent.expect("no panic"), Outcome::Accepted { .. }));
    }
    assert_eq!((double.report().connections, sender.connections()), (1, 1));
    assert_eq!(
        double.report().refused.len(),
        0,
        "no TooManyProviderTokenUpdates"
    );
}

#[tokio::test]
async fn a_provider_token_is_of_a_span_of_the_clock() {
    let double = double(Kind::Apns).await;
    let sender = sender(&double, &double, reaching(&double), UnixMs::now);
    let start = UnixMs(1_800_000_000_000);
    let token = |after: u64| {
        sender
            .authorization(start.plus(Duration::from_secs(after)))
            .expect("a token")
    };
    let first = token(0);
    assert!(first.is_sensitive());
    assert_eq!(token(1_799), first);
    assert_ne!(token(1_800), first);
    let old = || UnixMs(UnixMs::now().0 - 2 * 3_600_000);
    let mut push = push();
    push.expires = UnixMs::now().plus(Duration::from_secs(60));
    let late = self::sender(&double, &double, reaching(&double), old);
    assert_eq!(
        code(&late.send(&phone(TOPIC), &push).await),
        "ExpiredProviderToken"
    );
}
