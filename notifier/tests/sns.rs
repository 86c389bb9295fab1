//! The sender for SNS platform endpoints against moto, which keeps endpoints and answers for disabled and deleted
//! ones as SNS does: the real SDK over HTTP.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

#[path = "../../platform/tests/queue/emulator.rs"]
#[expect(dead_code, reason = "its other half is for queues")]
mod emulator;

use aws_sdk_sns::Client;
use emulator::{Emulator, Kind, config};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::model::{
    Address, Class, Content, DeviceId, EventId, Outcome, Push, Subject, Target, Urgency,
};
use kaiwa_notifier::senders::sns::SnsSender;
use kaiwa_notifier::senders::{PushSender as _, address};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

fn push() -> Push {
    Push {
        event: EventId(Uuid::from_u128(7)),
        class: Class::Message,
        collapse: "room:r_1".to_owned(),
        expires: UnixMs::now().plus(Duration::from_secs(600)),
        urgency: Urgency::Normal,
        is_silent: false,
        content: Some(Content {
            title: Redacted("Alice".to_owned()),
            body: Redacted("the secret plan".to_owned()),
        }),
        subject: Subject {
            room: Some(RoomId::parse("r_1").unwrap()),
            seq: Some(5),
            call: None,
            clip: None,
        },
        badge: None,
        user: UserId::parse("bob").unwrap(),
    }
}

/// As it is registered: of one of the operator's applications.
fn device(application: &str, endpoint: &str) -> Target {
    Target {
        device: DeviceId(Uuid::from_u128(11)),
        address: address::sns(&[application.to_owned()], endpoint).unwrap(),
    }
}

async fn application(sns: &Client, platform: &str) -> String {
    let call = sns.create_platform_application().name("kaiwa");
    let call = call
        .platform(platform)
        .attributes("PlatformCredential", "x");
    let made = call.send().await.unwrap();
    made.platform_application_arn.unwrap()
}

async fn endpoint(sns: &Client, application: &str, token: &str) -> String {
    let call = sns.create_platform_endpoint();
    let call = call.platform_application_arn(application).token(token);
    call.send().await.unwrap().endpoint_arn.unwrap()
}

#[tokio::test]
async fn endpoints_get_pushes_and_those_that_are_dead_say_so() {
    let emulator = Emulator::start(Kind::Moto).await;
    let config = emulator.config().await;
    let (sns, sender) = (Client::new(&config), SnsSender::new(&config, UnixMs::now));
    for platform in ["GCM", "APNS", "APNS_SANDBOX", "ADM"] {
        let application = application(&sns, platform).await;
        let endpoint = endpoint(&sns, &application, &format!("token-{platform}")).await;
        let phone = device(&application, &endpoint);
        let sent = sender.send(&phone, &push()).await;
        assert!(
            matches!(&sent, Outcome::Accepted { provider_id } if !provider_id.is_empty()),
            "{platform}: {sent:?}"
        );

        // As SNS does when the provider has called the token dead.
        let call = sns.set_endpoint_attributes().endpoint_arn(&endpoint);
        call.attributes("Enabled", "false").send().await.unwrap();
        let gone = Outcome::Unregistered { since: None };
        assert_eq!(sender.send(&phone, &push()).await, gone, "{platform}");
        let call = sns.delete_endpoint().endpoint_arn(&endpoint);
        call.send().await.unwrap();
        assert_eq!(sender.send(&phone, &push()).await, gone, "{platform}");
    }

    let late = Push {
        expires: UnixMs(0),
        ..push()
    };
    let application = application(&sns, "GCM").await;
    let phone = device(&application, &endpoint(&sns, &application, "late").await);
    let refused = sender.send(&phone, &late).await;
    assert!(matches!(refused, Outcome::Rejected { code } if code == "expired"));
}

/// One answer in HTTP to one request, whose form fields it gives.
async fn one_answer(listener: &TcpListener, status: &str, headers: &str, body: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    let end = loop {
        assert!(
            stream.read_buf(&mut request).await.unwrap() > 0,
            "half a request"
        );
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    while request.len() < end + length {
        assert!(
            stream.read_buf(&mut request).await.unwrap() > 0,
            "half a request"
        );
    }
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(request[end..].to_vec()).unwrap()
}

fn error(code: &str, text: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{text}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )
}

/// What no emulator says: too much at once, no leave, a fault of its own; and what SNS is told.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn refusals_are_read_from_the_wire_and_nothing_is_tried_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sender = SnsSender::new(&config(&url, "test").await, UnixMs::now);
    let application = "arn:aws:sns:us-east-1:123456789012:app/APNS_SANDBOX/kaiwa";
    let phone = device(application, &endpoint_of(application));
    let mut asked = Vec::new();
    for (status, headers, code, text, expected) in [
        (
            "429 Too Many Requests",
            "retry-after: 7\r\n",
            "Throttled",
            "",
            Outcome::Throttled {
                retry_after: Some(Duration::from_secs(7)),
            },
        ),
        (
            "403 Forbidden",
            "",
            "AuthorizationError",
            "",
            Outcome::AuthFailed {
                code: "AuthorizationError".to_owned(),
            },
        ),
        (
            "400 Bad Request",
            "",
            "InvalidParameter",
            "Invalid parameter: TargetArn Reason: No endpoint found for the target arn specified",
            Outcome::Unregistered { since: None },
        ),
        (
            "500 Internal Server Error",
            "",
            "InternalError",
            "",
            Outcome::Transient {
                code: "InternalError".to_owned(),
                retry_after: None,
            },
        ),
    ] {
        let push = push();
        let (request, outcome) = tokio::join!(
            async { one_answer(&listener, status, headers, &error(code, text)).await },
            sender.send(&phone, &push)
        );
        assert_eq!(outcome, expected, "{code}");
        asked.push(request);
    }

    let fields = form(&asked[0]);
    let value = |name: &str| {
        let found = fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(value("Action"), Some("Publish"));
    assert_eq!(value("MessageStructure"), Some("json"));
    assert!(
        value("TargetArn")
            .unwrap()
            .contains(":endpoint/APNS_SANDBOX/")
    );
    let message: Value = serde_json::from_str(value("Message").unwrap()).unwrap();
    let apple: Value = serde_json::from_str(message["APNS_SANDBOX"].as_str().unwrap()).unwrap();
    assert_eq!(apple["aps"]["alert"]["body"], "the secret plan");
    let names: Vec<&str> = (1..=4)
        .filter_map(|number| value(&format!("MessageAttributes.entry.{number}.Name")))
        .collect();
    for name in [
        "AWS.SNS.MOBILE.APNS_SANDBOX.TTL",
        "AWS.SNS.MOBILE.APNS.PUSH_TYPE",
        "AWS.SNS.MOBILE.APNS.PRIORITY",
        "AWS.SNS.MOBILE.APNS.COLLAPSE_ID",
    ] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
}

#[tokio::test]
async fn an_amazon_that_is_not_there_is_tried_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let sender = SnsSender::new(&config(&url, "test").await, UnixMs::now);
    let application = "arn:aws:sns:us-east-1:123456789012:app/GCM/kaiwa";
    let phone = device(application, &endpoint_of(application));
    let outcome = sender.send(&phone, &push()).await;
    assert!(
        matches!(&outcome, Outcome::Transient { code, .. } if code == "connect"),
        "{outcome:?}"
    );
    let browser = Target {
        address: Address::Slack,
        ..phone
    };
    let outcome = sender.send(&browser, &push()).await;
    assert!(matches!(&outcome, Outcome::Rejected { code } if code == "wrong_channel"));
}

/// An endpoint of the application.
fn endpoint_of(application: &str) -> String {
    format!("{}/5e3e9847", application.replace(":app/", ":endpoint/"))
}

/// Fields of `application/x-www-form-urlencoded`.
fn form(body: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}
