//! What one command comes to, given the room as it is after the commands before it.

mod clips;
mod messages;
mod people;
mod wants;

use people::{create, open_direct};
pub(super) use wants::wants;

use super::access::Viewer;
use super::cache::Recent;
use super::command::{Command, RoomLimits};
use super::state::RoomState;
use crate::error::ChatError;
use crate::model::{EventBody, Membership, Role, User, Write};
use crate::ports::{CidKey, FirstResult, MessageFact, Part, UserFact, Wanted, WriteKind};
use kaiwa_common::id::{Cid, UserId};
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;

/// What a command comes to.
#[derive(Debug)]
pub(super) enum Decision {
    /// These events, the first of which is the command's position; `cid` belongs to the first.
    Change {
        cid: Option<Cid>,
        bodies: Vec<EventBody>,
        reply: ReplyWith,
        /// Whose events these are, if not the actor's.
        by: Option<UserId>,
    },
    /// It is so already.
    Unchanged(ReplyWith),
    /// It was done before.
    Done(FirstResult),
    /// Not allowed or not possible.
    Refused(ChatError),
    /// It cannot be told yet.
    Needs(Box<Wanted>),
}

/// What the reply shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyWith {
    /// The change's position.
    Position,
    /// The room as the actor sees it.
    Room,
}

/// The room, and everything else that a decision may depend on.
pub(super) struct Scene<'a> {
    pub(super) state: Option<&'a RoomState>,
    pub(super) recent: &'a Recent,
    /// First results within the batch that is being made.
    pub(super) batch_cids: &'a dyn Fn(&CidKey) -> Option<FirstResult>,
    pub(super) limits: &'a RoomLimits,
    pub(super) now: UnixMs,
}

/// Either what it comes to, or why it is refused: `?` makes the rules readable.
type Ruled = Result<Decision, ChatError>;

/// Decides one command.
pub(super) fn decide(scene: &Scene<'_>, command: &Command) -> Decision {
    let key = command
        .write
        .cid()
        .map(|(cid, kind)| ((command.actor.user.id.clone(), cid), kind));
    if let Some((key, kind)) = &key {
        let remembered = scene.recent.cid(key).or_else(|| (scene.batch_cids)(key));
        if let Some(first) = remembered.or(command.first.flatten()) {
            return if first.kind != *kind {
                Decision::Refused(ChatError::CidConflict)
            } else if *kind == WriteKind::Create {
                Decision::Unchanged(ReplyWith::Room)
            } else {
                Decision::Done(first)
            };
        }
    }
    let wanted = wants(scene.state, scene.recent, command);
    if !wanted.is_empty() {
        return Decision::Needs(Box::new(wanted));
    }
    let decision = match scene.state {
        None => absent(scene, command),
        Some(state) => Deciding {
            scene,
            state,
            command,
        }
        .decide(),
    };
    match decision {
        Ok(decision) => decision,
        // What would be refused now may have been done before the permission was lost: only the store
        // knows. A room that does not exist has no cids.
        Err(_) if key.is_some() && command.first.is_none() && scene.state.is_some() => {
            let cids = key.map(|(key, _)| key).into_iter().collect();
            Decision::Needs(Box::new(Wanted {
                cids,
                ..Wanted::default()
            }))
        }
        Err(error) => Decision::Refused(error),
    }
}

/// Commands on a room that does not exist: two of them make it.
fn absent(scene: &Scene<'_>, command: &Command) -> Ruled {
    match &command.write {
        Write::Create(new) => create(scene, command, new),
        Write::OpenDirect { peer } => open_direct(scene, command, peer),
        Write::Send { .. }
        | Write::Edit { .. }
        | Write::Delete { .. }
        | Write::PostClip { .. }
        | Write::ShowClip { .. }
        | Write::RemoveClip { .. }
        | Write::Join { .. }
        | Write::Leave { .. }
        | Write::Invite { .. }
        | Write::Remove { .. }
        | Write::SetRole { .. } => Err(ChatError::RoomNotFound),
    }
}

/// One command on a room that exists; what it wants is known.
struct Deciding<'a> {
    scene: &'a Scene<'a>,
    state: &'a RoomState,
    command: &'a Command,
}

impl Deciding<'_> {
    fn decide(&self) -> Ruled {
        match &self.command.write {
            Write::Send {
                cid,
                text,
                reply_to,
                mentions,
                ..
            } => self.send(*cid, text, *reply_to, mentions),
            Write::Edit {
                cid,
                target,
                text,
                mentions,
                ..
            } => self.edit(*cid, *target, text, mentions),
            Write::Delete { cid, target, .. } => self.delete(*cid, *target),
            Write::PostClip { clip, .. } => self.post_clip(clip),
            Write::ShowClip { target, clip, .. } => self.show_clip(*target, clip),
            Write::RemoveClip { target, .. } => self.remove_clip(*target),
            // The id is the hash of the creator and the cid, so this is the same creation again.
            Write::Create(_) => Ok(Decision::Unchanged(ReplyWith::Room)),
            Write::OpenDirect { .. } => Ok(Decision::Unchanged(ReplyWith::Room)),
            Write::Join { .. } => self.join(),
            Write::Leave { .. } => self.leave(),
            Write::Invite { user, .. } => self.invite(user),
            Write::Remove { user, .. } => self.remove(user),
            Write::SetRole { user, role, .. } => self.set_role(user, *role),
        }
    }

    fn viewer(&self) -> Viewer {
        let actor = &self.command.actor;
        Viewer {
            server: actor.role,
            part: self.part(&actor.user.id),
        }
    }

    fn part(&self, user: &UserId) -> Option<Part> {
        self.scene.recent.part(user).flatten()
    }

    /// A message: whether it is the actor's own, and whether it was deleted.
    fn message(&self, seq: Seq) -> Result<(bool, bool), ChatError> {
        let fact = self.fact(seq)?;
        Ok((fact.sender == self.command.actor.user.id, fact.deleted))
    }

    fn fact(&self, seq: Seq) -> Result<&MessageFact, ChatError> {
        let known = self.scene.recent.message(seq).flatten();
        known.ok_or(ChatError::MessageNotFound)
    }

    /// A member with the name that the store knows.
    fn user(&self, id: &UserId) -> User {
        known_user(self.command, id).unwrap_or_else(|_| User {
            id: id.clone(),
            name: Redacted::default(),
        })
    }
}

fn change(body: EventBody) -> Decision {
    Decision::Change {
        cid: None,
        bodies: vec![body],
        reply: ReplyWith::Position,
        by: None,
    }
}

fn member(user: User, membership: Membership, role: Role) -> EventBody {
    EventBody::Member {
        user,
        membership,
        role,
    }
}

fn fact<'a>(command: &'a Command, id: &UserId) -> Option<&'a UserFact> {
    command.users.get(id).and_then(Option::as_ref)
}

fn known_user(command: &Command, id: &UserId) -> Result<User, ChatError> {
    let fact = fact(command, id).ok_or(ChatError::UserNotFound)?;
    Ok(User {
        id: id.clone(),
        name: fact.name.clone(),
    })
}
