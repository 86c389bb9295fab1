//! What a room's owner keeps in memory, and how events change it.

use super::access::Door;
use super::cache::Recent;
use crate::model::{
    Event, EventBody, Membership, Mentions, Message, Role, RoomInfo, RoomKind, Unread, User,
    Visibility,
};
use crate::ports::{Counts, MessageFact, Part, RoomRecord};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::{Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::sync::Arc;

/// An existing room. Small and cheap to clone: a batch keeps the state before it, to go back to.
#[derive(Debug, Clone)]
pub(super) struct RoomState {
    pub(super) kind: RoomKind,
    pub(super) title: Arc<str>,
    pub(super) visibility: Visibility,
    pub(super) created: UnixMs,
    pub(super) head: Position,
    pub(super) time: UnixMs,
    pub(super) counts: Counts,
    pub(super) last: Option<Arc<Message>>,
    /// The two people of a direct room.
    pub(super) pair: Option<Arc<[User; 2]>>,
}

impl RoomState {
    pub(super) fn new(record: RoomRecord) -> Self {
        Self {
            kind: record.kind,
            title: Arc::from(record.title),
            visibility: record.visibility,
            created: record.created,
            head: record.head,
            time: record.time,
            counts: record.counts,
            last: record.last,
            pair: record.pair.map(|pair| Arc::new(*pair)),
        }
    }

    /// The state that a room's first event makes; `None` for any other event.
    pub(super) fn created(event: &Event, pair: Option<[User; 2]>) -> Option<Self> {
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
            title: Arc::from(title.as_str()),
            visibility: *visibility,
            created: event.time,
            head: event.position,
            time: event.time,
            counts: Counts::default(),
            last: None,
            pair: pair.map(Arc::new),
        })
    }

    pub(super) fn door(&self) -> Door {
        Door {
            kind: self.kind,
            visibility: self.visibility,
        }
    }

    /// The room as somebody with this part in it sees it.
    pub(super) fn info(&self, room: &RoomId, user: &UserId, part: Option<Part>) -> RoomInfo {
        let membership = part.map_or(Membership::Left, |part| part.membership);
        let joined = membership == Membership::Joined;
        let other = |pair: &Arc<[User; 2]>| pair.iter().find(|one| one.id != *user).cloned();
        RoomInfo {
            room: room.clone(),
            kind: self.kind,
            title: self.title.to_string(),
            visibility: self.visibility,
            created: self.created,
            head: self.head,
            members: self.counts.joined,
            membership,
            role: part.map_or(Role::Guest, |part| part.role),
            peer: self.pair.as_ref().and_then(other),
            last: self.last.as_deref().filter(|_| joined).cloned(),
            unread: Unread::default(),
        }
    }

    /// Takes one event over. The sender's name is needed for a new message.
    pub(super) fn apply(&mut self, event: &Event, sender: &User, recent: &mut Recent) {
        self.head = event.position;
        self.time = event.time;
        match &event.body {
            EventBody::Posted {
                text,
                reply_to,
                mentions,
                clip,
            } => {
                let fact = MessageFact {
                    sender: event.sender.clone(),
                    deleted: false,
                    clip: clip.as_ref().map(|clip| (clip.clip, clip.version)),
                };
                recent.set_message(event.position.seq, Some(fact));
                let mut message = posted(event, sender, (text.clone(), mentions), *reply_to);
                message.clip.clone_from(clip);
                self.last = Some(Arc::new(message));
            }
            EventBody::Edited {
                target,
                text,
                mentions,
            } => {
                let edited = Some((event.position.seq, event.time));
                self.change_last(*target, |last| {
                    last.text.clone_from(text);
                    last.mentions.clone_from(mentions);
                    last.edited = edited;
                });
            }
            EventBody::Deleted { target } => {
                recent.mark_deleted(*target);
                let deleted = Some((event.position.seq, event.time));
                self.change_last(*target, |last| {
                    last.text = None;
                    last.mentions = Mentions::default();
                    last.clip = None;
                    last.deleted = deleted;
                });
            }
            EventBody::ClipChanged { target, clip } => {
                if let Some(clip) = clip {
                    recent.mark_shown(*target, (clip.clip, clip.version));
                }
                self.change_last(*target, |last| last.clip.clone_from(clip));
            }
            EventBody::Member {
                user,
                membership,
                role,
            } => {
                let after = part_of(*membership, *role);
                let before = recent.set_part(&user.id, after);
                self.counts = self.counts.moved(before, after);
            }
            EventBody::Created { .. } => {}
        }
    }

    fn change_last(&mut self, target: Seq, change: impl FnOnce(&mut Message)) {
        if let Some(last) = self.last.as_mut().filter(|last| last.seq == target) {
            change(Arc::make_mut(last));
        }
    }
}

/// The message that an event posts, without its clip.
pub(super) fn posted(
    event: &Event,
    sender: &User,
    (text, mentions): (Option<Redacted<String>>, &Mentions),
    reply_to: Option<Seq>,
) -> Message {
    Message {
        seq: event.position.seq,
        sender: sender.clone(),
        cid: event.cid,
        time: event.time,
        text,
        reply_to,
        edited: None,
        deleted: None,
        mentions: mentions.clone(),
        clip: None,
    }
}

/// The part that a membership event leaves somebody with.
pub(super) fn part_of(membership: Membership, role: Role) -> Option<Part> {
    match membership {
        Membership::Joined | Membership::Invited => Some(Part { membership, role }),
        Membership::Left => None,
    }
}

impl Counts {
    /// The counts after somebody's part changed.
    #[must_use]
    pub fn moved(self, before: Option<Part>, after: Option<Part>) -> Self {
        let count = |counts: Self, part: Option<Part>, by: fn(u32) -> u32| match part {
            Some(Part {
                membership: Membership::Joined,
                role,
            }) => Self {
                joined: by(counts.joined),
                owners: if role == Role::Owner {
                    by(counts.owners)
                } else {
                    counts.owners
                },
                ..counts
            },
            Some(_) => Self {
                invited: by(counts.invited),
                ..counts
            },
            None => counts,
        };
        let without = count(self, before, |n| n.saturating_sub(1));
        count(without, after, |n| n.saturating_add(1))
    }
}
