//! Enumerations. On the wire they are open: an unknown number is `None` here.

use crate::model::{ClipKind, Membership, Role, RoomKind, Visibility};
use kaiwa_proto::client::v1 as proto;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $from:ident: $domain:ident { $($variant:ident),* }) => {
        impl From<$domain> for proto::$domain {
            fn from(value: $domain) -> Self {
                match value { $($domain::$variant => Self::$variant,)* }
            }
        }

        $(#[$doc])*
        #[must_use]
        pub fn $from(number: i32) -> Option<$domain> {
            match proto::$domain::try_from(number).ok()? {
                proto::$domain::Unspecified => None,
                $(proto::$domain::$variant => Some($domain::$variant),)*
            }
        }
    };
}

wire_enum! {
    /// A room's kind from its number on the wire.
    room_kind: RoomKind { Direct, Group, Broadcast }
}
wire_enum! {
    /// A room's visibility from its number on the wire.
    visibility: Visibility { Private, Public }
}
wire_enum! {
    /// A clip's kind from its number on the wire.
    clip_kind: ClipKind { Video, Audio, Image }
}
wire_enum! {
    /// A role from its number on the wire.
    role: Role { Guest, Member, Moderator, Owner }
}
wire_enum! {
    /// A membership from its number on the wire.
    membership: Membership { Invited, Joined, Left }
}
