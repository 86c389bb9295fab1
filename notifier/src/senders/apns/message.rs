//! What Apple is told to do, and the app is told.

use crate::model::{Class, Push, Target, Urgency};
use crate::senders::payload::{Payload, Text, fit};
use serde_json::{Value, json};

/// How a push is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::senders) enum Message {
    /// A call, to PushKit.
    Voip,
    /// Something is shown, or rings.
    Alert { is_urgent: bool },
    /// Only the icon's number changes; Apple counts this among alerts.
    Badge,
    /// The app is woken and nothing is shown.
    Background,
}

impl Message {
    pub(in crate::senders) fn new(push: &Push, is_voip: bool) -> Self {
        match (is_voip, push.is_silent, push.badge) {
            (true, _, _) => Self::Voip,
            (false, false, _) => Self::Alert {
                is_urgent: push.urgency != Urgency::Low,
            },
            (false, true, Some(_)) => Self::Badge,
            (false, true, None) => Self::Background,
        }
    }

    pub(in crate::senders) const fn push_type(self) -> &'static str {
        match self {
            Self::Voip => "voip",
            Self::Alert { .. } | Self::Badge => "alert",
            Self::Background => "background",
        }
    }

    /// 10 is at once, 5 is when the battery allows.
    pub(in crate::senders) const fn priority(self) -> &'static str {
        match self {
            Self::Voip | Self::Alert { is_urgent: true } => "10",
            Self::Alert { is_urgent: false } | Self::Badge | Self::Background => "5",
        }
    }

    /// The body, cut to `limit` bytes.
    pub(in crate::senders) fn body(
        self,
        target: &Target,
        push: &Push,
        limit: usize,
    ) -> Option<Vec<u8>> {
        fit(push, limit, |text| {
            // The text stands once, in the alert; a call's app makes its own picture of it.
            let ours = if self == Self::Voip { text } else { None };
            let body = json!({
                "aps": self.aps(push, text),
                "kaiwa": Payload::new(target, push, ours),
            });
            serde_json::to_vec(&body).unwrap_or_default()
        })
    }

    /// Apple's part. FCM takes the same for Apple's devices.
    pub(in crate::senders) fn aps(self, push: &Push, text: Option<Text<'_>>) -> Value {
        let mut aps = json!({});
        match self {
            Self::Voip => return aps,
            Self::Background | Self::Badge => aps["content-available"] = 1.into(),
            Self::Alert { .. } => {
                aps["alert"] = match text {
                    Some(Text { title, body }) => json!({ "title": title, "body": body }),
                    // Wake-only: the app has the words, and its extension fetches the content.
                    None => json!({ "loc-key": "NOTIFICATION" }),
                };
                aps["mutable-content"] = 1.into();
                aps["sound"] = "default".into();
                if push.class == Class::Call {
                    aps["interruption-level"] = "time-sensitive".into();
                }
                // Messages and mentions of a room replace only their own, but stand together.
                let room = push.subject.room.as_ref();
                aps["thread-id"] = match room {
                    Some(room) => format!("room:{}", room.as_str()).into(),
                    None => push.collapse.as_str().into(),
                };
            }
        }
        if let Some(badge) = push.badge {
            aps["badge"] = badge.count.into();
        }
        aps
    }
}
