//! Values that a command may carry, whoever sends it.

use crate::error::ChatError;
use crate::model::{Mentions, RoomKind};
use kaiwa_common::id::Cid;
use kaiwa_common::limits::{CID_AHEAD, CID_WINDOW, CREATE_MEMBERS, MENTIONS, TITLE_CHARS};
use kaiwa_common::time::UnixMs;

/// A message's text.
///
/// # Errors
/// [`ChatError::Invalid`].
pub fn text(text: &str, max_bytes: u32) -> Result<(), ChatError> {
    let invalid = |rule| {
        Err(ChatError::Invalid {
            field: "text",
            rule,
        })
    };
    if text.is_empty() {
        return invalid("must not be empty");
    }
    if u32::try_from(text.len()).is_ok_and(|bytes| bytes <= max_bytes) {
        return if text.contains('\0') {
            invalid("must not contain U+0000")
        } else {
            Ok(())
        };
    }
    invalid("is longer than limits.text_bytes")
}

/// Whom a message names.
///
/// # Errors
/// [`ChatError::Invalid`].
pub fn mentions(mentions: &Mentions) -> Result<(), ChatError> {
    let is_sorted = mentions.users.is_sorted_by(|a, b| a < b);
    if mentions.users.len() <= MENTIONS && is_sorted {
        return Ok(());
    }
    Err(ChatError::Invalid {
        field: "mentions",
        rule: "at most 50 people, each once",
    })
}

/// A room's title, trimmed.
///
/// # Errors
/// [`ChatError::Invalid`].
pub fn title(title: &str) -> Result<String, ChatError> {
    let title = title.trim();
    let invalid = |rule| {
        Err(ChatError::Invalid {
            field: "title",
            rule,
        })
    };
    if title.is_empty() {
        return invalid("must not be empty");
    }
    if title.chars().count() > TITLE_CHARS {
        return invalid("1 to 128 characters");
    }
    if title.chars().any(char::is_control) {
        return invalid("must not contain control characters");
    }
    Ok(title.to_owned())
}

/// The kind of a room to be created with a title.
///
/// # Errors
/// [`ChatError::Invalid`] for a direct room, which is opened instead.
pub fn created_kind(kind: RoomKind) -> Result<(), ChatError> {
    match kind {
        RoomKind::Group | RoomKind::Broadcast => Ok(()),
        RoomKind::Direct => Err(ChatError::Invalid {
            field: "kind",
            rule: "group or broadcast",
        }),
    }
}

/// How many are invited by a creation.
///
/// # Errors
/// [`ChatError::Invalid`].
pub fn invited(count: usize) -> Result<(), ChatError> {
    if count <= CREATE_MEMBERS {
        Ok(())
    } else {
        Err(ChatError::Invalid {
            field: "members",
            rule: "at most 100 when a room is created",
        })
    }
}

/// A cid's own time: within the window in which a retry is told from a new write.
///
/// # Errors
/// [`ChatError::CidExpired`].
pub fn cid(cid: &Cid, now: UnixMs) -> Result<(), ChatError> {
    let made = UnixMs(cid.made_at_ms());
    if now.since(made) > CID_WINDOW || made.since(now) > CID_AHEAD {
        return Err(ChatError::CidExpired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cid_of(ms: i64) -> Cid {
        let mut bytes = [0x7f_u8; 16];
        bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        bytes[6] = 0x70;
        bytes[8] = 0x80;
        Cid::from_bytes(bytes)
    }

    #[test]
    fn a_text_has_1_to_its_bound_bytes_and_no_nul() {
        assert!(text("x", 4).is_ok());
        assert!(text("日本", 6).is_ok());
        for (wrong, max) in [("", 4), ("12345", 4), ("日本", 5), ("a\0b", 8)] {
            assert!(text(wrong, max).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_title_is_trimmed_and_not_empty() {
        assert_eq!(title("  Tea \n").as_deref(), Ok("Tea"));
        for wrong in ["", "  ", "a\nb", &"x".repeat(129)] {
            assert!(title(wrong).is_err(), "{wrong:?}");
        }
        assert!(title(&"話".repeat(128)).is_ok());
    }

    #[test]
    fn a_cid_is_refused_seven_days_after_and_a_day_before_its_time() {
        const DAY: i64 = 24 * 3600 * 1000;
        let now = UnixMs(1_790_000_000_000);
        for (age, fits) in [
            (0, true),
            (7 * DAY, true),
            (7 * DAY + 1, false),
            (-DAY, true),
            (-DAY - 1, false),
        ] {
            assert_eq!(cid(&cid_of(now.0 - age), now).is_ok(), fits, "{age}");
        }
    }
}
