//! What a notification is made of. Plain values; wire and storage have types of their own.

use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::time::Duration;
use uuid::Uuid;

/// What happened, wherever and however often it is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub Uuid);

/// A device or browser of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub Uuid);

/// A way to devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Web Push (RFC 8030), browsers and UnifiedPush.
    WebPush,
    /// Apple's.
    Apns,
    /// Google's.
    Fcm,
    /// An endpoint of an SNS platform application.
    Sns,
    /// An operator's webhook.
    Slack,
}

/// Where a device is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A push subscription (W3C Push API, `PushSubscription`).
    WebPush {
        /// An https URL of the push service.
        endpoint: Redacted<String>,
        /// The receiver's public key: an uncompressed point of P-256.
        p256dh: [u8; 65],
        /// Its authentication secret.
        auth: Redacted<[u8; 16]>,
    },
    /// An APNs device token.
    Apns {
        /// In hexadecimal.
        token: Redacted<String>,
        /// Of a build from Xcode, not from the store.
        is_sandbox: bool,
        /// The app's bundle id, with `.voip` for a PushKit token.
        topic: String,
    },
    /// An FCM registration token.
    Fcm {
        /// As the app got it.
        token: Redacted<String>,
    },
    /// An SNS platform endpoint.
    Sns {
        /// Its ARN.
        endpoint_arn: Redacted<String>,
    },
    /// The operator's Slack webhook; which one is the sender's setting.
    Slack,
}

impl Address {
    /// Its channel.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Self::WebPush { .. } => Channel::WebPush,
            Self::Apns { .. } => Channel::Apns,
            Self::Fcm { .. } => Channel::Fcm,
            Self::Sns { .. } => Channel::Sns,
            Self::Slack => Channel::Slack,
        }
    }
}

/// A device as a push is sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub device: DeviceId,
    /// Where.
    pub address: Address,
}

/// How soon a device should be woken (RFC 8030, section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Urgency {
    /// When it is convenient.
    Low,
    /// With the screen's next light.
    Normal,
    /// At once: a person waits.
    High,
}

/// Unread messages in rooms that are not muted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Badge {
    /// How many.
    pub count: u32,
    /// A smaller version is older.
    pub version: u64,
}

/// What a push is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A message.
    Message,
    /// A message that mentions or answers the recipient.
    Mention,
    /// A call rings.
    Call,
    /// It need not ring any more.
    CallOver,
    /// A room was read elsewhere.
    Read,
    /// A clip is ready, or has failed.
    Clip,
    /// For an operator.
    Notice,
}

/// What a device is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Of what. With the device it makes the id by which a repeat is known.
    pub event: EventId,
    /// Whose kind.
    pub class: Class,
    /// Replaces what was shown with the same key: `room:…`, `call:…`, `clip:…`.
    pub collapse: String,
    /// Not after this.
    pub expires: UnixMs,
    /// How soon.
    pub urgency: Urgency,
    /// Shows nothing: badge, or taking shown notifications away.
    pub is_silent: bool,
    /// What it says; `None` when no content may leave the server (wake-only) or nothing is shown.
    pub content: Option<Content>,
    /// Where a click leads; for a silent one, which room was read or which call is over.
    pub subject: Subject,
    /// The number on the app's icon.
    pub badge: Option<Badge>,
    /// Whose it is: who has signed in as somebody else since must not see it.
    pub user: UserId,
}

/// What people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The first line: who, or where.
    pub title: Redacted<String>,
    /// The rest.
    pub body: Redacted<String>,
}

/// What a push is about, as ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// The room.
    pub room: Option<RoomId>,
    /// The message's place, or up to where it was read.
    pub seq: Option<u64>,
    /// The call.
    pub call: Option<String>,
    /// The clip.
    pub clip: Option<String>,
}

/// What became of one push to one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it.
    Accepted {
        /// Its id for it; may be empty.
        provider_id: String,
    },
    /// The device is not there any more, since this time where the provider tells (APNs).
    Unregistered {
        /// A registration later than this is a new one.
        since: Option<UnixMs>,
    },
    /// The token is not one of this app or environment: dead, or we are set up wrongly.
    BadToken {
        /// The provider's word.
        code: String,
    },
    /// Too much at once.
    Throttled {
        /// The provider's wish.
        retry_after: Option<Duration>,
    },
    /// It may work later: no connection, time-out, 5xx.
    Transient {
        /// What happened.
        code: String,
        /// The provider's wish.
        retry_after: Option<Duration>,
    },
    /// The provider does not know us: no push will work until somebody mends it.
    AuthFailed {
        /// The provider's word.
        code: String,
    },
    /// More than the provider takes.
    TooLarge {
        /// Bytes that it takes.
        limit: usize,
    },
    /// It will never work as it is.
    Rejected {
        /// The provider's word, or ours.
        code: String,
    },
}
