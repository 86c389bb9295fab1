//! A decision as a value, with what each rule found: what a person can be shown who asks why.

use crate::model::{Channel, Class, DeviceId};
use kaiwa_common::time::UnixMs;

/// A rule, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The event's end has not passed.
    Expiry,
    /// The recipient did not do it themselves.
    Author,
    /// The server tells of this class.
    Server,
    /// The person is not muted altogether.
    Person,
    /// The room is not muted.
    RoomMute,
    /// The room's level lets the class through.
    RoomLevel,
    /// There is a device, and of a silent push one that may show what is to be taken away.
    Devices,
    /// The device takes pushes, over a channel that has a sender here.
    Device,
    /// It is not in its quiet hours.
    QuietHours,
    /// It has not been read or delivered since.
    Seen,
    /// The room is not busy.
    Digest,
}

/// What a rule found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ruling {
    /// Nothing against it.
    Passes,
    /// It would have stopped it, but for a mention or a call.
    Overridden,
    /// Not now.
    Waits,
    /// Not at all.
    Stops,
}

impl Ruling {
    pub(super) fn stops_if(stops: bool) -> Self {
        if stops { Self::Stops } else { Self::Passes }
    }

    pub(super) fn stops_unless(is_overridden: bool) -> Self {
        if is_overridden {
            Self::Overridden
        } else {
            Self::Stops
        }
    }
}

/// A rule and what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// Which rule.
    pub rule: Rule,
    /// What it found.
    pub ruling: Ruling,
}

/// Why nothing is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Too late.
    Expired,
    /// They did it themselves.
    Author,
    /// The server's rule.
    Server,
    /// Muted altogether.
    Muted,
    /// The room is muted.
    RoomMuted,
    /// The room's level.
    RoomLevel,
    /// No device.
    NoDevice,
    /// Nothing on any device to be taken away.
    NothingShown,
    /// The person turned this device off.
    Disabled,
    /// The provider called its token bad lately.
    Quarantined,
    /// No sender for its channel here.
    NoSender,
    /// Quiet hours, which it cannot outlive.
    Quiet,
    /// Delivered to a device that acknowledged it.
    Delivered,
    /// Read.
    Read,
}

/// What is to be done for one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A push.
    Push,
    /// A push later, unless a rule is then against it: quiet hours or a busy room.
    Wait {
        /// When.
        until: UnixMs,
    },
    /// None.
    Suppressed(Reason),
}

/// What was decided for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceDecision {
    /// Which.
    pub device: DeviceId,
    /// Over what it would go.
    pub channel: Channel,
    /// The rules that were asked of it, after the person's.
    pub steps: Vec<Step>,
    /// The result.
    pub verdict: Verdict,
}

/// What was decided for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What it would be for them.
    pub class: Class,
    /// The rules that were asked of the person.
    pub steps: Vec<Step>,
    /// Why all of them get nothing; `None` when the devices say.
    pub suppressed: Option<Reason>,
    /// What each device gets.
    pub devices: Vec<DeviceDecision>,
}

impl Decision {
    /// Some device gets a push now.
    #[must_use]
    pub fn has_push(&self) -> bool {
        self.devices.iter().any(|d| d.verdict == Verdict::Push)
    }

    /// Every verdict in it.
    pub fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        let all = self.suppressed.map(Verdict::Suppressed);
        all.into_iter()
            .chain(self.devices.iter().map(|d| d.verdict))
    }
}

macro_rules! named {
    ($type:ident: $($variant:ident = $name:literal),+ $(,)?) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name: stored, shown, and a label of metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// The one with this name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

named! { Rule:
    Expiry = "expiry", Author = "author", Server = "server", Person = "person",
    RoomMute = "room_mute", RoomLevel = "room_level", Devices = "devices", Device = "device",
    QuietHours = "quiet_hours", Seen = "seen", Digest = "digest",
}

named! { Ruling:
    Passes = "passes", Overridden = "overridden", Waits = "waits", Stops = "stops",
}

named! { Reason:
    Expired = "expired", Author = "author", Server = "server", Muted = "muted",
    RoomMuted = "room_muted", RoomLevel = "room_level", NoDevice = "no_device",
    NothingShown = "nothing_shown", Disabled = "disabled", Quarantined = "quarantined",
    NoSender = "no_sender", Quiet = "quiet", Delivered = "delivered", Read = "read",
}
