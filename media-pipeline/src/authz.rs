//! Who may do what: the token's role, then the room's rules, then the external permission hook.
//!
//! ```text
//!  token ──tokens──► role, scopes ──TABLE──► RoomAuthz (chat) ──hook──► yes
//!     └ 401            └ 403                   └ 404, 403        └ 403, 503 when it is silent
//! ```
//!
//! Everything that is not in [`Operation`]'s table is refused, by having no row.

mod hook;
mod tokens;

pub use hook::{AskHook, Asked, HookConfig, HookedRooms, InvalidHook, PermissionHook};
pub use tokens::{ActsFor, ServiceRule, Tokens, Who};

use crate::api::{ApiError, Caller};
use crate::ports::{Action, Asker, RoomAuthz, StoreError, Verdict};
use kaiwa_common::id::RoomId;
use kaiwa_common::token::ServerRole;

/// What is asked of clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Register a clip.
    Create,
    /// A way to upload.
    Grant,
    /// Parts that have arrived.
    Parts,
    /// All parts are there.
    Complete,
    /// Give the upload up.
    Abort,
    /// Read one or several.
    Get,
    /// Read a page.
    List,
    /// Follow.
    Watch,
    /// Transcode again.
    Retry,
    /// Stop.
    Cancel,
    /// Delete.
    Delete,
    /// Play.
    Playback,
    /// Show in another room.
    Share,
    /// Add subtitles.
    Captions,
    /// Operators' calls.
    Admin,
}

/// What a service's token may be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// `clips.read`
    Read,
    /// `clips.write`
    Write,
    /// `clips.play`
    Play,
    /// `clips.admin`
    Admin,
}

impl Scope {
    /// As the configuration writes it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Read => "clips.read",
            Self::Write => "clips.write",
            Self::Play => "clips.play",
            Self::Admin => "clips.admin",
        }
    }

    /// As the configuration writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Read, Self::Write, Self::Play, Self::Admin];
        all.into_iter().find(|scope| scope.text() == text)
    }
}

impl Operation {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Create,
        Self::Grant,
        Self::Parts,
        Self::Complete,
        Self::Abort,
        Self::Get,
        Self::List,
        Self::Watch,
        Self::Retry,
        Self::Cancel,
        Self::Delete,
        Self::Playback,
        Self::Share,
        Self::Captions,
        Self::Admin,
    ];

    /// The lowest role that may, the scope that a service needs, and what is asked of the room. (Seed 004: an
    /// administrator everything, a creator uploads, changes and deletes, everybody else watches.)
    #[must_use]
    pub const fn rule(self) -> (ServerRole, Scope, Option<Action>) {
        use ServerRole::{Admin, Creator, Viewer};
        match self {
            Self::Get | Self::List | Self::Watch => (Viewer, Scope::Read, Some(Action::View)),
            Self::Playback => (Viewer, Scope::Play, Some(Action::View)),
            Self::Create
            | Self::Grant
            | Self::Parts
            | Self::Complete
            | Self::Abort
            | Self::Retry
            | Self::Cancel
            | Self::Delete
            | Self::Share
            | Self::Captions => (Creator, Scope::Write, Some(Action::Upload)),
            Self::Admin => (Admin, Scope::Admin, None),
        }
    }

    /// Whether this role covers it.
    #[must_use]
    pub const fn allows(self, role: ServerRole) -> bool {
        rank(role) >= rank(self.rule().0)
    }
}

const fn rank(role: ServerRole) -> u8 {
    match role {
        ServerRole::Viewer => 0,
        ServerRole::Creator => 1,
        ServerRole::Admin => 2,
    }
}

/// The whole chain for one room: role, then the room's rules (and the hook, where they are [`HookedRooms`]).
///
/// # Errors
/// [`ApiError::Denied`] or [`ApiError::NotFound`] when they may not, [`ApiError::Unavailable`] when nobody can tell:
/// then they may not either.
pub async fn check(
    rooms: &dyn RoomAuthz,
    caller: &Caller,
    operation: Operation,
    room: &RoomId,
) -> Result<(), ApiError> {
    if !operation.allows(caller.role) {
        return Err(ApiError::Denied("ROLE_TOO_LOW"));
    }
    let Some(action) = operation.rule().2 else {
        return Ok(());
    };
    let who = Asker {
        user: &caller.user,
        role: caller.role,
    };
    match rooms.check(who, room, action).await {
        Ok(Verdict::Allowed) => Ok(()),
        Ok(Verdict::Denied(why)) => Err(ApiError::Denied(why)),
        Ok(Verdict::Hidden) => Err(ApiError::NotFound),
        Err(StoreError::Unavailable(_) | StoreError::Conflict | StoreError::Broken(_)) => {
            Err(ApiError::Unavailable("the room's rules"))
        }
    }
}
