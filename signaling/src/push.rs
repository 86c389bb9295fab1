//! Notifications to people who are away, as clients and operators see them: what is asked of whoever sends
//! them.
//!
//! [`Push`] is the port of the client protocol's commands, [`admin::NotifyAdmin`] that of the operators' calls.
//! Both are bound to the notifier by the root; a server without one answers `push_off`. Types here are
//! domain types, made from the wire's in `session::wire`.

pub mod admin;
pub mod command;
pub mod wire;

use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::borrow::Cow;
use std::pin::Pin;
use uuid::Uuid;

/// An answer to come. A change whose answer is dropped may have been made.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, PushError>> + Send + 'a>>;

/// Devices and settings of people who may be told of something. Each call is about the person named first, and
/// never shows or changes what is somebody else's.
pub trait Push: Send + Sync + 'static {
    /// How devices can be reached.
    fn info(&self) -> PushInfo;

    /// Registers a device, or its new address; its settings stay. Takes the address from whoever had it. The caller has
    /// checked the address's form; whether anything may be sent there is checked here.
    fn register(&self, user: UserId, registration: Registration) -> Answer<'_, Device>;

    /// Sets how a device is told.
    fn set_device(
        &self,
        user: UserId,
        device: DeviceId,
        settings: DeviceSettings,
    ) -> Answer<'_, Device>;

    /// A person's devices, the one heard of last first.
    fn devices(&self, user: UserId) -> Answer<'_, Vec<Device>>;

    /// Takes a device away, if it is there.
    fn remove_device(&self, user: UserId, device: DeviceId) -> Answer<'_, ()>;

    /// A person's settings.
    fn settings(&self, user: UserId) -> Answer<'_, NotifySettings>;

    /// Sets what holds for all of a person's devices.
    fn set_settings(&self, user: UserId, settings: PersonSettings) -> Answer<'_, NotifySettings>;

    /// Sets what holds for a room, which the caller knows to be one that the person may read. The default takes
    /// the room's settings away.
    fn set_room(
        &self,
        user: UserId,
        room: RoomId,
        settings: RoomSettings,
    ) -> Answer<'_, NotifySettings>;

    /// The newest decisions about a person, at most `limit`, the newest first.
    fn explain(
        &self,
        user: UserId,
        room: Option<RoomId>,
        limit: usize,
    ) -> Answer<'_, Vec<Decision>>;
}

/// Why a command of notifications is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Nothing is sent over this channel here.
    #[error("nothing is sent over {} here", .0.name())]
    ChannelOff(Channel),
    /// No device of that id is this person's.
    #[error("no device of that id is yours")]
    DeviceUnknown,
    /// Nothing may be sent to the address. Why, for a developer; it quotes nothing of the address.
    #[error("{0}")]
    AddressRefused(Cow<'static, str>),
    /// The time zone database has no such zone.
    #[error("no such time zone")]
    ZoneUnknown,
    /// Too many rooms have settings of their own.
    #[error("too many rooms have settings of their own")]
    TooManyRooms {
        /// How many may.
        limit: usize,
    },
    /// The store or a queue did not answer: try again. The change may have been made.
    #[error("the store did not answer")]
    Unavailable,
    /// Our fault.
    #[error("a fault of ours")]
    Internal,
}

impl From<PushError> for Refusal {
    fn from(error: PushError) -> Self {
        match error {
            PushError::ChannelOff(channel) => Self::new(
                ErrorCode::PushOff,
                "this server sends nothing over that channel: see `push_get`",
            )
            .with("channel", channel.name()),
            PushError::DeviceUnknown => Self::new(
                ErrorCode::DeviceUnknown,
                "no device of that id is yours: register it",
            ),
            PushError::AddressRefused(why) => address_refused(&why),
            PushError::ZoneUnknown => Self::new(
                ErrorCode::InvalidArgument,
                "zone: a name of the IANA time zone database, such as Asia/Tokyo",
            )
            .with("field", "zone"),
            PushError::TooManyRooms { limit } => Self::new(
                ErrorCode::LimitReached,
                "too many rooms have settings of their own: put one back to the default",
            )
            .with("limit", limit),
            PushError::Unavailable => Self::new(
                ErrorCode::Unavailable,
                "the store did not answer: try again",
            ),
            PushError::Internal => Self::new(ErrorCode::Internal, "the server failed: try again"),
        }
    }
}

/// The refusal of an address that nothing is sent to.
#[must_use]
pub fn address_refused(why: &str) -> Refusal {
    let text = "nothing is sent to that address: subscribe anew, and register what you get";
    Refusal::new(ErrorCode::AddressRefused, text).with("why", why)
}

/// A device or browser of a person. Two people may have one of the same id: their apps chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub Uuid);

/// A way to devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Web Push (RFC 8030).
    WebPush,
    /// Apple's.
    Apns,
    /// Google's.
    Fcm,
    /// An endpoint of an SNS platform application.
    Sns,
}

impl Channel {
    /// Its name in details and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebPush => "web_push",
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::Sns => "sns",
        }
    }
}

/// How devices can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushInfo {
    /// The server's VAPID key (RFC 8292), an uncompressed point of P-256; without it Web Push is off.
    pub vapid_key: Option<[u8; 65]>,
    /// The other channels that have a sender.
    pub channels: Vec<Channel>,
}

/// A device and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Which.
    pub device: DeviceId,
    /// For its owner's eyes.
    pub name: Redacted<String>,
    /// Where.
    pub address: Address,
}

/// Where a device is reached. Its form is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A push subscription.
    WebPush {
        /// An https URL with a host, without user and fragment.
        endpoint: Redacted<String>,
        /// The receiver's public key: 65 bytes that begin with 4. Whether it is on the curve is not known.
        p256dh: [u8; 65],
        /// Its authentication secret.
        auth: Redacted<[u8; 16]>,
    },
    /// An APNs device token.
    Apns {
        /// In small hexadecimal digits, an even number of them.
        token: Redacted<String>,
        /// Of a build from Xcode.
        is_sandbox: bool,
        /// The bundle id, with `.voip` for PushKit's token.
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
        }
    }
}

/// A device, without what would reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Which.
    pub id: DeviceId,
    /// For its owner's eyes.
    pub name: Redacted<String>,
    /// How it is reached.
    pub channel: Channel,
    /// When it told its address last.
    pub registered: UnixMs,
    /// When a provider last took a push for it.
    pub last_push: Option<UnixMs>,
    /// How it is told.
    pub settings: DeviceSettings,
}

/// How one device is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceSettings {
    /// Nothing is sent to it.
    pub is_muted: bool,
    /// No content leaves the server for it.
    pub is_wake_only: bool,
    /// When it is to be quiet.
    pub quiet: Option<QuietHours>,
}

/// Every day from one minute to another; over midnight when `until` is before `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    /// Minutes after midnight, less than 1,440.
    pub from_min: u16,
    /// Minutes after midnight, less than 1,440, and not `from_min`.
    pub until_min: u16,
    /// Looks like a name of the IANA time zone database.
    pub zone: String,
    /// What comes all the same.
    pub lets: Lets,
}

/// What comes through quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lets {
    /// Calls ring.
    pub calls: bool,
    /// Mentions are shown.
    pub mentions: bool,
}

/// Of which messages somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Level {
    /// Of all.
    #[default]
    All,
    /// Of those that mention or answer them.
    Mentions,
    /// Of none.
    Nothing,
}

/// What holds for all devices of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PersonSettings {
    /// Nothing is sent, but for calls when `lets_calls`.
    pub is_muted: bool,
    /// Calls ring though it is muted.
    pub lets_calls: bool,
    /// For rooms without a level of their own.
    pub level: Level,
}

/// What holds for one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomSettings {
    /// `None`: as the person's.
    pub level: Option<Level>,
    /// Nothing until then, but for what mentions.
    pub muted_until: Option<UnixMs>,
}

/// All settings of a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NotifySettings {
    /// For all devices.
    pub person: PersonSettings,
    /// For rooms, by their ids.
    pub rooms: Vec<(RoomId, RoomSettings)>,
    /// Greater at each change.
    pub version: u64,
}

/// Why somebody was told of something, or was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Of what.
    pub event: Uuid,
    /// When it was decided.
    pub time: UnixMs,
    /// Where it happened.
    pub room: Option<RoomId>,
    /// The message.
    pub seq: Option<u64>,
    /// Something was sent, or still is to be.
    pub is_sent: bool,
    /// A stable word.
    pub reason: Cow<'static, str>,
    /// For people: what it was that decided. No content of the message.
    pub message: Cow<'static, str>,
    /// Of each device that a push was made for.
    pub attempts: Vec<Attempt>,
}

/// What became of a push to one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which.
    pub device: DeviceId,
    /// When.
    pub time: UnixMs,
    /// The provider took it.
    pub is_accepted: bool,
    /// The provider's word, or ours.
    pub code: String,
}
