//! What one command comes to, given the room as it is after the commands before it.

mod clips;

use super::access::{self, Viewer};
use super::cache::Recent;
use super::command::{Command, RoomLimits};
use super::state::RoomState;
use super::validate;
use crate::error::ChatError;
use crate::model::{
    EventBody, Membership, Mentions, NewRoom, Role, RoomKind, User, Visibility, Write,
};
use crate::ports::{CidKey, FirstResult, MessageFact, Part, UserFact, Wanted, WriteKind};
use kaiwa_common::id::{Cid, UserId};
use kaiwa_common::limits::MENTIONS;
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::collections::BTreeSet;

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

/// What the store has to be asked before this command can be decided, as far as that can be told
/// without deciding the ones before it.
pub(super) fn wants(state: Option<&RoomState>, recent: &Recent, command: &Command) -> Wanted {
    let mut wanted = Wanted::default();
    let actor = &command.actor.user.id;
    let mut users: Vec<&UserId> = Vec::new();
    // Of the server's own writes nobody's rights are asked.
    let is_actors = !matches!(
        command.write,
        Write::ShowClip { .. } | Write::RemoveClip { .. }
    );
    let mut parts: Vec<&UserId> = if state.is_some() && is_actors {
        vec![actor]
    } else {
        Vec::new()
    };
    if let (Write::Send { mentions, .. } | Write::Edit { mentions, .. }, Some(_)) =
        (&command.write, state)
    {
        parts.extend(mentions.users.iter().take(MENTIONS));
    }
    match &command.write {
        Write::Send {
            reply_to: Some(target),
            ..
        }
        | Write::Edit { target, .. }
        | Write::Delete { target, .. }
        | Write::ShowClip { target, .. }
        | Write::RemoveClip { target, .. } => {
            let known = recent.message(*target).is_some();
            // A message after the head may be one that is still in the queue.
            if !known && state.is_some_and(|state| *target <= state.head.seq) {
                wanted.messages.push(*target);
            }
        }
        Write::Send { reply_to: None, .. } | Write::PostClip { .. } | Write::Leave { .. } => {}
        Write::Join { .. } => users.push(actor),
        Write::OpenDirect { peer } => users.extend([actor, peer]),
        Write::Create(new) if state.is_none() => {
            users.push(actor);
            users.extend(&new.invite);
        }
        Write::Create(_) => {}
        Write::Invite { user, .. } | Write::Remove { user, .. } | Write::SetRole { user, .. } => {
            parts.push(user);
            users.push(user);
        }
    }
    parts.retain(|user| recent.part(user).is_none());
    users.retain(|user| !command.users.contains_key(*user));
    wanted.members.extend(parts.into_iter().cloned());
    wanted.users.extend(users.into_iter().cloned());
    wanted
}

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

fn create(scene: &Scene<'_>, command: &Command, new: &NewRoom) -> Ruled {
    let actor = &command.actor;
    access::may_create(actor.role)?;
    validate::cid(&new.cid, scene.now)?;
    validate::created_kind(new.kind)?;
    let title = validate::title(&new.title)?;
    let invite: BTreeSet<&UserId> = new
        .invite
        .iter()
        .filter(|id| **id != actor.user.id)
        .collect();
    validate::invited(invite.len())?;
    room_for(scene.limits, 0, 1 + invite.len())?;
    has_room(scene.limits, command, &actor.user.id)?;
    let mut bodies = vec![
        EventBody::Created {
            kind: new.kind,
            title,
            visibility: new.visibility,
        },
        member(actor.user.clone(), Membership::Joined, Role::Owner),
    ];
    for id in invite {
        let user = known_user(command, id)?;
        has_room(scene.limits, command, id)?;
        bodies.push(member(user, Membership::Invited, Role::Member));
    }
    Ok(Decision::Change {
        cid: Some(new.cid),
        bodies,
        reply: ReplyWith::Room,
        by: None,
    })
}

fn open_direct(scene: &Scene<'_>, command: &Command, peer: &UserId) -> Ruled {
    let actor = &command.actor;
    access::may_create(actor.role)?;
    let peer = known_user(command, peer)?;
    has_room(scene.limits, command, &actor.user.id)?;
    has_room(scene.limits, command, &peer.id)?;
    let bodies = vec![
        EventBody::Created {
            kind: RoomKind::Direct,
            title: String::new(),
            visibility: Visibility::Private,
        },
        member(actor.user.clone(), Membership::Joined, Role::Member),
        member(peer, Membership::Joined, Role::Member),
    ];
    Ok(Decision::Change {
        cid: None,
        bodies,
        reply: ReplyWith::Room,
        by: None,
    })
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

    fn send(
        &self,
        cid: Cid,
        text: &Redacted<String>,
        reply_to: Option<Seq>,
        mentions: &Mentions,
    ) -> Ruled {
        access::may_send(self.viewer(), self.state.door())?;
        validate::cid(&cid, self.scene.now)?;
        validate::text(&text.0, self.scene.limits.text_bytes)?;
        self.mentions(mentions)?;
        if let Some(target) = reply_to {
            // A deleted message may be replied to: the deletion may cross the reply on its way.
            self.message(target)?;
        }
        let body = EventBody::Posted {
            text: Some(text.clone()),
            reply_to,
            mentions: mentions.clone(),
            clip: None,
        };
        Ok(Decision::Change {
            cid: Some(cid),
            bodies: vec![body],
            reply: ReplyWith::Position,
            by: None,
        })
    }

    fn edit(&self, cid: Cid, target: Seq, text: &Redacted<String>, mentions: &Mentions) -> Ruled {
        access::may_send(self.viewer(), self.state.door())?;
        validate::cid(&cid, self.scene.now)?;
        validate::text(&text.0, self.scene.limits.text_bytes)?;
        self.mentions(mentions)?;
        let (own, deleted) = self.message(target)?;
        access::may_edit(self.viewer(), self.state.door(), own)?;
        if deleted {
            return Err(ChatError::MessageDeleted);
        }
        if self.fact(target)?.clip.is_some() {
            return Err(NOT_EDITABLE);
        }
        let body = EventBody::Edited {
            target,
            text: Some(text.clone()),
            mentions: mentions.clone(),
        };
        Ok(Decision::Change {
            cid: Some(cid),
            bodies: vec![body],
            reply: ReplyWith::Position,
            by: None,
        })
    }

    /// Whom a message may name: people who have joined; everybody by who may in a room of this size.
    fn mentions(&self, mentions: &Mentions) -> Result<(), ChatError> {
        validate::mentions(mentions)?;
        if mentions.all {
            access::may_mention_all(self.viewer(), self.state.door(), self.state.counts.joined)?;
        }
        let has_joined = |user: &UserId| {
            let part = self.part(user);
            part.is_some_and(|part| part.membership == Membership::Joined)
        };
        if mentions.users.iter().all(has_joined) {
            Ok(())
        } else {
            Err(NOT_MENTIONABLE)
        }
    }

    fn delete(&self, cid: Cid, target: Seq) -> Ruled {
        access::may_delete(self.viewer(), self.state.door(), true)?;
        validate::cid(&cid, self.scene.now)?;
        let (own, deleted) = self.message(target)?;
        access::may_delete(self.viewer(), self.state.door(), own)?;
        if deleted {
            return Err(ChatError::MessageDeleted);
        }
        let body = EventBody::Deleted { target };
        Ok(Decision::Change {
            cid: Some(cid),
            bodies: vec![body],
            reply: ReplyWith::Position,
            by: None,
        })
    }

    fn join(&self) -> Ruled {
        access::may_join(self.viewer(), self.state.door())?;
        let actor = &self.command.actor.user;
        let role = match self.part(&actor.id) {
            Some(Part {
                membership: Membership::Joined,
                ..
            }) => {
                return Ok(Decision::Unchanged(ReplyWith::Room));
            }
            // An invitation counts already.
            Some(part) => part.role,
            None => {
                self.room_for_one()?;
                has_room(self.scene.limits, self.command, &actor.id)?;
                Role::Member
            }
        };
        // A room that everybody has left would stay without an owner for ever.
        let first = self.state.counts.joined == 0;
        let role = if first { Role::Owner } else { role };
        let bodies = vec![member(actor.clone(), Membership::Joined, role)];
        Ok(Decision::Change {
            cid: None,
            bodies,
            reply: ReplyWith::Room,
            by: None,
        })
    }

    fn leave(&self) -> Ruled {
        let actor = &self.command.actor.user;
        access::may_see(self.viewer(), self.state.visibility)?;
        let part = self.part(&actor.id).ok_or(ChatError::NotAMember)?;
        if self.state.kind == RoomKind::Direct {
            return Err(ChatError::WrongRoomKind);
        }
        self.may_go(part)?;
        Ok(change(member(actor.clone(), Membership::Left, part.role)))
    }

    fn invite(&self, user: &UserId) -> Ruled {
        access::may_invite(self.viewer(), self.state.door())?;
        let known = known_user(self.command, user)?;
        if self.part(user).is_some() {
            return Ok(Decision::Unchanged(ReplyWith::Position));
        }
        self.room_for_one()?;
        has_room(self.scene.limits, self.command, user)?;
        Ok(change(member(known, Membership::Invited, Role::Member)))
    }

    fn remove(&self, user: &UserId) -> Ruled {
        // Who may not remove anybody is not told who is in the room.
        access::may_remove(self.viewer(), self.state.door(), Role::Guest)?;
        let part = self.part(user).ok_or(NOT_IN_ROOM)?;
        access::may_remove(self.viewer(), self.state.door(), part.role)?;
        self.may_go(part)?;
        Ok(change(member(self.user(user), Membership::Left, part.role)))
    }

    fn set_role(&self, user: &UserId, role: Role) -> Ruled {
        access::may_set_role(self.viewer(), self.state.door())?;
        let part = self.part(user).ok_or(NOT_IN_ROOM)?;
        if part.role == role {
            return Ok(Decision::Unchanged(ReplyWith::Position));
        }
        if self.is_last_owner(part) {
            return Err(ChatError::LastOwner);
        }
        Ok(change(member(self.user(user), part.membership, role)))
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

    fn room_for_one(&self) -> Result<(), ChatError> {
        let counts = self.state.counts;
        room_for(self.scene.limits, counts.joined + counts.invited, 1)
    }

    fn is_last_owner(&self, part: Part) -> bool {
        let owner = part.membership == Membership::Joined && part.role == Role::Owner;
        owner && self.state.counts.owners <= 1
    }

    /// The last owner does not leave others behind.
    fn may_go(&self, part: Part) -> Result<(), ChatError> {
        if self.is_last_owner(part) && self.state.counts.joined > 1 {
            return Err(ChatError::LastOwner);
        }
        Ok(())
    }
}

const NOT_MENTIONABLE: ChatError = ChatError::Invalid {
    field: "mentions",
    rule: "people who have joined the room",
};

const NOT_EDITABLE: ChatError = ChatError::Invalid {
    field: "target",
    rule: "a clip's message cannot be edited",
};

const NOT_IN_ROOM: ChatError = ChatError::Invalid {
    field: "user",
    rule: "is not in the room",
};

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

/// May this person be in one more room? Two rooms that take them at the same moment can both say yes.
fn has_room(limits: &RoomLimits, command: &Command, id: &UserId) -> Result<(), ChatError> {
    let limit = limits.rooms_per_user;
    if fact(command, id).is_some_and(|fact| fact.rooms >= limit) {
        return Err(ChatError::TooManyRooms { limit });
    }
    Ok(())
}

fn room_for(limits: &RoomLimits, present: u32, more: usize) -> Result<(), ChatError> {
    let limit = limits.room_members;
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    if present.saturating_add(more) > limit {
        return Err(ChatError::RoomFull { limit });
    }
    Ok(())
}
