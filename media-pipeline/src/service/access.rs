//! Who may do what.

use super::Inner;
use super::answer::{rules, store};
use crate::api::{ApiError, Caller};
use crate::model::{Clip, ClipId, Declared, Source};
use crate::ports::{Action, Asker, Verdict};
use kaiwa_common::id::RoomId;
use kaiwa_common::redact::Redacted;
use kaiwa_common::token::ServerRole;
use std::collections::BTreeMap;

/// What is needed in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    View,
    Upload,
}

fn asker(caller: &Caller) -> Asker<'_> {
    Asker {
        user: &caller.user,
        role: caller.role,
    }
}

/// The clip as a room shows it: there what its message shows, and what playing needs. Where it comes from, what the
/// uploader's file and software said of it, how it was worked on and why it failed are its own room's business and the
/// uploader's. The uploader is named: the message is theirs, and they are a member there.
pub(super) fn as_seen(clip: Clip, caller: &Caller, room: &RoomId) -> Clip {
    if clip.room == *room || clip.uploader == caller.user {
        return clip;
    }
    let number = clip.chores.rooms.get(room).copied();
    Clip {
        room: room.clone(),
        message: number.filter(|number| *number > 0),
        declared: Declared {
            name: Redacted(String::new()),
            size: clip.declared.size,
            sha256: None,
            content_type: String::new(),
        },
        source: clip.source.map(|source| Source {
            sha256: None,
            ..source
        }),
        upload: None,
        job: None,
        error: None,
        labels: BTreeMap::new(),
        ..clip
    }
}

impl Inner {
    pub(super) async fn room(
        &self,
        caller: &Caller,
        room: &RoomId,
        need: Need,
    ) -> Result<(), ApiError> {
        let action = match need {
            Need::View => Action::View,
            Need::Upload => Action::Upload,
        };
        let verdict = self.authz.check(asker(caller), room, action).await;
        match verdict.map_err(rules)? {
            // A viewer of this server brings nothing, whatever the room says.
            Verdict::Allowed if need == Need::Upload && caller.role == ServerRole::Viewer => {
                Err(ApiError::Denied("ROLE_TOO_LOW"))
            }
            Verdict::Allowed => Ok(()),
            Verdict::Denied(reason) => Err(ApiError::Denied(reason)),
            Verdict::Hidden => Err(ApiError::NotFound),
        }
    }

    /// The clip, and the room in which the caller may see it.
    pub(super) async fn seen_in(&self, caller: &Caller, clip: &Clip) -> Result<RoomId, ApiError> {
        let mut why = ApiError::NotFound;
        for room in std::iter::once(&clip.room).chain(clip.chores.rooms.keys()) {
            match self.room(caller, room, Need::View).await {
                Ok(()) => return Ok(room.clone()),
                Err(error @ ApiError::Denied(_)) => why = error,
                Err(ApiError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(why)
    }

    /// The room in which the caller may play the clip, and its epoch: read before the question, so that whoever is
    /// removed between the two gets a right that is over already.
    pub(super) async fn plays_in(
        &self,
        caller: &Caller,
        clip: &Clip,
    ) -> Result<(RoomId, u64), ApiError> {
        let mut why = ApiError::NotFound;
        for room in std::iter::once(&clip.room).chain(clip.chores.rooms.keys()) {
            let epoch = self.authz.epoch(room).await.map_err(rules)?;
            match self.room(caller, room, Need::View).await {
                Ok(()) => return Ok((room.clone(), epoch)),
                Err(error @ ApiError::Denied(_)) => why = error,
                Err(ApiError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(why)
    }

    /// A clip that the caller may see: it is theirs, or shown in a room that they may see.
    pub(super) async fn clip_for(&self, caller: &Caller, id: ClipId) -> Result<Clip, ApiError> {
        let clip = self.store.get(id).await.map_err(store)?;
        let clip = clip.ok_or(ApiError::NotFound)?;
        if clip.uploader != caller.user {
            self.seen_in(caller, &clip).await?;
        }
        Ok(clip)
    }

    /// A clip as the caller may see it.
    pub(super) async fn view_for(&self, caller: &Caller, id: ClipId) -> Result<Clip, ApiError> {
        let clip = self.store.get(id).await.map_err(store)?;
        let clip = clip.ok_or(ApiError::NotFound)?;
        self.view(caller, clip).await
    }

    /// This clip as the caller may see it.
    pub(super) async fn view(&self, caller: &Caller, clip: Clip) -> Result<Clip, ApiError> {
        if clip.uploader == caller.user {
            return Ok(clip);
        }
        let room = self.seen_in(caller, &clip).await?;
        Ok(as_seen(clip, caller, &room))
    }

    /// A clip that the caller brings to a room where they may bring clips.
    pub(super) async fn uploading(&self, caller: &Caller, id: ClipId) -> Result<Clip, ApiError> {
        let clip = self.clip_for(caller, id).await?;
        if clip.uploader != caller.user {
            return Err(ApiError::Denied("NOT_UPLOADER"));
        }
        self.room(caller, &clip.room, Need::Upload).await?;
        Ok(clip)
    }

    /// A clip that the caller may stop and delete: their own, or they moderate its room.
    pub(super) async fn theirs(&self, caller: &Caller, id: ClipId) -> Result<Clip, ApiError> {
        let clip = self.clip_for(caller, id).await?;
        if clip.uploader == caller.user {
            return Ok(clip);
        }
        let action = Action::Moderate;
        let verdict = self.authz.check(asker(caller), &clip.room, action).await;
        match verdict.map_err(rules)? {
            Verdict::Allowed => Ok(clip),
            Verdict::Denied(_) | Verdict::Hidden => Err(ApiError::Denied("NOT_UPLOADER")),
        }
    }

    /// A clip that the caller may add to, and have worked on: as [`Inner::theirs`], but whoever brought it has to be
    /// welcome in its room still.
    pub(super) async fn worked_on(&self, caller: &Caller, id: ClipId) -> Result<Clip, ApiError> {
        let clip = self.theirs(caller, id).await?;
        if clip.uploader == caller.user {
            self.room(caller, &clip.room, Need::Upload).await?;
        }
        Ok(clip)
    }
}
