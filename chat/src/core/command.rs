//! What comes into a room's core, and what goes out of it.

use crate::bus::Published;
use crate::error::ChatError;
use crate::model::{Actor, EventBody, Write, Written};
use crate::ports::{Append, Facts, FirstResult, UserFact, Wanted, WriteKind};
use kaiwa_common::id::{Cid, UserId};
use kaiwa_common::limits::Limits;
use kaiwa_common::position::Seq;
use std::collections::BTreeMap;

/// Names a command until it is answered; chosen by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A command in a room's queue.
#[derive(Debug)]
pub struct Command {
    /// Where the answer goes.
    pub ticket: Ticket,
    /// Who commands.
    pub actor: Actor,
    /// What.
    pub write: Write,
    /// The people that it names, once they were looked up.
    pub(super) users: BTreeMap<UserId, Option<UserFact>>,
    /// What the store says of its cid, once it was asked.
    pub(super) first: Option<Option<FirstResult>>,
    /// How often it had to be planned again.
    pub(super) attempts: u8,
}

impl Command {
    /// A command that has just arrived.
    #[must_use]
    pub fn new(ticket: Ticket, actor: Actor, write: Write) -> Self {
        Self {
            ticket,
            actor,
            write,
            users: BTreeMap::new(),
            first: None,
            attempts: 0,
        }
    }

    /// Takes over what was looked up for it: the people that it names, and what became of its cid.
    pub(super) fn learn(&mut self, facts: &Facts) {
        if let Some((cid, _)) = self.write.cid() {
            let key = (self.actor.user.id.clone(), cid);
            self.first = facts.cids.get(&key).copied().or(self.first);
        }
        let mut named = vec![&self.actor.user.id];
        match &self.write {
            Write::OpenDirect { peer: user }
            | Write::Invite { user, .. }
            | Write::Remove { user, .. }
            | Write::SetRole { user, .. } => named.push(user),
            Write::Create(new) => named.extend(&new.invite),
            Write::Send { .. }
            | Write::Edit { .. }
            | Write::Delete { .. }
            | Write::PostClip { .. }
            | Write::ShowClip { .. }
            | Write::RemoveClip { .. }
            | Write::Join { .. }
            | Write::Leave { .. } => {}
        }
        let found = |id: &UserId| facts.users.get(id).map(|fact| (id.clone(), fact.clone()));
        let found: Vec<_> = named.into_iter().filter_map(found).collect();
        self.users.extend(found);
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        match &self.write {
            Write::Send { text, mentions, .. } | Write::Edit { text, mentions, .. } => {
                text.0.len() + mentions.users.len() * MENTION_BYTES + COMMAND_BYTES
            }
            Write::PostClip { clip, .. } | Write::ShowClip { clip, .. } => {
                2 * clip.title.0.len() + COMMAND_BYTES
            }
            Write::Create(_)
            | Write::RemoveClip { .. }
            | Write::Delete { .. }
            | Write::OpenDirect { .. }
            | Write::Join { .. }
            | Write::Leave { .. }
            | Write::Invite { .. }
            | Write::Remove { .. }
            | Write::SetRole { .. } => COMMAND_BYTES,
        }
    }
}

/// What has to be done. The shell does it, and for the first three comes back with the result.
#[derive(Debug)]
pub enum Effect {
    /// Load the room; then [`RoomCore::handle_loaded`].
    Load,
    /// Look things up; then [`RoomCore::handle_facts`].
    Fetch(Wanted),
    /// Append; then [`RoomCore::handle_appended`].
    Append(Append),
    /// Read what was appended after this place without anybody being told, and tell the bus; then
    /// [`RoomCore::handle_announced`].
    Announce {
        /// The last event that the bus knows.
        after: Seq,
    },
    /// Answer a command.
    Reply(Ticket, Result<Written, ChatError>),
    /// Tell the bus.
    Publish(Published),
}

/// The bounds that a room's rules need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomLimits {
    /// See [`Limits::text_bytes`].
    pub text_bytes: u32,
    /// See [`Limits::room_members`].
    pub room_members: u32,
    /// See [`Limits::rooms_per_user`].
    pub rooms_per_user: u32,
}

impl From<&Limits> for RoomLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            text_bytes: limits.text_bytes,
            room_members: limits.room_members,
            rooms_per_user: limits.rooms_per_user,
        }
    }
}

/// What a command weighs beside its text.
const COMMAND_BYTES: usize = 256;

/// What somebody whom a message names weighs: the longest id.
const MENTION_BYTES: usize = UserId::MAX_BYTES;

impl WriteKind {
    /// The kind of write that makes such an event, if it carries a cid.
    #[must_use]
    pub fn of(body: &EventBody) -> Option<Self> {
        match body {
            EventBody::Posted { clip: None, .. } => Some(Self::Send),
            EventBody::Posted { clip: Some(_), .. } => Some(Self::PostClip),
            EventBody::Edited { .. } => Some(Self::Edit),
            EventBody::Deleted { .. } => Some(Self::Delete),
            EventBody::Created { .. } => Some(Self::Create),
            EventBody::ClipChanged { .. } | EventBody::Member { .. } => None,
        }
    }
}

impl Write {
    /// Its idempotency key, and what kind of write that names.
    #[must_use]
    pub fn cid(&self) -> Option<(Cid, WriteKind)> {
        match self {
            Self::Send { cid, .. } => Some((*cid, WriteKind::Send)),
            Self::Edit { cid, .. } => Some((*cid, WriteKind::Edit)),
            Self::Delete { cid, .. } => Some((*cid, WriteKind::Delete)),
            Self::Create(new) => Some((new.cid, WriteKind::Create)),
            Self::PostClip { clip, after, .. } => {
                let cid = after.map_or_else(|| clip.clip.cid(), |after| clip.clip.cid_after(after));
                Some((cid, WriteKind::PostClip))
            }
            Self::OpenDirect { .. }
            | Self::ShowClip { .. }
            | Self::RemoveClip { .. }
            | Self::Join { .. }
            | Self::Leave { .. }
            | Self::Invite { .. }
            | Self::Remove { .. }
            | Self::SetRole { .. } => None,
        }
    }
}
