//! What people, rooms, devices and the server may set.

use super::quiet::QuietHours;
use crate::model::{Address, Channel, Class, DeviceId};
use kaiwa_common::id;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;

/// For how long nothing is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mute {
    /// Not muted.
    #[default]
    Off,
    /// Until then; from that moment on, not any more.
    Until(UnixMs),
    /// Until it is taken back.
    Forever,
}

impl Mute {
    /// It holds at this time.
    #[must_use]
    pub fn holds(self, now: UnixMs) -> bool {
        match self {
            Self::Off => false,
            Self::Until(end) => now < end,
            Self::Forever => true,
        }
    }
}

/// What of a room a person wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Level {
    /// Every message.
    #[default]
    All,
    /// Mentions and answers; calls too.
    Mentions,
    /// Nothing, whatever it is.
    Nothing,
}

/// A person's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonSettings {
    /// Muted altogether: nothing comes through it but calls, if `calls_override`.
    pub muted: Mute,
    /// What they want of rooms without a level of their own.
    pub level: Level,
    /// Mentions come through a room's mute.
    pub mentions_override: bool,
    /// Calls ring through every mute and through quiet hours.
    pub calls_override: bool,
    /// No content leaves the server for any of their devices.
    pub is_wake_only: bool,
    /// The app's icon shows how much is unread.
    pub has_badge: bool,
}

/// What of a person's settings changes; the rest stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PersonChange {
    /// See [`PersonSettings::muted`].
    pub muted: Option<Mute>,
    /// See [`PersonSettings::level`].
    pub level: Option<Level>,
    /// See [`PersonSettings::calls_override`].
    pub calls_override: Option<bool>,
}

impl PersonChange {
    /// These, changed.
    #[must_use]
    pub fn of(self, before: PersonSettings) -> PersonSettings {
        PersonSettings {
            muted: self.muted.unwrap_or(before.muted),
            level: self.level.unwrap_or(before.level),
            calls_override: self.calls_override.unwrap_or(before.calls_override),
            ..before
        }
    }
}

impl Default for PersonSettings {
    fn default() -> Self {
        Self {
            muted: Mute::Off,
            level: Level::All,
            mentions_override: true,
            calls_override: false,
            is_wake_only: false,
            has_badge: true,
        }
    }
}

/// A person's settings for one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomSettings {
    /// Until when it is muted.
    pub muted: Mute,
    /// What of it they want otherwise; `None`: as of rooms in general.
    pub level: Option<Level>,
}

impl RoomSettings {
    /// Its unread messages do not count on the icon. A person's own level says nothing of that: rooms that
    /// it holds for are not known one by one.
    #[must_use]
    pub fn is_uncounted(self, now: UnixMs) -> bool {
        self.muted.holds(now) || self.level == Some(Level::Nothing)
    }
}

/// A device's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSettings {
    /// Pushes go to it.
    pub is_enabled: bool,
    /// No content leaves the server for it.
    pub is_wake_only: bool,
    /// When it is to be quiet.
    pub quiet: Option<QuietHours>,
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self {
            is_enabled: true,
            is_wake_only: false,
            quiet: None,
        }
    }
}

/// A device of a person, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Which.
    pub id: DeviceId,
    /// What the app calls itself; two people who use one browser have the same.
    pub installation: id::DeviceId,
    /// Where it is reached.
    pub address: Address,
    /// What the person calls it.
    pub label: Redacted<String>,
    /// When this address was registered.
    pub registered: UnixMs,
    /// Its settings.
    pub settings: DeviceSettings,
    /// How often its provider has called its token bad since it was registered.
    pub strikes: u32,
    /// Nothing is sent to it before this.
    pub quarantined: Option<UnixMs>,
    /// When its provider last took a push for it.
    pub last_push: Option<UnixMs>,
}

impl Device {
    /// Its channel.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.address.channel()
    }
}

/// The server's rules, before anybody's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerRules {
    /// Classes that nobody is told of.
    pub off: Vec<Class>,
    /// No content leaves the server at all.
    pub is_wake_only: bool,
    /// Channels that have a sender here.
    pub channels: Vec<Channel>,
}
