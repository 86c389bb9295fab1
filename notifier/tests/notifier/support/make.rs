//! Values for tests.

use kaiwa_common::id::{self, RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_notifier::core::settings::{Device, DeviceSettings};
use kaiwa_notifier::event::{
    Call, CallOver, Clip, Event, Message, OverReason, Place, RoomKind, What,
};
use kaiwa_notifier::model::{Address, DeviceId, EventId};
use std::time::Duration;
use uuid::Uuid;

/// 2026-11-28 12:00 UTC.
pub(crate) const NOON: UnixMs = UnixMs(1_795_867_200_000);

pub(crate) const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user id")
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).expect("a room id")
}

pub(crate) fn installation(name: &str) -> id::DeviceId {
    id::DeviceId::parse(name).expect("a device id")
}

pub(crate) fn event_id(number: u128) -> EventId {
    EventId(Uuid::from_u128(number))
}

pub(crate) fn web(token: &str) -> Address {
    Address::WebPush {
        endpoint: Redacted(format!("https://{token}")),
        p256dh: [4; 65],
        auth: Redacted([1; 16]),
    }
}

pub(crate) fn apns(token: &str) -> Address {
    Address::Apns {
        token: Redacted(token.to_owned()),
        is_sandbox: false,
        topic: "org.example.app".to_owned(),
    }
}

pub(crate) fn fcm(token: &str) -> Address {
    Address::Fcm {
        token: Redacted(token.to_owned()),
    }
}

pub(crate) fn device(number: u128, address: Address) -> Device {
    Device {
        id: DeviceId(Uuid::from_u128(number)),
        installation: installation("phone"),
        address,
        label: Redacted("phone".to_owned()),
        registered: UnixMs(0),
        settings: DeviceSettings::default(),
        strikes: 0,
        quarantined: None,
        last_push: None,
    }
}

pub(crate) fn event(number: u128, time: UnixMs, to: &[&str], what: What) -> Event {
    Event {
        id: event_id(number),
        time,
        expires: time.plus(WEEK),
        traceparent: String::new(),
        recipients: to.iter().map(|name| user(name)).collect(),
        what,
    }
}

pub(crate) fn message(seq: u64, mentions: &[&str]) -> What {
    message_in("r_a", seq, mentions)
}

pub(crate) fn message_in(name: &str, seq: u64, mentions: &[&str]) -> What {
    What::Message(Message {
        place: Place {
            room: room(name),
            epoch: 1,
            seq,
            message: seq,
        },
        kind: RoomKind::Group,
        room_title: Redacted("Room".to_owned()),
        sender: user("alice"),
        sender_name: Redacted("Alice".to_owned()),
        text: Redacted("Hello".to_owned()),
        mentions: mentions.iter().map(|name| user(name)).collect(),
    })
}

pub(crate) fn call(id: &str) -> What {
    What::Call(Call {
        room: room("r_a"),
        room_title: Redacted(String::new()),
        id: id.to_owned(),
        caller: user("alice"),
        caller_name: Redacted("Alice".to_owned()),
    })
}

pub(crate) fn call_over(id: &str) -> What {
    What::CallOver(CallOver {
        room: room("r_a"),
        id: id.to_owned(),
        reason: OverReason::Answered,
    })
}

pub(crate) fn read(seq: u64) -> What {
    What::Read(Place {
        room: room("r_a"),
        epoch: 1,
        seq,
        message: seq,
    })
}

/// Alice's clip is ready.
pub(crate) fn clip(id: &str) -> What {
    What::Clip(Clip {
        id: id.to_owned(),
        room: Some(room("r_a")),
        place: None,
        uploader: Some(user("alice")),
        uploader_name: Redacted("Alice".to_owned()),
        title: Redacted("Holidays".to_owned()),
        is_ready: true,
        reason: String::new(),
    })
}
