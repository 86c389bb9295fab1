//! What people are told of a message.

use crate::model::{RoomKind, User};
use crate::ports::{Posted, ReadyClip};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{NOTIFY_CLIP_TTL, NOTIFY_MESSAGE_TTL, NOTIFY_TEXT};
use kaiwa_common::position::Position;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::time::Duration;
use uuid::Uuid;

/// The names of events are made in this namespace (RFC 9562, section 5.5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6a1f_5d1e_93c4_4f0b_8a57_2f6b_0c9d_e413);

/// Some people are to be told of a message, or of a clip that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The same each time, and for all chunks of recipients.
    pub id: Uuid,
    /// When it was posted.
    pub time: UnixMs,
    /// Nobody wants to be told after this.
    pub expires: UnixMs,
    /// Who, ascending; at most [`NOTIFY_RECIPIENTS`](kaiwa_common::limits::NOTIFY_RECIPIENTS).
    pub recipients: Vec<UserId>,
    /// Those of them whom it names or answers.
    pub mentions: Vec<UserId>,
    /// Where.
    pub room: RoomId,
    /// Its place in the room's stream.
    pub position: Position,
    /// How the room works.
    pub kind: RoomKind,
    /// Its title; empty for a direct room.
    pub title: String,
    /// Who wrote it.
    pub sender: User,
    /// The beginning of what it says.
    pub text: Redacted<String>,
    /// It is no message but this clip, which is ready: the sender is its uploader, the text its title.
    pub clip: Option<ReadyClip>,
}

impl Intent {
    pub(super) fn new(posted: &Posted, time: UnixMs, recipients: &[UserId]) -> Self {
        let Position { epoch, seq } = posted.position;
        let (epoch, seq) = (epoch.0.to_string(), seq.to_string());
        let id = match posted.clip {
            None => event_id(&["message", posted.room.as_str(), &epoch, &seq]),
            Some(ready) => event_id(&["clip", &ready.clip.to_string(), "ready"]),
        };
        let is_named =
            |user: &&UserId| posted.mentions.names(user) || posted.answers.as_ref() == Some(*user);
        Self {
            id,
            time,
            expires: time.plus(ttl(posted)),
            recipients: recipients.to_vec(),
            mentions: recipients.iter().filter(is_named).cloned().collect(),
            room: posted.room.clone(),
            position: posted.position,
            kind: posted.kind,
            title: posted.title.clone(),
            sender: posted.sender.clone(),
            text: Redacted(cut(&posted.text.0, NOTIFY_TEXT)),
            clip: posted.clip,
        }
    }
}

/// How long people want to be told of it.
pub(super) fn ttl(posted: &Posted) -> Duration {
    match posted.clip {
        None => NOTIFY_MESSAGE_TTL,
        Some(_) => NOTIFY_CLIP_TTL,
    }
}

/// The UUIDv5 of what happened; no part contains a newline.
#[must_use]
pub fn event_id(parts: &[&str]) -> Uuid {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(NAMESPACE.as_bytes());
    context.update(parts.join("\n").as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}

/// At most so many bytes of a text, cut at a character's end; what is cut says so.
fn cut(text: &str, bytes: usize) -> String {
    const MORE: &str = "…";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub(MORE.len()));
    format!("{}{MORE}", text[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_characters_end_and_says_so() {
        assert_eq!(cut("会話する", 8), "会…");
        assert_eq!(cut("会話する", 9), "会話…");
        assert_eq!(cut("会話", 6), "会話");
        assert_eq!(cut("tea", 512), "tea");
    }

    #[test]
    fn an_id_is_a_version_5_and_the_same_each_time() {
        let id = event_id(&["message", "r_1", "1", "2"]);
        assert_eq!(id.get_version_num(), 5);
        assert_eq!(id, event_id(&["message", "r_1", "1", "2"]));
        assert_ne!(id, event_id(&["message", "r_1", "1", "3"]));
    }
}
