//! The table of errors, and the double with its token endpoint.

use super::*;
use crate::model::{Class, Urgency};
use crate::senders::fixtures::{code, double, impatient, push, reaching, target};
use http::HeaderMap;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::outbound::OutboundConfig;
use kaiwa_provider_doubles::{Action, Double, Kind, Step};
use std::time::Duration;

fn sender(double: &Double, config: OutboundConfig) -> FcmSender {
    let account = ServiceAccount::from_json(&double.credentials().to_string()).expect("an account");
    let http = Arc::new(Outbound::new(config).expect("a client"));
    FcmSender::new(http, account, &double.url(), UnixMs::now).expect("a sender")
}

fn phone() -> Target {
    target(Address::Fcm {
        token: Redacted("fcm-token-of-a-phone-0123456789".into()),
    })
}

fn error(status: &str, own: Option<&str>, field: Option<&str>) -> String {
    let mut details = Vec::new();
    details.extend(own.map(|own| json!({ "@type": "…FcmError", "errorCode": own })));
    details.extend(
        field.map(
            |field| json!({ "@type": "…BadRequest", "fieldViolations": [{ "field": field }] }),
        ),
    );
    json!({ "error": { "code": 0, "message": "m", "status": status, "details": details } })
        .to_string()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_error_has_its_outcome() {
    let s = |seconds| Some(Duration::from_secs(seconds));
    let transient = |code: &str, retry_after| Outcome::Transient {
        code: code.into(),
        retry_after,
    };
    let table = [
        (
            404,
            error("NOT_FOUND", Some("UNREGISTERED"), None),
            Outcome::Unregistered { since: None },
        ),
        (
            404,
            error("NOT_FOUND", None, None),
            Outcome::Rejected {
                code: "NOT_FOUND".into(),
            },
        ),
        (
            400,
            error(
                "INVALID_ARGUMENT",
                Some("INVALID_ARGUMENT"),
                Some("message.token"),
            ),
            Outcome::Unregistered { since: None },
        ),
        (
            400,
            error(
                "INVALID_ARGUMENT",
                Some("INVALID_ARGUMENT"),
                Some("message.data"),
            ),
            Outcome::Rejected {
                code: "INVALID_ARGUMENT".into(),
            },
        ),
        (
            400,
            error("INVALID_ARGUMENT", None, None),
            Outcome::Rejected {
                code: "INVALID_ARGUMENT".into(),
            },
        ),
        (
            403,
            error("PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), None),
            Outcome::BadToken {
                code: "SENDER_ID_MISMATCH".into(),
            },
        ),
        (
            403,
            error("PERMISSION_DENIED", None, None),
            Outcome::AuthFailed {
                code: "PERMISSION_DENIED".into(),
            },
        ),
        (
            401,
            error("UNAUTHENTICATED", None, None),
            Outcome::AuthFailed {
                code: "UNAUTHENTICATED".into(),
            },
        ),
        (
            401,
            error("UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR"), None),
            transient("THIRD_PARTY_AUTH_ERROR", s(900)),
        ),
        (
            429,
            error("RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), None),
            Outcome::Throttled { retry_after: s(60) },
        ),
        (429, String::new(), Outcome::Throttled { retry_after: None }),
        (
            503,
            error("UNAVAILABLE", Some("UNAVAILABLE"), None),
            transient("UNAVAILABLE", None),
        ),
        (
            500,
            error("INTERNAL", Some("INTERNAL"), None),
            transient("INTERNAL", None),
        ),
        (502, "<html>".to_owned(), transient("http_502", None)),
        (
            401,
            "<html>".to_owned(),
            Outcome::AuthFailed {
                code: "http_401".into(),
            },
        ),
    ];
    for (status, body, expected) in table {
        let status = StatusCode::from_u16(status).expect("a status");
        let got = outcome(status, &HeaderMap::new(), body.as_bytes(), UnixMs(0));
        assert_eq!(got, expected, "{status} {body}");
    }
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("90"));
    let quota = error("RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), None);
    let got = outcome(
        StatusCode::TOO_MANY_REQUESTS,
        &headers,
        quota.as_bytes(),
        UnixMs(0),
    );
    assert_eq!(got, Outcome::Throttled { retry_after: s(90) });
}

#[tokio::test]
async fn many_pushes_ask_for_one_token_and_arrive() {
    let double = double(Kind::Fcm).await;
    let sender = Arc::new(sender(&double, reaching(&double)));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let sender = Arc::clone(&sender);
        all.spawn(async move { sender.send(&phone(), &push()).await });
    }
    while let Some(sent) = all.join_next().await {
        let sent = sent.expect("no panic");
        assert!(
            matches!(sent, Outcome::Accepted { .. }),
            "{sent:?} {:?}",
            double.report().refused
        );
    }
    let report = double.report();
    assert_eq!(
        (report.tokens, report.delivered, report.duplicates),
        (1, 50, 49)
    );
    let came = double.deliveries().pop().expect("a delivery");
    assert_eq!(
        (came.collapse.as_str(), came.urgency.as_str()),
        ("room:r_1", "NORMAL")
    );
    let json: Value = serde_json::from_str(&came.payload).expect("JSON");
    assert_eq!(
        (&json["data"]["seq"], &json["data"]["body"]),
        (&json!("5"), &json!("the secret plan"))
    );
    assert_eq!(json["apns"]["payload"]["aps"]["badge"], 3);
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once() {
    let double = double(Kind::Fcm).await;
    let sender = sender(&double, reaching(&double));
    let mut push = push();
    push.class = Class::Call;
    push.urgency = Urgency::High;
    let revoked = || {
        Step::answer(401, &error("UNAUTHENTICATED", None, None))
            .to("fcm-token-of-a-phone-0123456789")
    };
    double.script(revoked());
    let sent = sender.send(&phone(), &push).await;
    assert!(matches!(sent, Outcome::Accepted { .. }), "{sent:?}");
    assert_eq!(double.report().tokens, 2);
    double.script(revoked());
    double.script(revoked());
    assert_eq!(code(&sender.send(&phone(), &push).await), "UNAUTHENTICATED");
}

#[tokio::test]
async fn what_is_long_is_cut_and_what_fails_comes_back() {
    let double = double(Kind::Fcm).await;
    let sender = sender(&double, impatient(&double));
    double.script(Step::answer(400, r#"{"error":"invalid_grant"}"#).to("token"));
    let refused = sender.send(&phone(), &push()).await;
    assert_eq!(
        refused,
        Outcome::AuthFailed {
            code: "invalid_grant".into()
        }
    );
    let mut push = push();
    push.content.as_mut().expect("content").body = Redacted("ü".repeat(9_000));
    let sent = sender.send(&phone(), &push).await;
    assert!(
        matches!(sent, Outcome::Accepted { .. }),
        "{sent:?} {:?}",
        double.report().refused
    );
    for (action, expected) in [
        (Action::Drop, "connection_lost"),
        (Action::SlowBody { ms: 600_000 }, "timeout_body"),
    ] {
        double.script(Step::once(action));
        assert_eq!(code(&sender.send(&phone(), &push).await), expected);
    }
}

#[test]
fn an_account_is_read_or_refused() {
    assert!(ServiceAccount::from_json("{}").is_err());
    let bad =
        r#"{"project_id":"a/../b","client_email":"e","private_key":"k","private_key_id":"i"}"#;
    assert!(ServiceAccount::from_json(bad).is_err());
}
