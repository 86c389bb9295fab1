//! What a device is told, in JSON: the same members whatever the way.
//!
//! | member | type | when |
//! |---|---|---|
//! | `v` | number | always 1; an app that doesn't know it shows something general |
//! | `id` | text | always: a repeat has the same |
//! | `class` | text | always: `message`, `mention`, `call`, `call_over`, `read`, `clip`, `notice` |
//! | `tag` | text | always: a notification replaces the one that is shown with the same |
//! | `user` | text | always: whose it is; whoever is signed in as somebody else doesn't show it |
//! | `url` | text | always: where a click leads, relative to the app |
//! | `silent` | boolean | `true` when nothing is shown, else left out |
//! | `title`, `body` | text | unless silent or wake-only; the end may be cut (`…`) |
//! | `room`, `call`, `clip` | text | what it is about |
//! | `seq` | number | the message's place in the room; of `read`: up to where |
//! | `badge`, `version` | number | the icon's number; one with a smaller version is older |

use super::push_id;
use crate::model::{Class, Push, Target};
use serde::Serialize;

/// What a person reads, cut as needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) title: &'a str,
    pub(super) body: &'a str,
}

#[derive(Serialize)]
pub(super) struct Payload<'a> {
    v: u8,
    pub(super) id: String,
    pub(super) class: &'static str,
    tag: &'a str,
    user: &'a str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    silent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    badge: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

impl<'a> Payload<'a> {
    pub(super) fn new(target: &Target, push: &'a Push, text: Option<Text<'a>>) -> Self {
        let room = push.subject.room.as_ref().map(|room| room.as_str());
        Self {
            v: 1,
            id: push_id(target, push).to_string(),
            class: class_name(push.class),
            tag: &push.collapse,
            user: push.user.as_str(),
            // Room ids have no character that a fragment would need escaped.
            url: room.map_or_else(|| "/#/".to_owned(), |room| format!("/#/r/{room}")),
            title: text.map(|text| text.title),
            body: text.map(|text| text.body),
            silent: push.is_silent,
            room,
            seq: push.subject.seq,
            call: push.subject.call.as_deref(),
            clip: push.subject.clip.as_deref(),
            badge: push.badge.map(|badge| badge.count),
            version: push.badge.map(|badge| badge.version),
        }
    }
}

pub(super) const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Message => "message",
        Class::Mention => "mention",
        Class::Call => "call",
        Class::CallOver => "call_over",
        Class::Read => "read",
        Class::Clip => "clip",
        Class::Notice => "notice",
    }
}

/// Builds something of a push's text that has at most `limit` bytes: the body gives way first, then the
/// title. `None` when it is too long without either.
pub(super) fn fit<F>(push: &Push, limit: usize, build: F) -> Option<Vec<u8>>
where
    F: Fn(Option<Text<'_>>) -> Vec<u8>,
{
    let Some(content) = push.content.as_ref().filter(|_| !push.is_silent) else {
        return Some(build(None)).filter(|built| built.len() <= limit);
    };
    let (title, body) = (content.title.0.as_str(), content.body.0.as_str());
    let of = |title: &str, body: &str| {
        let built = build(Some(Text { title, body }));
        (built.len() <= limit).then_some(built)
    };
    of(title, body)
        .or_else(|| longest(body, |body| of(title, body)))
        .or_else(|| longest(title, |title| of(title, "")))
}

/// What comes of the longest beginning of a text, with an ellipsis, of which anything comes; else of none of
/// it. (Escaped in JSON a character may have any of several lengths, so that it is searched for.)
fn longest<T>(text: &str, of: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut best = of("")?;
    let (mut fits, mut too_long) = (0, text.len());
    while too_long - fits > 1 {
        let middle = fits.midpoint(too_long);
        let start = text
            .get(..text.floor_char_boundary(middle))
            .unwrap_or_default();
        match of(&format!("{start}{ELLIPSIS}")) {
            Some(built) => (best, fits) = (built, middle),
            None => too_long = middle,
        }
    }
    Some(best)
}

const ELLIPSIS: char = '…';

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senders::fixtures::{push, target_web};
    use kaiwa_common::redact::Redacted;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_it_says_it_fits_and_stays_readable(
            title in ".{0,80}", body in ".{0,600}", limit in 320_usize..900,
        ) {
            let mut push = push();
            let content = push.content.as_mut().expect("content");
            content.title = Redacted(title.clone());
            content.body = Redacted(body.clone());
            let target = target_web();
            let build = |text: Option<Text<'_>>| {
                serde_json::to_vec(&Payload::new(&target, &push, text)).expect("JSON")
            };
            let built = fit(&push, limit, build).expect("the ids are shorter than the limit");
            prop_assert!(built.len() <= limit);
            let json: serde_json::Value = serde_json::from_slice(&built).expect("JSON");
            let got = json["body"].as_str().expect("a body");
            prop_assert!(body.starts_with(got.trim_end_matches('…')) || got == body);
            if got != body {
                // Nothing more would have fitted: one character has six bytes of JSON at most.
                prop_assert!(built.len() + 12 >= limit, "{} of {limit}", built.len());
            }
        }
    }

    #[test]
    fn what_does_not_fit_without_text_is_not_sent() {
        assert_eq!(fit(&push(), 10, |_| vec![0; 11]), None);
    }

    #[test]
    fn a_silent_push_says_nothing() {
        let mut push = push();
        push.is_silent = true;
        let built = fit(&push, 1_000, |text| {
            serde_json::to_vec(&Payload::new(&target_web(), &push, text)).expect("JSON")
        });
        let json: serde_json::Value =
            serde_json::from_slice(&built.expect("it fits")).expect("JSON");
        assert_eq!((json.get("title"), json.get("body")), (None, None));
        assert_eq!(json["silent"], true);
    }
}
