//! Clips as messages: what the part of the server that has the clips may do here, and no client.

use super::{Chat, reads, refusal};
use crate::error::ChatError;
use crate::model::{Actor, ClipProgress, ClipView, Committed, Rights, User, Write, Written};
use kaiwa_common::id::{ClipId, RoomId, UserId};
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;
use kaiwa_common::token::ServerRole;

impl Chat {
    /// Posts a clip's message in its uploader's name, once for each room: the same again, also after an error that
    /// leaves open what happened, gives the first one's place with `dup`.
    ///
    /// What the uploader's token lets them do is the caller's to check ([`Self::standing`]): here they need the
    /// right to write in the room at this moment.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`], [`ChatError::NotAMember`] or [`ChatError::Forbidden`] when they may not write;
    /// [`ChatError::CidConflict`] when the uploader used its id for something else; [`ChatError::Unavailable`], [`ChatError::Overloaded`] and
    /// [`ChatError::Draining`] to try again.
    pub async fn post_clip(
        &self,
        room: &RoomId,
        uploader: &User,
        view: ClipView,
    ) -> Result<Committed, ChatError> {
        self.post(room, uploader, (view, None)).await
    }

    /// As [`Self::post_clip`], for a room in which the clip's message at `after` was deleted and which is to be shown the
    /// clip again: one message more for each that was deleted.
    ///
    /// # Errors
    /// As of [`Self::post_clip`].
    pub async fn post_clip_anew(
        &self,
        room: &RoomId,
        uploader: &User,
        view: ClipView,
        after: Seq,
    ) -> Result<Committed, ChatError> {
        self.post(room, uploader, (view, Some(after))).await
    }

    async fn post(
        &self,
        room: &RoomId,
        uploader: &User,
        (view, after): (ClipView, Option<Seq>),
    ) -> Result<Committed, ChatError> {
        let actor = Actor {
            user: uploader.clone(),
            role: ServerRole::Creator,
        };
        let write = Write::PostClip {
            room: room.clone(),
            clip: without_nul(view),
            after,
        };
        self.change(&actor, write).await
    }

    /// Shows a clip's message as this view has it, whoever has left since. A view that is no newer than the one
    /// shown, one of another clip, and one for a message that was deleted change nothing.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`] and [`ChatError::MessageNotFound`] when there is no such message;
    /// [`ChatError::Unavailable`], [`ChatError::Overloaded`] and [`ChatError::Draining`] to try again.
    pub async fn show_clip(
        &self,
        room: &RoomId,
        target: Seq,
        view: ClipView,
    ) -> Result<(), ChatError> {
        let write = Write::ShowClip {
            room: room.clone(),
            target,
            clip: without_nul(view),
        };
        self.change(&server()?, write).await.map(drop)
    }

    /// Erases a clip's message as its uploader could, whoever has left since. One that was deleted already is done.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`] and [`ChatError::MessageNotFound`] when there is no such message, or it is no
    /// clip's; [`ChatError::Unavailable`], [`ChatError::Overloaded`] and [`ChatError::Draining`] to try again.
    pub async fn remove_clip(&self, room: &RoomId, target: Seq) -> Result<(), ChatError> {
        let write = Write::RemoveClip {
            room: room.clone(),
            target,
        };
        self.change(&server()?, write).await.map(drop)
    }

    /// Tells those who follow the room how far a clip is: the latest of a clip replaces older ones, and nothing is
    /// kept. Never blocks.
    pub fn clip_progress(
        &self,
        room: &RoomId,
        target: Seq,
        clip: ClipId,
        version: u64,
        percent: u8,
    ) {
        self.inner.bus.clip_progress(ClipProgress {
            room: room.clone(),
            target,
            clip,
            version,
            percent: percent.min(100),
        });
    }

    /// What this person may do in a room now.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] when the store fails.
    pub async fn standing(&self, actor: &Actor, room: &RoomId) -> Result<Rights, ChatError> {
        reads::rights(&*self.inner.store, actor, room).await
    }

    /// The seq of the last event by which somebody stopped being a member of a room, because they left or were
    /// removed; 0 for none. Who was found to be a member at that seq or later still is, as long as it stays the
    /// same. It costs one look at the room's row, so that each played segment can ask.
    ///
    /// # Errors
    /// [`ChatError::RoomNotFound`], and [`ChatError::Unavailable`] when the store fails.
    pub async fn revocation(&self, room: &RoomId) -> Result<u64, ChatError> {
        let found = self.inner.store.revocation(room).await.map_err(refusal)?;
        found.map(|seq| seq.0).ok_or(ChatError::RoomNotFound)
    }

    async fn change(&self, actor: &Actor, write: Write) -> Result<Committed, ChatError> {
        match self.submit(actor, write).await? {
            Written::Committed(committed) => Ok(committed),
            Written::Room(_) => unreachable!("only what makes or joins a room shows it"),
        }
    }
}

/// Nobody: the server's own writes ask for nobody's rights, and their events are the uploader's.
fn server() -> Result<Actor, ChatError> {
    let id = UserId::parse("-").map_err(|_| ChatError::Unavailable)?;
    Ok(Actor {
        user: User {
            id,
            name: Redacted::default(),
        },
        role: ServerRole::Viewer,
    })
}

/// What was erased is known by U+0000, so none is let in.
fn without_nul(mut view: ClipView) -> Box<ClipView> {
    if view.title.0.contains('\0') {
        view.title.0 = view.title.0.replace('\0', "\u{fffd}");
    }
    Box::new(view)
}
