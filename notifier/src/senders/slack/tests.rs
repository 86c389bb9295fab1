//! The table of answers, and the double.

use super::*;
use crate::senders::fixtures::{code, double, impatient, push, target};
use kaiwa_common::redact::Redacted;
use kaiwa_provider_doubles::{Action, Kind, Step};
use std::time::Duration;

#[test]
fn each_answer_has_its_outcome() {
    let rejected = |code: &str| Outcome::Rejected { code: code.into() };
    let auth = |code: &str| Outcome::AuthFailed { code: code.into() };
    let table = [
        (
            200,
            "ok",
            Outcome::Accepted {
                provider_id: String::new(),
            },
        ),
        (400, "invalid_payload", rejected("invalid_payload")),
        (400, "no_text", rejected("no_text")),
        (400, "invalid_token", auth("invalid_token")),
        (403, "action_prohibited", auth("action_prohibited")),
        (403, "", auth("http_403")),
        (404, "channel_not_found", auth("channel_not_found")),
        (404, "no_service", auth("no_service")),
        (404, "no_active_hooks", auth("no_active_hooks")),
        (410, "channel_is_archived", auth("channel_is_archived")),
        (
            429,
            "rate_limited",
            Outcome::Throttled { retry_after: None },
        ),
        (
            500,
            "rollup_error",
            Outcome::Transient {
                code: "rollup_error".into(),
                retry_after: None,
            },
        ),
    ];
    for (status, word, expected) in table {
        let status = StatusCode::from_u16(status).expect("a status");
        let got = outcome(status, &HeaderMap::new(), word.as_bytes(), UnixMs(0));
        assert_eq!(got, expected, "{status} {word}");
    }
}

#[tokio::test]
async fn a_notice_arrives_escaped_and_failures_come_back() {
    let double = double(Kind::Slack).await;
    let http = Arc::new(Outbound::new(impatient(&double)).expect("a client"));
    let url = double.credentials()["url"]
        .as_str()
        .expect("a URL")
        .to_owned();
    let sender = SlackSender::new(http, &Secret::new(url), UnixMs::now).expect("a sender");
    let channel = target(Address::Slack);
    let mut push = push();
    let content = push.content.as_mut().expect("content");
    content.title = Redacted("a*b".into());
    content.body = Redacted(format!("<!channel> & {}", "é<".repeat(3_000)));
    let sent = sender.send(&channel, &push).await;
    assert_eq!(
        sent,
        Outcome::Accepted {
            provider_id: String::new()
        }
    );
    let came = double.deliveries().pop().expect("a delivery").payload;
    let json: serde_json::Value = serde_json::from_str(&came).expect("JSON");
    let text = json["blocks"][0]["text"]["text"].as_str().expect("a text");
    assert!(
        text.starts_with("*a\u{2217}b*\n&lt;!channel&gt; &amp; é&lt;"),
        "{text}"
    );
    assert!(!text.contains('<') && text.chars().count() <= SLACK_TEXT_CHARS);
    double.script(Step::retry(429, "3"));
    let limited = Outcome::Throttled {
        retry_after: Some(Duration::from_secs(3)),
    };
    assert_eq!(sender.send(&channel, &push).await, limited);
    for (action, expected) in [
        (Action::Drop, "connection_lost"),
        (Action::SlowHead { ms: 600_000 }, "timeout_headers"),
    ] {
        double.script(Step::once(action));
        assert_eq!(code(&sender.send(&channel, &push).await), expected);
    }
    // HTTP/1.1: the connection that carried both the first answers was one.
    assert_eq!(double.report().connections, 2);
}
