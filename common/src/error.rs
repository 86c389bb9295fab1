//! Refusals, as stable numbers and names: the one table that every domain error maps to.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $reason:literal, $temporary:literal;)*) => {
        /// Why a command is refused. `docs/protocol.md`, section 7, is this table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self { $(Self::$name => $number,)* }
            }

            /// The stable name on the wire.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)* }
            }

            /// Whether the same command may succeed later, unchanged.
            #[must_use]
            pub const fn is_temporary(self) -> bool {
                match self { $(Self::$name => $temporary,)* }
            }
        }
    };
}

error_codes! {
    /// Our fault; a write may have happened.
    Internal = 100, "internal", true;
    /// Not of the codec, or a field of the wrong type.
    Malformed = 101, "malformed", false;
    /// No command that this version knows.
    UnknownCommand = 102, "unknown_command", false;
    /// Over a bound in bytes.
    TooLarge = 103, "too_large", false;
    /// A queue is full; nothing happened.
    Overloaded = 104, "overloaded", true;
    /// The server is about to stop; nothing happened.
    Draining = 105, "draining", true;
    /// A command before `Connect`.
    NotConnected = 106, "not_connected", false;
    /// A second `Connect`.
    AlreadyConnected = 107, "already_connected", false;
    /// The store did not answer; a write may have happened.
    Unavailable = 108, "unavailable", true;
    /// The token is no good.
    TokenInvalid = 200, "token_invalid", false;
    /// The token's time is over.
    TokenExpired = 201, "token_expired", false;
    /// A token of somebody else.
    IdentityMismatch = 202, "identity_mismatch", false;
    /// The role does not allow it.
    Forbidden = 300, "forbidden", false;
    /// Too many commands in too short a time.
    RateLimited = 301, "rate_limited", true;
    /// A bound on a count is reached.
    LimitReached = 302, "limit_reached", false;
    /// A value out of its range.
    InvalidArgument = 400, "invalid_argument", false;
    /// No such room, or none for this person.
    RoomNotFound = 401, "room_not_found", false;
    /// In a room that one could join.
    NotAMember = 402, "not_a_member", false;
    /// No such message in the room.
    MessageNotFound = 403, "message_not_found", false;
    /// The message was deleted.
    MessageDeleted = 404, "message_deleted", false;
    /// A `cid` that is too old to be told from a retry.
    CidExpired = 405, "cid_expired", false;
    /// Nobody of that id.
    UserNotFound = 406, "user_not_found", false;
    /// The room takes no more members.
    RoomFull = 407, "room_full", false;
    /// Not possible in a room of this kind.
    WrongRoomKind = 408, "wrong_room_kind", false;
    /// The last owner cannot go.
    LastOwner = 409, "last_owner", false;
    /// The `cid` named another kind of write.
    CidConflict = 410, "cid_conflict", false;
    /// The session is not in this room's call.
    NotInCall = 500, "not_in_call", false;
    /// Nobody of that id in the call.
    ParticipantNotFound = 501, "participant_not_found", false;
    /// No such publication in the call.
    PublicationNotFound = 502, "publication_not_found", false;
    /// A bound of the call is reached.
    CallFull = 503, "call_full", false;
    /// A session description that can't be answered.
    BadOffer = 504, "bad_offer", false;
    /// Rung already, or in the call.
    AlreadyCalled = 505, "already_called", false;
    /// The SFU takes no commands now; nothing happened.
    CallsUnavailable = 506, "calls_unavailable", true;
    /// This server has no calls.
    CallsOff = 507, "calls_off", false;
    /// This server sends no notifications, or none over that channel.
    PushOff = 600, "push_off", false;
    /// No device of that id among one's own.
    DeviceUnknown = 601, "device_unknown", false;
    /// An address that nothing is sent to.
    AddressRefused = 602, "address_refused", false;
}

/// A refusal as it goes to a client: a code, words for a developer, and particulars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, from the table.
    pub code: ErrorCode,
    /// One English sentence that says what to do about it.
    pub message: Cow<'static, str>,
    /// For temporary ones: how long to wait.
    pub retry_after: Duration,
    /// Particulars, such as `("field", "title")`.
    pub details: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal in plain words.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = if code.is_temporary() {
            Duration::from_millis(500)
        } else {
            Duration::ZERO
        };
        Self {
            code,
            message: message.into(),
            retry_after,
            details: Vec::new(),
        }
    }

    /// With one more particular.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.details.push((key, value.to_string()));
        self
    }

    /// To be tried again after this long.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = wait;
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}): {}",
            self.code.reason(),
            self.code.number(),
            self.message
        )
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_ascend_and_names_are_unique() {
        assert!(
            ErrorCode::ALL
                .windows(2)
                .all(|w| w[0].number() < w[1].number())
        );
        let names: BTreeSet<_> = ErrorCode::ALL.iter().map(|c| c.reason()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn only_temporary_refusals_name_a_time_to_wait() {
        for &code in ErrorCode::ALL {
            assert_eq!(
                Refusal::new(code, "").retry_after.is_zero(),
                !code.is_temporary()
            );
        }
    }
}
