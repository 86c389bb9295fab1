//! The fold of a room's log: what the log says, read from its beginning. The memory adapter keeps it;
//! the other adapters keep the same in tables, and the conformance suite compares.

use super::state::{part_of, posted};
use crate::model::{Event, EventBody, Membership, Mentions, Message, RoomKind, User, Visibility};
use crate::ports::{Counts, Part};
use kaiwa_common::id::UserId;
use kaiwa_common::position::{Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;

/// A room as its log makes it. Names of people are not in it: they are looked up when it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// How it works.
    pub kind: RoomKind,
    /// Its title.
    pub title: String,
    /// Who can find it.
    pub visibility: Visibility,
    /// When it was created.
    pub created: UnixMs,
    /// The newest event's place.
    pub head: Position,
    /// The newest event's time.
    pub time: UnixMs,
    /// How many are in it.
    pub counts: Counts,
    /// Who is in it.
    pub members: BTreeMap<UserId, Part>,
    /// The messages as they are now, their senders without names.
    pub messages: BTreeMap<Seq, Message>,
    /// The event by which somebody who had joined last went; zero for none.
    pub revoked: Seq,
    /// The events that say what a message said or showed, its edits and its clip's changes.
    pub edits: BTreeMap<Seq, Vec<Seq>>,
}

impl Projection {
    /// The room that its first event makes; `None` when that is no creation.
    #[must_use]
    pub fn created(event: &Event) -> Option<Self> {
        let EventBody::Created {
            kind,
            title,
            visibility,
        } = &event.body
        else {
            return None;
        };
        Some(Self {
            kind: *kind,
            title: title.clone(),
            visibility: *visibility,
            created: event.time,
            head: event.position,
            time: event.time,
            counts: Counts::default(),
            members: BTreeMap::new(),
            messages: BTreeMap::new(),
            revoked: Seq::ZERO,
            edits: BTreeMap::new(),
        })
    }

    /// Takes the next event over. Gives the events whose text has to be erased from the log.
    pub fn apply(&mut self, event: &Event) -> Vec<Seq> {
        let seq = event.position.seq;
        self.head = event.position;
        self.time = event.time;
        match &event.body {
            EventBody::Posted {
                text,
                reply_to,
                mentions,
                clip,
            } => {
                let sender = User {
                    id: event.sender.clone(),
                    name: Redacted::default(),
                };
                let mut message = posted(event, &sender, (text.clone(), mentions), *reply_to);
                message.clip.clone_from(clip);
                self.messages.insert(seq, message);
            }
            EventBody::Edited {
                target,
                text,
                mentions,
            } => {
                self.edits.entry(*target).or_default().push(seq);
                // An erased edit of a message that is deleted later in the log.
                if let Some(message) = self.messages.get_mut(target) {
                    message.text.clone_from(text);
                    message.mentions.clone_from(mentions);
                    message.edited = Some((seq, event.time));
                }
            }
            EventBody::Deleted { target } => {
                if let Some(message) = self.messages.get_mut(target) {
                    message.text = None;
                    message.mentions = Mentions::default();
                    message.clip = None;
                    message.deleted = Some((seq, event.time));
                }
                let edits = self.edits.get(target).into_iter().flatten().copied();
                return std::iter::once(*target).chain(edits).collect();
            }
            EventBody::ClipChanged { target, clip } => {
                self.edits.entry(*target).or_default().push(seq);
                if let Some(message) = self.messages.get_mut(target) {
                    message.clip.clone_from(clip);
                }
            }
            EventBody::Member {
                user,
                membership,
                role,
            } => {
                let after = part_of(*membership, *role);
                let before = match after {
                    Some(part) => self.members.insert(user.id.clone(), part),
                    None => self.members.remove(&user.id),
                };
                let was_joined = before.is_some_and(|part| part.membership == Membership::Joined);
                if was_joined && after.is_none() {
                    self.revoked = seq;
                }
                self.counts = self.counts.moved(before, after);
            }
            EventBody::Created { .. } => {}
        }
        Vec::new()
    }

    /// The fold of a whole log; `None` when it is empty or does not begin with a creation.
    #[must_use]
    pub fn fold(log: &[Event]) -> Option<Self> {
        let (first, rest) = log.split_first()?;
        let mut room = Self::created(first)?;
        for event in rest {
            room.apply(event);
        }
        Some(room)
    }
}

/// The event without the text that it carried, without whom it named, and without the clip that it showed.
#[must_use]
pub fn erased(mut event: Event) -> Event {
    match &mut event.body {
        EventBody::Posted {
            text,
            mentions,
            clip,
            ..
        } => (*text, *mentions, *clip) = (None, Mentions::default(), None),
        EventBody::Edited { text, mentions, .. } => {
            (*text, *mentions) = (None, Mentions::default());
        }
        EventBody::ClipChanged { clip, .. } => *clip = None,
        EventBody::Deleted { .. } | EventBody::Member { .. } | EventBody::Created { .. } => {}
    }
    event
}
