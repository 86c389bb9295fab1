//! Who may look into which call, and what they see.

use super::Calls;
use crate::call::causes::{self, Cause};
use crate::call::core::effect::{Roster, Summary};
use crate::call::core::rights::acting_role;
use crate::call::failures::Failure;
use crate::session::lock;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Actor, Membership, Role};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{CALL_REPORTED, CALL_SFU_ANSWER};
use kaiwa_common::token::ServerRole;
use kaiwa_sfu::control::{ParticipantId, SfuError};
use kaiwa_sfu::inspect::{Inspect, RoomReport, SAMPLES_MAX};

/// Whose part in a call somebody may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's, with their addresses: an administrator's.
    Server,
    /// Everybody's, and the addresses of this person's own media: an owner's or moderator's.
    Room(UserId),
    /// This person's own.
    Own(UserId),
}

impl Scope {
    /// Whether this person's part is shown.
    #[must_use]
    pub fn shows(&self, user: &UserId) -> bool {
        match self {
            Self::Server | Self::Room(_) => true,
            Self::Own(own) => own == user,
        }
    }

    /// Whether the addresses of this person's media are: between people of a room the server hides them.
    #[must_use]
    pub fn shows_addresses(&self, user: &UserId) -> bool {
        match self {
            Self::Server => true,
            Self::Room(own) | Self::Own(own) => own == user,
        }
    }
}

/// Some participants of a call, and their media.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// Everybody.
    pub roster: Roster,
    /// Those who are reported of, by rising id.
    pub participants: Vec<ParticipantId>,
    /// There are more than fit.
    pub has_more: bool,
    /// Their media.
    pub report: RoomReport,
}

impl Calls {
    /// Every call in three numbers, by its room.
    #[must_use]
    pub fn summaries(&self) -> Vec<(RoomId, Summary)> {
        lock(&self.shared.state).core.summaries()
    }

    /// What somebody may look at in a room's call.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`] for whoever is not in the room, whether there is one or not; others when chat does
    /// not answer.
    pub async fn scope(&self, actor: &Actor, room: &RoomId) -> Result<Scope, ChatError> {
        if actor.role == ServerRole::Admin {
            return Ok(Scope::Server);
        }
        let info = match self.shared.chat.room(actor, room).await {
            Err(ChatError::NotAMember) => Err(ChatError::RoomNotFound),
            answer => answer,
        }?;
        if info.membership != Membership::Joined {
            return Err(ChatError::RoomNotFound);
        }
        let user = actor.user.id.clone();
        let is_moderator = acting_role(info.role, actor.role) >= Role::Moderator;
        Ok(if is_moderator {
            Scope::Room(user)
        } else {
            Scope::Own(user)
        })
    }

    /// What is wrong with somebody's media that is there, if anything is.
    pub(super) async fn quality(&self, room: &RoomId, id: ParticipantId) -> Option<Cause> {
        let inspect = Inspect {
            room: room.clone(),
            participants: vec![id],
            seconds: SAMPLES_MAX,
        };
        let pending = self.shared.sfu.inspect(inspect);
        let answer = tokio::time::timeout(CALL_SFU_ANSWER, pending).await;
        let report = answer.ok()?.ok()?;
        let of = report.participants.first()?;
        causes::of_participant(of, report.at, self.failures().told())
    }

    /// The failed joins of a room, as far as the scope shows them, the newest first.
    #[must_use]
    pub fn failed(&self, room: &RoomId, scope: &Scope) -> Vec<Failure> {
        match scope {
            Scope::Server | Scope::Room(_) => self.failures().of_room(room),
            Scope::Own(user) => self.failures().of_person(room, user),
        }
    }

    /// Looks into a room's call: at those after a participant, as far as the scope shows them.
    ///
    /// # Errors
    /// [`SfuError::Unavailable`].
    pub async fn inspect(
        &self,
        room: &RoomId,
        scope: &Scope,
        after: Option<ParticipantId>,
        seconds: u8,
    ) -> Result<Inspected, SfuError> {
        let roster = self.snapshot(room);
        let entries = roster.entries.iter();
        let shown = entries.filter(|entry| scope.shows(&entry.user.id));
        let mut participants: Vec<_> = shown.map(|entry| entry.participant).collect();
        participants.sort_unstable();
        participants.retain(|participant| Some(*participant) > after);
        let has_more = participants.len() > CALL_REPORTED;
        participants.truncate(CALL_REPORTED);
        let inspect = Inspect {
            room: room.clone(),
            participants: participants.clone(),
            seconds,
        };
        let pending = self.shared.sfu.inspect(inspect);
        let answer = tokio::time::timeout(CALL_SFU_ANSWER, pending).await;
        Ok(Inspected {
            roster,
            participants,
            has_more,
            report: answer.unwrap_or(Err(SfuError::Unavailable))?,
        })
    }
}
