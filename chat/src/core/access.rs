//! Who may do what: pure functions over somebody's standing. `docs/protocol.md`, section 6.

use crate::error::ChatError;
use crate::model::{Membership, Rights, Role, RoomKind, Visibility};
use crate::ports::Part;
use kaiwa_common::limits::LARGE_ROOM;
use kaiwa_common::token::ServerRole;

/// Somebody before a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    /// What they may do on the whole server.
    pub server: ServerRole,
    /// Their part in the room.
    pub part: Option<Part>,
}

/// The room they stand before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// How it works.
    pub kind: RoomKind,
    /// Who can find it.
    pub visibility: Visibility,
}

/// May they know of the room at all? Members, the invited, everybody for a public room, and admins,
/// who may join any.
///
/// # Errors
/// [`ChatError::RoomNotFound`], as for a room that does not exist.
pub fn may_see(viewer: Viewer, visibility: Visibility) -> Result<(), ChatError> {
    let public = visibility == Visibility::Public;
    if viewer.part.is_some() || public || viewer.server == ServerRole::Admin {
        Ok(())
    } else {
        Err(ChatError::RoomNotFound)
    }
}

/// May they read it? Who has joined may. Gives the role in which they act: an admin is at least a
/// moderator where they have joined.
///
/// # Errors
/// [`ChatError::RoomNotFound`] or [`ChatError::NotAMember`].
pub fn may_read(viewer: Viewer, visibility: Visibility) -> Result<Role, ChatError> {
    may_see(viewer, visibility)?;
    match viewer.part {
        Some(Part {
            membership: Membership::Joined,
            role,
        }) => match viewer.server {
            ServerRole::Admin => Ok(role.max(Role::Moderator)),
            ServerRole::Creator | ServerRole::Viewer => Ok(role),
        },
        Some(_) | None => Err(ChatError::NotAMember),
    }
}

/// May they change anything in it at all? Gives the role in which they act.
fn may_act(viewer: Viewer, door: Door) -> Result<Role, ChatError> {
    let role = may_read(viewer, door.visibility)?;
    if viewer.server == ServerRole::Viewer {
        return Err(ChatError::Forbidden {
            needs: "a token whose role is not viewer",
        });
    }
    Ok(role)
}

/// May they post messages?
///
/// # Errors
/// Why not.
pub fn may_send(viewer: Viewer, door: Door) -> Result<(), ChatError> {
    let role = may_act(viewer, door)?;
    match door.kind {
        RoomKind::Direct => Ok(()),
        RoomKind::Group => at_least(role, Role::Member),
        RoomKind::Broadcast => at_least(role, Role::Moderator),
    }
}

/// May they name everybody in a room with so many joined members? Who may send may, in a large room
/// ([`LARGE_ROOM`]) from moderator on.
///
/// # Errors
/// Why not.
pub fn may_mention_all(viewer: Viewer, door: Door, joined: u32) -> Result<(), ChatError> {
    may_send(viewer, door)?;
    let role = may_act(viewer, door)?;
    if joined <= LARGE_ROOM {
        return Ok(());
    }
    at_least(role, Role::Moderator)
}

/// May they change the text of a message? Who may send may edit their own.
///
/// # Errors
/// Why not.
pub fn may_edit(viewer: Viewer, door: Door, own: bool) -> Result<(), ChatError> {
    may_send(viewer, door)?;
    if own {
        Ok(())
    } else {
        Err(ChatError::Forbidden {
            needs: "to be the message's sender",
        })
    }
}

/// May they erase a message? Their own, whatever their role; as moderator anybody's.
///
/// # Errors
/// Why not.
pub fn may_delete(viewer: Viewer, door: Door, own: bool) -> Result<(), ChatError> {
    let role = may_act(viewer, door)?;
    if own {
        Ok(())
    } else {
        at_least(role, Role::Moderator)
    }
}

/// The most that they may do with the room's messages.
#[must_use]
pub fn rights(viewer: Viewer, door: Door) -> Rights {
    if may_read(viewer, door.visibility).is_err() {
        Rights::Nothing
    } else if may_delete(viewer, door, false).is_ok() && may_send(viewer, door).is_ok() {
        Rights::Moderate
    } else if may_send(viewer, door).is_ok() {
        Rights::Write
    } else {
        Rights::Read
    }
}

/// May they come in? With an invitation, into a public room, and as admin into any that is not the
/// room of a pair.
///
/// # Errors
/// Why not.
pub fn may_join(viewer: Viewer, door: Door) -> Result<(), ChatError> {
    may_see(viewer, door.visibility)?;
    if viewer.part.is_none() && door.kind == RoomKind::Direct {
        return Err(ChatError::WrongRoomKind);
    }
    Ok(())
}

/// May they invite?
///
/// # Errors
/// Why not.
pub fn may_invite(viewer: Viewer, door: Door) -> Result<(), ChatError> {
    let role = may_act(viewer, door)?;
    match door.kind {
        RoomKind::Direct => Err(ChatError::WrongRoomKind),
        RoomKind::Group => at_least(role, Role::Member),
        RoomKind::Broadcast => at_least(role, Role::Moderator),
    }
}

/// May they remove somebody of this role? It takes a higher one, and moderator at least; an owner may
/// remove an owner.
///
/// # Errors
/// Why not.
pub fn may_remove(viewer: Viewer, door: Door, target: Role) -> Result<(), ChatError> {
    let role = may_act(viewer, door)?;
    if door.kind == RoomKind::Direct {
        return Err(ChatError::WrongRoomKind);
    }
    at_least(role, Role::Moderator)?;
    if role > target || role == Role::Owner {
        Ok(())
    } else {
        Err(ChatError::Forbidden {
            needs: "a higher role than theirs",
        })
    }
}

/// May they give roles?
///
/// # Errors
/// Why not.
pub fn may_set_role(viewer: Viewer, door: Door) -> Result<(), ChatError> {
    let role = may_act(viewer, door)?;
    if door.kind == RoomKind::Direct {
        return Err(ChatError::WrongRoomKind);
    }
    at_least(role, Role::Owner)
}

/// May they create rooms, and open direct ones?
///
/// # Errors
/// Why not.
pub fn may_create(server: ServerRole) -> Result<(), ChatError> {
    match server {
        ServerRole::Admin | ServerRole::Creator => Ok(()),
        ServerRole::Viewer => Err(ChatError::Forbidden {
            needs: "a token whose role is not viewer",
        }),
    }
}

fn at_least(role: Role, needed: Role) -> Result<(), ChatError> {
    if role >= needed {
        return Ok(());
    }
    Err(ChatError::Forbidden {
        needs: match needed {
            Role::Guest => "to be in the room",
            Role::Member => "the room's role member",
            Role::Moderator => "the room's role moderator",
            Role::Owner => "the room's role owner",
        },
    })
}

#[cfg(test)]
mod tests;
