//! Who makes rooms, comes into them and goes.

use super::{Deciding, Decision, ReplyWith, Ruled, Scene, change, fact, known_user, member};
use crate::core::command::{Command, RoomLimits};
use crate::core::{access, validate};
use crate::error::ChatError;
use crate::model::{EventBody, Membership, NewRoom, Role, RoomKind, Visibility};
use crate::ports::Part;
use kaiwa_common::id::UserId;
use std::collections::BTreeSet;

pub(super) fn create(scene: &Scene<'_>, command: &Command, new: &NewRoom) -> Ruled {
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

pub(super) fn open_direct(scene: &Scene<'_>, command: &Command, peer: &UserId) -> Ruled {
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

impl Deciding<'_> {
    pub(super) fn join(&self) -> Ruled {
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

    pub(super) fn leave(&self) -> Ruled {
        let actor = &self.command.actor.user;
        access::may_see(self.viewer(), self.state.visibility)?;
        let part = self.part(&actor.id).ok_or(ChatError::NotAMember)?;
        if self.state.kind == RoomKind::Direct {
            return Err(ChatError::WrongRoomKind);
        }
        self.may_go(part)?;
        Ok(change(member(actor.clone(), Membership::Left, part.role)))
    }

    pub(super) fn invite(&self, user: &UserId) -> Ruled {
        access::may_invite(self.viewer(), self.state.door())?;
        let known = known_user(self.command, user)?;
        if self.part(user).is_some() {
            return Ok(Decision::Unchanged(ReplyWith::Position));
        }
        self.room_for_one()?;
        has_room(self.scene.limits, self.command, user)?;
        Ok(change(member(known, Membership::Invited, Role::Member)))
    }

    pub(super) fn remove(&self, user: &UserId) -> Ruled {
        // Who may not remove anybody is not told who is in the room.
        access::may_remove(self.viewer(), self.state.door(), Role::Guest)?;
        let part = self.part(user).ok_or(NOT_IN_ROOM)?;
        access::may_remove(self.viewer(), self.state.door(), part.role)?;
        self.may_go(part)?;
        Ok(change(member(self.user(user), Membership::Left, part.role)))
    }

    pub(super) fn set_role(&self, user: &UserId, role: Role) -> Ruled {
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

const NOT_IN_ROOM: ChatError = ChatError::Invalid {
    field: "user",
    rule: "is not in the room",
};

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
