//! A room's messages as its log makes them: what `ReadHistory` has to show.

use kaiwa_proto::client::v1::{Event, Message, event};
use std::collections::BTreeMap;

/// Applies the events of a log in order.
///
/// Erased texts are empty in the log; that only ever happens to messages which are deleted later.
#[must_use]
pub fn messages(log: &[Event]) -> BTreeMap<u64, Message> {
    let mut messages = BTreeMap::new();
    for event in log {
        apply(&mut messages, event);
    }
    messages
}

fn apply(messages: &mut BTreeMap<u64, Message>, event: &Event) {
    match &event.body {
        Some(event::Body::Message(posted)) => {
            let message = Message {
                seq: event.seq,
                sender: event.sender.clone(),
                time_ms: event.time_ms,
                text: posted.text.clone(),
                reply_to: posted.reply_to,
                cid: event.cid.clone(),
                clip: posted.clip.clone(),
                ..Message::default()
            };
            messages.insert(event.seq, message);
        }
        Some(event::Body::Edited(edited)) => {
            if let Some(message) = messages.get_mut(&edited.target) {
                message.text.clone_from(&edited.text);
                message.edited_ms = event.time_ms;
                message.edited_seq = event.seq;
            }
        }
        Some(event::Body::Deleted(deleted)) => {
            if let Some(message) = messages.get_mut(&deleted.target) {
                message.text.clear();
                message.clip = None;
                message.deleted_ms = event.time_ms;
                message.deleted_seq = event.seq;
            }
        }
        Some(event::Body::ClipChanged(changed)) => {
            if let Some(message) = messages.get_mut(&changed.target) {
                message.clip.clone_from(&changed.clip);
            }
        }
        Some(event::Body::Member(_) | event::Body::Created(_)) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaiwa_proto::client::v1::{
        Clip, ClipChanged, MessageDeleted, MessageEdited, MessagePosted,
    };

    fn event(seq: u64, body: event::Body) -> Event {
        let time_ms = i64::try_from(seq).unwrap() * 10;
        Event {
            seq,
            time_ms,
            body: Some(body),
            ..Event::default()
        }
    }

    fn posted(seq: u64, text: &str) -> Event {
        let body = MessagePosted {
            text: text.into(),
            ..MessagePosted::default()
        };
        event(seq, event::Body::Message(body))
    }

    #[test]
    fn the_last_edit_wins_and_a_delete_ends_it() {
        let edit = |seq, text: &str| {
            let body = MessageEdited {
                target: 1,
                text: text.into(),
                ..MessageEdited::default()
            };
            event(seq, event::Body::Edited(body))
        };
        let mut log = vec![posted(1, "a"), posted(2, "b"), edit(3, "c"), edit(4, "d")];
        let folded = messages(&log);
        assert_eq!((folded[&1].text.as_str(), folded[&1].edited_seq), ("d", 4));
        assert_eq!(folded[&2].text, "b");
        log.push(event(5, event::Body::Deleted(MessageDeleted { target: 1 })));
        let folded = messages(&log);
        assert_eq!((folded[&1].text.as_str(), folded[&1].deleted_ms), ("", 50));
        assert_eq!(folded[&1].edited_seq, 4, "that it was edited stays known");
    }

    #[test]
    fn a_clip_is_shown_as_its_last_change_says_and_not_at_all_once_deleted() {
        let clip = |version| {
            Some(Box::new(Clip {
                version,
                ..Clip::default()
            }))
        };
        let posted = MessagePosted {
            text: "Holidays".to_owned(),
            clip: clip(1),
            ..MessagePosted::default()
        };
        let changed = ClipChanged {
            target: 1,
            clip: clip(5),
        };
        let mut log = vec![
            event(1, event::Body::Message(posted)),
            event(2, event::Body::ClipChanged(changed)),
        ];
        let shown = messages(&log);
        assert_eq!(shown[&1].clip, clip(5));
        assert_eq!(shown[&1].edited_seq, 0);
        let deleted = MessageDeleted { target: 1 };
        log.push(event(3, event::Body::Deleted(deleted)));
        assert_eq!(messages(&log)[&1].clip, None);
    }
}
