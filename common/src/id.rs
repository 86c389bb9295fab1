//! Identifiers. Each is its own type, checked where it is made.

use crate::position::Seq;
use crate::redact::write_short;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// A text is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: {rule}")]
pub struct InvalidId {
    /// Which kind of identifier was expected, such as "user id".
    pub kind: &'static str,
    /// The rule that the text breaks.
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most bytes that one has.
            pub const MAX_BYTES: usize = $max;

            /// Checks a text from outside.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, too long, or has a character that is not allowed.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let rule = concat!("1 to ", $max, " characters of A-Z a-z 0-9 and ", $extra);
                let allowed = |b: u8| b.is_ascii_alphanumeric() || $extra.as_bytes().contains(&b);
                if text.is_empty() || text.len() > $max || !text.bytes().all(allowed) {
                    return Err(InvalidId { kind: $kind, rule });
                }
                Ok(Self(Arc::from(text)))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A person: the `sub` of their token. It may be an e-mail address, so `Debug` shows a short form.
    UserId, "user id", 64, "._-@:|"
}
text_id! {
    /// One installation of an app; chosen by the client.
    DeviceId, "device id", 64, "._-"
}
text_id! {
    /// A room: `r_…` for one that was created, `d_…` for the room of a pair.
    RoomId, "room id", 40, "_"
}
text_id! {
    /// A session: unguessable, since it is what a resume shows.
    SessionId, "session id", 40, "_"
}

/// A clip: a UUIDv7 (RFC 9562, section 5.7), written in lower case with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClipId(pub Uuid);

impl ClipId {
    /// Checks a text from outside.
    ///
    /// # Errors
    /// [`InvalidId`] when it is not the hyphenated form of a UUID of version 7 in lower case.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId {
            kind: "clip id",
            rule: "a UUID of version 7, as 36 characters in lower case",
        };
        let id = Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| invalid.clone())?;
        if id.0.get_version_num() == 7 && id.to_string() == text {
            Ok(id)
        } else {
            Err(invalid)
        }
    }

    /// The key under which its message is posted, once for each room.
    #[must_use]
    pub fn cid(&self) -> Cid {
        Cid(self.0)
    }

    /// The key under which it is posted anew in a room where its message at `deleted` was deleted: another for each, and
    /// the same each time it is asked for.
    #[must_use]
    pub fn cid_after(&self, deleted: Seq) -> Cid {
        // The 62 bits at the end are random (RFC 9562, section 5.7); time and version stay.
        let random = u128::from(deleted.0) & ((1 << 62) - 1);
        Cid(Uuid::from_u128(self.0.as_u128() ^ random))
    }
}

impl fmt::Display for ClipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_short(f, &self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_short(f, &self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_short(f, &self.0)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RoomId {
    /// The id of a new room, from 128 random or time-ordered bits.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(Arc::from(format!("r_{}", uuid.simple())))
    }

    /// The one direct room of two people, whatever their order: the first 128 bits of the SHA-256 of
    /// both ids, so that two creators at once meet in one room.
    #[must_use]
    pub fn direct(a: &UserId, b: &UserId) -> Self {
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        // A newline cannot be part of a user id, so no two pairs give the same text.
        let text = format!("{first}\n{second}");
        let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let hex: String = hash.as_ref()[..16]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        Self(Arc::from(format!("d_{hex}")))
    }
}

impl SessionId {
    /// A new session's id from 128 bits of the operating system's randomness.
    ///
    /// # Panics
    /// When the operating system has no randomness to give, without which nothing here is safe.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(Arc::from(format!("s_{}", Uuid::from_bytes(bytes).simple())))
    }
}

/// A write's idempotency key: a UUIDv7 (RFC 9562, section 5.7) made once by the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cid(Uuid);

impl Cid {
    /// Checks a text from outside.
    ///
    /// # Errors
    /// [`InvalidId`] when it is not the hyphenated form of a UUID of version 7.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId {
            kind: "cid",
            rule: "a UUID of version 7, as 36 characters",
        };
        if text.len() != 36 {
            return Err(invalid);
        }
        match Uuid::try_parse(text) {
            Ok(uuid) if uuid.get_version_num() == 7 => Ok(Self(uuid)),
            Ok(_) | Err(_) => Err(invalid),
        }
    }

    /// The cid with these 16 bytes, as a store gives them back.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// When the client made it, in ms since the Unix epoch, by the client's clock.
    #[must_use]
    pub fn made_at_ms(&self) -> i64 {
        let bytes = self.0.as_bytes();
        let mut ms = [0_u8; 8];
        ms[2..].copy_from_slice(&bytes[..6]);
        i64::from_be_bytes(ms)
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        UserId::parse(text).expect("a user id")
    }

    #[test]
    fn a_pair_has_one_direct_room_in_either_order() {
        assert_eq!(
            RoomId::direct(&user("alice"), &user("bob")),
            RoomId::direct(&user("bob"), &user("alice"))
        );
        assert_ne!(
            RoomId::direct(&user("alice"), &user("bob")),
            RoomId::direct(&user("alice"), &user("bo"))
        );
    }

    #[test]
    fn made_ids_pass_their_own_check() {
        let made = [
            RoomId::direct(&user("a"), &user("b")),
            RoomId::from_uuid(Uuid::from_u128(7)),
        ];
        for room in made {
            assert_eq!(RoomId::parse(room.as_str()), Ok(room));
        }
        let session = SessionId::generate();
        assert_eq!(SessionId::parse(session.as_str()), Ok(session));
    }

    #[test]
    fn ids_with_other_characters_or_lengths_are_refused() {
        for text in ["", "a b", "a\nb", "é", "a/b", &"a".repeat(65)] {
            assert!(UserId::parse(text).is_err(), "{text:?}");
        }
        assert!(UserId::parse("auth0|5f7c8ec7c33c6c004bbafe82").is_ok());
        assert!(UserId::parse("someone@example.org").is_ok());
    }

    #[test]
    fn a_cid_tells_when_it_was_made() {
        // The example of RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC.
        let cid = Cid::parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F").expect("a cid");
        assert_eq!(cid.made_at_ms(), 1_645_557_742_000);
        assert_eq!(Cid::from_bytes(*cid.as_bytes()), cid);
        assert_eq!(cid.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    }

    #[test]
    fn other_uuids_are_no_cids() {
        for text in [
            "",
            "919108f7-52d1-4320-9bac-f847db4148a8",
            "017f22e279b07cc398c4dc0c0c07398f",
            "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        ] {
            assert!(Cid::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_clip_id_is_a_uuid_of_version_7_in_lower_case() {
        let text = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
        let clip = ClipId::parse(text).expect("a clip id");
        assert_eq!(clip.to_string(), text);
        assert_eq!(clip.cid().to_string(), text);
        for wrong in [
            "",
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
            "017f22e279b07cc398c4dc0c0c07398f",
            "919108f7-52d1-4320-9bac-f847db4148a8",
        ] {
            assert!(ClipId::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn people_and_sessions_do_not_reach_logs_whole() {
        assert_eq!(format!("{:?}", user("someone@example.org")), "so…19");
    }
}
