//! What a push says.

use crate::core::settings::Device;
use crate::event::{Call, Clip, Event, Job, Message, RoomKind, What};
use crate::model::{Content, Push, Subject};
use kaiwa_common::id::UserId;
use kaiwa_common::redact::Redacted;

/// Whose an operator's notice is: nobody's.
pub(super) const OPERATOR: &str = "operator";

/// What is told to this device.
pub(super) fn push(job: &Job, device: Option<&Device>) -> Push {
    let user = job.user.clone();
    let user = user.unwrap_or_else(|| UserId::parse(OPERATOR).expect("a user id"));
    let is_wake_only = job.is_wake_only || device.is_some_and(|d| d.settings.is_wake_only);
    Push {
        event: job.event.id,
        class: job.event.class_for(&user),
        collapse: job.collapse.clone(),
        expires: job.expires,
        urgency: job.urgency,
        is_silent: job.is_silent,
        content: if is_wake_only || job.is_silent {
            None
        } else {
            content(&job.event, &user, job.count)
        },
        subject: subject(&job.event),
        badge: job.badge,
        user,
    }
}

fn content(event: &Event, user: &UserId, count: u32) -> Option<Content> {
    match &event.what {
        What::Message(message) => Some(of_message(message, count)),
        What::Call(call) => Some(of_call(call)),
        What::Clip(clip) => Some(of_clip(clip, event.is_own_clip(user))),
        What::Notice(notice) => Some(said(notice.title.clone(), notice.text.clone())),
        What::CallOver(_) | What::Read(_) => None,
    }
}

fn of_message(message: &Message, count: u32) -> Content {
    let is_direct = message.kind == RoomKind::Direct || message.room_title.0.is_empty();
    let (sender, text) = (&message.sender_name.0, &message.text.0);
    let title = if is_direct {
        sender.clone()
    } else {
        message.room_title.0.clone()
    };
    let body = if count > 1 {
        format!("{count} new messages")
    } else if is_direct {
        text.clone()
    } else {
        format!("{sender}: {text}")
    };
    said(title, body)
}

fn of_call(call: &Call) -> Content {
    let body = if call.room_title.0.is_empty() {
        "Incoming call".to_owned()
    } else {
        format!("Incoming call in {}", call.room_title.0)
    };
    said(call.caller_name.0.clone(), body)
}

fn of_clip(clip: &Clip, is_own: bool) -> Content {
    let name = &clip.uploader_name.0;
    let body = match (clip.is_ready, is_own) {
        (false, _) => format!("Your clip failed: {}", clip.reason),
        (true, true) => "Your clip is ready".to_owned(),
        (true, false) if name.is_empty() => "A clip is ready".to_owned(),
        (true, false) => format!("{name} shared a clip"),
    };
    said(clip.title.0.clone(), body)
}

fn said(title: String, body: String) -> Content {
    Content {
        title: Redacted(title),
        body: Redacted(body),
    }
}

fn subject(event: &Event) -> Subject {
    let mut subject = Subject {
        room: event.room().cloned(),
        ..Subject::default()
    };
    match &event.what {
        What::Message(message) => subject.seq = Some(message.place.seq),
        What::Read(place) => subject.seq = Some(place.seq),
        What::Call(call) => subject.call = Some(call.id.clone()),
        What::CallOver(over) => subject.call = Some(over.id.clone()),
        What::Clip(clip) => subject.clip = Some(clip.id.clone()),
        What::Notice(_) => {}
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventId;
    use kaiwa_common::time::UnixMs;
    use uuid::Uuid;

    #[test]
    fn a_clip_is_told_to_its_uploader_and_to_others_in_other_words() {
        let alice = UserId::parse("alice").expect("a user id");
        let bob = UserId::parse("bob").expect("a user id");
        let told = |user: &UserId, is_ready: bool, name: &str| {
            let clip = Clip {
                id: "k".to_owned(),
                room: None,
                place: None,
                uploader: Some(alice.clone()),
                uploader_name: Redacted(name.to_owned()),
                title: Redacted("Holidays".to_owned()),
                is_ready,
                reason: "no picture in it".to_owned(),
            };
            let event = Event {
                id: EventId(Uuid::nil()),
                time: UnixMs(0),
                expires: UnixMs(1),
                traceparent: String::new(),
                recipients: Vec::new(),
                what: What::Clip(clip),
            };
            let content = content(&event, user, 1).expect("it says something");
            assert_eq!(content.title.0, "Holidays");
            content.body.0
        };
        assert_eq!(told(&alice, true, "Alice"), "Your clip is ready");
        assert_eq!(told(&bob, true, "Alice"), "Alice shared a clip");
        assert_eq!(told(&bob, true, ""), "A clip is ready");
        assert_eq!(
            told(&alice, false, "Alice"),
            "Your clip failed: no picture in it"
        );
    }
}
