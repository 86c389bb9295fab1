//! A push and its devices, for tests.

use crate::model::{
    Address, Badge, Class, Content, DeviceId, EventId, Outcome, Push, Subject, Target, Urgency,
};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::outbound::{Guard, OutboundConfig};
use kaiwa_provider_doubles::{Double, Kind, Options};
use std::time::Duration;
use uuid::Uuid;

pub(crate) fn push() -> Push {
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
            room: Some(RoomId::parse("r_1").expect("a room id")),
            seq: Some(5),
            call: None,
            clip: None,
        },
        badge: Some(Badge {
            count: 3,
            version: 9,
        }),
        user: UserId::parse("bob").expect("a user id"),
    }
}

pub(crate) fn target(address: Address) -> Target {
    Target {
        device: DeviceId(Uuid::from_u128(11)),
        address,
    }
}

pub(crate) fn target_web() -> Target {
    target(Address::WebPush {
        endpoint: Redacted("https://push.example/secret-capability".to_owned()),
        p256dh: [4; 65],
        auth: Redacted([1; 16]),
    })
}

/// A client that reaches the doubles on this machine and trusts their authority.
pub(crate) fn reaching(double: &Double) -> OutboundConfig {
    OutboundConfig {
        guard: Guard::new(&["127.0.0.0/8"]).expect("a guard"),
        extra_roots: Some(double.ca_pem().as_bytes().to_vec()),
        ..OutboundConfig::default()
    }
}

/// With time-outs that a test can wait for, and that a busy machine keeps otherwise.
pub(crate) fn impatient(double: &Double) -> OutboundConfig {
    let mut config = reaching(double);
    config.timeouts.headers = Duration::from_secs(3);
    config.timeouts.body = Duration::from_secs(3);
    config
}

pub(crate) async fn double(kind: Kind) -> Double {
    Double::start(Options::new(kind)).await.expect("a double")
}

/// A code that an outcome carries.
pub(crate) fn code(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::BadToken { code }
        | Outcome::Transient { code, .. }
        | Outcome::AuthFailed { code }
        | Outcome::Rejected { code } => code,
        Outcome::Accepted { .. }
        | Outcome::Unregistered { .. }
        | Outcome::Throttled { .. }
        | Outcome::TooLarge { .. } => "",
    }
}

/// Until a client has heard that its connections end.
pub(crate) async fn until_closed(connections: impl Fn() -> usize) {
    while connections() > 0 {
        tokio::task::yield_now().await;
    }
}
