//! Who may do what in a call: pure functions over a room's role, the server's role and the token.
//! `docs/protocol.md`, section 10.

use super::effect::CallError;
use kaiwa_chat::model::{Membership, Role, RoomInfo, RoomKind};
use kaiwa_common::id::UserId;
use kaiwa_common::position::Seq;
use kaiwa_common::token::{CallGrant, ServerRole};
use kaiwa_sfu::control::Rights;

/// How somebody who has joined a room stands to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How the room works.
    pub kind: RoomKind,
    /// Their role in it.
    pub role: Role,
    /// In a direct room: the other person.
    pub peer: Option<UserId>,
    /// The room's head at which this was so.
    pub version: Seq,
}

impl Standing {
    /// From the room as they see it at `version`; `None` when they have not joined it.
    #[must_use]
    pub fn of(info: &RoomInfo, version: Seq) -> Option<Self> {
        (info.membership == Membership::Joined).then(|| Self {
            kind: info.kind,
            role: info.role,
            peer: info.peer.as_ref().map(|peer| peer.id.clone()),
            version,
        })
    }
}

/// What somebody may do in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Powers {
    /// With media.
    pub rights: Rights,
    /// Mute and remove those of a lower role.
    pub may_moderate: bool,
    /// Call others to it.
    pub may_ring: bool,
}

impl Powers {
    /// What the room gives, narrowed by the token.
    #[must_use]
    pub fn of(standing: &Standing, server: ServerRole, grant: CallGrant) -> Self {
        let needed = match standing.kind {
            RoomKind::Direct | RoomKind::Group => Role::Member,
            RoomKind::Broadcast => Role::Moderator,
        };
        let role = acting_role(standing.role, server);
        let is_active = server != ServerRole::Viewer;
        let may_publish = is_active && role >= needed;
        Self {
            rights: Rights {
                microphone: may_publish && grant.microphone,
                camera: may_publish && grant.camera,
                screen: may_publish && grant.screen,
                subscribe: grant.subscribe,
            },
            may_moderate: is_active && role >= Role::Moderator,
            may_ring: may_publish,
        }
    }
}

/// The role in which somebody acts: an admin is at least a moderator where they have joined.
#[must_use]
pub fn acting_role(role: Role, server: ServerRole) -> Role {
    match server {
        ServerRole::Admin => role.max(Role::Moderator),
        ServerRole::Creator | ServerRole::Viewer => role,
    }
}

/// May somebody with these powers and this acting role mute or remove a person of that one? It takes a
/// higher role; an owner may do it to an owner.
///
/// # Errors
/// [`CallError::Forbidden`].
pub fn may_moderate(powers: Powers, role: Role, target: Role) -> Result<(), CallError> {
    if !powers.may_moderate {
        return Err(CallError::Forbidden("the room's role moderator"));
    }
    if role > target || role == Role::Owner {
        Ok(())
    } else {
        Err(CallError::Forbidden("a higher role than theirs"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn powers(kind: RoomKind, role: Role, server: ServerRole) -> Powers {
        let standing = Standing {
            kind,
            role,
            peer: None,
            version: Seq(1),
        };
        Powers::of(&standing, server, CallGrant::ALL)
    }

    #[test]
    fn the_rooms_kind_and_role_say_who_publishes() {
        use {Role::*, RoomKind::*};
        for (kind, role, publishes) in [
            (Group, Guest, false),
            (Group, Member, true),
            (Direct, Member, true),
            (Broadcast, Member, false),
            (Broadcast, Moderator, true),
            (Broadcast, Owner, true),
        ] {
            let powers = powers(kind, role, ServerRole::Creator);
            let rights = powers.rights;
            assert_eq!(rights.microphone, publishes, "{kind:?} {role:?}");
            assert_eq!((rights.camera, rights.screen), (publishes, publishes));
            assert!(rights.subscribe);
            assert_eq!(powers.may_moderate, role >= Moderator);
        }
    }

    #[test]
    fn a_viewer_only_watches_and_an_admin_moderates() {
        let viewer = powers(RoomKind::Group, Role::Owner, ServerRole::Viewer);
        assert!(!viewer.rights.microphone && !viewer.may_moderate && !viewer.may_ring);
        assert!(viewer.rights.subscribe);
        let admin = powers(RoomKind::Broadcast, Role::Guest, ServerRole::Admin);
        assert!(admin.rights.screen && admin.may_moderate);
    }

    #[test]
    fn a_token_narrows_and_never_widens() {
        let standing = Standing {
            kind: RoomKind::Group,
            role: Role::Guest,
            peer: None,
            version: Seq(1),
        };
        let guest = Powers::of(&standing, ServerRole::Creator, CallGrant::ALL);
        assert!(!guest.rights.microphone);
        let grant = CallGrant {
            camera: false,
            subscribe: false,
            ..CallGrant::ALL
        };
        let member = Standing {
            role: Role::Member,
            ..standing
        };
        let rights = Powers::of(&member, ServerRole::Creator, grant).rights;
        assert!(rights.microphone && rights.screen && !rights.camera && !rights.subscribe);
    }

    #[test]
    fn moderating_takes_a_higher_role_and_an_owner_is_above_owners() {
        use Role::*;
        for (role, target, may) in [
            (Moderator, Member, true),
            (Moderator, Moderator, false),
            (Moderator, Owner, false),
            (Owner, Owner, true),
            (Member, Guest, false),
        ] {
            let powers = powers(RoomKind::Group, role, ServerRole::Creator);
            assert_eq!(may_moderate(powers, role, target).is_ok(), may);
        }
    }
}
